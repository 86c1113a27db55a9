"""Ctrl-C and SIGTERM wait for the end of a training step, also of trainings that run at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import FrameType, TracebackType
from typing import Any, TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM)
T = TypeVar("T")


class Interruption:
    """Inside the block the first signal only sets `asked`; a second one interrupts at once, unless `patient`.
    One that nobody heeded interrupts at the end of the block.

    Other threads than the main one get no signals: nothing changes there.
    """

    def __init__(self, patient: bool = False) -> None:
        self.pending, self.patient = False, patient
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.pending and self._before and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending and not self.patient:
            raise KeyboardInterrupt
        self.pending = True


def at_once(tasks: Sequence[Callable[[Interruption], T]]) -> list[T]:
    """What tasks give, each run in a thread of its own with one interruption for all: when one fails, the
    others are asked to end as by a signal. Then its error is raised, once all have ended; also after further
    signals, since a process that ends while threads compute is aborted.
    """

    def run(task: Callable[[Interruption], T]) -> T:
        try:
            return task(interruption)
        except BaseException:
            interruption.pending = True
            raise

    with Interruption(patient=True) as interruption, ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(run, task) for task in tasks]
        while wait(futures, timeout=1).not_done:
            pass  # a signal that another thread received is seen when this one wakes
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, KeyboardInterrupt)):
            raise error  # the cause before the endings that it asked for
    return [future.result() for future in futures]
