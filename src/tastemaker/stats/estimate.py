"""The older name of the one interval type, for rooms that still use it."""

from tastemaker.stats.intervals import Interval as Estimate

__all__ = ["Estimate"]
