"""`tastemaker experiment`: load, call, save, report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import InputError, in_file
from tastemaker.experiment.checks import AATest
from tastemaker.experiment.readout.design import Design
from tastemaker.experiment.readout.logs import RETURN, Window, cut_of, unit_table
from tastemaker.experiment.surrogate import SurrogatePlan
from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.live.context import SHARES
from tastemaker.flows.retention.tables import open_table, read_design, warn_of_slips, write_claim
from tastemaker.schema.columns import codes
from tastemaker.store import Database, Surveys, Workspace, write_table
from tastemaker.store.database.surveys import DIFFERS
from tastemaker.store.remote import uploaded
from tastemaker.store.tables import read_typed


def assign_units(units: Path, plan: Path, out: Path, column: str = "user_id") -> dict[str, Any]:
    """Write the arm of each unit by salted hash as a Parquet table; each unit once, whatever its rows."""
    from tastemaker.experiment import assign, srm

    design = read_design(plan)
    with in_file(units):
        table = read_typed(units, text=(column,))
        codes(table, column)  # refuses a missing column, an empty id, and a word for nobody
        assigned = assign(table[column].unique(), design.id, design.shares)
    write_table(out, assigned)
    counts = {count["values"]: count["counts"] for count in assigned["arm"].value_counts().to_pylist()}
    ratio = srm(counts, design.shares)
    text = f"{ratio.reason}\ntable: {out}"
    return {"table": str(out), "counts": dict(ratio.counts), "p": ratio.p, "text": text}


def check_experiment(
    table: Path, plan: Path, report: Report, *, runs: int = 0, exposures: Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Each unit once and in one arm, sample ratio, exposures against the hash, `runs` A/A trials."""
    from tastemaker.experiment import first_exposures
    from tastemaker.experiment.readout.read import check_balance, check_split

    design = read_design(plan)
    report("units", 0, 1, "")
    with in_file(table):
        split = check_split(lambda names: open_table(table, names, design.ids), design)
    report("units", 1, 1, "")
    lines = [split.everybody.reason]
    if split.triggered is not None:
        lines.append(f"triggered: {split.triggered.reason}")
    if exposures is not None:
        with in_file(exposures):
            seen = first_exposures(
                read_typed(exposures, text=("unit", "arm", "experiment")), design.id, design.shares
            )
        lines.append(f"{seen.num_rows:,} exposed units, all in the arm that their hash says")
    with in_file(table):
        balance, sound = check_balance(lambda names: open_table(table, names, design.ids), design)
    if balance and not sound.alarms + sound.warnings:
        names = ", ".join(dict.fromkeys(f"'{item.metric}'" for item in balance))
        lines.append(f"the arms agree in what was measured before: {names}")
    lines += [*sound.alarms, *(f"WARNING: {warning}" for warning in sound.warnings)]
    ratio, passed, trials = split.worst, not (split.worst.alarm or sound.alarms), {}
    for test in _trials(table, design, runs, seed, report) if runs else ():
        fields = ("rate", "up", "down", "limit", "tail", "uniform_p", "passed", "reason")
        trials[test.metric] = {name: getattr(test, name) for name in fields}
        lines.append(f"{test.metric}: {test.reason}{'' if test.passed else '; REFUSED'}")
        passed = passed and test.passed
    lines.append("passed" if passed else "refused: find the cause before reading any effect from this test")
    message = {
        "rows": dict(split.rows),
        "counts": dict(ratio.counts),
        "p": ratio.p,
        "alarm": ratio.alarm,
        "warning": ratio.warning,
        "power": ratio.power,
        "balance": {item.metric: item.p for item in balance},
        "trials": trials,
        "passed": passed,
    }
    return message | {"text": "\n".join(lines), "exit_code": 0 if passed else 1}


def _trials(table: Path, design: Design, runs: int, seed: int, report: Report) -> Iterator[AATest]:
    """A/A trials of each metric as it decides: alpha, shares, clusters, cut-offs, triggered units."""
    from tastemaker.experiment import aa_test, clustered
    from tastemaker.experiment.moments import batches_of, cluster_totals
    from tastemaker.experiment.readout.read import columns, prepared

    opened, metrics = prepared(lambda names: open_table(table, names, design.ids), design)
    share = design.shares[design.treatments[0]]
    share /= share + design.shares[design.control]
    for place, metric in enumerate(metrics):
        report("A/A trials", place, len(metrics), metric.name)
        with in_file(table):
            rows = pa.Table.from_batches(list(batches_of(opened(columns(design, [metric])))))
            if design.cluster and not metric.quantile:
                rows, metric = cluster_totals(rows, design.cluster, [metric], design.arm), clustered(metric)
            cluster = design.cluster if metric.quantile else ""
            yield aa_test(rows, metric, seed, runs, design.plan.alpha, share, cluster)
        report("A/A trials", place + 1, len(metrics), metric.name)


def read_experiment(
    table: Path, plan: Path, out: Path, report: Report, days: Path | None = None
) -> dict[str, Any]:
    """The read-out of a table with one row a unit, and its decision, as report.md and report.html in `out`.

    days: optionally a table with one row a unit and day, for the effect of each day. Raises InputError with
    file, row, column.
    """
    from tastemaker.experiment.readout.read import by_day, read_out
    from tastemaker.flows.retention.experiment.readout import readout_claim

    design = read_design(plan)
    report("read-out", 0, 2, "units and split")
    with in_file(table):
        reading = read_out(lambda names: open_table(table, names, design.ids), design)
    report("read-out", 1, 2, "decision and report")
    daily = None
    if days is not None:
        with in_file(days):
            daily = by_day(read_typed(days, text=design.ids), design)
    claim = readout_claim(design, reading, daily)
    summary = write_claim(claim, out)
    report("read-out", 2, 2, "")
    decision = reading.decision
    return summary | {
        "decision": decision.verdict,
        "reasons": list(decision.reasons),
        "warnings": list(decision.warnings),
        "arms": {arm or design.treatment: verdict for arm, verdict in decision.arms.items()},
        "exit_code": decision.exit_code,
    }


def watch_experiment(days: Path, plan: Path, out: Path, report: Report) -> dict[str, Any]:
    """Every metric and guardrail by day, intervals valid at all looks; days: one row a unit and day."""
    from tastemaker.experiment.readout.read import look_back
    from tastemaker.flows.retention.experiment.readout import watch_claim

    design = read_design(plan)
    if design.planned < 1:
        raise InputError(
            f"{plan}: 'planned' is missing; looks while a test runs need the size planned before it started"
        )
    report("looks", 0, 1, "")
    with in_file(days):
        seen, looks, alarms = look_back(read_typed(days, text=design.ids), design)
    claim = watch_claim(design, seen, looks, alarms)
    summary = write_claim(claim, out)
    report("looks", 1, 1, "")
    return summary


@dataclass(frozen=True)
class PowerGoal:
    """The lift to see, or the units there are (of the smaller arm); alpha: false alarms of all tests together
    (None: the plan's, else .05); power: chance to see the lift.
    """

    lift: float | None = None
    units: float | None = None
    alpha: float | None = None
    power: float = 0.8

    def __post_init__(self) -> None:
        if (self.lift is None) == (self.units is None):
            raise InputError(
                "give either --lift (to learn how many units) or --units (to learn which lift is seen)"
            )


def plan_power(
    goal: PowerGoal,
    cv: float | None = None,
    correlation: float = 0.0,
    table: Path | None = None,
    plan: Path | None = None,
) -> dict[str, Any]:
    """Units for a lift, or the lift that units see; spread and correlation given, or taken from past data by
    metric, for the plan's shares and as many tests as it corrects for.
    """
    from tastemaker.experiment import clustered
    from tastemaker.experiment.decide import variation
    from tastemaker.experiment.readout.read import columns, measured, prepared
    from tastemaker.experiment.readout.words import ALPHA, power_rows, power_text

    alpha, shares, equal = ALPHA if goal.alpha is None else goal.alpha, (0.5, 0.5), True
    if table is not None and plan is not None:
        design = read_design(plan)
        arms_of_all = [design.shares[arm] for arm in (design.control, *design.treatments)]
        least, control = min(arms_of_all[1:]), arms_of_all[0]
        shares, equal = (min(least, control), max(least, control)), arms_of_all == [0.5, 0.5]
        alpha = design.plan.alpha if goal.alpha is None else goal.alpha
        alpha /= len(design.plan.primary) * len(design.treatments)
        with in_file(table):
            opened, metrics = prepared(lambda names: open_table(table, names, design.ids), design)
            means = [
                metric for metric in metrics if metric.name in design.plan.primary and not metric.quantile
            ]
            if not means:
                raise InputError("no primary metric is a mean or ratio; give --cv for a quantile")
            arms = measured(opened(columns(design, means)), means, design)
            if design.control not in arms:
                raise InputError(f"arm '{design.control}' is empty: no row has it")
            past = {
                metric.name: variation(arms[design.control], clustered(metric) if design.cluster else metric)
                for metric in means
            }
    elif cv is not None:
        past = {"metric": (cv, correlation)}
    else:
        raise InputError(
            "give --cv (SD / mean of the metric by unit), or --table and --plan to measure it on past data"
        )
    rows = power_rows(past, goal.lift, goal.units, alpha, goal.power, shares)
    return {"rows": rows, "text": power_text(rows, equal)}


def read_surrogate(
    history: Path, table: Path, plan: SurrogatePlan, out: Path, report: Report
) -> dict[str, Any]:
    """Fit the surrogate index on history, read its effect in a test, and report it with its assumptions."""
    from tastemaker.experiment.surrogate import index_on_tables
    from tastemaker.flows.retention.experiment.readout import surrogate_claim

    report("surrogate index", 0, 2, "fitting on history")
    with in_file(history):
        past = read_typed(history)
    with in_file(table):
        test = read_typed(table)
    for part, path in ((past, history), (test, table)):
        with in_file(path):
            warn_of_slips(part, plan.short, str(path))
    index, effect, alone = index_on_tables(past, test, plan, (str(history), str(table)))
    report("surrogate index", 1, 2, "report")
    claim = surrogate_claim(index, effect, alone, plan)
    summary = write_claim(claim, out)
    report("surrogate index", 2, 2, "")
    return summary


def export_trial(workspace: Path, out: str | Path, experiment: str = "", days: int = 14) -> dict[str, Any]:
    """`tastemaker experiment export`: a row a person exposed, and exposures.parquet for `check` beside it."""
    opened = Workspace.open(workspace)
    name = experiment or opened.settings.experiment
    if not name:
        raise InputError(
            f'{workspace}: no test is set; write experiment = "rr-1" into tastemaker.toml, or give'
            " --experiment"
        )
    with Database(opened.database) as database:
        exposures, differing = (Surveys(database).exposures(log) for log in (name, name + DIFFERS))
        logs = exposures, database.events_table(), database.slates_table()
    table = unit_table(*logs, name, SHARES, Window(days), opened.event_rules())
    cut = cut_of(table)
    if differing.num_rows:  # a test that began with version 0.1 did not log it
        differs = pc.is_in(table["user_id"], differing["unit"].combine_chunks())
        table = table.append_column("would_differ", differs.cast("int64"))
    log = f"{out}"[: -len(PurePosixPath(out).name)] + "exposures.parquet"
    for place, rows in ((out, table), (log, exposures)):
        with uploaded(place) as path:
            write_table(path, rows)
    counts = {item["values"]: item["counts"] for item in table["arm"].value_counts().to_pylist()}
    message = ", ".join(f"{arm} {count:,}" for arm, count in sorted(counts.items()))
    return {
        "table": str(out),
        "exposures": log,
        "counts": counts,
        "cut": cut,
        "text": (
            f"'{name}': {message}; {cut:,} left out because their {days} days are not in the log in"
            f" full\nreturned: seen again {RETURN[0]} to {RETURN[1]} hours after the first list\ntable:"
            f" {out}\nlog: {log}"
        ),
    }
