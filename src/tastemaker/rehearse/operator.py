"""Who keeps one world of a rehearsal going by night: `tastemaker` commands, at the world's time."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import TastemakerError
from tastemaker.server.processes import end_with_parent
from tastemaker.store import write_table, write_text
from tastemaker.store.database.events import CLOCK
from tastemaker.store.settings import SETTINGS_FILE


@dataclass(frozen=True)
class Catalogue:
    """The tables of a workspace, and which items arrive by and by, in this order."""

    items: pa.Table
    interactions: pa.Table
    arrivals: tuple[str, ...]

    def without(self, item_ids: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """Both tables without some items."""
        absent = pa.array(list(item_ids), pa.string())
        return tuple(
            table.filter(pc.invert(pc.is_in(table["item_id"], value_set=absent)))
            for table in (self.items, self.interactions)
        )


def run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """`tastemaker WORDS`: its exit code, and what it wrote to stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv, code = ["tastemaker", *words], 0
    os.environ |= environment
    with redirect_stdout(out), redirect_stderr(err):
        try:
            runpy.run_module("tastemaker", run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return code, out.getvalue(), err.getvalue()


def reason(result: Mapping[str, Any]) -> str:
    """Why a command ended as it did, in a line, from what it printed as JSON."""
    if result.get("certificates"):
        result = result["certificates"][result["candidate"] - 1]
    texts = (str(result[name]) for name in ("because", "reason", "error") if result.get(name))
    return " ".join(next(texts, "").split())[:300]


def processes(count: int) -> ProcessPoolExecutor:
    """So many processes (at least one) that end with this one; a world is lived anew, so at once."""
    context, by = get_context("spawn"), (signal.SIGKILL,)
    return ProcessPoolExecutor(max(1, count), mp_context=context, initializer=end_with_parent, initargs=by)


@cache
def desk() -> ProcessPoolExecutor:
    """The process of this one in which commands run; it loads the program once, for all worlds. A training
    has one of its own, for some hundred megabytes of what it had stay with a process.
    """
    pool = processes(1)
    Finalize(None, pool.shutdown, exitpriority=100)  # before its queue closes, or it would wait for ever
    return pool


class Operator:
    """Who runs `tastemaker` commands on a workspace, at the town's time, in a process beside it."""

    def __init__(self, folder: Path, now: Callable[[], datetime] | None = None) -> None:
        self.folder, self.now, self.seconds = folder, now, dict[str, float]()  # spent, by command

    def command(self, *words: str, here: bool = True) -> tuple[int, dict[str, Any]]:
        """Run `tastemaker ...` as an operator does; its exit code and what it printed as JSON."""
        line = [*words, *(("-w", str(self.folder)) if here else ()), "--json"]
        clock = {CLOCK: self.now().isoformat()} if self.now else {}
        began, name = time.monotonic(), " ".join(word for word in words[:2] if word.isalpha())
        with processes(1) if words[0] == "train" else nullcontext(desk()) as pool:
            code, out, err = pool.submit(run, line, clock).result()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
        try:
            result = json.loads(out)
        except ValueError:
            result = {"error": err.strip()[-300:]}
        return code, result if isinstance(result, dict) else {"result": result}

    def set(self, values: Mapping[str, Any]) -> None:
        """Write settings into the workspace's file."""
        path = self.folder / SETTINGS_FILE
        text = path.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {json.dumps(value)}", text)
            if not count:
                raise TastemakerError(f"{path}: no line for '{name}'; run `tastemaker init` for a fresh file")
        write_text(path, text)

    def ingest(self, catalogue: Catalogue, item_ids: Sequence[str]) -> None:
        """The catalogue as it is today. Raises TastemakerError when it is refused."""
        files = []
        for name, table in zip(("items", "interactions"), catalogue.without(item_ids), strict=True):
            files += [f"--{name}", str(self.folder.parent / f"{self.folder.name}-{name}.parquet")]
            write_table(Path(files[-1]), table)
        code, result = self.command("ingest", *files)
        if code:
            raise TastemakerError(f"{self.folder}: the catalogue was refused: {result.get('error', result)}")
