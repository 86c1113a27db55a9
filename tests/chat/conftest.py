"""A clock that only sleeping moves, and an engine over a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tastemaker.chat import (
    Budget,
    Cache,
    Engine,
    EngineSettings,
    Journal,
    PaceSettings,
    Reply,
    Request,
    Sampling,
    Usage,
    user,
)
from tastemaker.chat.budget import estimated_input, estimated_output
from tastemaker.store import append_line, read_lines, write_bytes


class Pick(BaseModel):
    """An answer with a shape."""

    item: int
    why: str = ""


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time, self.slept = 1000.0, [0.0]
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.time += seconds
            self.slept.append(seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Scripted:
    """Answers `say(request)`, with estimated usage; `say` may raise CallError."""

    model = "scripted@1"

    def __init__(self, say: Callable[[Request[Any]], str]) -> None:
        self._say = say

    def complete(self, request: Request[Any]) -> Reply:
        text = self._say(request)
        return Reply(text, Usage(estimated_input(request), estimated_output(text)))


def ask(text: str = "which tune?", **about: Any) -> Request[Pick]:
    return Request((user(text),), Pick, Sampling(max_tokens=100), **about)


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Callable[..., Engine]:
    """`make(chat, limits=, settings=, resume=, **pace)`: an engine with cache and journal in the
    test's folder.
    """

    def build(
        chat: Any,
        limits: Any = None,
        price: Any = None,
        settings: Any = None,
        resume: str = "same",
        reasks: int = 2,
        **pace: Any,
    ) -> Engine:
        path = tmp_path / "journal.jsonl"
        lines = read_lines(path) if path.exists() else []
        journal = Journal(partial(append_line, path), lines, settings or {"seed": 0}, resume)  # type: ignore[arg-type]
        budget = Budget(limits, price, *journal.billed()) if limits else None
        return Engine(
            chat,
            cache=Cache(tmp_path / "cache", write_bytes),
            journal=journal,
            budget=budget,
            clock=clock,
            settings=EngineSettings(PaceSettings(**pace), reasks=reasks),
        )

    return build
