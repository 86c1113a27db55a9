"""The database as a file of the workspace: SQLite with a write-ahead log, every transaction durable."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import tastemaker.store.database.integrity as integrity
from tastemaker.errors import ArtifactError, BusyError, FullError, InputError, TastemakerError
from tastemaker.store.database.events import now
from tastemaker.store.database.migrations import MIGRATIONS, VERSION

SYNCHRONOUS = "FULL"  # what is written survives a power cut
PATIENCE = 5.0  # seconds that a write waits for the one before it
TOGETHER, SOON = 64, 0.05  # writes that one commit makes durable at most, and seconds after which it comes
_checked = set[tuple[str, int]]()  # files that this process has looked through


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

    def now(self) -> datetime: ...

    def close(self) -> None: ...


@dataclass(eq=False)
class _Batch:
    """Writes that one commit makes durable, with one wait for the disk. entries: how many began."""

    began: float = field(default_factory=time.monotonic)
    entries: int = 0
    durable: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Sqlite:
    """A file, made or migrated when it is opened. Each thread reads by a connection of its own; all write by
    one, in turn, and whoever finds nobody waiting commits for those before. See `Database`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: list[tuple[int, int] | None] | None = None
        self._names = [f"{path}{end}" for end in ("", "-wal", "-shm")]
        self._local = threading.local()
        self._opened: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._guard = threading.Lock()
        self._turn = threading.Condition()  # SQLite's own waiting is in steps of up to 100 ms, in no order
        self._line, self._busy, self._batch = deque[object](), False, _Batch()
        self._writer: sqlite3.Connection | None = None
        self._armed = False
        name = _identity(path)
        if name not in _checked and (wrong := integrity.log_damage(path)):
            raise ArtifactError(_damaged(path, wrong))
        with self.transaction() as connection:
            _migrate(connection, path)
        self._armed = True
        integrity.arm(connection)
        if name not in _checked:
            with self.transaction(write=False) as connection:
                if wrong := integrity.damage(connection):
                    raise ArtifactError(_damaged(path, wrong))
            _checked.add(_identity(path))

    def close(self) -> None:
        """Close the connections of every thread, once what was written is durable; the object can be used
        again afterwards. A write that goes on for longer than others wait fails.
        """
        batch = self._batch
        try:
            batch, entered = self._enter(), True
            self._finish(batch)
        except sqlite3.OperationalError:
            entered = False
            batch.error = BusyError(
                f"{self.path}: was closed before this was durable; nothing of it is stored"
            )
        with self._guard:
            for _, connection in self._opened:
                connection.close()
            self._opened.clear()
            self._files = self._writer = None
            self._local = threading.local()
        if entered:
            self._leave(self._batch)

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

        Raises BusyError when another process goes on reading or writing for `seconds`: the log keeps what it
        reads.
        """
        end = time.monotonic() + seconds
        vacuumed = False
        try:
            while True:
                try:
                    connection = self._connection()
                    if not vacuumed:
                        connection.execute("VACUUM")
                    vacuumed = True
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
            raise _explained(error, self.path) from error

    def mark(self, person: str, key: str) -> str | None:
        """What stands for a person who was erased."""
        return integrity.person_mark(person, key)

    def now(self) -> datetime:
        """The time."""
        return now()

    @contextmanager
    def transaction(self, write: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection whose statements become durable together, or not at all.

        Raises BusyError where they would not be found again: the database or its log was replaced or deleted
        while this process has it open.
        """
        try:
            if write:
                with self._writing() as connection:
                    yield connection
                return
            connection = self._connection()
            connection.execute("BEGIN")
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
            raise _explained(error, self.path) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One write of a batch: taken back alone where it fails, and not over before the batch is durable."""
        batch = self._enter()
        try:
            connection = self._writer = self._writer or self._opened_writer()
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            connection.execute("SAVEPOINT own")
            try:
                self._check_files()
                yield connection
                connection.execute("RELEASE own")
            except BaseException as error:
                self._take_back(batch, error)
                if isinstance(error, sqlite3.ProgrammingError) and isinstance(batch.error, BusyError):
                    raise batch.error from error  # closed by somebody meanwhile
                raise
        finally:
            self._leave(batch)
        while not batch.durable.wait(PATIENCE / 10):
            with self._turn:  # whoever was to commit was interrupted
                orphaned = not self._busy and not self._line and self._batch is batch
                self._busy = self._busy or orphaned
            if orphaned:
                self._leave(batch)
        if batch.error is not None:
            raise batch.error

    def _take_back(self, batch: _Batch, error: BaseException) -> None:
        """Undo one write of a batch; where that is not possible, nothing of the batch is stored."""
        connection = self._writer
        try:
            if connection is None or not connection.in_transaction:  # given up by SQLite, as on a full disk
                batch.error = batch.error or error
            else:
                connection.execute("ROLLBACK TO own")
                connection.execute("RELEASE own")
        except sqlite3.Error as broken:
            batch.error = batch.error or broken

    def _enter(self) -> _Batch:
        """This process's one writer at a time, in the order they come; gives the batch that is open. Raises
        OperationalError after as long as SQLite would wait.
        """
        place = object()
        with self._turn:
            self._line.append(place)
            try:
                if not self._turn.wait_for(lambda: not self._busy and self._line[0] is place, PATIENCE):
                    raise sqlite3.OperationalError("database is locked")
                self._busy = True
                self._batch.entries += 1
                return self._batch
            finally:
                self._line.remove(place)
                self._turn.notify_all()

    def _leave(self, batch: _Batch) -> None:
        """Let the next one write, or commit where there is none, and where the batch is large or old."""
        with self._turn:
            full = batch.entries >= TOGETHER or time.monotonic() - batch.began > SOON
            over = full or not self._line or batch.error is not None
        try:
            if over:
                self._finish(batch)
        finally:
            with self._turn:
                self._busy = False
                self._turn.notify_all()

    def _finish(self, batch: _Batch) -> None:
        """Make a batch durable, or nothing of it, and tell its writers."""
        self._batch, connection = _Batch(), self._writer
        try:
            if connection is not None and connection.in_transaction:
                connection.execute("COMMIT" if batch.error is None else "ROLLBACK")
                self._check_files()
        except BaseException as error:
            batch.error = batch.error or error
            with suppress(sqlite3.Error):
                if connection is not None and connection.in_transaction:
                    connection.execute("ROLLBACK")
        finally:
            batch.durable.set()

    def _check_files(self) -> None:
        """Whether the files that SQLite opened are still those of their names; takes a few microseconds."""
        if self._files not in (None, [_inode(name) for name in self._names]):
            raise BusyError(
                f"{self.path}: this file or its log (-wal, -shm) was replaced or deleted while in use, so"
                " nothing more is stored; start the server, or whatever has it open, again"
            )

    def _connection(self) -> sqlite3.Connection:
        """The reader of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open(threading.current_thread())
        return connection

    def _opened_writer(self) -> sqlite3.Connection:
        connection = self._open(threading.main_thread())
        if self._armed:
            integrity.arm(connection)
        return connection

    def _open(self, owner: threading.Thread) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {SYNCHRONOUS}",
            "foreign_keys = ON",
            f"busy_timeout = {1000 * PATIENCE:.0f}",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # from here on the log is open
        integrity.add_functions(connection)
        with self._guard:  # threads of a pool come and go; a connection goes with its own
            self._files = self._files or [_inode(name) for name in self._names]
            dead = [row for row in self._opened if not row[0].is_alive()]
            for _, unused in dead:
                unused.close()
            self._opened = [row for row in self._opened if row not in dead]
            self._opened.append((owner, connection))
        return connection


def check_file(path: Path) -> str | None:
    """What is wrong with the database at `path`, in one line; None when whole and of a known version."""
    try:
        # Not where this process has the file open: closing the index beside the log would take SQLite's locks
        # from it, and opening has looked already.
        if _identity(path) not in _checked and (wrong := integrity.log_damage(path)):
            return _damaged(path, wrong)
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=5.0)
        try:
            integrity.add_functions(connection)
            connection.execute("PRAGMA query_only = ON")  # mode=ro would leave its -wal and -shm files behind
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                return _newer(path, version)
            if version < VERSION:  # without the checksums that opening it will add
                verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
                return None if verdict == "ok" else _damaged(path, verdict)
            connection.execute("BEGIN")
            wrong = integrity.damage(connection)
            return _damaged(path, wrong) if wrong else None
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return str(_explained(error, path))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise ArtifactError(_newer(path, version))
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


def _damaged(path: Path, what: str) -> str:
    """A file that is not what was written."""
    return (
        f"{path}: damaged or not a database ({what}); restore it from a copy, or move it away to start afresh"
    )


def _newer(path: Path, version: int) -> str:
    """A file of a version that is not known here."""
    return (
        f"{path}: was written by a newer Tastemaker (version {version}, this program knows up to {VERSION}); "
        "upgrade with `pip install --upgrade tastemaker`"
    )


def _explained(error: sqlite3.DatabaseError, path: Path) -> TastemakerError:
    """The error that stands for one of SQLite's."""
    message = str(error)
    if isinstance(error, sqlite3.IntegrityError) and message != integrity.DAMAGED:
        return InputError(f"{path}: a row breaks a rule of its table ({message}); nothing was stored")
    if "full" in message:
        return FullError(f"{path}: the disk is full; nothing was changed. Free some space and try again")
    if "locked" in message or "busy" in message:
        return BusyError(f"{path}: another process is writing to it; try again, or stop that process")
    if "unable to open" in message or "readonly" in message:
        return ArtifactError(f"{path}: cannot be opened or written; check the folder and its permissions")
    if "I/O" in message:
        return ArtifactError(
            f"{path}: the disk fails to read or write it ({message}); nothing was changed. Check the disk"
        )
    return ArtifactError(_damaged(path, message))
