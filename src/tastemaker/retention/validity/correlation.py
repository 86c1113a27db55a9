"""Weighted correlations with intervals by user, and differences of correlations that share respondents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tastemaker.errors import InputError
from tastemaker.retention.validity.resample import bounds, by_user, checked
from tastemaker.stats.intervals import Interval

Floats = npt.NDArray[np.float64]
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
    level: float = 0.95,
) -> Interval:
    """Weighted Pearson correlation of a and b (n,) with a percentile interval from resampling users.

    Rows where a or b is NaN are left out; `users` (n,) says whose row it is. n of the result counts users.
    Where one side does not vary the value is NaN, with the reason. Raises InputError on unequal lengths or a
    negative weight.
    """
    (x, y), w, selected = checked(a, b, weight=weight, names=("a", "b"))
    owners = None if users is None else np.asarray(users)[selected]
    kind = "weighted Pearson" if weight is not None else "Pearson"
    if len(x) < 3 or x.min() == x.max() or y.min() == y.max():
        reason = CONSTANT if len(x) >= 3 else f"{len(x)} complete rows: a correlation needs at least 3"
        return Interval(float("nan"), float("nan"), float("nan"), len(x), kind, (USERS,), reason)
    x, y = x - w @ x / w.sum(), y - w @ y / w.sum()
    sums = by_user(w[:, None] * np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y]), owners)
    value = float(_from_sums(sums.sum(axis=0)[None])[0])
    low, high = bounds(sums, _from_sums, key, resamples, level)
    return Interval(value, low, high, len(sums), kind, (USERS,))


def _from_sums(s: Floats) -> Floats:
    """(r,) correlations from totals (r, 6) of w, wx, wy, wxx, wyy, wxy."""
    w, x, y, xx, yy, xy = s.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((xy - x * y / w) / np.sqrt((xx - x * x / w) * (yy - y * y / w)), dtype=np.float64)


@dataclass(frozen=True)
class Comparison:
    """difference of two correlations with the interval [low, high]; z and two-sided p; n it was reckoned
    with; method.
    """

    difference: float
    low: float
    high: float
    z: float
    p: float
    n: float
    method: str


def compare_dependent(
    r_ac: float,
    r_bc: float,
    r_ab: float,
    n: float,
    method: Literal["hittner", "steiger"] = "hittner",
    *,
    level: float = 0.95,
) -> Comparison:
    """Is r(a, c) different from r(b, c) among the same n respondents? They share c, so they are not
    independent.

    z = (atanh r_ac - atanh r_bc) sqrt(n - 3) / sqrt(2 - 2 s), with s the covariance of the two Fisher z at a
    common r: their mean (Steiger), or the mean of the Fisher z taken back (Hittner, May and Silver). Give n =
    effective size when weighted. The interval is Zou's. Raises InputError on |r| >= 1, an impossible triple,
    or n <= 3.

    Source: Steiger, Psychological Bulletin 1980; Hittner, May and Silver, J. General Psychology 2003; Zou,
    Psych. Methods 2007.
    """
    if method not in ("hittner", "steiger"):
        raise InputError(f"method '{method}' is unknown; choose hittner or steiger")
    if not max(abs(r_ac), abs(r_bc), abs(r_ab)) < 1 or not n > 3:
        raise InputError(
            f"correlations lie between -1 and 1 and n is above 3; got {r_ac}, {r_bc}, {r_ab} and n = {n}"
        )
    if 1 - r_ac**2 - r_bc**2 - r_ab**2 + 2 * r_ac * r_bc * r_ab <= 0:
        raise InputError(
            f"no three variables have the correlations {r_ac}, {r_bc} and {r_ab}; were they taken of other"
            " rows?"
        )
    za, zb = np.arctanh(r_ac), np.arctanh(r_bc)
    common = np.tanh((za + zb) / 2) if method == "hittner" else (r_ac + r_bc) / 2
    s = (r_ab * (1 - 2 * common**2) - common**2 * (1 - 2 * common**2 - r_ab**2) / 2) / (1 - common**2) ** 2
    z = float((za - zb) * np.sqrt(n - 3) / np.sqrt(2 - 2 * s))
    low, high = _zou(r_ac, r_bc, r_ab, n, level)
    return Comparison(r_ac - r_bc, low, high, z, float(2 * ndtr(-abs(z))), n, method)


def _fisher(r: float, n: float, level: float) -> tuple[float, float]:
    """The interval of one correlation by Fisher's z."""
    half = ndtri((1 + level) / 2) / np.sqrt(n - 3)
    return float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half))


def _zou(r_ac: float, r_bc: float, r_ab: float, n: float, level: float) -> tuple[float, float]:
    """Interval of r_ac - r_bc from the two Fisher intervals and the covariance of the two correlations."""
    (l1, u1), (l2, u2) = [_fisher(r, n, level) for r in (r_ac, r_bc)]
    shared = (r_ab - r_ac * r_bc / 2) * (1 - r_ac**2 - r_bc**2 - r_ab**2) + r_ab**3
    c = shared / ((1 - r_ac**2) * (1 - r_bc**2))
    down = (r_ac - l1) ** 2 + (u2 - r_bc) ** 2 - 2 * c * (r_ac - l1) * (u2 - r_bc)
    up = (u1 - r_ac) ** 2 + (r_bc - l2) ** 2 - 2 * c * (u1 - r_ac) * (r_bc - l2)
    difference = r_ac - r_bc
    return float(difference - np.sqrt(max(down, 0))), float(difference + np.sqrt(max(up, 0)))


def compare_independent(r_1: float, n_1: float, r_2: float, n_2: float, *, level: float = 0.95) -> Comparison:
    """Is a correlation different between two groups of different people? Fisher z, as published for the
    by-content rows.

    Raises InputError on |r| >= 1 or n <= 3. Source: Fisher 1921; interval Zou 2007.
    """
    if not max(abs(r_1), abs(r_2)) < 1 or not min(n_1, n_2) > 3:
        raise InputError(
            f"correlations lie between -1 and 1 and n is above 3; got {r_1}, {r_2}, n = {n_1}, {n_2}"
        )
    z = float((np.arctanh(r_1) - np.arctanh(r_2)) / np.sqrt(1 / (n_1 - 3) + 1 / (n_2 - 3)))
    ends = [_fisher(r, n, level) for r, n in ((r_1, n_1), (r_2, n_2))]
    down = np.hypot(r_1 - ends[0][0], ends[1][1] - r_2)
    up = np.hypot(ends[0][1] - r_1, r_2 - ends[1][0])
    d = r_1 - r_2
    return Comparison(
        d,
        float(d - down),
        float(d + up),
        z,
        float(2 * ndtr(-abs(z))),
        n_1 + n_2,
        "Fisher z of independent groups",
    )


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
    """r(first) - r(second) when both may come from the same users: the interval resamples users for both at
    once.

    first, second: pairs of arrays (n,); rows: two masks (n,), the rows each is taken over; users (n,). Raises
    InputError as `pearson` does. NaN with the reason where a side does not vary.
    """
    owner = np.unique(np.asarray(users), return_inverse=True)[1]
    parts = []
    for pair, mask in zip((first, second), rows, strict=True):
        w = np.asarray(mask, dtype=np.float64) * (
            1.0 if weight is None else np.asarray(weight, dtype=np.float64)
        )
        (x, y), kept_weight, selected = checked(*pair, weight=w, names=("a", "b"))
        if len(x) < 3 or x.min() == x.max() or y.min() == y.max():
            return Interval(
                float("nan"),
                float("nan"),
                float("nan"),
                len(x),
                "difference of correlations",
                (USERS,),
                CONSTANT,
            )
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

    low, high = bounds(sums, gap, key, resamples, 0.95)
    return Interval(
        float(gap(sums.sum(axis=0)[None])[0]), low, high, len(sums), "difference of correlations", (USERS,)
    )
