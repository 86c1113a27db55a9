"""The append-only journal of a run: settings, a record an attempt and a finished unit; no content."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from tastemaker.chat.protocol import Usage
from tastemaker.errors import InputError

Resume = Literal["never", "always", "same"]


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """The settings that differ, by dotted name: `["sampling.temperature: 0.7 -> 0.9"]`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in sorted({*old, *new}, key=str)
            for line in differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if old == new else [f"{name or 'settings'}: {old!r} -> {new!r}"]


def records(lines: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The records of a journal's lines, in order; version 0.1 wrote several records on one line.

    Raises InputError naming the first line that holds something else.
    """
    for number, line in enumerate(lines, start=1):
        for record in line if isinstance(line, list) else [line]:
            if not isinstance(record, dict) or "event" not in record:
                raise InputError(
                    f"journal line {number} is no record of a run; give another folder, or remove the file"
                )
            yield record


class Journal:
    """What happened so far, rebuilt from the lines of earlier sessions; a record is on disk before it counts.

    append: adds one JSON line durably (`partial(tastemaker.store.append_line, path)`). lines: those of
    earlier sessions, from `tastemaker.store.read_lines`, which leaves out a last line torn by a kill.
    settings: JSON; what the run was begun with. resume: with earlier lines, "same" goes on with equal
    settings, "always" in any case, "never" refuses. A call that was sent and never answered stays in
    `unconfirmed` with its maximum: perhaps it was billed.

    Raises InputError when the journal may not be continued, naming changed settings, or holds other lines.
    """

    def __init__(
        self,
        append: Callable[[Any], None],
        lines: Iterable[Any],
        settings: Mapping[str, Any],
        resume: Resume = "same",
    ) -> None:
        self._append, self._lock = append, threading.Lock()
        self.settings: Mapping[str, Any] | None = None
        self.units: dict[str, str] = {}
        self.attempts: Counter[str] = Counter()
        self.usage, self.paid_calls = Usage(), 0
        self.unconfirmed: dict[tuple[str, int], Usage] = {}
        self._last_attempt = 0
        for record in records(lines):
            self._replay(record)
        self._begin(dict(settings), resume)

    def _begin(self, settings: dict[str, Any], resume: Resume) -> None:
        if self.settings is not None and resume == "never":
            raise InputError(
                f"the journal already holds a run ({len(self.units)} units finished); resume it, or give"
                " another name"
            )
        changed = [] if self.settings is None else differences(self.settings, settings)
        if changed and resume == "same":
            raise InputError(
                f"settings changed since the journal was begun: {'; '.join(changed)}. Set them back, give"
                " another name, or resume with `--changed always` (finished work is kept, the rest uses the"
                " new settings)"
            )
        if changed or self.settings is None:
            self._write({"event": "begin", "settings": settings})

    def _write(self, record: dict[str, Any]) -> None:
        """Return once `record` is on disk."""
        with self._lock:
            if record["event"] == "sent":
                record["attempt"] = self._last_attempt + 1
            self._append(record)
            self._replay(record)

    def _replay(self, record: Mapping[str, Any]) -> None:
        event = record["event"]
        if event == "begin":
            self.settings = record["settings"]
        elif event == "sent":
            self.unconfirmed[record["call"], record["attempt"]] = Usage.of(record["maximum"])
            self._last_attempt = max(self._last_attempt, record["attempt"])
        elif event in ("answered", "failed"):
            self.unconfirmed.pop((record["call"], record["attempt"]), None)
            self.attempts[record["outcome"]] += 1
            self.usage += Usage.of(record["usage"])
            self.paid_calls += record["paid"]
        elif event == "unit":
            self.units[record["unit"]] = record["outcome"]

    def announced(self, call: str, maximum: Usage, about: Mapping[str, str]) -> int:
        """A call is about to leave, costing `maximum` at most. about: unit and kind. Gives its number."""
        record: dict[str, Any] = {"event": "sent", "call": call, "maximum": maximum.as_list(), **about}
        self._write(record)
        return int(record["attempt"])

    def answered(self, call: str, attempt: int, outcome: str, usage: Usage) -> None:
        """An answer came and is kept; outcome: "valid", or the kind of FAILURES that asks again."""
        self._ended("answered", call, attempt, outcome, usage)

    def failed(self, call: str, attempt: int, kind: str, billed: Usage) -> None:
        """No answer came; `billed` is the maximum where the endpoint may charge all the same, else zero."""
        self._ended("failed", call, attempt, kind, billed)

    def _ended(self, event: str, call: str, attempt: int, outcome: str, usage: Usage) -> None:
        paid = int(event == "answered" or usage != Usage())
        self._write(
            {
                "event": event,
                "call": call,
                "attempt": attempt,
                "outcome": outcome,
                "usage": usage.as_list(),
                "paid": paid,
            }
        )

    def unit(self, unit: str, outcome: str) -> None:
        """A unit of work ended: "done", or the kind of failure that ended it."""
        self._write({"event": "unit", "unit": unit, "outcome": outcome})

    def failures(self) -> Counter[str]:
        """Failed units by kind."""
        return Counter(outcome for outcome in self.units.values() if outcome != "done")

    def billed(self) -> tuple[Usage, int]:
        """Tokens and calls that were or may have been billed, unconfirmed calls at their maximum."""
        return sum(self.unconfirmed.values(), self.usage), self.paid_calls + len(self.unconfirmed)
