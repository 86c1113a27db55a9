"""From a log to a certified deployment: what `tastemaker explore` does."""
