"""Nearest items by vectors: what sounds or looks like an item, and which item a clip or picture shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float32]


class Near:
    """Cosine neighbours in standardised `vectors` (N, d); NaN rows are items without a vector, near to
    nothing.
    """

    def __init__(self, vectors: Floats) -> None:
        self.known = np.asarray(~np.isnan(vectors).any(axis=1), np.bool_)
        if not self.known.any():
            raise InputError("no item has a vector to compare; run `tastemaker encode`")
        present = vectors[self.known].astype(np.float64)
        self._mean, self._spread = present.mean(axis=0), np.maximum(present.std(axis=0), 1e-6)
        self._unit = np.nan_to_num(self._unit_rows(vectors))

    def _unit_rows(self, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        scaled = (vectors - self._mean) / self._spread
        return np.asarray(scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12))

    def like(self, row: int, share: float = 0.1) -> npt.NDArray[np.bool_] | None:
        """(N,) the `share` of items nearest to item `row`, itself included; None when it has no vector."""
        if not self.known[row]:
            return None
        scores = np.where(self.known, self._unit @ self._unit[row], -np.inf)
        kept = max(2, round(share * int(self.known.sum())))
        return np.asarray(scores >= np.sort(scores)[-kept])

    def best(self, query: Floats) -> int:
        """The row nearest to a query (d,)."""
        scores = self._unit @ self._unit_rows(query[None].astype(np.float64))[0]
        return int(np.where(self.known, scores, -np.inf).argmax())

    def ranked(self, query: Floats, k: int) -> npt.NDArray[np.int64]:
        """The k rows nearest to a query (d,), nearest first; a query without a vector (NaN) finds none."""
        if np.isnan(query).any():
            return np.empty(0, np.int64)
        scores = np.where(
            self.known, self._unit @ self._unit_rows(query[None].astype(np.float64))[0], -np.inf
        )
        return np.argsort(-scores, kind="stable")[:k]


def same_melody(chroma: Floats) -> Callable[[Floats], int]:
    """A finder of the row whose pitch classes (N, b, 12) equal a query's (b, 12) best in any of the 12
    transpositions.
    """
    table = np.nan_to_num(chroma.astype(np.float64), nan=np.inf)

    def find(query: Floats) -> int:
        distances = [np.square(table - np.roll(query, step, axis=-1)).sum(axis=(1, 2)) for step in range(12)]
        return int(np.min(distances, axis=0).argmin())

    return find


def top(scores: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.int64]:
    """The k rows of highest positive score, highest first, ties by row."""
    order = np.argsort(-scores, kind="stable")[:k]
    return np.asarray(order[scores[order] > 0], np.int64)
