"""Policies over large catalogues, in blocks."""

from tastemaker.explore.policy.base import Policy
from tastemaker.explore.policy.mixture import Mixture
from tastemaker.explore.policy.pooled import Pooled
from tastemaker.explore.policy.pools import Pools
from tastemaker.explore.policy.softmax import (
    SoftmaxPolicy,
    TablePolicy,
    uniform_policy,
)

__all__ = [
    "Mixture",
    "Policy",
    "Pooled",
    "Pools",
    "SoftmaxPolicy",
    "TablePolicy",
    "uniform_policy",
]
