"""The correlation of the two normal variables that two ordered answers are cut from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, owens_t

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.retention.validity.correlation import CONSTANT, USERS, checked
from tastemaker.stats.intervals import Interval
from tastemaker.stats.resample import by_unit, of_totals

_END = 0.99999  # of rho
_FAR = 9.0  # a threshold beyond which a normal variable is never
_STEPS = 60


def polychoric(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    users: npt.ArrayLike | None = None,
    key: Sequence[str | int] = (0,),
    resamples: int = 300,
) -> Interval:
    """Two-step polychoric correlation of ordered answers a, b (n,) with a percentile interval over users.

    Thresholds come from the weighted margins, then rho from the one-dimensional likelihood. Rows where a or b
    is NaN are left out. NaN with the reason where one side does not vary. Raises InputError on a negative
    weight, or more than 20 distinct values.

    Source: Olsson, Psychometrika 1979, the two-step estimator.
    """
    (x, y), w, selected = checked(a, b, weight=weight)
    kind = "two-step polychoric" + ("" if weight is None else ", weighted")
    (rows, i), (columns, j) = np.unique(x, return_inverse=True), np.unique(y, return_inverse=True)
    if min(len(rows), len(columns)) < 2:
        return Interval.unknown(len(x), kind, CONSTANT, (USERS,))
    if max(len(rows), len(columns)) > 20:
        raise InputError(
            f"{len(rows)} and {len(columns)} distinct values are too many for ordered answers; give at most"
            " 20 a side"
        )
    shape = (len(rows), len(columns))
    indicator = np.zeros((len(x), shape[0] * shape[1]))
    indicator[np.arange(len(x)), i * shape[1] + j] = w
    sums = by_unit(indicator, None if users is None else np.asarray(users)[selected])
    rests = (USERS, "the answers are cut from normal variables")
    return of_totals(sums, lambda s: fit_polychoric(s.reshape(-1, *shape)), key, resamples, kind, rests)


def fit_polychoric(counts: npt.ArrayLike) -> Floats:
    """rho (...) of most likelihood for each table of (weighted) counts (..., r, c), thresholds from margins.

    Fisher scoring on atanh rho, halving steps; rho is kept within ± .99999, where a perfect association ends.
    """
    n = np.asarray(counts, dtype=np.float64)
    lead = n.shape[:-2]
    n = n.reshape(-1, *n.shape[-2:])
    n = n / n.sum(axis=(1, 2), keepdims=True)
    h, k = thresholds_of(n.sum(axis=2)), thresholds_of(n.sum(axis=1))
    z = np.zeros(len(n))
    value, score, information = _likelihood(n, h, k, np.tanh(z))
    for _ in range(_STEPS):
        slope = 1 - np.tanh(z) ** 2
        step = np.clip(score / np.maximum(information * slope, 1e-12), -1.0, 1.0)
        if np.abs(step * slope).max(initial=0.0) < 1e-12:
            break
        for _ in range(30):
            moved = np.clip(z + step, -np.arctanh(_END), np.arctanh(_END))
            fresh = _likelihood(n, h, k, np.tanh(moved))
            worse = fresh[0] < value - 1e-15
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        z, (value, score, information) = moved, fresh
    return np.asarray(np.tanh(z).reshape(lead), dtype=np.float64)


def thresholds_of(margin: Floats) -> Floats:
    """(m, r - 1) normal quantiles of the cumulative shares (m, r)."""
    inner = np.cumsum(margin, axis=1)[:, :-1]
    return np.asarray(np.clip(ndtri(np.clip(inner, 0.0, 1.0)), -_FAR, _FAR), dtype=np.float64)


def _likelihood(n: Floats, h: Floats, k: Floats, rho: Floats) -> tuple[Floats, Floats, Floats]:
    """(m,) log-likelihood a unit of weight, its derivative in rho, and the expected information."""
    h_grid, k_grid, r = h[:, :, None], k[:, None, :], rho[:, None, None]
    p = np.maximum(cells(corners(bivariate_normal(h_grid, k_grid, r), ndtr(h), ndtr(k))), 1e-300)
    density = np.exp(-(h_grid**2 - 2 * r * h_grid * k_grid + k_grid**2) / (2 * (1 - r**2))) / (
        2 * np.pi * np.sqrt(1 - r**2)
    )
    slope = cells(corners(density, np.zeros_like(h), np.zeros_like(k), top=0.0))
    seen = n > 0
    value = np.where(seen, n * np.log(p), 0.0).sum(axis=(1, 2))
    score = np.where(seen, n * slope / p, 0.0).sum(axis=(1, 2))
    information = np.where(p > 1e-12, slope**2 / p, 0.0).sum(axis=(1, 2))
    return value, score, information


def corners(inner: Floats, row_end: Floats, column_end: Floats, top: float = 1.0) -> Floats:
    """(m, r + 1, c + 1) values at every corner of the cells, from those inside and at the far edges."""
    m, r, c = inner.shape
    out = np.zeros((m, r + 2, c + 2))
    out[:, 1:-1, 1:-1] = inner
    out[:, 1:-1, -1], out[:, -1, 1:-1], out[:, -1, -1] = row_end, column_end, top
    return out


def cells(corners: Floats) -> Floats:
    """(m, r, c) mass of each cell from the distribution function at its corners."""
    return np.diff(np.diff(corners, axis=1), axis=2)


def bivariate_normal(h: npt.ArrayLike, k: npt.ArrayLike, rho: npt.ArrayLike) -> Floats:
    """P(X <= h, Y <= k) of standard normal X, Y with correlation rho, |rho| < 1; arrays broadcast.

    Source: Owen, Annals of Mathematical Statistics 1956, by his T function.
    """
    # A zero would divide by zero; a number this small gives the limit.
    x, y, r = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (h, k, rho)))
    x, y = np.where(x == 0, 1e-300, x), np.where(y == 0, 1e-300, y)
    root = np.sqrt(1 - r**2)
    both = (ndtr(x) + ndtr(y)) / 2 - owens_t(x, (y / x - r) / root) - owens_t(y, (x / y - r) / root)
    return np.asarray(np.clip(both - np.where(x * y < 0, 0.5, 0.0), 0.0, 1.0), dtype=np.float64)
