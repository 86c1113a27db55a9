"""What only a server can do to a database: be down, older, newer, half there, somebody else's, or asked by
several at once.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from tests.postgres import Cluster

from tastemaker.cli.main import main
from tastemaker.errors import ArtifactError, BusyError, InputError
from tastemaker.store.database import VERSION, Address, Database, Event, Keys, check_database
from tastemaker.store.database.copy import copy_database
from tastemaker.store.database.migrations import PERSONAL
from tastemaker.store.settings import Settings
from tastemaker.store.workspace import Workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def address(postgres: Cluster) -> Address:
    return Address(postgres.fresh())


def play(name: str, user: str = "u") -> Event:
    return Event(name, user, "play", NOW, "i")


def raw(address: Address, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address.url, autocommit=True) as session:
        cursor = session.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://host/shop", "give postgresql://"),
        ("postgresql://me:secret@host/shop", "tells a password"),
        ("postgresql://host/shop?colour=red", "cannot be read"),
    ],
)
def test_an_address_that_is_none_is_refused_in_one_line(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        Address(url)
    assert "secret" not in str(refused.value).replace("secrets", "")


def test_nobody_at_the_address_is_one_line_that_says_what_to_do(postgres: Cluster) -> None:
    nobody = Address("postgresql://tests@127.0.0.1:1/postgres")
    with pytest.raises(BusyError, match=r"cannot be reached .*; start it, or correct `database`"):
        Database(nobody)
    absent = Address(postgres.address.replace("/postgres", "/absent"))
    assert "cannot be reached" in str(check_database(absent))


def test_a_newer_a_half_made_and_a_foreign_database_are_told_apart(address: Address) -> None:
    Database(address).close()
    assert check_database(address) is None
    raw(address, "ALTER TABLE offers DROP COLUMN pool")
    with pytest.raises(ArtifactError, match="table offers is not as it was made"):
        Database(address)
    raw(address, f"UPDATE tastemaker SET version = {VERSION + 1}")
    with pytest.raises(ArtifactError, match=r"newer Tastemaker .*upgrade"):
        Database(address)


def test_tables_are_migrated_all_or_nothing(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    from tastemaker.store.database import postgres as module

    first = module.MIGRATIONS
    monkeypatch.setattr(module, "MIGRATIONS", (*first[:-1], (*first[-1], "CREATE TABLE broken (")))
    with pytest.raises(ArtifactError):
        Database(address)
    assert (
        raw(address, "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
        == []
    )
    monkeypatch.setattr(module, "MIGRATIONS", first)
    Database(address).close()


def test_the_database_itself_refuses_a_slate_without_a_propensity(address: Address) -> None:
    Database(address).close()
    for wrong in ("NULL", "0.0", "1.1"):
        with pytest.raises(psycopg.IntegrityError):
            raw(address, f"INSERT INTO slates VALUES ('r', 'u', 0, 0, 'i', {wrong}, NULL, 'p', NULL, NULL)")


def test_opened_by_many_at_once_it_is_made_once(address: Address) -> None:
    failed = list[Exception]()

    def work(number: int) -> None:
        try:
            database = Database(address)
            database.add_events([play(f"{number}-{n}") for n in range(5)])
            database.close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert raw(address, "SELECT count(*), count(DISTINCT sequence), max(sequence) FROM events") == [
        (30, 30, 30)
    ]


def test_who_was_erased_comes_back_by_no_door(address: Address) -> None:
    database = Database(address)
    database.add_events([play("a", "somebody"), play("b", "other")])
    assert database.erase("somebody") == 1
    database.scrub()
    raw(address, "INSERT INTO exposures VALUES ('t', 'somebody', 'control', 0), ('t', 'other', 'control', 0)")
    with pytest.raises(InputError, match="was erased"):
        database.add_events([play("c", "somebody")])
    for table, column in PERSONAL.items():
        assert raw(address, f"SELECT 1 FROM {table} WHERE {column} = 'somebody'") == []
    assert raw(address, "SELECT unit FROM exposures") == [("other",)]
    database.close()


def test_a_server_that_stops_is_told_and_taken_up_again(postgres: Cluster, address: Address) -> None:
    database = Database(address)
    database.add_events([play("a")])
    key = Keys(database).add("app", "backend")
    postgres.stop()
    try:
        with pytest.raises(BusyError, match="cannot be reached"):
            database.add_events([play("b")])
        with pytest.raises(BusyError):
            database.locked()
    finally:
        postgres.start()
    assert database.history("u") == [play("a")] and not database.locked()
    assert Keys(database).all()[0].opens(key.split("-")[2])
    database.close()


def test_another_writer_is_waited_for_and_then_told(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tastemaker.store.database import postgres as module

    monkeypatch.setattr(module, "WAIT", 50)
    database, other = Database(address), Database(address)
    with other.transaction() as held:
        held.execute("SELECT 1")
        assert database.locked()
        with pytest.raises(BusyError, match="another process is writing"):
            database.add_events([play("a")])
        assert database.history("u") == []  # reading goes on
    assert database.add_events([play("a")]).inserted == 1 and not database.locked()
    database.close()
    other.close()


def test_a_workspace_keeps_what_changes_there(tmp_path, address: Address) -> None:  # type: ignore[no-untyped-def]
    Workspace.create(tmp_path / "w", {"database": address.url})
    workspace = Workspace.open(tmp_path / "w")
    assert workspace.database == address and Settings().database == ""
    database = Database(workspace.database)
    database.add_events([play("a")])
    database.close()
    assert not (tmp_path / "w" / "tastemaker.sqlite").exists()


def test_a_row_that_was_damaged_behind_its_back_is_told(address: Address) -> None:
    database = Database(address)
    database.add_events([play("a"), play("b")])
    raw(
        address,
        "SET session_replication_role = replica; UPDATE events SET item_id = 'x' WHERE event_id = 'a'",
    )
    with pytest.raises(ArtifactError, match=r"damaged \(a row does not match its checksum\); restore"):
        database.history("u")
    with pytest.raises(psycopg.errors.DataCorrupted):  # a change does not make it look whole
        raw(address, "UPDATE events SET kind = 'like' WHERE event_id = 'a'")
    raw(address, "UPDATE events SET kind = 'like' WHERE event_id = 'b'")
    assert [event.kind for event in database.stored(["b"]).values()] == ["like"]
    database.close()


def test_a_database_of_before_gets_its_checksums(address: Address) -> None:
    database = Database(address)
    database.add_events([play("a")])
    database.close()
    for table in ("events", "slates", "offers"):
        raw(address, f"DROP TRIGGER z_sum ON {table}; ALTER TABLE {table} DROP COLUMN checksum")
    database = Database(address)
    assert len(database.history("u")) == 1
    assert raw(address, "SELECT checksum IS NULL FROM events") == [(False,)]
    database.close()


COMMANDS = (
    "ingest --items {files}/items.parquet --interactions {files}/interactions.parquet",
    "train -q",
    "evaluate -q",
    "recommend --user u1",
    "recommend --all --out lists.parquet -q",
    "serve --port 0",
    "admin keys list",
    "admin keys add --role app --name shop",
    "admin deployments list",
    "admin deployments rollback",
    "admin forget --user u1 --dry-run",
    "retention survey export --out surveys.parquet",
    "experiment export --experiment e1 --out exposures.parquet",
    "explore ledger",
)


@pytest.mark.parametrize("fault", ["down", "newer", "half", "another's"])
def test_every_command_says_in_one_line_what_is_wrong_with_the_database(
    fault: str,
    postgres: Cluster,
    untouched_workspace: Path,
    tiny_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "postgresql://tests@127.0.0.1:1/postgres" if fault == "down" else postgres.fresh()
    folder = Path(shutil.copytree(untouched_workspace, tmp_path / "w"))
    settings = folder / "tastemaker.toml"
    settings.write_text(re.sub(r'(?m)^database = ""', f"database = {json.dumps(url)}", settings.read_text()))
    if fault != "down":
        address = Address(url)
        Database(address).close()
        raw(
            address,
            {
                "newer": f"UPDATE tastemaker SET version = {VERSION + 1}",
                "half": "ALTER TABLE offers DROP COLUMN pool",
                "another's": "DROP TABLE events CASCADE; CREATE TABLE events (day DATE)",
            }[fault],
        )
    monkeypatch.chdir(tmp_path)
    tables = set(folder.glob("data/tables-*"))
    for command in COMMANDS if fault == "down" else COMMANDS[::4]:
        monkeypatch.setattr(
            "sys.argv", ["tastemaker", *command.format(files=tiny_files).split(), "-w", str(folder)]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        assert ended.value.code and not out.strip(), command
        assert len(error.strip().splitlines()) == 1, (command, error)
        assert "postgresql://tests@127.0.0.1" in error, (command, error)
    assert set(folder.glob("data/tables-*")) == tables and not list(tmp_path.glob("*.parquet"))


HOLD = """
import sys
from tastemaker.store import Workspace
with Workspace.open(sys.argv[1]).lock("training up to memory"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_trainers_is_told_who_holds_it_and_a_killed_one_lets_go(
    address: Address,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = (Workspace.create(tmp_path / name, {"database": address.url}) for name in "ab")
    line = [sys.executable, "-c", HOLD, str(first.root)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with (
            pytest.raises(
                BusyError, match=rf"tastemaker {holder.pid}@\S+ training up to memory from 127"
            ) as busy,
            second.lock("training"),
        ):
            pass
        assert " UTC holds the training; wait for it" in str(busy.value)
        monkeypatch.setattr("sys.argv", ["tastemaker", "train", "-q", "-w", str(second.root)])
        with pytest.raises(SystemExit):
            main()
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and " UTC holds the training" in error
        with second.lease("deployments"), second.lease("other"):  # others are free
            pass
        holder.kill()
        holder.wait()
        deadline = time.monotonic() + 60
        while True:
            try:
                with second.lock("training"):
                    break
            except BusyError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_lease_whose_connection_was_lost_is_told_before_anything_is_served(
    address: Address, tmp_path: Path
) -> None:
    workspace = Workspace.create(tmp_path / "w", {"database": address.url})
    with pytest.raises(BusyError, match="was lost, so another may hold it"), workspace.lock("training"):
        raw(
            address,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%training'",
        )


def test_a_file_is_copied_whole_into_an_empty_server(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.create(tmp_path / "w")
    file = Database(tmp_path / "w" / "tastemaker.sqlite")
    file.add_events([play(f"e{n}", f"u{n % 7}") for n in range(50)])
    file.deploy("serving", "d1", NOW)
    Keys(file).note("me", "did", "something")
    secret, history = file.secret("draws"), file.history("u3")

    def copy() -> str:
        words = ["tastemaker", "admin", "copy-database", address.url, "-w", str(workspace.root)]
        monkeypatch.setattr("sys.argv", words)
        main()
        return capsys.readouterr().out

    assert "50  events" in copy()
    server = Database(address)
    assert (server.secret("draws"), server.history("u3")) == (secret, history)
    server.deploy("serving", "d2", NOW)  # numbered behind what was copied
    assert [row.fingerprint for row in server.deployments()] == ["d2", "d1"]
    server.add_events([play("e50", "u1")])
    assert raw(address, "SELECT max(sequence), count(*) FROM events") == [(51, 51)]
    server.close()
    with pytest.raises(SystemExit):
        copy()
    assert "has rows already; give an empty database" in capsys.readouterr().err
    file.close()


def test_a_damaged_row_is_not_copied(address: Address, tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    database = Database(path)
    database.add_events([play("a"), play("b")])
    with database.transaction() as connection:
        connection.execute("UPDATE events SET checksum = 1 WHERE event_id = 'b'")
    with pytest.raises(ArtifactError, match="does not match its checksum"):
        copy_database(path, address)
    assert raw(address, "SELECT count(*) FROM events") == [(0,)]
    database.close()
