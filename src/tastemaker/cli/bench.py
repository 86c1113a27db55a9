"""`tastemaker converse bench` and `tastemaker converse learn`: a model that talks, and how well it answers
turn by turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tastemaker.cli.converse import FIRST as FIRST_NAME
from tastemaker.cli.converse import Name
from tastemaker.cli.converse import app as converse_app
from tastemaker.cli.options import HERE, AsJson, Quiet, Workspace, group
from tastemaker.cli.output import emit
from tastemaker.cli.progress import progress

app = group(
    "Benchmarks on the workspace's own data.\n\n"
    "  tastemaker converse bench -w shop --name first\n\n"
    "ranks every test turn of a data set of conversations with six rankers and the language model."
)


@app.callback()
def bench() -> None:
    """Benchmarks on the workspace's own data."""


Seed = Annotated[int, typer.Option(help="Key of the split, the training and the intervals.")]
Test = Annotated[
    float, typer.Option(help="Share of the users who are asked; their goals are learnt from nobody.")
]
Cold = Annotated[float, typer.Option(help="Share of the families that are never spoken of in training.")]
Passes = Annotated[float, typer.Option(help="Passes over the training conversations.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="Peak learning rate.")]
Dropout = Annotated[float, typer.Option(help="Hidden dropout; 0 where conversations are plentiful.")]
Most = Annotated[int, typer.Option(min=0, help="Test conversations at most; 0 = all.")]


@app.command()
@converse_app.command("bench")
def turns(
    workspace: Workspace = HERE,
    name: Name = FIRST_NAME,
    seed: Seed = 0,
    test: Test = 0.2,
    cold: Cold = 0.05,
    passes: Passes = 4.0,
    rate: Rate = 2e-3,
    dropout: Dropout = 0.1,
    conversations: Most = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Six rankers, the ceiling, and paired intervals, turn by turn; trains the model that talks unless that
    is done.
    """
    from tastemaker.flows.converse.learn.bench import bench_turns
    from tastemaker.flows.converse.learn.dialogues import LearnSettings

    settings = LearnSettings(
        seed=seed, test=test, cold=cold, passes=passes, learning_rate=rate, dropout=dropout
    )
    with progress(quiet) as report:
        emit(bench_turns(workspace, name, settings, report, conversations), as_json)


@converse_app.command()
def learn(
    workspace: Workspace = HERE,
    name: Name = FIRST_NAME,
    seed: Seed = 0,
    test: Test = 0.2,
    cold: Cold = 0.05,
    passes: Passes = 4.0,
    rate: Rate = 2e-3,
    dropout: Dropout = 0.1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Teach the workspace's model to talk: conversations together with behaviour and item texts. A killed run
    resumes.
    """
    from tastemaker.flows.converse.learn.dialogues import LearnSettings, open_talk
    from tastemaker.flows.converse.learn.model import train_dialogue

    settings = LearnSettings(
        seed=seed, test=test, cold=cold, passes=passes, learning_rate=rate, dropout=dropout
    )
    with progress(quiet) as report:
        talk = open_talk(workspace, name, settings, report)
        folder, reused, summary = train_dialogue(talk, settings, report)
    told = f"{'reused' if reused else 'trained'}: {summary['says']}\n{folder}"
    emit({"folder": str(folder), "reused": reused, **summary, "text": told}, as_json)


@converse_app.command("report")
def report_command(
    workspace: Workspace = HERE,
    name: Name = FIRST_NAME,
    examples: Annotated[int, typer.Option(min=1, help="How many conversations to show.")] = 4,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where to; default: report.html beside the data set.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """One page of the data set: the last audit, and example conversations with covers and sound inside the
    page.
    """
    from tastemaker.flows.converse.page import report_page

    with progress(quiet) as report:
        emit(report_page(workspace, name, examples, seed, report, out), as_json)
