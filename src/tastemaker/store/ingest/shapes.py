"""Tables of another shape as rows of one person and one item, or of one item: records in a cell, several
items in a cell, a matrix of people by items, and properties of items one a row. What was done is a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.types as pt

import tastemaker.store.ingest.columns as cols
import tastemaker.store.ingest.guesses as guesses
import tastemaker.store.ingest.layout as layout
from tastemaker.schema import KINDS, kind_named, values
from tastemaker.schema.moments import as_time
from tastemaker.store.ingest.records import by_item, filled_down, of_records, records_of, taken, unfolded
from tastemaker.store.ingest.rows import IngestSettings
from tastemaker.store.tables import Source

_HEAD = 1_000  # rows from which a shape is told
_LABEL = r"^(.+)-([01])$"  # an item that was shown, and whether it was clicked (the news of MIND)
_PROPERTY = ("property", "propertyname", "attribute", "attributename", "key", "field", "feature")
_VALUE = ("value", "val", "propertyvalue", "attributevalue")
_MOST = 256  # properties that become columns, the commonest
_DEEPEST = 3  # lists of records in each other
# What stands behind the kind in names of columns of items
_ITEM_WORDS = (
    r"[\W_]*(items?|products?|tracks?|songs?|movies?|films?|books?|articles?|videos?)?[\W_]*(ids?)?$"
)
ME = "me"  # the one person of a table that is about nobody else


def items_in_rows(source: Source, settings: IngestSettings) -> Source:
    """A table of items with one row an item: structures that play no part become columns of their own, and
    properties that stand one a row are laid beside each other.
    """
    present = source.table.column_names
    fit = cols.candidates(present, cols.ITEM_NAMES)
    ours = {settings.column("items", part) for part in cols.ITEM_NAMES}
    source = filled_down(source)
    but = {column for names in fit.values() for column in names} | ours
    but -= {column for column in but if column and "title" not in fit and _whole_items(source, column)}
    source = unfolded(source, cols.ITEM_NAMES, but)
    named = settings.column("items", "item_id")
    ids = named if named is not None else next(iter(fit.get("item_id", ())), None)
    by_name = {cols.squeezed(name): name for name in reversed(present)}
    what, value = (next((by_name[n] for n in names if n in by_name), None) for names in (_PROPERTY, _VALUE))
    if what is None or value is None or ids is None or ids not in present:
        return source
    return _side_by_side(source, ids, what, value)


def _whole_items(source: Source, column: str) -> bool:
    """Whether a column holds all that is said of an item, title included, as JSON:API has it under
    `attributes`: more than the name of one attribute.
    """
    records = records_of(source, column) if column in source.table.column_names else None
    first = next((record for record in records or () if record), None)
    return (
        isinstance(first, Mapping) and len(first) > 2 and "title" in cols.candidates(first, cols.ITEM_NAMES)
    )


def events_in_rows(source: Source, settings: IngestSettings, known: pl.Series | None) -> Source:
    """A table of events with one row a person and item. known: the ids of the items, where they are given."""
    if settings.column("interactions", "user_id") == "":
        rest = [column for column in source.table.column_names if column != "user_id"]
        nobody = pa.array([ME] * source.table.num_rows, pa.string())
        note = f"all rows were taken for those of one person, '{ME}'"
        table = source.table.select(rest).append_column("user_id", nobody)
        source = replace(source, table=table, notes=(*source.notes, note))
    else:
        source = _people(source, settings)
    source = filled_down(source)
    if settings.column("interactions", "timestamp") is None:
        source = layout.dated(source)
    item = settings.column("interactions", "item_id")
    if (
        known is not None
        and not _has_items(source, item, known, 0.5)
        and (matrix := _of_matrix(source, known))
    ):
        return matrix
    if known is not None and not _has_items(source, item, known):
        source = by_item(source, known)
    for _ in range(_DEEPEST):
        if not _has_items(source, item, known):
            source = of_records(source)
    source = _people(unfolded(source, cols.INTERACTION_NAMES), settings)
    if not _has_items(source, item, known):
        source = _of_kinds(_of_numbered(source, known), known)
    if known is not None and _has_items(source, item, known, least=0.5):
        return source
    return (
        _of_lists(source, item, known)
        or (None if known is not None or _has_items(source, item, known) else _of_matrix(source, None))
        or source
    )


def _has_items(source: Source, named: str | None, known: pl.Series | None, least: float = 0.0) -> bool:
    """Whether a column (named, or of a known name) holds an item a cell: more than `least` are `known`."""
    fit = [column for column in _items(source, named) if records_of(source, column, _HEAD) is None]
    if known is None or not source.table.num_rows:
        return bool(fit)
    return any(_share(guesses.ids_of(source, column, _HEAD), known) > least for column in fit)


def _items(source: Source, named: str | None) -> list[str]:
    """The column of items that was named, or those that bear a known name."""
    present = source.table.column_names
    fit = [named] if named else cols.candidates(present, cols.INTERACTION_NAMES).get("item_id", [])
    return [column for column in fit if column in present]


def _share(ids: pl.Series, known: pl.Series) -> float:
    """The share of cells that are items."""
    return guesses.share(guesses.matched(ids.drop_nulls(), known).is_in(known.implode()))


def _people(source: Source, settings: IngestSettings) -> Source:
    """People without an id of one column as another has them: as the one whose id stands beside that
    elsewhere, else under it (the visitor who has not signed in). As it is where a column was named.
    """
    if settings.column("interactions", "user_id") is not None:
        return source
    fit = cols.candidates(source.table.column_names, cols.INTERACTION_NAMES).get("user_id", [])
    cells = {column: guesses.ids_of(source, column) for column in fit}
    cells = {column: ids.set(ids.is_in(list(values.NULL_WORDS)), None) for column, ids in cells.items()}
    cells = {column: ids for column, ids in cells.items() if ids.null_count() < len(ids)}
    if len(cells) < 2:
        return source
    (column, ids), (other, theirs) = list(cells.items())[:2]
    missing = int((ids.is_null() & theirs.is_not_null()).sum())
    if not missing:
        return source
    pairs = pl.DataFrame({"other": theirs, "id": ids}).drop_nulls().unique()
    pairs = pairs.filter(~pl.col("other").is_duplicated())
    named = theirs.replace_strict(pairs["other"], pairs["id"], default=None) if pairs.height else None
    people = ids if named is None else ids.fill_null(named)
    alone = int((people.is_null() & theirs.is_not_null()).sum())
    note = f"{missing:,} rows without '{column}' are of whom '{other}' stands beside elsewhere, or (in"
    note += f" {alone:,}) of a person of its own"
    place = source.table.column_names.index(column)
    table = source.table.set_column(place, column, people.fill_null(theirs).to_arrow())
    return replace(source, table=table, notes=(*source.notes, note))


# ---- several items in a cell, or in several


def _of_numbered(source: Source, known: pl.Series | None) -> Source:
    """Columns of one name but for a number (`item_1`; `Item #1 SKU`) as lists in one, if of items."""
    groups: dict[str, list[str]] = {}
    for name in source.table.column_names:
        bare = re.sub(r"[\W_]*\d+[\W_]*", " ", name).strip()
        if bare not in ("", name):
            groups.setdefault(bare, []).append(name)
    for bare, own in groups.items():
        if len(own) < 2 or known is None or bare in source.table.column_names:
            continue
        if _share(pl.concat([guesses.ids_of(source, name, _HEAD) for name in own]), known) <= 0.5:
            continue
        together = {b: names for b, names in groups.items() if len(names) == len(own)}
        lists = {
            b: pl.DataFrame({n: guesses.ids_of(source, n).fill_null("") for n in names}).select(
                pl.concat_list(pl.all())
            )
            for b, names in together.items()
        }
        table = source.table.drop_columns([name for names in together.values() for name in names])
        for b, cells in lists.items():
            table = table.append_column(b, cells.to_series().to_arrow())
        note = (
            f"{len(own)} numbered columns ({', '.join(map(repr, own[:3]))}, ...) were read as a list of items"
        )
        return replace(source, table=table, notes=(*source.notes, note))
    return source


def _of_kinds(source: Source, known: pl.Series | None) -> Source:
    """Columns of items whose names say what was done (`liked_items`, `disliked_items`) as rows of a kind."""
    kinds, entries = dict[str, str](), dict[str, pl.Series]()
    for name in source.table.column_names:
        bare = re.sub(_ITEM_WORDS, "", name, flags=re.I)
        kind = kind_named(bare) or kind_named(name)
        if kind is None or (known is None and bare == name):
            continue
        each = [guesses.entries_of(source, name, mark) for mark in guesses.MARKS]
        best = max(each, key=lambda cells: 0 if known is None else _share(cells.head(_HEAD).explode(), known))
        if known is None or _share(best.head(_HEAD).explode(), known) > 0.5:
            kinds[name], entries[name] = kind.name, best
    rest = source.table.drop_columns(list(kinds))
    several = any(guesses.several(source, name) for name in kinds)
    enough = len(kinds) > 1 or any(
        KINDS[kind].sign < 0 for kind in kinds.values()
    )  # else lists of wishes alone
    if not several or not enough or {"kind", "items"} & set(rest.column_names):
        return source
    if known is not None and guesses.likely_items(replace(source, table=rest), known):
        return source  # what was shown beside an item
    parts = [
        rest.append_column("items", entries[name].to_arrow()).append_column(
            "kind", pa.array([kind] * rest.num_rows, pa.large_string())
        )
        for name, kind in kinds.items()
    ]
    columns = ", ".join(f"'{name}' as {kind}" for name, kind in kinds.items())
    rows = np.tile(np.arange(rest.num_rows), len(kinds))
    return replace(
        source,
        table=pa.concat_tables(parts, promote_options="permissive"),
        file_of=source.file_of[rows],
        rows=source.rows[rows],
        damaged={},
        notes=(*source.notes, f"columns of items were read as what people did with them: {columns}"),
    )


def _of_lists(source: Source, named: str | None, known: pl.Series | None) -> Source | None:
    """A row for each item where a column holds several in a cell, in their order; columns with as many
    entries in each cell are taken apart too. Items with -0 or -1 behind them were shown, or clicked.
    """
    choice = _list_of_items(source, named, known)
    if choice is None:
        return None
    chosen, mark, labelled = choice
    cells = guesses.entries_of(source, chosen, mark)
    counts = cells.list.len().fill_null(0)
    lists = {chosen: cells}
    for column in source.table.column_names if (counts > 1).any() else ():
        whole = (
            column == chosen or layout.moments_of(source, column) is not None
        )  # no two in "2023-05-10 10:00"
        for other in (guesses.entries_of(source, column, between) for between in guesses.MARKS if not whole):
            if column not in lists and other.list.len().fill_null(0).equals(counts):
                lists[column] = other
    if source.about.get("header") is False:  # numbers of the rows are no people
        rest = [name for name in source.table.column_names if name not in lists]
        once = [name for name in rest if len(rest) > 1 and _distinct(source, name)]
        source = replace(source, table=source.table.drop_columns(once))
    filled = (cells.filter(counts > 0).explode().str.strip_chars() != "").fill_null(False)
    rows = np.repeat(np.arange(len(cells)), counts.to_numpy())[filled.to_numpy()]
    note = f"each of the items in '{chosen}' was read as a row"
    note += f" ({nothing:,} entries are empty)" if (nothing := len(filled) - len(rows)) else ""
    order = source.table.column_names
    bare = source.table.drop_columns([name for name in order if name in lists])
    source = taken(replace(source, table=bare), rows, chosen, note)
    columns = dict(zip(source.table.column_names, source.table.columns, strict=True))
    for column, parts in lists.items():
        words = parts.filter(counts > 0).explode().filter(filled)
        if column == chosen and labelled:
            labels = words.str.extract(_LABEL, 2).replace_strict({"1": "click", "0": "view"}, default=None)
            words = words.str.replace(_LABEL, "$1")
            columns.setdefault("kind", labels.to_arrow())
        columns[column] = words.to_arrow()
    names = [name for name in dict.fromkeys((*order, *columns)) if name in columns]
    ours = known is None and named is None and "item_id" not in names
    table = {"item_id" if ours and name == chosen else name: columns[name] for name in names}
    return replace(source, table=pa.table(table))


def _list_of_items(
    source: Source, named: str | None, known: pl.Series | None
) -> tuple[str, str, bool] | None:
    """The column that holds several items in a cell, what stands between them, and whether each says that it
    was clicked or not. Without `known` ids it is one of words that come back whose name says so.

    A column that holds an item a cell, by its name or by what it holds, goes before all others: those tell
    what else was shown, bought or written.
    """
    columns = _items(source, named)
    if known is not None and not any(_share(guesses.ids_of(source, name, _HEAD), known) for name in columns):
        if columns and not any(guesses.several(source, name) for name in columns):
            return None  # of another catalogue: that is said, and no other column taken
        columns = [named] if named else []
    shares, held = dict[tuple[str, str, bool], float](), dict[tuple[str, str, bool], int]()
    for column in columns or source.table.column_names:
        says = column == named or cols.squeezed(column) in cols.LISTS
        if not guesses.several(source, column):
            continue
        for mark in guesses.MARKS if says or known is not None else ():
            cells = guesses.entries_of(source, column, mark, _HEAD).drop_nulls()
            words = cells.explode().drop_nulls()
            if len(words) <= 1.5 * max(1, len(cells)) and not pt.is_nested(source.table[column].type):
                continue
            if known is None:
                prose = mark == guesses.MARKS[-1] and guesses.share(words.str.contains(r"\d")) < 0.9
                few = words.n_unique() < len(words) / 50  # labels, such as the service that was used
                shares[column, mark, False] = guesses.share(words.is_duplicated()) * (not prose and not few)
                continue
            plain = _share(words, known)
            bare = words.str.replace(_LABEL, "$1")
            labelled = _share(bare, known) > 2 * plain
            shares[column, mark, labelled] = _share(bare, known) if labelled else plain
            held[column, mark, labelled] = words.n_unique()
    fit = [key for key, part in shares.items() if part > 0.5]
    if not fit:
        return None
    best = max(fit, key=lambda key: (key[2], shares[key]))
    other = None if columns or known is None or best[2] else guesses.likely_items(source, known)
    if other is not None and other[0] != best[0]:
        single = guesses.ids_of(source, other[0], _HEAD).drop_nulls()
        if single.n_unique() < len(single) and held[best] <= 2 * single.n_unique():
            return None
    return best


def _distinct(source: Source, column: str) -> bool:
    """Whether each cell of several stands once, and they are no moments."""
    cells = guesses.ids_of(source, column)
    once = len(cells) > 1 and cells.n_unique() == len(cells)
    times = layout.moments_of(source, column)
    return once and (times is None or times.n_unique() < len(times) / 2)


# ---- matrices


def _of_matrix(source: Source, known: pl.Series | None) -> Source | None:
    """A row for each filled cell of a matrix whose columns are items: what stands there is the rating, or
    that the person had it. Zeros are empty where they are most of the cells. Without `known` ids of items
    these are all columns but the first, if they are many, hold numbers alone, and half of the cells nothing.
    """
    names = pl.Series(source.table.column_names, dtype=pl.String)
    if source.about.get("header") is False:
        return None
    if known is None:
        rest = source.table.column_names[1:]
        items = rest if guesses.numeric(source, rest) else []
    else:
        items = names.filter(guesses.matched(names, known).is_in(known.implode())).to_list()
    if len(items) < max(2, len(names) / 2):
        return None
    rest = [name for name in names if name not in items]
    values = pl.DataFrame({name: _numbers(guesses.ids_of(source, name)) for name in items}).to_numpy()
    marked = np.isposinf(values)
    if marked.all(where=~np.isnan(values)):  # marks alone, such as x
        values = np.where(marked, 1.0, values)
    filled = np.isfinite(values)
    none = guesses.stand_in(pl.Series(values[filled]))
    if none is not None:
        filled &= values != none
    zeros = values == 0
    if zeros.sum() > filled.sum() / 2:
        filled &= ~zeros
    rows, places = np.nonzero(filled)
    if not len(rows) or (known is None and len(rows) > filled.size / 2):
        return None
    what = f"its columns are {len(items):,} items: each filled cell was read as a row"
    lost = int(np.isposinf(values).sum())
    what += f" ({lost:,} that hold no number were left out)" if lost else ""
    what += f"; {none:g}, far from all others, was read as empty" if none is not None else ""
    source = replace(source, table=source.table.select(rest or items[:1]))  # not the matrix again in each row
    source = taken(source, rows, "the matrix", what)
    table = source.table.select(rest)
    if not rest:
        table = pa.table({"user_id": [f"row {row}" for row in source.rows]})
    elif "user_id" not in cols.candidates(rest, cols.INTERACTION_NAMES) and not guesses.likely_people(
        replace(source, table=table)
    ):
        table = table.rename_columns(["user_id", *rest[1:]])
    table = table.append_column("item_id", pl.Series(items)[places].to_arrow())
    ratings = values[rows, places]
    if not (ratings == 1).all():
        table = table.append_column("rating", pa.array(ratings))
    return replace(source, table=table)


def _numbers(cells: pl.Series) -> pl.Series:
    """The numbers in cells, yes as 1 and no as 0; what else stands there is infinite."""
    numbers = cells.cast(pl.Float64, strict=False)
    if numbers.null_count() == cells.null_count():
        return numbers
    lower = cells.str.to_lowercase()
    numbers = numbers.set(lower.is_in(cols.YES).fill_null(False), 1.0)
    numbers = numbers.set(lower.is_in(cols.NO).fill_null(False), 0.0)
    return numbers.set(numbers.is_null() & cells.is_not_null(), float("inf"))


# ---- properties of items


def _side_by_side(source: Source, ids: str, what: str, value: str) -> Source:
    """One row an item, its properties as columns: the last that is said of each, by time where it stands."""
    frame = pl.DataFrame(
        {
            name: guesses.ids_of(source, column)
            for name, column in (("id", ids), ("what", what), ("value", value))
        }
        | {"row": np.arange(source.table.num_rows)}
    ).drop_nulls(["id", "what"])
    if frame["id"].n_unique() > frame.height / 2 or frame["what"].n_unique() > frame.height / 2:
        return source
    first = frame.group_by("id", maintain_order=True).agg(pl.col("row").first())
    timed = cols.candidates(source.table.column_names, {"timestamp": cols.INTERACTION_NAMES["timestamp"]})
    for name in timed.get("timestamp", ())[:1]:
        times = as_time(source.table[name], name)[0].gather(frame["row"])
        frame = frame.with_columns(when=times).sort("when", maintain_order=True)
    counts = frame["what"].value_counts().sort("count", "what", descending=[True, False])
    commonest = counts["what"].head(_MOST)
    common = frame.filter(pl.col("what").is_in(commonest.implode()))
    wide = common.pivot(on="what", index="id", values="value", aggregate_function="last")
    wide = first.join(wide, on="id", how="left", maintain_order="left")
    rows = wide["row"].to_numpy()
    more = frame["what"].n_unique() - len(commonest)
    alike = []
    for name in source.table.column_names:
        if name not in (ids, what, value):
            pairs = pl.DataFrame({"id": guesses.ids_of(source, ids), "said": guesses.ids_of(source, name)})
            if pairs.drop_nulls("id").unique().height == first.height:
                alike.append(name)
    note = f"properties that stand one a row ('{what}', '{value}') were read as columns of their item"
    source = taken(source, rows, value, note + (f"; {more:,} rare ones were left out" if more else ""))
    columns = {ids: wide["id"]} | {name: wide[name] for name in commonest if name != ids}
    table = pl.DataFrame(columns).to_arrow()
    for name in source.table.column_names:  # what all rows of an item say alike
        if name not in table.column_names and name in alike:
            table = table.append_column(name, source.table[name])
    return replace(source, table=table)
