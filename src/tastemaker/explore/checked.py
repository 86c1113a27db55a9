"""What `tastemaker.explore` concludes in Python, after the checks of the command; a failed one refuses."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack

import numpy as np

import tastemaker.explore.estimates as estimates
from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.explore.bounds import Units, codes, too_few
from tastemaker.explore.estimate.weighting import FITTED_FOLDS, OwnPolicy, on_support, weights
from tastemaker.explore.gate.certificate import Certificate
from tastemaker.explore.gate.certify import GateSettings, Spent, unopened
from tastemaker.explore.gate.certify import certify as open_gate
from tastemaker.explore.policy.base import Policy, Pooled
from tastemaker.explore.policy.softmax import uniform_policy
from tastemaker.explore.support import weight_gap
from tastemaker.explore.table import ESTIMATED, Log, Split, played_by_log

NAMES = ("weights", "propensities", "duplicates", "catalogue", "units", "time")
MOST_Z, RARE, OFTEN = 3.0, 1e-3, 20
LEAST_SHARE = {"a uniform policy": 0.5, "the policy": 0.8}  # of the expected mean weight
SAME = 1e-2  # of the logarithms of two chances that are one, for logits are kept to four places
DAY = 86_400.0
_OFTEN = 0.2  # of rows that repeat an action of a person and day: more is a log given twice
MOST_YEARS = 10  # from the first row of a log to its last


@dataclass(frozen=True)
class Check:
    """name: of `NAMES`, what --accept takes; passed; text: what was found."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Preflight:
    """checks: in their order; accepted: names of those that failed and go on nevertheless."""

    checks: tuple[Check, ...]
    accepted: tuple[str, ...]

    @classmethod
    def of(cls, checks: tuple[Check, ...], accept: Collection[str]) -> Preflight:
        """With those of `accept` that failed."""
        failed = {check.name for check in checks if not check.passed}
        return cls(checks, tuple(name for name in NAMES if name in failed & set(accept)))

    @property
    def refusal(self) -> str:
        """Why nothing should be concluded from this log, else empty."""
        failed = [check for check in self.checks if not check.passed and check.name not in self.accepted]
        if not failed:
            return ""
        what = "; ".join(dict.fromkeys(f"{check.name}: {check.text}" for check in failed))
        names = dict.fromkeys(check.name for check in failed)
        options, listed = " ".join(f"--accept {name}" for name in names), ", ".join(map(repr, names))
        return (
            f"refused: {what}. Mend the log; or go on with {options} (in Python accept=[{listed}]), which"
            " will stand on the result"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """What every check said, for a reader."""
        lines = []
        for check in self.checks:
            verdict = (
                "ok" if check.passed else "FAILED, accepted" if check.name in self.accepted else "FAILED"
            )
            lines.append(f"{check.name}: {verdict}: {check.text}")
        return tuple(lines)


def preflight(
    log: Log,
    existing: Bools,
    new: Bools | None = None,
    policies: Sequence[Policy] = (),
    *,
    unit: str = "",
    accept: Collection[str] = (),
) -> Preflight:
    """Every check of a log. existing, new (A,): what the logger plays, and what the catalogue says it never
    does.
    policies: whose mean weight is looked at, beside that of a uniform one.

    Raises InputError on a name in `accept` that is no check's.
    """
    accept = _names(accept)
    unknown = sorted(set(accept) - set(NAMES))
    if unknown:
        raise InputError(f"--accept {unknown[0]}: there is no such check; choose one of {', '.join(NAMES)}")
    units = log.units(unit)
    checks = (
        _weights(log, units, existing, new, policies),
        _propensities(log, existing),
        _duplicates(log),
        _catalogue(log, new),
        _units(units),
        _time(log),
    )
    return Preflight.of(checks, accept)


def gate_preflight(
    parts: Split,
    policies: Sequence[Policy],
    existing: Bools | None = None,
    new: Bools | None = None,
    *,
    unit: str = "",
    accept: Collection[str] = (),
) -> Preflight:
    """The checks before a gate opens: of the whole log, and of the weights of `policies` on the rows that
    they were not learnt from. existing, new as `preflight` takes them (default: what the log shows).
    """
    whole = parts.certify if parts.whole is None else parts.whole
    played = played_by_log(whole) if existing is None else existing
    first, *others = preflight(whole, played, new, unit=unit, accept=accept).checks
    judged = parts.judged
    return Preflight.of(
        (first, _weights(judged, judged.units(unit), played, new, policies), *others), _names(accept)
    )


def _names(accept: Collection[str]) -> Collection[str]:
    """A single name is one, not its letters."""
    return (accept,) if isinstance(accept, str) and accept else accept


def _weights(log: Log, units: Units, existing: Bools, new: Bools | None, policies: Sequence[Policy]) -> Check:
    """Mean weights against what they must be: the policy's mass on what the logger could show. Weights too
    large make false certificates; too small ones understate, as skewed ones often are: these must be gross.
    """
    results = []
    with np.errstate(over="ignore"):
        for name, policy in (*_uniform(log, existing), *(("the policy", policy) for policy in policies)):
            weight, mass = weights(log, policy), on_support(log, policy, existing)
            spare = _fit_error(log, weight)
            z, sure = weight_gap(units, weight, mass, log.propensity, spare)
            if new is None and log.pool is None and z > 0 and name == "the policy":
                # What the logger may play is known from this log alone, and so is too small.
                z = sure = max(weight_gap(units, weight, np.ones(len(log)), log.propensity, spare)[0], 0.0)
            mean, expected = float(weight.mean()), float(mass.mean())
            passed = sure <= MOST_Z if z > 0 else sure >= -MOST_Z or mean > LEAST_SHARE[name] * expected
            results.append((passed, name, mean, expected, z))
    if not results:
        return Check("weights", True, "no action was shown often enough to judge the propensities")
    passed, name, mean, mass_mean, z = max(results, key=lambda item: (not item[0], abs(item[4])))
    text = f"mean weight of {name} {mean:.4f}, expected {mass_mean:.4f} (z = {z:+.1f})"
    if passed and z < -MOST_Z:
        text += ": what the logger all but never shows is missing, which proves nothing"
    if not passed:
        own = name == "the policy" and all(item[0] for item in results if item[1] != name)
        own = own and any(isinstance(policy, OwnPolicy) for policy in policies)
        wrong = "the column `target` is not what that policy gives the shown actions"
        text += f": {wrong if own else 'the propensities are not those of the logger'}"
    return Check("weights", passed, text)


def _fit_error(log: Log, weight: Floats) -> float:
    """What the error of a fitted logger adds to a mean weight, since 1 / p of an uncertain p is too large: by
    its relative variance, of which every column of the context has a part. 0 of a logged propensity.
    """
    if log.source != ESTIMATED:
        return 0.0
    fitted_on = (1 - 1 / FITTED_FOLDS) * len(log) * log.propensity
    return float((weight * (1 - log.propensity) * (1 + log.context.shape[1]) / fitted_on).mean())


def _uniform(log: Log, existing: Bools) -> list[tuple[str, Policy]]:
    """A uniform policy over what the logger could show: the pools, or what it shows often enough."""
    if log.pool is not None:
        return [("a uniform policy", Pooled(uniform_policy(log.n_actions)))]
    plays = np.bincount(log.action, minlength=log.n_actions)
    chance = np.bincount(log.action, weights=log.propensity, minlength=log.n_actions) / np.maximum(plays, 1)
    often = existing & (chance * len(log) >= OFTEN)
    return [("a uniform policy", uniform_policy(log.n_actions, often))] if often.any() else []


def _propensities(log: Log, existing: Bools) -> Check:
    """A row whose probability was so small that a log of this size would hardly ever hold one."""
    choices = log.pool.sizes if log.pool is not None else np.full(len(log), int(existing.sum()))
    expected = log.propensity * choices * len(log)  # rows at most as rare as this one, were they all as rare
    row = int(np.argmin(expected))
    least = f"the smallest propensity is {log.propensity[row]:.3g}"
    if (false := _unlike_logits(log)) is not None:
        return Check("propensities", False, f"row {false + 1} is not what the logger's logits give")
    if expected[row] < RARE:
        rarely = f"such a row is seen in fewer than one of {1 / RARE:,.0f} logs of {len(log):,} rows"
        return Check("propensities", False, f"row {row + 1}: {least}; {rarely}")
    return Check("propensities", True, least)


def _unlike_logits(log: Log) -> int | None:
    """A row whose propensity is not that of the softmax of the logits logged beside it; None without such."""
    if log.pool is None or log.pool.logits is None or log.reference is not None:
        return None
    if not log.pool.holds(log.action).all():
        return None
    logger = Pooled(uniform_policy(log.n_actions), anchor=1.0).within(log.pool)
    gap = np.abs(logger.log_prob(log.context, log.action) - np.log(log.propensity))
    return int(gap.argmax()) if gap.max(initial=0.0) > SAME else None


def _duplicates(log: Log) -> Check:
    """The same action twice in one request (or of one person at one moment)."""
    if log.request is not None:
        keys, what = [codes(log.request)], "request"
    elif log.user is not None and log.timestamp is not None:
        keys, what = [codes(log.user), log.timestamp], "person and moment"
    else:
        return Check("duplicates", True, "cannot be seen: the log has neither request_id nor user and time")
    order = np.lexsort((log.action, *keys))
    same = np.ones(len(log) - 1, dtype=bool)
    for key in (log.action, *keys):
        same &= key[order][1:] == key[order][:-1]
    if not same.any():
        return Check("duplicates", True, f"no action twice in one {what}")
    if log.request is None and same.mean() < _OFTEN and _whole_days(log):  # no moments: a day is long
        few = f"{many(int(same.sum()), 'row repeats', 'rows repeat')} the action of their person and day"
        return Check("duplicates", True, f"{few}; the log has no request_id, and its times are days")
    row = int(order[1:][same].min())
    few = (
        f"{many(int(same.sum()), 'row repeats', 'rows repeat')} the action of their {what},"
        f" row {row + 1} first"
    )
    return Check("duplicates", False, few)


def _whole_days(log: Log) -> bool:
    """Whether all times are days."""
    assert log.timestamp is not None
    return bool((log.timestamp % int(DAY * 1e6) == 0).all())


def _catalogue(log: Log, new: Bools | None) -> Check:
    """What the catalogue says is never shown and the log shows; what was shown from outside its pool."""
    own = np.ones(len(log), dtype=bool) if log.reference is None else log.reference > 0
    if new is not None and (own & new[log.action]).any():
        row = int(np.argmax(own & new[log.action]))
        count = len(np.unique(log.action[own & new[log.action]]))
        return Check(
            "catalogue",
            False,
            f"{many(count, 'action is', 'actions are')} marked new that the logger did show, row {row + 1}:"
            f" '{log.actions[log.action[row]]}'; accepted, they count as shown",
        )
    if log.pool is not None and (own & ~log.pool.holds(log.action)).any():
        row = int(np.argmax(own & ~log.pool.holds(log.action)))
        text = f"row {row + 1} shows '{log.actions[log.action[row]]}', which its pool does not hold"
        return Check("catalogue", False, text)
    return Check("catalogue", True, "log and catalogue agree")


def _units(units: Units) -> Check:
    few = too_few(units)
    return Check("units", not few, few or f"{units.words}, each counted once")


def _time(log: Log) -> Check:
    """The span of the log."""
    if log.timestamp is None or not len(log):
        return Check("time", True, "no times are known: nothing can be said of drift")
    moments = _seconds(log.timestamp)
    span = float(np.ptp(moments))
    if moments.max() > time.time() + DAY:
        row = int(np.argmax(moments))
        return Check(
            "time", False, f"row {row + 1} lies {(moments[row] - time.time()) / DAY:,.1f} days ahead"
        )
    if moments.min() < 0:
        return Check("time", False, f"row {int(np.argmin(moments)) + 1} lies before 1970")
    if span > MOST_YEARS * 365.25 * DAY:
        first, last = int(np.argmin(moments)) + 1, int(np.argmax(moments)) + 1
        years = f"{span / DAY / 365.25:,.0f} years from row {first} to row {last}"
        return Check("time", False, f"{years}: one of them carries a wrong moment")
    if span == 0 and len(log) > 1:
        return Check("time", True, "all rows carry one moment: nothing can be said of drift")
    return Check("time", True, f"{span / DAY:,.1f} days from the first row to the last")


def _seconds(stamps: Ints) -> Floats:
    """Seconds since 1970 of numbers that may count seconds, milliseconds or microseconds; smaller numbers,
    which count something else, as they are.
    """
    largest = float(np.abs(stamps).max())
    unit = 1e6 if largest > 1e14 else 1e3 if largest > 1e11 else 1.0
    return np.asarray(stamps / unit)


def estimate_policy(
    log: Log,
    policy: Policy,
    vectors: Floats | None = None,
    *,
    names: Sequence[str] = (),
    delta: float = 0.05,
    unit: str = "",
    accept: Collection[str] = (),
) -> list[estimates.PolicyEstimate]:
    """`estimates.estimate_policy`, after the checks that `tastemaker explore estimate` makes.

    The policy must not have been learnt from these rows; give `split(log).choose` for one that was learnt
    from the log. accept: names of checks that may fail, which stand among the assumptions of every
    estimate then. Raises InputError with the reason where another check fails.
    """
    checks = preflight(log, played_by_log(log), None, [policy], unit=unit, accept=accept)
    if checks.refusal:
        raise InputError(checks.refusal)
    rows = estimates.estimate_policy(log, policy, vectors, names=names, delta=delta, unit=unit)
    failed = tuple(line for line in checks.lines if "FAILED" in line)
    return [
        replace(row, interval=replace(row.interval, assumptions=(*row.interval.assumptions, *failed)))
        for row in rows
    ]


class SpentBefore(TypedDict, total=False):
    """What was opened before."""

    spent: Collection[str] | Spent


class GateOptions(SpentBefore, total=False):
    """What `gate.certify` takes by name."""

    existing: Bools | None
    chains: Sequence[int]


def certify(
    candidates: Sequence[Policy],
    parts: Split,
    settings: GateSettings = GateSettings(),
    *,
    accept: Collection[str] = (),
    new: Bools | None = None,
    **options: Unpack[GateOptions],
) -> list[Certificate]:
    """`gate.certify`, after the checks that `tastemaker explore certify` makes: of the log that was split,
    and of the weights of the first candidate of each chain on S2 and S3.

    accept: names of checks that may fail, which stand on the certificates then. Where another one fails no
    row is opened, and every certificate says why. new (A,): what the catalogue says the logger never plays.
    Raises InputError as `gate.certify`.
    """
    if not candidates:
        raise InputError("there is no candidate to certify")
    chains, existing = options.get("chains", ()), options.get("existing")
    first = [candidates[place] for place in np.cumsum([0, *chains[:-1]]) if place < len(candidates)]
    checks = gate_preflight(parts, first, existing, new, unit=settings.unit, accept=accept)
    if checks.refusal:
        certificates = unopened(candidates, parts, settings, existing, checks.refusal)
    else:
        certificates = open_gate(candidates, parts, settings, **options)
    return [replace(item, checks=checks.lines, accepted=checks.accepted) for item in certificates]
