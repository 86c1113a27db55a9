"""Moments, intervals, ranking metrics and keyed random generators. numpy only, no I/O."""

from tastemaker.stats.intervals import Interval, bootstrap, paired_bootstrap
from tastemaker.stats.random import generator, hashed_order
from tastemaker.stats.ranking import coverage_curve, effective_vocabulary, ndcg_at, recall_at

__all__ = [
    "Interval",
    "bootstrap",
    "coverage_curve",
    "effective_vocabulary",
    "generator",
    "hashed_order",
    "ndcg_at",
    "paired_bootstrap",
    "recall_at",
]
