"""A chat that answers by a function, in this process: for tests, and for models made of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tastemaker.chat.cost import estimated_input, estimated_output
from tastemaker.chat.protocol import Reply, Request, Usage


class Scripted:
    """Answers `say(request)`, with estimated usage; `say` may raise CallError. `model` is its name in every
    cache key.
    """

    def __init__(self, say: Callable[[Request[Any]], str], model: str = "scripted@1") -> None:
        self._say, self._model = say, model

    @property
    def model(self) -> str:
        return self._model

    def complete(self, request: Request[Any]) -> Reply:
        text = self._say(request)
        return Reply(text, Usage(estimated_input(request), estimated_output(text)))
