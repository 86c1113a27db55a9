"""Intervals of what follows from totals: units (people, conversations) redrawn with all their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

_CHUNK = 4_000_000  # numbers held at once


def by_unit(values: Floats, units: npt.ArrayLike | None) -> Floats:
    """(U, k) sums by unit of values (n, k); each row is a unit of its own when `units` (n,) is not given."""
    if units is None:
        return values
    owner = np.unique(np.asarray(units), return_inverse=True)[1]
    return np.column_stack([np.bincount(owner, column) for column in values.T])


def draw_counts(n: int, key: Sequence[str | int], resamples: int) -> Iterator[Ints]:
    """How often each of n units is drawn in `resamples` draws of n, replaced; (draws, n) at a time."""
    if resamples < 1:
        raise InputError(f"resamples is {resamples}; a bootstrap needs at least 1")
    rng, step = generator(*key, "bootstrap of users"), max(1, _CHUNK // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        offsets = (np.arange(size, dtype=np.int64) * n)[:, None]
        drawn = rng.integers(0, n, size=(size, n), dtype=np.int32) + offsets
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


def resampled(sums: Floats, key: Sequence[str | int], resamples: int) -> Floats:
    """(resamples, k) totals of as many units drawn with replacement; sums (U, k)."""
    return np.concatenate([counts @ sums for counts in draw_counts(len(sums), key, resamples)])


def of_totals(
    sums: Floats,
    statistic: Callable[[Floats], Floats],
    key: Sequence[str | int],
    resamples: int,
    kind: str,
    assumptions: tuple[str, ...] = (),
) -> Interval:
    """`statistic`, which maps totals (r, k) to values (r,), of the sums (U, k) of U units, with its 95 %
    percentile interval; resamples without a value are left out. n of the result counts units.
    """
    values = statistic(resampled(sums, key, resamples))
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
    value = statistic(sums.sum(axis=0)[None])[0]
    return Interval(float(value), float(low), float(high), len(sums), kind, assumptions)
