"""Serving on an address: taken ports are told in one line, and stopping finishes what was begun."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import ipaddress
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from tastemaker.errors import InputError, TastemakerError
from tastemaker.server.access import Rates
from tastemaker.server.app import ServerSettings, create_app
from tastemaker.server.processes import Board, Conversations, Fleet, Process, SharedMeasures, keep_loaded
from tastemaker.store.database import Keys

if TYPE_CHECKING:
    from tastemaker.assist.assistant import Assistant
    from tastemaker.flows.watches import Watcher
    from tastemaker.serving.draw import Rounds
    from tastemaker.serving.service import WorkspaceService

IDLE = 15.0  # seconds that a request may take to come whole


def bind(host: str = "127.0.0.1", port: int = 8765) -> socket.socket:
    """A bound socket, port 0 for any free one; a long job can hold it early and serve on it later.

    Raises InputError when the port is taken or not allowed, or the host is not an address of this machine.
    """
    if not 0 <= port <= 65535:  # the resolver would take it modulo 65536
        raise InputError(f"port {port} does not exist; choose one from 1024 to 65535 with --port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"host {host} cannot be found ({error}); give an address of this machine with --host"
        ) from None
    server = socket.socket(family, kind, protocol)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(address)
    except OSError as error:
        server.close()
        raise InputError(_why(host, port, error)) from None
    return server


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is already taken; stop what uses it, or choose another with --port"
            f" {port + 1}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs administrator rights; choose one above 1023 with --port"
    return f"cannot serve on {host}:{port}: {error.strerror}; give an address of this machine with --host"


def address(server: socket.socket) -> str:
    """The URL of a bound socket, as a browser on this machine takes it."""
    host, port = server.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def local(server: socket.socket) -> bool:
    """Whether only this machine reaches a bound socket."""
    return ipaddress.ip_address(server.getsockname()[0].partition("%")[0]).is_loopback


class Impatient(H11Protocol):
    """HTTP that closes connections whose request does not come; uvicorn waits for the first for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(IDLE, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Wait on while a request is only half there; it must be whole in time, however slowly it drips."""
        waiting = self.timeout_keep_alive_task
        super().data_received(data)
        complete = self.conn.their_state is not h11.IDLE
        if waiting is not None and not complete and not self.transport.is_closing():
            remaining = max(0.0, waiting.when() - self.loop.time())
            self.timeout_keep_alive_task = self.loop.call_later(remaining, self._give_up)

    def shutdown(self) -> None:
        """The server stops: a request that is only half there is not waited for."""
        super().shutdown()
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            self._give_up()

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def serve(
    service: WorkspaceService,
    host: str = "127.0.0.1",
    port: int = 8765,
    settings: ServerSettings | None = None,
    announce: Callable[[str], None] = print,
    listener: socket.socket | None = None,
    talker: Assistant | None = None,
) -> None:
    """Serve until interrupted; `announce` gets the URL once the address is held (pass `listener` if `bind`
    was called before).

    Requests in hand are finished on SIGINT and SIGTERM, within the lanes' grace.

    Raises InputError as `bind`; and for a host beyond this machine while there is no key, for whoever reached
    the port could then read and write everything.
    """
    Keys.serving, server = True, listener or bind(host, port)
    with server:
        settings = _settled(server, host, service.keys, settings or ServerSettings())
        config = _config(create_app(service, settings, talker=talker), settings)
        keep_loaded()
        # whoever follows the address at once waits in the backlog instead of being turned away
        server.listen()
        announce(address(server))
        try:
            uvicorn.Server(config).run(sockets=[server])
        except KeyboardInterrupt:  # uvicorn raises the signal again after a clean stop
            return


def serve_processes(
    create: Callable[[ServerSettings, Board], FastAPI],
    processes: int,
    host: str,
    port: int,
    about: About,
    announce: Callable[[str], None],
) -> None:
    """As `serve`, with several processes behind the one address, each of which `create` begins; one that dies
    is replaced. `announce` gets the URL once all of them serve.

    Raises InputError as `serve`; TastemakerError when a process ends before it serves.
    """
    server = bind(host, port)
    with server:
        settings = _settled(server, host, about.keys, about.settings)
        board = Board(Rates(settings.access), about.rounds, about.watches, SharedMeasures(), Conversations())
        config = _config(Process(partial(create, settings), board.served()), settings)
        config.factory, config.workers = True, processes
        server.listen()
        fleet = Fleet(config, [server], lambda: announce(address(server)))
        fleet.run()
    if fleet.failed:
        raise TastemakerError("a process of the server ended before it served; why stands above")


@dataclasses.dataclass(frozen=True)
class About:
    """What the parent of several processes keeps: the keys, and what they share."""

    keys: Keys
    settings: ServerSettings
    rounds: Rounds
    watches: Watcher


def _settled(server: socket.socket, host: str, keys: Keys, settings: ServerSettings) -> ServerSettings:
    """The settings for who reaches this address. Raises InputError where that needs a key, and none is."""
    reached = not local(server)
    if reached and all(key.revoked for key in keys.all()):
        raise InputError(
            f"cannot listen on {host} without a key: whoever reaches it could read and write everything; make"
            " one with `tastemaker admin keys add --role app -w WORKSPACE`, or leave out --host"
        )
    edge = dataclasses.replace(settings.edge, anywhere=reached)
    access = dataclasses.replace(settings.access, local=not reached)
    return dataclasses.replace(settings, edge=edge, access=access)


def _config(app: Any, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Impatient,
        log_level="warning",
        log_config=None,  # as the program logs: see `observe.log_json`
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.recommendations.grace)),
    )
