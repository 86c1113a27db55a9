"""Estimators that share evidence between actions of one Semantic-ID prefix: MIPS and OffCEM."""

from __future__ import annotations

import numpy as np

from tastemaker.explore.estimate.contributions import Contributions
from tastemaker.explore.estimate.direct import expected_reward
from tastemaker.explore.estimate.reward import RewardModel
from tastemaker.explore.estimate.weights import PREFIX, assumptions, prefix_weights
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log

WITHIN = (
    "the logger covers every prefix the policy plays, and the reward model gets differences within a prefix"
    " right"
)


def mips(log: Log, policy: Policy, *, logger: Policy | None = None) -> Contributions:
    """w(x, e) r: weights of prefixes, so that a novel item counts what its prefix earned (2202.06317, eq. 8).

    logger: the policy that wrote the log, where it has no column `prefix_propensity`; raises InputError
    without either.
    """
    weight = prefix_weights(log, policy, logger)
    return Contributions(
        weight * log.reward, weight, 0.0, np.inf, assumptions=(*assumptions(log), PREFIX), estimator="mips"
    )


def offcem(
    log: Log,
    policy: Policy,
    model: RewardModel,
    *,
    logger: Policy | None = None,
    samples: int | None = None,
    key: str | int = 0,
) -> Contributions:
    """w(x, e)(r - f(x, a)) + E_pi f: the prefix by weights, the item within it by a model (2305.08062, eq.
    6).
    """
    weight = prefix_weights(log, policy, logger)
    value = expected_reward(log, policy, model, samples, key) + weight * (
        log.reward - model.at(log.action[:, None])[:, 0]
    )
    return Contributions(
        value, weight, -np.inf, np.inf, assumptions=(*assumptions(log), WITHIN), estimator="offcem"
    )
