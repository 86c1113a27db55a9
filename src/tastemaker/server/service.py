"""What the server needs from whatever stands behind it: a few plain calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tastemaker.errors import TastemakerError
from tastemaker.server.access import KeyStore
from tastemaker.serving.query import Happened, Measures, Query, Slate, Standing


class Service(Protocol):
    """Everything behind the HTTP edge. Calls may block; the server runs them in threads, several at once.
    `object` stands for a dictionary or an object with the fields of the model named, which checks it.

    A mistake of the caller (an unknown item, a filter that no field has) is raised as
    `tastemaker.errors.InputError` whose message ends in "; " and the remedy; what is not there as
    `serving.query.Unknown`, what clashes as `serving.query.Conflict`.
    """

    @property
    def keys(self) -> KeyStore:
        """Who may call, and what operators did."""

    def ready(self) -> tuple[bool, str]:
        """Whether recommendations can be served, and if not, why and what to do."""

    def writable(self) -> tuple[bool, str]:
        """Whether slates and events can be stored, and if not, why."""

    def measures(self) -> Measures:
        """What `/metrics` says of the service."""

    def overview(self, name: str) -> Mapping[str, Any]:
        """One part of what an operator looks at, as JSON values; see `server.operator.PARTS`. Raises
        Unknown.
        """

    def roll_back(self, serving: str) -> Mapping[str, Any]:
        """Serve what was served before the deployment named, which must be the one that serves, and say under
        `deployment` which that is. Raises Conflict.
        """

    def info(self) -> object:
        """Names, notice, versions and counts: the fields of `models.Info`."""

    def fields(self) -> Sequence[object]:
        """Filterable fields in order of importance: the fields of `models.Field`, each with values and
        counts.
        """

    def items(self, ids: Sequence[str]) -> Sequence[object]:
        """The known ones among `ids`, in any order: the fields of `models.Item`."""

    def search(self, text: str, limit: int, offset: int) -> tuple[Sequence[object], int]:
        """Items that match `text`, best first, the whole catalogue when it is empty; and how many there
        are.
        """

    def media(self, item_id: str, kind: str) -> tuple[Path, str] | None:
        """File and media type of the item's 'audio' or 'cover'; None when it has none."""

    def users(self, limit: int, offset: int, whom: str) -> tuple[Sequence[object], int]:
        """Known users, the fields of `models.User`, among them whether they are simulated; and how many there
        are. whom: "everybody", those "recorded" in the tables, or the "simulated" ones of them.
        """

    def standing(self, user_id: str) -> Standing:
        """What is known of an id."""

    def talks(self, user_id: str) -> Sequence[object]:
        """What the user said to the assistant, oldest first: the fields of `models.PastTurn`."""

    def history(self, user_id: str) -> Sequence[object]:
        """The user's events that still stand (undone ones left out), oldest first: the fields of
        `models.PastEvent`. Raises Unknown.
        """

    def recommend_many(
        self, queries: Sequence[Query], free: Callable[[], None]
    ) -> Sequence[Slate | TastemakerError]:
        """For each query, in order, a slate or the error it met; calls `free` when all that is left is to
        store them.

        Events added before the call count. Every slate is logged with its propensities by the service, and
        counts as shown once `delivered` says so.
        """

    def delivered(self, request_ids: Sequence[str], confirms: bool) -> None:
        """These slates were sent to whoever asked, who was still there, and who `confirms` what it shows or
        does not.
        """

    def shown(self, request_id: str, user_id: str | None) -> bool:
        """The client confirms that it showed a slate; whether there is one of this person, or, for None, of a
        bare history.
        """

    def add_events(self, events: Sequence[Happened]) -> object:
        """Store all or none: the fields of `models.Counts`, at times with a survey question.

        An id already stored with the same content is a duplicate and harmless; with other content it is a
        conflict, and then nothing is stored. A user not seen before is created by their first event.
        """

    def answer_survey(self, question_id: str, user_id: str, answer: int | None) -> str:
        """Store 1 to 5, or None for skipped: "stored", "duplicate" (the same again), "conflict" or "unknown"
        (never asked).
        """

    def forget(self, user_id: str) -> object:
        """Erase a person everywhere: the fields of `models.Forgotten`. Raises Unknown when nothing is about
        them.
        """
