"""The database: events count once, undo is honoured, propensities are never absent, migrations are all or
nothing.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.postgres import Cluster

from tastemaker import schema
from tastemaker.errors import ArtifactError, BusyError, InputError
from tastemaker.schema import ANONYMOUS
from tastemaker.store.database import (
    MIGRATIONS,
    VERSION,
    Added,
    Address,
    Database,
    Event,
    Offer,
    OfferedRow,
    Offers,
    Surveys,
    check_database,
    integrity,
)
from tastemaker.store.database.offers import Earlier
from tastemaker.store.database.sqlite import Sqlite

START = datetime(2026, 1, 1, tzinfo=UTC)


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.001)


def _event(name: str, at: float = 0, user: str = "u", **more: object) -> Event:
    given: dict = {
        "event_id": name,
        "user_id": user,
        "kind": "play",
        "timestamp": START + timedelta(seconds=at),
        "item_id": "i",
    }
    given |= more
    if given["kind"] == "undo":
        given["item_id"] = None
    return Event(**given)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Address:
    """An empty place for a database: a file, or a schema of a server."""
    if request.param == "sqlite":
        return tmp_path / "tastemaker.sqlite"
    cluster: Cluster = request.getfixturevalue("postgres")
    return Address(cluster.fresh())


@pytest.fixture
def database(where: Path | Address) -> Iterator[Database]:
    opened = Database(where)
    yield opened
    opened.close()


@pytest.fixture
def file_database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "tastemaker.sqlite")
    yield opened
    opened.close()


def test_an_event_sent_twice_counts_once(database: Database) -> None:
    events = [
        _event("a", value=0.5, request_id="r"),
        _event("b", 1.000001),
        _event("a", value=0.5, request_id="r"),
    ]
    assert database.add_events(events) == Added(2, 1)
    assert database.add_events(events) == Added(0, 3)
    assert database.history("u") == events[:2]
    assert database.history("nobody") == []


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": "v"},
        {"kind": "like"},
        {"item_id": "j"},
        {"value": 1.0},
        {"request_id": "r"},
        {"timestamp": START + timedelta(microseconds=1)},
    ],
)
def test_the_same_id_with_other_contents_is_a_conflict_and_nothing_is_stored(
    database: Database, change: dict
) -> None:
    database.add_events([_event("a")])
    with pytest.raises(InputError, match="event_id a is there already with other contents"):
        database.add_events([_event("new"), replace(_event("a"), **change)])
    assert database.history("u") == [_event("a")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "lik"}, "kind 'lik' is unknown; the kinds are view, click"),
        ({"event_id": ""}, "event_id must be 1 to 512"),
        ({"user_id": "a\x00b"}, "control character"),
        ({"item_id": "\ud800"}, "control character"),
        ({"item_id": None}, "every other kind gives item_id"),
        ({"refers_to": "x"}, "an undo gives refers_to"),
        ({"kind": "undo"}, "an undo gives refers_to"),
        ({"timestamp": datetime(2026, 1, 1)}, "no time zone"),
        ({"value": float("nan")}, "finite"),
    ],
)
def test_bad_events_are_refused_before_they_reach_the_file(change: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        _event(**{"name": change.pop("event_id", "a")} | change)


def test_undo_takes_back_and_can_be_taken_back(database: Database) -> None:
    undo = _event("undo-a", 2, kind="undo", refers_to="a")
    database.add_events([_event("a", 0), _event("b", 1), undo])
    assert [event.event_id for event in database.history("u")] == ["b"]
    database.add_events([_event("redo", 3, kind="undo", refers_to="undo-a")])
    assert [event.event_id for event in database.history("u")] == ["a", "b"]
    database.add_events(
        [
            _event("early", 0, kind="undo", refers_to="late"),
            _event("late", 9),
            _event("other", 10, user="v", kind="undo", refers_to="b"),
        ]
    )
    assert [event.event_id for event in database.history("u")] == ["a", "b"]


def _oracle(events: list[Event], user: str) -> list[str]:
    """Events that stand, by asking of each whether a standing undo names it; `events` in the order they
    came.
    """
    came = [event for event in events if event.user_id == user]
    timeline = sorted(came, key=lambda event: event.timestamp)
    undos = [event for event in came if event.kind == "undo"]

    def stands(event_id: str, later_than: int) -> bool:
        return not any(
            undo.refers_to == event_id and stands(undo.event_id, at)
            for at, undo in enumerate(undos)
            if at > later_than
        )

    return [event.event_id for event in timeline if event.kind != "undo" and stands(event.event_id, -1)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_histories_equal_the_slow_way(database: Database, data: st.DataObject) -> None:
    with database.transaction() as connection:
        connection.execute("DELETE FROM events")
    count = data.draw(st.integers(0, 8))
    events = []
    for n in range(count):
        user, at = data.draw(st.sampled_from("uv")), data.draw(st.integers(0, 3))
        if n and data.draw(st.booleans()):
            # an undo is later than what it takes back, as a person's must be
            target = data.draw(st.sampled_from(events))
            events.append(
                _event(
                    f"e{n}",
                    (target.timestamp - START).total_seconds() + 1,
                    user,
                    kind="undo",
                    refers_to=target.event_id,
                )
            )
        else:
            events.append(_event(f"e{n}", at, user))
    events = data.draw(st.permutations(events))
    database.add_events(events)
    table = database.events_table()
    assert table.schema == schema.INTERACTIONS
    for user in "uv":
        assert [event.event_id for event in database.history(user)] == _oracle(events, user)
        rows = [row for row in table.to_pylist() if row["user_id"] == user]
        assert [row["position"] for row in rows] == list(range(len(database.history(user))))
        assert [row["timestamp"] for row in rows] == [event.timestamp for event in database.history(user)]


def test_slates_come_back_exactly(database: Database) -> None:
    rows = [OfferedRow("i", 1 / 3, 0.1, 0.35, 0.0), OfferedRow("j", 1.0)]
    offers = Offers(database)
    assert offers.add([replace(_offer("r"), rows=rows)]) == [None]
    offers.delivered(["r"], START)
    table = database.slates_table()
    assert table.schema == schema.SLATES
    names = ("item_id", "propensity", "prefix_propensity", "policy_propensity", "reference_propensity")
    assert [tuple(row[name] for name in names) for row in table.to_pylist()] == list(map(astuple, rows))


@pytest.mark.parametrize("wrong", [None, 0.0, -0.5, 1.5, float("nan")])
def test_no_slate_without_a_propensity(database: Database, wrong: float | None) -> None:
    offers = Offers(database)
    with pytest.raises(InputError, match="propensity"):
        offers.add([replace(_offer("r"), rows=[OfferedRow("i", wrong)])])  # type: ignore[arg-type]
    offers.delivered(["r"], START)
    assert database.slates_table().num_rows == 0


def test_the_file_itself_refuses_a_slate_without_a_propensity(
    tmp_path: Path, file_database: Database
) -> None:
    with sqlite3.connect(tmp_path / "tastemaker.sqlite") as raw:
        for wrong in (None, 0.0, 1.1):
            with pytest.raises(sqlite3.IntegrityError):
                raw.execute(
                    "INSERT INTO slates VALUES ('r', 'u', 0, 0, 'i', ?, NULL, 'p', NULL, NULL, 0)", (wrong,)
                )
    raw.close()


def test_erase_leaves_no_trace_in_the_file(tmp_path: Path, file_database: Database) -> None:
    file_database.add_events([_event("a", user="somebody-secret"), _event("b", user="other")])
    Offers(file_database).add([_offer("r", "somebody-secret", items="i")])
    assert file_database.erase("somebody-secret") == 3
    assert len(file_database.history("other")) == 1
    file_database.scrub()
    file_database.close()
    for path in tmp_path.iterdir():
        assert b"somebody-secret" not in path.read_bytes(), path


def test_text_with_quotes_is_only_text(database: Database) -> None:
    evil = "'; DROP TABLE events; --"
    database.add_events([_event(evil, user=evil, item_id=evil)])
    assert database.history(evil)[0].item_id == evil


def test_an_undo_counts_by_the_order_it_came_in_when_the_clock_jumps_back(database: Database) -> None:
    database.add_events([_event("a", 10), _event("undo-a", 11, kind="undo", refers_to="a")])
    database.add_events([_event("redo", 5, kind="undo", refers_to="undo-a")])  # the clock was set back
    assert [event.event_id for event in database.history("u")] == ["a"]
    database.add_events([_event("again", 4, kind="undo", refers_to="redo")])
    assert database.history("u") == []


def _offer(name: str, user: str = "u", key: str | None = None, items: str = "ij", query: str = "q") -> Offer:
    rows = [OfferedRow(item, 0.5) for item in items]
    return Offer(name, user, START, rows, "policy", "d1", ["i", "j", "k"], None, key, query, f"answer {name}")


def test_a_slate_counts_as_shown_once_it_was_delivered(database: Database) -> None:
    offers, surveys = Offers(database), Surveys(database)
    assert offers.add([_offer("r1"), _offer("r2"), _offer("empty", items="")]) == [None] * 3
    assert database.slates_table().num_rows == 0 and database.served("policy") == 0
    assert surveys.shown_to("r1", "i") is None and offers.pools() == {}
    later = START + timedelta(seconds=3)
    offers.delivered(["r1", "empty"], later)
    offers.delivered(["r1"], later + timedelta(seconds=1))  # the first time counts
    rows = database.slates_table().to_pylist()
    assert [(row["request_id"], row["item_id"], row["timestamp"]) for row in rows] == [
        ("r1", "i", later),
        ("r1", "j", later),
    ]
    assert offers.pools() == {"r1": dict.fromkeys("ijk")} and database.served("policy") == 1
    offers.shown("v", ["r2"], later)  # another person's event proves nothing
    assert surveys.shown_to("r2", "i") is None
    offers.shown("u", ["r2", "never"], later)
    assert surveys.shown_to("r2", "i") == "u" and database.served("policy") == 2


def test_a_bare_slate_belongs_to_the_first_who_answers_it(database: Database) -> None:
    offers = Offers(database)
    offers.add([_offer("r1", ANONYMOUS)])
    offers.shown("first", ["r1"], START)
    offers.shown("second", ["r1"], START)
    assert {row["user_id"] for row in database.slates_table().to_pylist()} == {"first"}
    assert database.erase("first") == 3 and database.slates_table().num_rows == 0


def test_a_callers_request_id_stands_for_one_query_for_a_day(database: Database) -> None:
    offers = Offers(database)
    assert offers.add(
        [_offer("r1", key="mine"), _offer("r2", key="mine"), _offer("r3", "v", key="mine")]
    ) == [
        None,
        Earlier("q", "answer r1"),
        None,
    ]
    offers.delivered(["r1", "r2", "r3"], START)
    assert {row["request_id"] for row in database.slates_table().to_pylist()} == {"r1", "r3"}
    assert offers.earlier("u", "mine") == Earlier("q", "answer r1") and offers.earlier("u", "other") is None
    assert offers.server_id("u", "mine") == "r1" and offers.server_id("w", "mine") == "mine"
    offers.add([replace(_offer("r4", key="new"), timestamp=START + timedelta(days=2))])
    assert offers.earlier("u", "mine") == Earlier("q", None)


def test_a_secret_is_drawn_once_for_all_who_open_it(where: Path | Address, database: Database) -> None:
    again = Database(where)
    assert database.secret("draws") == again.secret("draws") != again.secret("other")
    assert len(database.secret("draws")) == 64
    again.close()


def test_a_database_of_version_0_1_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as raw:
        for statements in MIGRATIONS[:3]:  # what 0.1 made
            for statement in statements:
                raw.execute(statement)
        raw.execute("PRAGMA user_version = 3")
        event = "INSERT INTO events VALUES (?, 'u', ?, ?, ?, NULL, NULL, ?)"
        raw.execute(event, ("b", "play", 2, "j", None))
        raw.execute(event, ("z", "undo", 1, None, "a"))
        raw.execute(event, ("a", "play", 1, "i", None))
        for place in (0, 1):
            slate = "INSERT INTO slates VALUES ('r', 'u', 5, ?, ?, 0.5, NULL, 'p', NULL, NULL)"
            raw.execute(slate, (place, f"i{place}"))
    raw.close()
    database = Database(path)
    assert [event.event_id for event in database.history("u")] == ["b"]
    assert database.slates_table()["item_id"].to_pylist() == ["i0", "i1"] and database.served("p") == 1
    assert Surveys(database).shown_to("r", "i1") == "u" and Offers(database).pools() == {}
    database.add_events([_event("c", kind="undo", refers_to="z")])
    assert [event.event_id for event in database.history("u")] == ["a", "b"]
    database.close()


def test_deployments_newest_first(database: Database) -> None:
    database.deploy("model", "a" * 32, START)
    database.deploy("model", "b" * 32, START + timedelta(days=1), "retrained")
    assert [(deployment.fingerprint[0], deployment.note) for deployment in database.deployments()] == [
        ("b", "retrained"),
        ("a", ""),
    ]


def test_many_threads_share_one_database(database: Database) -> None:
    added: list[Added] = []

    def work(thread: int) -> None:
        for n in range(20):
            added.append(database.add_events([_event(f"{thread}-{n}", n), _event(f"shared-{n}", n)]))
            database.history("u")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome.inserted for outcome in added) == 100
    assert sum(outcome.duplicates for outcome in added) == 60
    assert database.events_table().num_rows == 100


def test_connections_go_with_their_threads(tmp_path: Path, file_database: Database) -> None:
    files = Path("/proc/self/fd")
    if not files.exists():
        pytest.skip("this system does not tell which files are open")

    def count() -> int:
        held = [link.readlink() for link in files.iterdir() if link.is_symlink()]
        return sum(path.parent == tmp_path for path in held)

    before = count()
    for n in range(30):
        thread = threading.Thread(target=lambda n=n: file_database.add_events([_event(f"{n}", n)]))
        thread.start()
        thread.join()
    assert count() <= before + 4 and len(file_database.history("u")) == 30


def test_events_survive_reopening_and_durable_settings_hold(tmp_path: Path, file_database: Database) -> None:
    file_database.add_events([_event("a")])
    with file_database.transaction(write=False) as connection:
        read = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert read == ["wal", 2, 1]
    file_database.close()
    again = Database(tmp_path / "tastemaker.sqlite")
    assert again.history("u") == [_event("a")]
    again.close()


def test_a_newer_version_is_refused(tmp_path: Path, file_database: Database) -> None:
    path = tmp_path / "tastemaker.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {VERSION + 1}")
    raw.close()
    with pytest.raises(ArtifactError, match=r"newer Tastemaker .*upgrade with"):
        Database(path)
    assert "newer Tastemaker" in str(check_database(path))


def test_migrations_run_once_in_order_and_all_or_nothing(
    tmp_path: Path, file_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["tastemaker.store.database.sqlite"]
    path = tmp_path / "tastemaker.sqlite"
    file_database.add_events([_event("a")])
    first = module.MIGRATIONS
    monkeypatch.setattr(module, "VERSION", VERSION + 1)
    monkeypatch.setattr(
        module, "MIGRATIONS", (*first, ("ALTER TABLE events ADD COLUMN extra TEXT", "CREATE TABLE broken ("))
    )
    with pytest.raises(ArtifactError):
        Database(path)
    monkeypatch.setattr(
        module, "MIGRATIONS", (*first, ("ALTER TABLE events ADD COLUMN extra TEXT", "CREATE TABLE more (a)"))
    )
    for known in (integrity.tables, integrity._schema):
        known.cache_clear()
    monkeypatch.setattr(integrity, "MIGRATIONS", module.MIGRATIONS)
    try:
        later = Database(path)
        Database(path).close()
        later.add_events([_event("b", 1)])
        assert later.history("u") == [_event("a"), _event("b", 1)] and check_database(path) is None
        with later.transaction(write=False) as connection:
            assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION + 1
        later.close()
    finally:
        for known in (integrity.tables, integrity._schema):
            known.cache_clear()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tastemaker.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ArtifactError, match=r"tastemaker.sqlite: damaged or not a database"):
        Database(path)
    assert "damaged" in str(check_database(path))
    with pytest.raises(ArtifactError, match="cannot be opened"):
        Database(tmp_path / "absent" / "tastemaker.sqlite")


CLIENT = """
import sys
from datetime import datetime, timedelta, UTC
from pathlib import Path
from tastemaker.store.database import Address, Database, Event
where = Address(sys.argv[1]) if sys.argv[1].startswith("postgres") else Path(sys.argv[1])
database = Database(where)
start = datetime(2026, 1, 1, tzinfo=UTC)
for n in range(10**6):
    at = start + timedelta(seconds=n)
    batch = [Event(f"{sys.argv[2]}-{n}-{k}", "u", "play", at, "i") for k in range(3)]
    database.add_events(batch)
    print(n, flush=True)
"""


def test_a_killed_writer_loses_no_acknowledged_event(where: Path | Address) -> None:
    path = where
    acknowledged = 0
    for attempt in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(path), str(attempt)], stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout is not None
            for _ in range(5 + 7 * attempt):
                client.stdout.readline()
            os.kill(client.pid, signal.SIGKILL)
            acknowledged += 5 + 7 * attempt + len(client.stdout.read().split("\n")) - 1
    database = Database(path)
    stored = len(database.history("u"))
    database.close()
    assert stored % 3 == 0
    assert 3 * acknowledged <= stored <= 3 * (acknowledged + 2)
    assert check_database(path) is None


def test_threads_write_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer waits for the one before it in this process, and no longer than SQLite would."""
    database = Database(tmp_path / "db.sqlite")
    monkeypatch.setattr("tastemaker.store.database.sqlite.PATIENCE", 0.01)
    with ThreadPoolExecutor(1) as pool, database.transaction():
        late = pool.submit(database.add_events, [_event("late")])
        with pytest.raises(BusyError, match="writing to it"):
            late.result()
    monkeypatch.setattr("tastemaker.store.database.sqlite.PATIENCE", 60.0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: database.add_events([_event(f"e{n}")]), range(64)))
    assert len(database.history("u")) == 64
    database.close()


def test_one_commit_makes_all_durable_that_waited_and_takes_back_only_what_failed(
    file_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.store.database.sqlite.SOON", 1e9)
    engine, commits = file_database._engine, list[str]()
    assert isinstance(engine, Sqlite)
    file_database.add_events([_event("first")])
    assert engine._writer is not None
    engine._writer.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    with ThreadPoolExecutor(9) as pool:
        with file_database.transaction():  # those that come meanwhile write into one transaction with it
            writes = [pool.submit(file_database.add_events, [_event(f"e{n}", n)]) for n in range(8)]
            wrong = pool.submit(file_database.add_events, [_event("new"), _event("first", 5)])
            until(lambda: len(engine._line) == 9)
        assert sum(write.result().inserted for write in writes) == 8
        with pytest.raises(InputError, match="other contents"):
            wrong.result()
    assert len(commits) == 1
    again = Database(tmp_path / "tastemaker.sqlite")
    assert {event.event_id for event in again.history("u")} == {"first", *(f"e{n}" for n in range(8))}
    again.close()


def test_a_commit_that_fails_is_acknowledged_to_nobody_of_its_batch(
    file_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.store.database.sqlite.SOON", 1e9)
    engine = file_database._engine
    assert isinstance(engine, Sqlite)
    with file_database.transaction() as connection:
        connection.execute("CREATE TABLE parents (name TEXT PRIMARY KEY)")
        connection.execute(
            "CREATE TABLE children (name TEXT REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
        )
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(InputError, match="FOREIGN KEY"), file_database.transaction() as connection:
            connection.execute("INSERT INTO children VALUES ('orphan')")  # is refused when it is committed
            write = pool.submit(file_database.add_events, [_event("e")])
            until(lambda: len(engine._line) == 1)
        with pytest.raises(InputError, match="FOREIGN KEY"):
            write.result()
    assert file_database.history("u") == []
    assert file_database.add_events([_event("e")]).inserted == 1


def test_a_write_that_hands_over_is_answered_by_what_becomes_of_it(
    file_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long those after it take: never "busy" for what is kept, never done for what is lost."""
    monkeypatch.setattr("tastemaker.store.database.sqlite.SOON", 1e9)
    monkeypatch.setattr("tastemaker.store.database.sqlite.PATIENCE", 0.2)
    engine, begun, go = file_database._engine, threading.Event(), threading.Event()
    assert isinstance(engine, Sqlite)

    def slow() -> None:
        with file_database.transaction():
            begun.set()
            go.wait(60)

    with ThreadPoolExecutor(2) as pool:
        with file_database.transaction():
            early = pool.submit(file_database.add_events, [_event("early")])
            until(lambda: len(engine._line) == 1)
            late = pool.submit(slow)
            until(lambda: len(engine._line) == 2)
            monkeypatch.setattr("tastemaker.store.database.sqlite.PATIENCE", 0.05)
            threading.Thread(target=lambda: (begun.wait(60), time.sleep(0.3), go.set())).start()
        assert early.result().inserted == 1 and late.result() is None
    assert [event.event_id for event in file_database.history("u")] == ["early"]


def test_closing_waits_for_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.store.database.sqlite.SOON", 1e9)
    database = Database(tmp_path / "db.sqlite")
    engine = database._engine
    assert isinstance(engine, Sqlite)
    with ThreadPoolExecutor(3) as pool:
        with database.transaction():
            write = pool.submit(database.add_events, [_event("a")])
            until(lambda: len(engine._line) == 1)
            closing = pool.submit(database.close)
            until(lambda: len(engine._line) == 2)
            after = pool.submit(database.add_events, [_event("b", 1)])
            until(lambda: len(engine._line) == 3)
        assert write.result().inserted == after.result().inserted == 1 and closing.result() is None
    assert {event.event_id for event in database.history("u")} == {"a", "b"}
    monkeypatch.setattr("tastemaker.store.database.sqlite.PATIENCE", 0.05)
    closed = pytest.raises(BusyError, match="closed before")  # of a write longer than anybody waits
    with ThreadPoolExecutor(1) as pool, closed, database.transaction():
        pool.submit(database.close).result()
    assert len(database.history("u")) == 2
    database.close()


def test_writes_that_fail_keep_no_other_waiting(file_database: Database) -> None:
    stop = threading.Event()

    def fail() -> None:
        while not stop.is_set():
            with suppress(KeyError), file_database.transaction():
                raise KeyError

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(fail)
        try:
            assert file_database.add_events([_event("honest")]).inserted == 1  # with as many, it never came
        finally:
            stop.set()
