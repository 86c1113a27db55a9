"""Years and days in a message."""
