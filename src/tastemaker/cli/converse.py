"""`tastemaker converse`: conversations about a workspace's catalogue, from a plan to checked, exported
data.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastemaker.cli.options import HERE, AsJson, Quiet, Workspace, group
from tastemaker.cli.output import emit
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError

if TYPE_CHECKING:
    from tastemaker.flows.converse.generate import Paying
    from tastemaker.flows.converse.settings import RunSettings

app = group(
    "Generate, check, judge and export conversations about the workspace's catalogue.\n\n  tastemaker"
    " converse plan -w shop --n 200\n\n  tastemaker converse run -w shop --n 200\n\n  tastemaker converse"
    " audit -w shop\n\n  tastemaker converse export -w shop --format chat\n\nThe roles are played by"
    " rules (free, offline), a Hugging Face folder, or NAME@URL of any OpenAI-compatible endpoint (its"
    " key in TASTEMAKER_API_KEY). Exit codes: 0 done, 1 an audit did not pass, 2 bad input, 3 stopped"
    " early, 4 budget reached."
)

Name = Annotated[
    str, typer.Option("--name", help="Name of the data set: conversations/NAME in the workspace.")
]
FIRST = "first"


def _settings(
    n: Annotated[int, typer.Option("--n", min=1, help="How many conversations.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same settings, same bytes.")] = 0,
    turns: Annotated[
        str, typer.Option(help="Turns of a conversation: 8 (what other tools expect), or a range in 3-12.")
    ] = "8",
    model: Annotated[
        str, typer.Option(help="rules, a Hugging Face model folder, or NAME@URL of an endpoint.")
    ] = "rules",
    pool: Annotated[
        str, typer.Option(help="catalogue, or session: rebuilds the leak of published data, for audits.")
    ] = "catalogue",
    media: Annotated[
        str, typer.Option(help="Attachments that the model takes: audio,image or none.")
    ] = "audio,image",
    temperature: Annotated[
        float, typer.Option(min=0, help="How freely a model draws its words; rules ignore it.")
    ] = 0.7,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Longest answer, and with it what a call can cost.")
    ] = 512,
) -> RunSettings:
    from tastemaker.flows.converse.settings import RunSettings

    return RunSettings(
        n=n,
        seed=seed,
        turns=turns,
        model=model,
        pool=pool,
        media=media,
        temperature=temperature,
        max_tokens=max_tokens,
    )


def _paying(
    calls: Annotated[int | None, typer.Option(help="Most calls, in all sittings.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Most tokens, in all sittings.")] = None,
    money: Annotated[float | None, typer.Option(help="Most money, in all sittings; needs --price.")] = None,
    price: Annotated[
        str | None,
        typer.Option(help="Per million tokens, dated: INPUT,OUTPUT,YYYY-MM-DD, as 0.15,0.60,2026-01-31."),
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Most calls at once.")] = 16,
) -> Paying:
    from tastemaker.chat import Limits
    from tastemaker.flows.converse.generate import Paying

    return Paying(Limits(calls=calls, tokens=tokens, money=money), _price(price), at_once)


def _price(text: str | None) -> Any:
    from tastemaker.chat import Price

    if text is None:
        return None
    try:
        read, written, day = text.split(",")
        return Price(float(read), float(written), date.fromisoformat(day.strip()))
    except ValueError:
        raise InputError(
            f"--price {text}: give INPUT,OUTPUT,YYYY-MM-DD per million tokens, as 0.15,0.60,2026-01-31"
        ) from None


GROUPS: dict[str, Callable[..., Any]] = {"settings": _settings, "paying": _paying}


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters `settings` and `paying` are made of the options of `_settings` and
    `_paying`.
    """
    own = inspect.signature(command, eval_str=True).parameters
    options = {
        name: inspect.signature(maker, locals={"RunSettings": Any, "Paying": Any}, eval_str=True).parameters
        for name, maker in GROUPS.items()
        if name in own
    }
    parameters = [
        one for name, had in own.items() for one in (options[name].values() if name in options else (had,))
    ]

    def run(**values: Any) -> None:
        made = {
            name: GROUPS[name](**{one: values.pop(one) for one in names}) for name, names in options.items()
        }
        command(**made, **values)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


@app.command()
@grouped
def plan(
    settings: Any, paying: Any, workspace: Workspace = HERE, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """What a run would be: fields, goals, calls, tokens, cost, time, how far limits reach. Nothing is called
    or kept.
    """
    from tastemaker.flows.converse.generate import plan_run

    with progress(quiet) as report:
        emit(plan_run(workspace, settings, paying, report), as_json)


@app.command()
@grouped
def run(
    settings: Any,
    paying: Any,
    workspace: Workspace = HERE,
    name: Name = FIRST,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="As `plan`: say what it would cost, do nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Generate a data set. Killed, it goes on where it was with `resume`; nothing paid for is paid again."""
    from tastemaker.flows.converse.generate import generate, plan_run

    with progress(quiet) as report:
        if dry_run:
            done = plan_run(workspace, settings, paying, report)
        else:
            done = generate(workspace, name, settings, paying, "never", report)
    emit(done, as_json)


@app.command()
@grouped
def resume(
    paying: Any,
    workspace: Workspace = HERE,
    name: Name = FIRST,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="More conversations than before; the first ones stay.")
    ] = None,
    changed: Annotated[
        str, typer.Option(help="If settings changed: same refuses and names them, always goes on.")
    ] = "same",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a data set: what is finished stays, what failed waits for `retry`."""
    _go_on(workspace, name, n, changed, (), paying, as_json, quiet)


@app.command()
@grouped
def retry(
    paying: Any,
    workspace: Workspace = HERE,
    name: Name = FIRST,
    kind: Annotated[
        list[str] | None, typer.Option(help="A kind of failure, as `status` names it; repeat. Default: all.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Try failed conversations again, and only those."""
    _go_on(workspace, name, None, "same", kind or ["all"], paying, as_json, quiet)


def _go_on(
    workspace: Path,
    name: str,
    n: int | None,
    resume: str,
    retry: Any,
    paying: Paying,
    as_json: bool,
    quiet: bool,
) -> None:
    from dataclasses import replace

    from tastemaker.flows.converse.generate import generate, saved_settings
    from tastemaker.flows.converse.settings import RunFolder
    from tastemaker.store import Workspace as Store

    if resume not in ("same", "always"):
        raise InputError(f"--changed {resume}: choose same or always")
    settings: RunSettings = saved_settings(RunFolder.of(Store.open(workspace), name))
    with progress(quiet) as report:
        done = generate(
            workspace, name, replace(settings, n=n) if n else settings, paying, resume, report, retry
        )
    emit(done, as_json)


@app.command()
def status(workspace: Workspace = HERE, name: Name = FIRST, as_json: AsJson = False) -> None:
    """How far a data set is, what failed and why, what was spent."""
    from tastemaker.flows.converse.generate import status as read_status

    emit(read_status(workspace, name), as_json)


@app.command()
def audit(
    workspace: Workspace = HERE, name: Name = FIRST, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Check every turn and every message anew, and what the choice of items gives away; exit 1 when something
    fails.
    """
    from tastemaker.flows.converse.audit import audit_run

    with progress(quiet) as report:
        found = audit_run(workspace, name, report)
    emit(found, as_json)
    if not found["ok"]:
        raise typer.Exit(1)


@app.command()
def export(
    workspace: Workspace = HERE,
    name: Name = FIRST,
    kind: Annotated[
        str, typer.Option("--format", help="talkplay, chat, preference, retrieval, tools or crs.")
    ] = "chat",
    extended: Annotated[
        bool, typer.Option(help="talkplay: keep conversations with a turn that played nothing.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where to; default: exports/ beside the data set.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the data set in the shape that a trainer or an evaluator reads."""
    from tastemaker.flows.converse.export import export_run

    emit(export_run(workspace, name, kind, extended, out), as_json)


@app.command()
def read(
    file: Annotated[
        Path, typer.Argument(help="JSON lines of an export, or the JSON list of crs predictions.")
    ],
    workspace: Workspace = HERE,
    name: Name = FIRST,
    kind: Annotated[
        str, typer.Option("--format", help="talkplay, chat, preference, retrieval, tools or crs.")
    ] = "chat",
    blind: Annotated[bool, typer.Option(help="crs: refuse empty replies, as blind phases do.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every record of a file in one of the export formats; crs predictions are scored against the data
    set.
    """
    from tastemaker.flows.converse.export import read_export

    emit(read_export(workspace, name, kind, file, blind), as_json)


@app.command()
@grouped
def judge(
    paying: Any,
    workspace: Workspace = HERE,
    name: Name = FIRST,
    judges: Annotated[
        list[str] | None,
        typer.Option("--judge", help="A judge; give at least two. Offline: facts, overlap; else as --model."),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="How many conversations, one turn each.")] = 50,
    repeats: Annotated[
        int,
        typer.Option(min=1, max=9, help="How often to ask a judge the same; 2: does it agree with itself?"),
    ] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Grade turns and pairs by several judges: do they agree, notice planted defects, and choose alike in
    either order?
    """
    from tastemaker.flows.converse.judge import judge_run

    with progress(quiet) as report:
        emit(
            judge_run(workspace, name, judges or ["facts", "overlap"], sample, paying, report, repeats),
            as_json,
        )
