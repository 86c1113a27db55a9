"""Intervals that stay valid however often one looks: the asymptotic confidence sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.experiment.effects import Effect, upper_tail

Floats = npt.NDArray[np.float64]
FIRST_LOOK = 500


@dataclass(frozen=True)
class ConfidenceSequence:
    """Arrays of the shape of the looks: interval [low, high], half_width, e-value, and p = min(1, 1/e), each
    look alone.
    """

    low: Floats
    high: Floats
    half_width: Floats
    e: Floats
    p: Floats


def confidence_sequence(
    d: npt.ArrayLike, variance: npt.ArrayLike, n: npt.ArrayLike, planned: int, alpha: float = 0.05
) -> ConfidenceSequence:
    """Interval, e-value and p of each look at an estimate `d`, valid at all looks together.

    variance: Var(d), not of one unit (from CUPED or the delta method as well). n: units of both arms at that
    look. planned: N*, fixed before the start; the sequence is narrowest there and void when chosen after
    looking. Arrays broadcast. Raises InputError on n or planned below 1, a variance that is not above 0,
    alpha outside (0, 1), or a non-finite value.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, arXiv 2103.06476, in the form gbstats uses.
    """
    value, spread, units = np.broadcast_arrays(
        np.asarray(d, np.float64), np.asarray(variance, np.float64), np.asarray(n, np.float64)
    )
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}; give a number between 0 and 1")
    if planned < 1 or np.any(units < 1):
        raise InputError(
            f"a confidence sequence needs n and planned size of at least 1; got n {units.min():g}, planned"
            f" {planned}"
        )
    if not (np.all(np.isfinite(value)) and np.all(np.isfinite(spread)) and np.all(spread > 0)):
        raise InputError("a confidence sequence needs finite estimates with a variance above 0")
    rho = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / planned
    grown = units * rho + 1
    half = np.sqrt(spread * units) * np.sqrt(2 * grown / (units**2 * rho) * np.log(np.sqrt(grown) / alpha))
    # The exponent overflows for a huge effect; an infinite e-value is then the right answer.
    with np.errstate(over="ignore"):
        e = np.exp(rho * value**2 * units / (2 * spread * grown)) / np.sqrt(grown)
    return ConfidenceSequence(value - half, value + half, half, e, np.minimum(1.0, 1.0 / e))


@dataclass(frozen=True)
class Look:
    """One look at a running test: `value` with [low, high], the intersection of all looks so far, and p, the
    smallest so far.

    fixed_low, fixed_high: the ordinary interval, valid only for one look fixed in advance. reason: why this
    look was refused.
    """

    n: int
    value: float
    low: float
    high: float
    p: float
    fixed_low: float
    fixed_high: float
    reason: str = ""


def watch(looks: Sequence[Effect], planned: int, alpha: float = 0.05, n_min: int = FIRST_LOOK) -> list[Look]:
    """The looks taken at one metric so far, oldest first, each with the running intersection of the
    intervals.

    planned: N*, units of both arms, written down before the start. p is of the difference, the interval of a
    lift is Fieller's at the sequence's width. Looks with fewer than `n_min` units in an
    arm, or without a
    number, are refused with the reason: the guarantee is asymptotic. When an intersection is empty the looks
    contradict each other (effects that change with time, or a broken assignment); that too is told as a
    reason. Raises InputError when a later look has fewer units than an earlier one.
    """
    results: list[Look] = []
    low, high, p, before = -math.inf, math.inf, 1.0, 0
    for effect in looks:
        if effect.n < before:
            raise InputError(
                f"a look with {effect.n} units follows one with {before}; give the looks in time order,"
                " cumulated"
            )
        before = effect.n
        reason = "" if effect.empty is not None else effect.reason
        if not reason and effect.smallest < n_min:
            reason = f"{effect.smallest} units in the smaller arm; the first look needs {n_min}"
        if reason:
            results.append(Look(effect.n, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, reason))
            continue
        contrast = effect.contrast
        gap, variance = (
            (effect.value, effect.se**2)
            if contrast is None
            else (contrast.treatment - contrast.control, contrast.variance())
        )
        now = confidence_sequence(gap, variance, effect.n, planned, alpha)
        edge, value = float(now.half_width) / math.sqrt(variance), effect.value
        if effect.empty is not None:  # a lift of -100 %, or without end
            value = -1.0 if effect.empty.treatment else math.inf
            ends = effect.empty.bounds(upper_tail(edge, math.inf))
        else:
            ends = _even(effect, edge)
        low, high, p = max(low, ends[0]), min(high, ends[1]), min(p, float(now.p))
        clash = (
            "" if low <= high else "the looks contradict each other: the effect drifts, or assignment broke"
        )
        results.append(Look(effect.n, value, low, high, p, effect.low, effect.high, clash))
    return results


def _even(effect: Effect, edge: float) -> tuple[float, float]:
    """The interval of `edge` standard errors to both sides."""
    if effect.contrast is None:
        return effect.limits(edge)
    return replace(effect, contrast=replace(effect.contrast, skew=0.0)).limits(edge)
