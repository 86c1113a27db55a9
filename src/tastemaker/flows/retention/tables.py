"""Reading a user's table with its types: CSV holds text, and a number written as text is a number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.errors import InputError
from tastemaker.schema.values import as_number, as_time
from tastemaker.store import read_any

IDS = ("user_id", "item_id", "request_id", "creator", "unit", "arm", "question")


def read_typed(path: Path, *, text: Sequence[str] = IDS, times: Sequence[str] = ("timestamp",)) -> pa.Table:
    """The table of `store.read_any` where columns of text that hold only numbers are numbers, true / false
    are 1 / 0, and `times` are moments in UTC; columns named in `text` stay text.

    Raises InputError naming file, row and column of a time that cannot be read.
    """
    table = read_any(path)
    for place, name in enumerate(table.column_names):
        column = table[name]
        if name in times:
            moments, wrong = as_time(column, name)
            if wrong.any():
                row = int(wrong.arg_max() or 0)
                raise InputError(
                    f"{path}: row {row + 1}, column '{name}' is '{column[row]}', no moment; write"
                    " 2025-01-31T12:00:00Z"
                )
            table = table.set_column(place, name, moments.to_arrow().cast(pa.timestamp("us", tz="UTC")))
        elif name in text:
            table = table.set_column(place, name, column.cast(pa.string()))
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            words = pc.utf8_lower(pc.utf8_trim_whitespace(column))
            switched = pc.case_when(
                pc.make_struct(pc.equal(words, "true"), pc.equal(words, "false")),
                pa.scalar("1"),
                pa.scalar("0"),
                words,
            )
            numbers, wrong = as_number(switched, name)
            if not wrong.any() and numbers.null_count() < len(numbers):
                table = table.set_column(place, name, numbers.to_arrow())
    return table
