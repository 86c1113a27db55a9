"""What the server's pages show of one version of the catalogue: items, media, fields, people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.flows.data import item_texts, numbers_of
from tastemaker.flows.media import Media, media_type
from tastemaker.retrieve.typeahead import TypeAhead
from tastemaker.serving.serve import Parts
from tastemaker.store import Workspace, read_table
from tastemaker.store.recorded import Recorded

MANY = 2_000_000  # items whose words are kept in memory: for the search while one types, and the assistant
SIMULATED = re.compile(r"^simulated-")
TELLING = ("tune_type", "type", "genre", "genres", "category", "key", "mode", "metre", "brand", "book")


class Pages:
    """Read-only views of one deployment, read once."""

    def __init__(self, workspace: Workspace, parts: Parts) -> None:
        self.title, self.parts, self.people = workspace.settings.title, parts, parts.people
        items = parts.searcher.data.items
        self._items = parts.explainer.items
        self._titles = pc.utf8_lower(items["title"].fill_null(""))
        counts = parts.searcher.data.training_counts
        shown = pc.if_else(pc.equal(self._titles, ""), "~", self._titles)
        keys = pa.table({"chosen": counts, "title": shown, "item_id": items["item_id"]})
        order = [("chosen", "descending"), ("title", "ascending"), ("item_id", "ascending")]
        self._by_choice = pc.sort_indices(keys, order)
        self._words: TypeAhead | None = None
        if len(items) <= MANY:
            texts = zip(self._items, item_texts(items), strict=True)
            titles = [title or "" for title in items["title"].to_pylist()]
            self._words = TypeAhead(titles, [f"{item_id} {text}" for item_id, text in texts])
        self._media = Media(workspace, items)
        profiles = workspace.data / "listener_profiles.parquet"
        self._profiles: dict[str, Any] = {}
        if profiles.exists():
            table = read_table(Recorded(workspace).check(profiles, "listener profiles"))
            self._profiles = {row["user_id"]: row for row in table.to_pylist()}

    def info(self) -> dict[str, Any]:
        """Names, notice, versions, counts."""
        simulated = bool(self._profiles)
        notice = "Every listener here is simulated. The tunes are real; nobody's listening is shown."
        return {
            "dataset": self.title,
            "item_noun": "tune" if simulated else "item",
            "user_noun": "listener" if simulated else "user",
            "simulated": simulated,
            "notice": notice if simulated else None,
            "versions": {**self.parts.searcher.versions, "deployment": self.parts.deployment},
            "counts": {
                "items": len(self._items),
                "users": len(self.people.ids),
                "events": len(self.parts.searcher.data.histories.items),
            },
        }

    def fields(self) -> list[dict[str, Any]]:
        """Fields with 2 to 200 shared values, and those of numbers: the telling first, then the commonest."""
        listed = []
        for name, values in self.parts.searcher.fields.items():
            numbers, total = numbers_of(values), sum(map(len, values.values()))
            if len(values) >= 2 and (len(values) <= min(200, total - 1) or numbers):
                pairs = ((value, len(rows)) for value, rows in values.items())
                counts = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
                shown = (
                    [{"value": value, "count": count} for value, count in counts]
                    if len(counts) <= 200
                    else []
                )
                field: dict[str, Any] = {
                    "name": name,
                    "label": name.replace("_", " ").capitalize(),
                    "values": shown,
                }
                if numbers:
                    field |= {"low": min(numbers.values()), "high": max(numbers.values())}
                listed.append((_place(name), -total, field))
        return [field for *_, field in sorted(listed, key=lambda entry: entry[:2])]

    def items(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The known ones among `ids`."""
        return [self._items[item_id] for item_id in ids if item_id in self._items]

    def search(self, text: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Items that match the words of `text`, parts of words and typing errors too, best first, the whole
        catalogue, the most chosen first, when it is empty; and how many there are in all. Of more than `MANY`
        items, those with the text in their title.
        """
        ids = self.parts.searcher.data.item_ids
        if not text.strip():
            rows = self._by_choice
        elif self._words is not None:
            rows = self._words.search(text)
        else:
            rows = np.flatnonzero(pc.match_substring(self._titles, text.strip().lower()))
        rows = np.asarray(rows)
        return [self._items[ids[row]] for row in rows[offset : offset + limit]], len(rows)

    def media(self, item_id: str, kind: str) -> tuple[Path, str] | None:
        """File and media type, rendered when first asked for."""
        path = self._media.path(item_id, kind)
        return None if path is None else (path, media_type(path))

    def simulated(self, user_id: str) -> bool:
        """Whether somebody of the tables is no person."""
        return bool(SIMULATED.match(user_id)) and self.people.recorded(user_id)

    def users(self, limit: int, offset: int, whom: str = "everybody") -> tuple[list[dict[str, Any]], int]:
        """People of the table, then, where everybody is meant, those who came by the page; and how many."""
        only = self.simulated if whom == "simulated" else None
        ids, total = self.people.listed(limit, offset, whom == "everybody", only)
        return [self._user(user, events) for user, events in ids], total

    def _user(self, user: str, events: int) -> dict[str, Any]:
        profile = self._profiles.get(user)
        return {
            "user_id": user,
            "label": str(profile["name"]) if profile else user,
            "simulated": self.simulated(user),
            "events": events,
            "note": str(profile["text"]).removeprefix("Simulated: ").rstrip(".") if profile else None,
        }


def _place(field: str) -> int:
    """Where a filter stands: what a thing is comes before how it looks."""
    if field in TELLING:
        return TELLING.index(field)
    return len(TELLING) + field.startswith("cover") + 2 * field.endswith("_bpm")
