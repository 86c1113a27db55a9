"""Off-policy estimates as per-round contributions."""
