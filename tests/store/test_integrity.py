"""No damage of the database or its log is served: every change of a byte is refused by name or has no
effect.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tastemaker.errors import ArtifactError, BusyError, InputError, TastemakerError
from tastemaker.store import Database, Event, Offer, OfferedRow, Offers, Question, Surveys
from tastemaker.store.database import check_database, integrity

START = datetime(2026, 1, 1, tzinfo=UTC)


def fill(path: Path, batches: int = 20) -> Database:
    """A database with rows in every table that the store writes."""
    database = Database(path)
    for n in range(batches):
        at = START + timedelta(seconds=n)
        names = (f"e{n}-{k}" for k in range(10))
        database.add_events([Event(name, f"u{n % 3}", "like", at, "i", request_id="r") for name in names])
        rows = [OfferedRow("i", 0.5, 0.25), OfferedRow("j", 1.0)]
        Offers(database).add(
            [Offer(f"r{n}", "u0", at, rows, "p", pool=["i", "j"], features='{"item_id": []}')]
        )
        Offers(database).delivered([f"r{n}"], at)
    Surveys(database).ask(Question("q", "u0", "i", "r1", "worth", 0.5, START), 0.0, 0)
    Surveys(database).expose("x", "u0", "a", START)
    database.deploy("serving", "ab" * 16, START, "note")
    database.secret("draws")
    database.erase("u2")
    return database


def seen(path: Path) -> tuple[object, ...]:
    """Everything that can be asked of it."""
    database = Database(path)
    try:
        history = [database.history(f"u{n}") for n in range(3)]
        surveys = Surveys(database)
        tables = (database.events_table(), database.slates_table(), surveys.rows(), surveys.exposures("x"))
        return (
            history,
            [table.to_pylist() for table in tables],
            database.deployments(),
            database.secret("draws"),
        )
    finally:
        database.close()


def test_a_flip_or_a_cut_of_the_file_is_refused_or_has_no_effect(tmp_path: Path) -> None:
    whole = tmp_path / "whole.sqlite"
    fill(whole).close()
    right, content, rng = seen(whole), whole.read_bytes(), random.Random(5)
    refused = 0
    for number in range(150):
        path, changed = tmp_path / f"{number}.sqlite", bytearray(content)
        if number % 10:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        else:
            del changed[rng.randrange(1, len(changed)) :]
        path.write_bytes(changed)
        try:
            assert seen(path) == right
        except TastemakerError as error:
            refused += 1
            assert path.name in str(error) and check_database(path) is not None
    assert refused > 20  # much of so small a file is free space


def test_a_flip_in_the_log_is_refused_though_sqlite_would_drop_what_follows(tmp_path: Path) -> None:
    writing = fill(tmp_path / "db.sqlite")
    files = {end: (tmp_path / f"db.sqlite{end}").read_bytes() for end in ("", "-wal", "-shm")}
    writing.close()
    rng, log = random.Random(7), files["-wal"]
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, changed = folder / "db.sqlite", bytearray(log)
        if number % 10:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        else:
            del changed[rng.randrange(len(changed)) :]
        for end, content in (files | {"-wal": bytes(changed)}).items():
            (folder / f"db.sqlite{end}").write_bytes(content)
        assert "write-ahead log" in str(check_database(path))
        with pytest.raises(ArtifactError, match="write-ahead log"):
            Database(path)
    (tmp_path / "copy").mkdir()
    for end, content in files.items():
        (tmp_path / "copy" / f"db.sqlite{end}").write_bytes(content)
    assert check_database(tmp_path / "copy" / "db.sqlite") is None
    assert len(Database(tmp_path / "copy" / "db.sqlite").history("u0")) == 70


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tastemaker.store import Database, Event
database = Database(Path(sys.argv[1]))
for n in range(10**6):
    database.add_events([Event(f"{n}-{k}", "u", "like", datetime.now(UTC), "i") for k in range(50)])
    print(n, flush=True)
"""


def test_the_log_of_a_writer_at_work_or_killed_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(40):
                writer.stdout.readline()
                assert integrity.log_damage(path) == ""
            writer.kill()
        assert integrity.log_damage(path) == ""
    assert check_database(path) is None


def held(path: Path) -> list[str]:
    """The locks that this process holds on a file, as the kernel lists them."""
    name = f":{path.stat().st_ino}"
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    lines = [row[-6:] for row in rows if row[-4] == str(os.getpid()) and row[-3].endswith(name)]
    return sorted(" ".join(row) for row in lines)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the kernel does not list its locks")
def test_checking_an_open_database_takes_no_lock_from_it(tmp_path: Path) -> None:
    """Without them, the next process that closes it throws away a log that is still written to."""
    path = tmp_path / "db.sqlite"
    database = fill(path)
    files = path, path.with_name("db.sqlite-shm")
    before = [held(file) for file in files]
    assert all(before)
    assert check_database(path) is None
    assert [held(file) for file in files] == before
    database.close()


def rename(database: Database) -> None:
    """A change of a damaged row: it must not make it look whole."""
    with database.transaction() as connection:
        connection.execute("UPDATE slates SET user_id = 'u9' WHERE request_id = 'r1'")


def test_damage_that_comes_while_it_is_open_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    fill(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE events SET item_id = 'k' WHERE event_id = 'e3-1'")
        raw.execute("UPDATE slates SET propensity = 0.4 WHERE request_id = 'r1'")
    raw.close()
    database = Database(path)  # this process has looked through the file before
    assert len(database.history("u1")) == 70
    for read in (
        lambda: database.history("u0"),
        database.slates_table,
        lambda: database.stored(["e3-1"]),
        lambda: rename(database),
    ):
        with pytest.raises(ArtifactError, match="does not match its checksum"):
            read()
    database.close()
    assert "1 rows of events" in str(check_database(path))


def test_scrubbing_waits_for_a_reader_and_says_so_when_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    database = fill(path)
    database.add_events([Event("s", "secret-person", "like", START, "i")])
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    database.erase("secret-person")
    with pytest.raises(BusyError, match="another process reads it"):
        database.scrub(seconds=0.2)
    threading.Timer(0.3, lambda: reader.execute("COMMIT")).start()
    database.scrub()
    assert not any(b"secret-person" in file.read_bytes() for file in tmp_path.iterdir())
    reader.close()
    database.close()


def test_no_row_about_an_erased_person_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    serving = fill(path)
    other = Database(path)
    other.erase("u0")
    with pytest.raises(InputError, match="somebody who was erased"):
        serving.add_events([Event("new", "u0", "like", START, "i")])
    Offers(serving).add([Offer("late", "u0", START, [OfferedRow("i", 1.0)], "p", features="{}")])
    Surveys(serving).expose("x", "u0", "b", START)
    serving.add_events([Event("new", "u5", "like", START, "i")])
    other.scrub()
    serving.close()
    other.close()
    assert not any(b"u0" in file.read_bytes() for file in tmp_path.iterdir())
    assert check_database(path) is None
