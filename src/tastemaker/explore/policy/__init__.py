"""Policies over large catalogues, in blocks."""

from tastemaker.explore.policy.base import Policy
from tastemaker.explore.policy.mixture import Mixture
from tastemaker.explore.policy.softmax import (
    SoftmaxPolicy,
    TablePolicy,
    uniform_policy,
)

__all__ = [
    "Mixture",
    "Policy",
    "SoftmaxPolicy",
    "TablePolicy",
    "uniform_policy",
]
