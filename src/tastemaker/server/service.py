"""What the server needs from whatever stands behind it: a few plain calls, and the two values it passes in.

The layer below cannot import this one, so `Service` asks only for shapes: what a call returns may be a
dictionary or an object with the same names, and `server.models` checks it at the edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Request:
    """One wish for a slate, already validated.

    `user_id` is None when the caller sent a bare history; `history` (item ids, oldest first) is then what is
    known of them, and may be empty. An item passes `filters` when, for every field, it has one of the values.
    `deadline` is a reading of the server's monotonic clock, seconds.
    """

    request_id: str
    user_id: str | None
    history: tuple[str, ...]
    k: int
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    deadline: float | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened to an item, under an id the client chose; `target` is what an `undo` takes
    back.
    """

    event_id: str
    user_id: str
    kind: str
    item_id: str | None = None
    target: str | None = None
    value: float | None = None
    request_id: str | None = None
    position: int | None = None


class Service(Protocol):
    """Everything behind the HTTP edge. Calls may block; the server runs them in threads, several at once.

    A mistake of the caller (an unknown user or item, a filter that no field has) is raised as
    `tastemaker.errors.InputError` whose message ends in "; " and the remedy.
    """

    def ready(self) -> tuple[bool, str]:
        """Whether recommendations can be served, and if not, why and what to do."""

    def info(self) -> object:
        """Names, notice, versions and counts: the fields of `models.Info`."""

    def fields(self) -> Sequence[object]:
        """Filterable fields in order of importance: the fields of `models.Field`, each with values and
        counts.
        """

    def items(self, ids: Sequence[str]) -> Sequence[object]:
        """The known ones among `ids`, in any order: the fields of `models.Item`."""

    def search(self, text: str, limit: int, offset: int) -> Sequence[object]:
        """Items that match `text`, best first; the whole catalogue when it is empty."""

    def media(self, item_id: str, kind: str) -> tuple[bytes, str] | None:
        """Bytes and media type of the item's 'audio' or 'cover'; None when it has none."""

    def users(self, limit: int, offset: int) -> Sequence[object]:
        """Known users: the fields of `models.User`, among them whether they are simulated."""

    def history(self, user_id: str) -> Sequence[object]:
        """The user's events that still stand (undone ones left out), oldest first: the fields of
        `models.PastEvent`.
        """

    def recommend_many(self, requests: Sequence[Request]) -> Sequence[object]:
        """For each request, in order, a slate (the fields of `models.Slate`) or the `TastemakerError` it met.

        Events added before the call count. Every slate must be logged with its propensities by the service.
        """

    def add_events(self, events: Sequence[Event]) -> object:
        """Store all or none: the fields of `models.Counts`, at times with a survey question.

        An id already stored with the same content is a duplicate and harmless; with other content it is a
        conflict, and then nothing is stored. A user not seen before is created by their first event.
        """

    def answer_survey(self, question_id: str, user_id: str, answer: int | None) -> str:
        """Store 1 to 5, or None for skipped: "stored", "duplicate" (the same again), "conflict" or "unknown"
        (never asked).
        """
