"""Surveys, weights, validity, retention, calibrated proxy, ranking, experiments: load, call, save."""
