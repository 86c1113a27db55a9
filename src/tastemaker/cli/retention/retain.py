"""`tastemaker retention increment` and `mediation`: what an answer adds, and what is behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.options import Out, Report, Seed, TimeUnit, command, group, pairs

app = group(
    "Do answers tell who returns, and is it the item's doing?\n\nA table has one row a shown item: user_id,"
    " item_id, day, request_id, features known before the question, answers (1 to 5, empty where there is"
    " none) in columns such as return, and the outcome (0 or 1) in returned.\n\n  tastemaker retention"
    " simulate listeners --world item --out world\n\n  tastemaker retention increment world/rows.parquet"
    " --baseline history --baseline sameday --baseline like\n\n  tastemaker retention mediation"
    " world/rows.parquet --slates world/slates.parquet --control history --control sameday\n\nExit codes: 0"
    " supported (mediation: a verdict was reached), 1 not supported or cannot be told (the reason is"
    " printed), 2 bad input."
)


@command(app)
def increment(
    report: Report,
    rows: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines, one row a shown item.")],
    baseline: Annotated[list[str], typer.Option(help="A feature column known before the question; repeat.")],
    out: Out = Path("increment"),
    survey: Annotated[
        list[str] | None, typer.Option(help="Answer columns, the claimed one first (default: return).")
    ] = None,
    outcome: Annotated[
        str, typer.Option(help="The outcome column: 0 or 1, or a count with --active-quantile.")
    ] = "returned",
    active_quantile: Annotated[
        float | None,
        typer.Option(help="Outcome = count above this quantile of active users' counts (published: .05)."),
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", "--user", help="The column of people, whose rows may hang together.")
    ] = "user_id",
    time: Annotated[
        str | None, typer.Option(help="A column of time: predict later rows from earlier ones.")
    ] = None,
    weight: Annotated[str | None, typer.Option(help="The column of non-response weights.")] = None,
    cohort: Annotated[str, typer.Option(help="A true / false column of low-signal users.")] = "low_signal",
    stamp: Annotated[
        list[str] | None,
        typer.Option(
            help="feature=column of the time it was computed; refused if after --survey-time; repeat."
        ),
    ] = None,
    survey_time: Annotated[str, typer.Option(help="The column of the time of the question.")] = "timestamp",
    reverse: Annotated[
        list[str] | None, typer.Option(help="An answer column of which 1 is the best answer; repeat.")
    ] = None,
    seed: Seed = 0,
    time_unit: TimeUnit = None,
) -> Any:
    """Baseline against baseline + answer, on the same rows, with folds by user and paired intervals.

    Example: tastemaker retention increment rows.parquet --baseline history --baseline like --survey return
    --survey worth
    """
    from tastemaker.flows.retention.survey import increment as run
    from tastemaker.retention.increment.rows import IncrementSettings

    settings = IncrementSettings(
        tuple(baseline),
        tuple(survey or ["return"]),
        outcome,
        active_quantile,
        unit,
        time,
        weight,
        cohort,
        feature_times=pairs(stamp, "--stamp"),
        survey_time=survey_time,
    )
    return run(rows, out, report, settings, reverse or (), seed)


@command(app)
def mediation(
    report: Report,
    rows: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines, one row a shown item.")],
    out: Out = Path("mediation"),
    slates: Annotated[
        Path | None,
        typer.Option(help="Slates drawn with known probability: request_id, item_id, propensity, policy_id."),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="policy_id, item_id, probability: what each policy could have dealt (default: uniform)."
        ),
    ] = None,
    control: Annotated[
        list[str] | None, typer.Option(help="A column known before the question; repeat.")
    ] = None,
    survey: Annotated[str, typer.Option(help="The answer column.")] = "return",
    outcome: Annotated[str, typer.Option(help="The outcome column, 0 or 1.")] = "returned",
    day: Annotated[str, typer.Option(help="The column of days.")] = "day",
    alpha: Annotated[float, typer.Option(help="Two-sided error of each test.")] = 0.05,
    seed: Seed = 0,
    time_unit: TimeUnit = None,
) -> Any:
    """Verdict item, user, state or unknown: between and within users, and randomised exposure where slates
    are given.

    Example: tastemaker retention mediation rows.parquet --slates slates.parquet --control history --json
    """
    from tastemaker.flows.retention.survey import mediation as run

    settings = {"survey": survey, "outcome": outcome, "day": day, "alpha": alpha} | {
        "controls": tuple(control or ())
    }
    return run(
        rows,
        out,
        report,
        slates=slates,
        candidates=candidates,
        settings=settings,
        seed=seed,
    )


app.command("paths", hidden=True)(mediation)  # as 0.1 spelt it
