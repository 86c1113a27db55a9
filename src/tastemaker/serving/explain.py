"""Why this one: evidence from attributes and co-plays alone, in words; and what there is to show of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from tastemaker.corpus.pairs import pair_people
from tastemaker.flows.data import Data, Names, item_text
from tastemaker.retention.reasons import Reason, rarity_of, reasons
from tastemaker.serving.query import Evidence, Query, Slate

CACHED_ITEMS = 1 << 13  # items that are kept ready to be shown
RECENT = 30  # events of a history that evidence is sought in


class PerItem(Mapping[str, Any]):
    """What `make` says of an item's row of the table, when it is asked for; so many are `remembered`. A
    large catalogue has no room for an object an item.
    """

    def __init__(
        self, data: Data, columns: Sequence[str], make: Callable[[dict[str, Any]], Any], remembered: int = 0
    ) -> None:
        self._index, self._make = data.index, make
        self._columns = {name: data.items[name] for name in columns}
        self._of = lru_cache(maxsize=remembered)(self._row) if remembered else self._row

    def _row(self, row: int) -> Any:
        return self._make({name: column[row].as_py() for name, column in self._columns.items()})

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
            data,
            ("item_id", "title", "text", "attributes", "creator", "audio", "image", "created_at"),
            partial(_item, data.names),
            CACHED_ITEMS,
        )
        self.texts = PerItem(data, ("title", "text", "attributes"), _text, CACHED_ITEMS)
        self._attributes = PerItem(data, ("attributes",), _attributes, 8 * CACHED_ITEMS)
        batches = data.items.select(["attributes"]).to_batches(1 << 16)
        self._rarity = rarity_of(attributes or () for batch in batches for attributes in batch[0].to_pylist())
        pairs, people = pair_people(data.histories)
        self._counts: dict[tuple[int, int], int] = {
            (low, high): count for (low, high), count in zip(pairs.tolist(), people.tolist(), strict=True)
        }

    def __call__(self, query: Query, slate: Slate) -> Slate:
        """The slate with the evidence for each of its rows, and what there is to show of its item."""
        evidence = self.evidence([row.item_id for row in slate.rows], slate.profile.history)
        rows = zip(slate.rows, evidence, strict=True)
        return replace(
            slate, rows=tuple(replace(row, reasons=why, item=self.items[row.item_id]) for row, why in rows)
        )

    def evidence(self, item_ids: Sequence[str], history: Sequence[str]) -> list[tuple[Evidence, ...]]:
        """Why each of these items, given ids that the person wants, oldest first; empty where unknown."""
        recent = history[-RECENT:]
        attributes = {item: self._attributes[item] for item in {*item_ids, *recent}}
        by_item = (reasons(item, recent, attributes, self._together, self._rarity) for item in item_ids)
        return [tuple(Evidence(self._words(cause), cause.because_of) for cause in group) for group in by_item]

    def _together(self, item_id: str, other: str) -> int:
        first, second = self._index[item_id], self._index[other]
        return self._counts.get((first, second) if first < second else (second, first), 0)

    def _words(self, reason: Reason) -> str:
        title = self.title(reason.because_of)
        if reason.kind == "co_played":
            return f"{reason.count} people had it within a few steps of “{title}”"
        return f"like “{title}”: {', '.join(map(_spoken, reason.attributes))}"

    def title(self, item_id: str) -> str:
        """The item's title, else its text, else its id."""
        return str(self.items[item_id]["title"] or self.texts[item_id] or item_id)


def _spoken(attribute: str) -> str:
    """An attribute in a reason: "reel" of type=reel, but "pages 320", as a number alone says nothing."""
    name, _, value = attribute.partition("=")
    return f"{name.replace('_', ' ')} {value}" if value[:1].isdigit() else value or attribute


def _attributes(row: dict[str, Any]) -> frozenset[str]:
    return frozenset(row["attributes"] or ())


def _text(row: dict[str, Any]) -> str:
    return item_text(row["title"], row["text"], row["attributes"])


def _item(names: Names, row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("item_id", "title", "text", "creator")}
    facts: dict[str, list[str]] = {}
    for name, value in map(names.field, row["attributes"] or ()):
        facts.setdefault(name, []).append(value)
    if row["created_at"] is not None:
        facts.setdefault(names.year, [str(row["created_at"].year)])
    return shown | {
        "attributes": row["attributes"] or [],
        "facts": facts,
        "has_audio": row["audio"] is not None,
        "has_image": row["image"] is not None,
    }
