"""Policies: how likely each item is to be shown in a situation."""

from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy

__all__ = ["Mixture", "SoftmaxPolicy"]
