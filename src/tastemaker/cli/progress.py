"""Progress with a remaining time: a bar on a terminal, else a line every few seconds; on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


def _clock(seconds: float) -> str:
    minutes, remainder = divmod(int(seconds), 60)
    return f"{minutes}:{remainder:02d}"


class Lines:
    """One line when a task starts, every ten seconds while it runs, and when it ends."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def __call__(self, task: str, count: float, total: float, note: str = "") -> None:
        now = time.monotonic()
        fresh = task not in self._started
        started = self._started.setdefault(task, now)
        finished = count >= total
        if not (fresh or finished or now - self._last[task] >= SECONDS_BETWEEN_LINES):
            return
        self._last[task] = now
        elapsed = now - started
        estimate = f", about {_clock(elapsed / count * (total - count))} left" if 0 < count < total else ""
        print(
            f"{task}: {count:.0f}/{total:.0f} after {_clock(elapsed)}{estimate}{'  ' + note if note else ''}",
            file=sys.stderr,
            flush=True,
        )
        if finished:
            del self._started[task]


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[..., None]]:
    """A callable `(task, done, total, note)` to report progress with; flows take it as an argument."""
    if quiet:
        yield lambda *_: None
        return
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    note_column, console = TextColumn("{task.fields[note]}"), Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), note_column, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(task: str, count: float, total: float, note: str = "") -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total, note=note)
            bars.update(tasks[task], completed=count, total=total, note=note)

        yield tell
