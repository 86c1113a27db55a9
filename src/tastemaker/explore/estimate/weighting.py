"""Estimators that weigh rewards and need no model: IPS and its relatives, and the paired test's
contributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.estimate.contributions import INFLUENCE, Contributions
from tastemaker.explore.estimate.weights import (
    PREFIX,
    SUPPORT,
    assumptions,
    log_probs,
    prefix_weights,
    reference_weights,
    weights,
)
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
Support = Literal["logged", "prefix"]


def ips(log: Log, policy: Policy | Floats, *, max_weight: float | None = None) -> Contributions:
    """w_i r_i: unbiased for the part of the policy's value on actions the logger shows (Horvitz and Thompson
    1952).

    policy: a policy, or its log-probabilities (n,) of the logged actions. max_weight: a bound on w known
    before the data, for bounds that need a range; raises InputError when a row exceeds it.
    """
    weight = weights(log, policy)
    high = _ceiling(weight, max_weight) * log.r_max
    return Contributions(
        weight * log.reward, weight, 0.0, high, assumptions=(*assumptions(log), SUPPORT), estimator="ips"
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
        weight * log.reward, weight, 0.0, tau * log.r_max, assumptions=notes, estimator="clipped_ips"
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
    return Contributions(influence, weight, -np.inf, np.inf, INFLUENCE, notes, "snips")


def balanced(log: Log, policy: Policy | Floats, loggers: Mapping[str, Policy]) -> Contributions:
    """pi / (sum_j (n_j/N) pi_j) r over rows pooled from several loggers (1703.06180, eq. 6).

    loggers: the policy behind each `policy_id` of the log. A later logger that was learnt on earlier rows
    enters earlier weights: for learning, not for certificates. Raises InputError on a log without policy ids,
    or an id without a policy.
    """
    if log.policy is None:
        raise InputError("balanced weights need to know who logged each row; add a column 'policy_id'")
    names, counts = np.unique(log.policy, return_counts=True)
    unknown = [str(one) for one in names if str(one) not in loggers]
    if unknown:
        row = int(np.argmax(log.policy == unknown[0]))
        raise InputError(
            f"row {row + 1}, column 'policy_id': {unknown[0]!r} has no policy among the loggers; hand it in"
        )
    shares = counts / len(log)
    mixed = sum(
        share * np.exp(loggers[str(name)].log_prob(log.context, log.action))
        for name, share in zip(names, shares, strict=True)
    )
    weight = np.asarray(np.exp(log_probs(log, policy)) / mixed)
    notes = (
        *assumptions(log),
        SUPPORT,
        "rows of several loggers are pooled: not for certificates when one learnt from another's rows",
    )
    return Contributions(weight * log.reward, weight, 0.0, np.inf, assumptions=notes, estimator="balanced")


def paired(
    log: Log,
    policy: Policy | Floats,
    c: float = 0.95,
    *,
    cap: float = 1.0,
    support: Support = "logged",
    logger: Policy | None = None,
    credit: Floats | None = None,
    max_weight: float | None = None,
) -> Contributions:
    """g_i = (w_i - c u_i) r_i >= -c r_max U: of mean V(pi) - c V0, so a policy within share c of pi0 has a
    mean above 0.

    Parameters
    ----------
    c
        share of the reference's value to be kept, in (0, 1].
    cap
        U, a bound on u_i = pi0(a_i|x_i) / p_i known before the data (`Mixture(cap=U)` enforces it); 1 where
        pi0 wrote the rows.
    support
        "logged": w by action; "prefix": w by prefix, with `logger` as in `prefix_weights`.
    credit
        (n,) sum over novel actions of pi(a|x_i) qlow(x_i, a), 0 <= qlow: what a feature model is believed to
        promise at least.

    Raises InputError on c outside (0, 1], u above U, a negative credit. Source: section 3.2 of the
    exploration specification.
    """
    if not 0 < c <= 1:
        raise InputError(f"c is {c}; the share of the logger's value to keep is above 0 and at most 1")
    if support == "prefix":
        if isinstance(policy, np.ndarray):
            raise InputError(
                "support 'prefix' needs the policy itself, not its log-probabilities of the logged actions"
            )
        weight = prefix_weights(log, policy, logger)
    else:
        weight = weights(log, policy)
    value = (weight - c * reference_weights(log, cap)) * log.reward
    notes = [*assumptions(log), PREFIX if support == "prefix" else SUPPORT]
    if credit is not None:
        if credit.shape != value.shape or not np.all(credit >= 0):
            raise InputError("credit needs one number a row, none negative or NaN")
        value = value + credit
        notes.append("novel actions are worth at least what the feature model's lower estimate says")
    high = (_ceiling(weight, max_weight) + (0.0 if credit is None else 1.0)) * log.r_max
    return Contributions(
        value, weight, -c * log.r_max * cap, high, assumptions=tuple(notes), estimator="paired"
    )


def _ceiling(weight: Floats, max_weight: float | None) -> float:
    if max_weight is None:
        return float("inf")
    if weight.max() > max_weight * (1 + 1e-5):
        row = int(weight.argmax())
        raise InputError(
            f"row {row + 1}: weight {weight[row]:g} is above max_weight {max_weight:g}; a range must hold for"
            " every row"
        )
    return max_weight
