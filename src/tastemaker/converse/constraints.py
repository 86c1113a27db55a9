"""Executable requests: what was asked, turn by turn, and which items of the catalogue satisfy it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.schema.values import SPAN

Op = Literal["add", "replace", "drop"]
Strength = Literal["must", "must_not", "prefer"]
Medium = Literal["text", "audio", "image"]
ClauseValue = str | float | tuple[str, ...] | tuple[float, float]
COMPARISONS = ("eq", "in", "le", "ge", "between", "contains", "similar_to", "same_group", "either")
RARE, MANY = 3, 20  # how many items fit a first request for one thing, and for many


@dataclass(frozen=True)
class Clause:
    """A field compared with a value; `similar_to` and `same_group` compare with an item, whose id is the
    value. `either`: of several fields; see `schema.values.EITHER`.
    """

    field: str
    cmp: str
    value: ClauseValue

    def __post_init__(self) -> None:
        """Unknown comparisons and values of the wrong shape are refused."""
        if self.cmp not in COMPARISONS:
            raise InputError(f"comparison '{self.cmp}' is not known; choose from {', '.join(COMPARISONS)}")
        if self.cmp == "between" and not (isinstance(self.value, tuple) and len(self.value) == 2):
            raise InputError(f"between needs two numbers; got {self.value!r} for field '{self.field}'")
        if self.cmp in ("le", "ge") and not isinstance(self.value, int | float):
            raise InputError(f"{self.cmp} needs a number; got {self.value!r} for field '{self.field}'")


@dataclass(frozen=True)
class Constraint:
    """An active constraint: how strong, what, and whether it was said in words, sound or picture."""

    kind: Strength
    clause: Clause
    medium: Medium = "text"
    reference: str | None = None

    @property
    def added(self) -> Change:
        """The change that adds this."""
        return Change("add", self.kind, self.clause, self.reference, self.medium)


@dataclass(frozen=True)
class Change:
    """One line of a turn's `delta`; `drop` removes all constraints on the clause's field."""

    op: Op
    kind: Strength
    clause: Clause
    reference: str | None = None
    medium: Medium = "text"

    @property
    def attached(self) -> bool:
        """Whether this asks for what an attachment shows."""
        return self.medium != "text" and self.reference is None and self.op != "drop"

    @property
    def constraint(self) -> Constraint:
        """The constraint that adding this leaves active."""
        return Constraint(self.kind, self.clause, self.medium, self.reference)


Match = Callable[[Sequence[Clause]], npt.NDArray[np.int8]]
Rows = npt.NDArray[np.int64]


def merge(active: Sequence[Constraint], changes: Iterable[Change]) -> tuple[Constraint, ...]:
    """C_t = merge(C_{t-1}, delta_t): added constraints come last; replacing removes what stood on the field
    first; none comes twice.
    """
    merged = list(active)
    for change in changes:
        if change.op in ("replace", "drop"):
            merged = [old for old in merged if old.clause.field != change.clause.field]
        if change.op in ("add", "replace") and change.constraint not in merged:
            merged.append(change.constraint)
    return tuple(merged)


def demands(active: Iterable[Constraint]) -> list[Constraint]:
    """The constraints that an item must satisfy; preferences are none."""
    return [constraint for constraint in active if constraint.kind != "prefer"]


def granted(constraint: Constraint, match: Match) -> npt.NDArray[np.int8]:
    """(N,) 1 where the constraint is granted, 0 where not, -1 where unknown (which grants nothing)."""
    hits = match([constraint.clause])
    return np.where(hits < 0, hits, 1 - hits).astype(np.int8) if constraint.kind == "must_not" else hits


@dataclass(frozen=True, eq=False)
class Adherence:
    """(N,) holds: every demand is granted. unknown: not so, but only for want of knowledge. failures: demands
    not granted.
    """

    holds: npt.NDArray[np.bool_]
    unknown: npt.NDArray[np.bool_]
    failures: npt.NDArray[np.int64]


def adhere(active: Sequence[Constraint], match: Match, n_items: int) -> Adherence:
    """Every item against the active constraints: a must has to be 1, a must_not 0; "not known" fails both and
    is counted apart.
    """
    table = np.array([granted(demand, match) for demand in demands(active)], np.int8).reshape(-1, n_items)
    failures = (table != 1).sum(axis=0)
    no = (table == 0).any(axis=0)
    return Adherence(failures == 0, (failures > 0) & ~no, failures)


def fit_set(holds: npt.NDArray[np.bool_], families: Rows, played: Collection[int]) -> Rows:
    """F_t: rows that adhere and whose family was not played yet; `families` (N,) codes, `played` codes."""
    free = (
        ~np.isin(families, np.fromiter(played, np.int64, len(played)))
        if played
        else np.ones(len(holds), bool)
    )
    return np.flatnonzero(holds & free)


def count_fits(active: Sequence[Constraint], match: Match, families: Rows, played: Collection[int]) -> int:
    """n_t = |F_t|."""
    return len(fit_set(adhere(active, match, len(families)).holds, families, played))


def satisfaction(goal: Sequence[Constraint], match: Match, n_items: int) -> npt.NDArray[np.float64]:
    """(N,) the share of the goal's demands that each item grants; 1 everywhere when it has none."""
    wanted = demands(goal)
    if not wanted:
        return np.ones(n_items)
    return np.asarray(np.mean([granted(demand, match) == 1 for demand in wanted], axis=0))


def moves(satisfied: float, best: float) -> bool:
    """Whether an item moves a listener toward its goal: it satisfies all of it, or closes at least half of
    the gap that the best item before it (at first, the mean item of the catalogue) had left open.
    """
    return satisfied >= 1.0 or (1.0 - satisfied) <= (1.0 - best) / 2.0


def relaxations(
    active: Sequence[Constraint], match: Match, families: Rows, played: Collection[int]
) -> tuple[tuple[Constraint, int], ...]:
    """For each demand the n_t that dropping it alone leaves, where it leaves any, most first."""
    counts = []
    for demand in demands(active):
        others = [other for other in active if other != demand]
        counts.append((demand, count_fits(others, match, families, played)))
    return tuple(sorted((pair for pair in counts if pair[1]), key=lambda pair: -pair[1]))


def feasible(specificity: str, n_first: int) -> bool:
    """Whether a first request stands: second letter L needs 20 fitting items, H one to three."""
    return n_first >= MANY if specificity[1] == "L" else 1 <= n_first <= RARE


def spanned(clause: Clause) -> str:
    """A bound or a span as a value of an `either`."""
    if isinstance(clause.value, tuple):
        low, high = clause.value
        return f"{SPAN}{low}{SPAN}{high}"
    return f"{SPAN}{SPAN}{clause.value}" if clause.cmp == "le" else f"{SPAN}{clause.value}{SPAN}"


def spanning(clause: Clause) -> bool:
    """Whether a clause is a bound or a span."""
    return clause.cmp in ("between", "le", "ge")


def ends_of(clause: Clause) -> tuple[float, float]:
    """The ends of a bound or a span; an open one is infinite."""
    low, high = clause.value if isinstance(clause.value, tuple) else (clause.value, clause.value)
    return -math.inf if clause.cmp == "le" else float(low), math.inf if clause.cmp == "ge" else float(high)


def apart(clause: Clause, other: Clause) -> bool:
    """Whether no number meets both of two bounds or spans."""
    if not (spanning(clause) and spanning(other)):
        return False
    (low, high), (least, most) = ends_of(clause), ends_of(other)
    return max(low, least) > min(high, most)
