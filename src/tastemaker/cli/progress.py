"""Progress with a remaining time, on a terminal as a bar and elsewhere as a line every few seconds; always on
stderr.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

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
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


class PlainProgress:
    """One line when a task starts, every ten seconds while it runs, and when it ends."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, task: str, done: float, total: float, note: str = "") -> None:
        now = time.monotonic()
        fresh = task not in self._started
        started = self._started.setdefault(task, now)
        finished = done >= total
        if not (fresh or finished or now - self._told[task] >= SECONDS_BETWEEN_LINES):
            return
        self._told[task] = now
        spent = now - started
        left = f", about {_clock(spent / done * (total - done))} left" if 0 < done < total else ""
        print(
            f"{task}: {done:.0f}/{total:.0f} after {_clock(spent)}{left}{'  ' + note if note else ''}",
            file=sys.stderr,
            flush=True,
        )
        if finished:
            del self._started[task]


class BarProgress:
    """A rich bar for each task."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(
            *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=Console(stderr=True)
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, task: str, done: float, total: float, note: str = "") -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total, note=note)
        self._bars.update(self._tasks[task], completed=done, total=total, note=note)


class NoProgress(PlainProgress):
    """Silence, for `--quiet`."""

    def __call__(self, task: str, done: float, total: float, note: str = "") -> None:
        return None


@contextmanager
def progress(quiet: bool = False) -> Iterator[PlainProgress | BarProgress]:
    """A callable `(task, done, total, note)` to report progress with; flows take it as an argument."""
    chosen: PlainProgress | BarProgress
    if quiet:
        chosen = NoProgress()
    elif sys.stderr.isatty():
        chosen = BarProgress()
    else:
        chosen = PlainProgress()
    with chosen as report:
        yield report
