"""Experiments: assignment, sample-ratio check, effects, sequential intervals, decisions, power, surrogates."""
