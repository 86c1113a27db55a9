"""SQLite for what changes: events by client-given id, slates with their propensities, deployments.

Every write is one durable transaction (write-ahead log, synchronous=FULL); a connection belongs to one
thread.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

import tastemaker.schema as schema
from tastemaker.errors import ArtifactError, BusyError, InputError, TastemakerError
from tastemaker.store.database.events import Event, micros, moment, undone
from tastemaker.store.database.migrations import MIGRATIONS, PERSONAL, VERSION

EVENT = tuple(field.name for field in fields(Event))
NEXT = "(SELECT coalesce(max(sequence), 0) + 1 FROM events)"


@dataclass(frozen=True)
class Added:
    """How many rows were new, and how many had been there, equal in every field."""

    inserted: int
    duplicates: int


@dataclass(frozen=True)
class Deployment:
    """Which artifact serves since when."""

    kind: str
    fingerprint: str
    timestamp: datetime
    note: str


class Database:
    """The workspace's database, made or migrated when it is opened; safe to share between threads.

    Raises
    ------
    ArtifactError
        when the file is damaged, made by a newer version, on a full disk, or locked for more than five
        seconds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        with self.transaction() as connection:
            _migrate(connection, path)

    def close(self) -> None:
        """Close the connections of every thread; the object can be used again afterwards."""
        with self._guard:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
            self._local = threading.local()

    def add_events(self, events: Iterable[Event]) -> Added:
        """Store events, all or none; one that is there already is counted as a duplicate.

        Raises
        ------
        InputError
            when an event_id is there with other contents.
        """
        rows = [astuple(event) for event in events]
        at = EVENT.index("timestamp")
        rows = [(*row[:at], micros(row[at]), *row[at + 1 :]) for row in rows]
        with self.transaction() as connection:
            return _insert_events(connection, rows)

    def stored(self, event_ids: Iterable[str]) -> dict[str, Event]:
        """The events that are there already, by id."""
        sql = f"SELECT {', '.join(EVENT)} FROM events WHERE event_id = ?"
        with self.transaction(write=False) as connection:
            rows = [connection.execute(sql, (event_id,)).fetchone() for event_id in event_ids]
        known = [dict(zip(EVENT, row, strict=True)) for row in rows if row is not None]
        return {row["event_id"]: Event(**row | {"timestamp": moment(row["timestamp"])}) for row in known}

    def history(self, user_id: str) -> list[Event]:
        """A user's events in time order, without undos and what they took back; an undo can itself be
        undone.
        """
        return list(self._events("WHERE user_id = ?", (user_id,)))

    def people(self) -> list[tuple[str, int]]:
        """Everybody with an event, in the order they came, and how many events they sent."""
        with self.transaction(write=False) as connection:
            rows = connection.execute(
                "SELECT user_id, count(*) FROM events GROUP BY user_id ORDER BY min(sequence)"
            ).fetchall()
        return [(str(user), int(count)) for user, count in rows]

    def events_table(self) -> pa.Table:
        """Every user's history as an `interactions` table (schema.INTERACTIONS), positions counted from 0
        within a user.
        """
        columns: dict[str, list[Any]] = {name: [] for name in schema.INTERACTIONS.names}
        position, user = -1, None
        for event in self._events("", ()):
            position = position + 1 if event.user_id == user else 0
            user = event.user_id
            for name in columns:
                columns[name].append(position if name == "position" else getattr(event, name))
        return schema.check(
            pa.table(columns, schema=pa.schema([f.with_nullable(True) for f in schema.INTERACTIONS])),
            schema.INTERACTIONS,
            "events",
        )

    def slates_table(self) -> pa.Table:
        """Every slate that was shown, as schema.SLATES with the time it was, in order of that time, request
        and position. One that was offered and never delivered is not among them.
        """
        names = schema.SLATES.names
        columns = [f"{'o.shown_at' if name == 'timestamp' else f's.{name}'}" for name in names]
        with self.transaction(write=False) as connection:
            rows = connection.execute(
                f"SELECT {', '.join(columns)} FROM slates s JOIN offers o USING (request_id)"
                " WHERE o.shown_at IS NOT NULL ORDER BY o.shown_at, request_id, position"
            ).fetchall()
        values = zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True)
        return schema.check(
            pa.table(
                {name: pa.array(column, _stored(schema.SLATES.field(name).type)) for name, column in values}
            ),
            schema.SLATES,
            "slates",
        )

    def served(self, policy: str) -> int:
        """Slates shown whose policy id begins with `policy`."""
        sql = (
            "SELECT count(*) FROM slates JOIN offers USING (request_id)"
            " WHERE position = 0 AND substr(policy_id, 1, ?) = ? AND shown_at IS NOT NULL"
        )
        with self.transaction(write=False) as connection:
            return int(connection.execute(sql, (len(policy), policy)).fetchone()[0])

    def erase(self, user_id: str) -> int:
        """Delete every row about a person, overwriting them on disk; returns how many rows that were."""
        with self.transaction() as connection:
            count = sum(
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (user_id,)).rowcount
                for table, column in PERSONAL.items()
            )
        self._connection().execute(
            "PRAGMA wal_checkpoint(TRUNCATE)"
        )  # the log still has the rows as they were
        return count

    def deploy(self, kind: str, fingerprint: str, at: datetime, note: str = "") -> None:
        """Record that the artifact serves from now on."""
        with self.transaction() as connection:
            sql = "INSERT INTO deployments (kind, fingerprint, timestamp, note) VALUES (?, ?, ?, ?)"
            connection.execute(sql, (kind, fingerprint, micros(at), note))

    def deployments(self) -> list[Deployment]:
        """Every deployment, the newest first."""
        with self.transaction(write=False) as connection:
            rows = connection.execute(
                "SELECT kind, fingerprint, timestamp, note FROM deployments ORDER BY deployment_id DESC"
            ).fetchall()
        return [Deployment(kind, mark, moment(time), note) for kind, mark, time, note in rows]

    def newest_deployment(self, kind: str) -> Deployment | None:
        """The newest deployment of a kind, or None."""
        sql = (
            "SELECT kind, fingerprint, timestamp, note FROM deployments WHERE kind = ?"
            " ORDER BY deployment_id DESC LIMIT 1"
        )
        with self.transaction(write=False) as connection:
            row = connection.execute(sql, (kind,)).fetchone()
        return None if row is None else Deployment(row[0], row[1], moment(row[2]), row[3])

    def secret(self, name: str) -> str:
        """64 hexadecimal digits that nobody outside this database knows, drawn when first asked for; never
        to be shown or sent.
        """
        with self.transaction(write=False) as connection:
            row = connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
        if row is None:
            with self.transaction() as connection:
                connection.execute(
                    "INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, secrets.token_hex(32))
                )
                row = connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
        return str(row[0])

    def _events(self, where: str, values: tuple[str, ...]) -> Iterator[Event]:
        with self.transaction(write=False) as connection:
            stored = connection.execute(
                f"SELECT {', '.join(EVENT)}, sequence FROM events {where} ORDER BY user_id, timestamp,"
                " sequence",
                values,
            ).fetchall()
        rows = [dict(zip((*EVENT, "sequence"), row, strict=True)) for row in stored]
        gone = undone(rows)
        for row in rows:
            del row["sequence"]
            if row["kind"] != "undo" and (row["user_id"], row["event_id"]) not in gone:
                yield Event(**row | {"timestamp": moment(row["timestamp"])})

    @contextmanager
    def transaction(self, write: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection whose statements become durable together, or not at all."""
        try:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise _explained(error, self._path) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=5.0, isolation_level=None, check_same_thread=False
            )
            with self._guard:
                self._opened.append(connection)
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                "busy_timeout = 5000",
                "secure_delete = ON",
            ):
                connection.execute(f"PRAGMA {pragma}")
            self._local.connection = connection
        return connection


def _insert_events(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> Added:
    """Insert events, numbered in the order they come; one whose id is there must equal what is there."""
    columns, marks = ", ".join(EVENT), ", ".join("?" * len(EVENT))
    sql = f"INSERT INTO events ({columns}, sequence) VALUES ({marks}, {NEXT}) ON CONFLICT DO NOTHING"
    inserted = 0
    for row in rows:
        new = connection.execute(sql, row).rowcount
        inserted += new
        event_id = row[EVENT.index("event_id")]
        if (
            not new
            and row
            != connection.execute(f"SELECT {columns} FROM events WHERE event_id = ?", (event_id,)).fetchone()
        ):
            raise InputError(
                f"events: event_id {event_id} is there already with other contents; give the new one an id of"
                " its own"
            )
    return Added(inserted, len(rows) - inserted)


def check_database(path: Path) -> str | None:
    """What is wrong with the database at `path`, in one line; None when it is whole and of a version we
    know.
    """
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=5.0)
        try:
            connection.execute("PRAGMA query_only = ON")  # mode=ro would leave its -wal and -shm files behind
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                return _newer(path, version)
            wrong = [row[0] for row in connection.execute("PRAGMA integrity_check").fetchall()]
            return None if wrong == ["ok"] else f"{path}: damaged ({wrong[0]}); restore it from a copy"
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return str(_explained(error, path))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise ArtifactError(_newer(path, version))
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


def _newer(path: Path, version: int) -> str:
    return (
        f"{path}: was written by a newer Tastemaker (version {version}, this program knows up to {VERSION}); "
        "upgrade with `pip install --upgrade tastemaker`"
    )


def _explained(error: sqlite3.DatabaseError, path: Path) -> TastemakerError:
    said = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        return InputError(f"{path}: a row breaks a rule of its table ({said}); nothing was stored")
    if "full" in said:
        return ArtifactError(f"{path}: the disk is full; nothing was changed. Free some space and try again")
    if "locked" in said or "busy" in said:
        return BusyError(f"{path}: another process is writing to it; try again, or stop that process")
    if "unable to open" in said or "readonly" in said:
        return ArtifactError(f"{path}: cannot be opened or written; check the folder and its permissions")
    return ArtifactError(
        f"{path}: damaged or not a database ({said}); restore it from a copy, or move it away to start afresh"
    )


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind
