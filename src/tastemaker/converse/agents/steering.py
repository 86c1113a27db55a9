"""What the listener asks for next, as executable changes that are known to be satisfiable, or, when planted,
known not to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Change, Clause, Constraint, Match, count_fits, demands, merge
from tastemaker.converse.goals.draw import clause_about
from tastemaker.converse.goals.templates import fields_of_role

TRIES = 24


@dataclass(frozen=True, eq=False)
class Situation:
    """Where a conversation stands. last: (handle, row) of the item just played, liked: whether it was;
    failed: fields that were asked for in vain.
    """

    catalogue: Catalogue
    match: Match
    active: tuple[Constraint, ...]
    played: frozenset[int]
    last: tuple[str, int] | None
    liked: bool
    likes: tuple[Clause, ...]
    failed: tuple[str, ...] = ()

    def fits(self, changes: Sequence[Change]) -> int:
        """n_t if these changes were made now."""
        return count_fits(merge(self.active, changes), self.match, self.catalogue.family_codes, self.played)

    def fields(self) -> list[str]:
        """Fields a constraint may be about."""
        return fields_of_role("any", self.catalogue.fields)

    @property
    def constrained(self) -> set[str]:
        """Fields that active constraints are about."""
        return {constraint.clause.field for constraint in self.active}

    def open_words(self, row: int | None = None) -> list[str]:
        """Fields of one word that no constraint is about, of which item `row` has a value if one is given."""
        fields, columns = self.catalogue.fields, self.catalogue.columns
        names = [
            name for name in self.fields() if name not in self.constrained and fields[name].kind == "word"
        ]
        return [name for name in names if row is None or columns[name][row] is not None]


def next_changes(now: Situation, rng: np.random.Generator, plant: bool) -> tuple[Change, ...]:
    """The delta of a later turn: something that leaves at least one item, or, with `plant`, none; empty
    repeats the constraints.

    After "nothing fits" the constraint that was too much goes; after a rejection a taste is spoken; after a
    success one constraint is added, changed, refused, or tied to the last item.
    """
    if now.failed:
        return _relax(now, rng)
    if plant and (changes := _impossible(now, rng)):
        return changes
    if not now.liked and now.last is not None and (changes := _taste(now)):
        return changes
    chances = np.array([chance for _, chance in MOVES])
    for _ in range(TRIES):
        changes = MOVES[int(rng.choice(len(MOVES), p=chances))][0](now, rng)
        if changes and now.fits(changes):
            return changes
    return () if now.fits(()) else _relax(now, rng)


def _words(now: Situation, field: str, rng: np.random.Generator) -> Clause | None:
    """A clause on `field` about a random item."""
    return clause_about(now.catalogue, field, int(rng.integers(len(now.catalogue))), rng)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str | None:
    return options[int(rng.integers(len(options)))] if options else None


def _add(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    field = _pick([name for name in now.fields() if name not in now.constrained], rng)
    clause = _words(now, field, rng) if field else None
    return (Change("add", "must", clause),) if clause else ()


def _replace(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    field = _pick([name for name in now.fields() if name in now.constrained], rng)
    clause = _words(now, field, rng) if field else None
    if clause is None or any(constraint.clause == clause for constraint in now.active):
        return ()
    return (Change("replace", "must", clause),)


def _refuse(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Not that value again: something the last item has and the constraints do not ask for."""
    if now.last is None:
        return ()
    field = _pick(now.open_words(now.last[1]), rng)
    return (
        (Change("add", "must_not", Clause(field, "eq", str(now.catalogue.columns[field][now.last[1]]))),)
        if field
        else ()
    )


def _tie(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """The same value as the last item, whatever it is."""
    if now.last is None:
        return ()
    field = _pick(now.open_words(now.last[1]), rng)
    if field is None:
        return ()
    return (
        Change("add", "must", Clause(field, "same_group", now.catalogue.item_ids[now.last[1]]), now.last[0]),
    )


def _like(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Similar in sound or cover to the last item."""
    medium = ("audio", "image")[int(rng.integers(2))]
    if now.last is None or medium in now.constrained:
        return ()
    clause = Clause(medium, "similar_to", now.catalogue.item_ids[now.last[1]])
    return (Change("add", "must", clause, now.last[0], medium),)  # type: ignore[arg-type]


def _drop(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    if len(demands(now.active)) < 2:
        return ()
    field = _pick(sorted(now.constrained & set(now.fields())), rng)
    return (Change("drop", "must", Clause(field, "eq", "")),) if field else ()


def _afresh(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Everything that was asked is dropped for one or two new constraints about some item."""
    if len(now.constrained) < 2:
        return ()
    fields = [name for name in now.fields() if name not in now.constrained]
    row = int(rng.integers(len(now.catalogue)))
    chosen = [fields[int(place)] for place in rng.permutation(len(fields))[: int(rng.integers(1, 3))]]
    clauses = [
        clause for name in chosen if (clause := clause_about(now.catalogue, name, row, rng)) is not None
    ]
    drops = tuple(Change("drop", "must", Clause(name, "eq", "")) for name in sorted(now.constrained))
    return (*drops, *(Change("add", "must", clause) for clause in clauses)) if clauses else ()


def _taste(now: Situation) -> tuple[Change, ...]:
    """The first unspoken taste that can be granted."""
    for clause in now.likes:
        change = Change("add", "must", clause)
        if clause.field not in now.constrained and now.fits((change,)):
            return (change,)
    return ()


def _impossible(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """One constraint more than can be granted: alone it is common enough, with the others nothing fits."""
    if not now.fits(()):
        return ()
    options = now.open_words()
    for _ in range(4 * TRIES):
        field = _pick(options, rng)
        clause = _words(now, field, rng) if field else None
        if clause is not None and not now.fits((change := Change("add", "must", clause),)):
            return (change,)
    for _ in range(2 * TRIES):  # many constraints stand in for a rare one
        fields = [options[int(place)] for place in rng.permutation(len(options))[:2]]
        clauses = [clause for field in fields if (clause := _words(now, field, rng)) is not None]
        changes = tuple(Change("add", "must", clause) for clause in clauses)
        if changes and not now.fits(changes):
            return changes
    return ()


def _relax(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Drop what was too much: the fields that failed, else one field, else all that it takes until something
    fits.
    """
    fields = [name for name in now.failed if name in now.constrained] or sorted(now.constrained)
    order = [fields[int(place)] for place in rng.permutation(len(fields))]
    rest = [name for name in sorted(now.constrained) if name not in order]
    for name in order:
        if now.fits((change := Change("drop", "must", Clause(name, "eq", "")),)):
            return (change,)
    changes: tuple[Change, ...] = ()
    for name in order + rest:
        changes = (*changes, Change("drop", "must", Clause(name, "eq", "")))
        if now.fits(changes):
            return changes
    return ()


Move = Callable[[Situation, np.random.Generator], tuple[Change, ...]]
MOVES: tuple[tuple[Move, float], ...] = (
    (_add, 0.18),
    (_replace, 0.20),
    (_refuse, 0.11),
    (_tie, 0.08),
    (_like, 0.05),
    (_drop, 0.14),
    (_afresh, 0.24),
)
"""What a pleased listener does next, and how often. Without fresh starts the constraints pile up, and what
was played before tells what comes next without a word."""
