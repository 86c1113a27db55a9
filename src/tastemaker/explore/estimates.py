"""A policy's value by every estimator that a log allows, the package's own and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import tastemaker.plugins as plugins
from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.explore.bounds import Contributions, lower_bound
from tastemaker.explore.estimate.reward import RewardModel, fit_reward_model
from tastemaker.explore.estimate.weighting import (
    OwnPolicy,
    clipped_ips,
    dm,
    dr,
    ips,
    mips,
    offcem,
    paired,
    snips,
)
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.table import Log
from tastemaker.stats.intervals import Interval

Estimator = Callable[[Log, Policy, RewardModel], Contributions]

C, CAP = 0.95, 5.0  # of the paired row: share of the logger's value, and U where a mixture logged the rows
GROUP = "estimators"
PAIRED = (
    f"paired is no value: it estimates V - {C:g} V0, how far the policy's value lies above {C:.0%} of the"
    " logger's; a lower bound above 0 is what a certificate asks for"
)
BUILT_IN: Mapping[str, Estimator] = {
    "ips": lambda log, policy, _: ips(log, policy),
    "clipped_ips": lambda log, policy, _: clipped_ips(log, policy),
    "snips": lambda log, policy, _: snips(log, policy),
    "paired": lambda log, policy, _: paired(log, policy, C, cap=1.0 if log.reference is None else CAP),
    "dm": dm,
    "dr": dr,
    "mips": lambda log, policy, _: mips(log, policy),
    "offcem": offcem,
}
MODELLED = ("dm", "dr", "offcem")  # rest on a reward model, which needs a reward to learn from
PREFIXED = ("mips", "offcem")  # need the logger's probability of each row's prefix


@dataclass(frozen=True)
class PolicyEstimate:
    """estimator: its name; of: "V", or "V - 0.95 V0" for the paired row; interval: the estimate with its
    lower bound by Student's t, what it assumes, and why there is no bound; certain: lower bound by betting,
    valid at any time, None where the estimator has no least value; effective_rows: what the rows are worth.
    """

    estimator: str
    of: str
    interval: Interval
    certain: float | None
    standard_error: float
    effective_rows: float


def estimate_policy(
    log: Log,
    policy: Policy,
    vectors: Floats | None = None,
    *,
    names: Sequence[str] = (),
    delta: float = 0.05,
    unit: str = "",
) -> list[PolicyEstimate]:
    """The value of `policy` by the estimators called `names`; none: all that the log allows.

    vectors (A, k) of the actions, for the reward model; names of installed plugins count too (group
    `tastemaker.estimators`: a function of log and policy that gives (n,) terms whose mean is the estimate, or
    `Contributions`). unit: user, request or row, what is independent; default: the first of them that the log
    knows. Raises InputError on a name that nobody has, or one that this log does not allow.
    """
    chosen = list(names) or allowed(log, policy)
    model = fit_reward_model(log, vectors) if log.rewarded and set(chosen) & set(MODELLED) else None
    units = log.units(unit)
    return [_estimate(_contributions(name, log, policy, model).by(units), delta) for name in chosen]


def _terms(given: object) -> Contributions | Floats:
    """What an estimator gave, as numbers."""
    return given if isinstance(given, Contributions) else np.asarray(given, np.float64)


def allowed(log: Log, policy: Policy) -> list[str]:
    """The package's own estimators that a log has all for."""
    return [name for name in BUILT_IN if not _missing(name, log, policy)]


def _missing(name: str, log: Log, policy: Policy) -> str:
    """What this log lacks for an estimator of the package, else empty."""
    if name in MODELLED and isinstance(policy, OwnPolicy):
        return "a policy that is known by the shown actions alone leaves nothing to predict"
    if name in MODELLED and not log.rewarded:
        return "no row has a reward, so that no reward model can be fitted"
    if name in PREFIXED and (
        isinstance(policy, OwnPolicy) or policy.prefixes is None or log.prefix_propensity is None
    ):
        return "prefixes of the actions and a column 'prefix_propensity' are needed"
    return ""


def _contributions(name: str, log: Log, policy: Policy, model: RewardModel | None) -> Contributions:
    if name not in BUILT_IN:
        return _of_plugin(name, log, policy)
    missing = _missing(name, log, policy)
    if missing:
        raise InputError(f"estimator '{name}': {missing}")
    # Only estimators that are in MODELLED look at the model, and for those there is one.
    return BUILT_IN[name](log, policy, model)  # type: ignore[arg-type]


def _of_plugin(name: str, log: Log, policy: Policy) -> Contributions:
    installed = plugins.names(GROUP)
    if name not in installed:
        raise InputError(
            f"estimator '{name}' does not exist; choose one of {', '.join((*BUILT_IN, *installed))}"
        )
    values = plugins.call(GROUP, name, log, policy, convert=_terms)
    if isinstance(values, Contributions):
        return values
    if values.shape != (len(log),):
        raise InputError(
            f"estimator '{name}' gave an array of shape {values.shape}; one number for each of the"
            f" {len(log)} rows is needed"
        )
    notes = (f"what the estimator '{name}' of another package assumes",)
    return Contributions(values, np.ones(len(log)), -np.inf, assumptions=notes, estimator=name)


def _estimate(contributions: Contributions, delta: float) -> PolicyEstimate:
    bounded = contributions.kind == "mean" and contributions.low > -np.inf
    return PolicyEstimate(
        contributions.estimator,
        f"V - {C:g} V0" if contributions.estimator == "paired" else "V",
        lower_bound(contributions, delta, "t"),
        lower_bound(contributions, delta, "betting").low if bounded else None,
        contributions.standard_error,
        contributions.effective_size,
    )
