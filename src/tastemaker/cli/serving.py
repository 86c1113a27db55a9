"""`tastemaker serve` and `tastemaker demo`: the page and the API, on a workspace or on one made for a
look.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tastemaker.cli.assist import Model, serve_tools, talker
from tastemaker.cli.options import HERE, AsJson, Quiet, Workspace
from tastemaker.cli.output import emit, program
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError

if TYPE_CHECKING:
    from tastemaker.serving.service import WorkspaceService


def serve(
    workspace: Workspace = HERE,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: the workspace's, this machine only.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: the workspace's.")] = None,
    model: Model = None,
    mcp: Annotated[
        bool,
        typer.Option(
            "--mcp",
            help=(
                "Instead of the page: the assistant's tools for another assistant, over the Model Context"
                " Protocol; on stdio, or with --port as streamable HTTP."
            ),
        ),
    ] = False,
    user: Annotated[str | None, typer.Option(help="Of --mcp: who the other assistant acts for.")] = None,
) -> None:
    """Serve the web page, the API and the assistant.

    Without keys (see `tastemaker admin keys`) it listens to this machine only, and trusts it. The API is
    described at /openapi.json and in docs/api.md. Example: tastemaker serve -w shop --port 8800

    To another assistant (extra: pip install 'tastemaker[mcp]'): tastemaker serve -w shop --mcp --user U17
    """
    if mcp:
        serve_tools(workspace, user, port)
        return
    if user is not None:
        raise InputError("--user is who --mcp acts for; on the page, people say themselves who they are")
    from tastemaker.server import ServerSettings
    from tastemaker.server import serve as run_server
    from tastemaker.server.observe import log_json
    from tastemaker.serving.service import open_service

    service = open_service(workspace)
    settings = service.workspace.settings
    if settings.log == "json":
        log_json()
    announce = _announced(service, workspace)
    run_server(
        service,
        host or settings.host,
        settings.port if port is None else port,
        ServerSettings.of(settings),
        announce=announce,
        talker=talker(service, model),
    )


def demo(
    workspace: Workspace = HERE,
    tunes: Annotated[int, typer.Option(min=50, help="How many tunes the catalogue gets.")] = 400,
    dataset: Annotated[str, typer.Option(help="tunes (default) or movielens.")] = "tunes",
    port: Annotated[int, typer.Option(help="Port of the page.")] = 8765,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Stop when everything is built; do not serve the page.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Try it on real traditional tunes.

    Builds everything for simulated listeners, evaluates it, then serves the page and prints its address.
    Example: tastemaker demo --tunes 120
    """
    from tastemaker.flows.demo import build_demo
    from tastemaker.server import ServerSettings, bind
    from tastemaker.server import serve as run_server

    # A port that is taken is refused now, not after ten minutes.
    listener = None if no_serve else bind("127.0.0.1", port)
    with progress(quiet) as report:
        emit(build_demo(workspace, dataset, tunes, report), as_json)
    if listener is None:
        print(f"\nNext: {program()} serve -w {workspace}", file=sys.stderr if as_json else sys.stdout)
        return
    from tastemaker.serving.service import open_service

    service = open_service(workspace)
    person = service.users(1, 0)[0][0]["user_id"]

    def announce(url: str) -> None:
        _announced(service, workspace)(url)
        print(f"Next, in another terminal: {program()} recommend -w {workspace} --user {person}", flush=True)
        print(f"Your own data:             {program()} init shop", flush=True)

    settings = ServerSettings.of(service.workspace.settings)
    run_server(service, settings=settings, listener=listener, announce=announce, talker=talker(service, None))


def _announced(service: WorkspaceService, workspace: Path) -> Callable[[str], None]:
    def announce(url: str) -> None:
        print(f"\nserving on {url}  (Ctrl-C stops it; what was built is kept)", flush=True)
        if not service.keys.all():
            print(
                "There are no keys: only this machine reaches it, and every program here may do everything;"
                f" `{program()} admin keys add -w {workspace}` changes that.",
                flush=True,
            )

    return announce
