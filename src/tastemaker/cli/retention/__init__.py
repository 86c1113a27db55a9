"""The commands around surveys and retention, one file each."""
