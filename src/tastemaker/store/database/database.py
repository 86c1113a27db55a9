"""The database of what changes: events by client-given id, slates with their propensities, deployments; in a
SQLite file, or in PostgreSQL. Every write is one durable transaction, one at a time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

import tastemaker.schema as schema
from tastemaker.errors import InputError
from tastemaker.store.database.events import Event, micros, moment, undone
from tastemaker.store.database.integrity import fetch, intact
from tastemaker.store.database.migrations import PERSONAL
from tastemaker.store.database.postgres import Postgres, check_server
from tastemaker.store.database.session import Address
from tastemaker.store.database.sqlite import Connection, Engine, Sqlite, check_file

EVENT = tuple(field.name for field in fields(Event))
NEXT = "(SELECT coalesce(max(sequence), 0) + 1 FROM events)"
SCRUB = 15.0  # seconds that `Database.scrub` waits for readers


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

    A process looks through a file when it opens it for the first time, log included; rows are compared with
    their checksums whenever they are read. silence: seconds after which a statement that a server does not
    answer is given up with a BusyError; default: never, for it may be a long one.

    Raises ArtifactError when the file is damaged, made by a newer version, on a full disk, or locked for more
    than five seconds.
    """

    def __init__(self, path: Path | Address, silence: float | None = None) -> None:
        self.path = path
        self._engine: Engine = Postgres(path, silence) if isinstance(path, Address) else Sqlite(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of every thread, as leaving a `with` does; the next call opens new ones."""
        self._engine.close()

    def now(self) -> datetime:
        """The time by which everything here is stamped: of the server's clock, where there is a server."""
        return self._engine.now()

    def locked(self, seconds: float = 0.2) -> bool:
        """Whether another process keeps this one from writing for so long. Raises BusyError where nothing can
        be written at all: a server that is away, a file that was replaced.
        """
        return self._engine.locked(seconds)

    @contextmanager
    def transaction(self, write: bool = True) -> Iterator[Connection]:
        """A connection whose statements become durable together, or not at all; BusyError as `locked`."""
        with self._engine.transaction(write) as connection:
            yield connection

    def first(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a question; None without any."""
        with self.transaction(write=False) as connection:
            row = connection.execute(sql, values).fetchone()
        return None if row is None else tuple(row)

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a `SELECT` whose last column is `intact`, without that column."""
        with self.transaction(write=False) as connection:
            return fetch(connection, sql, values)

    def select(
        self, table: str, columns: Sequence[str], clauses: str = "", *values: Any
    ) -> list[tuple[Any, ...]]:
        """Columns of the rows of a table, each compared with its checksum; rest: what follows in SQL."""
        return self.read(f"SELECT {', '.join(columns)}, {intact(table)} FROM {table} {clauses}", *values)

    def insert(self, table: str, **row: Any) -> None:
        """Store a row, moments as `micros`."""
        with self.transaction() as connection:
            insert(connection, table, **row)

    def add_events(self, events: Iterable[Event]) -> Added:
        """Store events, all or none; one that is there already is counted as a duplicate.

        Raises InputError when an event_id is there with other contents.
        """
        rows = [astuple(event) for event in events]
        at = EVENT.index("timestamp")
        rows = [(*row[:at], micros(row[at]), *row[at + 1 :]) for row in rows]
        with self.transaction() as connection:
            return _insert_events(connection, rows)

    def stored(self, event_ids: Iterable[str]) -> dict[str, Event]:
        """The events that are there already, by id."""
        sql = f"SELECT {', '.join(EVENT)}, {intact('events')} FROM events WHERE event_id = ?"
        with self.transaction(write=False) as connection:
            rows = [row for event_id in event_ids for row in fetch(connection, sql, (event_id,))]
        known = [dict(zip(EVENT, row, strict=True)) for row in rows]
        return {row["event_id"]: Event(**row | {"timestamp": moment(row["timestamp"])}) for row in known}

    def history(self, user_id: str) -> list[Event]:
        """A user's events in time order, without undos and what these took back; an undo can be undone."""
        return list(self._events("WHERE user_id = ?", (user_id,)))

    def people(self) -> list[tuple[str, int]]:
        """Everybody with an event, in the order they came, and how many events they sent."""
        with self.transaction(write=False) as connection:
            rows = connection.execute(
                "SELECT user_id, count(*) FROM events GROUP BY user_id ORDER BY min(sequence)"
            ).fetchall()
        return [(str(user), int(count)) for user, count in rows]

    def events_table(self) -> pa.Table:
        """Every user's history as schema.INTERACTIONS, positions counted from 0 within a user."""
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
        rows = self.read(
            f"SELECT {', '.join(columns)}, {intact('slates', 's')} AND {intact('offers', 'o')}"
            " FROM slates s JOIN offers o USING (request_id)"
            " WHERE o.shown_at IS NOT NULL ORDER BY o.shown_at, request_id, position"
        )
        return table_of(rows, schema.SLATES, "slates")

    def served(self, policy: str) -> int:
        """Slates shown whose policy id begins with `policy`."""
        sql = (
            "SELECT count(*) FROM slates JOIN offers USING (request_id)"
            " WHERE position = 0 AND substr(policy_id, 1, ?) = ? AND shown_at IS NOT NULL"
        )
        row = self.first(sql, len(policy), policy)
        return int(row[0]) if row else 0

    def erase(self, user_id: str) -> int:
        """Delete every row about a person, and let nobody write another; returns how many rows that were.

        What is deleted is still in the file and its log until `scrub`.
        """
        key = self.secret("erased")
        with self.transaction() as connection:
            count = sum(
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (user_id,)).rowcount
                for table, column in PERSONAL.items()
            )
            mark = self._engine.mark(user_id, key)
            connection.execute("INSERT INTO erased (person) VALUES (?) ON CONFLICT DO NOTHING", (mark,))
        return count

    def row_counts(self, user_id: str) -> dict[str, int]:
        """Rows about a person in each table that can hold any; `erase` removes them."""
        counted = "SELECT count(*) FROM {} WHERE {} = ?"
        with self.transaction(write=False) as connection:
            return {
                table: int(connection.execute(counted.format(table, column), (user_id,)).fetchone()[0])
                for table, column in PERSONAL.items()
            }

    def scrub(self, seconds: float = SCRUB) -> None:
        """Write what is kept anew, so that nothing of it holds what was deleted.

        Raises BusyError when another process goes on reading or writing for `seconds`.
        """
        self._engine.scrub(seconds)

    def deploy(self, kind: str, fingerprint: str, at: datetime, note: str = "") -> None:
        """Record that the artifact serves from now on."""
        self.insert("deployments", kind=kind, fingerprint=fingerprint, timestamp=at, note=note)

    def deployments(self) -> list[Deployment]:
        """Every deployment, the newest first."""
        return self._deployments("ORDER BY deployment_id DESC")

    def newest_deployment(self, kind: str) -> Deployment | None:
        """The newest deployment of a kind, or None."""
        rows = self._deployments("WHERE kind = ? ORDER BY deployment_id DESC LIMIT 1", kind)
        return rows[0] if rows else None

    def _deployments(self, clauses: str, *values: Any) -> list[Deployment]:
        rows = self.select("deployments", ("kind", "fingerprint", "timestamp", "note"), clauses, *values)
        return [Deployment(kind, mark, moment(time), note) for kind, mark, time, note in rows]

    def secret(self, name: str) -> str:
        """64 hexadecimal digits that only this database knows, drawn at the first call; never to be shown."""
        question = "secrets", ("value",), "WHERE name = ?", name
        rows = self.select(*question)
        if not rows:
            with self.transaction() as connection:
                insert(connection, "secrets", again=True, name=name, value=secrets.token_hex(32))
            rows = self.select(*question)
        return str(rows[0][0])

    def _events(self, where: str, values: tuple[str, ...]) -> Iterator[Event]:
        columns = (*EVENT, "sequence")
        stored = self.select("events", columns, f"{where} ORDER BY user_id, timestamp, sequence", *values)
        rows = [dict(zip(columns, row, strict=True)) for row in stored]
        taken_back = undone(rows)
        for row in rows:
            del row["sequence"]
            if row["kind"] != "undo" and (row["user_id"], row["event_id"]) not in taken_back:
                yield Event(**row | {"timestamp": moment(row["timestamp"])})


def insert(connection: Connection, table: str, again: bool = False, **row: Any) -> bool:
    """Store a row, moments as `micros`, and whether it is new. again: one that is there already stays."""
    values = [micros(value) if isinstance(value, datetime) else value for value in row.values()]
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    return bool(connection.execute(sql + " ON CONFLICT DO NOTHING" * again, values).rowcount)


def _insert_events(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Added:
    """Insert events, numbered in the order they come; one whose id is there must equal what is there."""
    columns, marks = ", ".join(EVENT), ", ".join("?" * len(EVENT))
    sql = f"INSERT INTO events ({columns}, sequence) VALUES ({marks}, {NEXT}) ON CONFLICT DO NOTHING"
    inserted = 0
    for row in rows:
        new = connection.execute(sql, row).rowcount
        inserted += new
        if new:
            continue
        event_id = row[EVENT.index("event_id")]
        same = f"SELECT {columns}, {intact('events')} FROM events WHERE event_id = ?"
        there = fetch(connection, same, (event_id,))
        if not there:
            raise InputError(f"events: event_id {event_id} is about somebody who was erased; leave it out")
        if row != there[0]:
            raise InputError(
                f"events: event_id {event_id} is there already with other contents; give the new one an id of"
                " its own"
            )
    return Added(inserted, len(rows) - inserted)


def table_of(rows: Sequence[tuple[Any, ...]], wanted: pa.Schema, name: str) -> pa.Table:
    """Stored rows, which hold the columns of a schema in their order, as its table, checked."""
    kinds = [pa.int64() if pa.types.is_timestamp(field.type) else field.type for field in wanted]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(wanted)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return schema.check(pa.table(arrays, names=wanted.names), wanted, name)


def check_database(path: Path | Address) -> str | None:
    """What is wrong with the database at `path`, in one line; None when whole and of a known version."""
    return check_server(path) if isinstance(path, Address) else check_file(path)
