"""Tables in and out: Parquet, CSV and JSON lines as people have them, with every row that cannot be read
named.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tastemaker import schema as schemas
from tastemaker.errors import ArtifactError, InputError
from tastemaker.store.files import replacing

_CSV = (".csv", ".tsv", ".txt")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_BLOCK = 64 << 20


@dataclass(frozen=True)
class Refusal:
    """One row that was not taken, and why. `row` counts data rows from 1, within `file`."""

    file: str
    row: int
    column: str
    reason: str

    def __str__(self) -> str:
        """One line for the user."""
        return f"{self.file}, row {self.row}, column '{self.column}': {self.reason}"


@dataclass(frozen=True)
class Source:
    """The readable rows of a file or folder, where each came from, and the rows that could not be read.

    `rows` (n,) int64 is each row's number in its file, `file_of` (n,) int64 the position of that file in
    `files`.
    """

    files: tuple[str, ...]
    table: pa.Table
    file_of: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    unreadable: tuple[Refusal, ...]

    @property
    def name(self) -> str:
        """What to call the whole in a message."""
        return self.files[0] if len(self.files) == 1 else f"{self.files[0]} and {len(self.files) - 1} more"


def read_any(path: Path | str) -> pa.Table:
    """The table in a Parquet, CSV or JSON lines file (these two also as .gz), or in a folder of Parquet
    files.

    CSV columns are read as text, so that ids keep their leading zeros.

    Raises
    ------
    InputError
        naming the first row that cannot be read; `read_source` reads around such rows.
    """
    source = read_source(Path(path))
    for refusal in source.unreadable:
        raise InputError(str(refusal))
    return source.table


def read_source(path: Path) -> Source:
    """As `read_any`, but rows that cannot be read are listed in `unreadable`.

    Raises
    ------
    InputError
        when the file is missing, empty, of another format, or damaged as a whole.
    """
    if path.is_dir():
        paths = sorted(
            one
            for one in path.rglob("*")
            if one.suffix.lower() in _PARQUET and not one.name.startswith((".", "_"))
        )
        if not paths:
            raise InputError(
                f"{path}: no Parquet file in this folder; give a file, or a folder of .parquet files"
            )
        return _joined([_read_one(one) for one in paths])
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    return _read_one(path)


def as_source(table: pa.Table, name: str) -> Source:
    """A table in memory as a source: rows numbered from 1, text that is not UTF-8 set apart."""
    return _decoded(table, name, np.arange(1, table.num_rows + 1), [])


def write_table(path: Path, table: pa.Table) -> None:
    """Replace the Parquet file at `path`, atomically.

    Raises
    ------
    ArtifactError
        when the disk is full or the path cannot be written; the old version is intact.
    """
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """A Parquet file that this program wrote, checked against `schema`.

    Raises
    ------
    ArtifactError
        when it is missing or damaged.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(
            f"{path}: missing or damaged ({_line(error)}); run the command that made it again"
        ) from None
    return table if schema is None else schemas.check(table, schema, str(path))


def _read_one(path: Path) -> Source:
    name, compressed = path.name.lower(), path.name.lower().endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    readers: dict[str, Callable[[Path, bool], Source]] = {}
    readers |= (
        dict.fromkeys(_CSV, _read_csv)
        | dict.fromkeys(_JSON, _read_json)
        | dict.fromkeys(_PARQUET, _read_parquet)
    )
    if suffix not in readers or (compressed and suffix in _PARQUET):
        raise InputError(
            f"{path}: this format is not read; export the table as Parquet, CSV or JSON lines"
            f" ({', '.join(readers)})"
        )
    try:
        return readers[suffix](path, compressed)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({_line(error)}); export the table again") from None


def _read_parquet(path: Path, compressed: bool) -> Source:
    table = pq.ParquetFile(path).read()
    return _decoded(table, str(path), np.arange(1, table.num_rows + 1), [])


def _read_csv(path: Path, compressed: bool) -> Source:
    names, delimiter = _csv_header(path, compressed)
    refused: list[Refusal] = []

    def refuse(row: Any) -> str:
        reason = (
            f"the row has {row.actual_columns} columns and the header {row.expected_columns}; check quotes"
            " and delimiters"
        )
        refused.append(Refusal(str(path), row.number - 1, "(whole row)", reason))
        return "skip"

    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()), null_values=[""], strings_can_be_null=True
    )
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse)
    read = pa.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1, block_size=_BLOCK)
    try:
        with pa.input_stream(path, compression="gzip" if compressed else None) as stream:
            table = pa.csv.read_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise
        table = pa.table({name: pa.array([], pa.binary()) for name in names})
    numbers = np.arange(1, table.num_rows + len(refused) + 1)
    return _decoded(table, str(path), np.setdiff1d(numbers, [one.row for one in refused]), refused)


def _csv_header(path: Path, compressed: bool) -> tuple[list[str], str]:
    """Column names and delimiter, from the first line."""
    with gzip.open(path) if compressed else path.open("rb") as stream:
        line = stream.readline(1 << 20).decode("utf-8-sig", errors="replace")
    if not line.strip():
        raise InputError(f"{path}: the first line is empty; it must name the columns")
    delimiter = "\t" if ".tsv" in path.name.lower() else max(",\t;|", key=line.count)
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error as error:
        raise InputError(
            f"{path}: the first line cannot be read ({error}); it must name the columns"
        ) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: two columns are called '{twice[0]}'; rename one in the first line")
    return names, delimiter


def _read_json(path: Path, compressed: bool) -> Source:
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    refused: list[Refusal] = []
    with gzip.open(path) if compressed else path.open("rb") as stream:
        for number, line in enumerate((one for one in stream if one.strip()), start=1):
            try:
                record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                json.dumps(record, ensure_ascii=False).encode()  # refuses lone surrogates
                if not isinstance(record, dict):
                    raise ValueError("not an object")
                records.append(record)
                rows.append(number)
            except (ValueError, RecursionError) as error:
                reason = f"not one JSON object in UTF-8 on one line ({_line(error)})"
                refused.append(Refusal(str(path), number, "(whole row)", reason))
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: _column([record.get(name) for record in records]) for name in names}
    table = pa.table(columns) if columns else pa.table({"(none)": pa.nulls(len(records))})
    return _decoded(table, str(path), np.array(rows, dtype=np.int64), refused)


def _column(values: list[Any]) -> pa.Array:
    """One Arrow column; values of mixed types become text, anything nested but a list of words JSON."""
    try:
        column = pa.array(values, from_pandas=False)
        if not pa.types.is_struct(column.type) and not pa.types.is_nested(
            getattr(column.type, "value_type", pa.null())
        ):
            return column
    except (pa.ArrowException, OverflowError):
        pass
    return pa.array(
        [
            one if one is None or isinstance(one, str) else json.dumps(one, ensure_ascii=False)
            for one in values
        ],
        pa.string(),
    )


def _decoded(table: pa.Table, name: str, rows: npt.NDArray[np.int64], refused: Iterable[Refusal]) -> Source:
    """Text columns as valid UTF-8; rows that are not are set apart, as is whatever was `refused` before."""
    unreadable, good = list(refused), np.ones(table.num_rows, dtype=bool)
    for index, field in enumerate(table.schema):
        text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        if not text and not pa.types.is_binary(field.type) and not pa.types.is_large_binary(field.type):
            continue
        column = table.column(index)
        raw = column.cast(pa.large_binary())
        try:
            decoded = raw.cast(pa.large_string())
        except pa.ArrowInvalid:
            values, bad = _decode_each(raw.to_pylist())
            reason = "the text is not UTF-8; save the file as UTF-8"
            unreadable += [
                Refusal(name, int(rows[at]), field.name, reason) for at in np.flatnonzero(bad & good)
            ]
            good &= ~bad
            decoded = pa.chunked_array([pa.array(values, pa.large_string())])
        table = table.set_column(index, field.name, decoded)
    kept = table if good.all() else table.filter(pa.array(good))
    unreadable.sort(key=lambda one: one.row)
    return Source((name,), kept, np.zeros(kept.num_rows, dtype=np.int64), rows[good], tuple(unreadable))


def _decode_each(raw: list[bytes | None]) -> tuple[list[str | None], npt.NDArray[np.bool_]]:
    values: list[str | None] = []
    bad = np.zeros(len(raw), dtype=bool)
    for at, one in enumerate(raw):
        try:
            values.append(None if one is None else one.decode())
        except UnicodeDecodeError:
            values.append(None)
            bad[at] = True
    return values, bad


def _joined(parts: list[Source]) -> Source:
    try:
        table = pa.concat_tables([part.table for part in parts], promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(
            f"{parts[0].name}: the files of this folder have different columns ({_line(error)})"
        ) from None
    return Source(
        tuple(part.files[0] for part in parts),
        table,
        np.repeat(np.arange(len(parts)), [part.table.num_rows for part in parts]),
        np.concatenate([part.rows for part in parts]),
        tuple(refusal for part in parts for refusal in part.unreadable),
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
