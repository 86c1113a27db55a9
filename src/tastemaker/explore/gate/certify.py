"""The gate: what a log says about each candidate, tests in a fixed sequence from the logger towards novelty,
each once at level delta on rows opened for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.bounds import lower_bound
from tastemaker.explore.estimate import Contributions
from tastemaker.explore.estimate.weights import (
    PREFIX,
    SUPPORT,
    assumptions,
    prefix_weights,
    reference_weights,
    weights,
)
from tastemaker.explore.gate.certificate import Certificate, Comparison
from tastemaker.explore.gate.features import Believed
from tastemaker.explore.policy import Policy
from tastemaker.explore.support import least_rewarded
from tastemaker.explore.table import Log, Split
from tastemaker.stats import betting

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Support = Literal["logged", "prefix", "features"]
SUPPORTS: tuple[Support, ...] = ("logged", "prefix", "features")

TEST = "paired betting"
# weights beyond it count as this much in the bounds that need a range; the bound stays one from below
CLIP = 100.0

_ROWS = "rows of different users (or requests) are independent, and rewards lie between 0 and r_max"
_FEATURES = (
    "rewards of new items follow the same linear model of the item vectors as those of shown items, in any"
    " context"
)


@dataclass(frozen=True)
class GateSettings:
    """What is claimed: V(pi) - c V0 >= margin and V(pi) >= floor V0, each candidate at level delta. support:
    what counts.

    cap: U, a constant no smaller than pi0/mixture on any row that a mixture logged, known before the rows.
    Raises InputError on c or floor outside (0, 1], delta outside (0, 1), cap below 1, an unknown support.
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
        if self.support not in SUPPORTS:
            raise InputError(f"support '{self.support}' is unknown; choose one of {', '.join(SUPPORTS)}")
        if not math.isfinite(self.margin) or not 1 <= self.cap < math.inf:
            raise InputError(f"margin {self.margin} and cap {self.cap} must be finite, the cap at least 1")


@dataclass(frozen=True)
class Evidence:
    """own (n,): contributions to V(pi); logger (n,): to V0; weight (n,): of the policy; cap: U, a bound on
    pi0/logger.
    """

    own: Floats
    logger: Floats
    weight: Floats
    r_max: float
    cap: float
    assumptions: tuple[str, ...]

    def paired(self, c: float) -> Floats:
        """g (n,) = own - c logger, with mean V(pi) - c V0 as far as the support reaches."""
        return self.own - c * self.logger

    def low(self, c: float) -> float:
        """The smallest value g can take, -c r_max U: a constant known before the rows."""
        return -c * self.r_max * self.cap


def collect(
    policy: Policy,
    log: Log,
    support: Support = "logged",
    *,
    cap: float = 1.0,
    believed: Believed | None = None,
) -> Evidence:
    """Evidence about `policy` on the rows of `log`; both c of a gate are read from it, so weights are
    computed once.

    cap: U, what pi0/propensity never exceeds where a mixture logged the rows (`Log.reference`); 1 where pi0
    did. believed: lower bounds of the rewards of new items, for support "features". Raises InputError on a
    missing denominator or model, a log-probability above 0, and a row whose pi0 weight exceeds `cap`. Source:
    the specification, 3.1, 3.2, 3.4.
    """
    weight = prefix_weights(log, policy) if support == "prefix" else weights(log, policy)
    own, notes = weight * log.reward, [_ROWS, *assumptions(log), PREFIX if support == "prefix" else SUPPORT]
    if support == "features":
        if believed is None:
            raise InputError(
                'support "features" needs bounds on the rewards of new items; fit them on other rows first'
            )
        own = own + policy.expect(log.context, believed.block)
        notes[-1:] = [_FEATURES, believed.note]
    largest = 1.0 if log.reference is None else cap
    return Evidence(own, reference_weights(log, cap) * log.reward, weight, log.r_max, largest, tuple(notes))


def certify(
    candidates: Sequence[Policy],
    parts: Split,
    settings: GateSettings = GateSettings(),
    *,
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
        in an order fixed without S3: from the logger towards novelty, for instance `build_candidates`.
    parts
        of a log, from `split`: rows to choose on, and rows to open once. Neither may have taught a candidate.
        The digests of the split and of S3 are spent afterwards.
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
    s2, s3 = parts.choose, parts.certify
    for mark in (s3.hash, parts.digest):
        if mark in spent:
            raise InputError(
                f"the rows of S3 ({mark[:12]}) were opened before; a test on them again means nothing."
                " Collect new rows"
            )
    if settings.support == "features" and existing is None:
        raise InputError(
            'support "features" needs `existing`, the actions that the logger plays: new items are all others'
        )
    judge = _Judge(settings, parts, _seen(s2, s3) if existing is None else existing, believed)
    if not s3.rewarded or not s2.rewarded:
        return [judge.untested(policy, judge.no_rewards()) for policy in candidates]
    start = int(np.argmax([judge.growth(policy) for policy in candidates]))
    certificates: list[Certificate] = []
    stopped = False
    for place, policy in enumerate(candidates):
        if place < start:
            reason = f"not tested: S2 starts the sequence at candidate {start + 1}"
            certificates.append(judge.untested(policy, reason))
        elif stopped:
            certificates.append(judge.untested(policy, "not tested: a candidate before it failed"))
        else:
            certificates.append(judge.tested(policy))
            stopped = not certificates[-1].passed
    return certificates


@dataclass(frozen=True)
class _Judge:
    settings: GateSettings
    parts: Split
    existing: Flags
    believed: Believed | None

    def evidence(self, policy: Policy, log: Log) -> Evidence:
        return collect(policy, log, self.settings.support, cap=self.settings.cap, believed=self.believed)

    def growth(self, policy: Policy) -> float:
        evidence, at = self.evidence(policy, self.parts.choose), self.settings
        return log_growth(evidence.paired(at.c), at.margin, evidence.low(at.c))

    def no_rewards(self) -> str:
        needed = least_rewarded(min(self.settings.c, 0.999), self.settings.delta)
        s2, s3 = self.parts.choose, self.parts.certify
        return (
            f"refused: {s3.rewarded} of {len(s3)} rows of S3 and {s2.rewarded} of {len(s2)} of S2"
            f" have a reward; no test can pass without. Policies close to the logger need about {needed}"
            " fully rewarded rows in S3"
        )

    def untested(self, policy: Policy, reason: str) -> Certificate:
        """What can be said without opening S3: nothing about rewards."""
        s3, at, nan = self.parts.certify, self.settings, float("nan")
        mass = float(policy.mass(s3.context, self.existing).mean())
        return Certificate(
            policy_hash=policy.fingerprint(),
            log_hash=s3.hash,
            split_hash=self.parts.digest,
            c=at.c,
            floor=at.floor,
            margin=at.margin,
            delta=at.delta,
            test=TEST,
            lcb=nan,
            floor_lcb=nan,
            e_value=nan,
            ratio=nan,
            support=at.support,
            on_support_mass=mass,
            novelty=1.0 - mass,
            max_weight=nan,
            ess=nan,
            n=len(s3),
            n_rewarded=s3.rewarded,
            cap=1.0 if s3.reference is None else at.cap,
            tested=False,
            passed=False,
            reason=reason,
            assumptions=(),
        )

    def tested(self, policy: Policy) -> Certificate:
        at, evidence = self.settings, self.evidence(policy, self.parts.certify)
        gains, low = evidence.paired(at.c), evidence.low(at.c)
        lcb = betting.lower(gains, at.delta, low, anchor=0.0)
        floor_lcb = betting.lower(evidence.paired(at.floor), at.delta, evidence.low(at.floor), anchor=0.0)
        log_e = betting.log_wealth(gains, at.margin, low, anchor=0.0)
        squares = float(np.square(evidence.weight).sum())
        return replace(
            self.untested(policy, _verdict(lcb, floor_lcb, at)),
            lcb=lcb,
            floor_lcb=floor_lcb,
            e_value=math.exp(min(log_e, 700.0)),
            ratio=float(evidence.own.mean() / evidence.logger.mean()),
            max_weight=float(evidence.weight.max()),
            ess=float(evidence.weight.sum()) ** 2 / squares if squares else 0.0,
            tested=True,
            passed=lcb >= at.margin and floor_lcb >= 0,
            assumptions=evidence.assumptions,
            comparisons=compare(evidence, at),
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


def compare(evidence: Evidence, at: GateSettings) -> tuple[Comparison, ...]:
    """Student t, paired t, Bernstein and Hoeffding of the same claim; they decide nothing.

    The first takes c times the mean logged reward as a known number, as published tests do. Bernstein and
    Hoeffding need a
    range: weights are clipped at 100, which can only lower them. Source: Maurer and Pontil, 0907.3740,
    theorem 4.
    """
    gains, threshold = evidence.paired(at.c), at.c * float(evidence.logger.mean())
    clipped = np.minimum(evidence.own, CLIP * evidence.r_max) - at.c * evidence.logger
    own = Contributions(evidence.own, evidence.weight, 0.0, math.inf)
    paired = Contributions(gains, evidence.weight, evidence.low(at.c), math.inf)
    ranged = Contributions(clipped, evidence.weight, evidence.low(at.c), CLIP * evidence.r_max)
    bounds = [
        ("Student t", lower_bound(own, at.delta, "t").low - threshold, "c V0 taken as known"),
        ("paired t", lower_bound(paired, at.delta, "t").low, "right for many rows only"),
        ("Bernstein", lower_bound(ranged, at.delta, "bernstein").low, f"weights clipped at {CLIP:g}"),
        ("Hoeffding", lower_bound(ranged, at.delta, "hoeffding").low, f"weights clipped at {CLIP:g}"),
    ]
    return tuple(Comparison(name, lcb, bool(lcb >= at.margin), note) for name, lcb, note in bounds)
