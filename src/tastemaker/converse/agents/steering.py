"""What the listener asks for next, as executable changes that are known to be satisfiable, or, when planted,
known not to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Change, Clause, Match, Wish, count_fits, demands, merge
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
    wishes: tuple[Wish, ...]
    played: frozenset[int]
    last: tuple[str, int] | None
    liked: bool
    likes: tuple[Clause, ...]
    failed: tuple[str, ...] = ()

    def fits(self, changes: Sequence[Change]) -> int:
        """n_t if these changes were made now."""
        return count_fits(merge(self.wishes, changes), self.match, self.catalogue.family_codes, self.played)

    def fields(self) -> list[str]:
        """Fields a wish may be about."""
        return fields_of_role("any", self.catalogue.fields)

    def standing(self) -> set[str]:
        """Fields that wishes are about."""
        return {wish.clause.field for wish in self.wishes}


def next_changes(now: Situation, rng: np.random.Generator, plant: bool) -> tuple[Change, ...]:
    """The delta of a later turn: something that leaves at least one item, or, with `plant`, none; empty
    repeats the wishes.

    After "nothing fits" the wish that was too much goes; after a rejection a taste is spoken; after a success
    one wish is added, changed, refused, or tied to the last item.
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
    field = _pick([name for name in now.fields() if name not in now.standing()], rng)
    clause = _words(now, field, rng) if field else None
    return (Change("add", "must", clause),) if clause else ()


def _replace(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    field = _pick([name for name in now.fields() if name in now.standing()], rng)
    clause = _words(now, field, rng) if field else None
    if clause is None or any(wish.clause == clause for wish in now.wishes):
        return ()
    return (Change("replace", "must", clause),)


def _refuse(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Not that value again: something the last item has and the wishes do not ask for."""
    if now.last is None:
        return ()
    options = [
        name
        for name in now.fields()
        if name not in now.standing() and now.catalogue.fields[name].kind == "word"
    ]
    field = _pick([name for name in options if now.catalogue.columns[name][now.last[1]] is not None], rng)
    return (
        (Change("add", "must_not", Clause(field, "eq", str(now.catalogue.columns[field][now.last[1]]))),)
        if field
        else ()
    )


def _tie(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """The same value as the last item, whatever it is."""
    if now.last is None:
        return ()
    options = [
        name
        for name in now.fields()
        if name not in now.standing() and now.catalogue.fields[name].kind == "word"
    ]
    field = _pick([name for name in options if now.catalogue.columns[name][now.last[1]] is not None], rng)
    if field is None:
        return ()
    return (
        Change("add", "must", Clause(field, "same_group", now.catalogue.item_ids[now.last[1]]), now.last[0]),
    )


def _like(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Similar in sound or cover to the last item."""
    medium = ("audio", "image")[int(rng.integers(2))]
    if now.last is None or medium in now.standing():
        return ()
    clause = Clause(medium, "similar_to", now.catalogue.item_ids[now.last[1]])
    return (Change("add", "must", clause, now.last[0], medium),)  # type: ignore[arg-type]


def _drop(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    if len(demands(now.wishes)) < 2:
        return ()
    field = _pick(sorted(now.standing() & set(now.fields())), rng)
    return (Change("drop", "must", Clause(field, "eq", "")),) if field else ()


def _afresh(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Everything that was asked is dropped for one or two new wishes about some item."""
    if len(now.standing()) < 2:
        return ()
    fields = [name for name in now.fields() if name not in now.standing()]
    row = int(rng.integers(len(now.catalogue)))
    chosen = [fields[int(place)] for place in rng.permutation(len(fields))[: int(rng.integers(1, 3))]]
    clauses = [
        clause for name in chosen if (clause := clause_about(now.catalogue, name, row, rng)) is not None
    ]
    drops = tuple(Change("drop", "must", Clause(name, "eq", "")) for name in sorted(now.standing()))
    return (*drops, *(Change("add", "must", clause) for clause in clauses)) if clauses else ()


def _taste(now: Situation) -> tuple[Change, ...]:
    """The first unspoken taste that can be granted."""
    for clause in now.likes:
        change = Change("add", "must", clause)
        if clause.field not in now.standing() and now.fits((change,)):
            return (change,)
    return ()


def _impossible(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """One wish more than can be granted: alone it is common enough, with the others nothing fits."""
    if not now.fits(()):
        return ()
    options = [
        name
        for name in now.fields()
        if name not in now.standing() and now.catalogue.fields[name].kind == "word"
    ]
    for _ in range(4 * TRIES):
        field = _pick(options, rng)
        clause = _words(now, field, rng) if field else None
        if clause is not None and not now.fits((change := Change("add", "must", clause),)):
            return (change,)
    for _ in range(2 * TRIES):  # many wishes stand in for a rare one
        fields = [options[int(place)] for place in rng.permutation(len(options))[:2]]
        clauses = [one for field in fields if (one := _words(now, field, rng)) is not None]
        changes = tuple(Change("add", "must", clause) for clause in clauses)
        if changes and not now.fits(changes):
            return changes
    return ()


def _relax(now: Situation, rng: np.random.Generator) -> tuple[Change, ...]:
    """Drop what was too much: the fields that failed, else one field, else all that it takes until something
    fits.
    """
    fields = [name for name in now.failed if name in now.standing()] or sorted(now.standing())
    order = [fields[int(place)] for place in rng.permutation(len(fields))]
    rest = [name for name in sorted(now.standing()) if name not in order]
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
"""What a pleased listener does next, and how often. Without fresh starts the wishes pile up, and what was
played before tells what comes next without a word."""
