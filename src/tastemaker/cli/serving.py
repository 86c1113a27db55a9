"""`tastemaker serve` and `tastemaker demo`: the page and API, on a workspace or on one for a look."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from tastemaker.cli.assist import Model, endpoint, serve_tools, talker
from tastemaker.cli.options import HERE, AsJson, Quiet, Workspace
from tastemaker.cli.output import emit, program
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tastemaker.server import ServerSettings
    from tastemaker.server.processes import Board
    from tastemaker.store.database import Keys


def serve(
    workspace: Workspace = HERE,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: the workspace's, this machine only.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: the workspace's.")] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="How many processes answer behind the one port.")
    ] = 1,
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
    described at /openapi.json and in docs/api.md. Several processes answer more at a time, and share the
    pages of the model; one that dies is replaced. Example: tastemaker serve -w shop --port 8800

    To another assistant (extra: pip install 'tastemaker[mcp]'): tastemaker serve -w shop --mcp --user U17
    """
    if mcp:
        options = {"--host": host is not None, "--processes": processes > 1, "--model": model is not None}
        if unfit := [option for option, there in options.items() if there]:
            raise InputError(
                f"--mcp goes without {unfit[0]}: one process serves tools to another assistant, on this"
                " machine"
            )
        serve_tools(workspace, user, port)
        return
    if user is not None:
        raise InputError("--user is who --mcp acts for; on the page, people say themselves who they are")
    from tastemaker.server import ServerSettings
    from tastemaker.server import serve as run_server
    from tastemaker.server.observe import log_json
    from tastemaker.serving.service import open_service

    if processes > 1:
        _serve_processes(workspace, processes, host, port, model)
        return
    service = open_service(workspace)
    settings = service.workspace.settings
    if settings.log == "json":
        log_json()
    announce = _announced(service.keys, workspace)
    run_server(
        service,
        host or settings.host,
        settings.port if port is None else port,
        ServerSettings.of(settings),
        announce=announce,
        talker=talker(service, model),
    )
    print("stopped", file=sys.stderr)


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
        hint = f"\nNext: {program()} serve -w {quote(str(workspace))}"
        print(hint, file=sys.stderr if as_json else sys.stdout)
        return
    from tastemaker.serving.service import open_service

    service = open_service(workspace)
    person = service.users(1, 0)[0][0]["user_id"]

    def announce(url: str) -> None:
        _announced(service.keys, workspace)(url)
        arguments = f"-w {quote(str(workspace))} --user {person}"
        print(f"Next, in another terminal: {program()} recommend {arguments}", flush=True)
        print(f"Your own data:             {program()} init shop", flush=True)

    settings = ServerSettings.of(service.workspace.settings)
    run_server(service, settings=settings, listener=listener, announce=announce, talker=talker(service, None))


def _serve_processes(
    folder: Path, processes: int, host: str | None, port: int | None, model: str | None
) -> None:
    from tastemaker.flows.deploy import in_service
    from tastemaker.flows.watches import Watcher
    from tastemaker.server import About, ServerSettings, serve_processes
    from tastemaker.server.observe import log_json
    from tastemaker.serving.draw import Rounds
    from tastemaker.store import Database
    from tastemaker.store import Workspace as Opened
    from tastemaker.store.database import Keys

    workspace = Opened.open(folder)
    in_service(workspace)
    endpoint(model)  # what is wrong with it is said once, before each process looks for itself
    settings, database = workspace.settings, Database(workspace.database)
    if settings.log == "json":
        log_json()
    watches = Watcher(lambda: Opened.open(folder), settings.watch_seconds)
    keys = Keys(database)
    about = About(keys, ServerSettings.of(settings), Rounds(database), watches)
    port, announce = settings.port if port is None else port, _announced(keys, folder)
    try:
        serve_processes(
            partial(_application, folder, model), processes, host or settings.host, port, about, announce
        )
        print("stopped", file=sys.stderr)
    finally:
        watches.close()
        database.close()


def _application(folder: Path, model: str | None, settings: ServerSettings, board: Board) -> FastAPI:
    """The application of one of several processes."""
    from tastemaker.server import create_app
    from tastemaker.server.observe import log_json
    from tastemaker.serving.service import open_service
    from tastemaker.store.database import Keys

    Keys.serving, service = True, open_service(folder, board)
    if service.workspace.settings.log == "json":
        log_json()
    return create_app(service, settings, talker=talker(service, model), board=board)


def _announced(keys: Keys, workspace: Path) -> Callable[[str], None]:
    def announce(url: str) -> None:
        print(f"\nserving on {url}  (Ctrl-C stops it; what was built is kept)", flush=True)
        if not keys.all():
            print(
                "There are no keys: only this machine reaches it, and every program here may do everything;"
                f" `{program()} admin keys add -w {quote(str(workspace))}` changes that.",
                flush=True,
            )

    return announce
