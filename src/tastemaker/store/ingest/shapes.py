"""Tables of another shape as rows of one person and one item, or of one item: records in a cell, several
items in a cell, a matrix of people by items, and properties of items that stand one a row. What was done is a
note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.types as pt

import tastemaker.store.ingest.columns as cols
import tastemaker.store.ingest.guesses as guesses
import tastemaker.store.ingest.layout as layout
from tastemaker.errors import InputError
from tastemaker.store.header import MOST_COLUMNS
from tastemaker.store.ingest.rows import IngestSettings
from tastemaker.store.tables import Source
from tastemaker.store.text import MOST_ROWS, as_column

_HEAD = 1_000  # rows from which a shape is told
_BETWEEN = r"[\s,;|\[\](){}'\"]+"  # what stands between the items of a cell
_LABEL = r"^(.+)-([01])$"  # an item that was shown, and whether it was clicked (the news of MIND)
_PROPERTY = ("property", "propertyname", "attribute", "attributename", "key", "field", "feature")
_VALUE = ("value", "val", "propertyvalue", "attributevalue")
_BARE = {"id", "name", "key", "type", "value", "title"}  # what they name is told by what holds them
_LISTS = frozenset(  # names of columns of several items
    [
        "items",
        "itemids",
        "itemid",
        "history",
        "sequence",
        "itemsequence",
        "interactions",
        "clicks",
        "plays",
        "products",
        "tracks",
        "songs",
        "movies",
        "books",
        "articles",
        "videos",
        "basket",
    ]
)
_MOST = 256  # properties that become columns, the commonest
ME = "me"  # the one person of a table that is about nobody else


def items_in_rows(source: Source, settings: IngestSettings) -> Source:
    """A table of items with one row an item: structures that play no part become columns of their own, and
    properties that stand one a row are laid beside each other.
    """
    present = source.table.column_names
    fit = cols.candidates(present, cols.ITEM_NAMES)
    ours = {settings.column("items", part) for part in cols.ITEM_NAMES}
    source = _unfolded(source, {column for names in fit.values() for column in names} | ours)
    named = settings.column("items", "item_id")
    ids = named if named is not None else next(iter(fit.get("item_id", ())), None)
    by_name = {cols.squeezed(name): name for name in reversed(present)}
    what, value = (next((by_name[n] for n in names if n in by_name), None) for names in (_PROPERTY, _VALUE))
    if what is None or value is None or ids is None or ids not in present:
        return source
    return _side_by_side(source, ids, what, value)


def events_in_rows(source: Source, settings: IngestSettings, known: pl.Series | None) -> Source:
    """A table of events with one row a person and item. known: the ids of the items, where they are given."""
    if settings.column("interactions", "user_id") == "":
        rest = [column for column in source.table.column_names if column != "user_id"]
        nobody = pa.array([ME] * source.table.num_rows, pa.string())
        note = f"all rows were taken for those of one person, '{ME}'"
        table = source.table.select(rest).append_column("user_id", nobody)
        source = replace(source, table=table, notes=(*source.notes, note))
    item = settings.column("interactions", "item_id")
    if not _has_items(source, item, known):
        source = _of_records(source)
    if known is not None and _has_items(source, item, known, least=0.5):
        return source
    return _of_lists(source, known) or (known is not None and _of_matrix(source, known)) or source


def _has_items(source: Source, named: str | None, known: pl.Series | None, least: float = 0.0) -> bool:
    """Whether a column holds an item a cell: the one that was named, or one of a known name, of whose cells
    more than the share `least` are `known`.
    """
    present = source.table.column_names
    fit = [named] if named else cols.candidates(present, cols.INTERACTION_NAMES).get("item_id", [])
    fit = [column for column in fit if column in present and _records(source, column, _HEAD) is None]
    if known is None or not source.table.num_rows:
        return bool(fit)
    return any(_share(guesses.ids_of(source, column, _HEAD), known) > least for column in fit)


def _share(ids: pl.Series, known: pl.Series) -> float:
    """The share of cells that are items."""
    return guesses.share(guesses.matched(ids.drop_nulls(), known).is_in(known.implode()))


# ---- records


def _records(source: Source, column: str, rows: int | None = None) -> list[Any] | None:
    """The cells of a column that holds nothing but structures, or nothing but lists of them; None for
    others.
    """
    cells = source.table.column(column).slice(0, rows)
    kind = cells.type
    inner = kind.value_type if pt.is_list(kind) or pt.is_large_list(kind) else kind
    if pt.is_string(kind) or pt.is_large_string(kind):
        filled = pl.Series(pl.from_arrow(cells)).drop_nulls()
        if filled.is_empty() or not filled.head(_HEAD).str.contains(r"^\s*(\{|\[\s*(\{|\]))").all():
            return None
        values = []
        for text in cells.to_pylist():
            try:
                values.append(None if text is None else json.loads(text))
            except (ValueError, RecursionError):
                return None
    elif pt.is_struct(inner):
        values = cells.to_pylist()
    else:
        return None
    kinds = {dict if isinstance(v, Mapping) else _listed(v) for v in values if v is not None and v != []}
    return values if kinds in ({dict}, {list}) else None


def _listed(value: Any) -> type | None:
    """`list` for a list of structures."""
    return list if isinstance(value, list) and all(isinstance(one, Mapping) for one in value) else None


def _columns(records: list[Mapping[str, Any]], parent: str, taken: set[str]) -> dict[str, pa.Array]:
    """The fields of structures as columns, called as they are or, where that name is taken or says
    nothing by itself, after the parent: the `id` of an `item` is its `item_id`.
    """
    names = dict.fromkeys(str(name) for record in records for name in record)
    if len(names) + len(taken) > MOST_COLUMNS:
        raise InputError(f"column '{parent}' holds {len(names):,} fields; drop some")
    one = parent[:-3] + "y" if parent.endswith("ies") else parent.removesuffix("s")
    return {
        f"{one}_{name}" if name in taken | _BARE else name: as_column(
            [record.get(name) for record in records]
        )
        for name in names
    }


def _unfolded(source: Source, but: set[Any]) -> Source:
    """The fields of structures as columns of the table; `but` some columns."""
    for column in source.table.column_names:
        records = None if column in but else _records(source, column)
        if records is None or any(isinstance(record, list) for record in records):
            continue
        rest = source.table.drop_columns([column])
        fields = _columns([record or {} for record in records], column, set(rest.column_names))
        for name, cells in fields.items():
            rest = rest.append_column(name, cells)
        note = f"'{column}' holds records: their fields were read as columns ({', '.join(list(fields)[:8])}"
        note += ", ...)" if len(fields) > 8 else ")"
        source = replace(source, table=rest, notes=(*source.notes, note))
    return source


def _of_records(source: Source) -> Source:
    """Structures as columns, and each of the records in the one column of lists of them as a row."""
    source = _unfolded(source, set())
    lists = {column: _records(source, column) for column in source.table.column_names}
    found = {column: cells for column, cells in lists.items() if cells is not None and any(cells)}
    if len(found) != 1:
        return source
    ((column, cells),) = found.items()
    rows = np.repeat(np.arange(len(cells)), [len(cell or ()) for cell in cells])
    source = _taken(source, rows, column, f"each of the records in '{column}' was read as a row")
    rest = source.table.drop_columns([column])
    records = [record for cell in cells for record in cell or ()]
    for name, values in _columns(records, column, set(rest.column_names)).items():
        rest = rest.append_column(name, values)
    return _unfolded(replace(source, table=rest), set())


def _taken(source: Source, rows: npt.NDArray[np.int64], column: str, note: str) -> Source:
    """The source with these rows, some of them several times or not at all, and a note of what was done."""
    before, n = source.table.num_rows, len(rows)
    if n > MOST_ROWS:
        raise InputError(
            f"{source.name}: {n:,} entries in '{column}', more than {MOST_ROWS:,}; split the table"
        )
    empty = before - len(np.unique(rows))
    told = f"{note}: {before:,} made {n:,}" + (f", {empty:,} held none" if empty and n >= before else "")
    return replace(
        source,
        table=source.table.take(pa.array(rows)),
        file_of=source.file_of[rows],
        rows=source.rows[rows],
        damaged={name: cells[rows] for name, cells in source.damaged.items()},
        notes=(*source.notes, told),
    )


# ---- several items in a cell


def _of_lists(source: Source, known: pl.Series | None) -> Source | None:
    """A row for each item where a column holds several in a cell, in their order; columns with as many
    entries in each cell are taken apart too. Items with -0 or -1 behind them were shown, or clicked. Without
    `known` ids, a column of several words that come back is one of items where its name says so.
    """
    shares, labelled = dict[str, float](), set[str]()
    for column in source.table.column_names:
        cells = _pieces(guesses.ids_of(source, column, _HEAD).drop_nulls())
        words = cells.explode().drop_nulls()
        if len(words) <= 1.5 * max(1, len(cells)):
            continue
        if known is None:
            named = cols.squeezed(column) in _LISTS
            shares[column] = guesses.share(words.is_duplicated()) if named else 0.0
            continue
        bare = words.str.replace(_LABEL, "$1")
        shares[column] = max(_share(words, known), _share(bare, known))
        if shares[column] > 2 * _share(words, known):
            labelled.add(column)
    fit = [column for column, part in shares.items() if part > 0.5]
    if not fit:
        return None
    chosen = max(fit, key=lambda column: (column in labelled, shares[column]))
    cells = _pieces(guesses.ids_of(source, chosen))
    counts = cells.list.len().fill_null(0)
    rows = np.repeat(np.arange(len(cells)), counts.to_numpy())
    beside = {chosen: cells}
    for column in source.table.column_names:
        if column != chosen and (counts > 1).any():
            other = _pieces(guesses.ids_of(source, column))
            if other.list.len().fill_null(0).equals(counts):
                beside[column] = other
    if source.about.get("header") is False:  # numbers of the rows are no people
        rest = [name for name in source.table.column_names if name not in beside]
        once = [name for name in rest if len(rest) > 1 and _distinct(source, name)]
        source = replace(source, table=source.table.drop_columns(once))
    source = _taken(source, rows, chosen, f"each of the items in '{chosen}' was read as a row")
    table = source.table
    for column, parts in beside.items():
        words = parts.filter(counts > 0).explode()
        if column in labelled:
            told = words.str.extract(_LABEL, 2).replace_strict({"1": "click", "0": "view"}, default=None)
            words = words.str.replace(_LABEL, "$1")
            if "kind" not in table.column_names:
                table = table.append_column("kind", told.to_arrow())
        table = table.set_column(table.column_names.index(column), column, words.to_arrow())
    if known is None and "item_id" not in table.column_names:
        table = table.rename_columns(["item_id" if name == chosen else name for name in table.column_names])
    return replace(source, table=table)


def _distinct(source: Source, column: str) -> bool:
    """Whether each cell of several stands once, and they are no moments."""
    cells = guesses.ids_of(source, column)
    once = len(cells) > 1 and cells.n_unique() == len(cells)
    times = layout.moments_of(source, column)
    return once and (times is None or times.n_unique() < len(times) / 2)


def _pieces(cells: pl.Series) -> pl.Series:
    """The words of each cell."""
    return cells.str.replace_all(_BETWEEN, " ").str.strip_chars().str.split(" ")


# ---- matrices


def _of_matrix(source: Source, known: pl.Series) -> Source | None:
    """A row for each filled cell of a matrix whose columns are items: what stands there is the rating, or
    that the person had it. Zeros are empty where they are most of the cells.
    """
    names = pl.Series(source.table.column_names, dtype=pl.String)
    if source.about.get("header") is False:
        return None
    items = names.filter(guesses.matched(names, known).is_in(known.implode())).to_list()
    if len(items) < max(2, len(names) / 2):
        return None
    rest = [name for name in names if name not in items]
    cells = pl.DataFrame(
        {name: guesses.ids_of(source, name).cast(pl.Float64, strict=False) for name in items}
    )
    values = cells.to_numpy()
    zeros = values == 0
    filled = ~np.isnan(values)
    if zeros.sum() > filled.sum() / 2:
        filled &= ~zeros
    rows, places = np.nonzero(filled)
    what = f"its columns are {len(items):,} items: each filled cell was read as a row"
    source = _taken(source, rows, "the matrix", what)
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


# ---- properties of items


def _side_by_side(source: Source, ids: str, what: str, value: str) -> Source:
    """One row an item, its properties as columns: the last that is said of each."""
    frame = pl.DataFrame(
        {
            name: guesses.ids_of(source, column)
            for name, column in (("id", ids), ("what", what), ("value", value))
        }
        | {"row": np.arange(source.table.num_rows)}
    ).drop_nulls(["id", "what"])
    if frame["id"].n_unique() > frame.height / 2 or frame["what"].n_unique() > frame.height / 2:
        return source
    counts = frame["what"].value_counts().sort("count", "what", descending=[True, False])
    commonest = counts["what"].head(_MOST)
    first = frame.group_by("id", maintain_order=True).agg(pl.col("row").first())
    told = frame.filter(pl.col("what").is_in(commonest.implode()))
    wide = told.pivot(on="what", index="id", values="value", aggregate_function="last")
    wide = first.join(wide, on="id", how="left", maintain_order="left")
    rows = wide["row"].to_numpy()
    more = frame["what"].n_unique() - len(commonest)
    note = f"properties that stand one a row ('{what}', '{value}') were read as columns of their item"
    source = _taken(source, rows, value, note + (f"; {more:,} rare ones were left out" if more else ""))
    columns = {ids: wide["id"]} | {name: wide[name] for name in commonest if name != ids}
    return replace(source, table=pl.DataFrame(columns).to_arrow())
