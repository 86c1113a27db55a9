"""Why this one: evidence from attributes and co-plays alone, in words; and what there is to show of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from tastemaker.corpus.pairs import pair_people
from tastemaker.flows.data import Data, item_text
from tastemaker.retention.reasons import Reason, rarity_of, reasons
from tastemaker.serving.query import Evidence, Query, Row, Slate

HELD = 1 << 13  # items that are kept ready to be shown
RECENT = 30  # events of a history that evidence is sought in


class PerItem(Mapping[str, Any]):
    """What `read` makes of an item's row of the table, when it is asked for; so many are `remembered`. A
    large catalogue has no room for an object an item.
    """

    def __init__(
        self, data: Data, columns: Sequence[str], read: Callable[[dict[str, Any]], Any], remembered: int = 0
    ) -> None:
        self._index, self._read = data.index, read
        self._columns = {name: data.items[name] for name in columns}
        self._of = lru_cache(maxsize=remembered)(self._row) if remembered else self._row

    def _row(self, row: int) -> Any:
        return self._read({name: column[row].as_py() for name, column in self._columns.items()})

    def __getitem__(self, item_id: str) -> Any:
        return self._of(self._index[item_id])

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


class Explainer:
    """Evidence for items of one catalogue; counted once, when it is made."""

    def __init__(self, data: Data) -> None:
        self._index = data.index
        self.items = PerItem(
            data, ("item_id", "title", "text", "attributes", "creator", "audio", "image"), _item, HELD
        )
        self.texts = PerItem(data, ("title", "text", "attributes"), _text)
        self._attributes = PerItem(data, ("attributes",), _attributes, 8 * HELD)
        batches = data.items.select(["attributes"]).to_batches(1 << 16)
        self._rarity = rarity_of(own or () for batch in batches for own in batch[0].to_pylist())
        pairs, people = pair_people(data.histories)
        self._counts: dict[tuple[int, int], int] = {
            (low, high): count for (low, high), count in zip(pairs.tolist(), people.tolist(), strict=True)
        }

    def __call__(self, query: Query, slate: Slate) -> Slate:
        """The slate with the evidence for each of its rows, and what there is to show of its item."""
        history = slate.profile.history
        return replace(slate, rows=tuple(self._shown(row, history) for row in slate.rows))

    def _shown(self, row: Row, history: Sequence[str]) -> Row:
        reasons, item = self.evidence(row.item_id, history), self.items[row.item_id]
        return replace(row, reasons=reasons, item=item)

    def evidence(self, item_id: str, history: Sequence[str]) -> tuple[Evidence, ...]:
        """Why this item, given item ids that the person wants, oldest first; empty where nothing says so."""
        found = reasons(item_id, history[-RECENT:], self._attributes, self._together, self._rarity)
        return tuple(Evidence(self._words(reason), reason.because_of) for reason in found)

    def _together(self, item_id: str, other: str) -> int:
        low, high = sorted((self._index[item_id], self._index[other]))
        return self._counts.get((low, high), 0)

    def _words(self, reason: Reason) -> str:
        title = self.title(reason.because_of)
        if reason.kind == "co_played":
            return f"{reason.count} people had it within a few steps of “{title}”"
        shared = ", ".join(value.partition("=")[2] or value for value in reason.attributes)
        return f"like “{title}”: {shared}"

    def title(self, item_id: str) -> str:
        """The item's title, else its text, else its id."""
        return str(self.items[item_id]["title"] or self.texts[item_id] or item_id)


def _attributes(row: dict[str, Any]) -> frozenset[str]:
    return frozenset(row["attributes"] or ())


def _text(row: dict[str, Any]) -> str:
    return item_text(row["title"], row["text"], row["attributes"])


def _item(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("item_id", "title", "text", "creator")}
    return shown | {
        "attributes": row["attributes"] or [],
        "has_audio": row["audio"] is not None,
        "has_image": row["image"] is not None,
    }
