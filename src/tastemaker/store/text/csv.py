"""CSV as people have it: which encoding, which delimiter, which records.

No record vanishes: what is read and what is refused together are the records of the file, counted from its
bytes. Quotes that are never closed are characters, not the begin of a cell that swallows the rows after it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from tastemaker.errors import InputError
from tastemaker.store.text.header import (
    MOST_ROWS,
    Text,
    as_utf8,
    double_colons,
    header,
    headless,
    is_data,
    is_frame,
    laid_out,
    single_quoted,
    without_preamble,
)
from tastemaker.store.text.packed import read_bytes
from tastemaker.store.text.quotes import LONGEST, Rows, mended, survey

_BLOCK = 64 << 20
_SAMPLE = 256 << 10
_TYPED = re.compile(r"^(.*):(token|token_seq|float|float_seq)$")


def read_csv(
    path: Path, encoding: str | None = None, numbers: Collection[str] = (), legal: Collection[str] = ()
) -> Text:
    """A table with a header line and one delimiter; every cell text, an empty one null. numbers: names of
    columns by their place ("1" is the first), of a table whose first line is data. legal: names (small
    letters and digits alone) of which a header bears one; a first line without any that looks like the lines
    after it is data, and "header" in `about` is False.

    Raises InputError when it is beyond the budgets, has no header, or names a column twice.
    """
    data, about = read_bytes(path)
    data, notes = as_utf8(data, path, encoding, about)
    data, layout = laid_out(data, bool(legal))
    notes += [layout] if layout else []
    data, double = double_colons(data)
    data, skipped = without_preamble(data)
    if skipped:
        notes.append(f"what stands before the header was left out ({skipped} line{'s' * (skipped > 1)})")
    single = about["encoding"] != "utf-8, in part" and single_quoted(data)
    data = data.replace(b"'", b'"') if single else data
    names, delimiter, start = header(data, path)
    if numbers and not layout and not is_frame(names):
        names, start = [str(place) for place in range(1, len(names) + 1)], 0
        about["header"] = False
        notes.append("the first line was read as data, as columns were given by number")
    elif legal and is_data(names, data[start : start + _SAMPLE], delimiter, legal):
        names, start = [str(place) for place in range(1, len(names) + 1)], 0
        about["header"] = False
        notes.append("the first line names no column: it was read as data, and columns are called 1, 2, ...")
    about |= {"format": "csv", "delimiter": "::" if double else delimiter}
    kinds: dict[str, str] = {}
    typed = [_TYPED.match(name) for name in names]
    if any(typed):  # the atomic files of RecBole, and columns that were added to them
        kinds = {match[1]: match[2] for match in typed if match}
        names = [match[1] if match else name for match, name in zip(typed, names, strict=True)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        remedy = headless(names) or "; rename one in the first line"
        raise InputError(f"{path}: two columns are called '{twice[0]}'{remedy}")
    table, rows, refused = _records(path, memoryview(data)[start:], names, delimiter, about, notes)
    if single:
        cells = [pa.compute.replace_substring(column, '"', "'") for column in table.columns]
        table = pa.table(cells, table.column_names)
    for name, kind in kinds.items():
        if kind.endswith("_seq"):
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.compute.split_pattern(table[name], " "))
    return Text(table, rows, refused, about, notes)


def _records(
    path: Path,
    body: bytes | memoryview,
    names: list[str],
    delimiter: str,
    about: dict[str, Any],
    notes: list[str],
) -> tuple[pa.Table, npt.NDArray[np.int64], list[tuple[int, str, str]]]:
    """The rows below the header, the number of each, and those that cannot be read."""
    rows_of = Rows.of(bytes(body[:_SAMPLE]), delimiter, len(names))
    outline = survey(body, rows_of)
    if not outline.sound:
        body, healed = mended(bytes(body), rows_of)
        outline = survey(body, rows_of)
        if healed:
            notes.append(
                f"{len(healed):,} quotes that are never closed were taken as characters (row"
                f" {', '.join(f'{row:,}' for row in healed[:3])}{', ...' if len(healed) > 3 else ''})"
            )
    if outline.longest > LONGEST:
        raise InputError(
            f"{path}: record {outline.longest_at + 1:,} is longer than {LONGEST >> 20} MiB; shorten it"
        )
    if outline.records > MOST_ROWS:
        raise InputError(f"{path}: more than {MOST_ROWS:,} rows; split the table")
    table, refused = _parsed(body, names, delimiter, valid=about["encoding"] != "utf-8, in part")
    if table.num_rows + len(refused) != outline.records:
        raise InputError(
            f"{path}: {outline.records:,} records, but only {table.num_rows + len(refused):,} can be read;"
            " check the quotes, or export the table as Parquet"
        )
    refused = [(row, column, f"{reason}; check quotes and delimiters") for row, column, reason in refused]
    rows = np.delete(np.arange(1, outline.records + 1), [row - 1 for row, _, _ in refused])
    table, rows = _without_headers(table, rows, refused)
    return _without_formulas(table, notes), rows, refused


def _parsed(
    body: bytes | memoryview, names: list[str], delimiter: str, valid: bool
) -> tuple[pa.Table, list[tuple[int, str, str]]]:
    """The rows of sound text, and those with too many or too few cells."""
    refused: list[tuple[int, str, str]] = []

    def refuse(row: Any) -> str:
        reason = f"the row has {row.actual_columns} columns and the header {row.expected_columns}"
        refused.append((row.number, "(whole row)", reason))
        return "skip"

    kind = pa.large_string() if valid else pa.large_binary()
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, kind), null_values=[""], strings_can_be_null=True
    )
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse)
    read = pa.csv.ReadOptions(use_threads=False, column_names=names, block_size=_BLOCK)
    try:
        stream = pa.BufferReader(pa.py_buffer(body))
        table = pa.csv.read_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise
        table = pa.table({name: pa.array([], kind) for name in names})
    return table, refused


def _without_headers(
    table: pa.Table, rows: npt.NDArray[np.int64], refused: list[tuple[int, str, str]]
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The table without rows that are the header once more, as files joined by hand have them."""
    again = np.ones(table.num_rows, dtype=bool)
    for name in table.column_names:
        if re.fullmatch(r"column_\d+", name) and table[name].null_count:
            continue  # a column without a name
        if again.any():
            column = table[name]
            value = pa.scalar(name.encode() if pa.types.is_large_binary(column.type) else name, column.type)
            if pa.types.is_large_string(column.type) and name == table.column_names[0]:
                column = pa.compute.utf8_ltrim(column, "\ufeff")  # of a file that was joined to another
            again &= pa.compute.equal(column, value).fill_null(False).to_numpy()
    if not again.any():
        return table, rows
    refused += [(int(row), "(whole row)", "the first line again; remove it") for row in rows[again]]
    return table.filter(pa.array(~again)), rows[~again]


def _without_formulas(table: pa.Table, notes: list[str]) -> pa.Table:
    """The table with `="007"`, as spreadsheets keep text from becoming a number, as 007."""
    for place, name in enumerate(table.column_names):
        cells = table[name]
        if (
            pa.types.is_large_string(cells.type)
            and pa.compute.any(pa.compute.starts_with(cells, '="')).as_py()
        ):
            bare = pa.compute.replace_substring_regex(cells, r'^="(.*)"$', r"\1")
            table = table.set_column(place, name, pa.compute.if_else(pa.compute.equal(bare, ""), None, bare))
            notes.append(f"cells of '{name}' are formulas of a spreadsheet: =\"007\" was read as 007")
    return table
