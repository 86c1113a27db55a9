"""Rankings per turn against what was played and what fitted."""

from tastemaker.converse.benchmark.asks import Ask, asks
from tastemaker.converse.benchmark.scores import METRICS, compare, score, summary

__all__ = ["METRICS", "Ask", "asks", "compare", "score", "summary"]
