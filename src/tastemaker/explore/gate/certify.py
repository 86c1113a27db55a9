"""The gate: candidates tested in a fixed sequence towards novelty, each once at delta on opened rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from tastemaker.arrays import Bools, Floats
from tastemaker.errors import InputError, many
from tastemaker.explore.bounds import PLURALS, Contributions, Sums, Units, check_kind, lower_bound, too_few
from tastemaker.explore.estimate.weighting import (
    PREFIX,
    SUPPORT,
    OwnPolicy,
    assumptions,
    on_support,
    policy_mark,
    prefix_weights,
    reference_weights,
    weights,
)
from tastemaker.explore.gate.certificate import Certificate, Comparison
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.rows import Columns, Marks, spent_again, told_again
from tastemaker.explore.support import least_rewarded
from tastemaker.explore.table import Log, Split
from tastemaker.stats.intervals import effective_size

Support = Literal["logged", "prefix"]
SUPPORTS: tuple[Support, ...] = ("logged", "prefix")

TEST = "paired betting"
SPENT = "{} opened before; a test on them again means nothing. Collect new rows"

_UNITS = "what different {} do is independent, however much the rows of one depend on each other"
_RANGE = "rewards lie between 0 and r_max"
STATIONARY = (
    "rewards do not change between the log and the deployment: whoever comes, and what they like, stays as it"
    " was (stationarity)"
)
OWN = (
    "the policy was made without these rows, and its column holds what it gives the shown actions; its"
    " novelty is estimated, as what their mean weight lacks of 1"
)


@dataclass(frozen=True)
class GateSettings:
    """What is claimed: V(pi) - c V0 >= margin and V(pi) >= floor V0, each candidate at level delta. support:
    what counts.

    cap: U, a constant no smaller than pi0/mixture on any row that a mixture logged, known before the rows.
    unit: user, request or row, what is independent; default: the first of them that the log knows. most_rows:
    a unit of more rows counts as that many; default: the most that one has on S1 and S2. Raises InputError on
    c or floor outside (0, 1], delta outside (0, 1), cap below 1, an unknown support.
    """

    c: float = 0.95
    delta: float = 0.05
    margin: float = 0.0
    floor: float = 0.90
    support: Support = "logged"
    cap: float = 1.0
    unit: str = ""
    most_rows: int | None = None

    def __post_init__(self) -> None:
        check_kind(self.unit)
        if self.most_rows is not None and self.most_rows < 1:
            raise InputError(f"most_rows is {self.most_rows}; a person counts as one row at least")
        for name, value in (("c", self.c), ("floor", self.floor)):
            if not 0 < value <= 1:
                raise InputError(
                    f"{name} is {value}; give the share of the logger's value to keep, above 0 and at most 1"
                )
        if not 0 < self.delta < 0.5:
            raise InputError(f"delta is {self.delta}; give an error probability below .5, such as .05")
        if self.support not in SUPPORTS:
            raise InputError(f"support '{self.support}' is unknown; choose one of {', '.join(SUPPORTS)}")
        if not math.isfinite(self.margin) or not 1 <= self.cap < math.inf:
            raise InputError(f"margin {self.margin} and cap {self.cap} must be finite, the cap at least 1")


@dataclass(frozen=True, eq=False)
class Spent:
    """What was opened before: digests of splits and of their S3, and marks of rows (`rows.spent_marks`),
    and of their columns (`rows.column_marks`), gate by gate.
    """

    digests: Collection[str] = ()
    marks: Marks | None = None
    columns: Sequence[Columns] = ()

    def refuse(self, parts: Split) -> None:
        """Raises InputError when the last part was opened before, wholly or in part."""
        rows = parts.certify
        for digest in (rows.hash, parts.digest):
            if digest in self.digests:
                raise InputError(SPENT.format(f"the rows of S3 ({digest[:12]}) were"))
        again = 0 if self.marks is None else spent_again(rows, self.marks)
        again = again or told_again(rows, self.columns, parts.whole)
        if again:
            raise InputError(SPENT.format(f"{again:,} of the {many(len(rows), 'row')} of S3 were"))


@dataclass(frozen=True)
class Evidence:
    """own (n,): contributions to V(pi); logger (n,): to V0; weight (n,): of the policy; cap: U, a bound on
    pi0/logger; units: who the rows are of, each counted as `most` rows at most.
    """

    own: Floats
    logger: Floats
    weight: Floats
    r_max: float
    cap: float
    assumptions: tuple[str, ...]
    units: Units
    most: int | None = None

    def sums(self, c: float) -> Sums:
        """`paired` summed by unit."""
        return self.units.sums(self.paired(c), self.most)

    def growth(self, c: float, margin: float = 0.0) -> float:
        """Mean log-growth of wealth a row, log W(margin) / n: what the start of the sequence is chosen by."""
        return self.sums(c).log_wealth(margin, self.low(c)) / len(self.own)

    def paces(self, c: float, margin: float, largest: int) -> dict[int, float]:
        """Mean log-growth of the wealth a person, by the rows that a person counts as at most: 1, 2, 3, 5, 8
        ... up to `largest`. The fewer, the less of the range that a bet must allow for is left
        unused by persons of few rows, and the more their average says.
        """
        value, low = self.paired(c), self.low(c)
        ladder = [1, 2]
        while ladder[-1] < largest:
            ladder.append(ladder[-1] + ladder[-2])
        mosts = [most for most in ladder if most < largest] + [largest]
        return {
            most: self.units.sums(value, most).log_wealth(margin, low) / self.units.count for most in mosts
        }

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
    unit: str = "",
    most_rows: int | None = None,
) -> Evidence:
    """Evidence about `policy` on the rows of `log`; both c of a gate are read from it.

    cap: U, what pi0/propensity never exceeds where a mixture logged the rows (`Log.reference`); 1 where pi0
    did. unit, most_rows: as in `GateSettings`. Raises InputError on a missing denominator, a log-probability
    above 0, and a row whose pi0 weight exceeds `cap`. Source: the specification, 3.1, 3.2, 3.4.
    """
    weight = prefix_weights(log, policy) if support == "prefix" else weights(log, policy)
    units = log.units(unit)
    notes = [_UNITS.format(PLURALS[units.kind]), _RANGE, STATIONARY, *assumptions(log)]
    own, notes = weight * log.reward, [*notes, PREFIX if support == "prefix" else SUPPORT]
    if isinstance(policy, OwnPolicy):
        notes.append(OWN)
    largest, logger = 1.0 if log.reference is None else cap, reference_weights(log, cap) * log.reward
    return Evidence(own, logger, weight, log.r_max, largest, tuple(notes), units, most_rows)


def certify(
    candidates: Sequence[Policy],
    parts: Split,
    settings: GateSettings = GateSettings(),
    *,
    spent: Collection[str] | Spent = (),
    existing: Bools | None = None,
    chains: Sequence[int] = (),
) -> list[Certificate]:
    """One certificate a candidate, in their order.

    Fixed-sequence testing: S2 picks where to start (largest mean log-growth of the wealth), then candidates
    are tested on S3 in their order, each at the full delta, until the first failure. Of several chains the
    first has most of delta and the others the rest; a chain that passed to its end hands its part on, and one
    that failed leaves the next its own (fallback). An unsafe candidate passes with probability delta at most.

    candidates: in an order fixed without S3: from the logger towards novelty, for instance
        `build_candidates`.
    parts: of a log, from `split`: rows to choose on, and rows to open once. Neither may have taught a
        candidate. The digests of the split and of S3 are spent afterwards.
    spent: digests already spent (`Ledger.spent`), or a `Spent`, which knows single rows in whatever order and
        by whatever key.
    existing: (A,) actions that pi0 plays; default: those in S2 or S3.
    chains: lengths of the chains that `candidates` falls into, each from safe to novel; default: one.

    Raises InputError when S3 was opened before, or as `GateSettings` and `collect`. Source: Angelopoulos et
    al., 2110.01052 (fixed-sequence testing); Wiens and Dmitrienko 2005 (fallback); Waudby-Smith and Ramdas,
    2010.09686 (betting); the specification, sections 3.2 and 3.3.
    """
    if not candidates:
        raise InputError("there is no candidate to certify")
    if sum(chains) not in (0, len(candidates)) or min(chains, default=1) < 1:
        raise InputError(f"chains of {list(chains)} candidates do not make {len(candidates)}")
    s2, s3 = parts.choose, parts.certify
    (spent if isinstance(spent, Spent) else Spent(spent)).refuse(parts)
    judge = _Judge(settings, parts, _seen(s2, s3) if existing is None else existing)
    refusal = judge.no_basis()
    if refusal:
        return [judge.untested(policy, refusal) for policy in candidates]
    certificates: list[Certificate] = []
    lengths, left = list(chains) or [len(candidates)], 0.0
    for place, length in enumerate(lengths):
        first = len(certificates)
        own = settings.delta * 2.0 ** (len(lengths) - 1 - place) / (2.0 ** len(lengths) - 1)
        chain = judge.chain(candidates[first : first + length], own + left, first)
        certificates += chain
        left = own + left if chain[-1].passed else 0.0
    return certificates


def unopened(
    candidates: Sequence[Policy], parts: Split, settings: GateSettings, existing: Bools | None, reason: str
) -> list[Certificate]:
    """Certificates that say why no row was opened."""
    judge = _Judge(settings, parts, _seen(parts.choose, parts.certify) if existing is None else existing)
    return [judge.untested(policy, reason) for policy in candidates]


@dataclass(frozen=True)
class _Judge:
    settings: GateSettings
    parts: Split
    existing: Bools

    def evidence(self, policy: Policy, log: Log) -> Evidence:
        at = self.settings
        return collect(policy, log, at.support, cap=at.cap, unit=at.unit, most_rows=self.most)

    @cached_property
    def most(self) -> int:
        """Rows that one unit counts as at most: fixed without S3."""
        if self.settings.most_rows is not None:
            return self.settings.most_rows
        parts, unit = self.parts, self.settings.unit
        return max(parts.learn.units(unit).most, parts.choose.units(unit).most)

    @cached_property
    def units(self) -> Units:
        """Those of S3."""
        return self.parts.certify.units(self.settings.unit)

    def no_basis(self) -> str:
        """Why no candidate can be tested at all, else empty."""
        s2, s3 = self.parts.choose, self.parts.certify
        few = too_few(self.units, "S3")
        if few:
            return f"refused: {few}"
        if s3.rewarded and s2.rewarded:
            return ""
        needed = least_rewarded(min(self.settings.c, 0.999), self.settings.delta)
        return (
            f"refused: {s3.rewarded} of {many(len(s3), 'row')} of S3 and {s2.rewarded} of {len(s2)} of S2"
            f" have a reward; no test can pass without. Policies close to the logger need about {needed}"
            " fully rewarded rows in S3"
        )

    def chain(self, candidates: Sequence[Policy], delta: float, first: int) -> list[Certificate]:
        """Certificates of one chain at `delta`, from S2's start until one fails. first: candidates before."""
        at = self.settings
        growths = [self.evidence(policy, self.parts.choose).growth(at.c, at.margin) for policy in candidates]
        start, stopped = int(np.argmax(growths)), False
        certificates = []
        for place, policy in enumerate(candidates):
            if place < start:
                reason = f"not tested: S2 starts the sequence at candidate {first + start + 1}"
                certificates.append(self.untested(policy, reason))
            elif stopped:
                certificates.append(self.untested(policy, "not tested: a candidate before it failed"))
            else:
                certificates.append(self.tested(policy, delta))
                stopped = not certificates[-1].passed
        return certificates

    def untested(self, policy: Policy, reason: str) -> Certificate:
        """What can be said without opening S3: nothing about rewards."""
        s3, at, nan = self.parts.certify, self.settings, float("nan")
        mass = float(on_support(s3, policy, self.existing).mean())
        if isinstance(policy, OwnPolicy):  # known by the shown actions alone: what their weights add up to
            mass = min(1.0, float(weights(s3, policy).mean()))
        return Certificate(
            policy_hash=policy_mark(s3, policy),
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
            unit=self.units.kind,
            units=self.units.count,
            most_rows=self.most,
        )

    def tested(self, policy: Policy, delta: float) -> Certificate:
        """The verdict about one candidate, at its part of the gate's delta."""
        at, evidence = replace(self.settings, delta=delta), self.evidence(policy, self.parts.certify)
        sums, low = evidence.sums(at.c), evidence.low(at.c)
        lcb = sums.lower(delta, low)
        floor_lcb = evidence.sums(at.floor).lower(delta, evidence.low(at.floor))
        log_e = sums.log_wealth(at.margin, low)
        return replace(
            self.untested(policy, _verdict(lcb, floor_lcb, at)),
            delta=delta,
            lcb=lcb,
            floor_lcb=floor_lcb,
            e_value=math.exp(min(log_e, 700.0)),
            ratio=_ratio(evidence, slice(None)),
            max_weight=float(evidence.weight.max()),
            ess=effective_size(evidence.weight),
            tested=True,
            passed=lcb >= at.margin and floor_lcb >= 0,
            assumptions=evidence.assumptions,
            comparisons=compare(evidence, at),
            halves=_halves(evidence, self.parts.certify),
        )


def _seen(s2: Log, s3: Log) -> Bools:
    seen = np.zeros(s3.n_actions, dtype=bool)
    seen[s2.action] = seen[s3.action] = True
    return seen


def _ratio(evidence: Evidence, rows: slice | Bools) -> float:
    """Estimate of V(pi)/V0 on some rows; nan where the logger earned nothing there."""
    earned = float(evidence.logger[rows].sum())
    return float(evidence.own[rows].sum()) / earned if earned > 0 else math.nan


def _halves(evidence: Evidence, log: Log) -> tuple[float, float] | None:
    """V(pi)/V0 on the first and the second half of the time; None where no times are known."""
    early = log.early
    return None if early is None else (_ratio(evidence, early), _ratio(evidence, ~early))


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
    """Student t and paired t of the same claim; they decide nothing. The first takes c times the mean logged
    reward as a known number, as published tests do.
    """
    own, paired = (
        lower_bound(Contributions(value, evidence.weight, low, units=evidence.units), at.delta, "t").low
        for value, low in ((evidence.own, 0.0), (evidence.paired(at.c), evidence.low(at.c)))
    )
    bounds = [
        ("Student t", own - at.c * float(evidence.logger.mean()), "c V0 taken as known"),
        ("paired t", paired, "right for many rows only"),
    ]
    return tuple(Comparison(name, lcb, bool(lcb >= at.margin), note) for name, lcb, note in bounds)
