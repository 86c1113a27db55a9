"""One builder a stage: each reads finished stages, calls capabilities, and fills the folder it is given."""
