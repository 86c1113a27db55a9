"""Recommenders no model may lose to: popularity, content neighbours, co-occurrence, and word search.

Each `fit` returns `score(contexts) -> (U, N)`, higher is better, for `retrieve.evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tastemaker.errors import InputError
from tastemaker.retrieve.evaluation import Floats, Score, Sequences, followed, row_of_event

# Words, and single characters of scripts written without spaces.
TOKEN = r"(?u)[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"


WINDOW, DAMPING, DECAY = 3, 5.0, 0.8  # of co-occurrence
# BM25: how soon repeats of a word stop counting, and how much long texts are held back.
HABIT_DECAY = 0.99  # .98 to 1 did about as well on a log of groceries
SATURATION, LENGTH_PENALTY = 1.2, 0.75


def popularity(train: Sequences, n_items: int) -> Score:
    """Score every item by its number of training events, for everybody alike."""
    counts = np.bincount(train.items, minlength=n_items).astype(np.float32)
    return lambda contexts: np.broadcast_to(counts, (len(contexts.offsets) - 1, n_items))


def late_popularity(items: npt.NDArray[np.int64], times: npt.NDArray[np.float64], n_items: int) -> Score:
    """Score items by their events (E,) among the latest tenth by `times` (E,), NaN where unknown."""
    known = ~np.isnan(times)
    late = known & (times >= np.quantile(times[known], 0.9)) if known.any() else known
    counts = np.bincount(items[late], minlength=n_items).astype(np.float32)
    return lambda contexts: np.broadcast_to(counts, (len(contexts.offsets) - 1, n_items))


def profile(contexts: Sequences, n_items: int, use: Literal["last", "mean"], decay: float = 1.0) -> Any:
    """(U, N) sparse weights of each context's items: 1 for the last, or decay^age; rows sum to 1."""
    weights = (ages(contexts) == 0).astype(np.float32) if use == "last" else weights_of(contexts, decay)
    shape = (len(contexts.offsets) - 1, n_items)
    return sparse.csr_array((weights, (row_of_event(contexts), contexts.items)), shape=shape)


def ages(contexts: Sequences) -> npt.NDArray[np.int64]:
    """(E,) how many events of the same row come after each event."""
    lengths = np.diff(contexts.offsets)
    return np.asarray(np.repeat(contexts.offsets[1:], lengths) - 1 - np.arange(len(contexts.items)))


def weights_of(contexts: Sequences, decay: float) -> npt.NDArray[np.float32]:
    """(E,) decay^age of each event, those of a row summing to 1."""
    weights, rows = np.power(np.float32(decay), ages(contexts)).astype(np.float32), row_of_event(contexts)
    total = np.maximum(np.bincount(rows, weights, minlength=len(contexts.offsets) - 1), 1e-12)
    return np.asarray(weights / total[rows], np.float32)


def summed(contexts: Sequences, weights: npt.NDArray[Any], table: Any) -> npt.NDArray[np.float32]:
    """(U, M) sums of the rows of `table` (N, M), in CSR form, of each context's items, an event counting by
    its weight (E,); for few contexts in a fraction of the time of a sparse product.
    """
    items, columns = np.asarray(contexts.items), int(table.shape[1])
    starts, counts = table.indptr[items].astype(np.int64), table.indptr[items + 1] - table.indptr[items]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    cells = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], counts)
    places, values = table.indices[cells], table.data[cells] * np.repeat(weights, counts)
    sums = np.empty((len(contexts.offsets) - 1, columns), np.float32)
    for row, (start, stop) in enumerate(pairwise(ends[contexts.offsets].tolist())):
        sums[row] = np.bincount(places[start:stop], values[start:stop], columns)
    return sums


def habit(contexts: Sequences, n_items: int, decay: float = HABIT_DECAY) -> npt.NDArray[np.float32]:
    """(U, N) how often a person had each item, age t counting decay^t: hard to beat where people return."""
    weights, sums = (
        np.power(decay, ages(contexts)),
        np.empty((len(contexts.offsets) - 1, n_items), np.float32),
    )
    for row, (start, stop) in enumerate(pairwise(contexts.offsets.tolist())):
        sums[row] = np.bincount(contexts.items[start:stop], weights[start:stop], n_items)
    return sums


def content_knn(vectors: Floats, use: Literal["last", "mean"] = "last") -> Score:
    """Score by cosine of content `vectors` (N, d) to the last item, or to the mean of the history's.

    An item without a vector (NaN row) has cosine 0 to everything.
    """
    known = np.nan_to_num(np.asarray(vectors, np.float32))
    unit = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)

    def score(contexts: Sequences) -> Floats:
        mean = np.asarray(profile(contexts, len(unit), use) @ unit)
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return np.asarray(mean @ unit.T)

    return score


def cooccurrence(train: Sequences, n_items: int) -> Score:
    """Score by damped item-item co-occurrence: n_ab / sqrt(c_a c_b) * n_ab / (n_ab + DAMPING), both ways.

    `n_ab` counts pairs at most WINDOW events apart in a training history, `c_a` the pairs item a is in; a
    history item of age t (0 = last) weighs DECAY^t. Source: item-item collaborative filtering, Sarwar et al.
    2001, with the significance weighting of Herlocker et al. 1999.
    """
    apart = list(followed(train, WINDOW))
    empty = np.empty(0, np.int64)
    left, right = (np.concatenate([empty, *(pair[side] for pair in apart)]) for side in (1, 2))
    ones = np.ones(2 * len(left), np.float32)
    pairs = (
        sparse.coo_array((ones, (np.r_[left, right], np.r_[right, left])), shape=(n_items, n_items))
        .tocsr()
        .tocoo()
    )
    seen = np.maximum(np.bincount(np.r_[left, right], minlength=n_items), 1).astype(np.float32)
    near, far = pairs.coords
    strength = pairs.data / np.sqrt(seen[near] * seen[far]) * pairs.data / (pairs.data + np.float32(DAMPING))
    table = sparse.csr_array((strength.astype(np.float32), (near, far)), shape=(n_items, n_items))

    def score(contexts: Sequences) -> Floats:
        return np.asarray((profile(contexts, n_items, "mean", DECAY) @ table).todense())

    return score


class Lexical:
    """Word search over item texts (N,), ranked by BM25 (Robertson & Zaragoza 2009)."""

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer  # takes a second to load

        self._words = CountVectorizer(token_pattern=TOKEN, strip_accents="unicode", dtype=np.float32)
        try:
            counts = self._words.fit_transform(texts).tocoo()
        except ValueError:
            raise InputError(
                "word search: no item text holds a word; give the items a title or a text"
            ) from None
        rows, words = counts.coords
        lengths = np.bincount(rows, counts.data, minlength=len(texts))
        held_back = 1 - LENGTH_PENALTY + LENGTH_PENALTY * lengths / max(lengths.mean(), 1e-12)
        documents = np.bincount(words, minlength=counts.shape[1])
        rarity = np.log1p((len(texts) - documents + 0.5) / (documents + 0.5))
        weight = counts.data * (SATURATION + 1) / (counts.data + SATURATION * held_back[rows])
        scores = (weight * rarity[words]).astype(np.float32)
        self._table: Any = sparse.csr_array((scores, (words, rows)), shape=counts.shape[::-1])
        self._of_item: Any = sparse.csr_array(counts)

    def search(self, queries: Sequence[str]) -> Floats:
        """(Q, N) BM25 score of every item for each query; 0 where no word is shared."""
        return np.asarray((self._words.transform(queries) @ self._table).todense())

    def score(self, contexts: Sequences) -> Floats:
        """(U, N) the last item's text used as the query, each of its words once."""
        last = profile(contexts, self._of_item.shape[0], "last") @ self._of_item
        return np.asarray(((last > 0).astype(np.float32) @ self._table).todense())
