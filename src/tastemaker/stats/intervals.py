"""Percentile-bootstrap intervals of means over users, alone and as paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

# Numbers held at once while resampling: 16 MB, whatever the number of users or resamples.
_CHUNK = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A value inside [low, high]; one-sided intervals have an infinite end. n: units it rests on.

    kind: the method that gave it; assumptions: what must hold, in plain words; reason: why there is no number
    (value or ends NaN), else empty.
    """

    value: float
    low: float
    high: float
    n: int
    kind: str = ""
    assumptions: tuple[str, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if self.n < 0 or self.low > self.high:
            raise InputError(
                f"an interval needs n >= 0 and low <= high; got n = {self.n}, [{self.low}, {self.high}]"
            )

    @classmethod
    def around(
        cls, value: float, half: float, n: int, kind: str, assumptions: tuple[str, ...] = ()
    ) -> Interval:
        """value - half to value + half."""
        return cls(float(value), float(value - half), float(value + half), n, kind, assumptions)

    @classmethod
    def unknown(cls, n: int, kind: str, reason: str, assumptions: tuple[str, ...] = ()) -> Interval:
        """No number, and why."""
        nan = float("nan")
        return cls(nan, nan, nan, n, kind, assumptions, reason)

    def excludes(self, value: float = 0.0) -> bool:
        """Whether `value` lies outside the interval."""
        return not self.low <= value <= self.high


def _resampled_means(values: Floats, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Means of `resamples` samples of n of the n values with replacement, in chunks of flat memory."""
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    # Resampling users and counting how often each distinct value came up is one multinomial draw over
    # distinct values. Recall has 2 of them and NDCG@10 has 11, so this is hundreds of times cheaper and
    # exactly the same distribution.
    by_value = len(distinct) * 8 < n
    width = len(distinct) if by_value else n
    step = max(1, _CHUNK // width)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        if by_value:
            yield rng.multinomial(n, counts / n, size=size) @ distinct / n
        else:
            yield values[rng.integers(0, n, size=(size, n))].mean(axis=1)


def bootstrap(
    values: npt.ArrayLike, seed: int | str, *, resamples: int = 1_000, level: float = 0.95
) -> Interval:
    """Mean of `values` (U,), one number a user, with a percentile interval from resampling users.

    values: (U,) finite numbers, at least one.
    seed: key of the resampling: same key, same interval.
    resamples: number of resamples.
    level: coverage aimed at, in (0, 1).

    Raises InputError on a value that is not finite, with its row. Source: Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, section 13.3.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise InputError(
            f"the metric of user row {int(np.flatnonzero(~np.isfinite(array))[0]) + 1} is not a finite number"
        )
    means = np.concatenate(list(_resampled_means(array, generator(seed, "bootstrap"), resamples)))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(low), float(high), len(array))


def paired_bootstrap(
    a: npt.ArrayLike, b: npt.ArrayLike, seed: int | str, *, resamples: int = 1_000, level: float = 0.95
) -> Interval:
    """Mean of `a - b` over the same users in the same order, with a percentile interval: is `a` better?

    `a`, `b` (U,). Pairing removes what makes one user harder than another for both, so the interval is far
    narrower than two separate ones. Raises as `bootstrap`.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return bootstrap(first - second, seed, resamples=resamples, level=level)


def even_edge(z: float, skew: float) -> float:
    """The t whose tail weighs what a normal's does at `z`, where the mean's skewness (third cumulant over the
    3/2 power of its variance) makes the tails of t uneven. Source: Hall, JRSS B 1992.
    """
    return 3 / skew * (math.cbrt(1 + skew * (z - skew / 6)) - 1) if skew else z


def checked_p(p: npt.ArrayLike) -> Floats:
    """p-values (m,); InputError on one outside [0, 1]."""
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or np.any(~np.isfinite(values)) or np.any((values < 0) | (values > 1)):
        raise InputError("p-values must be a list of numbers between 0 and 1; leave out what was not tested")
    return values


def holm(p: npt.ArrayLike) -> Floats:
    """Holm's adjusted p-values (m,): below alpha means false alarms in any of the m tests stay below alpha.

    Raises InputError on a p outside [0, 1]. Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    values = checked_p(p)  # statsmodels' multipletests collects garbage at each call: .1 s for three lines
    order, adjusted = np.argsort(values, kind="stable"), np.empty(len(values))
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def effective_size(weight: Floats) -> float:
    """What weighted rows are worth: (sum w)^2 / sum w^2, 0 when every weight is 0 (Kish)."""
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0
