"""Policies over large catalogues, in blocks."""

from tastemaker.explore.policy.base import Blocked, Policy
from tastemaker.explore.policy.mixture import Mixture
from tastemaker.explore.policy.softmax import (
    FunctionPolicy,
    Scored,
    SoftmaxPolicy,
    TablePolicy,
    uniform_policy,
)

__all__ = [
    "Blocked",
    "FunctionPolicy",
    "Mixture",
    "Policy",
    "Scored",
    "SoftmaxPolicy",
    "TablePolicy",
    "uniform_policy",
]
