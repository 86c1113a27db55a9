"""From tables to training examples: histories, splits, behaviour, metadata, mixing. No file access."""
