"""Bootstrap over users of anything that is a function of sums: the sums are kept by user and drawn again
together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_HELD = 4_000_000  # numbers held at once


def by_user(values: Floats, users: npt.ArrayLike | None) -> Floats:
    """(U, k) sums by user of values (n, k); each row is a user of its own when `users` (n,) is not given."""
    if users is None:
        return values
    owner = np.unique(np.asarray(users), return_inverse=True)[1]
    if len(owner) != len(values):
        raise InputError(f"users has {len(owner)} entries for {len(values)} rows; give the user of each row")
    return np.column_stack([np.bincount(owner, column) for column in values.T])


def resampled(sums: Floats, key: Sequence[str | int], resamples: int) -> Floats:
    """(resamples, k) totals of as many users drawn with replacement; sums (U, k)."""
    if resamples < 1:
        raise InputError(f"resamples is {resamples}; a bootstrap needs at least 1")
    rng = generator(*key, "bootstrap of users")
    n = len(sums)
    out = np.empty((resamples, sums.shape[1]))
    step = max(1, _HELD // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = (
            rng.integers(0, n, size=(size, n), dtype=np.int32)
            + (np.arange(size, dtype=np.int64) * n)[:, None]
        )
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        out[start : start + size] = counts @ sums
    return out


def bounds(
    sums: Floats,
    statistic: Callable[[Floats], Floats],
    key: Sequence[str | int],
    resamples: int,
    level: float,
) -> tuple[float, float]:
    """Percentile interval of `statistic`, which maps totals (r, k) to values (r,); resamples without a value
    are left out.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give the coverage of the interval, above 0 and below 1")
    values = statistic(resampled(sums, key, resamples))
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def checked(
    *arrays: npt.ArrayLike, weight: npt.ArrayLike | None, names: Sequence[str]
) -> tuple[list[Floats], Floats, Ints]:
    """Arrays of equal length as float64 without the rows where one is NaN or has no weight; the weights; the
    rows kept.

    Raises InputError on unequal lengths, no row left, a negative or infinite weight.
    """
    results = [np.asarray(array, dtype=np.float64) for array in arrays]
    w = np.ones(len(results[0])) if weight is None else np.asarray(weight, dtype=np.float64)
    if len({len(part) for part in [*results, w]}) > 1:
        raise InputError(
            f"{', '.join(names)} and the weights have {[len(part) for part in [*results, w]]} rows; give one"
            " value a row"
        )
    wrong = ~(w >= 0) | np.isinf(w)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"row {row + 1}: the weight is {w[row]:g}; weights are finite and at least 0")
    selected = np.flatnonzero((w > 0) & np.all([~np.isnan(item) for item in results], axis=0))
    return [item[selected] for item in results], w[selected], selected


def effective_size(weight: Floats) -> float:
    """(sum w)² / sum w²."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0
