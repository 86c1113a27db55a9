"""`tastemaker retention survey`: weigh answers against non-response, and ask what they measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.options import (
    HERE,
    Out,
    Report,
    Seed,
    TimeUnit,
    Workspace,
    command,
    group,
    pairs,
)
from tastemaker.errors import InputError

app = group(
    "Surveys: weights against non-response, and what the answers measure.\n\nA survey table (Parquet, CSV or"
    " JSON lines) has one row a question shown: user_id, item_id, question, asked_probability, answer (1 to"
    " 5, empty where it was not answered), timestamp.\n\n  tastemaker retention survey weigh surveys.parquet"
    " --users users.parquet --covariate age --covariate country --out weights\n\n  tastemaker retention"
    " survey export -w shop --out surveys.parquet\n\n  tastemaker retention survey asked -w shop --out asked "
    "  # does being asked change what people do?\n\n  tastemaker retention survey validate answers.parquet"
    " --event like --event save --by content --out validity\n\nEach writes report.html, report.md and"
    " report.json. Exit codes: 0 the claim is supported, 1 it is not or cannot be told (the reason is"
    " printed), 2 bad input."
)

Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="Your name of a column: ours=yours, e.g. answer=score; repeat."),
]


@command(app)
def weigh(
    report: Report,
    surveys: Annotated[
        Path, typer.Argument(help="The survey table; or a workspace: its answers stand for all it showed.")
    ],
    covariate: Annotated[list[str], typer.Option(help="A column to balance (number or text); repeat.")],
    out: Out = Path("survey-weights"),
    users: Annotated[
        Path | None, typer.Option(help="A table of one row a user that holds the covariates.")
    ] = None,
    impressions: Annotated[
        Path | None, typer.Option(help="user_id and item_id of what was shown; other answers are refused.")
    ] = None,
    question: Annotated[str, typer.Option(help="The question to weigh.")] = "return",
    threshold: Annotated[
        float | None, typer.Option(help="A mean answer that would change a decision: its tipping point.")
    ] = None,
    trim: Annotated[
        float | None,
        typer.Option(help="Cut weights above this multiple of their mean (balance is then inexact)."),
    ] = None,
    margins: Annotated[
        Path | None,
        typer.Option(help="covariate, value, share of the population: the weights are raked to it as well."),
    ] = None,
    column: Columns = None,
    seed: Seed = 0,
    time_unit: TimeUnit = None,
) -> Any:
    """Weights that make those who answered stand for everyone who was asked, with balance, cost, and tipping
    point.

    Example: tastemaker retention survey weigh surveys.csv --users users.csv --covariate tenure --covariate
    country
    --threshold 3.5

    Of a workspace, where only what is played can be asked about: tastemaker retention survey weigh shop
    --covariate place --covariate activity
    """
    from tastemaker.flows.retention.survey import Weighing, weigh_surveys

    known = pairs(column, "--column")
    settings = Weighing(users, impressions, question, known, trim, threshold, margins, seed)
    return weigh_surveys(surveys, covariate, out, report, settings)


@command(app)
def validate(
    report: Report,
    answers: Annotated[
        Path, typer.Argument(help="A survey table, or one row a user and item with a column a question.")
    ],
    out: Out = Path("survey-validity"),
    question: Annotated[
        list[str] | None, typer.Option(help="The questions, the one to validate first (default: all three).")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(help="A 0 / 1 column of engagement, such as like; repeat.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="A column of content (or of groups, for a battery) to compare.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="The column of weights, such as `survey weigh` writes.")
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead: a battery, factor=item,item,item; repeat. One row a person, a column an item."
        ),
    ] = None,
    reverse: Annotated[
        list[str] | None,
        typer.Option(help="A question or item worded the other way round: its answers are turned; repeat."),
    ] = None,
    column: Columns = None,
    seed: Seed = 0,
    time_unit: TimeUnit = None,
) -> Any:
    """Do the answers agree with their neighbours, repeat none, and differ from engagement? Or: does a battery
    hold together?

    Examples: tastemaker retention survey validate answers.parquet --event like --by content --weight weight

    tastemaker retention survey validate people.csv --block value=v1,v2,v3 --block joy=j1,j2,j3 --by country
    """
    from tastemaker.flows.retention.survey import validate_answers, validate_battery
    from tastemaker.retention.validity.table import QUESTIONS, ValiditySettings

    if block:
        unread = {"--question": question, "--event": event, "--weight": weight, "--column": column}
        if options := [name for name, value in unread.items() if value]:
            raise InputError(
                f"{options[0]} is not read with --block, which counts everybody once by the table's own"
                f" columns; leave {options[0]} out"
            )
        blocks = {name: items.split(",") for name, items in pairs(block, "--block").items()}
        return validate_battery(answers, blocks, out, report, by=by, reverse=reverse or (), seed=seed)
    settings = ValiditySettings(
        tuple(question or QUESTIONS), tuple(event or ()), by, weight, (seed, "validity")
    )
    return validate_answers(answers, out, report, settings, pairs(column, "--column"), reverse or ())


@command(app)
def export(
    workspace: Workspace = HERE,
    out: Annotated[
        str, typer.Option(metavar="<path>", help="The Parquet table to write, here or at a URL.")
    ] = "surveys.parquet",
) -> Any:
    """The questions a server showed, with their answers and what the ranker knew when it served the list.

    Example: tastemaker retention survey export -w shop --out surveys.parquet
    """
    from tastemaker.flows.retention.live.fit import export_surveys

    return export_surveys(workspace, out)


@command(app)
def asked(
    report: Report,
    workspace: Workspace = HERE,
    out: Out = Path("survey-asked"),
    tolerated: Annotated[
        float, typer.Option(help="Harm accepted, as a share of what the never asked have.")
    ] = 0.02,
    least: Annotated[
        int, typer.Option(min=2, help="People needed in each group before anything is estimated.")
    ] = 100,
    days: Annotated[int, typer.Option(min=1, help="Days from each person's first occasion on.")] = 14,
) -> Any:
    """What the question itself does: people who may be asked against the group that never is (`ask_holdout`).

    Exit code 0 when asking is shown to cost no more than --tolerated, 1 when it may, or when the groups are
    too small to tell.

    Example: tastemaker retention survey asked -w shop --out asked
    """
    from tastemaker.flows.retention.asked import read_asked

    return read_asked(out, report, workspace, tolerated, least, days)
