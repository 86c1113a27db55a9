"""A test as it ran: looks cumulated day by day, and effects of each day alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

import tastemaker.schema.moments as times
import tastemaker.schema.values as values
from tastemaker.arrays import Floats
from tastemaker.errors import InputError, many
from tastemaker.experiment.contrast import critical, upper_tail
from tastemaker.experiment.effects import Effect, Kind, number
from tastemaker.experiment.moments import Metric
from tastemaker.experiment.readout.words import Row, p_words
from tastemaker.schema.columns import codes, complete, in_our_time, numbers, present

FIRST_LOOK = 500
UNTOLD = "the control's value cannot be told from 0, so a lift has no bounds yet"


@dataclass(frozen=True)
class ConfidenceSequence:
    """Arrays by look: interval [low, high], half_width, e-value, and p = min(1, 1/e), each look alone."""

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
    """The looks taken at one metric so far, oldest first, each with the intersection of intervals.

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
                f"a look with {many(effect.n, 'unit')} follows one with {before}; give the"
                " looks in time order,"
                " cumulated"
            )
        before = effect.n
        reason = "" if effect.empty is not None else effect.reason
        if not reason and effect.smallest < n_min:
            reason = f"{many(effect.smallest, 'unit')} in the smaller arm; the first look needs {n_min}"
        taken = None if reason else _look(effect, planned, alpha)
        if taken is None:
            nan = math.nan
            results.append(Look(effect.n, nan, nan, nan, nan, nan, nan, reason or UNTOLD))
            continue
        value, ends, now = taken
        low, high, p = max(low, ends[0]), min(high, ends[1]), min(p, now)
        clash = (
            "" if low <= high else "the looks contradict each other: the effect drifts, or assignment broke"
        )
        results.append(Look(effect.n, value, low, high, p, effect.low, effect.high, clash))
    return results


def _look(effect: Effect, planned: int, alpha: float) -> tuple[float, tuple[float, float], float] | None:
    """Value, interval and p of one look, from the same evidence; None where the lift has no bounds."""
    contrast, empty, value = effect.contrast, effect.empty, effect.value
    if empty is not None:  # a lift of -100 %, or without end; errors as of the binomial's chance of it
        value = -1.0 if empty.treatment else math.inf
        gap, variance = critical(empty.tail(0.0), math.inf), 1.0
    elif contrast is None:
        gap, variance = effect.value, effect.se**2
    else:
        gap, variance = contrast.treatment - contrast.control, contrast.variance()
    now = confidence_sequence(gap, variance, effect.n, planned, alpha)
    edge = float(now.half_width) / math.sqrt(variance)
    ends = empty.bounds(upper_tail(edge, math.inf)) if empty else _even(effect, edge)
    return None if empty is None and not all(map(math.isfinite, ends)) else (value, ends, float(now.p))


def _even(effect: Effect, edge: float) -> tuple[float, float]:
    """The interval of `edge` standard errors to both sides."""
    if effect.contrast is None:
        return effect.limits(edge)
    return replace(effect, contrast=replace(effect.contrast, skew=0.0)).limits(edge)


Bar = tuple[float, float, float]


def in_order(table: pa.Table, day: str) -> pa.Table:
    """The table with its column of days as numbers or dates, which have an order: of numbers, dates in any
    spelling that is read, or numbered words ("day 2").

    Raises InputError naming the row of an empty cell, a day before 1970 or ahead, or one without an order.
    """
    cells = present(table, day)
    complete(cells, day)
    numbers, wrong = values.as_number(cells, day)
    if pa.types.is_temporal(cells.type) or wrong.any():
        moments, unread = times.as_time(cells, day)
        if unread.any():
            parts = values.as_text(cells, day).str.extract_groups(r"^(\D*)(\d+)$").struct.unnest()
            if parts["1"].n_unique() > 1 or parts["2"].null_count():
                row = int(unread.arg_true()[0])
                raise InputError(
                    f"row {row + 1}, column '{day}' is '{cells[row]}', and other days are written otherwise:"
                    " their order is not known; write dates or numbers"
                )
            numbers = parts["2"].cast(pl.Int64)
        else:
            in_our_time(moments.to_arrow(), day)
            whole = bool((moments.dt.truncate("1d") == moments).all())
            numbers = moments.dt.date() if whole else moments
    elif bool((numbers == numbers.floor()).all()):
        numbers = numbers.cast(pl.Int64)
    return table.set_column(table.column_names.index(day), day, numbers.to_arrow())


def _totals(metrics: Sequence[Metric]) -> list[str]:
    """The columns that are added up over days: numerators and denominators."""
    named = (name for metric in metrics for name in (metric.numerator or metric.name, metric.denominator))
    return list(dict.fromkeys(filter(None, named)))


def each_day(table: pa.Table, metrics: Sequence[Metric], ids: tuple[str, str, str]) -> pa.Table:
    """`in_order` of a table with one row a unit and day. Raises InputError naming an empty or nameless unit,
    an empty arm, what is no number in a column that is added up, or a unit in two arms or twice on one day.
    """
    unit, by, day = ids
    codes(table, unit)
    complete(present(table, by), by)
    for name in _totals(metrics):
        numbers(table, name, remedy="a unit without events has the value 0")
    table = in_order(table, day)
    frame = pl.DataFrame(table.select([unit, day, by]))
    mixed = frame.group_by(unit).agg(pl.col(by).n_unique().alias("arms")).filter(pl.col("arms") > 1)
    if len(mixed):
        raise InputError(
            f"unit '{mixed[unit].sort()[0]}' is in two arms; a unit belongs to one arm for the whole test"
        )
    twice = frame.filter(frame.select(unit, day).is_duplicated())
    if len(twice):
        raise InputError(
            f"unit '{twice[unit][0]}' has two rows on day {twice[day][0]}; add up its rows of a day first"
        )
    return table


def cumulated(
    table: pa.Table, metrics: Sequence[Metric], ids: tuple[str, str, str], extra: Sequence[str] = ()
) -> Iterator[tuple[Any, pa.Table]]:
    """For each day, in order, a table with one row a unit seen so far: its totals since its first day.

    table: one row a unit and day. ids: its columns of units, arms and days. extra: columns of which the
    largest value so far stands (a cluster, whether anything was triggered). Numerators and denominators are
    added up; covariates are from before the test, so each unit's first value stands. Raises InputError on a
    missing column, an empty cell or no number, a unit that changes arm, or a unit twice on one day.
    """
    unit, by, day = ids
    sums = _totals(metrics)
    past = (name for metric in metrics for name in (metric.covariate, metric.covariate_denominator))
    firsts = [name for name in dict.fromkeys(filter(None, past)) if name not in sums]
    wanted = [*ids, *extra, *sums, *firsts]
    for name in wanted:
        present(table, name)
    for name in extra:
        complete(table[name], name)
    frame = pl.DataFrame(each_day(table.select(wanted), metrics, ids))
    for moment in frame[day].unique().sort():
        so_far = frame.filter(pl.col(day) <= moment).sort(unit, day)
        totals = so_far.group_by(unit, maintain_order=True).agg(
            pl.first(by), pl.col(list(extra)).max(), pl.col(sums).sum(), pl.col(firsts).first()
        )
        yield moment, totals.to_arrow()


def day_bars(effects: Sequence[Effect]) -> tuple[Bar | None, ...]:
    """(value, low, high) of each day's effect, relative ones in percent; None where there is no number."""
    return tuple(
        None if effect.reason else _scaled(effect.kind == "relative", effect.value, effect.low, effect.high)
        for effect in effects
    )


def look_bars(looks: Sequence[Look], relative: bool = True) -> dict[str, tuple[Bar | None, ...]]:
    """(value, low, high) of looks by interval, relative in percent; None for refused or unbounded ones."""
    kinds = {"valid at every look": ("low", "high"), "valid for one look only": ("fixed_low", "fixed_high")}
    return {
        name: tuple(_scaled(relative, look.value, *(getattr(look, end) for end in ends)) for look in looks)
        for name, ends in kinds.items()
    }


def _scaled(relative: bool, value: float, low: float, high: float) -> Bar | None:
    scale = 100.0 if relative else 1.0
    known = all(map(math.isfinite, (value, low, high)))
    return (scale * value, scale * low, scale * high) if known else None


def look_rows(days: Sequence[Any], looks: Sequence[Look], relative: bool = True) -> list[Row]:
    """One row a look: units, effect, the interval valid at every look with its p, and what it says."""
    kind: Kind = "relative" if relative else "absolute"
    rows: list[Row] = []
    for day, look in zip(days, looks, strict=True):
        row: Row = {"day": str(day), "units": f"{look.n:,}", "effect": "refused"}
        if look.value != look.value:
            rows.append(row | {"valid at every look": "", "p": "", "so far": look.reason})
            continue
        row["effect"] = number(look.value, kind)
        row["valid at every look"] = f"{number(look.low, kind)} to {number(look.high, kind)}"
        shown = "effect shown" if look.low > 0 or look.high < 0 else "go on"
        rows.append(row | {"p": p_words(look.p), "so far": look.reason or shown})
    return rows
