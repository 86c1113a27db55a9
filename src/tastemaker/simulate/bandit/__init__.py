"""Bandit worlds with known truth: logs, exact values, and the two small worlds of the goldens."""

from tastemaker.simulate.bandit.small import PAIRED_TILTS, PrefixWorld, SmallWorld, paired_world, prefix_world
from tastemaker.simulate.bandit.world import BanditWorld, draw_log, true_novelty, true_value

__all__ = [
    "PAIRED_TILTS",
    "BanditWorld",
    "PrefixWorld",
    "SmallWorld",
    "draw_log",
    "paired_world",
    "prefix_world",
    "true_novelty",
    "true_value",
]
