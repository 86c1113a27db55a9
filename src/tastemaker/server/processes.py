"""Several processes that serve one workspace behind one port: they share the listening socket, and, through
their parent, whatever a single server would hold in memory alone.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from multiprocessing.managers import BaseManager
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from tastemaker.errors import TastemakerError
from tastemaker.server.observe import Families

SLOW = 60  # seconds without a sign of life after which a process is ended and another begun
TALKS = 10_000  # conversations that are remembered: those that went on last


class SharedMeasures:
    """The last measures of each process; of those that ended, too, so that counts never fall."""

    def __init__(self) -> None:
        self._families, self._guard = dict[int, Families](), threading.Lock()

    def exchange(self, process: int, families: Families) -> list[Families]:
        """Keep those of a process, and give the last ones of every other."""
        with self._guard:
            self._families[process] = families
            return [other for name, other in self._families.items() if name != process]


class Conversations:
    """The state in which each conversation was left."""

    def __init__(self) -> None:
        self._states, self._guard = OrderedDict[str, str](), threading.Lock()

    def state_of(self, name: str) -> str | None:
        """That of one conversation; None for one that is not remembered."""
        with self._guard:
            return self._states.get(name)

    def keep(self, name: str, state: str) -> None:
        """Remember it; those that were silent the longest are forgotten."""
        with self._guard:
            self._states[name] = state
            self._states.move_to_end(name)
            while len(self._states) > TALKS:
                self._states.popitem(last=False)


@dataclass(frozen=True)
class Board:
    """What the processes of one server have in common besides the database: the parent's own objects, and in
    each process what stands for them. rates: `Rates`; rounds: `Rounds`; watches: `Watcher`.
    """

    rates: Any
    rounds: Any
    watches: Any
    measures: Any
    talks: Any

    @classmethod
    def at(cls, address: Any) -> Board:
        """The board of the parent."""
        for field in fields(cls):
            _Objects.register(field.name)
        objects = _Objects(address)
        objects.connect()
        return cls(**{field.name: getattr(objects, field.name)() for field in fields(cls)})

    def served(self) -> Any:
        """Let other processes reach it; gives the address."""
        for field in fields(self):
            _Objects.register(field.name, callable=lambda name=field.name: getattr(self, name))
        server = _Objects().get_server()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.address


class _Objects(BaseManager):
    """Gives processes the objects of their parent."""


@dataclass(frozen=True)
class Process:
    """What a process of the server begins with. create: gives its application there, beside the board."""

    create: Callable[[Board], Any]
    board: Any

    def __call__(self) -> Any:
        """Its application. A refusal is one line, and ends the process."""
        end_with_parent()
        try:
            application = self.create(Board.at(self.board))
        except TastemakerError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            raise SystemExit(error.exit_code) from None
        keep_loaded()
        return application


def keep_loaded() -> None:
    """Keep what is loaded out of garbage collection, which halts a busy server for a quarter second."""
    gc.collect()
    gc.freeze()


def end_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """Let this process end, by a signal, once its parent is gone, however that went."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "not begun by multiprocessing"

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), by)

    threading.Thread(target=wait, daemon=True).start()


class Fleet(Multiprocess):
    """The processes; `ready` is called when all of them serve. failed: one ended before it did."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]
    ) -> None:
        config.timeout_worker_healthcheck = SLOW
        super().__init__(config, sockets)
        self.ready, self.failed = ready, False

    def init_processes(self) -> None:
        """Begin them all, and wait until each serves."""
        super().init_processes()
        for process in self.processes:
            while not process.is_ready(timeout=0.2):
                self.handle_signals()
                self.failed = not process.process.is_alive()
                if self.failed or self.should_exit.is_set():
                    self.should_exit.set()
                    return
        self.ready()
