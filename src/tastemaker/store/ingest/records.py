"""Records in the cells of a table: their fields as columns, and each of several in a cell as a row. What was
done is a note.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

import tastemaker.store.ingest.columns as cols
from tastemaker.errors import InputError
from tastemaker.store.ingest.words import literal
from tastemaker.store.tables import Source
from tastemaker.store.text import MOST_ROWS, as_column

_HEAD = 1_000  # rows from which a shape is told
_RECORDS = re.compile(r"\s*(\{\s*[\"}]|\[\s*(\{|\]|null))")  # how they begin
_BARE = {"id", "name", "key", "type", "value", "title"}  # what they name is told by what holds them
_MOST = 256  # fields that become columns, the commonest
_REPEATED = 1 << 30  # bytes of text that a column may hold once its cells are repeated


def records_of(source: Source, column: str, rows: int | None = None) -> list[Any] | None:
    """The cells of a column that holds nothing but structures, or nothing but lists of them; None for
    others.
    """
    cells = source.table.column(column).slice(0, rows)
    kind = cells.type
    inner = kind.value_type if pt.is_list(kind) or pt.is_large_list(kind) else kind
    if pt.is_string(kind) or pt.is_large_string(kind):
        filled = cells.drop_null().slice(0, _HEAD).to_pylist()
        if not filled or not all(map(_RECORDS.match, filled)):
            return None
        values = [None if text is None else literal(text) for text in cells.to_pylist()]
    elif pt.is_struct(inner):
        values = cells.to_pylist()
    else:
        return None
    kinds = {dict if isinstance(v, Mapping) else _listed(v) for v in values if v is not None and v != []}
    if kinds == {dict} or not kinds or None in kinds:
        return values if kinds == {dict} else None
    lists = [[v] if isinstance(v, Mapping) else v or () for v in values]  # one record may stand for a list
    return [[record for record in cell if record is not None] for cell in lists]


def _listed(value: Any) -> type | None:
    """`list` for a list of structures, some of which may be missing."""
    fit = isinstance(value, list) and all(isinstance(one, Mapping | None) for one in value)
    return list if fit else None


def _columns(records: list[Mapping[str, Any]], parent: str, taken: set[str]) -> dict[str, pa.Array]:
    """The fields of structures as columns, the commonest, called as they are or, where that name is taken or
    says nothing by itself, after the parent: the `id` of an `item` is its `item_id`.
    """
    counts = Counter(str(name) for record in records for name in record)
    most = {name for name, _ in counts.most_common(_MOST)}
    one = parent[:-3] + "y" if parent.endswith("ies") else parent.removesuffix("s")
    return {
        f"{one}_{name}" if name in taken | _BARE else name: as_column(
            [record.get(name) for record in records]
        )
        for name in counts
        if name in most
    }


def unfolded(source: Source, legal: Mapping[str, tuple[str, ...]], but: Collection[Any] = ()) -> Source:
    """The fields of structures as columns of the table; `but` some columns. A field plays none of the `legal`
    parts that a column of the table plays.
    """
    for column in source.table.column_names:
        records = None if column in but else records_of(source, column)
        if records is None or any(isinstance(record, list) for record in records):
            continue
        rest = source.table.drop_columns([column])
        played = cols.candidates(rest.column_names, legal).keys()
        names = {str(name) for record in records for name in record or ()}
        taken = {name for name in names if cols.candidates([name], legal).keys() & played}
        fields = _columns([record or {} for record in records], column, taken | set(rest.column_names))
        for name, cells in fields.items():
            if name not in rest.column_names:
                rest = rest.append_column(name, cells)
        note = f"'{column}' holds records: their fields were read as columns ({', '.join(list(fields)[:8])}"
        note += ", ...)" if len(fields) > 8 else ")"
        note += f"; {more:,} rare ones were left out" if (more := len(names) - len(fields)) else ""
        source = replace(source, table=rest, notes=(*source.notes, note))
    return source


def of_records(source: Source) -> Source:
    """Structures as columns, and each of the records in a column of lists of them as a row: in the one such
    column, or the one whose records name an item. What a record says goes before what holds it.
    """
    source = unfolded(source, cols.INTERACTION_NAMES)
    lists = {column: records_of(source, column) for column in source.table.column_names}
    found = {
        column: cells
        for column, cells in lists.items()
        if cells is not None and isinstance(next(filter(None, cells), None), list)
    }
    if len(found) > 1:
        fields = {
            column: _columns([cell[0] for cell in cells[:_HEAD] if cell], column, set())
            for column, cells in found.items()
        }
        told = [name for name in found if "item_id" in cols.candidates(fields[name], cols.INTERACTION_NAMES)]
        found = {column: found[column] for column in told}
    if len(found) != 1:
        return source
    ((column, cells),) = found.items()
    rows = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])
    source = replace(source, table=source.table.drop_columns([column]))
    source = taken(source, rows, column, f"each of the records in '{column}' was read as a row")
    fields = _columns([record for cell in cells for record in cell], column, set())
    rest = source.table.rename_columns(
        [f"{name} of all" if name in fields else name for name in source.table.column_names]
    )
    for name, values in fields.items():
        rest = rest.append_column(name, values)
    return unfolded(replace(source, table=rest), cols.INTERACTION_NAMES)


def taken(source: Source, rows: npt.NDArray[np.int64], column: str, note: str) -> Source:
    """The source with these rows, some of them several times or not at all, and a note of what was done."""
    before, n = source.table.num_rows, len(rows)
    if n > MOST_ROWS:
        raise InputError(
            f"{source.name}: {n:,} entries in '{column}', more than {MOST_ROWS:,}; split the table"
        )
    empty = before - len(np.unique(rows))
    told = f"{note}: {before:,} made {n:,}" + (f", {empty:,} held none" if empty and n >= before else "")
    long = [name for name in source.table.column_names if _repeated(source.table[name], rows) > _REPEATED]
    told += f"; {', '.join(map(repr, long))}, long texts, were left out" if long else ""
    return replace(
        source,
        table=source.table.drop_columns(long).take(pa.array(rows)),
        file_of=source.file_of[rows],
        rows=source.rows[rows],
        damaged={name: cells[rows] for name, cells in source.damaged.items()},
        notes=(*source.notes, told),
    )


def _repeated(cells: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> int:
    """Bytes of the cells of these rows, as far as they are of text."""
    if not (pt.is_string(cells.type) or pt.is_large_string(cells.type)) or not len(rows):
        return 0
    sizes = pc.fill_null(pc.binary_length(cells), 0).to_numpy().astype(np.int64)
    return int(sizes[rows].sum())
