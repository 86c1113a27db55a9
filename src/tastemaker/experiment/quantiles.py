"""Metrics that outliers cannot carry: quantiles, and means of values cut off at a high one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.experiment.effects import Effect, Kind, compared, effect, no_effect
from tastemaker.experiment.moments import Floats, Metric, Moments, batches_of, column_of, numbers_of

Open = Callable[[Iterable[str]], Any]
_SMOOTH = "values are continuous around the quantile, and units are independent"
_EDGE = 1.959963984540054  # how far around a quantile its density is measured, in standard errors


def effect_of_rows(
    treatment: Floats, control: Floats, metric: Metric, kind: Kind = "relative", alpha: float = 0.05
) -> Effect:
    """The effect from the rows (n, columns of the metric) of two arms, whether of a mean, a ratio or a
    quantile.
    """
    if metric.quantile:
        return quantile_effect(treatment[:, 0], control[:, 0], metric, kind, alpha)
    t, c = (Moments.of(metric.columns, rows) for rows in (treatment, control))
    return effect(t, c, metric, kind, alpha=alpha)


def quantile_effect(
    treatment: Floats, control: Floats, metric: Metric, kind: Kind = "relative", alpha: float = 0.05
) -> Effect:
    """Effect on the metric's quantile, from the values (n,) of two arms; refused where ties hide its
    precision.

    Source: standard error by Woodruff, JASA 1952: the order statistics two standard errors of the rank away.
    """
    arms = []
    for name, values in (("treatment", treatment), ("control", control)):
        if len(values) < 2:
            why = f"too few units: the {name} arm has {len(values)} units; at least 2 are needed"
            return no_effect(metric.name, why, kind, len(treatment) + len(control), better=metric.better)
        value, se = _quantile(values, metric.quantile)
        if se == 0:
            why = (
                f"around its quantile {metric.quantile:g} every value of the {name} arm is {value:g}: ties"
                " hide"
            )
            why += " how sure it is; read a mean, or another quantile"
            return no_effect(metric.name, why, kind, len(treatment) + len(control), better=metric.better)
        arms.append((len(values), value, se**2))
    return compared(metric, arms, kind, alpha, _SMOOTH)


def _quantile(values: Floats, at: float) -> tuple[float, float]:
    """A quantile and its standard error; infinite where the sample is too small to bracket it."""
    n, ordered = len(values), np.sort(values)
    width = _EDGE * math.sqrt(n * at * (1 - at))
    low, high = math.floor(n * at - width), math.ceil(n * at + width)
    if low < 0 or high > n - 1:
        return float(np.quantile(ordered, at)), math.inf
    return float(np.quantile(ordered, at)), float(ordered[high] - ordered[low]) / (2 * _EDGE)


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
            cut = [
                caps.setdefault((name, metric.winsorise), f"{name} up to {metric.winsorise:g}")
                for name in named
                if name
            ]
            metric = replace(
                metric, numerator=cut[0], covariate=cut[1] if metric.covariate else "", winsorise=1.0
            )
        changed.append(metric)
    if not caps:
        return open_table, tuple(metrics)
    read = dict.fromkeys(name for name, _ in caps)
    rows = [
        np.column_stack([numbers_of(batch, name) for name in read]) for batch in batches_of(open_table(read))
    ]
    values = dict(zip(read, np.concatenate(rows).T, strict=True)) if rows else {}
    highest = {key: float(np.quantile(values[key[0]], key[1])) for key in caps if len(values.get(key[0], ()))}

    def opened(names: Iterable[str]) -> Iterator[pa.RecordBatch]:
        wanted = list(names)
        cut = {new: key for key, new in caps.items() if new in wanted}
        kept = [name for name in wanted if name not in cut]
        for batch in batches_of(open_table(dict.fromkeys([*kept, *(name for name, _ in cut.values())]))):
            for new, key in cut.items():
                column = np.minimum(numbers_of(batch, key[0]), highest[key])
                batch = batch.append_column(new, pa.array(column))
            yield batch

    return opened, tuple(changed)


def columns_by_arm(open_table: Open, names: Sequence[str], arm: str) -> dict[str, Floats]:
    """The values (n, columns) of each arm, in memory."""
    parts: dict[str, list[Floats]] = {}
    for batch in batches_of(open_table([arm, *names])):
        rows = np.column_stack([numbers_of(batch, name) for name in names])
        arms = np.asarray(column_of(batch, arm).to_pylist(), dtype=object)
        for name in dict.fromkeys(arms):
            parts.setdefault(str(name), []).append(rows[arms == name])
    return {name: np.concatenate(rows) for name, rows in parts.items()}
