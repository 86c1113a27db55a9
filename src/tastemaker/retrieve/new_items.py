"""Items that came after training: how well each fits a history, for the places of a list kept for them.

Training gave them no vector, and a Semantic ID alone says little about one item. So a new item gets the
vector that its words would have, by a linear map fitted on the items that training knew, and what of the
history is like it by content counts beside it. Both numbers were chosen on targets of Beauty's validation
part treated as new (docs/plum/cold_items.md). Source: content beside codes for cold items as in LIGER, arXiv
2411.18814; the linear map is that of attribute-to-feature mappings (Gantner et al., ICDM 2010).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tastemaker.retrieve.allow import Allowed
from tastemaker.retrieve.baselines import summed, weights_of
from tastemaker.retrieve.candidates import Candidates, best_among
from tastemaker.retrieve.evaluation import Sequences
from tastemaker.stats.ranking import best_places

Floats = npt.NDArray[np.float32]
NEIGHBOURS = 100  # known items that are kept of those like a new one
CHUNK = 20_000_000  # likenesses held at once
RIDGE, MANY, LARGEST = 15.0, 20, 50_000  # of the map; events that count of an item; items it is fitted on
DECAY = 0.8  # what an event of the history counts, for each later one
ARRAYS = ("new_rows", "new_vectors", "like_starts", "like_items", "like_values")


@dataclass(frozen=True)
class Fusion:
    """Weights in a new item's score: of its log-probability, and of how like the history it is."""

    model: float = 1.0
    content: float = 6.5


@dataclass(frozen=True, eq=False)
class NewItems:
    """rows (M,): indices of the new items. vectors (M, d): what stands for their learnt ones, d = 0 where
    nothing does. like (M, N) sparse: cosines to the known items most like each.
    """

    rows: npt.NDArray[np.int64]
    vectors: Floats
    like: Any
    fusion: Fusion = Fusion()

    def best(
        self, table: Floats, contexts: Sequences, allowed: Sequence[Allowed], k: int
    ) -> list[Candidates]:
        """The `k` best allowed new items of each history; `table` (U, N): what the system gives items."""
        fits = self.fusion.model * table[:, self.rows] + self.fusion.content * self.content(contexts)
        return [best_among(scores, self.rows, may, k) for scores, may in zip(fits, allowed, strict=True)]

    def fused(self, candidates: Sequence[Candidates], contexts: Sequences) -> list[Candidates]:
        """Candidates (new items) with the likeness of each history added, best first."""
        place = {item: row for row, item in enumerate(self.rows.tolist())}
        out = []
        for answer, like in zip(candidates, self.content(contexts), strict=True):
            near = like[[place[item] for item in answer.items.tolist()]]
            out.append(answer.by(self.fusion.model * answer.scores + self.fusion.content * near))
        return out

    def content(self, contexts: Sequences) -> Floats:
        """(U, M) mean likeness of each new item to a history, later events counting for more."""
        return summed(contexts, weights_of(contexts, DECAY), self._liked)

    @cached_property
    def _liked(self) -> Any:
        """(N, M) `like` by known item."""
        return self.like.T.tocsr()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """To be kept beside other arrays."""
        parts = self.rows, self.vectors, self.like.indptr, self.like.indices, self.like.data
        return dict(zip(ARRAYS, (np.ascontiguousarray(part) for part in parts), strict=True))

    @classmethod
    def load(cls, arrays: Mapping[str, npt.NDArray[Any]], n_items: int) -> NewItems | None:
        """What `arrays` kept; None where no item is new."""
        if ARRAYS[0] not in arrays:
            return None
        rows, vectors, starts, items, values = (arrays[name] for name in ARRAYS)
        return cls(rows, vectors, sparse.csr_array((values, items, starts), shape=(len(rows), n_items)))


def likeness(views: Sequence[Any], new: npt.NDArray[np.bool_]) -> Any:
    """(M, N) sparse cosines of the items marked in `new` (N,) to the others most like each: the mean over
    `views`, each an (N, d) array or sparse matrix of unit rows, a row of zeros where an item has none.
    """
    rows, known = np.flatnonzero(new), np.flatnonzero(~new)
    parts = [(view[rows], view[known].T) for view in views] if len(known) else []
    count, step = min(NEIGHBOURS, len(known)), max(1, CHUNK // max(1, len(known)))
    items, values = [np.empty((0, count), np.int64)], [np.empty((0, count), np.float32)]
    for start in range(0, len(rows) if parts else 0, step):
        products = [a[start : start + step] @ b for a, b in parts]
        dense = (product.toarray() if sparse.issparse(product) else product for product in products)
        total = sum(dense) / len(parts)
        nearest = np.stack([best_places(row, count) for row in total])
        items.append(known[nearest])
        values.append(np.maximum(np.take_along_axis(total, nearest, 1), 0).astype(np.float32))
    flat = np.concatenate(items)
    cells = np.concatenate(values).ravel(), (np.repeat(np.arange(len(flat)), count), flat.ravel())
    like = sparse.csr_array(cells, shape=(len(rows), len(new)))
    like.eliminate_zeros()
    return like


def composed(
    words: Any, vectors: Floats, events: npt.NDArray[np.int64], new: npt.NDArray[np.bool_]
) -> Floats:
    """(M, d) vectors of the items marked in `new` (N,) by their `words` (N, T): the map is a ridge regression
    of the learnt `vectors` (N, d) on words, items with more `events` (N,) counting for more.
    """
    from sklearn.linear_model import Ridge

    known = np.flatnonzero(~new & (events > 0))
    if not len(known):
        return np.zeros((int(new.sum()), vectors.shape[1]), np.float32)
    known = known[np.argsort(-events[known], kind="stable")[:LARGEST]]
    fitted = Ridge(alpha=RIDGE, fit_intercept=False, solver="sparse_cg")
    fitted.fit(words[known], vectors[known], sample_weight=np.minimum(events[known], MANY).astype(np.float32))
    return np.asarray(fitted.predict(words[np.flatnonzero(new)]), np.float32)
