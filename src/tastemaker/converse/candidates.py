"""What the recommender chooses from: the catalogue through several sources, and near misses by a field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tastemaker.chat import Media
from tastemaker.converse.constraints import Adherence, Constraint, Match, Rows, demands, granted


@dataclass(frozen=True)
class Query:
    """What a source is asked: the dialogue's words, the last message, and the rows played, oldest first."""

    text: str
    last: str
    played: tuple[int, ...]


Search = Callable[[Query, int], Sequence[int]]
MATCHING, EACH, RANDOM, NEAR_MISSES = 6, 4, 3, 5
"""How many candidates each may add: matching items, every source of the tools, chance, near misses."""


@dataclass(frozen=True, eq=False)
class Tools:
    """Behaviour that a conversation needs and does not own.

    match: clauses -> (N,) {1, 0, -1} over the whole catalogue. sources: name -> rows by falling score for a
    query (BM25, dense, co-occurrence, popularity). recognise: an attachment -> the row it shows, or None.
    attach: (medium, row) -> that item in another rendering, or None. show: a row's sound and picture for
    models that take them.
    """

    match: Match
    sources: Mapping[str, Search]
    recognise: Callable[[Media], int | None]
    attach: Callable[[str, int], Media | None]
    show: Callable[[int], tuple[Media, ...]]


@dataclass(frozen=True)
class Candidate:
    """A row, its sources, and the field of the one constraint it violates (near misses only)."""

    row: int
    sources: tuple[str, ...]
    violates: str | None = None


def near_misses(active: Sequence[Constraint], match: Match, adherence: Adherence) -> dict[int, str]:
    """Rows that violate exactly one demand, and surely: row -> the field of that demand."""
    wanted = demands(active)
    rows = np.flatnonzero((adherence.failures == 1) & ~adherence.unknown)
    if not len(rows):
        return {}
    broken = np.array([granted(constraint, match)[rows] for constraint in wanted]) == 0
    return {
        int(row): wanted[int(place)].clause.field
        for row, place in zip(rows, broken.argmax(axis=0), strict=True)
    }


@dataclass(frozen=True, eq=False)
class Sources:
    """What candidates are drawn from beside the tools' sources.

    matching: rows that match the constraints read out of the messages. misses: row -> the field it violates.
    barred: rows left out. n_items: size of the catalogue. pool: with it only its rows are candidates.
    """

    matching: Rows
    misses: Mapping[int, str]
    barred: Collection[int]
    n_items: int
    pool: Rows | None = None


def compose(query: Query, inputs: Sources, tools: Tools, rng: np.random.Generator) -> tuple[Candidate, ...]:
    """The turn's candidates in keyed order, each row once with all its sources.

    Of the matching rows a uniform draw is shown, so that only words tell which is taken.
    """
    blocked = set(inputs.barred)
    sources: dict[int, list[str]] = {}

    def add(rows: Sequence[int] | Rows, source: str, most: int) -> None:
        free = (row for row in map(int, rows) if row not in blocked)
        for row in islice(free, most):
            sources.setdefault(row, []).append(source)

    if inputs.pool is not None:
        add(inputs.pool, "session", len(inputs.pool))
    else:
        add(rng.permutation(inputs.matching), "match", MATCHING)
        for name, source in tools.sources.items():
            add(source(query, EACH + len(blocked)), name, EACH)
        draws = rng.integers(inputs.n_items, size=4 * RANDOM + len(blocked))
        add(draws, "random", RANDOM)
        add(rng.permutation(np.array(sorted(inputs.misses), np.int64)), "near_miss", NEAR_MISSES)
    rows = sorted(sources)
    order = [rows[int(place)] for place in rng.permutation(len(rows))]
    return tuple(Candidate(row, tuple(dict.fromkeys(sources[row])), inputs.misses.get(row)) for row in order)
