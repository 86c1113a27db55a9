"""Experiments on files: assign, check, read out, watch, power and surrogates."""
