"""What a conversation may be about: items with names, families and typed facts, and the fields' table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Value = str | float | tuple[str, ...] | None
Kind = Literal["word", "words", "number"]
FAMILY = "family"
TITLE = "title"  # the field of what most titles end in, which no item shows beside its title


class Day(float):
    """A day as the number of days since the first of January of year 1, which is 1; written 2024-03-05."""

    @classmethod
    def of(cls, text: str) -> Day:
        """Of 2024-03-05. Raises ValueError for anything else."""
        return cls(date.fromisoformat(text).toordinal())

    def __str__(self) -> str:
        """2024-03-05."""
        return date.fromordinal(int(self)).isoformat()


@dataclass(frozen=True)
class Field:
    """One field of the facts: its kind, its values by falling frequency (none for numbers), and the share of
    items with one. quarters: the numbers below and above which a quarter of the items lies.
    """

    name: str
    kind: Kind
    values: tuple[str, ...]
    coverage: float
    low: float = float("nan")
    high: float = float("nan")
    quarters: tuple[float, float] = (float("nan"), float("nan"))

    @property
    def days(self) -> bool:
        """Whether the numbers are days."""
        return isinstance(self.low, Day)


def describe(name: str, column: tuple[Value, ...]) -> Field:
    """The field's line in the field table. Raises InputError when a column mixes numbers and words."""
    known = [value for value in column if value is not None]
    coverage = len(known) / max(len(column), 1)
    numbers = [value for value in known if isinstance(value, int | float)]
    if numbers and len(numbers) == len(known):
        quarters = sorted(numbers)[len(numbers) // 4], sorted(numbers)[-1 - len(numbers) // 4]
        return Field(name, "number", (), coverage, min(numbers), max(numbers), quarters)
    if numbers:
        raise InputError(f"field '{name}' mixes numbers and words; write all of its values one way")
    words = Counter(
        word for value in known for word in (value if isinstance(value, tuple) else (str(value),))
    )
    kind: Kind = "words" if any(isinstance(value, tuple) for value in known) else "word"
    return Field(name, kind, tuple(sorted(words, key=lambda word: (-words[word], word))), coverage)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """N items, row by row: ids, titles, further names, creators, families, and typed facts by field.

    families: items of one family are versions of one thing and never played twice; `creators` may hold None.
    columns: field -> N values; `played` (N,) how often each was played in the logs.
    """

    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    creators: tuple[str | None, ...]
    families: tuple[str, ...]
    columns: Mapping[str, tuple[Value, ...]]
    played: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Columns of one length; at least one item."""
        sizes = {
            len(column)
            for column in (self.titles, self.aliases, self.creators, self.families, *self.columns.values())
        }
        if not self.item_ids or sizes != {len(self.item_ids)}:
            raise InputError(
                "a catalogue needs at least one item and one entry an item everywhere; lengths found:"
                f" {sizes}"
            )

    def __len__(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The field table; the family is no field that anybody speaks of."""
        return {name: describe(name, column) for name, column in self.columns.items() if name != FAMILY}

    @cached_property
    def row(self) -> dict[str, int]:
        """Item id -> row."""
        return {item: row for row, item in enumerate(self.item_ids)}

    def value(self, item: str, field: str) -> Value:
        """What a field holds of an item; None for one that does not exist."""
        column = self.columns.get(field)
        return None if column is None or item not in self.row else column[self.row[item]]

    @cached_property
    def family_codes(self) -> npt.NDArray[np.int64]:
        """(N,) the family of each row as a number."""
        codes: dict[str, int] = {}
        return np.array([codes.setdefault(family, len(codes)) for family in self.families], np.int64)

    @cached_property
    def folded_names(self) -> tuple[tuple[str, int], ...]:
        """(name in small letters with plain quotes, row) of every name of every item."""
        quotes = str.maketrans("’‘“”", "''\"\"")
        return tuple(
            (name.translate(quotes).casefold(), row) for row in range(len(self)) for name in self.names(row)
        )

    def facts(self, row: int) -> tuple[tuple[str, Value], ...]:
        """What is known of an item, field by field."""
        return tuple(
            (name, self.columns[name][row])
            for name in self.fields
            if name != TITLE and self.columns[name][row] is not None
        )

    def names(self, row: int) -> tuple[str, ...]:
        """Title and further names."""
        return (self.titles[row], *self.aliases[row])
