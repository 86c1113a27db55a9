"""The read-out itself: units, split and covariates checked, moments in one pass, effects of every treatment,
of everybody and of declared cohorts, and the decision.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import InputError
from tastemaker.experiment.checks import SampleRatio, check_units, srm, srm_evidence
from tastemaker.experiment.decide import Decision, Soundness, decide
from tastemaker.experiment.effects import LEAST, Effect, effect, no_effect
from tastemaker.experiment.moments import (
    Metric,
    Moments,
    batches_of,
    cluster_totals,
    clustered,
    moments,
    numbers_of,
)
from tastemaker.experiment.quantiles import Open, quantile_effect, values_by_arm, without_outliers
from tastemaker.experiment.readout.days import Look, cumulated, each_day, watch
from tastemaker.experiment.readout.design import Design
from tastemaker.schema.columns import one_spelling, present

# Amounts of one arm over those of the other from which they are no effect: by how many standard errors, and
# how many there must be.
TIMES, SURE, LEAST_AMOUNTS = 10, 3, 20


@dataclass(frozen=True)
class Split:
    """Rows of each arm, the sample ratio of everybody (of clusters where these were assigned), and that of
    the triggered alone where the plan names them.
    """

    rows: Mapping[str, int]
    everybody: SampleRatio
    triggered: SampleRatio | None = None

    @property
    def worst(self) -> SampleRatio:
        """The one that is least likely."""
        both = [ratio for ratio in (self.everybody, self.triggered) if ratio is not None]
        return min(both, key=lambda ratio: ratio.p)


@dataclass(frozen=True)
class Reading:
    """The split, the moments of each arm, the effects (cohorts last), the decision they lead to, and the
    balance
    of every covariate: its absolute effect, which the treatment cannot have.
    """

    split: Split
    moments: Mapping[str, Moments]
    effects: tuple[Effect, ...]
    decision: Decision
    balance: tuple[Effect, ...] = ()


def check_split(open_table: Open, design: Design) -> Split:
    """Each unit once and in one arm, and the sample ratios. Raises InputError as `check_units`."""
    rows = check_units(lambda: open_table((design.unit, design.arm)), design.unit, design.arm)
    everybody = _ratio(open_table, design, rows)
    if not design.triggered:
        return Split(rows, everybody)
    changed = triggered(open_table, design)
    seen = check_units(lambda: changed((design.unit, design.arm)), design.unit, design.arm)
    return Split(seen, everybody, _ratio(changed, design, seen))


def _ratio(open_table: Open, design: Design, rows: Mapping[str, int]) -> SampleRatio:
    if design.cluster:
        clusters = cluster_totals(open_table((design.cluster, design.arm)), design.cluster, [], design.arm)
        counts = clusters[design.arm].value_counts().to_pylist()
        rows = {str(count["values"]): count["counts"] for count in counts}
    return srm(rows, design.shares, design.alarm, design.warn)


def selected(table: pa.Table) -> Open:
    """What gives the columns of a table. Raises InputError naming one that is missing."""

    def opened(names: Iterable[str]) -> pa.Table:
        wanted = list(dict.fromkeys(names))
        for name in wanted:
            present(table, name)
        return table.select(wanted)

    return opened


def triggered(open_table: Open, design: Design) -> Open:
    """Only the rows whose `triggered` column is 1. Raises InputError where it is neither 0 nor 1."""
    name = design.triggered
    if not name:
        return open_table

    def opened(names: Iterable[str]) -> Iterator[pa.RecordBatch]:
        row = changed = 0
        for batch in batches_of(open_table(dict.fromkeys([*names, name]))):
            values = numbers_of(batch, name, row)
            odd = np.flatnonzero((values != 0) & (values != 1))
            if len(odd):
                raise InputError(
                    f"row {row + int(odd[0]) + 1}, column '{name}' is {values[odd[0]]:g}; give 0 or 1"
                )
            row += batch.num_rows
            changed += int(values.sum())
            yield batch.filter(pa.array(values == 1))
        if row and not changed:
            raise InputError(f"column '{name}' is 0 in every row: the treatment changes nobody's list")

    return opened


def prepared(open_table: Open, design: Design) -> tuple[Open, tuple[Metric, ...]]:
    """The rows that are analysed, with winsorised columns, and the metrics read from them."""
    return without_outliers(triggered(open_table, design), design.metrics)


def columns(design: Design, metrics: Sequence[Metric], *extra: str) -> tuple[str, ...]:
    """The columns that metrics are read from, with those of arms and clusters and `extra`."""
    read = (name for metric in metrics for name in metric.columns)
    return tuple(dict.fromkeys(filter(None, (design.arm, design.cluster, *extra, *read))))


def measured(
    table: Any,
    metrics: Sequence[Metric],
    design: Design,
    part: str | None = None,
    report: Callable[[int], object] | None = None,
) -> dict[Any, Moments]:
    """Moments of the metrics by arm (part: by part and arm), of clusters where these were assigned."""
    if design.cluster:
        metrics = [metric for metric in metrics if not metric.quantile]  # read from the rows themselves
        table = cluster_totals(table, design.cluster, metrics, design.arm, part)
        metrics = [clustered(metric) for metric in metrics]
    return moments(table, metrics, design.arm, part, report)


def check_balance(open_table: Open, design: Design) -> tuple[list[Effect], Soundness]:
    """The balance of every covariate; and what forbids a decision or casts doubt on it: that, and columns in
    another unit in one arm. Of a table without outcomes yet, the covariates alone.
    """
    opened, metrics = prepared(open_table, design)
    try:
        open_table(columns(design, metrics))
    except InputError:
        metrics = tuple(metric for metric in metrics if metric.covariate)
    if not metrics:
        return [], Soundness()
    read = measured(opened(columns(design, metrics)), metrics, design)
    arms = [arm for arm in design.treatments if arm in read and design.control in read]
    balance = [item for name in arms for item in _balance(read, metrics, design, name)]
    sound = _judged_balance(balance, design)
    units = [text for name in arms for text in _other_unit(read, opened, metrics, design, name)]
    return balance, replace(sound, alarms=(*sound.alarms, *units))


def read_out(
    open_table: Open | pa.Table, design: Design, report: Callable[[int], object] | None = None
) -> Reading:
    """Read a finished test: every metric of the design, in two passes over the table and memory of one batch
    + 8 bytes a unit; winsorised metrics and quantiles hold their column as well.

    open_table: a table, or what gives the Arrow stream of the columns named, anew each time. Raises
    InputError on a unit in two arms or twice, an arm without units, a missing value (row and column).
    """
    if isinstance(open_table, pa.Table):
        return read_out(selected(open_table), design, report)
    split = check_split(open_table, design)
    opened, metrics = prepared(open_table, design)
    by_cohort = design.cohort if design.plan.cohorts else ""
    wanted = columns(design, metrics, by_cohort)
    read = measured(opened(wanted), metrics, design, report=report)
    for name in (design.control, *design.treatments):
        if name not in read:
            names = ", ".join(map(str, read)) or "none"
            raise InputError(f"arm '{name}' is empty: no row has it; arms found: {names}")
    balance = [item for name in design.treatments for item in _balance(read, metrics, design, name)]
    soundness = _judged_balance(balance, design)
    seen = list(read.values())
    odd = [] if design.cluster else sum(seen[1:], start=seen[0]).oddities()
    units = [text for name in design.treatments for text in _other_unit(read, opened, metrics, design, name)]
    soundness = Soundness((*soundness.alarms, *units), (*soundness.warnings, *odd))
    off = {item.metric for item in balance if item.p < design.alarm}
    used = [replace(m, covariate="", covariate_denominator="") if m.covariate in off else m for m in metrics]
    results = [result for name in design.treatments for result in _effects(read, opened, used, design, name)]
    if by_cohort:
        parts = measured(opened(wanted), metrics, design, by_cohort)
        one_spelling([*dict.fromkeys(str(cohort) for cohort, _ in parts), *design.plan.cohorts], by_cohort)
        results += [item for name in design.treatments for item in _cohorts(parts, used, design, name)]
    decision = decide(results, design.plan, split.worst, soundness)
    return Reading(split, read, tuple(results), decision, tuple(balance))


def _named(item: Effect, design: Design, arm: str) -> Effect:
    """The effect with its arm where there are several; without a number where it rests on too few units."""
    if item.smallest < LEAST and not item.reason:
        units = f"clusters of '{design.cluster}'" if design.cluster else "units"
        why = f"too few units: {item.smallest} {units} in the smaller arm; at least {LEAST} are needed"
        item = no_effect(item.metric, why, item.kind, item.n, better=item.better, cohort=item.cohort)
    return replace(item, arm=arm) if len(design.treatments) > 1 else item


def _effects(
    read: Mapping[str, Moments], opened: Open, metrics: Sequence[Metric], design: Design, arm: str
) -> list[Effect]:
    """Effect of one arm on every metric; quantiles from the values themselves."""
    out = []
    for metric in metrics:
        if metric.quantile:
            values = values_by_arm(opened, metric.columns[0], design.arm, design.cluster)
            pair = values[arm], values[design.control]
            item = quantile_effect(*pair, metric, design.kind, design.plan.alpha)
        else:
            item = _effect(read[arm], read[design.control], metric, design)
        out.append(_named(item, design, arm))
    return out


def _effect(treatment: Moments, control: Moments, metric: Metric, design: Design) -> Effect:
    """The effect on a mean or ratio, as the plan wants it."""
    metric = clustered(metric) if design.cluster else metric
    return effect(treatment, control, metric, design.kind, alpha=design.plan.alpha)


def _cohorts(
    parts: Mapping[Any, Moments], metrics: Sequence[Metric], design: Design, arm: str
) -> list[Effect]:
    """Effects on the primary means and ratios in each declared cohort."""
    out = []
    for cohort in design.plan.cohorts:
        treatment, control = (parts.get((cohort, name)) for name in (arm, design.control))
        for metric in metrics:
            if metric.name not in design.plan.primary or metric.quantile:
                continue
            if treatment is None or control is None:
                why = f"nobody of cohort '{cohort}' is in both arms"
                item = no_effect(metric.name, why, design.kind, better=metric.better, cohort=cohort)
                out.append(replace(item, arm=arm) if len(design.treatments) > 1 else item)
                continue
            item = replace(_effect(treatment, control, metric, design), cohort=cohort)
            out.append(_named(item, design, arm))
    return out


def _balance(
    read: Mapping[str, Moments], metrics: Sequence[Metric], design: Design, arm: str
) -> list[Effect]:
    """The absolute effect on each covariate: the arms were drawn after it was measured, so there is none."""
    out: dict[tuple[str, str], Effect] = {}
    for metric in metrics:
        key = metric.covariate, metric.covariate_denominator
        if not metric.covariate or key in out:
            continue
        before = Metric(metric.covariate, denominator=metric.covariate_denominator)
        before = clustered(before) if design.cluster else before
        item = effect(read[arm], read[design.control], before, "absolute", alpha=design.plan.alpha)
        if item.reason and abs(item.treatment - item.control) > 0:
            # Constant in each arm, and apart.
            item = replace(item, p=0.0, value=item.treatment - item.control)
        out[key] = _named(item, design, arm)
    return list(out.values())


def _judged_balance(balance: Sequence[Effect], design: Design) -> Soundness:
    """Alarms and warnings of covariates that the arms do not share."""
    alarms, warnings = [], []
    for item in balance:
        where = f"covariate '{item.metric}'" + (f" of arm '{item.arm}'" if item.arm else "")
        text = (
            f"{where} differs between the arms ({item.treatment:.4g} against {item.control:.4g}, p ="
            f" {item.p:.2g})"
        )
        if item.p < design.alarm:
            alarms.append(
                f"{text}: it was measured after the start, or the split is broken; effects are shown"
                " without it"
            )
        elif item.p < design.warn:
            warnings.append(f"{text}; was it measured before the start?")
    return Soundness(tuple(alarms), tuple(warnings))


def _other_unit(
    read: Mapping[str, Moments], opened: Open, metrics: Sequence[Metric], design: Design, arm: str
) -> list[str]:
    """Columns whose amounts, or more of them than chance puts into one arm, are many times as large there, as
    cents are beside euros.
    """
    out = []
    for name in dict.fromkeys(name for metric in metrics if not metric.quantile for name in metric.columns):
        both = sorted((read[of].amounts(name), of) for of in (arm, design.control))
        ((small, error, few), small_arm), ((large, other, many), large_arm) = both
        if min(few, many) < LEAST_AMOUNTS or small <= 0:
            continue
        sure = SURE * math.hypot(other, TIMES * error)
        most = TIMES * read[small_arm].high_of(name)
        if large - TIMES * small > sure:
            out.append(
                f"where it is not 0, '{name}' is {large / small:,.0f} times as large in '{large_arm}' as in"
                f" '{small_arm}': another unit there (cents, milliseconds)?"
            )
        elif read[large_arm].high_of(name) > most and not design.cluster:
            far = int((values_by_arm(opened, name, design.arm, "")[large_arm].value > most).sum())
            if (read[large_arm].n / (read[small_arm].n + read[large_arm].n)) ** far < design.alarm:
                out.append(
                    f"'{name}' is over {TIMES} times the largest of '{small_arm}' in {far} units of"
                    f" '{large_arm}': another unit in those rows (cents, milliseconds), or a code?"
                )
    return out


def by_day(table: pa.Table, design: Design) -> tuple[list[Any], dict[str, list[Effect]]]:
    """Days of a table with a row a unit and day; effects by day on the first primary metric."""
    there = [  # what was measured before the test is mostly not in such a table
        m if m.covariate in table.column_names else replace(m, covariate="", covariate_denominator="")
        for m in design.metrics
    ]
    first = next(item for item in there if item.name == design.plan.primary[0])
    table = each_day(table, [first], (design.unit, design.arm, design.day))
    opened, (metric,) = prepared(selected(table), replace(design, metrics=(first,)))
    days = sorted(set(table[design.day].to_pylist()))
    names = columns(design, [metric], design.day)
    whole = pa.Table.from_batches(list(batches_of(opened(names))))
    results: dict[str, list[Effect]] = {name: [] for name in design.treatments}
    for day in days:
        part = whole.filter(pc.equal(whole[design.day], day))
        read = {} if metric.quantile else measured(part, [metric], design)
        arms = Counter(part[design.arm].to_pylist())
        for name in design.treatments:
            results[name] += _unless_empty(arms, design, name, [metric]) or _effects(
                read, selected(part), [metric], design, name
            )
    return days, results


def _unless_empty(
    arms: Mapping[str, int], design: Design, arm: str, metrics: Sequence[Metric]
) -> list[Effect]:
    """Effects without a number where nobody is in an arm on a day; nothing where somebody is in both."""
    missing = [name for name in (arm, design.control) if not arms.get(name)]
    why, n = f"nobody is in arm '{missing[0]}'" if missing else "", sum(arms.values())
    empty = [no_effect(metric.name, why, design.kind, n, better=metric.better) for metric in metrics]
    return [_named(item, design, arm) for item in empty] if missing else []


def look_back(
    table: pa.Table, design: Design
) -> tuple[list[Any], dict[tuple[str, str], list[Look]], list[str]]:
    """Every daily look at every metric: days, and looks by treatment and metric, from a table with one row a
    unit and day; and what forbids to read them: the first sample ratio whose evidence gives an alarm, however
    often one looks, and columns in another unit in one arm. The primary metrics of all treatments share alpha
    (Bonferroni), and so do the exploratory ones; each guardrail has its own.

    Raises InputError as `cumulated` and `watch`, and on an arm without a share.
    """
    taken: dict[tuple[str, str], list[Effect]] = {}
    days, alarms, people = [], list[str](), dict[str, int]()
    extra = tuple(filter(None, (design.cluster, design.triggered)))
    for day, so_far in cumulated(table, design.metrics, (design.unit, design.arm, design.day), extra):
        ratio = _ratio(selected(so_far), design, Counter(so_far[design.arm].to_pylist()))
        if not alarms and srm_evidence(ratio.counts, design.shares) >= 1 / design.alarm:
            shown = ", ".join(f"{arm} {n:,} of {ratio.expected[arm]:,.0f}" for arm, n in ratio.counts.items())
            alarms = [
                f"sample-ratio alarm: the arms do not hold their shares ({shown}); find what loses units"
            ]
        opened, metrics = prepared(selected(so_far), design)
        read = measured(opened(columns(design, metrics)), metrics, design)
        people = {name: moments.n for name, moments in read.items()}
        for arm in design.treatments:
            for item in _unless_empty(people, design, arm, metrics) or _effects(
                read, opened, metrics, design, arm
            ):
                taken.setdefault((arm, item.metric), []).append(item)
        days.append(day)
    for name in (design.control, *design.treatments):
        if not people.get(name):
            raise InputError(f"arm '{name}' is empty: no row has it")
    alarms += [text for arm in design.treatments for text in _other_unit(read, opened, metrics, design, arm)]
    plan, arms = design.plan, len(design.treatments)
    sizes = dict.fromkeys(plan.exploratory, len(plan.exploratory) * arms)
    sizes |= dict.fromkeys(plan.guardrails, arms) | dict.fromkeys(plan.primary, len(plan.primary) * arms)
    return (
        days,
        {
            key: watch(items, design.planned, plan.alpha / sizes.get(key[1], 1), design.n_min)
            for key, items in taken.items()
        },
        alarms,
    )
