"""The database on a server that several machines share: PostgreSQL, through psycopg.

The statements are those of SQLite, translated where the two differ. Writing transactions come one at a time
here too (an advisory lock, held until the commit), so what holds of one file holds of one server. Rows carry
checksums, which triggers write and every reader compares.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tastemaker.errors import ArtifactError, BusyError, FullError, InputError, TastemakerError
from tastemaker.store.database.events import CLOCK, now
from tastemaker.store.database.integrity import CHECKSUM, DAMAGED, KEYED, tables
from tastemaker.store.database.migrations import MIGRATIONS, PERSONAL, VERSION
from tastemaker.store.database.session import Address, Session, connection, driver, one_line

if TYPE_CHECKING:
    import psycopg

LOCK = 8_236_104  # the advisory lock of whoever writes
WRITE = ("BEGIN", f"SELECT pg_advisory_xact_lock({LOCK})")
LEASE = 8_236_105  # the first half of the keys of leases
_KEEPALIVE = {"tcp_keepalives_idle": 20, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 4}
_HOLDER = (
    "SELECT application_name, host(client_addr), to_char(backend_start AT TIME ZONE 'UTC',"
    " 'YYYY-MM-DD HH24:MI:SS') || ' UTC' FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND (classid::bigint, objid::bigint::bit(32)) ="
    " (SELECT a, b::bit(32) FROM (VALUES {key}) AS wanted (a, b))"
)
READ_ONLY = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)
WAIT = 5000  # milliseconds that a writer waits for another
CONNECT = 5  # seconds that connecting may take
SILENCE = 10.0  # seconds after which a server's statement that has no answer is given up


class Postgres:
    """A database on a server, its tables made or migrated when it is opened; a connection belongs to one
    thread, and is made anew when the server dropped it. See `Database`.
    """

    def __init__(self, address: Address, silence: float | None = None) -> None:
        self.address, self._driver, self._silence = address, driver(), silence
        self._ahead = timedelta()  # the server's clock before ours
        self._local, self._guard = threading.local(), threading.Lock()
        self._opened: list[tuple[threading.Thread, Session]] = []
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        address = self.address
        with self.transaction(write=True) as session:
            _migrate(session, address)
        with self.transaction(write=False) as session:
            if wrong := _damage(session):
                raise ArtifactError(
                    f"{address}: {wrong}; restore it from a backup, or choose an empty database"
                )

    def close(self) -> None:
        """Close the connections of every thread; the object can be used again afterwards."""
        with self._guard:
            for _, session in self._opened:
                session.raw.close()
            self._opened.clear()
            self._local = threading.local()

    @contextmanager
    def transaction(self, write: bool) -> Iterator[Session]:
        """Statements that become durable together, or not at all; a reader sees one moment."""
        try:
            session = self._session()
            session.waiting = WRITE if write else READ_ONLY
            try:
                yield session
                session.end("COMMIT")
            except BaseException:
                with suppress(self._driver.Error):
                    session.end("ROLLBACK")
                raise
        except (self._driver.Error, sqlite3.DatabaseError) as error:
            raise self._explained(error) from error

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session(self._connect)
            here = threading.current_thread()
            with self._guard:  # threads of a pool come and go; a connection goes with its own
                dead = [row for row in self._opened if not row[0].is_alive()]
                for _, unused in dead:
                    unused.raw.close()
                self._opened = [*(row for row in self._opened if row not in dead), (here, session)]
        return session

    def _connect(self) -> psycopg.Connection[Any]:
        options = _options(self.address, f"-c lock_timeout={WAIT} -c synchronous_commit=on")
        session = connection(self._silence).connect(
            self.address.url, autocommit=True, connect_timeout=CONNECT, options=options
        )
        began = now()
        row = session.execute(b"SELECT clock_timestamp()").fetchone()
        assert row is not None
        self._ahead = row[0] - began - (now() - began) / 2
        return session

    def now(self) -> datetime:
        """The time of the server's clock: machines whose own differ stamp alike."""
        return now() + (timedelta() if CLOCK in os.environ else self._ahead)

    def locked(self, seconds: float) -> bool:
        """Whether another process keeps this one from writing for so long. BusyError: the server is away."""
        try:
            with self.transaction(write=False) as session:
                session.execute(f"SET LOCAL lock_timeout = {max(1, round(seconds * 1000))}")
                session.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        except BusyError as error:
            if isinstance(error.__cause__, self._driver.errors.LockNotAvailable):
                return True
            raise
        return False

    def scrub(self, seconds: float) -> None:
        """Write the tables about people anew, so that their files hold nothing that was deleted. Backups and
        the server's write-ahead log are its administrator's. Raises BusyError as `Database.scrub`.
        """
        try:
            session = self._session()
            session.raw.execute(f"SET lock_timeout = {round(seconds * 1000)}")
            for table in PERSONAL:
                session.raw.execute(f"VACUUM (FULL) {table}".encode())
            session.raw.execute(f"SET lock_timeout = {WAIT}")
        except self._driver.Error as error:
            raise self._explained(error) from error

    def mark(self, person: str, key: str) -> str | None:
        """What stands for a person who was erased; `_guards` makes the same in SQL."""
        return sha256((key + person).encode()).hexdigest()

    def _explained(self, error: Exception) -> TastemakerError:
        known, what = self._driver.errors, one_line(error)
        if isinstance(error, known.LockNotAvailable | known.DeadlockDetected):
            return BusyError(
                f"{self.address}: another process is writing to it; try again, or stop that process"
            )
        if isinstance(error, known.DataCorrupted | sqlite3.DatabaseError):
            return ArtifactError(f"{self.address}: damaged ({what}); restore it from a backup")
        if isinstance(error, known.DiskFull):
            return FullError(
                f"{self.address}: the server's disk is full; nothing was changed. Free some space"
            )
        if isinstance(error, known.InsufficientPrivilege | known.ReadOnlySqlTransaction):
            return ArtifactError(
                f"{self.address}: the server refuses this ({what}); grant the user its tables"
            )
        if isinstance(error, self._driver.IntegrityError | self._driver.DataError):
            return InputError(
                f"{self.address}: a row breaks a rule of its table ({what}); nothing was stored"
            )
        if isinstance(error, self._driver.OperationalError | self._driver.InterfaceError):
            return BusyError(
                f"{self.address}: the database cannot be reached ({what}); start it, or correct `database` in"
                " tastemaker.toml"
            )
        return ArtifactError(
            f"{self.address}: the database refuses a statement ({what}); is it another program's?"
        )


@contextmanager
def lease(address: Address, name: str, purpose: str, wait: bool = False) -> Iterator[Callable[[], None]]:
    """Hold `name` among all machines that share the database; gives a call that raises when it was lost.

    It is a lock of a connection of its own, so it ends with the process however that ends, and within a
    minute of a machine that vanished: the server's keepalives tell, and no clock is compared.

    Raises BusyError when another holds it (`wait`: never), says who, where, for what and since when by the
    database's clock; when the server cannot be reached, or the connection was lost.
    """
    engine = Postgres(address)
    key = f"({LEASE}, hashtext(current_schema() || {name!r}))"
    lost = BusyError(f"{address}: the connection that held '{name}' was lost, so another may hold it by now")
    try:
        session = engine._session().raw
        about = f"tastemaker {os.getpid()}@{socket.gethostname()[:20]} {purpose}"[:63]
        session.execute("SELECT set_config('application_name', %s, false)", (about,))
        for setting, value in _KEEPALIVE.items():
            session.execute(f"SET {setting} = {value}".encode())
        if wait:
            session.execute(b"SET lock_timeout = 0")
            session.execute(f"SELECT pg_advisory_lock{key}".encode())
        elif not session.execute(f"SELECT pg_try_advisory_lock{key}".encode()).fetchall()[0][0]:
            row = session.execute(_HOLDER.format(key=key).encode()).fetchone()
            who = f"{row[0]} from {row[1] or 'this machine'} since {row[2]}" if row else "another machine"
            raise BusyError(
                f"{address}: {who} holds the {name}; wait for it to end, or stop that process: its work"
                " resumes later"
            )

        def check() -> None:
            try:
                session.execute(b"SELECT 1")
            except engine._driver.Error:
                raise lost from None

        yield check
    except engine._driver.Error as error:
        raise engine._explained(error) from error
    finally:
        engine.close()


def check_server(address: Address) -> str | None:
    """What is wrong with the database, in one line; None when nothing is. It is migrated if it is older."""
    try:
        Postgres(address).close()
    except TastemakerError as error:
        return str(error)
    return None


def _options(address: Address, extra: str) -> str:
    """Ours beside those that the address gives, such as a search path."""
    options = driver().conninfo.conninfo_to_dict(address.url).get("options", "")
    return f"{options} {extra}".strip()


def _migrate(session: Session, address: Address) -> None:
    """Bring the tables up to date, in the one transaction that holds the writers' lock."""
    session.execute("CREATE TABLE IF NOT EXISTS tastemaker (version INTEGER NOT NULL)")
    row = session.execute("SELECT version FROM tastemaker").fetchone()
    version = int(row[0]) if row else 0
    if version > VERSION:
        raise ArtifactError(
            f"{address}: was written by a newer Tastemaker (version {version}, this program knows up to"
            f" {VERSION}); upgrade with `pip install --upgrade tastemaker`"
        )
    if row is None:
        session.execute("INSERT INTO tastemaker (version) VALUES (0)")
    if version < VERSION:
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                session.execute(statement)
        for statement in _guards():
            session.raw.execute(statement.encode())
        session.execute("UPDATE tastemaker SET version = ?", (VERSION,))
    there = _columns(session)
    for table, (names, _) in tables().items():
        if (table, CHECKSUM) not in there and all((table, name) in there for name in names):
            for statement in _sums(table, names):
                session.raw.execute(statement.encode())


def _guards() -> Iterator[str]:
    """What keeps out every row about a person who was erased, whoever is in the middle of writing one."""
    for column in sorted(set(PERSONAL.values())):
        yield (
            f"CREATE OR REPLACE FUNCTION without_erased_{column}() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN IF EXISTS (SELECT 1 FROM erased) AND EXISTS (SELECT 1 FROM erased WHERE person ="
            f" encode(sha256(convert_to({KEYED} || NEW.{column}, 'UTF8')), 'hex')) THEN RETURN NULL; END IF;"
            " RETURN NEW; END $$"
        )
    for table, column in PERSONAL.items():
        yield (
            f"CREATE OR REPLACE TRIGGER without_erased BEFORE INSERT OR UPDATE OF {column} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION without_erased_{column}()"
        )


def _sums(table: str, names: Sequence[str]) -> Iterator[str]:
    """A column with 48 bits of MD5 of each row, filled by the server; a change heals no damaged row."""
    old, new = (", ".join(f"{place}.{name}" for name in names) for place in ("OLD", "NEW"))
    yield (
        "CREATE OR REPLACE FUNCTION row_sum(of text, content text) RETURNS bigint LANGUAGE sql IMMUTABLE AS"
        " $$ SELECT ('x' || substr(md5(of || content), 1, 12))::bit(48)::bigint $$"
    )
    yield f"ALTER TABLE {table} ADD COLUMN {CHECKSUM} BIGINT"
    yield f"UPDATE {table} SET {CHECKSUM} = row_sum('{table}', ROW({', '.join(names)})::text)"
    yield (
        f"CREATE OR REPLACE FUNCTION sum_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF TG_OP = 'UPDATE' AND OLD.{CHECKSUM} <> row_sum('{table}', ROW({old})::text) THEN"
        f" RAISE data_corrupted USING MESSAGE = '{DAMAGED}'; END IF;"
        f" NEW.{CHECKSUM} := row_sum('{table}', ROW({new})::text); RETURN NEW; END $$"
    )
    yield (  # by name after the trigger that keeps out who was erased
        f"CREATE OR REPLACE TRIGGER z_sum BEFORE INSERT OR UPDATE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION sum_{table}()"
    )


def _columns(session: Session) -> set[tuple[str, str]]:
    rows = session.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    ).fetchall()
    return {(str(table), str(column)) for table, column in rows}


def _damage(session: Session) -> str:
    """Which table is not as it was made; "" when each is."""
    there = _columns(session)
    for table, (names, _) in tables().items():
        if missing := [name for name in names if (table, name) not in there]:
            return f"table {table} is not as it was made (no column {missing[0]})"
    return ""
