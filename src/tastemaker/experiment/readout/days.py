"""A test as it ran: looks cumulated day by day, and effects of each day alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

import tastemaker.schema.values as values
from tastemaker.errors import InputError
from tastemaker.experiment.effects import Effect, Kind, number
from tastemaker.experiment.moments import Metric
from tastemaker.experiment.readout.words import Row, p_words
from tastemaker.experiment.sequential import Look
from tastemaker.schema.columns import complete, in_our_time, present

Bar = tuple[float, float, float]


def in_order(table: pa.Table, day: str) -> pa.Table:
    """The table with its column of days as numbers or dates, which have an order: of numbers, dates in any
    spelling that is read, or numbered words ("day 2").

    Raises InputError naming the row of an empty cell, of a day before 1970 or ahead, and of one without an
    order.
    """
    cells = present(table, day)
    complete(cells, day)
    numbers, wrong = values.as_number(cells, day)
    if pa.types.is_temporal(cells.type) or wrong.any():
        moments, unread = values.as_time(cells, day)
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


def cumulated(
    table: pa.Table, metrics: Sequence[Metric], ids: tuple[str, str, str], extra: Sequence[str] = ()
) -> Iterator[tuple[Any, pa.Table]]:
    """For each day, in order, a table with one row a unit seen so far: its totals since its first day.

    table: one row a unit and day. ids: its columns of units, arms and days. extra: columns of which the
    largest value so far stands (a cluster, whether anything was triggered). Numerators and denominators are
    added up; covariates are from before the test, so each unit's first value stands. Raises InputError on a
    missing column, a unit that changes arm, or a unit twice on one day.
    """
    unit, by, day = ids
    summed = (name for metric in metrics for name in (metric.numerator or metric.name, metric.denominator))
    sums = list(dict.fromkeys(filter(None, summed)))
    past = (name for metric in metrics for name in (metric.covariate, metric.covariate_denominator))
    firsts = [name for name in dict.fromkeys(filter(None, past)) if name not in sums]
    wanted = [*ids, *extra, *sums, *firsts]
    for name in wanted:
        present(table, name)
    frame = pl.DataFrame(in_order(table.select(wanted), day))
    twice = frame.filter(pl.struct(unit, day).is_duplicated())
    if len(twice):
        raise InputError(
            f"unit '{twice[unit][0]}' has two rows on day {twice[day][0]}; add up its rows of a day first"
        )
    mixed = frame.group_by(unit).agg(pl.col(by).n_unique().alias("arms")).filter(pl.col("arms") > 1)
    if len(mixed):
        raise InputError(
            f"unit '{mixed[unit].sort()[0]}' is in two arms; a unit belongs to one arm for the whole test"
        )
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
    """(value, low, high) of each look by kind of interval, relative ones in percent; None for a refused
    look, and for an interval without bounds.
    """
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
