"""Doubly robust estimates with less weight where weights are large: Switch-DR, and DR with optimistic
shrinkage.

Both lean on the reward model where weights are large and have its bias, so that no certificate may rest on
them; Open Bandit is read with them beside the others.
"""

from __future__ import annotations

import numpy as np

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.explore.bounds import MODEL, Contributions
from tastemaker.explore.estimate.reward import RewardModel
from tastemaker.explore.estimate.weighting import CROSS_FITTED, NOVEL, assumptions, corrected, weights
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.table import Log

BIASED = "rows of large weight lean on the reward model, so the estimate has its bias: not a certificate"


def switch_dr(log: Log, policy: Policy, model: RewardModel, tau: float = 10.0) -> Contributions:
    """DR where w_i <= tau, the model alone elsewhere (1612.01205, eq. 9); tau is chosen on other rows."""
    if not tau > 0:
        raise InputError(f"tau is {tau}; the switch is at a weight above 0")
    weight = weights(log, policy)
    return _shrunk(log, policy, model, np.where(weight <= tau, weight, 0.0), tau, "switch_dr")


def dros(log: Log, policy: Policy, model: RewardModel, shrink: float = 10.0) -> Contributions:
    """DR with weights shrink w / (w^2 + shrink), at most sqrt(shrink)/2 (1907.09623, eq. 4); shrink is chosen
    on other rows.
    """
    if not shrink > 0:
        raise InputError(f"shrink is {shrink}; optimistic shrinkage needs a number above 0")
    weight = weights(log, policy)
    less = shrink * weight / (weight**2 + shrink)
    return _shrunk(log, policy, model, less, float(np.sqrt(shrink)) / 2, "dros")


def _shrunk(
    log: Log, policy: Policy, model: RewardModel, weight: Floats, most: float, name: str
) -> Contributions:
    value = corrected(log, policy, model, weight)
    notes = (*assumptions(log), CROSS_FITTED, NOVEL, BIASED)
    return Contributions(value, weight, -most * log.r_max, MODEL, notes, name)
