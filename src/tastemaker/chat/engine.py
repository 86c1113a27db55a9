"""The call engine: answers validated, kept, paid once, paced, within budget; units of work over it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from tastemaker.chat.answers import ask_again, read_answer
from tastemaker.chat.budget import Budget, maximum
from tastemaker.chat.cache import Cache, call_key
from tastemaker.chat.journal import Journal
from tastemaker.chat.pace import PASSING, Clock, Pace, PaceSettings
from tastemaker.chat.protocol import CallError, Chat, Check, Reply, Request, StoppedEarly, Usage

A = TypeVar("A")


@dataclass(frozen=True)
class EngineSettings:
    """reasks: how often a model is asked again after an unusable answer. keep_calls: cache and journal single
    calls; without it only finished units are kept: right for models that are free and faster than a disk.
    """

    pace: PaceSettings = field(default_factory=PaceSettings)
    reasks: int = 2
    keep_calls: bool = True
    seed: int = 0


class Engine:
    """Asks `chat`, and answers a question it has answered before from `cache`.

    Order of events, so that a kill at any moment repeats no call whose answer arrived: reserve budget,
    journal "sent", wait for a slot, call, keep the answer, journal "answered", return. A call killed in
    between stays unconfirmed: it is booked at its maximum, and asked again under the same idempotency key.
    """

    def __init__(
        self,
        chat: Chat,
        *,
        cache: Cache | None = None,
        journal: Journal | None = None,
        budget: Budget | None = None,
        clock: Clock = time,
        settings: EngineSettings = EngineSettings(),
    ) -> None:
        self.chat, self.settings = chat, settings
        self.cache, self.journal = cache, journal
        self.budget = budget or Budget()
        self.pace = Pace(settings.pace, clock, settings.seed)
        self.retrying: frozenset[str] = frozenset()
        self.hits = 0
        self._calls = cache if settings.keep_calls else None
        self._notes = journal if settings.keep_calls else None
        self._locks: dict[str, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()

    def call(self, request: Request[A], check: Check[A] | None = None) -> A:
        """A validated answer to `request`: parsed, of its schema, and accepted by `check`.

        Raises CallError when no attempt brought a usable answer; its kind is the last attempt's. Raises
        StoppedEarly, BudgetReached when the run has ended; what is finished is kept.
        """
        key = call_key(self.chat.model, request)
        with self._alone(f"{request.subject}\x1f{key}"):
            entry = self._calls.get(request.subject, key) if self._calls else None
            if entry is not None:
                try:
                    answer = read_answer(Reply(entry["text"]), request, check)
                except CallError:
                    pass  # the check has become stricter since: ask again
                else:
                    self.hits += 1
                    self._confirm(key, entry, "valid")
                    return answer
            return self._ask(request, check, key)

    def _ask(self, request: Request[A], check: Check[A] | None, key: str) -> A:
        """Send, read, and ask again with the reason until an answer can be used."""
        tries: list[dict[str, Any]] = (
            self._calls.get(request.subject, f"{key}.tries") if self._calls else None
        ) or []
        if tries:
            self._confirm(key, tries[-1], tries[-1]["kind"])
        if len(tries) > self.settings.reasks and (not request.unit or request.unit in self.retrying):
            tries = []
        while len(tries) <= self.settings.reasks:
            reply, attempt = self._send(ask_again(request, tries), key)
            usage = reply.usage or maximum(request)
            entry = {"text": reply.text, "usage": usage.as_list(), "attempt": attempt}
            try:
                answer = read_answer(reply, request, check)
            except CallError as error:
                tries.append({**entry, "kind": error.kind, "detail": error.detail})
                self._keep(request.subject, f"{key}.tries", tries)
                self._note(key, attempt, error.kind, usage)
            else:
                self._keep(request.subject, key, entry)
                self._note(key, attempt, "valid", usage)
                return answer
        self.pace.invalid()
        raise CallError(tries[-1]["kind"], tries[-1]["detail"])

    def _send(self, request: Request[Any], key: str) -> tuple[Reply, int]:
        """One reply, through as many attempts as its passing failures need; with the attempt's number.

        While the endpoint has answered nothing at all no call is given up: `give_up` then ends the run, not
        the unit.
        """
        for attempt in count():
            try:
                return self._attempt(request, key)
            except CallError as error:
                self.pace.raise_if_stopped()
                last = attempt + 1 >= self.settings.pace.tries and self.pace.answered
                if error.kind not in PASSING or last:
                    raise
                wait = self.pace.back_off(error, key, attempt)
            self.pace.sleep(wait)
        raise AssertionError("count() does not end")

    def _attempt(self, request: Request[Any], key: str) -> tuple[Reply, int]:
        """One attempt. What is raised beside CallError and StoppedEarly leaves it unconfirmed.

        It is announced before there is a slot for it: the disk is waited for while other calls run.
        """
        most = maximum(request)
        self.budget.reserve(most)
        usage: Usage | None = None
        try:
            attempt = -1
            if self._notes is not None:
                attempt = self._notes.announced(key, most, {"unit": request.unit, "kind": request.kind})
            usage = most
            with self.pace.slot():
                reply = self.chat.complete(request)
            usage = reply.usage or most
            return reply, attempt
        except (CallError, StoppedEarly) as error:  # a call that was stopped never left
            usage = most if isinstance(error, CallError) and error.paid else None
            if self._notes is not None:
                kind = error.kind if isinstance(error, CallError) else "stopped"
                self._notes.failed(key, attempt, kind, usage or Usage())
            raise
        finally:
            self.budget.settle(most, usage)

    def _note(self, key: str, attempt: int, outcome: str, usage: Usage) -> None:
        if self._notes is not None:
            self._notes.answered(key, attempt, outcome, usage)

    def _confirm(self, key: str, entry: dict[str, Any], outcome: str) -> None:
        """Book an answer that was kept just before a kill, if the journal did not get to say so."""
        if self._notes is not None and (key, entry["attempt"]) in self._notes.unconfirmed:
            self._note(key, entry["attempt"], outcome, Usage.of(entry["usage"]))

    def _keep(self, subject: str, key: str, entry: Any) -> None:
        if self._calls is not None:
            self._calls.put(subject, key, entry)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One thread at a time for one question, so that equal questions asked at once are paid once."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks.pop(key)
                if users > 1:
                    self._locks[key] = (lock, users - 1)
