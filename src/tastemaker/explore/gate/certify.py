"""The gate: candidates in order from the logger towards novelty, each tested once at level delta on rows
opened for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.bounds import lower_bound
from tastemaker.explore.estimate import Contributions
from tastemaker.explore.gate.certificate import Beside, Certificate
from tastemaker.explore.gate.evidence import Evidence, Support, collect
from tastemaker.explore.gate.features import Believed
from tastemaker.explore.policy import Policy
from tastemaker.explore.support import least_rewarded
from tastemaker.explore.table import Log
from tastemaker.stats import betting

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

TEST = "paired betting"
# weights beyond it count as this much in the bounds that need a range; the bound stays one from below
CLIP = 100.0


@dataclass(frozen=True)
class GateSettings:
    """What is claimed: V(pi) - c V0 >= margin and V(pi) >= floor V0, each candidate at level delta. support:
    what counts.

    cap: U, a constant no smaller than pi0/mixture on any row that a mixture logged, known before the rows.
    Raises InputError on c or floor outside (0, 1], delta outside (0, 1), cap below 1.
    """

    c: float = 0.95
    delta: float = 0.05
    margin: float = 0.0
    floor: float = 0.90
    support: Support = "logged"
    cap: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("c", self.c), ("floor", self.floor)):
            if not 0 < value <= 1:
                raise InputError(
                    f"{name} is {value}; give the share of the logger's value to keep, above 0 and at most 1"
                )
        if not 0 < self.delta < 1:
            raise InputError(f"delta is {self.delta}; give an error probability above 0 and below 1")
        if not math.isfinite(self.margin) or not 1 <= self.cap < math.inf:
            raise InputError(f"margin {self.margin} and cap {self.cap} must be finite, the cap at least 1")


def certify(
    candidates: Sequence[Policy],
    s2: Log,
    s3: Log,
    settings: GateSettings = GateSettings(),
    *,
    split_hash: str,
    spent: Collection[str] = (),
    existing: Flags | None = None,
    believed: Believed | None = None,
) -> list[Certificate]:
    """One certificate a candidate, in their order; the last one that passed is the most novel policy that may
    go live.

    Fixed-sequence testing: S2 picks where to start (largest mean log-growth of the wealth), then candidates
    are tested on S3 in their order, each at the full delta, until the first failure. The probability that any
    unsafe one passes is at most delta.

    Parameters
    ----------
    candidates
        in an order fixed without S3: from the logger towards novelty, for instance a path of falling
        regularisation.
    s2, s3
        rows to choose on, and rows to open once. Neither may have taught a candidate.
    split_hash
        of the split that made them; it and the digest of S3 are spent afterwards.
    spent
        digests already spent (`Ledger.spent`).
    existing
        (A,) actions that pi0 plays; default: those in S2 or S3. Needed for support "features".
    believed
        see `features.believe`; fitted on rows outside S3.

    Raises InputError when S3 was opened before, or as `GateSettings` and `collect`. Source: Angelopoulos et
    al., 2110.01052 (fixed-sequence testing); Waudby-Smith and Ramdas, 2010.09686 (betting); the
    specification, sections 3.2 and 3.3.
    """
    if not candidates:
        raise InputError("there is no candidate to certify")
    for mark in (s3.hash, split_hash):
        if mark in spent:
            raise InputError(
                f"the rows of S3 ({mark[:12]}) were opened before; a test on them again means nothing."
                " Collect new rows"
            )
    if settings.support == "features" and existing is None:
        raise InputError(
            'support "features" needs `existing`, the actions that the logger plays: new items are all others'
        )
    known = _seen(s2, s3) if existing is None else existing
    judge = _Judge(settings, s3, split_hash, known, believed)
    if not s3.rewarded or not s2.rewarded:
        return [judge.untested(one, judge.no_rewards(s2)) for one in candidates]
    start = int(np.argmax([judge.growth(one, s2) for one in candidates]))
    found, stopped = [], False
    for place, policy in enumerate(candidates):
        if place < start:
            found.append(
                judge.untested(policy, f"not tested: S2 starts the sequence at candidate {start + 1}")
            )
        elif stopped:
            found.append(judge.untested(policy, "not tested: a candidate before it failed"))
        else:
            found.append(judge.tested(policy))
            stopped = not found[-1].passed
    return found


@dataclass(frozen=True)
class _Judge:
    settings: GateSettings
    s3: Log
    split_hash: str
    known: Flags
    believed: Believed | None

    def evidence(self, policy: Policy, log: Log) -> Evidence:
        return collect(policy, log, self.settings.support, cap=self.settings.cap, believed=self.believed)

    def growth(self, policy: Policy, log: Log) -> float:
        found, at = self.evidence(policy, log), self.settings
        return log_growth(found.paired(at.c), at.margin, found.low(at.c))

    def no_rewards(self, s2: Log) -> str:
        needed = least_rewarded(min(self.settings.c, 0.999), self.settings.delta)
        return (
            f"refused: {self.s3.rewarded} of {len(self.s3)} rows of S3 and {s2.rewarded} of {len(s2)} of S2"
            f" have a reward; no test can pass without. Policies close to the logger need about {needed}"
            " fully rewarded rows in S3"
        )

    def untested(self, policy: Policy, reason: str) -> Certificate:
        """What can be said without opening S3: nothing about rewards."""
        mass = float(policy.mass(self.s3.context, self.known).mean())
        at, nan = self.settings, float("nan")
        cap = 1.0 if self.s3.reference is None else at.cap
        return Certificate(
            policy.fingerprint(),
            self.s3.hash,
            self.split_hash,
            at.c,
            at.floor,
            at.margin,
            at.delta,
            TEST,
            nan,
            nan,
            nan,
            nan,
            at.support,
            mass,
            1.0 - mass,
            nan,
            nan,
            len(self.s3),
            self.s3.rewarded,
            cap,
            False,
            False,
            reason,
            (),
        )

    def tested(self, policy: Policy) -> Certificate:
        at, found = self.settings, self.evidence(policy, self.s3)
        gains, low = found.paired(at.c), found.low(at.c)
        lcb = betting.lower(gains, at.delta, low, anchor=0.0)
        floor_lcb = betting.lower(found.paired(at.floor), at.delta, found.low(at.floor), anchor=0.0)
        log_e = betting.log_wealth(gains, at.margin, low, anchor=0.0)
        squares = float(np.square(found.weight).sum())
        return replace(
            self.untested(policy, _verdict(lcb, floor_lcb, at)),
            lcb=lcb,
            floor_lcb=floor_lcb,
            e_value=math.exp(min(log_e, 700.0)),
            ratio=float(found.own.mean() / found.logger.mean()),
            max_weight=float(found.weight.max()),
            ess=float(found.weight.sum()) ** 2 / squares if squares else 0.0,
            tested=True,
            passed=lcb >= at.margin and floor_lcb >= 0,
            assumptions=found.assumptions,
            beside=beside(found, at),
        )


def _seen(s2: Log, s3: Log) -> Flags:
    seen = np.zeros(s3.n_actions, dtype=bool)
    seen[s2.action] = seen[s3.action] = True
    return seen


def log_growth(gains: Floats, margin: float, low: float) -> float:
    """Mean log-growth of the wealth a row, log W(margin) / n: what the start of the sequence is chosen by."""
    return betting.log_wealth(gains, margin, low, anchor=0.0) / len(gains)


def _verdict(lcb: float, floor_lcb: float, at: GateSettings) -> str:
    if lcb < at.margin:
        return (
            f"refused: the lower bound of V(pi) - {at.c:g} V0 is {lcb:.6g}, below the margin {at.margin:.6g}"
        )
    if floor_lcb < 0:
        return (
            f"refused: the lower bound of V(pi) - {at.floor:g} V0 is {floor_lcb:.6g}, below 0, the floor of"
            " any deployment"
        )
    return f"passed: V(pi) - {at.c:g} V0 is at least {lcb:.6g} with probability {1 - at.delta:g}"


def beside(found: Evidence, at: GateSettings) -> tuple[Beside, ...]:
    """Student t, paired t, Bernstein and Hoeffding of the same claim; they decide nothing.

    The first takes c times the mean logged reward as a known number, as published tests do. Bernstein and
    Hoeffding need a
    range: weights are clipped at 100, which can only lower them. Source: Maurer and Pontil, 0907.3740,
    theorem 4.
    """
    gains, threshold = found.paired(at.c), at.c * float(found.logger.mean())
    clipped = np.minimum(found.own, CLIP * found.r_max) - at.c * found.logger
    own = Contributions(found.own, found.weight, 0.0, math.inf)
    paired = Contributions(gains, found.weight, found.low(at.c), math.inf)
    ranged = Contributions(clipped, found.weight, found.low(at.c), CLIP * found.r_max)
    bounds = [
        ("Student t", lower_bound(own, at.delta, "t").low - threshold, "c V0 taken as known"),
        ("paired t", lower_bound(paired, at.delta, "t").low, "right for many rows only"),
        ("Bernstein", lower_bound(ranged, at.delta, "bernstein").low, f"weights clipped at {CLIP:g}"),
        ("Hoeffding", lower_bound(ranged, at.delta, "hoeffding").low, f"weights clipped at {CLIP:g}"),
    ]
    return tuple(Beside(name, lcb, bool(lcb >= at.margin), note) for name, lcb, note in bounds)
