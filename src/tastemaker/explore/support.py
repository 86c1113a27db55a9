"""What a log can and cannot support, said before anything is estimated."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tastemaker.arrays import Bools, Floats
from tastemaker.errors import InputError, many
from tastemaker.explore.bounds import PLURALS, Units, too_few
from tastemaker.explore.estimate.weighting import log_probs, on_support, paired, weights
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.table import ESTIMATED, Log
from tastemaker.stats.betting import FRACTIONS
from tastemaker.stats.intervals import effective_size

HEAVY = 0.5  # tail index of weights from which on their variance is infinite


@dataclass(frozen=True)
class PolicySupport:
    """How much of a policy a log can speak about.

    mean_weight should be near expected_weight, the policy's mass on actions the logger may play; z is their
    distance in standard errors. effective_rows: (sum w)^2 / sum w^2. novelty: mass on actions the logger
    never plays. missing_rewarded: rewarded rows still missing for a certificate at the settings asked for,
    None where no number of such rows would do.
    """

    mean_weight: float
    expected_weight: float
    z: float
    max_weight: float
    effective_rows: float
    novelty: float
    missing_rewarded: int | None


@dataclass(frozen=True)
class SupportReport:
    """rows, users and rewarded rows of a log, the ranges of reward and propensity, actions logged, known and
    novel, plays of a logged action (least, median, most), and, given a policy, its support. warnings: in
    plain words, what should worry a reader. units: what is counted once, in words; pools: the smallest and
    the largest of what a request could show.
    """

    rows: int
    users: int | None
    rewarded: int
    reward_range: tuple[float, float]
    propensity_range: tuple[float, float]
    propensities: str
    known_actions: int
    logged_actions: int
    novel_actions: int
    plays: tuple[int, float, int]
    least_rewarded: int
    policy: PolicySupport | None
    warnings: tuple[str, ...]
    units: str = ""
    pools: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """The report for a reader, one fact a line."""
        users, (least, most) = "not known" if self.users is None else f"{self.users:,}", self.propensity_range
        known, logged, novel = self.known_actions, self.logged_actions, self.novel_actions
        lines = [
            f"rows                {self.rows:,} (users: {users})",
            f"counted once        {self.units}",
            f"rewarded rows       {self.rewarded:,} ({self.rewarded / self.rows:.2%})",
            f"rewards             {self.reward_range[0]:g} to {self.reward_range[1]:g}",
            f"propensities        {least:.3g} to {most:.3g}, {self.propensities}",
            f"actions             {known:,} known, {logged:,} logged, {novel:,} novel",
            f"plays an action     {self.plays[0]:,} to {self.plays[2]:,}, median {self.plays[1]:,.0f}",
            f"rewarded rows that even the logger itself would need for a certificate: {self.least_rewarded}",
        ]
        if self.pools is not None:
            lines.append(f"pool of a request   {self.pools[0]:,} to {many(self.pools[1], 'action')}")
        if self.policy is not None:
            fit, missing = self.policy, self.policy.missing_rewarded
            more = "no number of such rows would do" if missing is None else f"{missing:,}"
            mean = f"{fit.mean_weight:.4f}, expected {fit.expected_weight:.4f}"
            lines += [
                f"mean weight         {mean} (z = {fit.z:+.1f})",
                f"largest weight      {fit.max_weight:.4g}",
                f"effective rows      {fit.effective_rows:,.0f}",
                (
                    f"novelty             {fit.novelty:.4f} of the policy's plays go to actions the logger"
                    " never plays"
                ),
                f"rewarded rows still missing for a certificate: {more}",
            ]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def support_report(
    log: Log,
    actions: Bools | None = None,
    policy: Policy | None = None,
    *,
    c: float = 0.95,
    delta: float = 0.05,
    unit: str = "",
) -> SupportReport:
    """The support of a log, and of a policy on it.

    actions (A,) bool: which actions the logger may play; the others are novel. None: those that occur in the
    log, which counts an action of small propensity that was never drawn as novel. c, delta: of the
    certificate whose missing rows are counted. unit: user, request or row, what is independent; default: the
    first of them that the log knows.

    Raises InputError when an action was logged that `actions` says the logger never plays.
    """
    plays = np.bincount(log.action, minlength=log.n_actions)
    logged = plays > 0
    existing = logged if actions is None else actions
    if existing.shape != logged.shape or (log.reference is None and np.any(logged & ~existing)):
        raise InputError(
            f"actions must mark, for all {log.n_actions} actions, which the logger may play; one it played is"
            " unmarked"
        )
    seen = plays[logged]
    units = log.units(unit)
    if not 0 < delta < 0.5:
        raise InputError(f"delta is {delta}; give an error probability below .5, such as .05")
    report = None if policy is None else _policy_support(log, units, existing, policy, c, delta)
    return SupportReport(
        rows=len(log),
        users=None if log.user is None else len(np.unique(log.user)),
        rewarded=log.rewarded,
        reward_range=(float(log.reward.min()), float(log.reward.max())),
        propensity_range=(float(log.propensity.min()), float(log.propensity.max())),
        propensities=log.source,
        known_actions=log.n_actions,
        logged_actions=int(logged.sum()),
        novel_actions=int((~existing).sum()),
        plays=(int(seen.min()), float(np.median(seen)), int(seen.max())),
        least_rewarded=least_rewarded(c, delta),
        policy=report,
        warnings=tuple(_warnings(log, units, report, least_rewarded(c, delta))),
        units=units.words,
        pools=None if log.pool is None else (int(log.pool.sizes.min()), int(log.pool.sizes.max())),
    )


def least_rewarded(c: float = 0.95, delta: float = 0.05) -> int:
    """Rewarded rows before the paired bet passes the logger itself: 102 at r_max, c = .95, delta = .05."""
    growth = np.log1p(np.asarray(FRACTIONS) * (1 - c) / c)
    return math.ceil(_repeats(growth, delta)) if c < 1 else 2**31 - 1


def _repeats(growth: Floats, delta: float) -> float:
    """Smallest t with mean over bets of exp(t growth) >= 1/delta, for some growth above 0."""
    low, high = 0.0, (math.log(1 / delta) + math.log(len(growth))) / float(growth.max())
    for _ in range(60):
        middle = (low + high) / 2
        enough = float(np.logaddexp.reduce(middle * growth)) - math.log(len(growth)) >= math.log(1 / delta)
        low, high = (low, middle) if enough else (middle, high)
    return high


def _policy_support(
    log: Log, units: Units, existing: Bools, policy: Policy, c: float, delta: float
) -> PolicySupport:
    # One pass over the catalogue for both the weights and the paired contributions.
    own = log_probs(log, policy)
    weight = weights(log, own)
    mass = on_support(log, policy, existing)
    z, _ = weight_gap(units, weight, mass, log.propensity)
    gain = paired(log, own, c, cap=_cap(log))
    gains, _ = units.sums(gain.value).scaled
    growth = np.array([np.log1p(bet / -gain.low * gains).sum() for bet in FRACTIONS])
    needed = _repeats(growth, delta) * log.rewarded if growth.max() > 0 else None
    return PolicySupport(
        mean_weight=float(weight.mean()),
        expected_weight=float(mass.mean()),
        z=z,
        max_weight=float(weight.max()),
        effective_rows=effective_size(weight),
        novelty=float(1.0 - mass.mean()),
        missing_rewarded=None if needed is None else max(0, math.ceil(needed) - log.rewarded),
    )


def _cap(log: Log) -> float:
    """The largest pi0/propensity of the rows, for a report that promises nothing."""
    return 1.0 if log.reference is None else max(float((log.reference / log.propensity).max()), 1.0)


def weight_gap(
    units: Units, weight: Floats, mass: Floats, propensity: Floats, spare: float = 0.0
) -> tuple[float, float]:
    """How far the mean weight lies from the policy's mass on what the logger could show, in standard errors
    by unit; and the same after one further row of the largest weight there can be in it.

    Weights are skewed: a log of honest propensities often lacks the rarest, heaviest rows, which makes the
    mean too low and its error too small. A gap below 0 that one such row would close proves nothing, nor does
    any where the weights seen have no finite variance: what is missing then may be many rows, of items that
    the logger all but never draws. spare: what a fitted logger adds to the mean, as sure as it is large.
    """
    gap = weight - mass - spare
    sums = units.sums(gap)
    error = math.hypot(sums.standard_error(), spare)
    z = _in_errors(sums.mean, error)
    heavy = float((weight * propensity).max(initial=0.0) / propensity.min())
    total = float(gap.sum()) + heavy
    more = math.hypot(error * len(gap), heavy)
    if z >= 0 or more <= 0:
        return z, z
    return z, 0.0 if tail_index(weight) >= HEAVY else min(0.0, total / more)


def tail_index(weight: Floats) -> float:
    """The tail of weights (n,) >= 0 by Hill's estimator over the largest min(n / 5, 3 sqrt n) of them, as
    many as Pareto-smoothed importance sampling takes (arXiv 1507.02646): 0 is no tail; from 1/2 on the
    variance is infinite. 0 where fewer than five rows would tell.
    """
    count = int(min(len(weight) / 5, 3 * math.sqrt(len(weight))))
    if count < 5:
        return 0.0
    top = np.partition(weight, -count - 1)[-count - 1 :]
    least = float(top.min())
    return float(np.log(top / least).sum() / count) if least > 0 else math.inf


def _in_errors(gap: float, error: float) -> float:
    if error > 1e-12:
        return gap / error
    return 0.0 if abs(gap) < 1e-6 else math.copysign(math.inf, gap)


def _warnings(log: Log, units: Units, policy: PolicySupport | None, least: int) -> list[str]:
    warnings: list[str] = []
    if log.source == ESTIMATED:
        warnings.append(
            "the propensities are estimated by a fitted logger; every figure below is conditional on that fit"
        )
    if log.rewarded == 0:
        warnings.append("no row is rewarded: nothing can be estimated or certified")
    elif log.rewarded < least:
        warnings.append(
            f"{log.rewarded} rewarded rows are fewer than the {least} that the logger itself would need for a"
            " certificate"
        )
    if bool(np.all(log.propensity == 1.0)):
        warnings.append(
            "every propensity is 1: the logger was deterministic, and nothing can be said of any other action"
        )
    if too_few(units):
        warnings.append(too_few(units))
    if units.most > 0.05 * len(log) and not units.single:
        warnings.append(
            f"one of the {PLURALS[units.kind]} has {units.most:,} of {many(len(log), 'row')}:"
            " its taste weighs as"
            " much"
        )
    if policy is not None:
        if abs(policy.z) > 3:
            warnings.append(
                f"the mean weight is {policy.z:+.1f} standard errors off: the propensities may not be the"
                " logger's"
            )
        if policy.effective_rows < 100:
            warnings.append(
                f"the rows are worth {policy.effective_rows:.0f}: the policy is too far from the logger to be"
                " judged"
            )
        if policy.novelty > 1e-6:
            warnings.append(
                f"{policy.novelty:.1%} of the policy's plays are on novel actions, which earn nothing on"
                " logged support"
            )
    return warnings
