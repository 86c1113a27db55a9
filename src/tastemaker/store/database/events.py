"""Events: what people did, and what they took back."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tastemaker.errors import InputError
from tastemaker.schema import kind_of

CLOCK = "TASTEMAKER_REHEARSAL_CLOCK"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time: datetime) -> int:
    """Whole microseconds since 1970, as times are stored."""
    return (time - _EPOCH) // timedelta(microseconds=1)


_FIRST, _LAST = (micros(time.replace(tzinfo=UTC)) for time in (datetime.min, datetime.max))
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Event:
    """One thing a person did; `event_id` is chosen by the client, so that sending twice counts once.

    kind: one of `schema.KINDS`, in any spelling; it is kept by its name there. `timestamp` carries its zone.
    An `undo` names the event it takes back in `refers_to`; every other kind names its item.
    """

    event_id: str
    user_id: str
    kind: str
    timestamp: datetime
    item_id: str | None = None
    value: float | None = None
    request_id: str | None = None
    refers_to: str | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", kind_of(self.kind).name)
        except InputError as error:
            raise InputError(f"event {self.event_id}: {error}") from None
        for name in ("event_id", "user_id", "item_id", "request_id", "refers_to"):
            text = getattr(self, name)
            if text is not None and not (
                isinstance(text, str) and 0 < len(text) <= 512 and not _UNFIT.search(text)
            ):
                raise InputError(
                    f"event {self.event_id!r}: {name} must be 1 to 512 characters, none of them a control"
                    " character"
                )
        if (self.kind == "undo") != (self.refers_to is not None) or (
            self.kind != "undo" and self.item_id is None
        ):
            raise InputError(
                f"event {self.event_id}: an undo gives refers_to (the event it takes back), every other kind"
                " gives item_id"
            )
        if self.timestamp.tzinfo is None:
            raise InputError(f"event {self.event_id}: timestamp has no time zone; write 2026-01-31T12:00:00Z")
        if not _FIRST <= micros(self.timestamp) <= _LAST:
            raise InputError(
                f"event {self.event_id}: timestamp is outside the years 1 to 9999 UTC; correct it"
            )
        if self.value is not None and not math.isfinite(self.value):
            raise InputError(
                f"event {self.event_id}: value is {self.value}; it must be a finite number or absent"
            )


def undone(rows: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    """(user, event) pairs taken back. The undo that came last speaks first, so one that was itself undone
    has no effect; rows come in the order of `sequence`, whatever the clock says.
    """
    taken_back: set[tuple[str, str]] = set()
    undos = [row for row in rows if row["kind"] == "undo"]
    for undo in sorted(undos, key=lambda row: int(row["sequence"]), reverse=True):
        if (undo["user_id"], undo["event_id"]) not in taken_back:
            taken_back.add((undo["user_id"], undo["refers_to"]))
    return taken_back


def now() -> datetime:
    """The time in UTC that what is served is stamped with; in a rehearsal's commands the rehearsal's time."""
    clock = os.environ.get(CLOCK)
    return datetime.fromisoformat(clock) if clock else datetime.now(UTC)


def moment(stored: int) -> datetime:
    """The moment in UTC of what `micros` gave; the nearest there is for years that no calendar here has."""
    return _EPOCH + timedelta(microseconds=min(max(stored, _FIRST), _LAST))
