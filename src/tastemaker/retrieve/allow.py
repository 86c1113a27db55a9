"""Which items one request may show: shared masks as prefix sums, personal lists by binary search.

A node of the trie owns a range of item positions, so it is alive when that range holds an allowed item. For a
mask many requests share (stock, region, age) that is worked out once. The items one person has seen are a
short sorted list: it can only kill nodes above one of its items, so a request carries the few nodes it kills
and nothing of size N.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.retrieve.trie import Trie

Ints = npt.NDArray[np.integer[Any]]
EMPTY = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask over the whole catalogue, shared by requests.

    `prefix` (N + 1,) int32 counts the allowed items before each position; `alive` says per level (E_l,) which
    nodes keep an allowed item; `leaves` Semantic IDs do. `keep` (N,): the mask by item index.
    """

    trie: Trie
    prefix: npt.NDArray[np.int32]
    alive: tuple[npt.NDArray[np.bool_], ...]
    leaves: int
    name: str
    keep: npt.NDArray[np.bool_]


def mask(trie: Trie, allowed: npt.NDArray[np.bool_], name: str = "mask") -> Mask:
    """Prepare a shared mask from `allowed` (N,), by item index; `name` is used in reasons shown to people."""
    allowed = np.asarray(allowed)
    prefix = np.zeros(len(allowed) + 1, np.int32)
    np.cumsum(allowed[trie.items], out=prefix[1:])
    alive = tuple(np.diff(prefix[bounds]) > 0 for bounds in trie.bounds)
    return Mask(trie, prefix, alive, int(np.count_nonzero(alive[-1])), name, allowed)


@dataclass(frozen=True, eq=False)
class Allowed:
    """What one request may show. Immutable: a filter that changes makes a new one, for the next request.

    base: the shared mask, or None for the whole catalogue.
    removed: sorted positions that `base` allows and this request does not.
    included: sorted allowed positions when the request names the only items it wants, else None.
    items: how many items are allowed.
    reason: why nothing is allowed, or None.
    """

    trie: Trie
    base: Mask | None
    removed: npt.NDArray[np.int64]
    included: npt.NDArray[np.int64] | None
    items: int
    reason: str | None

    @cached_property
    def nodes(self) -> tuple[npt.NDArray[np.int64], ...]:
        """By level, sorted: nodes `removed` leaves without allowed items, or, included, nodes above items."""
        trie, base, removed, included = self.trie, self.base, self.removed, self.included
        levels = range(trie.levels)
        if included is not None:
            return tuple(_runs(trie.node_of_position(level, included))[0] for level in levels)
        return tuple(_killed(trie, base, removed, level) for level in levels)

    @property
    def leaves(self) -> int:
        """How many Semantic IDs are allowed."""
        if self.included is not None:
            return len(self.nodes[-1])
        return (self.trie.leaves if self.base is None else self.base.leaves) - len(self.nodes[-1])

    def count(self, starts: Ints, stops: Ints) -> npt.NDArray[np.int64]:
        """How many allowed items stand at positions starts .. stops (exclusive); arrays of equal shape."""
        if self.included is not None:
            return np.asarray(np.searchsorted(self.included, stops) - np.searchsorted(self.included, starts))
        total = stops - starts if self.base is None else self.base.prefix[stops] - self.base.prefix[starts]
        if len(self.removed):
            total = total - (np.searchsorted(self.removed, stops) - np.searchsorted(self.removed, starts))
        return np.asarray(total, dtype=np.int64)

    def hide(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A copy of `scores` (N,), by item index, with -inf where an item may not be shown."""
        if self.included is not None:
            items, hidden = self.trie.items[self.included], np.full_like(scores, -np.inf)
            hidden[items] = scores[items]
            return hidden
        hidden = scores.copy() if self.base is None else np.where(self.base.keep, scores, -np.inf)
        hidden[self.trie.items[self.removed]] = -np.inf
        return np.asarray(hidden, scores.dtype)

    def allows(self, items: Ints) -> npt.NDArray[np.bool_]:
        """Whether each item index may be shown."""
        positions = self.trie.position[items].astype(np.int64)
        return self.count(positions, positions + 1) > 0


def allow(
    trie: Trie,
    base: Mask | None = None,
    exclude: Iterable[int] | Ints = (),
    include: Iterable[int] | Ints | None = None,
) -> Allowed:
    """Allow `include` (or all items), within `base`, minus `exclude`; item indices in any order.

    Costs O(h log h) for lists of h items, however large the catalogue.

    Raises InputError when an item index is outside the catalogue, or `base` was made for another trie.
    """
    if base is not None and base.trie is not trie:
        raise InputError(
            f"{base.name}: made for trie {base.trie.fingerprint}, used with {trie.fingerprint}; make the mask"
            " again"
        )
    excluded = _positions(trie, exclude, "exclude")
    if include is not None:
        positions = _positions(trie, include, "include")
        included = np.setdiff1d(_within(base, positions), excluded, assume_unique=True)
        reason = None if len(included) else _reason(base, len(excluded), len(positions))
        return Allowed(trie, base, EMPTY, included, len(included), reason)
    removed = _within(base, excluded)
    items = (len(trie.items) if base is None else int(base.prefix[-1])) - len(removed)
    reason = None if items else _reason(base, len(excluded), None)
    return Allowed(trie, base, removed, None, items, reason)


def _killed(
    trie: Trie, base: Mask | None, removed: npt.NDArray[np.int64], level: int
) -> npt.NDArray[np.int64]:
    """Nodes of `level` all of whose items that `base` allows are `removed`."""
    touched, removed_counts = _runs(trie.node_of_position(level, removed))
    starts, stops = trie.bounds[level][touched], trie.bounds[level][touched + 1]
    allowed_counts = stops - starts if base is None else base.prefix[stops] - base.prefix[starts]
    return np.asarray(touched[allowed_counts == removed_counts], np.int64)


def _positions(trie: Trie, items: Iterable[int] | Ints, name: str) -> npt.NDArray[np.int64]:
    """Sorted distinct positions of the given item indices."""
    listed = items if isinstance(items, np.ndarray) else np.fromiter(items, np.int64)
    chosen = np.asarray(listed, dtype=np.int64)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= len(trie.items)):
        wrong = chosen.min() if chosen.min() < 0 else chosen.max()
        raise InputError(f"{name}: item {wrong} is not in the catalogue of {len(trie.items)} items")
    return _runs(np.sort(trie.position[chosen].astype(np.int64)))[0]


def _runs(ordered: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct values of a sorted array and how often each stands in it: `np.unique` without its sort."""
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))  # no value is negative
    return np.asarray(ordered[starts], np.int64), np.diff(starts, append=len(ordered))


def _within(base: Mask | None, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those positions the shared mask allows."""
    return positions if base is None else positions[base.prefix[positions + 1] > base.prefix[positions]]


def _reason(base: Mask | None, excluded: int, included: int | None) -> str:
    """Why nothing is left to show."""
    request = (
        "no item was asked for"
        if included == 0
        else f"{included} items were asked for"
        if included
        else "the whole catalogue was asked for"
    )
    masked = "" if base is None else f", '{base.name}' allows {int(base.prefix[-1])} items"
    why = " (what a person had before is, unless remove_seen = false)" if excluded else ""
    return f"nothing can be shown: {request}{masked}, {excluded} are excluded{why}"
