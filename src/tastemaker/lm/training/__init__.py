"""Parts of the training loop: examples and batches, losses, dropout and averaging, checkpoints."""
