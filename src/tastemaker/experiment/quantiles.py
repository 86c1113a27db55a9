"""Metrics that outliers cannot carry: quantiles, and means of values cut off at a high one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.experiment.effects import Effect, Kind, compared, effect, no_effect, ratio_error
from tastemaker.experiment.moments import Metric, Moments, batches_of, numbers_of
from tastemaker.schema.columns import present

Open = Callable[[Iterable[str]], Any]
_SMOOTH = "values are continuous around the quantile, and units are independent"
_UNEVEN = "; arms of unequal size: a false alarm lies on one side more often than on the other"
MOST_UNEVEN = 2  # times the units of the smaller arm
_STEP, _RARE = 0.4, 1e-4  # share of a bracket that one step may be, and how rarely chance makes it wider
_EDGE = 1.959963984540054  # how far around a quantile its density is measured, in standard errors


@dataclass(frozen=True)
class Values:
    """The values (n,) of a column in one arm, and the number of the cluster each belongs to."""

    value: Floats
    cluster: Ints | None = None


def effect_of_rows(
    treatment: Floats, control: Floats, metric: Metric, kind: Kind = "relative", alpha: float = 0.05
) -> Effect:
    """The effect from rows (n, columns of the metric) of two arms: of a mean, a ratio or a quantile."""
    if metric.quantile:
        return quantile_effect(Values(treatment[:, 0]), Values(control[:, 0]), metric, kind, alpha)
    t, c = (Moments.of(metric.columns, rows) for rows in (treatment, control))
    return effect(t, c, metric, kind, alpha=alpha)


def quantile_effect(
    treatment: Values, control: Values, metric: Metric, kind: Kind = "relative", alpha: float = 0.05
) -> Effect:
    """Effect on the metric's quantile, from the values of two arms; refused where ties or a gap hide its
    precision.

    Source: standard error by Woodruff, JASA 1952: the order statistics two standard errors of the rank away;
    with clusters the rank's error is that of a ratio of their totals (Francisco and Fuller, Annals of
    Statistics 1991).
    """
    arms, sizes = [], [_units(part) for part in (treatment, control)]
    for name, part, units in (("treatment", treatment, sizes[0]), ("control", control, sizes[1])):
        if units < 2:
            why = f"too few units: the {name} arm has {many(units, 'unit')}; at least 2 are needed"
            return no_effect(metric.name, why, kind, sum(sizes), better=metric.better)
        value, se, effective, step = _quantile(part, metric.quantile)
        if se == 0 or step:
            fault = f"are {value:g}: ties hide"
            if step:
                fault = f"lie at {step[0]:g} and {step[1]:g} with nothing between: that hides"
            why = f"around its quantile {metric.quantile:g} the values of the {name} arm {fault} how sure it"
            why += " is; read a mean, or another quantile"
            return no_effect(metric.name, why, kind, sum(sizes), better=metric.better)
        arms.append((units, value, se**2, effective))
    uneven = max(sizes) > MOST_UNEVEN * min(sizes)
    return compared(metric, arms, kind, alpha, _SMOOTH + (_UNEVEN if uneven else ""))


def _units(part: Values) -> int:
    return len(part.value) if part.cluster is None else len(np.unique(part.cluster))


def _quantile(part: Values, at: float) -> tuple[float, float, float, tuple[float, ...]]:
    """A quantile, its standard error (infinite where the sample is too small to bracket it), the units it
    counts as, and the ends of a step that is too wide a part of the bracket to be chance.
    """
    n, ordered = len(part.value), np.sort(part.value)
    value, effective, error = float(np.quantile(ordered, at)), float(n), math.sqrt(n * at * (1 - at))
    if part.cluster is not None:
        code = np.unique(part.cluster, return_inverse=True)[1]
        below = np.asarray(part.value <= value, np.float64)
        totals = Moments.of(
            ("below", "units"), np.column_stack([np.bincount(code, below), np.bincount(code)])
        )
        error, effective = ratio_error(totals, Metric("below", denominator="units"))
        error *= n
    width = _EDGE * error
    low, high = math.floor(n * at - width), math.ceil(n * at + width)
    if low < 0 or high > n - 1:
        return value, math.inf, effective, ()
    bracket = ordered[low : high + 1]
    steps, whole = np.diff(bracket), float(bracket[-1] - bracket[0])
    # Of m values of a smooth density so wide a step is rarer than that.
    widest = max(_STEP, 1 - (_RARE / len(bracket)) ** (1 / len(steps))) * whole
    at_step = int(steps.argmax())
    step = tuple(map(float, bracket[at_step : at_step + 2])) if steps[at_step] > widest else ()
    return value, whole / (2 * _EDGE), effective, step


def without_outliers(open_table: Open, metrics: Sequence[Metric]) -> tuple[Open, tuple[Metric, ...]]:
    """The table with a further column for each winsorised one, and the metrics read from those.

    A value above the metric's `winsorise` quantile of all arms together counts as that quantile; a covariate
    is cut at its own. One more pass over the table, with 8 bytes of memory a unit and column.
    """
    caps: dict[tuple[str, float], str] = {}
    changed = []
    for metric in metrics:
        if metric.winsorise < 1:
            named = [metric.numerator or metric.name, metric.covariate]
            keys = [(name, metric.winsorise) for name in named if name]
            cut = [caps.setdefault(key, f"{key[0]} up to {key[1]:g}") for key in keys]
            past = cut[1] if metric.covariate else ""
            metric = replace(metric, numerator=cut[0], covariate=past, winsorise=1.0)
        changed.append(metric)
    if not caps:
        return open_table, tuple(metrics)
    read = dict.fromkeys(name for name, _ in caps)
    rows = [
        np.column_stack([numbers_of(batch, name) for name in read]) for batch in batches_of(open_table(read))
    ]
    values = dict(zip(read, np.concatenate(rows).T, strict=True)) if rows else {}
    highest = {key: float(np.quantile(values[key[0]], key[1])) for key in caps if len(values.get(key[0], ()))}
    for (name, at), cap in highest.items():
        if cap == values[name].min() < values[name].max():
            raise InputError(
                f"column '{name}' is {cap:g} up to its {at:g} quantile, so that winsorise = {at:g} leaves"
                " nothing of it; give a larger one, or leave it out"
            )

    def opened(names: Iterable[str]) -> Iterator[pa.RecordBatch]:
        wanted = list(names)
        cut = {new: key for key, new in caps.items() if new in wanted}
        raw = [name for name in wanted if name not in cut]
        for batch in batches_of(open_table(dict.fromkeys([*raw, *(name for name, _ in cut.values())]))):
            for new, key in cut.items():
                column = np.minimum(numbers_of(batch, key[0]), highest[key])
                batch = batch.append_column(new, pa.array(column))
            yield batch

    return opened, tuple(changed)


def values_by_arm(open_table: Open, name: str, arm: str, cluster: str) -> dict[str, Values]:
    """The values of a column in each arm, in memory, with their clusters where these were assigned."""
    parts: dict[str, list[tuple[Floats, Ints]]] = {}
    numbers: dict[Any, int] = {}
    for batch in batches_of(open_table(list(filter(None, [arm, name, cluster])))):
        rows, arms = numbers_of(batch, name), np.asarray(present(batch, arm).to_pylist(), dtype=object)
        names = present(batch, cluster).to_pylist() if cluster else [0] * len(rows)
        codes = np.array([numbers.setdefault(item, len(numbers)) for item in names], dtype=np.int64)
        for group in dict.fromkeys(arms):
            parts.setdefault(str(group), []).append((rows[arms == group], codes[arms == group]))
    whole = {
        group: [np.concatenate(part) for part in zip(*rows, strict=True)] for group, rows in parts.items()
    }
    return {group: Values(value, code if cluster else None) for group, (value, code) in whole.items()}
