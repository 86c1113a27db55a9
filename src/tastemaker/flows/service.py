"""What the server shows, from a trained workspace: items, people, slates with evidence, events."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tastemaker.errors import InputError, TastemakerError
from tastemaker.flows.data import item_texts
from tastemaker.flows.explore.serve import Explorer
from tastemaker.flows.media import Media
from tastemaker.flows.recommend import Recommender, Wish, user_history
from tastemaker.flows.retention.live.asking import Asker
from tastemaker.flows.retention.live.context import Context
from tastemaker.flows.retention.live.ranking import Ranking
from tastemaker.retrieve.typeahead import TypeAhead
from tastemaker.store import Database, Workspace, read_table
from tastemaker.store import Event as StoredEvent

SIMULATED = re.compile(r"^simulated-")
TELLING = ("tune_type", "type", "genre", "genres", "category", "key", "mode", "metre", "brand", "book")


class Asked(Protocol):
    """A request as the server passes it in; see `server.service.Request`."""

    @property
    def request_id(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def history(self) -> tuple[str, ...]: ...
    @property
    def k(self) -> int: ...
    @property
    def filters(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def exclude(self) -> frozenset[str]: ...
    @property
    def deadline(self) -> float | None: ...


@dataclass(frozen=True)
class _Known:
    """What a request resolves to before the search."""

    asked: Asked
    wish: Wish


class WorkspaceService:
    """Everything behind the HTTP edge of one workspace; see `server.service.Service` for the contract of each
    call.

    clock: the time that events, slates and questions are stamped with.
    """

    def __init__(
        self, workspace: Workspace, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.workspace, self.clock = workspace, clock
        self.recommender = Recommender(workspace)
        self.database = Database(workspace.database)
        self.data = self.recommender.data
        self.explorer = Explorer(self.recommender, self.database)
        self.asker = Asker(workspace, self.database)
        self.ranking = Ranking(workspace, Context(workspace, self.data, self.database), self.database)
        self.media_store = Media(workspace, self.data.items)
        titles = [title or "" for title in self.data.items["title"].to_pylist()]
        known = zip(self.data.item_ids, item_texts(self.data.items), strict=True)
        self._words = TypeAhead(titles, [f"{item_id} {text}" for item_id, text in known])
        self._search_lock = threading.Lock()
        columns = ("item_id", "title", "text", "attributes", "creator", "audio", "image")
        self._items = {row["item_id"]: _item(row) for row in self.data.items.select(columns).to_pylist()}
        profiles = workspace.data / "listener_profiles.parquet"
        self._profiles = (
            {row["user_id"]: row for row in read_table(profiles).to_pylist()} if profiles.exists() else {}
        )

    def ready(self) -> tuple[bool, str]:
        """A service exists only once its model is loaded."""
        return True, ""

    @cached_property
    def _simulated(self) -> bool:
        return bool(self._profiles)

    def info(self) -> dict[str, Any]:
        """Names, notice, versions, counts."""
        notice = (
            "Every listener here is simulated. The tunes are real; nobody's listening is shown."
            if self._simulated
            else None
        )
        counts = {
            "items": len(self._items),
            "users": len(self.data.histories),
            "events": len(self.data.histories.items),
        }
        return {
            "dataset": self.workspace.settings.title,
            "item_noun": "tune" if self._simulated else "item",
            "user_noun": "listener" if self._simulated else "user",
            "simulated": self._simulated,
            "notice": notice,
            "versions": self.recommender.versions,
            "counts": counts,
        }

    def fields(self) -> list[dict[str, Any]]:
        """Fields with 2 to 200 values: the telling ones first, then those that most items have."""
        found = []
        for name, values in self.recommender.fields.items():
            if 2 <= len(values) <= 200:
                counts = sorted(
                    ((value, len(rows)) for value, rows in values.items()), key=lambda one: (-one[1], one[0])
                )
                listed = [{"value": value, "count": count} for value, count in counts]
                found.append({"name": name, "label": name.replace("_", " ").capitalize(), "values": listed})
        return sorted(
            found, key=lambda one: (_place(one["name"]), -sum(value["count"] for value in one["values"]))
        )

    def items(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The known ones among `ids`."""
        return [self._items[one] for one in ids if one in self._items]

    def search(self, text: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Items that match the words of `text`, parts of words and typing errors too, best first; the whole
        catalogue by title when it is empty.
        """
        if not text.strip():
            ordered = sorted(
                self._items.values(), key=lambda one: ((one["title"] or "~").casefold(), one["item_id"])
            )
            return ordered[offset : offset + limit]
        rows = self._words.search(text)[offset : offset + limit]
        return [self._items[self.data.item_ids[row]] for row in rows]

    def media(self, item_id: str, kind: str) -> tuple[bytes, str] | None:
        """Bytes and media type, rendered when first asked for."""
        return self.media_store.get(item_id, kind)

    def users(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """People of the interactions table, then those who came by the page."""
        ids = [str(user) for user in self.data.histories.users[offset : offset + limit]]
        return [self._user(user) for user in ids]

    def _user(self, user: str) -> dict[str, Any]:
        profile = self._profiles.get(user)
        row = self.data.user_row.get(user)
        events = int(self.data.histories.lengths[row]) if row is not None else 0
        note = str(profile["text"]).removeprefix("Simulated: ").rstrip(".") if profile else None
        label = str(profile["name"]) if profile else user
        return {
            "user_id": user,
            "label": label,
            "simulated": bool(SIMULATED.match(user)),
            "events": events,
            "note": note,
        }

    def history(self, user_id: str) -> list[dict[str, Any]]:
        """The table's events, then the server's own that still stand, oldest first."""
        row = self.data.user_row.get(user_id)
        own = self.database.history(user_id)
        if row is None and not own:
            raise InputError(
                f"user '{user_id}' is not known; choose one of /users, or send an event to start one"
            )
        past = []
        if row is not None:
            times = self.data.histories.times
            start = self.data.histories.offsets[row]
            for place, item in enumerate(self.data.histories.of(row)):
                when = (
                    float(times[start + place])
                    if times is not None and np.isfinite(times[start + place])
                    else None
                )
                past.append(
                    {"item_id": self.data.item_ids[item], "kind": "play", "sign": 1, "timestamp": when}
                )
        for event in own:
            past.append(
                {
                    "item_id": event.item_id,
                    "kind": event.kind,
                    "event_id": event.event_id,
                    "value": event.value,
                    "sign": self.data.rules.sign(event.kind, event.value),
                    "timestamp": event.timestamp.timestamp(),
                }
            )
        return past

    def recommend_many(self, requests: Sequence[Asked]) -> list[Any]:
        """Slates with propensities, logged before they are returned; a request that fails gets its own
        error.
        """
        answers: list[Any] = [None] * len(requests)
        known: dict[int, _Known] = {}
        for place, asked in enumerate(requests):
            try:
                one = self._resolve(asked)
                self.recommender.allowed(one.wish)  # refuses what it must before the shared search
                known[place] = one
            except TastemakerError as error:
                answers[place] = error
        if known:
            deadlines = [one.asked.deadline for one in known.values() if one.asked.deadline is not None]
            with self._search_lock:
                wishes, last = [one.wish for one in known.values()], max(deadlines, default=None)
                found = self.recommender.answer(wishes, last, self.ranking.spare)
            for (place, one), candidates in zip(known.items(), found, strict=True):
                try:
                    answers[place] = self._slate(one, candidates)
                except TastemakerError as error:  # a request id used before, with another slate
                    answers[place] = error
        return answers

    def _resolve(self, asked: Asked) -> _Known:
        history, unwanted = list(asked.history), list[str]()
        if asked.user_id is not None:
            history, unwanted = user_history(self.recommender, self.database, asked.user_id)
        self.recommender.index_of(history)
        return _Known(
            asked,
            Wish(tuple(history), asked.k, asked.filters, frozenset(asked.exclude) | frozenset(unwanted)),
        )

    def _slate(self, one: _Known, found: Any) -> dict[str, Any]:
        asked = one.asked
        shown = self.ranking.show(
            self.explorer, asked.request_id, asked.user_id, one.wish, found, self.clock()
        )
        for row in shown.rows:
            reasons = self.recommender.evidence(row["item_id"], one.wish.history)
            row["reasons"] = [
                {"text": self.recommender.words(why), "item_id": why.because_of} for why in reasons
            ]
        return {
            "request_id": asked.request_id,
            "policy_id": shown.policy_id,
            "rows": shown.rows,
            "reason": shown.reason,
        }

    def add_events(self, events: Sequence[Any]) -> dict[str, Any]:
        """Store all or none; known ids with other content are conflicts. At times a survey question
        follows.
        """
        for event in events:
            if event.item_id is not None:
                self.recommender.index_of([event.item_id])
        # The server's clock stamps an event once: sent again, it keeps its first time and so counts as a
        # duplicate.
        known, now = self.database.stored(one.event_id for one in events), self.clock()
        stored = []
        for one in events:
            when = known[one.event_id].timestamp if one.event_id in known else now
            about = (one.item_id, one.value, one.request_id, one.target)
            stored.append(StoredEvent(one.event_id, one.user_id, one.kind, when, *about))
        clashing = [one.event_id for one in stored if known.get(one.event_id, one) != one]
        if clashing:
            return {"accepted": 0, "duplicates": 0, "conflicts": clashing}
        added = self.database.add_events(stored)
        survey = self.asker.after(stored, now)
        return {"accepted": added.inserted, "duplicates": added.duplicates, "conflicts": [], "survey": survey}

    def answer_survey(self, question_id: str, user_id: str, answer: int | None) -> str:
        """Store 1 to 5, or None for skipped, of a question that was asked of this user."""
        return self.asker.surveys.answer(question_id, user_id, answer, self.clock())


def _place(field: str) -> int:
    """Where a filter stands: what a thing is comes before how it looks."""
    return (
        TELLING.index(field)
        if field in TELLING
        else len(TELLING) + field.startswith("cover") + 2 * field.endswith("_bpm")
    )


def _item(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("item_id", "title", "text", "creator")}
    return shown | {
        "attributes": row["attributes"] or [],
        "has_audio": row["audio"] is not None,
        "has_image": row["image"] is not None,
    }


def open_service(workspace: Path) -> WorkspaceService:
    """`tastemaker serve`: the service of a trained workspace."""
    return WorkspaceService(Workspace.open(workspace))
