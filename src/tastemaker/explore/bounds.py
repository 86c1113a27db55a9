"""Lower bounds of a mean, for any estimator's contributions; each refuses what it cannot take."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.explore.estimate.contributions import INFLUENCE, MODEL, Contributions
from tastemaker.explore.units import PLURALS, Sums, too_few
from tastemaker.stats import betting
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
Method = Literal["hoeffding", "bernstein", "t", "bca", "log_smoothing", "betting"]

_ASYMPTOTIC = "asymptotic: right only for many rows without rare, very large contributions"
_GIVEN = "how often they come is taken as given"
_UNSEEN = "the interval does not contain the reward model's own error"
_DRAWS = 2_000_000  # numbers drawn at once by the bootstrap


def lower_bound(
    contributions: Contributions,
    delta: float = 0.05,
    method: Method = "betting",
    *,
    smoothing: float | None = None,
    fractions: tuple[float, ...] | None = None,
    resamples: int = 2_000,
    key: str | int = 0,
) -> Interval:
    """The mean of a row, and a number below the true mean with probability at least 1 - delta; `high` is
    infinite (one-sided). Rows are summed by the contributions' units, whatever those of one have in common.

    hoeffding, bernstein (Maurer and Pontil 2009) need a finite range known before the data; t and bca are
    asymptotic; log_smoothing (2405.14335) needs `smoothing` l > 0, chosen on other rows; betting (2010.09686)
    needs a finite `low` and holds at any stopping time, with `fractions` of what the worst value could take:
    .01 to .9 for paired values, 1e-4 to .9 where low is 0.

    Where the rows say nothing the bound is the smallest possible value and `reason` says why; no error.

    Raises
    ------
    InputError
        on an unknown method, delta outside (0, 1), a range or kind the method cannot take.
    """
    if method not in _METHODS:
        raise InputError(f"bound {method!r} does not exist; choose one of {', '.join(_METHODS)}")
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta}; give an error rate above 0 and below 1, for instance .05")
    if contributions.kind == INFLUENCE and method not in ("t", "bca"):
        raise InputError(
            f"{method} cannot take {contributions.estimator or 'influence values'}: a ratio has no"
            " independent rounds of known range; use ips, or the bounds t or bca"
        )
    sums = contributions.sums()
    notes = list(contributions.assumptions)
    if method in ("t", "bca"):
        notes.append(_ASYMPTOTIC)
    if contributions.kind == MODEL:
        notes.append(_UNSEEN)
    if contributions.units is not None and not contributions.units.single:
        notes.append(
            f"what {PLURALS[contributions.units.kind]} do is independent, and summed for each; {_GIVEN}"
        )
    reason = _nothing(contributions, sums, method)
    if reason:
        low = contributions.low if math.isfinite(contributions.low) else -math.inf
    elif method == "log_smoothing":
        low = _log_smoothing(contributions, delta, smoothing)
    elif method == "betting":
        low = _betting(contributions, sums, delta, fractions)
    elif method == "bca":
        low = _bca(sums, delta, resamples, key)
    elif method == "t":
        low = sums.mean - float(stats.t.ppf(1 - delta, len(sums) - 1)) * sums.standard_error()
    else:
        low = {"hoeffding": _hoeffding, "bernstein": _bernstein}[method](contributions, delta)
    return Interval(contributions.mean, low, math.inf, len(sums), method, tuple(notes), reason)


_METHODS = ("hoeffding", "bernstein", "t", "bca", "log_smoothing", "betting")


def _nothing(contributions: Contributions, sums: Sums, method: str) -> str:
    """Why these rows support no claim at all by this method, else empty."""
    if method not in ("bernstein", "t", "bca"):
        return ""
    units = contributions.units
    if units is not None and units.kind != "row" and method != "bernstein" and too_few(units):
        return too_few(units)
    value = contributions.value
    if len(sums) < 2:
        return f"{len(sums)} row: {method} needs at least two to see any spread"
    if method != "bernstein" and float(np.ptp(value)) == 0:
        return (
            f"all {len(value)} contributions are {value[0] + 0.0:g}: no row carries information, and {method}"
            " would see no spread"
        )
    return ""


def _even(contributions: Contributions) -> tuple[Floats, float]:
    """One value a unit whose mean is the mean of a row, and how often the range of a row it can span."""
    sums = contributions.sums()
    share = sums.size / sums.size.mean()
    return sums.total / sums.size.mean(), float(share.max())


def _range(contributions: Contributions, method: str) -> float:
    width = contributions.high - contributions.low
    if not math.isfinite(width):
        raise InputError(
            f"{method} needs a finite range known before the data,"
            f" {contributions.estimator or 'this estimate'} has none (the largest weight seen is not a"
            " bound); use clipped_ips, or the bound betting"
        )
    return width


def _hoeffding(contributions: Contributions, delta: float) -> float:
    # Sums of unequal sizes N have ranges of N widths each.
    size = contributions.sums().size
    rows = float(size.sum()) ** 2 / float(size @ size)
    return contributions.mean - _range(contributions, "hoeffding") * math.sqrt(
        math.log(1 / delta) / (2 * rows)
    )


def _bernstein(contributions: Contributions, delta: float) -> float:
    value, wide = _even(contributions)
    n, log = len(value), math.log(2 / delta)
    spread = math.sqrt(2 * float(value.var(ddof=1)) * log / n)
    return contributions.mean - spread - 7 * wide * _range(contributions, "bernstein") * log / (3 * (n - 1))


def _log_smoothing(contributions: Contributions, delta: float, smoothing: float | None) -> float:
    if smoothing is None or not smoothing > 0:
        raise InputError(
            "log_smoothing needs smoothing, a number above 0 chosen on other rows than these (try 1 / the"
            " largest weight)"
        )
    value, wide = _even(contributions)
    if not wide * contributions.low > -1 / smoothing:
        raise InputError(
            f"log_smoothing at {smoothing:g} needs contributions above {-1 / smoothing:g}, known before the"
            " data"
        )
    growth = float(np.log1p(smoothing * value).mean()) - math.log(1 / delta) / len(value)
    return (math.exp(growth) - 1) / smoothing


def _betting(
    contributions: Contributions, sums: Sums, delta: float, fractions: tuple[float, ...] | None
) -> float:
    if not math.isfinite(contributions.low):
        raise InputError(
            "betting needs a smallest contribution known before the data, and"
            f" {contributions.estimator or 'this estimate'} has none; use the bound t, or ips"
        )
    usual = betting.FRACTIONS if contributions.low < 0 else betting.SPARSE_FRACTIONS
    return sums.lower(delta, contributions.low, fractions or usual)


def _bca(sums: Sums, delta: float, resamples: int, key: str | int) -> float:
    """Bias-corrected and accelerated bootstrap of the mean of a row, units drawn whole (Efron 1987)."""
    if resamples * delta < 5:
        raise InputError(
            f"{resamples} resamples are too few for a percentile at delta = {delta}; give at least"
            f" {math.ceil(5 / delta)}"
        )

    def ratio(total: Floats, size: Floats, axis: int = -1) -> Floats:
        return np.asarray(total.sum(axis=axis) / size.sum(axis=axis))

    even = float(np.ptp(sums.size)) == 0
    result = stats.bootstrap(
        (sums.total / sums.size,) if even else (sums.total, sums.size),
        np.mean if even else ratio,
        n_resamples=resamples,
        paired=not even,
        batch=max(1, _DRAWS // len(sums)),
        confidence_level=1 - delta,
        alternative="greater",
        method="BCa",
        rng=generator(key, "bca"),
    )
    return float(result.confidence_interval.low)
