"""Worlds with known truth, for tests, recipes and planning."""
