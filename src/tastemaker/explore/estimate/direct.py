"""Estimators with a reward model: the direct method, doubly robust, and OffCEM."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.explore.estimate.contributions import MODEL, Contributions
from tastemaker.explore.estimate.reward import RewardModel
from tastemaker.explore.estimate.weights import assumptions, bound, prefix_weights, weights
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]

FIXED = "the reward model is taken as the truth: its own error is in no interval around these values"
CROSS_FITTED = "the reward model was fitted on other rows than those it predicts"
NOVEL = "actions the logger never shows count what the reward model predicts for them"
WITHIN = (
    "the logger covers every prefix the policy plays, and the reward model gets differences within a prefix"
    " right"
)


def dm(log: Log, policy: Policy, model: RewardModel) -> Contributions:
    """Sum_a pi(a|x_i) qhat(x_i, a): no weights, all bias; kind "model"."""
    value = bound(log, policy).expect(log.context, model.block)
    return Contributions(value, np.ones(len(log)), 0.0, log.r_max, MODEL, (FIXED, NOVEL), "dm", log.units())


def dr(log: Log, policy: Policy, model: RewardModel) -> Contributions:
    """E_pi qhat + w_i (r_i - qhat(x_i, a_i)): right if propensities or model are (1503.02834, eq. 7)."""
    weight = weights(log, policy)
    notes = (*assumptions(log), CROSS_FITTED, NOVEL)
    return Contributions(
        corrected(log, policy, model, weight),
        weight,
        -np.inf,
        np.inf,
        assumptions=notes,
        estimator="dr",
        units=log.units(),
    )


def offcem(log: Log, policy: Policy, model: RewardModel) -> Contributions:
    """w(x, e)(r - f(x, a)) + E_pi f: the prefix by weights, the item within it by a model (2305.08062, eq.
    6). Raises InputError on a log without `prefix_propensity`.
    """
    weight = prefix_weights(log, policy)
    notes = (*assumptions(log), WITHIN)
    return Contributions(
        corrected(log, policy, model, weight),
        weight,
        -np.inf,
        np.inf,
        assumptions=notes,
        estimator="offcem",
        units=log.units(),
    )


def corrected(log: Log, policy: Policy, model: RewardModel, weight: Floats) -> Floats:
    """(n,) E_pi qhat + weight_i (r_i - qhat(x_i, a_i)), the form of every doubly robust estimate."""
    own = model.at(log.action[:, None])[:, 0]
    return bound(log, policy).expect(log.context, model.block) + weight * (log.reward - own)
