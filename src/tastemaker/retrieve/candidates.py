"""From Semantic IDs to items: P(i | u) = P(sid(i) | u) / n for all n items of an ID, allowed or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tastemaker.retrieve.allow import Allowed
from tastemaker.retrieve.trie import Trie
from tastemaker.stats.ranking import best_places

if TYPE_CHECKING:
    from tastemaker.retrieve.beam import Beams

Ints = npt.NDArray[np.integer[Any]]
MODEL, NEW = "model", "new"
LATE = "the deadline passed before this request was answered"


@dataclass(frozen=True, eq=False)
class Candidates:
    """What one request gets, best first.

    items: (n,) int64 item indices, distinct, all allowed.
    scores: (n,) float64 log-probabilities, with what later steps add to them.
    source: n words: "model", "new" for a place kept for new items, or the later step an item came in by.
    reason: why there are fewer than were asked for, or None.
    reserved: items that came after training, best first, for the places kept for them; None: none are.
    """

    items: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    source: tuple[str, ...]
    reason: str | None
    reserved: Candidates | None = None

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.items)

    def by(self, scores: npt.NDArray[np.float64], k: int | None = None) -> Candidates:
        """The same (the `k` best of them) in the order of other scores (n,), ties as they were."""
        order = np.argsort(-scores, kind="stable")[:k]
        source = tuple(self.source[row] for row in order)
        return replace(self, items=self.items[order], scores=scores[order], source=source)


def nothing(reason: str) -> Candidates:
    """No candidate, and why."""
    return Candidates(np.empty(0, np.int64), np.empty(0), (), reason)


def best_of(scores: npt.NDArray[np.floating[Any]], allowed: Allowed, k: int) -> Candidates:
    """The `k` best allowed items by a score of every item (N,), ties by index."""
    if allowed.reason is not None:
        return nothing(allowed.reason)
    hidden = allowed.hide(np.asarray(scores, np.float32))
    best = best_places(hidden, min(k, allowed.items))
    reason = f"only {allowed.items} items are allowed" if len(best) < k else None
    return Candidates(best, hidden[best].astype(np.float64), (MODEL,) * len(best), reason)


def best_among(
    scores: npt.NDArray[np.floating[Any]], items: npt.NDArray[np.int64], allowed: Allowed, k: int
) -> Candidates:
    """The `k` best allowed ones of a few `items` (M,), in order of index, by their `scores` (M,)."""
    may = np.flatnonzero(allowed.allows(items))
    best = may[best_places(scores[may], k)]
    reason = allowed.reason or (f"only {len(best)} items are allowed" if len(best) < k else None)
    return Candidates(items[best], scores[best].astype(np.float64), (MODEL,) * len(best), reason)


def first(candidates: Candidates, k: int) -> Candidates:
    """The `k` best of them."""
    cut = slice(0, k)
    return replace(
        candidates, items=candidates.items[cut], scores=candidates.scores[cut], source=candidates.source[cut]
    )


def expand(beams: Beams, trie: Trie, allowed: Sequence[Allowed], k: int) -> list[Candidates]:
    """The `k` best allowed items of each request's beams.

    Items of an ID share its probability equally. Equal scores are ordered by Semantic ID, then item.
    """
    counts = beams.counts.cpu().numpy()
    live = np.arange(beams.leaf.shape[1])[None, :] < counts[:, None]
    leaf, score = beams.leaf.cpu().numpy()[live], beams.score.cpu().numpy()[live].astype(np.float64)
    begin, lengths = trie.item_starts[leaf].astype(np.int64), np.diff(trie.item_starts)[leaf].astype(np.int64)
    ends = np.cumsum(lengths)
    position = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begin - (ends - lengths), lengths)
    row = np.repeat(np.repeat(np.arange(len(counts)), counts), lengths)
    items = trie.items[position].astype(np.int64)
    scores = np.repeat(score - np.log(lengths), lengths)
    bounds = np.searchsorted(row, np.arange(len(counts) + 1))
    exact = beams.exact.cpu().numpy()
    return [
        _best(items[a:b], scores[a:b], position[a:b], filter_, k, bool(complete))
        for a, b, filter_, complete in zip(bounds, bounds[1:], allowed, exact, strict=False)
    ]


def _best(
    items: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    position: Ints,
    allowed: Allowed,
    k: int,
    exact: bool,
) -> Candidates:
    """The k best allowed items of one request, and why there are fewer if so."""
    places = np.flatnonzero(allowed.allows(items))
    places = places[np.lexsort((position[places], -scores[places]))][:k]
    reason = allowed.reason
    if reason is None and len(places) < k:
        reason = (
            f"only {allowed.items} items are allowed"
            if exact
            else f"the beam reached {len(places)} items; widen it to get {k}"
        )
    return Candidates(items[places], scores[places], (MODEL,) * len(places), reason)
