"""`tastemaker converse`: conversations about a workspace's catalogue, from a plan to exported data."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastemaker.cli.options import HERE, Report, Workspace, command, group
from tastemaker.errors import InputError

if TYPE_CHECKING:
    from tastemaker.flows.converse.generate import Session
    from tastemaker.flows.pipeline import Report

app = group(
    "Generate, check, judge and export conversations about the workspace's catalogue."
    "\n\n  tastemaker converse plan -w shop --n 200\n\n  tastemaker converse run -w shop --n"
    " 200\n\n  tastemaker converse audit -w shop\n\n  tastemaker converse export -w shop --format"
    " chat\n\nThe roles are played by rules (free, offline), NAME@URL of any"
    " OpenAI-compatible endpoint (its key in TASTEMAKER_API_KEY), or a back end of an installed plugin."
    " Exit codes: 0 done, 1 an audit did not pass, 2 bad input, 3 stopped early or nothing finished, 4"
    " budget reached."
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
        list[str] | None,
        typer.Option(
            help=(
                "rules (default), or NAME@URL of an endpoint; for one role as"
                " listener=NAME@URL (profile, goal, listener, recommender); repeat."
            )
        ),
    ] = None,
    media: Annotated[
        str, typer.Option(help="Attachments that the model takes: audio,image or none.")
    ] = "audio,image",
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Longest answer, and with it what a call can cost.")
    ] = 512,
    tools: Annotated[
        bool, typer.Option("--tools", help="The recommender searches by tool calls of its own.")
    ] = False,
) -> Any:
    from tastemaker.flows.converse.settings import RunSettings

    return RunSettings(
        n=n,
        seed=seed,
        turns=turns,
        model=",".join(model or ["rules"]),
        media=media,
        max_tokens=max_tokens,
        tools=tools,
    )


def _session(
    calls: Annotated[int | None, typer.Option(help="Most calls, in all sessions.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Most tokens, in all sessions.")] = None,
    money: Annotated[float | None, typer.Option(help="Most money, in all sessions; needs --price.")] = None,
    price: Annotated[
        str | None,
        typer.Option(help="Per million tokens, dated: INPUT,OUTPUT,YYYY-MM-DD, as 0.15,0.60,2026-01-31."),
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Most calls at once.")] = 16,
) -> Any:
    from tastemaker.chat import Limits
    from tastemaker.flows.converse.generate import Session

    return Session(Limits(calls=calls, tokens=tokens, money=money), _price(price), at_once)


def _price(text: str | None) -> Any:
    from tastemaker.chat import Price

    if text is None:
        return None
    try:
        prompt, completion, day = text.split(",")
        return Price(float(prompt), float(completion), date.fromisoformat(day.strip()))
    except ValueError:
        raise InputError(
            f"--price {text}: give INPUT,OUTPUT,YYYY-MM-DD per million tokens, as 0.15,0.60,2026-01-31"
        ) from None


@command(app, settings=_settings, session=_session)
def plan(report: Report, settings: Any, session: Any, workspace: Workspace = HERE) -> Any:
    """What a run would be: fields, goals, calls, tokens, cost, time, how far limits reach. Nothing is called
    or kept.

    Example: tastemaker converse plan -w shop --n 500 --model rules
    """
    from tastemaker.flows.converse.generate import plan_run

    return plan_run(workspace, settings, session, report)


@command(app, settings=_settings, session=_session)
def run(
    report: Report,
    settings: Any,
    session: Any,
    workspace: Workspace = HERE,
    name: Name = FIRST,
) -> Any:
    """Generate a data set. Killed, it goes on where it was with `resume`; nothing paid for is paid again.

    Example: tastemaker converse run -w shop --n 200
    """
    from tastemaker.flows.converse.generate import generate

    return generate(workspace, name, settings, session, report)


@command(app, session=_session)
def resume(
    report: Report,
    session: Any,
    workspace: Workspace = HERE,
    name: Name = FIRST,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="More conversations than before; the first ones stay.")
    ] = None,
    changed: Annotated[
        str, typer.Option(help="If settings changed: same refuses and names them, always goes on.")
    ] = "same",
) -> Any:
    """Go on with a data set: what is finished stays, what failed waits for `retry`.

    Example: tastemaker converse resume -w shop
    """
    if changed not in ("same", "always"):
        raise InputError(f"--changed {changed}: choose same or always")
    return _go_on(workspace, name, n, replace(session, resume=changed), report)


@command(app, session=_session)
def retry(
    report: Report,
    session: Any,
    workspace: Workspace = HERE,
    name: Name = FIRST,
    kind: Annotated[
        list[str] | None, typer.Option(help="A kind of failure, as `status` names it; repeat. Default: all.")
    ] = None,
) -> Any:
    """Try failed conversations again, and only those.

    Example: tastemaker converse retry -w shop
    """
    again = replace(session, resume="same", retry=kind or ["all"])
    return _go_on(workspace, name, None, again, report)


def _go_on(workspace: Path, name: str, n: int | None, session: Session, report: Report) -> dict[str, Any]:
    from tastemaker.flows.converse.dataset import saved_settings
    from tastemaker.flows.converse.generate import generate
    from tastemaker.flows.converse.settings import RunFolder
    from tastemaker.store import Workspace as Store

    settings = saved_settings(RunFolder.of(Store.open(workspace), name))
    return generate(workspace, name, replace(settings, n=n or settings.n), session, report)


@command(app)
def status(workspace: Workspace = HERE, name: Name = FIRST) -> Any:
    """How far a data set is, what failed and why, what was spent; of a collected one, what it holds.

    Example: tastemaker converse status -w shop
    """
    from tastemaker.flows.converse.generate import status as read_status

    return read_status(workspace, name)


@command(app, fails="ok")
def audit(report: Report, workspace: Workspace = HERE, name: Name = FIRST) -> Any:
    """Check every turn and every message anew, and what the choice of items gives away; exit 1 when something
    fails.

    Example: tastemaker converse audit -w shop
    """
    from tastemaker.flows.converse.audit import audit_run

    return audit_run(workspace, name, report)


@command(app)
def collect(
    report: Report,
    workspace: Workspace = HERE,
    name: Name = "people",
) -> Any:
    """Make a data set of what people with a name said to the assistant, and what they liked of its answers.

    It is exported and read as a generated one; collect again for what came since.
    `tastemaker admin forget` takes a person out of it too. Their likes and plays are events and reach `train`
    by themselves.

    Example: tastemaker converse collect -w shop && tastemaker converse export -w shop --name people
    """
    from tastemaker.flows.converse.people import collect as collect_people

    return collect_people(workspace, name, report)


@command(app)
def export(
    workspace: Workspace = HERE,
    name: Name = FIRST,
    kind: Annotated[
        str, typer.Option("--format", help="talkplay, chat, preference, retrieval, tools or crs.")
    ] = "chat",
    extended: Annotated[
        bool,
        typer.Option(
            "--extended/--complete",
            help="talkplay: keep or leave out sessions with a turn that played nothing.",
        ),
    ] = True,
    out: Annotated[
        str | None, typer.Option(help="File or URL (s3:// ...); default: in exports/ beside the data set.")
    ] = None,
) -> Any:
    """Write the data set in the shape that a trainer or an evaluator reads.

    Example: tastemaker converse export -w shop --format chat
    """
    from tastemaker.flows.converse.export import export_run

    return export_run(workspace, name, kind, extended, out)


@command(app)
def read(
    file: Annotated[Path, typer.Argument(help="The JSON list of crs predictions.")],
    workspace: Workspace = HERE,
    name: Name = FIRST,
    blind: Annotated[bool, typer.Option(help="Refuse empty replies, as blind phases do.")] = False,
) -> Any:
    """Check every record of crs predictions, and score them against the data set.

    Example: tastemaker converse read -w shop predictions.json
    """
    from tastemaker.flows.converse.export import read_predictions

    return read_predictions(workspace, name, file, blind)


@command(app, session=_session)
def judge(
    report: Report,
    session: Any,
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
) -> Any:
    """Grade turns and pairs by several judges: do they agree, notice planted defects, and choose alike in
    either order?

    Example: tastemaker converse judge -w shop
    """
    from tastemaker.flows.converse.judge import judge_run

    return judge_run(workspace, name, judges or ["facts", "overlap"], session, report, (sample, repeats))
