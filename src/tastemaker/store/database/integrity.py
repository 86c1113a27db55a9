"""What tells a damaged database from a whole one: a checksum in each row, the tables as the migrations made
them, and the transactions that the write-ahead log held when it was last in use.

SQLite has no checksum of its own but in the log, where a damaged transaction silently ends the history.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.store.database.migrations import MIGRATIONS, PERSONAL

CHECKSUM = "checksum"
DAMAGED = "a row does not match its checksum"
SUMMED = 6  # the first version whose tables have it
KEYED = "(SELECT value FROM secrets WHERE name = 'erased')"
_HEADER, _FRAME = 32, 24  # bytes of the header of a log, and of each of its pages
_BLOCK = 2048  # pages looked at together


def row_sum(*values: Any) -> int:
    """48 bits of BLAKE2b of a row: the name of its table, then its columns in their order."""
    return int.from_bytes(blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=6).digest())


def person_mark(person: str, key: str | None) -> str | None:
    """The keyed hash that stands for an erased person; None while nobody was erased."""
    return (
        None if key is None else blake2b(person.encode(), key=bytes.fromhex(key), digest_size=16).hexdigest()
    )


def add_functions(connection: sqlite3.Connection) -> None:
    """What the statements of this module call."""
    connection.create_function("row_sum", -1, row_sum, deterministic=True)
    connection.create_function("person_mark", 2, person_mark, deterministic=True)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]], version: int) -> None:
    """Bring a database of `version` up to date, with the checksum of every row as it then is.

    Raises sqlite3.DatabaseError when a row does not match the checksum it had before.
    """
    for table, names in _summed_tables(connection).items():
        if connection.execute(
            f"SELECT 1 FROM {table} WHERE {CHECKSUM} IS NOT {_summed(table, names)} LIMIT 1"
        ).fetchone():
            raise sqlite3.DatabaseError(f"a row of {table} does not match its checksum")
    for number, statements in enumerate(migrations[version:], start=version + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        if number >= SUMMED:  # at once, so that columns stand in the same order wherever a database began
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).fetchall():
                if not table.startswith("sqlite_") and CHECKSUM not in _columns(connection, table):
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {CHECKSUM} INTEGER")
    for table, names in _summed_tables(connection).items():
        connection.execute(f"UPDATE {table} SET {CHECKSUM} = {_summed(table, names)}")


def _summed_tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The tables with checksums as they are now, and their other columns."""
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    columns = {table: _columns(connection, table) for (table,) in tables}
    summed = {table: names for table, names in columns.items() if CHECKSUM in names}
    return {table: [name for name in names if name != CHECKSUM] for table, names in summed.items()}


def arm(connection: sqlite3.Connection) -> None:
    """Have this connection write the checksum of each row it inserts or changes, and keep out every row about
    a person who was erased, whoever is in the middle of writing one.
    """
    for table, (names, key) in tables().items():
        same_row = " AND ".join(f"{name} = NEW.{name}" for name in key)
        change = f"UPDATE {table} SET {CHECKSUM} = {_summed(table, names)} WHERE {same_row}"
        for when in ("INSERT", f"UPDATE OF {', '.join(names)}"):
            trigger = f"sum_{table}_{when[:6].lower()}"
            connection.execute(
                f"CREATE TEMP TRIGGER {trigger} AFTER {when} ON main.{table} BEGIN {change}; END"
            )
        old = ", ".join(f"OLD.{name}" for name in names)
        connection.execute(  # a change must not make a damaged row look whole
            f"CREATE TEMP TRIGGER whole_{table} BEFORE UPDATE OF {', '.join(names)} ON main.{table}"
            f" WHEN OLD.{CHECKSUM} IS NOT row_sum('{table}', {old})"
            f" BEGIN SELECT RAISE(ABORT, '{DAMAGED}'); END"
        )
    for table, column in PERSONAL.items():
        for when in ("INSERT", f"UPDATE OF {column}"):
            connection.execute(
                f"CREATE TEMP TRIGGER erased_{table}_{when[:6].lower()} BEFORE {when} ON main.{table}"
                " WHEN EXISTS (SELECT 1 FROM erased) AND EXISTS"
                f" (SELECT 1 FROM erased WHERE person = person_mark(NEW.{column}, {KEYED}))"
                " BEGIN SELECT RAISE(IGNORE); END"
            )


def intact(table: str, alias: str = "") -> str:
    """SQL for whether a row of the table is as it was written: the last column of `fetch`'s `SELECT`s."""
    names, _ = tables()[table]
    place = f"{alias}." if alias else ""
    return f"{place}{CHECKSUM} IS row_sum('{table}', {', '.join(place + name for name in names)})"


def fetch(connection: Any, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a `SELECT` whose last column is `intact`, without that column.

    Raises sqlite3.DatabaseError when a row does not match its checksum.
    """
    rows = connection.execute(sql, values).fetchall()
    if not all(row[-1] for row in rows):
        raise sqlite3.DatabaseError(DAMAGED)
    return [row[:-1] for row in rows]


@cache
def tables() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Of each table its columns without the checksum, and those of its primary key."""
    names = [name for name, (kind, _, _) in _schema().items() if kind == "table"]
    connection = _empty()
    try:
        about = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    finally:
        connection.close()
    return {
        name: (
            tuple(row[1] for row in rows if row[1] != CHECKSUM),
            tuple(row[1] for row in rows if row[5]) or ("rowid",),
        )
        for name, rows in about.items()
    }


def damage(connection: sqlite3.Connection) -> str:
    """What is wrong with a database that can be read, in a few words; "" when nothing. Reads everything."""
    there = _objects(connection)
    for name, about in _schema().items():
        if there.get(name) != about:
            return f"{about[0]} {name} is not as it was made"
    for table in tables():
        wrong = connection.execute(f"SELECT count(*) FROM {table} WHERE NOT ({intact(table)})").fetchone()[0]
        if wrong:
            return f"{wrong} rows of {table} do not match their checksums"
    messages = [row[0] for row in connection.execute("PRAGMA integrity_check(1)").fetchall()]
    return "" if messages == ["ok"] else str(messages[0])


def log_damage(path: Path) -> str:
    """What is wrong with the write-ahead log of the database at `path`; "" when nothing is, or nothing was
    committed to it. To be asked before SQLite opens the file, which would take the rest of the log for
    unwritten and drop it.

    The index beside the log (`-shm`) knows how many pages were committed. Without it, a damaged last
    transaction cannot be told from one that a power cut tore.
    """
    log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    for _ in range(5):  # who has it open may start the log again while we look
        before = _head(index)
        try:
            content = np.fromfile(log, np.uint8)
        except OSError:
            return ""
        if _head(index) == before:
            return _lost(content, before)
    return ""


def _lost(content: npt.NDArray[np.uint8], index: bytes) -> str:
    committed, salt = 0, b""
    if (
        len(index) == 96
        and index[:48] == index[48:]
        and _chain(index[:40]) == struct.unpack("=II", index[40:48])
    ):
        committed, salt = struct.unpack("=I", index[16:20])[0], index[32:40]
    raw = content[:_HEADER].tobytes()
    if len(raw) < _HEADER:
        return f"the write-ahead log is cut off, {committed} pages were committed to it" if committed else ""
    magic, _, page = struct.unpack(">III", raw[:12])
    sums = struct.unpack(">II", raw[24:32])
    if magic not in (0x377F0682, 0x377F0683) or _chain(raw[:24], magic & 1) != sums:
        return "the head of the write-ahead log is damaged" if committed or len(content) > _HEADER else ""
    frames = content[_HEADER:]
    frames = frames[: len(frames) // (page + _FRAME) * (page + _FRAME)].reshape(-1, page + _FRAME)
    valid = _valid_pages(frames, sums, raw[16:24], magic & 1)
    if salt == raw[16:24] and valid < committed:
        return f"page {valid + 1} of {committed} in the write-ahead log is damaged"
    later = frames[valid:]
    ours = (later[:, 8:16] == np.frombuffer(raw[16:24], np.uint8)).all(axis=1)
    ends = ours & later[:, 4:8].any(axis=1)
    return f"page {valid + 1} of the write-ahead log is damaged" if ends[1:].any() else ""


def _valid_pages(frames: npt.NDArray[np.uint8], sums: tuple[int, int], salt: bytes, big: int) -> int:
    """How many pages from the first on carry the log's salt and their right checksum."""
    count = 0
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        content = np.concatenate([block[:, :8], block[:, _FRAME:]], axis=1)
        added, step = _added(content, big)
        for frame, (a, b) in zip(block, added.tolist(), strict=True):
            (w, x), (y, z) = step
            sums = (w * sums[0] + x * sums[1] + a) % 2**32, (y * sums[0] + z * sums[1] + b) % 2**32
            if frame[8:16].tobytes() != salt or struct.unpack(">II", frame[16:24].tobytes()) != sums:
                return count
            count += 1
    return count


def _chain(data: bytes, big: int = 0) -> tuple[int, int]:
    """SQLite's checksum of `data`, from the beginning."""
    added, _ = _added(np.frombuffer(data, np.uint8)[None, :], big)
    a, b = added[0].tolist()
    return a, b


def _added(rows: npt.NDArray[np.uint8], big: int) -> tuple[npt.NDArray[np.uint32], Sequence[Sequence[int]]]:
    """What each row adds to SQLite's checksum, (n, 2), and the matrix that what came before is multiplied by.

    s0 += a + s1, s1 += b + s0 for each pair of words: a linear recurrence, so all rows are done at once.
    """
    words = np.ascontiguousarray(rows).view(">u4" if big else "<u4").astype(np.uint32)
    first, second = words[:, ::2], words[:, 1::2]
    second = first + second
    powers, step = _powers(first.shape[1])
    total = np.stack(
        [
            first @ powers[:, 0, 0] + second @ powers[:, 0, 1],
            first @ powers[:, 1, 0] + second @ powers[:, 1, 1],
        ],
        axis=1,
    )
    return total, step


@cache
def _powers(count: int) -> tuple[npt.NDArray[np.uint32], Sequence[Sequence[int]]]:
    """[[1, 1], [1, 2]] to the powers count - 1 down to 0, and to the power count, modulo 2^32."""
    powers, (w, x, y, z) = [], (1, 0, 0, 1)
    for _ in range(count):
        powers.append(((w, x), (y, z)))
        w, x, y, z = (w + y) % 2**32, (x + z) % 2**32, (w + 2 * y) % 2**32, (x + 2 * z) % 2**32
    return np.array(powers[::-1], np.uint32), ((w, x), (y, z))


def _head(index: Path) -> bytes:
    try:
        with index.open("rb") as file:
            return file.read(96)
    except OSError:
        return b""


def _summed(table: str, names: Iterable[str]) -> str:
    return f"row_sum('{table}', {', '.join(names)})"


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()]


def _objects(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    rows = connection.execute(
        "SELECT name, type, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
    ).fetchall()
    return {str(name): (str(kind), str(of), " ".join(str(sql).split())) for name, kind, of, sql in rows}


@cache
def _schema() -> dict[str, tuple[str, str, str]]:
    """Name -> type, table and SQL of all that the migrations make."""
    connection = _empty()
    try:
        return {name: about for name, about in _objects(connection).items() if not name.startswith("sqlite_")}
    finally:
        connection.close()


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    add_functions(connection)
    migrate(connection, MIGRATIONS, 0)
    return connection
