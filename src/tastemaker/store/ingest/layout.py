"""Which column plays which part where names do not say it: of tables without a header by what the cells hold,
and of optional parts by how a name begins or ends. Every choice ends as a note of the report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pyarrow.types as pt

import tastemaker.store.ingest.guesses as guesses
from tastemaker.errors import InputError
from tastemaker.schema import kind_named
from tastemaker.schema.moments import REMEDY, as_time, remedy
from tastemaker.store.ingest.columns import INTERACTION_NAMES, WORDS, candidates, squeezed
from tastemaker.store.tables import Source

_HEAD = 10_000  # rows that a guess is made from
_CLEARLY = 1.2  # times as many ids of the catalogue decide between two columns
_LEVELS = 21  # different values at most that ratings have
_PROSE = 40  # characters that a text has and a title has not
_CLOCK = r"^\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp][Mm])?$"
_UNITS = (("year", ""), ("month", "-"), ("day", "-"), ("hour", "T"), ("minute", ":"), ("second", ":"))
_SHORT = 30  # characters that a word of an attribute has at most


Parts = dict[str, list[str]]  # part -> the columns that could play it, best first


def items_by_content(source: Source) -> Parts:
    """The parts of a table of items without a header: the first column whose cells stand once are the ids,
    the first other words the title, long ones the text, words that come back or are lists the attributes; a
    column of dates says since when.
    """
    cells = {column: guesses.ids_of(source, column, _HEAD) for column in source.table.column_names}
    parts: Parts = {}
    for column, text in cells.items():
        filled = text.drop_nulls()
        if filled.is_empty() or _urls(filled):
            continue
        ids = text.null_count() == 0 and _once(text)
        if "item_id" not in parts and ids:
            parts["item_id"] = [column]
        elif moments_of(source, column) is not None:
            parts.setdefault("created_at", []).append(column)
        elif not _numbers(filled):
            parts.setdefault(_part_of(filled, "title" in parts), []).append(column)
        elif ids:
            parts["item_id"].append(column)
    return parts if "item_id" in parts else {}


def _part_of(filled: pl.Series, titled: bool) -> str:
    """What words are: attributes, a title, or, once there is one, a text."""
    lists = guesses.share(filled.str.contains(r"\|")) > 0.2
    if lists or (filled.n_unique() <= max(2, len(filled) / 5) and _length(filled) <= _SHORT):
        return "attributes"
    return "text" if titled and _length(filled) > _PROSE else "title"


def events_by_content(source: Source, known: pl.Series, given: Mapping[str, str]) -> Parts:
    """The parts of a table of events without a header; given: part -> the column that was named, or "". Items
    are the column with most of the ids in `known`; people the first other column whose cells come back and
    are about as varied as those of any. Empty where one of the two is not found, also when numbers that could
    be times are not taken for times.
    """
    columns = source.table.column_names
    if guesses.nameless_matrix(source):
        return {}
    times = {column: moments for column in columns if (moments := moments_of(source, column)) is not None}
    numbers = [column for column in times if _numbers(guesses.ids_of(source, column, _HEAD).drop_nulls())]
    for left_out in ([], *([column] for column in numbers), numbers):
        free = [name for name in times if name not in left_out and name not in given.values()]
        parts = _events(source, known, {name: times[name] for name in free}, given)
        if parts:
            return parts
    return {}


def _events(
    source: Source, known: pl.Series, times: Mapping[str, pl.Series], given: Mapping[str, str]
) -> Parts:
    free = [column for column in source.table.column_names if column not in times]
    ours = [column for column in free if column not in given.values()]
    items = [given["item_id"]] if given["item_id"] else _items(source, ours, known)
    if not items:
        return {}
    item = items[0]
    cells = {column: guesses.ids_of(source, column, _HEAD) for column in ours if column != item}
    kinds = [column for column, text in cells.items() if _kinds(text.drop_nulls())]
    people = [
        column
        for column, text in cells.items()
        if column not in kinds
        and not text.null_count()
        and 2 < text.n_unique() < len(text)
        and not _ratings(text)
    ]
    people = [given["user_id"]] if given["user_id"] else people
    if not people:
        return {}
    counts = {column: guesses.ids_of(source, column, _HEAD).n_unique() for column in people}
    parts = {
        "user_id": sorted(people, key=lambda column: counts[column] < max(counts.values()) / 2),
        "item_id": items,
        "timestamp": sorted(times, key=lambda column: -times[column].n_unique()),
        "kind": kinds,
        "value": [column for column, text in cells.items() if _ratings(text)],
    }
    return {part: fit for part, fit in parts.items() if fit}


def _items(source: Source, columns: list[str], known: pl.Series) -> list[str]:
    """The columns that item ids could be in, the likeliest first: of those with (nearly) as many cells that
    are ids of items, the one that holds most of the catalogue; where that is a tie, people come first, as
    they do in the files that everybody knows. Empty where no column, or more than two, could be it.
    """
    shares, held = {}, {}
    for column in columns:
        ids = guesses.matched(guesses.ids_of(source, column), known)
        if not _ratings(ids):
            matches = ids.is_in(known.implode())
            shares[column], held[column] = guesses.share(matches), ids.filter(matches).n_unique()
    fit = [column for column, part in shares.items() if part >= 0.5]
    best = max(fit, key=lambda column: shares[column], default="")
    alike = [column for column in fit if shares[column] > shares[best] - 0.1]
    if len(alike) not in (1, 2):
        return []
    more = held[alike[0]] > _CLEARLY * held[alike[-1]]
    item = alike[0] if more else alike[-1]
    return [item, *(column for column in fit if column != item)]


def optional_parts(
    source: Source, table: str, taken: Iterable[str], missing: Iterable[str]
) -> dict[str, str]:
    """Part -> column where no known name stands but one that says it (`prod_name`) above fitting cells."""
    free = [column for column in source.table.column_names if column not in set(taken)]
    result: dict[str, str] = {}
    for part in missing:
        owner, score = _OPTIONAL.get(part, ("", _distinct))
        if owner == table:
            fit = [column for column in free if column not in result.values() and _says(column, part)]
            scores = {column: score(source, column) for column in fit}
            best = max(scores, key=lambda column: scores[column], default="")
            if scores.get(best, 0.0) > 0:
                result[part] = best
    return result


def ambiguous_times(source: Source, taken: Iterable[str]) -> list[str]:
    """What to say of columns called as times are where nobody can tell the days from the months."""
    free = [c for c in source.table.column_names if c not in set(taken) and _says(c, "timestamp")]
    remedies = {c: remedy(source.table.column(c).slice(0, _HEAD), c) for c in free}
    return [
        f"column '{column}' was not taken as timestamp: {how}"
        for column, how in remedies.items()
        if how != REMEDY
    ]


def _says(column: str, part: str) -> bool:
    """Whether a word of a column's name says the part, and none that it is something else."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    words = set(re.split(r"[\W_]+", spaced.lower()))
    return bool(words & set(WORDS[part])) and not words & set(WORDS["none"]) and squeezed(column) != ""


def _filled_moments(source: Source, column: str) -> float:
    """The share of cells that hold something, where (nearly) all are moments; else 0."""
    moments = moments_of(source, column)
    return 0.0 if moments is None else 1 - moments.null_count() / len(moments)


def _distinct(source: Source, column: str) -> float:
    """The share of different cells, of words that name things; else 0."""
    filled = guesses.ids_of(source, column, _HEAD).drop_nulls()
    if filled.is_empty() or _numbers(filled) or _urls(filled) or _length(filled) > 5 * _PROSE:
        return 0.0
    unique: float = filled.n_unique() / len(filled)
    return unique if unique > 0.5 else 0.0


def titles(source: Source, column: str) -> bool:
    """Whether cells are words about as short as titles, and differ."""
    filled = guesses.ids_of(source, column, _HEAD).drop_nulls()
    return _distinct(source, column) > 0 and _length(filled) <= _PROSE


def _long(source: Source, column: str) -> float:
    """The mean length of words that differ and are no addresses; else 0."""
    filled = guesses.ids_of(source, column, _HEAD).drop_nulls()
    same = filled.n_unique() <= len(filled) / 10
    return 0.0 if same or _numbers(filled) or _urls(filled) else _length(filled)


def _grouping(source: Source, column: str) -> float:
    """1 over how many groups short words make of the items, where groups have several; else 0."""
    filled = guesses.ids_of(source, column, _HEAD).drop_nulls()
    unique = filled.n_unique()
    few = 2 <= unique <= len(filled) / 3
    return 1 / unique if few and not _numbers(filled) and _length(filled) <= _SHORT else 0.0


# Part -> its table, and how well a column that says it in its name plays it.
_OPTIONAL: dict[str, tuple[str, Callable[[Source, str], float]]] = {
    "timestamp": ("interactions", _filled_moments),
    "title": ("items", _distinct),
    "text": ("items", _long),
    "attributes": ("items", _grouping),
}


def dated(source: Source) -> Source:
    """A table whose days and times of day stand in two columns, with both in that of the days."""
    source = _in_units(source)
    names = source.table.column_names
    timed = (name for name in names if "time" in name.lower())
    clocks = [name for name in timed if guesses.share(_text(source, name, _HEAD).str.contains(_CLOCK)) > 0.9]
    for place, name in enumerate(names if len(clocks) == 1 else ()):
        if "date" not in name.lower() or _text(source, name, _HEAD).str.contains(":").any():
            continue
        if moments_of(source, name) is not None:
            both = _text(source, name) + " " + _text(source, clocks[0]).fill_null("00:00")
            note = f"'{clocks[0]}' holds times of day: it was read together with '{name}'"
            table = source.table.set_column(place, name, both.to_arrow()).drop_columns(clocks)
            return replace(source, table=table, notes=(*source.notes, note))
    return source


def _in_units(source: Source) -> Source:
    """A table without a column of times whose years, months and days, and perhaps hours, minutes and seconds
    stand in columns of their own (`date_year`), with all of them in one.
    """
    names = source.table.column_names
    if "timestamp" in candidates(names, INTERACTION_NAMES):
        return source
    parts: dict[str, dict[str, str]] = {}
    for name in names:
        words = re.split(r"[\W_]+", name.lower())
        for unit in set(words) & {unit for unit, _ in _UNITS}:
            parts.setdefault(" ".join(word for word in words if word != unit), {})[unit] = name
    for own in parts.values():
        if not {"year", "month", "day"} <= own.keys():
            continue
        cells = {
            unit: mark + guesses.ids_of(source, own[unit]).str.zfill(2)
            for unit, mark in _UNITS
            if unit in own
        }
        written = pl.DataFrame(cells).select(pl.concat_str(pl.all())).to_series()
        table = source.table.drop_columns(list(own.values())).append_column("timestamp", written.to_arrow())
        together = replace(source, table=table)
        if moments_of(together, "timestamp") is not None:
            note = f"{', '.join(map(repr, own.values()))} were read together as times"
            return replace(together, notes=(*source.notes, note))
    return source


def _text(source: Source, column: str, rows: int | None = None) -> pl.Series:
    """The first `rows` cells of a column of text, days or times of day; none of another."""
    cells = source.table.column(column).slice(0, rows)
    if pt.is_time(cells.type) or pt.is_date(cells.type):
        cells = cells.cast(pa.string())
    if not (pt.is_string(cells.type) or pt.is_large_string(cells.type)):
        return pl.Series([], dtype=pl.String)
    return guesses.ids_of(replace(source, table=pa.table({column: cells})), column)


def moments_of(source: Source, column: str) -> pl.Series | None:
    """The moments in a column that holds nothing else, of the years 1980 to 2100; None for others."""
    try:
        moments, wrong = as_time(source.table.column(column).slice(0, _HEAD), column)
    except InputError:
        return None
    read = moments.drop_nulls()
    if read.is_empty() or int(wrong.sum()) > len(read) / 100:
        return None
    return moments if bool(read.dt.year().is_between(1980, 2100).all()) else None


def _kinds(filled: pl.Series) -> bool:
    words = filled.unique().to_list()
    return 0 < len(words) <= _LEVELS and all(kind_named(word) is not None for word in words)


def _ratings(cells: pl.Series) -> bool:
    """Whether cells look like ratings: few values from -1 to 10, not piled up on the least as counts are, or
    votes of 1 and -1.
    """
    numbers = cells.drop_nulls().cast(pl.Float64, strict=False)
    if numbers.is_empty() or numbers.null_count():
        return False
    levels = numbers.unique()
    if set(levels) == {-1.0, 1.0}:
        return True
    halves = bool((levels * 2 == (levels * 2).round()).all())
    piled = guesses.share(numbers == numbers.min()) > 0.5
    few = 2 <= len(levels) <= _LEVELS and bool(levels.is_between(-1, 10).all())
    return halves and few and not piled and bool((levels >= 4).any())


def _once(text: pl.Series) -> bool:
    return text.n_unique() == len(text) and _length(text) <= _PROSE * 2


def _numbers(filled: pl.Series) -> bool:
    return guesses.share(filled.cast(pl.Float64, strict=False).is_not_null()) > 0.9


def _urls(filled: pl.Series) -> bool:
    return guesses.share(filled.str.contains(r"^\w+://")) > 0.5


def _length(filled: pl.Series) -> float:
    return float(filled.str.len_chars().mean() or 0)  # type: ignore[arg-type]
