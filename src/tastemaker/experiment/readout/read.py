"""The read-out itself: units and split checked, one pass of moments, effects of everybody and of declared
cohorts, decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tastemaker.experiment.checks import SampleRatio, check_units, srm
from tastemaker.experiment.decide import Decision, decide
from tastemaker.experiment.effects import Effect, effect, effects
from tastemaker.experiment.moments import Moments, cluster_totals, moments
from tastemaker.experiment.readout.days import cumulated
from tastemaker.experiment.readout.design import Design
from tastemaker.experiment.sequential import Look, watch

Open = Callable[[Iterable[str]], Any]


@dataclass(frozen=True)
class Reading:
    """rows: units of each arm; moments of each arm; effects, cohorts last; and the decision they lead to."""

    rows: Mapping[str, int]
    moments: Mapping[str, Moments]
    effects: tuple[Effect, ...]
    decision: Decision


def check_split(open_table: Open, design: Design) -> tuple[SampleRatio, dict[str, int]]:
    """Sample ratio (of clusters where these were assigned) and rows of each arm. Raises InputError as
    `check_units`.
    """
    rows = check_units(lambda: open_table((design.unit, design.arm)), design.unit, design.arm)
    if not design.cluster:
        return srm(rows, design.shares), rows
    arms = cluster_totals(open_table((design.cluster, design.arm)), design.cluster, [], design.arm)[
        design.arm
    ]
    return (
        srm({count["values"]: count["counts"] for count in arms.value_counts().to_pylist()}, design.shares),
        rows,
    )


def read_out(open_table: Open, design: Design, report: Callable[[int], object] | None = None) -> Reading:
    """Read a finished test: every metric of the design, in two passes over the table and memory of one batch
    + 8 bytes a unit.

    open_table: gives the Arrow stream of the columns named, anew each time. Raises InputError on a unit in
    two arms or twice, an arm without units, a missing or empty value (row and column).
    """
    ratio, rows = check_split(open_table, design)
    if design.cluster:
        read = moments(
            cluster_totals(open_table(design.columns), design.cluster, design.metrics, design.arm),
            design.read_as,
            design.arm,
        )
    elif design.plan.cohorts:
        parts = moments(open_table(design.columns), design.metrics, design.arm, design.cohort, report)
        read = {}
        for (_, arm), part in parts.items():
            read[arm] = read[arm] + part if arm in read else part
    else:
        read = moments(open_table(design.columns), design.metrics, design.arm, report=report)
    result = effects(
        read, list(design.read_as), design.control, design.treatment, design.kind, design.plan.alpha
    )
    if design.plan.cohorts and not design.cluster:
        result += _cohorts(parts, design)
    return Reading(rows, read, tuple(result), decide(result, design.plan, ratio))


def _cohorts(parts: Mapping[Any, Moments], design: Design) -> list[Effect]:
    """Effects on the primary metrics in each declared cohort that has units in both arms."""
    out = []
    for cohort in design.plan.cohorts:
        pair = [parts.get((cohort, arm)) for arm in (design.treatment, design.control)]
        if pair[0] is not None and pair[1] is not None:
            primary = [metric for metric in design.metrics if metric.name in design.plan.primary]
            out += [
                effect(pair[0], pair[1], item, design.kind, alpha=design.plan.alpha, cohort=cohort)
                for item in primary
            ]
    return out


def by_day(table: pa.Table, design: Design) -> tuple[list[Any], list[Effect]]:
    """The days of a table with one row a unit and day, and the effect of each day alone on the first primary
    metric.
    """
    metric = next(item for item in design.metrics if item.name == design.plan.primary[0])
    parts = moments(table, metric, design.arm, part=design.day)
    days = sorted({day for day, _ in parts})
    pairs = [
        {arm: parts[day, arm] for arm in (design.control, design.treatment) if (day, arm) in parts}
        for day in days
    ]
    results = [
        effects(pair, [metric], design.control, design.treatment, design.kind, design.plan.alpha)[0]
        for pair in pairs
    ]
    return days, results


def look_back(table: pa.Table, design: Design) -> tuple[list[Any], list[Look]]:
    """Every daily look at the first primary metric: days and looks, from a table with one row a unit and day.

    Raises InputError as `cumulated` and `watch`.
    """
    metric = next(item for item in design.metrics if item.name == design.plan.primary[0])
    days, taken = [], []
    for day, so_far in cumulated(table, [metric], design.unit, design.arm, design.day):
        read = moments(so_far, metric, design.arm)
        taken.append(
            effects(read, [metric], design.control, design.treatment, design.kind, design.plan.alpha)[0]
        )
        days.append(day)
    return days, watch(taken, design.planned, design.plan.alpha, design.n_min)
