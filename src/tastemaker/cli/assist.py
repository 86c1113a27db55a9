"""`tastemaker chat` and `tastemaker serve --mcp`: the assistant in a terminal, and its tools elsewhere."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastemaker.cli.options import HERE, Quiet, Workspace
from tastemaker.errors import InputError

if TYPE_CHECKING:
    from tastemaker.assist.assistant import Assistant
    from tastemaker.assist.model import Model as Endpoint
    from tastemaker.assist.parts import Part
    from tastemaker.serving.service import WorkspaceService

Model = Annotated[
    str | None,
    typer.Option(help="An OpenAI-compatible model that talks, NAME@URL; its key is in TASTEMAKER_API_KEY."),
]


def chat(
    workspace: Workspace = HERE,
    say: Annotated[
        list[str] | None, typer.Option(help="Say this and end; repeat for several turns of one conversation.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Who talks: their past counts, and likes are kept.")
    ] = None,
    model: Model = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each part of the answers as one line of JSON, as it comes.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Talk with the assistant about the catalogue.

    It reads free words ("something sad for a funeral", "like the second but slower", "what key is that in?"),
    shows only items that fit, and answers from facts. Without --model it needs no network. An empty line,
    or quit, ends.

    Examples:

      tastemaker chat -w shop

      tastemaker chat -w shop --user U17 --say "something lively" --say "slower" --json

      TASTEMAKER_API_KEY=... tastemaker chat -w shop --model qwen3@http://localhost:8000/v1
    """
    from tastemaker.assist.assistant import Assistant

    if user is not None and not user.strip():
        raise InputError("--user is empty; name who talks, or leave it out")
    assistant = Assistant.open(workspace, model)
    try:
        if assistant.model is not None:
            assistant.model.check()
        assistant.library()
        if not say and not quiet and sys.stdin.isatty():
            print("Say what you are looking for; an empty line, or quit, ends.", file=sys.stderr)
        conversation: str | None = None
        for message in say or _lines():
            conversation = _turn(assistant, message, conversation, user, as_json)
    finally:
        assistant.close()


def endpoint(model: str | None) -> Endpoint | None:
    """The language model of NAME@URL. Raises InputError when that is none, or it turns the key away."""
    from tastemaker.assist.model import Model

    chosen = Model.of(model) if model else None
    if chosen is not None:
        chosen.check()
    return chosen


def talker(service: WorkspaceService, model: str | None) -> Assistant | None:
    """The assistant of a server, read in the background; None of a catalogue too large for it."""
    import threading

    from tastemaker.assist.assistant import Assistant
    from tastemaker.serving.pages import MANY

    if service.parts.deployment and (items := len(service.parts.searcher.data.item_ids)) > MANY:
        message = f"no assistant: it reads at most {MANY:,} items, and the catalogue has {items:,}"
        print(message, file=sys.stderr, flush=True)
        return None
    assistant = Assistant(service, endpoint(model))
    threading.Thread(target=assistant.library, daemon=True, name="assistant").start()
    return assistant


def _lines() -> Any:
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if line.strip().lower().strip("/:.!") in ("", "quit", "exit", "q"):
            return
        yield line


def _turn(
    assistant: Assistant, message: str, conversation: str | None, user: str | None, as_json: bool
) -> str | None:
    """Print one turn as it comes; the conversation's id."""
    for part in assistant.respond(message, conversation, user):
        public = part.public()
        if part.kind == "done":
            conversation = public["conversation_id"]
        if as_json:
            print(json.dumps(public, ensure_ascii=False, default=str), flush=True)
        elif text := in_words(part):
            print(text, flush=True)
    return conversation


def in_words(part: Part) -> str:
    """A part as lines for a terminal."""
    from tastemaker.assist.parts import plain_text

    return plain_text(part)


def serve_tools(workspace: Path, user: str | None, port: int | None) -> None:
    """The assistant's tools over the Model Context Protocol: on stdio, or as streamable HTTP at a port."""
    from tastemaker.assist.assistant import Assistant
    from tastemaker.assist.tools import serve_mcp
    from tastemaker.server import address, bind

    listener = None if port is None else bind(port=port)
    with listener or nullcontext():
        assistant = Assistant.open(workspace)
        assistant.library()
        if listener is not None:
            listener.listen()
            print(f"serving on {address(listener)}/mcp  (Ctrl-C stops it)", flush=True)
        serve_mcp(assistant, user, listener)


def mcp(
    workspace: Workspace = HERE,
    user: Annotated[str | None, typer.Option(help="Who the other assistant acts for.")] = None,
    http: Annotated[int | None, typer.Option(help="Streamable HTTP on this port instead of stdio.")] = None,
) -> None:
    """The same as `tastemaker serve --mcp`, with --http for --port."""
    serve_tools(workspace, user, http)
