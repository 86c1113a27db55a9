"""Weighted correlations with intervals by user, and differences of correlations that share respondents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError
from tastemaker.stats.intervals import Interval
from tastemaker.stats.resample import by_unit, of_totals


def checked(*arrays: npt.ArrayLike, weight: npt.ArrayLike | None) -> tuple[list[Floats], Floats, Ints]:
    """Arrays of equal length as float64 without rows with NaN or no weight; the weights; the rows kept.

    Raises InputError on a negative or infinite weight.
    """
    results = [np.asarray(array, dtype=np.float64) for array in arrays]
    w = np.ones(len(results[0])) if weight is None else np.asarray(weight, dtype=np.float64)
    wrong = ~(w >= 0) | np.isinf(w)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"row {row + 1}: the weight is {w[row]:g}; weights are finite and at least 0")
    selected = np.flatnonzero((w > 0) & np.all([~np.isnan(item) for item in results], axis=0))
    return [item[selected] for item in results], w[selected], selected


USERS = "users are independent of each other"
CONSTANT = "everyone gave the same answer: a correlation needs answers that differ"


def pearson(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    users: npt.ArrayLike | None = None,
    key: Sequence[str | int] = (0,),
    resamples: int = 500,
) -> Interval:
    """Weighted Pearson correlation of a and b (n,) with a percentile interval from resampling users.

    Rows where a or b is NaN are left out; `users` (n,) says whose row it is. n of the result counts users.
    Where one side does not vary the value is NaN, with the reason. Raises InputError on a negative weight.
    """
    (x, y), w, selected = checked(a, b, weight=weight)
    owners = None if users is None else np.asarray(users)[selected]
    kind = "weighted Pearson" if weight is not None else "Pearson"
    if len(x) < 3 or x.min() == x.max() or y.min() == y.max():
        reason = CONSTANT if len(x) >= 3 else f"{len(x)} complete rows: a correlation needs at least 3"
        return Interval.unknown(len(x), kind, reason, (USERS,))
    x, y = x - w @ x / w.sum(), y - w @ y / w.sum()
    sums = by_unit(w[:, None] * np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y]), owners)
    return of_totals(sums, _from_sums, key, resamples, kind, (USERS,))


def _from_sums(s: Floats) -> Floats:
    """(r,) correlations from totals (r, 6) of w, wx, wy, wxx, wyy, wxy."""
    w, x, y, xx, yy, xy = s.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((xy - x * y / w) / np.sqrt((xx - x * x / w) * (yy - y * y / w)), dtype=np.float64)


def difference_by_user(
    first: tuple[npt.ArrayLike, npt.ArrayLike],
    second: tuple[npt.ArrayLike, npt.ArrayLike],
    rows: tuple[npt.ArrayLike, npt.ArrayLike],
    weight: npt.ArrayLike | None = None,
    *,
    users: npt.ArrayLike,
    key: Sequence[str | int] = (0,),
    resamples: int = 500,
) -> Interval:
    """r(first) - r(second) when both may come from the same users: users are resampled for both at once.

    first, second: pairs of arrays (n,); rows: two masks (n,), the rows each is taken over; users (n,). Raises
    InputError as `pearson` does. NaN with the reason where a side does not vary.
    """
    owner = np.unique(np.asarray(users), return_inverse=True)[1]
    parts = []
    for pair, mask in zip((first, second), rows, strict=True):
        w = np.asarray(mask, dtype=np.float64) * np.asarray(1.0 if weight is None else weight)
        (x, y), kept_weight, selected = checked(*pair, weight=w)
        if len(x) < 3 or x.min() == x.max() or y.min() == y.max():
            return Interval.unknown(len(x), "difference of correlations", CONSTANT, (USERS,))
        x, y = x - x.mean(), y - y.mean()
        block = kept_weight[:, None] * np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])
        parts.append(
            np.column_stack(
                [np.bincount(owner[selected], c, minlength=int(owner.max()) + 1) for c in block.T]
            )
        )
    sums: Floats = np.hstack(parts).astype(np.float64)

    def gap(s: Floats) -> Floats:
        return _from_sums(s[:, :6]) - _from_sums(s[:, 6:])

    return of_totals(sums, gap, key, resamples, "difference of correlations", (USERS,))
