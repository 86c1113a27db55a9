"""Re-ranking by the retention proxy: rules, `adjust`, and what it does to rankings."""
