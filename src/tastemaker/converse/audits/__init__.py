"""Checks that need no model: constraints, labels, wording, leaks, and how much the pool gives away."""
