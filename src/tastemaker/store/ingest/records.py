"""Records in the cells of a table: fields become columns, each of several in a cell a row; with notes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

import tastemaker.store.ingest.columns as cols
import tastemaker.store.ingest.guesses as guesses
from tastemaker.errors import InputError
from tastemaker.store.ingest.words import literal
from tastemaker.store.tables import Source
from tastemaker.store.text import MOST_ROWS, as_column

_HEAD = 1_000  # rows from which a shape is told
_RECORDS = re.compile(r"\s*(\{\s*[\"}]|\[\s*(\{|\]|null))")  # how they begin
# What these fields name is told by what holds them: the amount of a price, the least of a salary.
_BARE = {
    *(
        "id",
        "name",
        "key",
        "type",
        "value",
        "title",
        "amount",
        "currency",
        "min",
        "max",
        "minimum",
        "maximum",
    ),
    *("from", "to", "low", "high", "lower", "upper", "avg", "average", "mean", "median", "count", "total"),
    *("start", "end", "unit"),
}
_MOST = 256  # fields that become columns, the commonest
_REPEATED = 1 << 30  # bytes of text that a column may hold once its cells are repeated


def records_of(source: Source, column: str, rows: int | None = None) -> list[Any] | None:
    """The cells of a column of nothing but structures, or nothing but lists of them; else None."""
    cells = source.table.column(column).slice(0, rows)
    kind = cells.type
    inner = kind.value_type if pt.is_list(kind) or pt.is_large_list(kind) else kind
    if pt.is_string(kind) or pt.is_large_string(kind):
        head = cells.slice(0, 50 * _HEAD).drop_null()  # the whole where that holds nothing
        filled = (head if len(head) else cells.drop_null()).slice(0, _HEAD).to_pylist()
        if not filled or not all(map(_RECORDS.match, filled)):
            return None
        values = [None if text is None else literal(text) for text in cells.to_pylist()]
    elif pt.is_struct(inner):
        values = cells.to_pylist()
    elif pt.is_map(kind):
        values = [
            None if cell is None else {str(key): value for key, value in cell} for cell in cells.to_pylist()
        ]
    else:
        return None
    kinds = {dict if isinstance(v, Mapping) else _listed(v) for v in values if v is not None and v != []}
    if kinds == {dict} or not kinds or None in kinds:
        return values if kinds == {dict} else None
    lists = [[v] if isinstance(v, Mapping) else v or () for v in values]  # one record may stand for a list
    return [[record for record in cell if record is not None] for cell in lists]


def _listed(value: Any) -> type | None:
    """`list` for a list of structures, some of which may be missing."""
    fit = isinstance(value, list) and all(isinstance(record, Mapping | None) for record in value)
    return list if fit else None


def _columns(records: list[Mapping[str, Any]], parent: str, taken: set[str]) -> dict[str, pa.Array]:
    """The fields of structures as columns, the commonest, called as they are or, where that name is taken or
    says nothing by itself, after the parent: the `id` of an `item` is its `item_id`.
    """
    counts = Counter(str(name) for record in records for name in record)
    most = {name for name, _ in counts.most_common(_MOST)}
    singular = parent[:-3] + "y" if parent.endswith("ies") else parent.removesuffix("s")
    return {
        f"{singular}_{name}" if name in taken | _BARE else name: as_column(
            [record.get(name) for record in records]
        )
        for name in counts
        if name in most
    }


def unfolded(source: Source, legal: Mapping[str, tuple[str, ...]], but: Collection[Any] = ()) -> Source:
    """The fields of structures as columns of the table; `but` some columns. A field plays none of the `legal`
    parts that a column of the table plays. Of events also those of lists that hold one structure at most and
    no item, as the channel of a video.
    """
    for column in source.table.column_names:
        records = None if column in but else records_of(source, column)
        if records is None or any(isinstance(record, list) and len(record) > 1 for record in records):
            continue
        if any(isinstance(record, list) for record in records):
            records = [record[0] if record else None for record in records]
            fields = _columns([record or {} for record in records[:_HEAD]], column, set())
            if legal is not cols.INTERACTION_NAMES or "item_id" in cols.candidates(fields, legal):
                continue
        rest = source.table.drop_columns([column])
        played = cols.candidates(rest.column_names, legal).keys()
        names = {str(name) for record in records for name in record or ()}
        taken = {name for name in names if cols.candidates([name], legal).keys() & played}
        fields = _columns([record or {} for record in records], column, taken | set(rest.column_names))
        for name, cells in fields.items():
            if name not in rest.column_names:
                rest = rest.append_column(name, cells)
        if not fields:
            source = replace(source, table=rest)
            continue
        note = f"'{column}' holds records: their fields were read as columns ({', '.join(list(fields)[:8])}"
        note += ", ...)" if len(fields) > 8 else ")"
        note += f"; {more:,} rare ones were left out" if (more := len(names) - len(fields)) else ""
        source = replace(source, table=rest, notes=(*source.notes, note))
    return source


def by_item(source: Source, known: pl.Series) -> Source:
    """Structures that say something of each of several items, {"i1": 4, "i2": 5}, as lists of records."""
    for place, column in enumerate(source.table.column_names):
        records = records_of(source, column)
        first = [record for record in records or () if record][:_HEAD]
        if not first or not all(isinstance(record, Mapping) for record in first):
            continue
        named = pl.Series([name for record in first for name in record], dtype=pl.String)
        if guesses.share_known(named, known) > 0.5:
            each = [
                [
                    {"item_id": name}
                    | (dict(entry) if isinstance(entry, Mapping) else {column.removesuffix("s"): entry})
                    for name, entry in (record or {}).items()
                ]
                for record in records or ()
            ]
            written = pa.array([json.dumps(cell, default=str) for cell in each], pa.large_string())
            source = replace(source, table=source.table.set_column(place, column, written))
    return source


def of_records(source: Source) -> Source:
    """Structures as columns, and each of the records in a column of lists of them as a row: in the one such
    column, or the one whose records name an item. What a record says goes before what holds it; a row without
    records that names an item by itself stays one.
    """
    source = unfolded(source, cols.INTERACTION_NAMES)
    lists = {column: records_of(source, column) for column in source.table.column_names}
    nested = {
        column: cells
        for column, cells in lists.items()
        if cells is not None and isinstance(next(filter(None, cells), None), list)
    }
    if len(nested) > 1:
        fields = {
            column: _columns([cell[0] for cell in cells[:_HEAD] if cell], column, set())
            for column, cells in nested.items()
        }
        parts = {column: cols.candidates(fields[column], cols.INTERACTION_NAMES) for column in nested}
        nested = {column: cells for column, cells in nested.items() if "item_id" in parts[column]}
    if len(nested) != 1:
        return source
    ((column, cells),) = nested.items()
    source = replace(source, table=source.table.drop_columns([column]))
    id_columns = cols.candidates(source.table.column_names, cols.INTERACTION_NAMES).get("item_id", [])
    single = source.table[id_columns[0]].is_valid().to_pylist() if id_columns else [False] * len(cells)
    each = [cell or [None] * alone for cell, alone in zip(cells, single, strict=True)]
    rows = np.repeat(np.arange(len(cells)), [len(cell) for cell in each])
    source = taken(source, rows, column, f"each of the records in '{column}' was read as a row")
    records: list[dict[str, Any] | None] = [record for cell in each for record in cell]
    columns = _columns([record or {} for record in records], column, set())
    rest = source.table.rename_columns(
        [f"{name} of all" if name in columns else name for name in source.table.column_names]
    )
    for name, cells_of in columns.items():
        if None in records and name in source.table.column_names:
            rows_of = zip(records, cells_of.to_pylist(), source.table[name].to_pylist(), strict=True)
            cells_of = as_column([outer if record is None else inner for record, inner, outer in rows_of])
        rest = rest.append_column(name, cells_of)
    return unfolded(replace(source, table=rest), cols.INTERACTION_NAMES)


def filled_down(source: Source) -> Source:
    """Cells that only the first of several rows about one thing has, as in orders with a line an item or
    products with a line a variant: the others have them, too. Rows about one thing stand together, and their
    first column says so.
    """
    names = source.table.column_names
    key = guesses.ids_of(source, names[0]) if names else pl.Series([], dtype=pl.String)
    begins = (key != key.shift(1)).fill_null(True)
    starts = begins.arg_true()
    if key.null_count() or not 1 < len(starts) < len(key) - 1 or key.gather(starts).n_unique() < len(starts):
        return source
    heads = (begins & ~begins.shift(-1, fill_value=True)).arg_true()  # of several rows
    columns = []
    for name in names[1:]:
        filled = pl.Series(source.table[name].is_valid().to_numpy())
        if not (filled & ~begins).any() and filled.gather(heads).sum() > 0.9 * len(heads):
            columns.append(name)
    if len(columns) < 2:
        return source
    first = pa.array(starts.gather(begins.cast(pl.Int64).cum_sum() - 1))
    table = source.table
    for name in columns:
        table = table.set_column(names.index(name), name, table[name].take(first))
    examples = ", ".join(map(repr, columns[:8])) + (", ..." if len(columns) > 8 else "")
    note = f"rows about one '{names[0]}' say {examples} once, in the first: it was read of all of them"
    return replace(source, table=table, notes=(*source.notes, note))


def taken(source: Source, rows: npt.NDArray[np.int64], column: str, note: str) -> Source:
    """The source with these rows, some of them several times or not at all, and a note of what was done."""
    before, n = source.table.num_rows, len(rows)
    if n > MOST_ROWS:
        raise InputError(
            f"{source.name}: {n:,} entries in '{column}', more than {MOST_ROWS:,}; split the table"
        )
    empty = before - len(np.unique(rows))
    message = f"{note}: {before:,} made {n:,}" + (f", {empty:,} held none" if empty and n >= before else "")
    long = [name for name in source.table.column_names if _repeated(source.table[name], rows) > _REPEATED]
    message += f"; {', '.join(map(repr, long))}, long texts, were left out" if long else ""
    return replace(
        source,
        table=source.table.drop_columns(long).take(pa.array(rows)),
        file_of=source.file_of[rows],
        rows=source.rows[rows],
        damaged={name: cells[rows] for name, cells in source.damaged.items()},
        notes=(*source.notes, message),
    )


def _repeated(cells: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> int:
    """Bytes of the cells of these rows, as far as they are of text."""
    if not (pt.is_string(cells.type) or pt.is_large_string(cells.type)) or not len(rows):
        return 0
    sizes = pc.fill_null(pc.binary_length(cells), 0).to_numpy().astype(np.int64)
    return int(sizes[rows].sum())
