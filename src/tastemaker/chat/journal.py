"""The append-only journal of a run: its settings, one record per attempt, one per finished unit of work; no
content, no names.
"""

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
        names = sorted({*old, *new}, key=str)
        inner = [
            differences(old.get(one), new.get(one), f"{name}.{one}" if name else str(one)) for one in names
        ]
        return [line for lines in inner for line in lines]
    return [] if old == new else [f"{name or 'settings'}: {old!r} -> {new!r}"]


def records(lines: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The records of a journal's lines, in order; records of several threads share a line when they came
    together.

    Raises
    ------
    InputError
        naming the first line that holds something else.
    """
    for number, line in enumerate(lines, start=1):
        for record in line if isinstance(line, list) else [line]:
            if not isinstance(record, dict) or "event" not in record:
                raise InputError(
                    f"journal line {number} is no record of a run; give another folder, or remove the file"
                )
            yield record


class Journal:
    """What happened so far, rebuilt from the lines of earlier runs; every new record is on disk before it
    counts.

    Except "answered": it goes to disk with the next record, because a kill in between loses nothing (the
    answer itself is kept by then, and says what it used), and a flush of its own for every answer would hold
    up the calls under way.

    append: adds one JSON line durably (`partial(tastemaker.store.append_line, path)`). lines: those of
    earlier runs, from `tastemaker.store.read_lines`, which leaves out a last line torn by a kill. settings:
    JSON; what the run was begun with.
    resume: with earlier lines, "same" goes on if the settings are equal, "always" in any case, "never"
    refuses. A call that was sent and never answered stays in `doubtful` with its maximum: it may have been
    billed.

    Raises
    ------
    InputError
        when the journal may not be continued, naming each setting that changed, or holds lines of something
        else.
    """

    def __init__(
        self,
        append: Callable[[Any], None],
        lines: Iterable[Any],
        settings: Mapping[str, Any],
        resume: Resume = "same",
    ) -> None:
        self._append, self._changed = append, threading.Condition()
        self._queue: list[dict[str, Any]] = []
        self._waiting: set[int] = set()
        self._writing = False
        self.settings: Mapping[str, Any] = {}
        self._begun = False
        self.units: dict[str, str] = {}
        self.attempts: Counter[str] = Counter()
        self.usage, self.paid_calls = Usage(), 0
        self.doubtful: dict[tuple[str, int], Usage] = {}
        self._sent = 0
        for record in records(lines):
            self._replay(record)
        if not self._begun:
            self._write({"event": "begin", "settings": dict(settings)})
        else:
            self._continue(settings, resume)

    def _continue(self, settings: Mapping[str, Any], resume: Resume) -> None:
        if resume == "never":
            raise InputError(
                f"the journal already holds a run ({len(self.units)} units finished); resume it, or give"
                " another name"
            )
        changed = differences(self.settings, dict(settings))
        if changed and resume == "same":
            raise InputError(
                f"settings changed since the journal was begun: {'; '.join(changed)}. Set them back, give"
                " another name, or resume with `--changed always` (finished work is kept, the rest uses the"
                " new settings)"
            )
        if changed:
            self._write({"event": "begin", "settings": dict(settings)})

    def _write(self, record: dict[str, Any]) -> None:
        """Return once `record` is on disk. Records that come while one thread writes go together in the next
        line.
        """
        with self._changed:
            if record["event"] == "sent":
                self._sent = record["attempt"] = self._sent + 1
            self._queue.append(record)
            self._waiting.add(id(record))
            while self._writing and id(record) in self._waiting:
                self._changed.wait()
            if id(record) not in self._waiting:
                return
            batch, self._queue, self._writing = self._queue, [], True
        try:
            self._append(batch if len(batch) > 1 else batch[0])
        except BaseException:
            with self._changed:  # nothing of the batch was written: the others try again
                self._queue = [one for one in batch if one is not record] + self._queue
                self._waiting.discard(id(record))
                self._writing = False
                self._changed.notify_all()
            raise
        with self._changed:
            for one in batch:
                if id(one) in self._waiting:
                    self._replay(one)
                    self._waiting.discard(id(one))
            self._writing = False
            self._changed.notify_all()

    def _write_with_next(self, record: dict[str, Any]) -> None:
        with self._changed:
            self._queue.append(record)
            self._replay(record)

    def flush(self) -> None:
        """Put on disk what waits for a next record; when no call is under way."""
        with self._changed:
            if self._queue:
                self._append(self._queue)
                self._queue = []

    def _replay(self, record: Mapping[str, Any]) -> None:
        event = record["event"]
        if event == "begin":
            self.settings, self._begun = record["settings"], True
        elif event == "sent":
            self.doubtful[record["call"], record["attempt"]] = Usage(*record["maximum"])
            self._sent = max(self._sent, record["attempt"])
        elif event in ("answered", "failed"):
            self.doubtful.pop((record["call"], record["attempt"]), None)
            self.attempts[record["outcome"]] += 1
            self.usage += Usage(*record["usage"])
            self.paid_calls += record["paid"]
        elif event == "unit":
            self.units[record["unit"]] = record["outcome"]

    def sent(self, call: str, maximum: Usage, about: Mapping[str, str]) -> int:
        """A call is about to leave; `maximum` is what it can cost. about: unit and kind. Returns the
        attempt's number.
        """
        used = [maximum.input, maximum.output, maximum.cached]
        record: dict[str, Any] = {"event": "sent", "call": call, "attempt": 0, "maximum": used, **about}
        self._write(record)
        return int(record["attempt"])

    def answered(self, call: str, attempt: int, outcome: str, usage: Usage) -> None:
        """An answer came and is kept; outcome: "valid", or the kind of FAILURES that asks again."""
        used = [usage.input, usage.output, usage.cached]
        record = {
            "event": "answered",
            "call": call,
            "attempt": attempt,
            "outcome": outcome,
            "usage": used,
            "paid": 1,
        }
        self._write_with_next(record)

    def failed(self, call: str, attempt: int, kind: str, billed: Usage) -> None:
        """No answer came; `billed` is the maximum when the endpoint may charge for it all the same, else
        zero.
        """
        used = [billed.input, billed.output, billed.cached]
        paid = int(billed != Usage())
        self._write(
            {
                "event": "failed",
                "call": call,
                "attempt": attempt,
                "outcome": kind,
                "usage": used,
                "paid": paid,
            }
        )

    def unit(self, unit: str, outcome: str) -> None:
        """A unit of work ended: "done", or the kind of failure that ended it."""
        self._write({"event": "unit", "unit": unit, "outcome": outcome})

    def failures(self) -> Counter[str]:
        """Failed units by kind."""
        return Counter(outcome for outcome in self.units.values() if outcome != "done")

    def spent(self) -> tuple[Usage, int]:
        """Tokens and calls that were or may have been billed, calls in doubt at their maximum."""
        doubtful = list(self.doubtful.values())
        return sum(doubtful, self.usage), self.paid_calls + len(doubtful)
