"""Tables that belong together: what one says is looked up for the rows of another, by a column of both."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.schema import values


def looked_up(table: pa.Table, others: Sequence[tuple[str, pa.Table]]) -> tuple[pa.Table, list[str]] | None:
    """`table` with the columns of the `others` (their names, and they), and notes of what was done; None
    where one shares no column alone with it, or not one that names each of its own rows once.

    Lines of orders so come to who ordered and what an article is called, in whatever order they are given.
    """
    notes = []
    left = list(others)
    while left:
        pair = next((pair for pair in left if _key(table, pair[1]) is not None), None)
        if pair is None:
            return None
        left.remove(pair)
        name, other = pair
        key = _key(table, other)
        ids = (values.as_text(source[key], str(key)).to_arrow() for source in (table, other))
        rows = pc.index_in(next(ids), value_set=next(ids))
        for column in other.column_names:
            if column != key:
                table = table.append_column(column, other[column].take(rows))
        lost = f"; {rows.null_count:,} rows found none" if rows.null_count else ""
        notes.append(f"what {name} says of each '{key}' was looked up for the rows that have it{lost}")
    return table, notes


def _key(table: pa.Table, other: pa.Table) -> str | None:
    """The one column that both have, where it names each row of the `other` once; else None."""
    shared = [column for column in other.column_names if column in table.column_names]
    once = len(shared) == 1 and not other[shared[0]].null_count
    return shared[0] if once and len(pc.unique(other[shared[0]])) == other.num_rows else None


def squeezed(name: str) -> str:
    """A column's name in small letters and digits alone."""
    return re.sub(r"[\W_]", "", name.lower())


def as_texts(table: pa.Table, tables: Sequence[pa.Table]) -> pa.Table:
    """A table where columns that are of other types in other `tables` are text."""
    for place, name in enumerate(table.column_names):
        kinds = {other.schema.field(name).type for other in tables if name in other.column_names}
        if len(kinds) > 1 and not any(map(pa.types.is_nested, kinds)):
            table = table.set_column(place, name, values.as_text(table[name], name).to_arrow())
    return table
