"""Estimators with a reward model: the direct method, doubly robust, switch-DR and DR with optimistic
shrinkage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.estimate.contributions import MODEL, Contributions
from tastemaker.explore.estimate.reward import RewardModel
from tastemaker.explore.estimate.weights import assumptions, weights
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log
from tastemaker.stats.estimate import Estimate
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]

FIXED = (
    "the reward model is taken as the truth: its own error is in no interval around these values"
    " (refit_bootstrap includes it)"
)
HELPED = "the reward model was fitted on other rows than those it predicts"
NOVEL = "actions the logger never shows count what the reward model predicts for them"
BIASED = "rows of large weight lean on the reward model, so the estimate has its bias: not a certificate"


def expected_reward(
    log: Log, policy: Policy, model: RewardModel, samples: int | None = None, key: str | int = 0
) -> Floats:
    """(n,) sum_a pi(a|x_i) qhat(x_i, a): exact in blocks, or the mean over `samples` actions a row drawn from
    the policy.
    """
    if samples is None:
        return policy.expect(log.context, model.block)
    return np.asarray(model.at(policy.sample(log.context, samples, key)).mean(axis=1))


def dm(
    log: Log, policy: Policy, model: RewardModel, *, samples: int | None = None, key: str | int = 0
) -> Contributions:
    """Sum_a pi(a|x_i) qhat(x_i, a): no weights, all bias. kind "model": see `refit_bootstrap` for an honest
    interval.
    """
    value = expected_reward(log, policy, model, samples, key)
    return Contributions(value, np.ones(len(log)), 0.0, log.r_max, MODEL, (FIXED, NOVEL), "dm")


def dr(
    log: Log,
    policy: Policy,
    model: RewardModel,
    *,
    floor: float | None = None,
    logger: Policy | None = None,
    samples: int | None = None,
    key: str | int = 0,
) -> Contributions:
    """E_pi qhat + w_i (r_i - qhat(x_i, a_i)): right if propensities or model are (1503.02834, eq. 7).

    floor k: cut qhat at k / w(x, a) in *both* terms, so that no contribution is below -k and betting applies;
    this needs `logger`, the policy that wrote the log (a novel action, w infinite, then counts 0). Raises
    InputError on a floor without a logger, or a logger that disagrees with the logged propensities.
    """
    weight = weights(log, policy)
    own = model.at(log.action[:, None])[:, 0]
    if floor is None:
        value = expected_reward(log, policy, model, samples, key) + weight * (log.reward - own)
        return Contributions(
            value, weight, -np.inf, np.inf, assumptions=(*assumptions(log), HELPED, NOVEL), estimator="dr"
        )
    if not floor > 0:
        raise InputError(f"the floor is {floor}; contributions of DR are kept above -floor, a number above 0")
    if logger is None:
        raise InputError(
            "a floor under DR needs the logger's policy, to cut the model at floor / w for every action"
        )
    _same_logger(log, logger)
    expected = np.zeros(len(log))
    for (rows, actions, new), (_, _, old) in zip(
        policy.blocks(log.context), logger.blocks(log.context), strict=True
    ):
        # qhat cut at k/w, times pi, is min(pi qhat, k pi0): no division by a propensity of 0.
        both = np.minimum(np.exp(new) * model.block(rows, actions), floor * np.exp(old))
        expected[rows] += both.sum(axis=1, dtype=np.float64)
    value = np.maximum(expected + weight * log.reward - np.minimum(weight * own, floor), -floor)
    notes = (
        *assumptions(log),
        HELPED,
        "novel actions count 0: where the logger never plays, the model is cut to 0",
    )
    return Contributions(value, weight, -floor, np.inf, assumptions=notes, estimator="dr")


def switch_dr(
    log: Log, policy: Policy, model: RewardModel, tau: float, *, samples: int | None = None
) -> Contributions:
    """DR where w_i <= tau, the model alone elsewhere (1612.01205, eq. 9); tau is chosen on other rows."""
    if not tau > 0:
        raise InputError(f"tau is {tau}; the switch is at a weight above 0")
    weight = weights(log, policy)
    return _shrunk(log, policy, model, np.where(weight <= tau, weight, 0.0), tau, samples, "switch_dr")


def dros(
    log: Log, policy: Policy, model: RewardModel, shrink: float, *, samples: int | None = None
) -> Contributions:
    """DR with weights shrink w / (w^2 + shrink), at most sqrt(shrink)/2 (1907.09623, eq. 4); shrink is chosen
    on other rows.
    """
    if not shrink > 0:
        raise InputError(f"shrink is {shrink}; optimistic shrinkage needs a number above 0")
    weight = weights(log, policy)
    return _shrunk(
        log,
        policy,
        model,
        shrink * weight / (weight**2 + shrink),
        float(np.sqrt(shrink)) / 2,
        samples,
        "dros",
    )


def _shrunk(
    log: Log, policy: Policy, model: RewardModel, weight: Floats, most: float, samples: int | None, name: str
) -> Contributions:
    value = expected_reward(log, policy, model, samples) + weight * (
        log.reward - model.at(log.action[:, None])[:, 0]
    )
    notes = (*assumptions(log), HELPED, NOVEL, BIASED)
    return Contributions(value, weight, -most * log.r_max, (1 + most) * log.r_max, MODEL, notes, name)


def refit_bootstrap(
    log: Log,
    estimate: Callable[[Log], float],
    delta: float = 0.05,
    *,
    resamples: int = 100,
    key: str | int = 0,
) -> Estimate:
    """An estimate whose model is refitted inside every resample of the users (rows, where none is known):
    percentile lower bound.

    estimate: takes a log, fits whatever it fits, returns a number. Rows of one user are drawn together.
    Raises InputError on fewer than 1/delta resamples.
    """
    if not 0 < delta < 1 or resamples * delta < 1:
        raise InputError(
            f"{resamples} resamples have no percentile at delta = {delta}; give at least"
            f" {int(np.ceil(1 / delta))}"
        )
    unit = np.arange(len(log)) if log.user is None else np.unique(log.user, return_inverse=True)[1]
    order = np.argsort(unit, kind="stable")
    start = np.searchsorted(unit[order], np.arange(unit.max() + 2))
    rng = generator(key, "refit")
    found = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(start) - 1, len(start) - 1)
        found.append(
            estimate(log.take(np.concatenate([order[start[one] : start[one + 1]] for one in drawn])))
        )
    low = float(np.quantile(found, delta))
    notes = ("asymptotic: users resampled, the model refitted each time",)
    return Estimate(estimate(log), low, float("inf"), len(log), "refit bootstrap", notes)


def _same_logger(log: Log, logger: Policy) -> None:
    given = np.exp(logger.log_prob(log.context, log.action))
    wrong = np.abs(given - log.propensity) > 1e-3 * log.propensity
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1}: the logger gives {given[row]:g} the log {log.propensity[row]:g}; pass the policy"
            " that wrote it"
        )
