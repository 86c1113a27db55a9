"""Which candidates are shown, and with what probability. Today: the deterministic policy and its slate log."""

from tastemaker.explore.slate import GREEDY_POLICY, greedy_slate

__all__ = ["GREEDY_POLICY", "greedy_slate"]
