"""SQLite for what changes: events by client-given id, slates with their propensities, deployments.

Every write is one durable transaction (write-ahead log, synchronous=FULL); a connection belongs to one
thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tastemaker import schema
from tastemaker.errors import ArtifactError, InputError, TastemakerError
from tastemaker.store.database.events import Event, micros, moment, undone
from tastemaker.store.database.migrations import MIGRATIONS, PERSONAL, VERSION


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
        names = [field.name for field in fields(Event)]
        rows = [astuple(event) for event in events]
        at = names.index("timestamp")
        return self._add(
            "events", names, ("event_id",), [(*row[:at], micros(row[at]), *row[at + 1 :]) for row in rows]
        )

    def log_slate(self, slate: pa.Table, features: str | None = None) -> Added:
        """Store rows of schema.SLATES, all or none; rows that are there already are counted as duplicates.

        features: JSON of what the ranker knew of each row, kept beside the slate in the same transaction (see
        `Surveys.rows`).

        Raises
        ------
        InputError
            when a propensity is not in (0, 1], or a request_id and position are there with other contents.
        """
        table = schema.check(slate, schema.SLATES, "slate")
        for name in ("propensity", "prefix_propensity"):
            for row, value in enumerate(table[name].to_pylist(), start=1):
                if value is not None and not 0 < value <= 1:
                    raise InputError(
                        f"slate: row {row}, column '{name}' is {value}; a probability above 0 and up to 1 is"
                        " needed"
                    )
        table = table.set_column(2, "timestamp", table["timestamp"].cast(pa.int64()))
        rows = list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
        known = features is not None and bool(rows)
        beside = (
            [("INSERT OR IGNORE INTO impressions VALUES (?, ?, ?, ?)", (*rows[0][:3], features))]
            if known
            else []
        )
        return self._add("slates", table.column_names, ("request_id", "position"), rows, beside)

    def stored(self, event_ids: Iterable[str]) -> dict[str, Event]:
        """The events that are there already, by id."""
        names = [field.name for field in fields(Event)]
        sql = f"SELECT {', '.join(names)} FROM events WHERE event_id = ?"
        with self.transaction(write=False) as connection:
            rows = [connection.execute(sql, (one,)).fetchone() for one in event_ids]
        known = [dict(zip(names, row, strict=True)) for row in rows if row is not None]
        return {row["event_id"]: Event(**row | {"timestamp": moment(row["timestamp"])}) for row in known}

    def history(self, user_id: str) -> list[Event]:
        """A user's events in time order, without undos and what they took back; an undo can itself be
        undone.
        """
        return list(self._events("WHERE user_id = ?", (user_id,)))

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
        """Every slate shown, as schema.SLATES, in order of time, request and position."""
        names = schema.SLATES.names
        with self.transaction(write=False) as connection:
            rows = connection.execute(
                f"SELECT {', '.join(names)} FROM slates ORDER BY timestamp, request_id, position"
            ).fetchall()
        columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
        return schema.check(
            pa.table(
                {
                    name: pa.array(values, _stored(schema.SLATES.field(name).type))
                    for name, values in columns.items()
                }
            ),
            schema.SLATES,
            "slates",
        )

    def served(self, policy: str) -> int:
        """Slates whose policy id begins with `policy`."""
        sql = "SELECT count(*) FROM slates WHERE position = 0 AND substr(policy_id, 1, ?) = ?"
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

    def _add(
        self,
        table: str,
        names: Sequence[str],
        key: tuple[str, ...],
        rows: Sequence[tuple[Any, ...]],
        beside: Sequence[tuple[str, tuple[Any, ...]]] = (),
    ) -> Added:
        """Insert rows of which those with a known key must equal what is there; table and column names are
        ours.

        beside: further statements of the same transaction.
        """
        columns, marks = ", ".join(names), ", ".join("?" * len(names))
        same = " AND ".join(f"{name} = ?" for name in key)
        inserted = 0
        with self.transaction() as connection:
            for statement, values in beside:
                connection.execute(statement, values)
            for row in rows:
                new = connection.execute(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING", row
                ).rowcount
                inserted += new
                if not new:
                    which = tuple(row[names.index(name)] for name in key)
                    if (
                        connection.execute(f"SELECT {columns} FROM {table} WHERE {same}", which).fetchone()
                        != row
                    ):
                        label = ", ".join(f"{name} {value}" for name, value in zip(key, which, strict=True))
                        raise InputError(
                            f"{table}: {label} is there already with other contents; give the new one an id"
                            " of its own"
                        )
        return Added(inserted, len(rows) - inserted)

    def _events(self, where: str, values: tuple[str, ...]) -> Iterator[Event]:
        names = [field.name for field in fields(Event)]
        with self.transaction(write=False) as connection:
            found = connection.execute(
                f"SELECT {', '.join(names)} FROM events {where} ORDER BY user_id, timestamp, event_id", values
            ).fetchall()
        rows = [dict(zip(names, row, strict=True)) for row in found]
        gone = undone(rows)
        for row in rows:
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
        return ArtifactError(f"{path}: another process is writing to it; try again, or stop that process")
    if "unable to open" in said or "readonly" in said:
        return ArtifactError(f"{path}: cannot be opened or written; check the folder and its permissions")
    return ArtifactError(
        f"{path}: damaged or not a database ({said}); restore it from a copy, or move it away to start afresh"
    )


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind
