"""Estimators that weigh rewards and need no model: IPS and its relatives, and the paired test's
contributions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.estimate.contributions import INFLUENCE, Contributions
from tastemaker.explore.estimate.weights import (
    PREFIX,
    SUPPORT,
    assumptions,
    prefix_weights,
    reference_weights,
    weights,
)
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]


def ips(log: Log, policy: Policy | Floats) -> Contributions:
    """w_i r_i: unbiased for the part of the policy's value on actions the logger shows (Horvitz and Thompson
    1952). policy: a policy, or its log-probabilities (n,) of the logged actions.
    """
    weight = weights(log, policy)
    return Contributions(
        weight * log.reward,
        weight,
        0.0,
        np.inf,
        assumptions=(*assumptions(log), SUPPORT),
        estimator="ips",
        units=log.units(),
    )


def clipped_ips(log: Log, policy: Policy | Floats, tau: float = 100.0) -> Contributions:
    """min(w_i, tau) r_i: never too high in expectation, so lower bounds stay valid; tau is fixed beforehand
    (Ionides 2008).
    """
    if not tau > 0:
        raise InputError(f"tau is {tau}; weights are clipped at a number above 0")
    weight = np.minimum(weights(log, policy), tau)
    notes = (
        *assumptions(log),
        SUPPORT,
        f"weights are clipped at {tau:g}: the estimate is too low, never too high, in expectation",
    )
    return Contributions(
        weight * log.reward,
        weight,
        0.0,
        tau * log.r_max,
        assumptions=notes,
        estimator="clipped_ips",
        units=log.units(),
    )


def snips(log: Log, policy: Policy | Floats) -> Contributions:
    """V + w_i (r_i - V) / mean(w), V = sum(w r) / sum(w): the influence values of self-normalised IPS, of
    mean V.

    A ratio: only asymptotic bounds apply. Raises InputError when every weight is 0. Source: Swaminathan and
    Joachims 2015.
    """
    weight = weights(log, policy)
    if not weight.any():
        raise InputError("every weight is 0: the policy never plays what was logged, and snips is 0/0")
    value = float(weight @ log.reward / weight.sum())
    notes = (
        *assumptions(log),
        "self-normalised: biased by about 1/n, and read as the value given that a logged action is played",
    )
    influence = value + weight * (log.reward - value) / weight.mean()
    return Contributions(influence, weight, -np.inf, np.inf, INFLUENCE, notes, "snips", log.units())


def mips(log: Log, policy: Policy, *, logger: Policy | None = None) -> Contributions:
    """w(x, e) r: weights of prefixes, so that a novel item counts what its prefix earned (2202.06317, eq. 8).

    logger: the policy that wrote the log, where it has no column `prefix_propensity`; raises InputError
    without either.
    """
    weight = prefix_weights(log, policy, logger)
    return Contributions(
        weight * log.reward,
        weight,
        0.0,
        np.inf,
        assumptions=(*assumptions(log), PREFIX),
        estimator="mips",
        units=log.units(),
    )


def paired(log: Log, policy: Policy | Floats, c: float = 0.95, *, cap: float = 1.0) -> Contributions:
    """g_i = (w_i - c u_i) r_i >= -c r_max U: of mean V(pi) - c V0, so a policy within share c of pi0 has a
    mean above 0.

    c: share of the reference's value to be kept, in (0, 1]. cap: U, a bound on u_i = pi0(a_i|x_i) / p_i known
    before the data (`Mixture(cap=U)` enforces it); 1 where pi0 wrote the rows.

    Raises InputError on c outside (0, 1], and on u above U. Source: section 3.2 of the exploration
    specification.
    """
    if not 0 < c <= 1:
        raise InputError(f"c is {c}; the share of the logger's value to keep is above 0 and at most 1")
    weight = weights(log, policy)
    value = (weight - c * reference_weights(log, cap)) * log.reward
    notes = (*assumptions(log), SUPPORT)
    return Contributions(
        value, weight, -c * log.r_max * cap, np.inf, assumptions=notes, estimator="paired", units=log.units()
    )
