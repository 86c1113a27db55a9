"""Tables in and out: Parquet, CSV and JSON lines as people have them; every unreadable row is named."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import tastemaker.schema as schemas
import tastemaker.schema.columns as columns
import tastemaker.store.text as text
from tastemaker.errors import ArtifactError, InputError, many
from tastemaker.schema import values
from tastemaker.store.files import replacing
from tastemaker.store.lookup import as_texts, looked_up, squeezed
from tastemaker.store.remote import origin

_CSV = (".csv", ".tsv", ".txt", ".inter", ".item", ".user")
_JSON = (".jsonl", ".ndjson", ".json")
_ARCHIVES = (".zst", ".7z", ".tar", ".tgz", ".tbz2", ".txz", ".rar", ".lz4")
_PACKED = (b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")  # as they begin
_DOCUMENTS = (b"<!doctype", b"<html", b"<?xml", b"%pdf", b"{\\rtf")
_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather")
NOT_UTF8 = "the text is not UTF-8; save the file as UTF-8"
IDS = ("user_id", "item_id", "request_id", "creator", "unit", "arm", "question")
_log = logging.getLogger("tastemaker")


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
    `files`. damaged: column -> (n,) which of its cells are text that is not UTF-8, and so are null. about:
    format, encoding, delimiter, compressed. notes: what else the user should know. rivals: part -> the
    columns of a table without a header that could have played it too.
    """

    files: tuple[str, ...]
    table: pa.Table
    file_of: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    unreadable: tuple[Refusal, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    damaged: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    rivals: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call the whole in a message."""
        return self.files[0] if len(self.files) == 1 else f"{self.files[0]} and {len(self.files) - 1} more"


def read_any(path: Path | str) -> pa.Table:
    """The table in a Parquet, CSV or JSON lines file (these two also packed), or a folder of Parquet files.

    CSV columns are read as text, so that ids keep their leading zeros. What had to be guessed about the text
    is logged as a warning, which Python prints on stderr.

    Raises InputError naming the first row that cannot be read; `read_source` reads around such rows.
    """
    source = read_source(Path(path))
    for refusal in source.unreadable:
        raise InputError(str(refusal))
    for column, cells in source.damaged.items():
        at = int(np.argmax(cells))
        file, row = source.files[source.file_of[at]], int(source.rows[at])
        raise InputError(str(Refusal(file, row, column, NOT_UTF8)))
    for note in source.notes:
        _log.warning("%s: %s", path, note)
    return source.table


def read_typed(path: Path, *, text: Sequence[str] = IDS, times: Sequence[str] = ("timestamp",)) -> pa.Table:
    """The table of `read_any` where columns of text that hold only numbers are numbers, true / false are 1 /
    0, and `times` are moments in UTC; columns named in `text` are ids.

    Raises InputError naming file, row and column of a time that cannot be read, or that no log can carry.
    """
    table = read_any(path)
    for place, name in enumerate(table.column_names):
        column = table[name]
        if name in times:
            moments = columns.times(table, name, str(path), nulls=True)
            columns.in_our_time(moments, name, str(path))
            table = table.set_column(place, name, moments)
        elif name in text:
            _name_blanks(column, name, path)
            table = table.set_column(place, name, columns.texts(table, name, str(path), nulls=True))
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            numbers, wrong = values.as_number(column, name)
            if wrong.any():
                empty = pc.is_in(
                    pc.utf8_trim_whitespace(column), pa.array(sorted(values.NULL_WORDS), column.type)
                )
                numbers, wrong = values.as_number(pc.if_else(empty, None, column), name)
                if not wrong.any() and numbers.null_count() < len(numbers):
                    cells = many(pc.sum(empty).as_py(), "cell is", "cells are")
                    detail = f"read as empty ('{column.filter(empty)[0]}')"
                    _log.warning("%s: column '%s': %s %s", path, name, cells, detail)
            if not wrong.any() and numbers.null_count() < len(numbers):
                table = table.set_column(place, name, numbers.to_arrow())
    return table


def _name_blanks(column: pa.ChunkedArray, name: str, path: Path) -> None:
    """Warn of ids with blanks around them, or characters that nobody sees, which are read without."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        ids = values.series_of(column, name)
        padded = (ids != values.seen(ids)).fill_null(False)
        if padded.any():
            first = ascii(ids.filter(padded)[0])
            text = f"{many(int(padded.sum()), 'cell has', 'cells have')} blanks around them, or characters"
            text += f" that nobody sees (the first is {first})"
            _log.warning("%s: column '%s': %s; they are read without", path, name, text)


def read_source(
    path: Path, encoding: str | None = None, numbers: Collection[str] = (), legal: Collection[str] = ()
) -> Source:
    """As `read_any`, but rows that cannot be read are listed in `unreadable`, and cells that are not UTF-8 in
    `damaged`. encoding: of a text file, instead of a guess. numbers, legal: see `store.text.read_csv`.

    Raises InputError when the file is missing, empty, of another format, beyond the budgets of `store.text`,
    or damaged as a whole.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.name[0] not in "._")
        formats = (_PARQUET, _ARROW, _CSV, _JSON)
        kinds = [[file for file in files if _suffix(file) in names] for names in formats]
        if not any(kinds):  # part-00000, as Hadoop names them
            sniffed = {file: text.sniffed(file) for file in files}
            kinds = [[file for file in files if sniffed[file] == kind] for kind in ("parquet", "csv", "json")]
        paths: list[Path] = next(filter(None, kinds), [])
        if not paths:
            raise InputError(
                f"{path}: no Parquet, CSV or JSON file in this folder; give a file, or a folder of them"
            )
        filled = [file for file in paths if file.stat().st_size] or paths[:1]
        parts = [_read_file(file, encoding, numbers, legal) for file in filled]
        source = _together([_of_folders(part, file, path) for part, file in zip(parts, filled, strict=True)])
        if empty := len(paths) - len(filled):
            source = replace(source, notes=(*source.notes, f"files of the folder that are empty: {empty:,}"))
        if others := len(files) - len(paths):
            note = f"{len(paths):,} files of the folder were read, {others:,} of other kinds were not"
            source = replace(source, notes=(*source.notes, note))
    elif not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    else:
        source = _read_file(path, encoding, numbers, legal)
    return replace(_one_spelling(source), files=tuple(map(origin, source.files)))


def _of_folders(part: Source, file: Path, root: Path) -> Source:
    """A file's rows with what the folders between it and `root` say of all of them (`event_type=click`, as
    Hive and Spark name them), where no column of the file does.
    """
    folders = (folder.partition("=") for folder in file.relative_to(root).parts[:-1])
    partitions = {name: unquote(value) for name, mark, value in folders if mark}
    table = part.table
    for name in partitions.keys() - set(table.column_names):
        value = None if partitions[name] == "__HIVE_DEFAULT_PARTITION__" else partitions[name]
        table = table.append_column(name, pa.array([value] * table.num_rows, pa.large_string()))
    if not partitions:
        return part
    note = f"the names of folders were read as columns ({', '.join(map(repr, partitions))})"
    return replace(part, table=table, notes=(*part.notes, note))


def as_source(table: pa.Table, name: str) -> Source:
    """A table in memory as a source: rows numbered from 1, text that is not UTF-8 marked."""
    return _decoded(table, name, np.arange(1, table.num_rows + 1), [], {"format": "table"})


def write_table(path: Path, table: pa.Table) -> None:
    """Replace the Parquet file at `path`, atomically.

    Raises ArtifactError when the disk is full or the path cannot be written; the old version is intact.
    """
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """A Parquet file that this program wrote, checked against `schema`.

    Raises ArtifactError when it is missing or damaged.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(
            f"{path}: missing or damaged ({_line(error)}); run the command that made it again"
        ) from None
    return table if schema is None else schemas.check(table, schema, str(path))


def _read_file(
    path: Path, encoding: str | None = None, numbers: Collection[str] = (), legal: Collection[str] = ()
) -> Source:
    name, suffix = path.name.lower(), _suffix(path)
    try:
        kinds = dict.fromkeys(_CSV, "csv") | dict.fromkeys(_JSON, "json") | dict.fromkeys(_PARQUET, "parquet")
        with path.open("rb") as stream:
            head = stream.read(64)
        packed, begin = head.startswith(_PACKED), head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        document = begin.startswith(_DOCUMENTS)  # a page of login, perhaps
        kind = "" if packed or document else kinds.get(suffix) or text.sniffed(path)
        kind = "json" if kind == "csv" and re.match(rb'\{"|\[\s*\{\s*"', begin) else kind
        if head.startswith(b"PAR1") or (kind == "parquet" and not name.endswith(text.PACKED)):
            return _read_parquet(path)
        if head.startswith(b"ARROW1"):
            return _read_arrow(path)
        if kind not in ("csv", "json"):
            remedy = (
                f"unpack it first (of packed files {', '.join(text.PACKED)} are read as they are), or "
                if suffix in _ARCHIVES or (packed and suffix in kinds)
                else ""
            )
            raise InputError(
                f"{path}: this format is not read; {remedy}export the table as Parquet,"
                f" CSV or JSON lines ({', '.join(_CSV + _JSON + _PARQUET + _ARROW)})"
            )
        if kind == "json":
            content = text.read_json(path, encoding)
        else:
            content = text.read_csv(path, encoding, numbers, legal)
    except (*text.BROKEN, pa.ArrowException, UnicodeError) as error:
        raise InputError(f"{path}: cannot be read ({_line(error)}); export the table again") from None
    refused = [Refusal(str(path), *row) for row in content.refused]
    return _decoded(content.table, str(path), content.rows, refused, content.about, tuple(content.notes))


def _suffix(path: Path) -> str:
    """How a file's name ends, before what says that it is packed, in small letters."""
    name = Path(path.name.lower())
    return Path(name.stem).suffix if name.suffix in text.PACKED else name.suffix


def _read_parquet(path: Path) -> Source:
    file = pq.ParquetFile(path)
    rows, names = file.metadata.num_rows, file.schema_arrow.names
    if len(names) > text.MOST_COLUMNS:
        raise InputError(
            f"{path}: {len(names):,} columns, more than the {text.MOST_COLUMNS:,} that are read; drop some"
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputError(f"{path}: two columns are called '{twice[0]}'; rename one")
    groups, size = map(file.metadata.row_group, range(file.num_row_groups)), path.stat().st_size
    leaves = [group.column(at) for group in groups for at in range(group.num_columns)]
    values = sum(leaf.num_values for leaf in leaves)
    if rows > text.MOST_ROWS or 8 * values > max(text.FREE_BYTES, text.MOST_TIMES * size):
        raise InputError(
            f"{path}: {rows:,} rows of {len(names):,} columns with {values:,} values in {size:,} bytes;"
            " tables are not that empty; split it, or export it again"
        )
    alike = {
        leaf.path_in_schema
        for leaf in leaves
        if leaf.has_dictionary_page and leaf.physical_type == "BYTE_ARRAY"
    }
    table = pq.ParquetFile(path, read_dictionary=sorted(alike)).read()  # a long text once, not in each row
    return _undictionaried(table, file.schema_arrow, path, "parquet")


def _read_arrow(path: Path) -> Source:
    """The table in a file of Arrow, as Feather is one; read batch by batch, as it may be packed."""
    size, batches = path.stat().st_size, list[pa.RecordBatch]()
    with pa.memory_map(str(path)) as stream:
        file = pa.ipc.open_file(stream)
        for number in range(file.num_record_batches):
            batches.append(file.get_batch(number))
            if sum(batch.nbytes for batch in batches) > max(text.FREE_BYTES, text.MOST_TIMES * size):
                raise InputError(f"{path}: much larger once unpacked; split it, or give the table as CSV")
        table = pa.Table.from_batches(batches, file.schema)
        return _undictionaried(table, file.schema, path, "arrow")


def _undictionaried(table: pa.Table, schema: pa.Schema, path: Path, form: str) -> Source:
    """The source of a table that may hold columns as dictionaries, which `schema` may say, as plain ones."""
    size = path.stat().st_size
    limit = min(text.MOST_BYTES, max(text.FREE_BYTES, text.MOST_TIMES * size))
    for place, cells in enumerate(schema):
        if (length := sum(map(_length, table[place].chunks))) > limit:
            raise InputError(
                f"{path}: column '{cells.name}' holds {length >> 20:,} MiB of text in a file of {size:,}"
                " bytes; tables are not that much alike; drop it, or give the table as CSV"
            )
        kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
        kind = pa.large_string() if pa.types.is_string_view(kind) else kind
        table = table.set_column(place, cells.name, table[place].cast(kind))
    return _decoded(table, str(path), np.arange(1, table.num_rows + 1), [], {"format": form})


def _length(cells: pa.Array) -> int:
    """Bytes of text that cells stand for where they are read by a dictionary, however deep it lies."""
    if pa.types.is_dictionary(cells.type) and not pa.types.is_primitive(cells.type.value_type):
        lengths = pc.binary_length(cells.dictionary).cast(pa.int64())
        return int(pc.sum(lengths.take(cells.indices)).as_py() or 0)
    if pa.types.is_map(cells.type):
        return _length(cells.keys) + _length(cells.items)
    if pa.types.is_struct(cells.type):
        return sum(map(_length, cells.flatten()))
    return _length(cells.flatten()) if pa.types.is_nested(cells.type) else 0


def _decoded(
    table: pa.Table,
    name: str,
    rows: npt.NDArray[np.int64],
    refused: Iterable[Refusal],
    about: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Source:
    """Text columns as valid UTF-8; cells that are not are null, and marked as `damaged`."""
    damaged: dict[str, npt.NDArray[np.bool_]] = {}
    for index, cells in enumerate(table.schema):
        if cells.type == pa.uuid() or cells.type == pa.binary(16):
            ids = table.column(index).to_pylist()
            texts = [value and str(UUID(bytes=value) if isinstance(value, bytes) else value) for value in ids]
            table = table.set_column(index, cells.name, pa.array(texts, pa.large_string()))
            continue
        if pa.types.is_string_view(cells.type):
            table = table.set_column(index, cells.name, table.column(index).cast(pa.large_string()))
            continue
        is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
        if not is_text and not pa.types.is_binary(cells.type) and not pa.types.is_large_binary(cells.type):
            continue
        column = table.column(index)
        raw = column.cast(pa.large_binary())
        try:
            decoded = raw.cast(pa.large_string())
        except pa.ArrowInvalid:
            values, damaged[cells.name] = _decode_each(raw.to_pylist())
            decoded = pa.chunked_array([pa.array(values, pa.large_string())])
        table = table.set_column(index, cells.name, decoded)
    where = np.zeros(table.num_rows, dtype=np.int64)
    unreadable = tuple(sorted(refused, key=lambda refusal: refusal.row))
    return Source((name,), table, where, rows, unreadable, about or {}, notes, damaged)


def _decode_each(raw: list[bytes | None]) -> tuple[list[str | None], npt.NDArray[np.bool_]]:
    values: list[str | None] = []
    bad = np.zeros(len(raw), dtype=bool)
    for at, cell in enumerate(raw):
        try:
            values.append(None if cell is None else cell.decode())
        except UnicodeDecodeError:
            values.append(None)
            bad[at] = True
    return values, bad


def _together(parts: list[Source]) -> Source:
    """The rows of all files; of several tables those of the longest, with what the others say of them."""
    groups: dict[frozenset[str], list[Source]] = {}
    for part in parts:
        groups.setdefault(frozenset(map(squeezed, part.table.column_names)), []).append(part)
    if len(groups) > 1 and parts[0].about.get("format") == "csv":
        first, *others = sorted(map(_joined, groups.values()), key=lambda source: -source.table.num_rows)
        lookup = looked_up(first.table, [(source.name, source.table) for source in others])
        if lookup is not None:
            unread = tuple(row for source in (first, *others) for row in source.unreadable)
            return replace(first, table=lookup[0], notes=(*first.notes, *lookup[1]), unreadable=unread)
    return _joined(parts)


def _joined(parts: list[Source]) -> Source:
    for part in parts if parts[0].about.get("format") in ("csv", "json", "json lines") else ():
        ours, theirs = (set(map(squeezed, source.table.column_names)) for source in (parts[0], part))
        lines = part.about.get("format") != "csv"  # of JSON not each has every field
        if ours != theirs and not (lines and 2 * len(ours & theirs) >= min(len(ours), len(theirs))):
            raise InputError(
                f"{part.name}: has other columns than {parts[0].name}; give one table's files in a folder, or"
                " tables of which each shares one column with the longest, and has each value of it once"
            )
    tables = [part.table for part in parts]
    try:
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowTypeError:  # ids that are numbers in one file and text in another
            tables = [as_texts(table, tables) for table in tables]
            table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, InputError) as error:
        raise InputError(
            f"{parts[0].name}: the files of this folder have different columns ({_line(error)})"
        ) from None
    damaged = {
        name: np.concatenate(
            [part.damaged.get(name, np.zeros(part.table.num_rows, dtype=bool)) for part in parts]
        )
        for name in {name for part in parts for name in part.damaged}
    }
    return Source(
        tuple(part.files[0] for part in parts),
        table,
        np.repeat(np.arange(len(parts)), [part.table.num_rows for part in parts]),
        np.concatenate([part.rows for part in parts]),
        tuple(refusal for part in parts for refusal in part.unreadable),
        parts[0].about,
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        damaged,
    )


def _one_spelling(source: Source) -> Source:
    """A source where columns spelt in two ways (userId, user_id), in no row both, are one."""
    first, table = dict[str, str](), source.table
    for name in source.table.column_names:
        ours = first.setdefault(squeezed(name) or name, name)
        cells = table[ours], table[name]
        if ours == name or pc.any(pc.and_(*map(pc.is_valid, cells))).as_py():
            continue
        if cells[0].type != cells[1].type and not any(pa.types.is_nested(column.type) for column in cells):
            cells = tuple(values.as_text(column, name).to_arrow() for column in cells)
        table = table.set_column(table.column_names.index(ours), ours, pc.coalesce(*cells)).drop_columns(name)
    return source if table is source.table else replace(source, table=table)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
