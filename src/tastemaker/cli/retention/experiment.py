"""`tastemaker experiment`: assign, check, read out, watch, and plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.options import HERE, Out, Report, Seed, TimeUnit, Workspace, command, group

app = group("""Experiments, from the split to the decision.

A plan is written before the test, as TOML:

  id = "rr-1"                     # salt of the split

  primary = ["returned"]          # decides (Holm)

  exploratory = ["likes"]         # looked at (Benjamini-Hochberg)

  planned = 20000                 # units of both arms, for looks while it runs

  shares = { control = 0.5, treatment = 0.5 }   # or more arms

  guardrails = { skips = 0.02 }   # harm tolerated: 2 % of the control

  metrics.returned.covariate = "returned_before"   # CUPED

  metrics.likes.denominator = "plays"              # a ratio of totals

  metrics.minutes.winsorise = 0.99                 # values above this quantile count as it

  metrics.typical = { numerator = "minutes", quantile = 0.5 }

  metrics.skips.better = "down"

  # and: cluster = "household", triggered = "would_differ", cohorts, kind, alpha, alarm, warn

Then:

  tastemaker experiment power --cv 1.2 --lift 0.01

  tastemaker experiment assign users.csv --plan plan.toml --out arms.parquet

  tastemaker experiment check results.parquet --plan plan.toml

  tastemaker experiment read results.parquet --plan plan.toml --out readout

  tastemaker experiment export -w shop --out results.parquet   # from the logs of a served workspace

Results have one row a unit: user_id, arm, and a column a metric. Exit codes: 0 ship, passed or done; 1
refused (the reason is printed); 2 bad input; 70 a fault of the program, which decides nothing.""")

Plan = Annotated[Path, typer.Option(help="The plan, TOML or JSON.")]
Results = Annotated[
    Path, typer.Argument(help="One row a unit: user_id, arm, and the columns of the metrics.")
]


@command(app)
def assign(
    units: Annotated[Path, typer.Argument(help="A table with a column of unit ids.")],
    plan: Plan,
    out: Annotated[Path, typer.Option(help="The Parquet table to write: unit, arm, position.")] = Path(
        "assignment.parquet"
    ),
    unit: Annotated[str, typer.Option(help="The column of unit ids.")] = "user_id",
) -> Any:
    """Split units by salted hash: anybody with the plan's id and shares gets the same arms.

    Example: tastemaker experiment assign users.csv --plan plan.toml --out arms.parquet
    """
    from tastemaker.flows.retention.experiment.run import assign_units

    return assign_units(units, plan, out, unit)


@command(app)
def check(
    report: Report,
    results: Results,
    plan: Plan,
    runs: Annotated[int, typer.Option(help="A/A trials of each metric (100 or more; 0: none).")] = 0,
    exposures: Annotated[
        Path | None, typer.Option(help="The log of exposures: experiment, unit, arm, timestamp.")
    ] = None,
    seed: Seed = 0,
    time_unit: TimeUnit = None,
) -> Any:
    """Is the test sound? Each unit once and in one arm, shares as promised, exposures as hashed, metrics that
    pass A/A trials.

    Example: tastemaker experiment check results.parquet --plan plan.toml --runs 2000
    """
    from tastemaker.flows.retention.experiment.run import check_experiment

    return check_experiment(results, plan, report, runs=runs, exposures=exposures, seed=seed)


@command(app)
def read(
    report: Report,
    results: Results,
    plan: Plan,
    out: Out = Path("readout"),
    days: Annotated[
        Path | None, typer.Option(help="One row a unit and day: adds the effect of each day.")
    ] = None,
    time_unit: TimeUnit = None,
) -> Any:
    """The read-out and its decision: ship (exit 0), or every reason not to (exit 1), as one page for
    everybody.

    Example: tastemaker experiment read results.parquet --plan plan.toml --out readout
    """
    from tastemaker.flows.retention.experiment.run import read_experiment

    return read_experiment(results, plan, out, report, days)


@command(app)
def watch(
    report: Report,
    days: Annotated[
        Path,
        typer.Argument(help="One row a unit and day: user_id, arm, day, and the columns of the metrics."),
    ],
    plan: Plan,
    out: Out = Path("watch"),
    time_unit: TimeUnit = None,
) -> Any:
    """Look while the test runs: intervals of every metric and guardrail that stay valid however often one
    looks.

    Example: tastemaker experiment watch days.parquet --plan plan.toml
    """
    from tastemaker.flows.retention.experiment.run import watch_experiment

    return watch_experiment(days, plan, out, report)


@command(app)
def power(
    lift: Annotated[
        float | None,
        typer.Option(help="Relative lift to see: .01 is one percent. Answers with units an arm."),
    ] = None,
    units: Annotated[
        float | None, typer.Option(help="Units of the smallest arm. Answers with the lift that is seen.")
    ] = None,
    cv: Annotated[float | None, typer.Option(help="SD / mean of the metric by unit.")] = None,
    correlation: Annotated[float, typer.Option(help="Of the metric with its covariate (CUPED).")] = 0.0,
    table: Annotated[Path | None, typer.Option(help="Instead of --cv: past results, with --plan.")] = None,
    plan: Annotated[
        Path | None, typer.Option(help="The plan whose primary metrics are measured in --table.")
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Chance of a false alarm of all tests, two-sided (default: the plan's, else .05)."),
    ] = None,
    chance: Annotated[float, typer.Option("--power", help="Chance to see the lift.")] = 0.8,
) -> Any:
    """How many units for a lift, or which lift for the units there are.

    Example: tastemaker experiment power --cv 1 --lift 0.0003
    """
    from tastemaker.flows.retention.experiment.run import PowerGoal, plan_power

    goal = PowerGoal(lift, units, alpha, chance)
    return plan_power(goal, cv, correlation, table, plan)


@command(app)
def surrogate(
    report: Report,
    results: Results,
    history: Annotated[Path, typer.Option(help="Past units: the short outcomes and the long one.")],
    short: Annotated[list[str], typer.Option(help="A short outcome or covariate, in both tables; repeat.")],
    long: Annotated[str, typer.Option(help="The long outcome, in the history only.")],
    out: Out = Path("surrogate"),
    arm: Annotated[str, typer.Option(help="The column of arms.")] = "arm",
    control: Annotated[str, typer.Option(help="The control arm.")] = "control",
    treatment: Annotated[str, typer.Option(help="The arm to compare with it.")] = "treatment",
    horizon: Annotated[str, typer.Option(help="Over which days the long outcome runs, for the report.")] = "",
    unit: Annotated[str, typer.Option(help="The column of units, each of which comes once.")] = "user_id",
    seed: Seed = 0,
) -> Any:
    """What the short outcomes of a test foretell of a long one, under assumptions that are printed.

    Example: tastemaker experiment surrogate results.parquet --history past.parquet --short plays --short
    likes --long day63
    """
    from tastemaker.experiment.surrogate import SurrogatePlan
    from tastemaker.flows.retention.experiment.run import read_surrogate

    plan = SurrogatePlan(tuple(short), long, arm, control, treatment, horizon, seed, unit)
    return read_surrogate(history, results, plan, out, report)


@command(app)
def export(
    workspace: Workspace = HERE,
    out: Annotated[
        str,
        typer.Option(
            metavar="<path>",
            help="The Parquet table to write, here or at a URL; exposures.parquet goes beside it.",
        ),
    ] = "results.parquet",
    experiment: Annotated[
        str, typer.Option(help="Id of the test; the one in tastemaker.toml if not given.")
    ] = "",
    days: Annotated[int, typer.Option(min=1, help="Days from each person's first exposure on.")] = 14,
) -> Any:
    """The results of a test that a server ran: one row a person exposed, with arm, plays, likes, skips and
    returns.

    Example: tastemaker experiment export -w shop --out results.parquet
    """
    from tastemaker.flows.retention.experiment.run import export_trial

    return export_trial(workspace, out, experiment, days)
