"""Metrics of ranked lists, one number a user, for means, slices and bootstraps of the same arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Bools, Floats


def _hits(ranks: npt.ArrayLike, k: int) -> tuple[Floats, Bools]:
    """Ranks as float64 and whether each is within the first `k`; 0, inf and NaN mean "not found"."""
    array = np.asarray(ranks, dtype=np.float64)
    return array, (array >= 1) & (array <= k)


def recall_at(ranks: npt.ArrayLike, k: int) -> Floats:
    """1 where the target is among the first `k`, else 0.

    `ranks` (U,) count from 1; 0, inf and NaN mean that the target was not found. With one target a user this
    is also the hit rate.
    """
    return _hits(ranks, k)[1].astype(np.float64)


def ndcg_at(ranks: npt.ArrayLike, k: int) -> Floats:
    """1 / log2(1 + rank) where the target is among the first `k`, else 0: NDCG with one relevant item a user.

    `ranks` (U,) as in `recall_at`. Source: Jarvelin and Kekalainen, ACM TOIS 2002, with an ideal gain of 1.
    """
    array, hit = _hits(ranks, k)
    return np.where(hit, 1.0 / np.log2(1.0 + np.where(hit, array, 1.0)), 0.0)


def best_places(scores: npt.NDArray[np.floating[Any]], k: int) -> npt.NDArray[np.int64]:
    """The places (at most `k`) of the highest of `scores` (N,), highest first, ties by place; -inf is never
    one of them. All are read once, and only the best are sorted.
    """
    n = len(scores)
    places = np.flatnonzero(scores >= np.partition(scores, n - k)[n - k]) if 0 < k < n else np.arange(n)
    places = places[scores[places] > -np.inf]
    return places[np.argsort(-scores[places], kind="stable")][:k]


def coverage_curve(counts: npt.ArrayLike) -> Floats:
    """Share of all recommended slots that the n most recommended items cover, for n = 1..N.

    `counts` (N,): how often each item was recommended. Returns (N,), non-decreasing, ending at 1 (zeros if
    nothing was recommended).
    """
    array = np.sort(np.asarray(counts, dtype=np.float64).ravel())[::-1]
    total = array.sum()
    return np.cumsum(array) / total if total > 0 else np.zeros_like(array)


def effective_vocabulary(counts: npt.ArrayLike, share: float = 0.95) -> int:
    """Fewest items that cover `share` of the recommended slots; 0 when nothing was recommended.

    `counts` (N,): how often each item was recommended. Source: PLUM, arXiv 2510.07784, section 4.
    """
    array = np.sort(np.asarray(counts, dtype=np.float64).ravel())[::-1]
    total = array.sum()
    if total <= 0:
        return 0
    # The tolerance keeps 95 of 100 at share .95 on the right side of floating point.
    return int(np.searchsorted(np.cumsum(array), share * total * (1 - 1e-12)) + 1)
