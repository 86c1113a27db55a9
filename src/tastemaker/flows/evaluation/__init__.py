"""Evaluation of a trained workspace beside its baselines."""
