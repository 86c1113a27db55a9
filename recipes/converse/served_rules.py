"""The rule model behind a real endpoint: what it would say to every question of a data set, served over HTTP.

Rules read a view, an endpoint reads messages. So the data set is first made once in this process with rules
in the endpoint's place, remembering their answer to every question; then those answers are served. Nothing is
answered that was not asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from recipes.converse.rehearsal import Rehearsal, Script
from tastemaker.chat import Reply, Request
from tastemaker.chat.endpoint import Endpoint, EndpointSettings
from tastemaker.converse.rules import RuleChat
from tastemaker.flows.converse.env import open_env
from tastemaker.flows.converse.generate import Session, generate
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.store import Workspace

QUESTION = 2
"""A question is its first two messages, system and user; a re-ask repeats them and adds what was wrong."""


def question(messages: list[Any]) -> str:
    """What names a question."""
    return hashlib.sha256(json.dumps(messages[:QUESTION], sort_keys=True).encode()).hexdigest()


class Remembering:
    """The rules, remembering what they said to which question, as the endpoint will read it."""

    def __init__(self, rules: RuleChat, endpoint: Endpoint) -> None:
        self.rules, self.endpoint, self.model = rules, endpoint, endpoint.model
        self.replies: dict[str, str] = {}

    def complete(self, request: Request[Any]) -> Reply:
        reply = self.rules.complete(request)
        self.replies[question(self.endpoint.body(request)["messages"])] = reply.text
        return reply


def nobody(task: str, done: float, total: float, note: str) -> None:
    """Progress nobody looks at."""


@contextmanager
def served(
    folder: Path, settings: RunSettings, faults: Mapping[str, float], latency: float
) -> Iterator[tuple[Rehearsal, RunSettings]]:
    """The endpoint, and `settings` with its address as the model; the data set "remembered" is left in the
    workspace.
    """
    replies: dict[str, str] = {}
    script = Script(lambda body: replies[question(body["messages"])], latency, faults, seed=settings.seed)
    with Rehearsal(script) as server, Endpoint(EndpointSettings(server.base_url, "served-rules")) as endpoint:
        settings = replace(settings, model=f"served-rules@{server.base_url}")
        rules = RuleChat(open_env(folder, settings, nobody).world.lexicon, settings.seed)
        chat = Remembering(rules, endpoint)
        generate(folder, "remembered", settings, Session(at_once=1, chat=chat), nobody)
        replies.update(chat.replies)
        yield server, settings


def table(folder: Path, name: str) -> Path:
    """Where a data set's conversations are."""
    return RunFolder.of(Workspace.open(folder), name).table
