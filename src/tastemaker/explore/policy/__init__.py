"""Policies: how likely each item is to be shown in a situation."""

from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy
from tastemaker.plugins import names_below

__all__ = ["Mixture", "SoftmaxPolicy"]
__getattr__ = names_below(__name__)
