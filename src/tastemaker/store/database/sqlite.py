"""The database as a file of the workspace: SQLite with a write-ahead log, every transaction durable."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import tastemaker.store.database.integrity as integrity
import tastemaker.store.database.messages as messages
from tastemaker.errors import ArtifactError, BusyError
from tastemaker.store.database.migrations import MIGRATIONS, VERSION

PATIENCE = 5.0  # seconds that a write waits for the one before it
_whole = set[tuple[str, int]]()  # files that this process has looked through


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def fetchmany(self, size: int) -> list[Any]: ...


class Connection(Protocol):
    """What a transaction is written with: SQLite's own, or `postgres.Session`."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows: ...

    def executemany(self, sql: str, values: Sequence[Sequence[Any]], /) -> Rows: ...


class Engine(Protocol):
    """What `Database` needs of what it is kept in; `Sqlite` or `postgres.Postgres`."""

    def transaction(self, write: bool) -> Any: ...

    def locked(self, seconds: float) -> bool: ...

    def scrub(self, seconds: float) -> None: ...

    def mark(self, person: str, key: str) -> str | None: ...

    def close(self) -> None: ...


class Sqlite:
    """A file, made or migrated when it is opened; a connection belongs to one thread. See `Database`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: list[tuple[int, int] | None] | None = None
        self._names = [f"{path}{end}" for end in ("", "-wal", "-shm")]
        self._local = threading.local()
        self._opened: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._guard = threading.Lock()
        self._writing = (
            threading.RLock()
        )  # SQLite's own waiting is in steps of up to 100 ms and knows no order
        self._armed = False
        name = _identity(path)
        if name not in _whole and (wrong := integrity.log_damage(path)):
            raise ArtifactError(messages.damaged(path, wrong))
        with self.transaction() as connection:
            _migrate(connection, path)
        self._armed = True
        integrity.arm(self._connection())
        if name not in _whole:
            with self.transaction(write=False) as connection:
                if wrong := integrity.damage(connection):
                    raise ArtifactError(messages.damaged(path, wrong))
            _whole.add(_identity(path))

    def close(self) -> None:
        """Close the connections of every thread; the object can be used again afterwards."""
        with self._guard:
            for _, connection in self._opened:
                connection.close()
            self._opened.clear()
            self._files = None
            self._local = threading.local()

    def locked(self, seconds: float) -> bool:
        """Whether another process keeps this one from writing for so long. Raises BusyError as a write where
        the database or its log is no longer the file that this one has open.
        """
        self._check_files()
        connection = sqlite3.connect(self.path, timeout=seconds, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
        return False

    def scrub(self, seconds: float) -> None:
        """Write the file anew, so that no page holds what was deleted, and empty its log.

        Raises
        ------
        BusyError
            when another process goes on reading or writing for `seconds`: the log keeps what it reads.
        """
        end = time.monotonic() + seconds
        written = False
        try:
            while True:
                try:
                    connection = self._connection()
                    if not written:
                        connection.execute("VACUUM")
                    written = True
                    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                        return
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error):
                        raise
                if time.monotonic() > end:
                    raise BusyError(
                        f"{self.path}: another process reads it (a backup, a query), so its log still holds"
                        " what was deleted; end that process and run the command again"
                    )
                time.sleep(0.05)
        except sqlite3.DatabaseError as error:
            raise messages.explained(error, self.path) from error

    def mark(self, person: str, key: str) -> str | None:
        """What stands for a person who was erased."""
        return integrity.person_mark(person, key)

    @contextmanager
    def transaction(self, write: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection whose statements become durable together, or not at all.

        Raises BusyError where they would not be found again: the database or its log was replaced or deleted
        while this process has it open.
        """
        try:
            connection = self._connection()
            with self._turn() if write else nullcontext():
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                try:
                    if write:
                        self._check_files()
                    yield connection
                    connection.execute("COMMIT")
                    if write:
                        self._check_files()
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise messages.explained(error, self.path) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """This process's one writer at a time. Raises OperationalError after as long as SQLite would wait."""
        if not self._writing.acquire(timeout=PATIENCE):
            raise sqlite3.OperationalError("database is locked")
        try:
            yield
        finally:
            self._writing.release()

    def _check_files(self) -> None:
        """Whether the files that SQLite opened are still those of their names; takes a few microseconds."""
        if self._files not in (None, [_inode(name) for name in self._names]):
            raise BusyError(
                f"{self.path}: this file or its log (-wal, -shm) was replaced or deleted while in use, so"
                " nothing more is stored; start the server, or whatever has it open, again"
            )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                f"busy_timeout = {1000 * PATIENCE:.0f}",
                "secure_delete = ON",
            ):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # from here on the log is open
            with self._guard:  # threads of a pool come and go; a connection goes with its own
                self._files = self._files or [_inode(name) for name in self._names]
                left = [row for row in self._opened if not row[0].is_alive()]
                for _, unused in left:
                    unused.close()
                self._opened = [row for row in self._opened if row not in left]
                self._opened.append((threading.current_thread(), connection))
            integrity.add_functions(connection)
            if self._armed:
                integrity.arm(connection)
            self._local.connection = connection
        return connection


def check_file(path: Path) -> str | None:
    """What is wrong with the database at `path`, in one line; None when it is whole and of a version we
    know.
    """
    try:
        # Not where this process has the file open: closing the index beside the log would take SQLite's locks
        # from it, and opening has looked already.
        if _identity(path) not in _whole and (wrong := integrity.log_damage(path)):
            return messages.damaged(path, wrong)
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=5.0)
        try:
            integrity.add_functions(connection)
            connection.execute("PRAGMA query_only = ON")  # mode=ro would leave its -wal and -shm files behind
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                return messages.newer(path, version)
            if version < VERSION:  # without the checksums that opening it will add
                said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
                return None if said == "ok" else messages.damaged(path, said)
            connection.execute("BEGIN")
            wrong = integrity.damage(connection)
            return messages.damaged(path, wrong) if wrong else None
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return str(messages.explained(error, path))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise ArtifactError(messages.newer(path, version))
    if version < VERSION:
        integrity.migrate(connection, MIGRATIONS, version)


def _identity(path: Path) -> tuple[str, int]:
    try:
        return str(path.resolve()), path.stat().st_ino
    except OSError:
        return str(path), 0


def _inode(name: str) -> tuple[int, int] | None:
    try:
        about = os.stat(name)  # noqa: PTH116 - a Path takes three times as long
    except OSError:
        return None
    return about.st_dev, about.st_ino
