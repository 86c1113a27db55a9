"""What followed what in training, mixed into a model's probabilities: p(i | u) = (1 - w) P_model(i | u) + w P_memory(i | u).

A language model generalises but forgets rare transitions that plain counts keep; interpolating both is the nearest-neighbour
language model of Khandelwal et al. (arXiv 1911.00172) with item transitions as its datastore. The memory proposes nothing:
it only weighs what the search found. Both parts are distributions over the whole catalogue, so filters reorder nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tastemaker.errors import ArtifactError, InputError
from tastemaker.retrieve.candidates import Candidates
from tastemaker.retrieve.evaluation import Ints, Score, Sequences, rank_in_lists, row_of_event
from tastemaker.stats.ranking import ndcg_at

Floats = npt.NDArray[np.float64]
GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, eq=False)
class Memory:
    """Transitions of the training part: `table` (N, N) sparse, row a holds how strongly each item followed item a.

    `decay`: what an item of the history weighs, per event of age. The latest event weighs 1.
    """

    table: Any
    decay: float

    def probabilities(self, history: Ints, items: Ints) -> Floats:
        """P_memory (n,) of `items` after `history` (H,) item indices, oldest first; all 0 when nothing is remembered."""
        weights = self.decay ** np.arange(len(history) - 1, -1, -1, dtype=np.float64)
        scores, total = np.zeros(len(items)), 0.0
        order = np.argsort(items, kind="stable")
        ranked = np.asarray(items)[order]
        for item, weight in zip(np.asarray(history), weights, strict=True):
            begin, end = self.table.indptr[item], self.table.indptr[item + 1]
            columns, values = self.table.indices[begin:end], self.table.data[begin:end]
            total += weight * float(values.sum())
            place = np.searchsorted(ranked, columns)
            hit = (place < len(ranked)) & (ranked[np.minimum(place, len(ranked) - 1)] == columns) if len(ranked) else place < 0
            scores[order[place[hit]]] += weight * values[hit]
        return scores / total if total > 0 else scores

    def score(self, contexts: Sequences) -> npt.NDArray[np.float32]:
        """(U, N) float32 P_memory of every item after each context: the memory as a recommender of its own."""
        lengths = np.diff(contexts.offsets)
        age = np.repeat(contexts.offsets[1:], lengths) - 1 - np.arange(len(contexts.items))
        cells = (self.decay ** age.astype(np.float64), (row_of_event(contexts), np.asarray(contexts.items)))
        profile = sparse.coo_array(cells, shape=(len(lengths), self.table.shape[0])).tocsr()
        scores = np.asarray((profile @ self.table).todense(), np.float32)
        return np.asarray(scores / np.maximum(scores.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny), np.float32)

    def beside(self, score: Score, weight: float) -> Score:
        """The mixture with another recommender's softmax over all items, for a control with the same memory."""

        def both(contexts: Sequences) -> npt.NDArray[np.float32]:
            logits = np.asarray(score(contexts), np.float32)
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            mass = odds.sum(axis=1, keepdims=True)
            return np.asarray((1 - weight) * odds / mass + weight * self.score(contexts), np.float32)

        return both

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays to store."""
        table = self.table
        return {"indptr": table.indptr.astype(np.int64), "indices": table.indices.astype(np.int32), "data": table.data}

    @classmethod
    def load(cls, arrays: Mapping[str, npt.NDArray[Any]], decay: float, n_items: int) -> Memory:
        """What `arrays` came from; ArtifactError when they are not of `n_items` items."""
        if len(arrays["indptr"]) != n_items + 1:
            raise ArtifactError(f"memory: made for {len(arrays['indptr']) - 1} items, the catalogue has {n_items}; train again")
        table = sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(n_items, n_items))
        return cls(table, decay)


def fit_memory(train: Sequences, n_items: int, window: int = 10, decay: float = 0.6) -> Memory:
    """Count, for every training event, the up to `window` events after it, each by 1 / distance.

    Only forward in time: on the Beauty data, counting backwards too cost validation recall. Raises InputError for a window
    below 1 or a decay outside (0, 1].
    """
    if window < 1 or not 0 < decay <= 1:
        raise InputError(f"memory: window {window} must be at least 1 and decay {decay} in (0, 1]")
    user, items = row_of_event(train), np.asarray(train.items)
    rows, columns, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for step in range(1, min(window, len(items) - 1) + 1):
        same = (user[:-step] == user[step:]) & (items[:-step] != items[step:])
        rows.append(items[:-step][same])
        columns.append(items[step:][same])
        values.append(np.full(int(same.sum()), 1 / step, np.float32))
    cells = (np.concatenate(rows), np.concatenate(columns))
    table = sparse.coo_array((np.concatenate(values), cells), shape=(n_items, n_items)).tocsr()
    table.sort_indices()
    return Memory(table, decay)


def mixed(candidates: Candidates, remembered: Floats, weight: float) -> Candidates:
    """`candidates` (scores are log-probabilities) reordered by the mixture with `remembered` (n,); scores stay logarithms.

    Raises InputError when the weight is outside [0, 1).
    """
    if not 0 <= weight < 1:
        raise InputError(f"memory weight {weight} must lie in [0, 1)")
    scores = np.log((1 - weight) * np.exp(candidates.scores) + weight * remembered + np.finfo(np.float64).tiny)
    order = np.argsort(-scores, kind="stable")
    source = tuple(candidates.source[row] for row in order)
    return replace(candidates, items=candidates.items[order], scores=scores[order], source=source)


def choose_weight(
    candidates: Sequence[Candidates], remembered: Sequence[Floats], targets: Ints, grid: Sequence[float] = GRID
) -> tuple[float, dict[float, float]]:
    """The weight with the best N@10 on validation targets (U,), the smallest of equals; and N@10 by weight."""
    found = {}
    for weight in grid:
        lists = [mixed(one, known, weight).items for one, known in zip(candidates, remembered, strict=True)]
        found[weight] = float(ndcg_at(rank_in_lists(lists, targets), 10).mean())
    return max(found, key=lambda weight: (found[weight], -weight)), found
