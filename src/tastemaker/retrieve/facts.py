"""Items by what is known of them: three-valued matching of typed clauses, and nearest items by vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.schema.values import EITHER, SPAN
from tastemaker.stats.ranking import best_places

Column = Sequence[str | float | tuple[str, ...] | None]
Ternary = npt.NDArray[np.int8]
YES, NO, UNKNOWN = 1, 0, -1


class ClauseLike(Protocol):
    """A field, a comparison (of those that `converse.constraints` knows), and what to compare with;
    similar_to and same_group compare with an item id.
    """

    @property
    def field(self) -> str: ...
    @property
    def cmp(self) -> str: ...
    @property
    def value(self) -> Any: ...


@dataclass(frozen=True)
class _Part:
    field: str
    value: Any
    cmp: str = "eq"


def span_of(value: str) -> tuple[float, float]:
    """The ends of a span that stands for a value inside an `either`; an open end is infinite."""
    _, low, high = value.split(SPAN)
    return float(low or "-inf"), float(high or "inf")


def _words(value: Any) -> frozenset[str]:
    """A value as a set of case-folded words; a single value is a set of one."""
    several = value if isinstance(value, tuple | list) else (value,)
    return frozenset(str(word).casefold() for word in several)


class Matcher:
    """Clauses over `columns` (field -> N values: text, number, several texts, or None for not known).

    `similar(field, row)` -> (N,) bool, the items near item `row` in what the field names ("audio", "image",
    "text"), or None when that item has nothing to compare; without it, similar_to is unknown everywhere.
    """

    def __init__(
        self,
        item_ids: Sequence[str],
        columns: Mapping[str, Column],
        similar: Callable[[str, int], npt.NDArray[np.bool_] | None] | None = None,
        most: int = 4096,
    ) -> None:
        self._row = {item: row for row, item in enumerate(item_ids)}
        self._columns, self._similar, self._most = columns, similar, most
        self._numbers: dict[str, npt.NDArray[np.float64]] = {}
        self._indexes: dict[str, tuple[npt.NDArray[np.bool_], dict[str, list[int]]]] = {}
        self._cache: dict[tuple[str, str, str], Ternary] = {}

    def __call__(self, clauses: Sequence[ClauseLike]) -> Ternary:
        """(N,) int8: 1 where all clauses hold, 0 where one fails, -1 where none fails but one is not known
        (Kleene's "and"); not to be written to.

        Raises InputError for an unknown field or item, naming the nearest legal ones.
        """
        columns = [self._column(clause) for clause in clauses]
        if len(columns) == 1:
            return columns[0]
        table = np.array(columns, np.int8).reshape(-1, len(self._row))
        known = np.where((table == UNKNOWN).any(axis=0), UNKNOWN, YES)
        return np.where((table == NO).any(axis=0), NO, known).astype(np.int8)

    def _column(self, clause: ClauseLike) -> Ternary:
        key = (clause.field, clause.cmp, repr(clause.value))
        known = self._cache.get(key)  # another thread may clear the cache meanwhile
        if known is None:
            known = self._compare(clause)
            known.setflags(write=False)
            if len(self._cache) >= self._most:
                self._cache.clear()
            self._cache[key] = known
        return known

    def _compare(self, clause: ClauseLike) -> Ternary:
        if clause.cmp == "similar_to":
            near = self._similar(clause.field, self._item(clause.value)) if self._similar else None
            return np.full(len(self._row), UNKNOWN, np.int8) if near is None else near.astype(np.int8)
        if clause.cmp == "either":
            alternatives = np.array([self._together(conjunction) for conjunction in clause.value])
            unknown = np.where((alternatives == UNKNOWN).any(axis=0), UNKNOWN, NO)
            return np.where((alternatives == YES).any(axis=0), YES, unknown).astype(np.int8)
        if clause.field not in self._columns:
            raise InputError(
                f"field '{clause.field}' is not known; the catalogue has {', '.join(sorted(self._columns))}"
            )
        if clause.cmp in ("le", "ge", "between"):
            return self._within(clause)
        known, rows = self._index(clause.field)
        if clause.cmp == "same_group":
            value = self._columns[clause.field][self._item(clause.value)]
            if value is None:
                return np.full(len(self._row), UNKNOWN, np.int8)
            wanted = _words(value)
        else:
            wanted = _words(clause.value)
        hits = np.zeros(len(self._row), np.int16)
        for word in wanted:
            hits[rows.get(word, [])] += 1
        return np.where(known, hits >= (len(wanted) if clause.cmp == "contains" else 1), UNKNOWN).astype(
            np.int8
        )

    def _together(self, conjunction: str) -> Ternary:
        """One alternative of an `either`."""
        pairs = (part.partition("=") for part in conjunction.split(EITHER))
        return self(
            [
                _Part(name, span_of(value), "between") if value.startswith(SPAN) else _Part(name, value)
                for name, _, value in pairs
            ]
        )

    def _within(self, clause: ClauseLike) -> Ternary:
        numbers = self._number(clause.field)
        low, high = clause.value if clause.cmp == "between" else (clause.value, clause.value)
        low, high = (
            (-np.inf if clause.cmp == "le" else float(low)),
            (np.inf if clause.cmp == "ge" else float(high)),
        )
        with np.errstate(invalid="ignore"):
            inside = (numbers >= low) & (numbers <= high)
        return np.where(np.isnan(numbers), UNKNOWN, inside).astype(np.int8)

    def _number(self, name: str) -> npt.NDArray[np.float64]:
        if name not in self._numbers:
            column = self._columns[name]
            if not all(value is None or isinstance(value, int | float) for value in column):
                raise InputError(f"field '{name}' holds words; compare it with eq, in or contains")
            self._numbers[name] = np.array([np.nan if value is None else float(value) for value in column])  # type: ignore[arg-type]
        return self._numbers[name]

    def _index(self, name: str) -> tuple[npt.NDArray[np.bool_], dict[str, list[int]]]:
        """(N,) where a field's value is known, and the rows of each word."""
        if name not in self._indexes:
            rows = defaultdict[str, list[int]](list)
            for row, value in enumerate(self._columns[name]):
                for word in () if value is None else _words(value):
                    rows[word].append(row)
            known = np.array([value is not None for value in self._columns[name]], np.bool_)
            self._indexes[name] = known, dict(rows)
        return self._indexes[name]

    def _item(self, item_id: Any) -> int:
        if item_id not in self._row:
            raise InputError(f"item '{item_id}' is not in the catalogue; name one that is")
        return self._row[item_id]


Floats = npt.NDArray[np.float32]


class Near:
    """Cosine neighbours in standardised `vectors` (N, d); a NaN row is near to nothing."""

    def __init__(self, vectors: Floats) -> None:
        self.known = np.asarray(~np.isnan(vectors).any(axis=1), np.bool_)
        if not self.known.any():
            raise InputError("no item has a vector to compare; run `tastemaker train`")
        present = vectors[self.known].astype(np.float64)
        self._mean, self._spread = present.mean(axis=0), np.maximum(present.std(axis=0), 1e-6)
        self._unit = np.nan_to_num(self._unit_rows(vectors))

    def _unit_rows(self, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        scaled = (vectors - self._mean) / self._spread
        return np.asarray(scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12))

    def like(self, row: int, share: float = 0.1) -> npt.NDArray[np.bool_] | None:
        """(N,) the `share` of items nearest to item `row`, itself included; None when it has no vector."""
        if not self.known[row]:
            return None
        scores = np.where(self.known, self._unit @ self._unit[row], -np.inf)
        count = max(2, round(share * int(self.known.sum())))
        return np.asarray(scores >= np.sort(scores)[-count])

    def ranked(self, query: Floats, k: int) -> npt.NDArray[np.int64]:
        """The k rows nearest to a query (d,), nearest first; a query without a vector (NaN) finds none."""
        if np.isnan(query).any():
            return np.empty(0, np.int64)
        scores = np.where(
            self.known, self._unit @ self._unit_rows(query[None].astype(np.float64))[0], -np.inf
        )
        return best_places(scores, k)


def same_melody(chroma: Floats) -> Callable[[Floats], int]:
    """Finder of the row whose pitch classes (N, b, 12) equal a query's (b, 12), best of 12 transpositions."""
    table = np.nan_to_num(chroma.astype(np.float64), nan=np.inf)

    def find(query: Floats) -> int:
        distances = [np.square(table - np.roll(query, step, axis=-1)).sum(axis=(1, 2)) for step in range(12)]
        return int(np.min(distances, axis=0).argmin())

    return find


def top(scores: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.int64]:
    """The k rows of highest positive score, highest first, ties by row."""
    order = best_places(scores, k)
    return order[scores[order] > 0]
