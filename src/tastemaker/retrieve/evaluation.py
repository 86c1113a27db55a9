"""Ranks of held-out targets, slices of users, and the alarms that catch a recommender that ignores its user.

Item indices follow a keyed hash of the item id, so ties by index favour nothing a model could learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.stats.random import generator
from tastemaker.stats.ranking import best_places, effective_vocabulary

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]
COUNT_EDGES = (0, 5, 20)
LENGTH_EDGES = (5, 10, 20)
FEWEST_DISTINCT = 0.01


class Sequences(Protocol):
    """Ragged lists of item indices: row u is `items[offsets[u]:offsets[u + 1]]`, in time order."""

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(U + 1,) where each row starts."""

    @property
    def items(self) -> npt.NDArray[np.int64]:
        """(E,) item indices."""

    @property
    def marks(self) -> npt.NDArray[np.int64] | None:
        """(E,) what each event says beside its item, or None."""


@dataclass(frozen=True)
class Lists:
    """The plainest `Sequences`: offsets (U + 1,), items (E,) and marks (E,), all int64."""

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    marks: npt.NDArray[np.int64] | None = None


Score = Callable[[Sequences], Floats]


def take(sequences: Sequences, rows: Ints) -> Lists:
    """The given rows, in the given order, as a new ragged array."""
    starts, stops = sequences.offsets[rows], sequences.offsets[np.asarray(rows) + 1]
    return _cut(sequences, starts, stops - starts)


def last_events(sequences: Sequences, length: int) -> Lists:
    """The last `length` events of every row."""
    lengths = np.minimum(np.diff(sequences.offsets), length)
    return _cut(sequences, sequences.offsets[1:] - lengths, lengths)


def _cut(sequences: Sequences, starts: Ints, lengths: Ints) -> Lists:
    """So many events from each start on."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    marks = None if sequences.marks is None else sequences.marks[positions]
    return Lists(offsets, np.asarray(sequences.items, np.int64)[positions], marks)


def row_of_event(sequences: Sequences) -> npt.NDArray[np.int64]:
    """(E,) the row each event belongs to."""
    return np.repeat(np.arange(len(sequences.offsets) - 1), np.diff(sequences.offsets))


def followed(
    sequences: Sequences, window: int
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """For each distance up to `window`, the items (P,) of a row and the other ones (P,) so much later."""
    rows, items = row_of_event(sequences), np.asarray(sequences.items)
    for step in range(1, min(window, len(items) - 1) + 1):
        pairs = (rows[:-step] == rows[step:]) & (items[:-step] != items[step:])
        yield step, items[:-step][pairs], items[step:][pairs]


def batches(n: int, size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Consecutive row numbers in blocks of at most `size`."""
    for start in range(0, n, size):
        yield np.arange(start, min(n, start + size))


def rank_of_target(scores: Floats, targets: Ints, seen: Sequences | None = None) -> npt.NDArray[np.int64]:
    """(U,) rank of each target, 1 = best; equal scores are ordered by item index.

    `scores` is (U, N). Items in `seen` are removed from the ranking; a target that is itself removed (or has
    score -inf) gets rank 0, "not found": it can never be shown.

    Raises InputError when a score is NaN.
    """
    scores, targets = np.asarray(scores), np.asarray(targets, np.int64)
    target_scores = scores[np.arange(len(scores)), targets]
    if np.isnan(scores.min(initial=0)):
        raise InputError(
            f"scores: row {int(np.isnan(scores).any(axis=1).argmax())} holds NaN; the scorer is broken or"
            " untrained"
        )
    # A row at a time: it stays in the cache, and nothing as large as the scores is made.
    ranks = np.array(
        [
            1 + np.count_nonzero(row > value) + np.count_nonzero(row[:target] == value)
            for row, value, target in zip(scores, target_scores, targets, strict=True)
        ],
        np.int64,
    )
    if seen is not None:
        rows, items = np.divmod(np.unique(row_of_event(seen) * scores.shape[1] + seen.items), scores.shape[1])
        theirs, value = scores[rows, items], target_scores[rows]
        before = (theirs > value) | ((theirs == value) & (items < targets[rows]))
        ranks -= np.bincount(rows[before], minlength=len(ranks))
        ranks[rows[items == targets[rows]]] = 0
    ranks[np.isneginf(target_scores)] = 0
    return ranks


def ranks_of_targets(
    score: Score,
    contexts: Sequences,
    targets: Ints,
    seen: Literal["remove", "keep"] = "remove",
    batch: int = 512,
) -> npt.NDArray[np.int64]:
    """(U,) rank of each user's target under `score(contexts) -> (U, N)`, a batch of users at a time."""
    parts = [np.empty(0, np.int64)]
    for rows in batches(len(targets), batch):
        part = take(contexts, rows)
        parts.append(
            rank_of_target(score(part), np.asarray(targets)[rows], part if seen == "remove" else None)
        )
    return np.concatenate(parts)


def rank_in_lists(lists: Sequence[Ints], targets: Ints) -> npt.NDArray[np.int64]:
    """(U,) rank of each target in its user's ranked list of item indices, 1 = first, 0 = not in the list."""
    ranks = np.zeros(len(targets), np.int64)
    for row, (listed, target) in enumerate(zip(lists, targets, strict=True)):
        places = np.flatnonzero(np.asarray(listed) == target)
        ranks[row] = places[0] + 1 if len(places) else 0
    return ranks


def top_items(
    score: Score,
    contexts: Sequences,
    k: int = 10,
    seen: Literal["remove", "keep"] = "remove",
    batch: int = 512,
) -> list[Ints]:
    """Each user's `k` best item indices, best first, ties by index; fewer when fewer can be shown."""
    lists: list[Ints] = []
    for rows in batches(len(contexts.offsets) - 1, batch):
        part = take(contexts, rows)
        scores = np.array(score(part), copy=True)
        if seen == "remove":
            scores[row_of_event(part), part.items] = -np.inf
        lists += [best_places(row, k) for row in scores]
    return lists


def slices(targets: Ints, training_counts: Ints, lengths: Ints) -> dict[str, npt.NDArray[np.bool_]]:
    """Users by how often their target was seen in training (0, 1-5, 6-20, >20) and by length of history.

    `targets` (U,), `training_counts` (N,) events an item, `lengths` (U,). Returns name -> (U,) mask; each of
    the two families covers every user once.
    """
    counts = np.asarray(training_counts)[targets]
    return _bands("target count", counts, COUNT_EDGES) | _bands("history", np.asarray(lengths), LENGTH_EDGES)


def _bands(name: str, values: Ints, edges: tuple[int, ...]) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks of values up to each edge, from the one before it, and above the last."""
    masks, low = {}, -1
    for edge in edges:
        label = f"{edge}" if edge == low + 1 else f"{low + 1}-{edge}"
        masks[f"{name} {label}"] = (values > low) & (values <= edge)
        low = edge
    return masks | {f"{name} >{low}": values > low}


def swapped(contexts: Sequences, seed: int) -> Lists:
    """The same histories, each given to another user (a shuffled cycle): who reads them must react."""
    order = generator(seed, "swap").permutation(len(contexts.offsets) - 1)
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return take(contexts, other)


def item_counts(lists: Sequence[Ints], n_items: int) -> npt.NDArray[np.int64]:
    """(N,) in how many lists each item stands."""
    return np.bincount(np.concatenate([np.empty(0, np.int64), *lists]).astype(np.int64), minlength=n_items)


@dataclass(frozen=True)
class Breadth:
    """How widely a recommender recommends, and what is alarming about it (empty when nothing is).

    `distinct` items in all lists, the fewest items that fill 95 % of the slots, the share of users whose list
    stayed the same (as a set) when histories were swapped between users (NaN when that was not tried).
    """

    distinct: int
    effective: int
    unchanged: float
    alarms: tuple[str, ...]


def breadth(lists: Sequence[Ints], n_items: int, after_swap: Sequence[Ints] | None = None) -> Breadth:
    """Measure `lists` (top-10 item indices a user), made again for `swapped` histories as `after_swap`."""
    counts = item_counts(lists, n_items)
    distinct, unchanged, alarms = int(np.count_nonzero(counts)), float("nan"), []
    if distinct < FEWEST_DISTINCT * n_items:
        alarms.append(f"collapsed: all lists together hold {distinct} of {n_items} items")
    if after_swap is not None and len(lists):
        same = [set(map(int, a)) == set(map(int, b)) for a, b in zip(lists, after_swap, strict=True)]
        unchanged = float(np.mean(same))
        if unchanged > 0.5:
            alarms.append(
                f"ignores the user: {unchanged:.0%} of lists are the same after histories were swapped"
            )
    return Breadth(distinct, effective_vocabulary(counts), unchanged, tuple(alarms))
