"""From Semantic IDs to items: sharing an ID's probability among its items, room for new items, mixing in
content.

P(i | u) = P(sid(i) | u) q(i | sid(i), u), with q normalised over all the items of the ID, allowed or not, so
that a filter never changes a score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.retrieve.allow import Allowed
from tastemaker.retrieve.beam import Beams
from tastemaker.retrieve.evaluation import rank_in_lists
from tastemaker.retrieve.trie import Trie
from tastemaker.stats.ranking import ndcg_at

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]
Within = Callable[[Ints, Ints], Floats]
MODEL, NEW = "model", "new"
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class Candidates:
    """What one request gets, best first.

    Attributes
    ----------
    items : (n,) int64 item indices, distinct, all allowed.
    scores : (n,) float64 log-probabilities (after `fuse`: mixed scores).
    source : n words: "model", or "new" for a slot reserved for new items.
    reason : why there are fewer than were asked for, or None.
    """

    items: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    source: tuple[str, ...]
    reason: str | None

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.items)


def nothing(reason: str) -> Candidates:
    """No candidate, and why."""
    return Candidates(np.empty(0, np.int64), np.empty(0), (), reason)


def first(candidates: Candidates, k: int) -> Candidates:
    """The `k` best of them."""
    cut = slice(0, k)
    return replace(
        candidates, items=candidates.items[cut], scores=candidates.scores[cut], source=candidates.source[cut]
    )


def by_count(counts: Ints, smoothing: float = 1.0) -> Within:
    """Share an ID's probability by smoothed training counts (N,): q(i | sid) = (n_i + s) / sum over the ID of
    (n_j + s).
    """
    if smoothing <= 0:
        raise InputError(
            f"smoothing {smoothing}: must be above 0, or items never seen could not be recommended"
        )
    logits = np.log(np.asarray(counts, np.float64) + smoothing)
    return lambda rows, items: logits[items]


def by_vector(users: Floats, items: Floats, temperature: float = 1.0) -> Within:
    """Share an ID's probability by softmax of users (R, d) . items (N, d) / temperature: a dense score inside
    the group.
    """
    return lambda rows, chosen: np.einsum("nd,nd->n", users[rows], items[chosen]) / temperature


def expand(
    beams: Beams, trie: Trie, allowed: Sequence[Allowed], k: int, within: Within | None = None
) -> list[Candidates]:
    """The `k` best allowed items of each request's beams; `within(rows (n,), items (n,)) -> (n,)` gives the
    logits of q.

    Without `within`, the items of an ID share its probability equally. Equal scores are ordered by Semantic
    ID, then by item index. Raises InputError when k is below 1.
    """
    if k < 1:
        raise InputError(f"k: {k}; ask for at least one item")
    counts = beams.counts.cpu().numpy()
    found = np.arange(beams.leaf.shape[1])[None, :] < counts[:, None]
    leaf, score = beams.leaf.cpu().numpy()[found], beams.score.cpu().numpy()[found].astype(np.float64)
    begin, lengths = trie.item_starts[leaf].astype(np.int64), np.diff(trie.item_starts)[leaf].astype(np.int64)
    ends = np.cumsum(lengths)
    position = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begin - (ends - lengths), lengths)
    row = np.repeat(np.repeat(np.arange(len(counts)), counts), lengths)
    items = trie.items[position].astype(np.int64)
    logits = np.zeros(len(items)) if within is None else np.asarray(within(row, items), np.float64)
    scores = np.repeat(score, lengths) + _log_shares(logits, ends - lengths, lengths)
    bounds = np.searchsorted(row, np.arange(len(counts) + 1))
    exact = beams.exact.cpu().numpy()
    return [
        _best(items[a:b], scores[a:b], position[a:b], one, k, bool(whole))
        for a, b, one, whole in zip(bounds, bounds[1:], allowed, exact, strict=False)
    ]


def _log_shares(logits: npt.NDArray[np.float64], begins: Ints, lengths: Ints) -> npt.NDArray[np.float64]:
    """Log-softmax inside consecutive groups."""
    if not len(logits):
        return logits
    logits = logits - np.repeat(np.maximum.reduceat(logits, begins), lengths)
    return np.asarray(logits - np.repeat(np.log(np.add.reduceat(np.exp(logits), begins)), lengths))


def _best(
    items: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    position: Ints,
    allowed: Allowed,
    k: int,
    exact: bool,
) -> Candidates:
    """The k best allowed items of one request, and why there are fewer if so."""
    kept = np.flatnonzero(allowed.allows(items))
    kept = kept[np.lexsort((position[kept], -scores[kept]))][:k]
    reason = allowed.reason
    if reason is None and len(kept) < k:
        reason = (
            f"only {allowed.items} items are allowed"
            if exact
            else f"the beam reached {len(kept)} items; widen it to get {k}"
        )
    return Candidates(items[kept], scores[kept], (MODEL,) * len(kept), reason)


def with_new_items(main: Candidates, fresh: Candidates, k: int, share: float) -> Candidates:
    """`k` items of which ceil(share k) slots are kept for new ones: the best of `main`, then the best of
    `fresh` not among them.

    `fresh` comes of a second search over the same request restricted to new items; its slots are marked "new"
    and stand last, for their scores say nothing against the others'. Slots that new items cannot fill go back
    to `main`.

    Raises
    ------
    InputError
        when the share is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise InputError(f"share of new items {share}: give a number from 0 to 1")
    slots = math.ceil(share * k - 1e-9)
    head = main.items[: k - slots]
    chosen = np.flatnonzero(~np.isin(fresh.items, head))[:slots]
    taken = np.flatnonzero(~np.isin(main.items, fresh.items[chosen]))[: k - len(chosen)]
    items = np.concatenate([main.items[taken], fresh.items[chosen]])
    scores = np.concatenate([main.scores[taken], fresh.scores[chosen]])
    source = tuple(main.source[row] for row in taken) + (NEW,) * len(chosen)
    return Candidates(items, scores, source, main.reason if len(items) < k else None)


def fuse(candidates: Candidates, cosine: Floats, weight: float, temperature: float = 1.0) -> Candidates:
    """Reorder by weight * log P + (1 - weight) * cosine / temperature; `cosine` (n,) is of the history and
    each item's content.

    Raises InputError when the weight is outside [0, 1] or the temperature not above 0.
    """
    if not 0 <= weight <= 1 or temperature <= 0:
        raise InputError(f"fusion weight {weight} must lie in [0, 1] and temperature {temperature} above 0")
    mixed = weight * candidates.scores + (1 - weight) * np.asarray(cosine, np.float64) / temperature
    order = np.argsort(-mixed, kind="stable")
    source = tuple(candidates.source[row] for row in order)
    return replace(candidates, items=candidates.items[order], scores=mixed[order], source=source)


def choose_weight(
    candidates: Sequence[Candidates],
    cosines: Sequence[Floats],
    targets: Ints,
    temperature: float = 1.0,
    grid: Sequence[float] = WEIGHTS,
) -> tuple[float, dict[float, float]]:
    """The fusion weight with the best N@10 on validation targets (U,), the larger of equals; and N@10 by
    weight.
    """
    found = {}
    for weight in grid:
        lists = [
            fuse(one, cosine, weight, temperature).items
            for one, cosine in zip(candidates, cosines, strict=True)
        ]
        found[weight] = float(ndcg_at(rank_in_lists(lists, targets), 10).mean())
    return max(found, key=lambda weight: (found[weight], weight)), found
