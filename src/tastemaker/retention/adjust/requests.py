"""Scored candidates laid out for work: request after request, each with its best base score first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.schema.columns import numbers, texts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Makes the median absolute deviation of a normal distribution its standard deviation.
NORMAL = 1.4826


@dataclass(frozen=True)
class Requests:
    """n candidates of Q requests; a "place" is a row of this layout.

    rows (n,): row of the table at each place; offsets (Q + 1,); request (n,): number of its request; z (n,):
    score in median absolute deviations of its request (the raw score where not standardised); p_pos, p_neg
    (n,); flat (Q,): scores of the request do not vary (MAD 0). Equal scores are in the order of item_id.
    """

    rows: Ints
    offsets: Ints
    request: Ints
    z: Floats
    p_pos: Floats
    p_neg: Floats
    flat: npt.NDArray[np.bool_]

    @cached_property
    def rank(self) -> Ints:
        """Base rank (n,) from 1."""
        return np.arange(len(self.rows)) - self.offsets[self.request] + 1

    @cached_property
    def discount(self) -> Floats:
        """e_j = 1 / log2(1 + j) (n,) of the position each place is."""
        return np.asarray(1.0 / np.log2(1.0 + self.rank), dtype=np.float64)

    def sums(self, values: npt.NDArray[Any]) -> Floats:
        """Sums (Q,) of values (n,) by request."""
        return np.asarray(np.add.reduceat(values, self.offsets[:-1]), dtype=np.float64)

    def sorted_by(self, key: Floats) -> Ints:
        """Places (n,) with the largest key first in each request; equal keys keep the base order."""
        sizes = np.diff(self.offsets)
        if np.all(sizes == sizes[0]):  # the usual case, several times faster than one sort of everything
            grid = np.argsort(-key.reshape(-1, sizes[0]), axis=1, kind="stable")
            return (grid + self.offsets[:-1, None]).ravel()
        return np.lexsort((-key, self.request)).astype(np.int64, copy=False)


def ids_of(table: pa.Table, name: str) -> pl.Series:
    """A column of ids. Raises InputError where it is missing or empty."""
    return pl.Series(name, texts(table, name, "scored"))


def read_requests(scored: pa.Table, standardise: bool = True) -> Requests:
    """Lay `scored` out: request_id, item_id, score, p_pos, and p_neg (1 - p_pos where there is no such
    column).

    Raises InputError naming row and column on a missing column, an empty id, a score that is not finite, a
    probability outside [0, 1], an item twice in a request, or a table without rows.
    """
    if not scored.num_rows:
        raise InputError("scored: the table has no rows; there is nothing to adjust")
    score = numbers(scored, "score", "scored")
    p_pos = numbers(scored, "p_pos", "scored", low=0, high=1)
    p_neg = numbers(scored, "p_neg", "scored", low=0, high=1) if "p_neg" in scored.column_names else 1 - p_pos
    over = np.flatnonzero(p_pos + p_neg > 1 + 1e-6)
    if len(over):
        raise InputError(
            f"scored: row {over[0] + 1}: p_pos and p_neg add to more than 1; both are shares of the same"
            " answers"
        )
    names, items = ids_of(scored, "request_id"), ids_of(scored, "item_id")
    frame = pl.DataFrame(
        {"request": names.rank("dense"), "item": items.rank("dense"), "score": -score}
    ).with_row_index("row")
    frame = frame.sort("request", "score", "item")
    request = frame["request"].to_numpy().astype(np.int64) - 1
    rows = frame["row"].to_numpy().astype(np.int64)
    _refuse_twice(frame, names, items)
    offsets = np.searchsorted(request, np.arange(request[-1] + 2))
    z, flat = (
        _standardised(score[rows], request, offsets)
        if standardise
        else (score[rows], np.zeros(len(offsets) - 1, bool))
    )
    return Requests(rows, offsets, request, z, p_pos[rows], p_neg[rows], flat)


def grid_requests(score: Floats, p_pos: Floats, p_neg: Floats, standardise: bool = True) -> Requests:
    """The layout of requests that all have n candidates: scores and probabilities (Q, n), row = request x n +
    candidate.

    Equal scores keep the order of candidates. Raises InputError on shapes that differ or a number that is not
    finite.
    """
    if score.ndim != 2 or not score.size or score.shape != p_pos.shape or score.shape != p_neg.shape:
        raise InputError(
            f"scores and probabilities need one shape (requests, items); got {score.shape}, {p_pos.shape},"
            f" {p_neg.shape}"
        )
    for name, values in (("score", score), ("p_pos", p_pos), ("p_neg", p_neg)):
        if not np.all(np.isfinite(values)):
            raise InputError(f"request {np.argwhere(~np.isfinite(values))[0][0] + 1}: {name} is not finite")
    q, n = score.shape
    rows = (np.argsort(-score, axis=1, kind="stable") + np.arange(q)[:, None] * n).ravel()
    request, offsets = np.repeat(np.arange(q), n), np.arange(q + 1) * n
    ordered = score.ravel()[rows]
    z, flat = _standardised(ordered, request, offsets) if standardise else (ordered, np.zeros(q, bool))
    return Requests(rows, offsets, request, z, p_pos.ravel()[rows], p_neg.ravel()[rows], flat)


def _refuse_twice(frame: pl.DataFrame, names: pl.Series, items: pl.Series) -> None:
    pairs = frame["request"].cast(pl.UInt64) * (int(frame["item"].max()) + 1) + frame["item"]  # type: ignore[arg-type]
    if pairs.n_unique() < len(frame):
        row = int(frame.filter(pairs.is_duplicated())["row"].sort()[0])
        raise InputError(
            f"scored: row {row + 1}: item '{items[row]}' comes twice in request '{names[row]}'; keep one row"
            " a request and item"
        )


def _standardised(score: Floats, request: Ints, offsets: Ints) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(score - median) / (1.4826 MAD) by request, and which requests have MAD 0 (their z is 0)."""
    away = score - _medians(score, offsets)[request]
    size = np.abs(away)
    mad = _medians(size[np.lexsort((size, request))], offsets)
    flat = mad <= 0
    return np.where(flat[request], 0.0, away / (NORMAL * np.where(flat, 1.0, mad)[request])), flat


def _medians(ordered: Floats, offsets: Ints) -> Floats:
    """Medians (Q,) of values that are sorted within each request."""
    n = np.diff(offsets)
    return np.asarray(
        (ordered[offsets[:-1] + (n - 1) // 2] + ordered[offsets[:-1] + n // 2]) / 2, dtype=np.float64
    )
