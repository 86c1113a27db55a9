"""Text tables as people have them, CSV and JSON lines: which bytes, which encoding, which delimiter, which
records.

No record vanishes: what is read and what is refused together are the records of the file, counted from its
bytes alone. Quotes that are never closed are characters, not the begin of a cell that swallows the rows after
it.
"""

from __future__ import annotations

import ast
import codecs
import gzip
import json
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from tastemaker.errors import InputError
from tastemaker.store.header import (
    MOST_COLUMNS,
    as_utf8,
    double_colons,
    header,
    headless,
    is_data,
    is_frame,
    marked,
    sequences,
    without_preamble,
)
from tastemaker.store.quotes import LONGEST, Rows, mended, survey

# Budgets: what a table may cost before anything is done with it. docs/quickstart.md states them.
MOST_BYTES = 4 << 30  # after unpacking
MOST_TIMES = 100  # unpacked bytes for each packed one, beyond `FREE_BYTES`
FREE_BYTES = 64 << 20
MOST_ROWS = 100_000_000
_BLOCK = 64 << 20
_CHUNK = 32 << 20
_SAMPLE = 256 << 10
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.S)  # strings stay
_TRAILING = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])')
_TYPED = re.compile(r"^(.*):(token|token_seq|float|float_seq)$")


@dataclass
class Text:
    """What a text file was found to hold: its columns, the number of each row in the file (from 1), the rows
    that could not be read as (row, column, reason), how it is written, and what else the user should know.
    """

    table: pa.Table
    rows: npt.NDArray[np.int64]
    refused: list[tuple[int, str, str]]
    about: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_csv(
    path: Path, encoding: str | None = None, numbers: Collection[str] = (), legal: Collection[str] = ()
) -> Text:
    """A table with a header line and one delimiter; every cell text, an empty one null. numbers: names of
    columns by their place ("1" is the first), of a table whose first line is data. legal: names (small
    letters and digits alone) of which a header bears one; a first line without any that looks like the lines
    after it is data, and "header" in `about` is False.

    Raises InputError when it is beyond the budgets, has no header, or names a column twice.
    """
    data, about = _bytes(path)
    data, notes = as_utf8(data, path, encoding, about)
    listed = sequences(data) if legal else None
    data, double = double_colons(data if listed is None else listed)
    data, skipped = without_preamble(data)
    if skipped:
        notes.append(f"what stands before the header was left out ({skipped} line{'s' * (skipped > 1)})")
    names, delimiter, start = header(data, path)
    if listed is not None:
        names, start = ["user_id", "items"], 0
        notes.append("each line was read as a person and the items of that person, in their order")
    elif numbers and not is_frame(names):
        names, start = [str(place) for place in range(1, len(names) + 1)], 0
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
    body: bytes | memoryview = memoryview(data)[start:]
    rows_of = Rows.of(bytes(body[:_SAMPLE]), delimiter, len(names))
    found = survey(body, rows_of)
    if not found.sound:
        body, healed = mended(bytes(body), rows_of)
        found = survey(body, rows_of)
        if healed:
            notes.append(
                f"{len(healed):,} quotes that are never closed were taken as characters (row"
                f" {', '.join(f'{row:,}' for row in healed[:3])}{', ...' if len(healed) > 3 else ''})"
            )
    if found.longest > LONGEST:
        raise InputError(
            f"{path}: record {found.longest_at + 1:,} is longer than {LONGEST >> 20} MiB; shorten it"
        )
    if found.records > MOST_ROWS:
        raise InputError(f"{path}: more than {MOST_ROWS:,} rows; split the table")
    table, refused = _parsed(body, names, delimiter, valid=about["encoding"] != "utf-8, in part")
    if table.num_rows + len(refused) != found.records:
        raise InputError(
            f"{path}: {found.records:,} records, but only {table.num_rows + len(refused):,} can be read;"
            " check the quotes, or export the table as Parquet"
        )
    refused = [(row, column, f"{reason}; check quotes and delimiters") for row, column, reason in refused]
    rows = np.delete(np.arange(1, found.records + 1), [row - 1 for row, _, _ in refused])
    table, rows = _without_headers(table, rows, refused)
    table = _without_formulas(table, notes)
    for name, kind in kinds.items():
        if kind.endswith("_seq"):
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.compute.split_pattern(table[name], " "))
    return Text(table, rows, refused, about, notes)


def sniffed(path: Path) -> str:
    """What a file without a telling name holds by its first bytes: "csv", "json", "parquet", "arrow", or ""
    where it is no table that is read.
    """
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(path) as stream:
            head = stream.read(1 << 16)
    for mark, kind in ((b"PAR1", "parquet"), (b"ARROW1", "arrow")):
        if head.startswith(mark):
            return kind
    control = np.frombuffer(head, np.uint8)
    if marked(head) is None and ((control < 9) | ((control > 13) & (control < 27))).any():
        return ""
    return "json" if head.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:1] in (b"{", b"[") else "csv"


def read_json(path: Path, encoding: str | None = None) -> Text:
    """Objects, one a line, or a whole file of them (`_array`); columns in order of appearance.

    Raises InputError when the file is beyond the budgets.
    """
    data, about = _bytes(path)
    data, notes = as_utf8(data, path, encoding, about)
    about |= {"format": "json lines", "delimiter": None}
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    refused: list[tuple[int, str, str]] = []
    names: dict[str, None] = {}
    array, place = _array(data, path, notes)
    if array is not None:
        about["format"] = "json"
    if place:
        notes.append(f"the file is one JSON object; its rows were taken from {place}")
    for number, item in enumerate(_objects(data) if array is None else array, start=1):
        if isinstance(item, dict):
            records.append(item)
            rows.append(number)
            if not item.keys() <= names.keys():
                names |= dict.fromkeys(item)
                if len(names) > MOST_COLUMNS:
                    raise InputError(
                        f"{path}: more than {MOST_COLUMNS:,} columns by row {number:,}; drop some"
                    )
        else:
            refused.append((number, "(whole row)", item if array is None else "not an object"))
    if not data.strip():
        raise InputError(f"{path}: is empty; export the table again")
    if not records and refused:
        raise InputError(
            f"{path}: row 1 is {refused[0][2]}, nor is any other; give objects one a line, or one array of"
            " them, whole"
        )
    columns = {name: as_column([record.get(name) for record in records]) for name in names}
    table = pa.table(columns) if columns else pa.table({"(none)": pa.nulls(len(records))})
    return Text(table, np.array(rows, dtype=np.int64), refused, about, notes)


# ---- bytes


def _bytes(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the file, unpacked where it is a gzip, within the budgets."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if not packed:
        if path.name.lower().endswith(".gz"):
            raise InputError(f"{path}: cannot be read (not a gzip file); export the table again")
        if size > MOST_BYTES:
            raise InputError(
                f"{path}: larger than {MOST_BYTES >> 30} GiB; split the table, or export it as Parquet"
            )
        return path.read_bytes(), {"compressed": False}
    limit = min(MOST_BYTES, max(FREE_BYTES, MOST_TIMES * size))
    parts, total = [], 0
    with gzip.open(path) as stream:
        while part := stream.read(4 << 20):
            total += len(part)
            if total > limit:
                raise InputError(
                    f"{path}: unpacks to more than {limit >> 20:,} MiB, {limit // size} times its size;"
                    " tables do not; give the unpacked file if this one does"
                )
            parts.append(part)
    return b"".join(parts), {"compressed": True}


# ---- CSV


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


# ---- JSON


def _array(data: bytes, path: Path, notes: list[str]) -> tuple[list[Any] | None, str]:
    """The rows of a file that is one JSON value, and where they stand in it; None where it is no such value,
    as objects one a line.
    """
    begin = data.lstrip()[:1]
    first, _, rest = data.strip().partition(b"\n")
    if begin not in (b"[", b"{") or (begin == b"{" and rest and isinstance(_object(first), dict)):
        return None, ""
    try:
        value = json.loads(data)
    except RecursionError:
        return None, ""
    except ValueError:
        try:
            value = json.loads(_TRAILING.sub(r"\1", _COMMENT.sub(r"\1", data.decode())))
        except (ValueError, RecursionError):
            return None, ""
        notes.append("comments, and commas before a closing bracket, were left out: JSON has none")
    if isinstance(value, list):
        return (value if not value or any(isinstance(item, dict) for item in value) else None), ""
    return _within(value, path)


def _within(value: dict[str, Any], path: Path) -> tuple[list[Any] | None, str]:
    """The rows in an object, and where: the one array of objects in it, beside whatever else; objects by
    name, which becomes `id` where they have none; columns, as arrays of one length or as pandas writes them.
    """
    lists = {name: own for name, own in value.items() if isinstance(own, list) and own}
    arrays = [name for name, own in lists.items() if all(isinstance(item, dict) for item in own)]
    if len(arrays) == 1:
        return lists[arrays[0]], f"'{arrays[0]}'"
    if arrays:
        raise InputError(
            f"{path}: holds several tables ({', '.join(map(repr, arrays))}); give each in a file of its own"
        )
    names, rows = lists.get("columns"), lists.get("data")
    if names and rows and all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return [dict(zip(map(str, names), row, strict=True)) for row in rows], "'data'"
    if value and all(isinstance(own, dict) for own in value.values()):
        if len(value) == 1:
            return _within(next(iter(value.values())), path)
        if all(key.isdigit() for own in value.values() for key in own):
            keys = dict.fromkeys(key for own in value.values() for key in own)
            return [{name: own.get(key) for name, own in value.items()} for key in keys], "its columns"
        return [{"id": name} | own for name, own in value.items()], "its parts, by name"
    if len(lists) == len(value) > 1:
        size = {name: len(own) for name, own in lists.items()}
        longest, shortest = max(size, key=size.__getitem__), min(size, key=size.__getitem__)
        if size[longest] != size[shortest]:
            raise InputError(
                f"{path}: column '{shortest}' has {size[shortest]:,} values and '{longest}'"
                f" {size[longest]:,}; each row needs one"
            )
        return [
            dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
        ], "its columns"
    return None, ""


def _objects(data: bytes) -> Iterator[dict[str, Any] | str]:
    """The object of each line, or why it is none."""
    for line in data.split(b"\n"):
        if line.strip():
            yield _object(line)


def _object(line: bytes) -> dict[str, Any] | str:
    if len(line) > LONGEST:
        return f"longer than {LONGEST >> 20} MiB; shorten it"
    try:
        record = _record(line.decode(errors="surrogateescape"))
        if not isinstance(record, dict):
            raise ValueError("not an object")
        if b"\\u" in line:  # a lone surrogate is no text; a byte that is not UTF-8 costs its cell alone
            json.dumps(record, ensure_ascii=False).encode(errors="surrogateescape")
        "".join(record).encode()
    except (ValueError, TypeError, RecursionError) as error:
        return f"not one JSON object in UTF-8 on one line ({' '.join(str(error).split())[:200]})"
    return record


def _record(line: str) -> Any:
    """What a line of JSON says, or one of Python text, as the reviews of Amazon were first given."""
    try:
        return json.loads(line)
    except ValueError:
        if not re.match(r"\s*\{\s*u?'", line):
            raise
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of invalid escapes in Python text
                record = ast.literal_eval(line.strip())
            json.dumps(record)  # sets, bytes and complex numbers are no values of a table
            return record
        except (SyntaxError, TypeError, MemoryError) as error:
            raise ValueError(str(error)) from None


def _bare(value: Any) -> Any:
    """A value without the names of types around it: {"$date": {"$numberLong": "1"}} of MongoDB is "1", and
    {"S": "u1"} of DynamoDB "u1".
    """
    while (
        isinstance(value, dict) and len(value) == 1 and re.fullmatch(r"\$.*|S|N|BOOL|NULL", next(iter(value)))
    ):
        (value,) = value.values()
    return value


def as_column(values: list[Any]) -> pa.Array:
    """One Arrow column; values of mixed types become text, anything nested but a list of words JSON, and what
    MongoDB writes as {"$oid": "..."} the value itself. Where a text is not UTF-8, all are bytes.
    """
    values = [_bare(value) if isinstance(value, dict) else value for value in values]
    try:
        column = pa.array(values, from_pandas=False)
        if not pa.types.is_struct(column.type) and not pa.types.is_nested(
            getattr(column.type, "value_type", pa.null())
        ):
            return column
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        pass
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        raw = [None if text is None else text.encode(errors="surrogateescape") for text in texts]
        return pa.array(raw, pa.large_binary())
