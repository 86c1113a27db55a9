"""What the listener asks for next: steps toward its goal, one by one, with wishes that keep it in reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Change, Clause, Constraint, Match, count_fits, demands, merge
from tastemaker.converse.goals.draw import clause_about
from tastemaker.converse.goals.templates import fields_of_role

TRIES = 24
TELLS = 0.75  # how often a wish of the goal is told when there is time
SLIPS = 0.12  # how often a wrong value is said first, and put right in the next turn
REPEATS = 0.12  # how often a pleased listener just asks for another one


@dataclass(frozen=True, eq=False)
class Situation:
    """Where a conversation stands.

    goal: the demands that the listener is after, most of them not told yet. turns_left: those to come, with
    this one. last: (handle, row) of the item just played. failed: fields asked for in vain. question: the
    field that the recommender asked about.
    """

    catalogue: Catalogue
    match: Match
    goal: tuple[Constraint, ...]
    active: tuple[Constraint, ...]
    played: frozenset[int]
    turns_left: int
    last: tuple[str, int] | None
    failed: tuple[str, ...] = ()
    question: str | None = None

    def fits(self, changes: Sequence[Change]) -> int:
        """n_t if these changes were made now."""
        return self._count(merge(self.active, changes))

    def inside(self, changes: Sequence[Change] = ()) -> int:
        """How many of these satisfy the whole goal."""
        return self._count((*merge(self.active, changes), *self.goal))

    def _count(self, constraints: Sequence[Constraint]) -> int:
        return count_fits(constraints, self.match, self.catalogue.family_codes, self.played)

    @property
    def untold(self) -> list[Constraint]:
        """Demands of the goal that do not stand yet."""
        return [demand for demand in self.goal if demand not in self.active]

    @property
    def reach(self) -> int:
        """How many items that satisfy the goal are left, whatever stands beside it."""
        return self._count(self.goal)

    @property
    def aims(self) -> set[str]:
        """Fields that the goal is about."""
        return {demand.clause.field for demand in self.goal}

    @property
    def extra_fields(self) -> list[str]:
        """Fields of standing constraints that do not belong to the goal."""
        return sorted({line.clause.field for line in self.active if line not in self.goal} - self.aims)

    def open_fields(self, row: int | None = None, words: bool = False) -> list[str]:
        """Fields of no goal or constraint; with `row`: that the item has; with `words`: of one word."""
        excluded = self.aims | {constraint.clause.field for constraint in self.active}
        fields, columns = self.catalogue.fields, self.catalogue.columns
        return [
            name
            for name in fields_of_role("any", fields)
            if name not in excluded
            and (not words or fields[name].kind == "word")
            and (row is None or columns[name][row] is not None)
        ]


def next_changes(now: Situation, rng: np.random.Generator, plant: bool) -> tuple[Change, ...]:
    """The delta of a later turn: something that leaves at least one item, or, with `plant`, none; empty
    repeats the constraints.

    After "nothing fits" what was too much goes. What blocks the goal is put right. Else a demand of the goal
    is told, sooner or later as there are turns and items left, or something is wished beside it that leaves
    the goal in reach. When every item that satisfies the goal was played, the listener widens it.
    """
    if now.failed:
        return _relax(now, rng)
    if plant and (changes := _impossible(now, rng)):
        return changes
    if not now.reach:
        return _widen(now, rng)
    if not now.inside():
        return _put_right(now)
    if changes := _tell(now, rng):
        return changes
    if not now.untold and rng.random() < REPEATS:
        return ()
    chances = np.array([chance for _, chance in MOVES])
    for _ in range(TRIES):
        changes = MOVES[int(rng.choice(len(MOVES), p=chances))][0](now, rng)
        if changes and now.inside(changes):
            return changes
    return ()


def _tell(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Demands of the goal, the more the less time is left; the last one is kept while items that satisfy the
    goal would run out before the turns do.
    """
    untold = now.untold
    spare = now.turns_left - min(now.reach, now.turns_left) + 1  # turns until all has to be told
    if not untold or (len(untold) == 1 and spare > 1):
        return ()
    least = max(0, len(untold) - spare + 1)
    scarce = now.reach < now.turns_left
    chance = (len(untold) - 1) / spare if scarce else TELLS
    if not least and rng.random() >= chance:
        return ()
    order = sorted(untold, key=lambda demand: (demand.medium != "text", _had(now, demand), rng.random()))
    if now.question is not None:  # an answer to the question comes first
        order.sort(key=lambda demand: demand.clause.field != now.question)
    chosen = order[: max(1, least)]
    if len(chosen) == 1 and spare > 2 and rng.random() < SLIPS and (slip := _slip(now, chosen[0], rng)):
        return slip
    return tuple(demand.added for demand in chosen)


def _had(now: Situation, demand: Constraint) -> bool:
    """Whether the last item satisfies a demand: what it lacks is told first."""
    return now.last is not None and bool(now.match([demand.clause])[now.last[1]] == 1)


def _slip(now: Situation, demand: Constraint, rng: np.random.Generator) -> tuple[Change, ...]:
    """Another value where the demand's was meant, if something has it."""
    clause = _about_any(now, demand.clause.field, rng) if demand.medium == "text" else None
    if clause is None or demand.clause.cmp != "eq" or clause == demand.clause:
        return ()
    changes = (Change("add", "must", clause),)
    return changes if now.fits(changes) else ()


def _put_right(now: Situation) -> tuple[Change, ...]:
    """What stands in the way of the goal goes: a wrong value is replaced by the one that was meant, other
    wishes are dropped one by one until the goal is in reach.
    """
    for demand in now.untold:
        wrong = [
            line for line in now.active if line.clause.field == demand.clause.field and line not in now.goal
        ]
        change = Change("replace", demand.kind, demand.clause, demand.reference, demand.medium)
        if wrong and now.fits((change,)):
            return (change,)
    changes: tuple[Change, ...] = ()
    for field in now.extra_fields:
        changes = (*changes, _dropped(field))
        if now.inside(changes):
            break
    return changes


def _dropped(field: str) -> Change:
    return Change("drop", "must", Clause(field, "eq", ""))


def _widen(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """All that the goal asks was found: one demand is let go, and what blocks the rest with it."""
    fields = sorted({line.clause.field for line in now.active})
    order = [fields[int(place)] for place in rng.permutation(len(fields))]
    if now.fits(()):
        return ()
    changes: tuple[Change, ...] = ()
    for field in order:
        if now.fits((_dropped(field),)):
            return (_dropped(field),)
        changes = (*changes, _dropped(field))
        if now.fits(changes):
            return changes
    return ()


def _about_any(now: Situation, field: str, rng: np.random.Generator) -> Clause | None:
    """A clause on `field` about a random item."""
    return clause_about(now.catalogue, field, int(rng.integers(len(now.catalogue))), rng)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str | None:
    return options[int(rng.integers(len(options)))] if options else None


def _add(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    field = _pick(now.open_fields(), rng)
    clause = _about_any(now, field, rng) if field else None
    return (Change("add", "must", clause),) if clause else ()


def _replace(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    field = _pick([name for name in now.extra_fields if name in now.catalogue.fields], rng)
    clause = _about_any(now, field, rng) if field else None
    if clause is None or any(constraint.clause == clause for constraint in now.active):
        return ()
    return (Change("replace", "must", clause),)


def _refuse(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Not that value again: something the last item has and neither goal nor constraints ask for."""
    field = None if now.last is None else _pick(now.open_fields(now.last[1], words=True), rng)
    if field is None or now.last is None:
        return ()
    return (Change("add", "must_not", Clause(field, "eq", str(now.catalogue.columns[field][now.last[1]]))),)


def _tie(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """The same value as the last item, whatever it is."""
    field = None if now.last is None else _pick(now.open_fields(now.last[1], words=True), rng)
    if field is None or now.last is None:
        return ()
    clause = Clause(field, "same_group", now.catalogue.item_ids[now.last[1]])
    return (Change("add", "must", clause, now.last[0]),)


def _like(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Similar in sound or cover to the last item."""
    medium = ("audio", "image")[int(rng.integers(2))]
    if now.last is None or any(line.clause.field == medium for line in now.active):
        return ()
    clause = Clause(medium, "similar_to", now.catalogue.item_ids[now.last[1]])
    return (Change("add", "must", clause, now.last[0], medium),)  # type: ignore[arg-type]


def _drop(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    field = _pick(now.extra_fields, rng)
    return (_dropped(field),) if field else ()


def _impossible(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """One wish beside the goal more than can be granted: alone it is common enough, with the others nothing
    fits.
    """
    if not now.fits(()):
        return ()
    options = now.open_fields(words=True)
    for _ in range(4 * TRIES):
        field = _pick(options, rng)
        clause = _about_any(now, field, rng) if field else None
        if clause is not None and not now.fits((change := Change("add", "must", clause),)):
            return (change,)
    for _ in range(2 * TRIES):  # many constraints stand in for a rare one
        fields = [options[int(place)] for place in rng.permutation(len(options))[:2]]
        clauses = [clause for field in fields if (clause := _about_any(now, field, rng)) is not None]
        changes = tuple(Change("add", "must", clause) for clause in clauses)
        if changes and not now.fits(changes):
            return changes
    return ()


def _relax(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Drop what was too much: the fields that failed, else wishes beside the goal, else all that it takes
    until something fits.
    """
    fields = {constraint.clause.field for constraint in demands(now.active)}
    failed = [name for name in now.failed if name in fields]
    others = [name for name in now.extra_fields if name not in failed]
    order = [name for group in (failed, others) for name in rng.permutation(group).tolist()]
    order += sorted(fields - set(order))
    for name in order:
        if now.fits((_dropped(name),)):
            return (_dropped(name),)
    changes: tuple[Change, ...] = ()
    for name in order:
        changes = (*changes, _dropped(name))
        if now.fits(changes):
            return changes
    return ()


Move = Callable[[Situation, np.random.Generator], tuple[Change, ...]]
MOVES: tuple[tuple[Move, float], ...] = (
    (_add, 0.22),
    (_replace, 0.18),
    (_refuse, 0.22),
    (_tie, 0.10),
    (_like, 0.06),
    (_drop, 0.22),
)
"""What a listener wishes beside its goal, and how often."""
