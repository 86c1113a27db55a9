"""The gate: evidence about candidates, tests in a fixed sequence, certificates."""
