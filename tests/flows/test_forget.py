"""A person with a canary in every place is erased: nothing in the workspace holds it, and nobody else's data
changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tastemaker.chat import Cache
from tastemaker.converse.agents.plan import user_row
from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows import deploy, train
from tastemaker.flows.converse.dataset import table_writer
from tastemaker.flows.converse.export import export_run
from tastemaker.flows.converse.generate import Session, generate
from tastemaker.flows.converse.judge import judge_run
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.flows.evaluation.evaluate import evaluate_workspace
from tastemaker.flows.forget import holdings, person
from tastemaker.flows.forget.holdings import Holding
from tastemaker.flows.forget.person import forget
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline
from tastemaker.serving import load as service_load
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import (
    Database,
    Event,
    Offer,
    OfferedRow,
    Offers,
    Question,
    Surveys,
    Workspace,
    diagnose,
    write_bytes,
    write_table,
)
from tastemaker.store.recorded import record_media

CANARY = "QxCanaryZ7"
TALKED = 4
MEDIA = "ab" * 32
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
NOBODY = lambda *_: None  # noqa: E731


def _canary(users: int) -> str:
    """The one who talks first; sorted where their number would be."""
    return f"u{user_row(0, 0, users):02d}-{CANARY}"


USER = _canary(40)


def _sources(folder: Path) -> tuple[Path, Path]:
    return folder / "items.parquet", folder / "interactions.parquet"


def _database(workspace: Workspace) -> None:
    database = Database(workspace.database)
    offers = Offers(database)
    for user, key in ((USER, "c"), ("u00", "o")):
        database.add_events([Event(f"e-{key}", user, "like", WHEN, "i", request_id=f"r-{key}")])
        features = json.dumps({"of": user})
        offers.add([Offer(f"r-{key}", user, WHEN, [OfferedRow("i", 1.0)], "p", features=features)])
        offers.delivered([f"r-{key}"], WHEN)
        Surveys(database).ask(Question(f"q-{key}", user, "i", f"r-{key}", "worth", 1.0, WHEN), 0.0, 0)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO exposures (experiment, unit, arm, timestamp) VALUES ('x', ?, 'b', 0)", (USER,)
        )
    database.close()


def _conversations(root: Path) -> RunFolder:
    """A data set whose first person says the canary; answers, attachments, exports, judgements and page made
    from it.
    """
    generate(root, "talk", RunSettings(n=TALKED), Session(), NOBODY)
    place = RunFolder.of(Workspace.open(root), "talk")
    rows = pq.read_table(place.table).to_pylist()
    assert rows[0]["user_id"] == USER and any(row["user_id"] != USER for row in rows)
    turn = rows[0]["turns"][0]
    turn["message"] = f"{turn['message']} {CANARY}"
    for number, row in enumerate(rows[:2]):  # one attachment of their own, one that somebody else has as well
        shared = {"kind": "image", "sha256": "cd" * 32}
        row["turns"][1]["media"] = [shared] if number else [{"kind": "image", "sha256": MEDIA}, shared]
    with table_writer(place.table) as write:
        for row in rows:
            write(row)
    for folder in (place.cache, place.judging / "cache"):
        for user in (USER, "u00"):
            Cache(folder, write_bytes).put(
                user, "ab" * 32, {"text": CANARY if user == USER else "something else"}
            )
    for name in (MEDIA, "cd" * 32):
        write_bytes(
            place.media / f"{name}.png", b"\x89PNG " + (CANARY.encode() if name == MEDIA else b"shared")
        )
    for kind in ("chat", "crs"):
        export_run(root, "talk", kind)
    judge_run(root, "talk", ["facts", "overlap"], Session(), NOBODY, (TALKED, 1))
    write_bytes(place.page, f"<p>{CANARY}</p>".encode())  # drawing one needs every cover
    return place


@pytest.fixture(scope="module")
def filled(make_tunes: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace `w` that holds the canary wherever anything can be held, and its sources
    beside it.
    """
    folder = tmp_path_factory.mktemp("forget")
    root = make_tunes(folder)
    table = pq.read_table(folder / "interactions.parquet").to_pylist()
    named = [row | {"user_id": USER if row["user_id"] == USER[:3] else row["user_id"]} for row in table]
    shutil.rmtree(root / "data")
    for rows in (named[: len(named) - 30], named):  # earlier tables, and those in use
        pq.write_table(pa.Table.from_pylist(rows), folder / "interactions.parquet")
        ingest_files(root, *_sources(folder))
    workspace = Workspace.open(root)
    people = [
        {"user_id": USER, "country_name": f"{CANARY} land"},
        {"user_id": "u00", "country_name": "Elsewhere"},
    ]
    write_table(workspace.data / "listener_profiles.parquet", pa.Table.from_pylist(people))
    write_table(
        root / "runs" / "asked" / "people.parquet", pa.table({"unit": [USER, "u00"], "returned": [1, 0]})
    )
    _database(workspace)
    _conversations(root)
    return folder


@pytest.fixture
def shop(filled: Path, tmp_path: Path) -> Path:
    """A copy of it to erase from."""
    shutil.copytree(filled, tmp_path / "copy")
    return tmp_path / "copy" / "w"


def _holding(root: Path) -> list[str]:
    """Files that hold the canary: as bytes, or in a cell of a compressed table."""
    files = []
    for path in sorted(file for file in root.rglob("*") if file.is_file()):
        cells = str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else ""
        if CANARY in cells or CANARY.encode() in path.read_bytes() or CANARY in str(path):
            files.append(path.relative_to(root).as_posix())
    return files


def _others(root: Path) -> dict[str, Any]:
    """What everybody else has."""
    workspace = Workspace.open(root)
    place = RunFolder.of(workspace, "talk")

    def keep(table: pa.Table) -> list[dict[str, Any]]:
        return [row for row in table.to_pylist() if row.get("user_id", row.get("unit")) != USER]

    paths = [
        "data/listener_profiles.parquet",
        "runs/asked/people.parquet",
        "conversations/talk/conversations.parquet",
    ]
    contents: dict[str, Any] = {path: keep(pq.read_table(root / path)) for path in paths}
    contents["interactions"] = keep(workspace.table("interactions"))
    contents["items"] = (workspace.tables_folder() / "items.parquet").read_bytes()
    caches = [
        path
        for path in (place.root).rglob("*.json")
        if "cache" in path.parts and CANARY.encode() not in path.read_bytes()
    ]
    contents |= {str(path): path.read_bytes() for path in caches if USER not in path.read_text()}
    contents["journal"] = place.journal.read_bytes()
    with sqlite3.connect(workspace.database) as raw:
        contents |= {
            table: raw.execute(f"SELECT * FROM {table} WHERE user_id = 'u00'").fetchall()
            for table in ("events", "slates")
        }
    raw.close()
    return contents


def test_the_canary_was_everywhere(shop: Path) -> None:
    """What the other tests rest on."""
    held = " ".join(_holding(shop))
    tables = [path for path in _holding(shop) if path.startswith("data/tables-")]
    assert len(tables) == 2
    for place in (
        "tastemaker.sqlite",
        "cache/",
        "judging/cache/",
        "media/",
        "exports/",
        "report.html",
        "profiles",
        "people",
    ):
        assert place in held, place
    assert "journal" not in held


def test_nothing_holds_the_canary_afterwards_and_nobody_else_changed(shop: Path) -> None:
    before = _others(shop)
    planned = forget(shop, USER, dry_run=True)
    assert _others(shop) == before and len(_holding(shop)) > 10
    done = forget(shop, USER)
    assert done["removed"] == planned["removed"] and CANARY not in json.dumps(done)
    assert _holding(shop) == []
    after = _others(shop)
    assert after == before
    place = RunFolder.of(Workspace.open(shop), "talk")
    assert [path.stem for path in place.media.iterdir() if path.stem in (MEDIA, "cd" * 32)] == ["cd" * 32]
    assert not list(place.exports.iterdir()) and not place.page.exists() and not place.judgements.exists()
    assert any("converse export --format" in line or "export -w" in line for line in done["again"])
    removals = {(removal["what"], removal["count"]) for removal in done["removed"]}
    assert {
        ("events in the database", 1),
        ("exposures in the database", 1),
        ("interactions", 30),
        ("attachment", 1),
    } <= removals
    assert all(finding.level != "error" for finding in diagnose(shop, least_free=0))


def test_the_same_files_and_new_conversations_leave_them_out(shop: Path) -> None:
    forget(shop, USER)
    report = ingest_files(shop, *_sources(shop.parent))
    assert "30 rows left out: they are about 1 person who asked to be forgotten" in report["text"]
    assert _holding(shop) == []
    generate(shop, "later", RunSettings(n=TALKED), Session(), NOBODY)
    assert _holding(shop) == []
    export_run(shop, "talk", "chat")  # of those who stay
    assert _holding(shop) == []


def test_twice_is_once_and_the_unknown_are_refused(shop: Path) -> None:
    with pytest.raises(InputError, match="is about this person"):
        forget(shop, "nobody-of-that-name")
    assert not (shop / "tombstones.json").exists()
    with pytest.raises(InputError):
        forget(shop, "  ")
    forget(shop, USER)
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    again = forget(shop, f" {USER} ")
    assert again["forgotten_before"] and again["removed"] == [] and "nothing is held" in again["text"]
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def _steps(shop: Path) -> int:
    return len(forget(shop, USER, dry_run=True)["removed"])


@pytest.mark.parametrize("at", range(0, 20, 4))
def test_a_kill_between_any_two_steps_is_made_good_by_a_second_call(
    shop: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    steps = iter(range(1000))

    def step(remove: Callable[..., object]) -> Callable[..., object]:
        def run(*given: Any) -> object:
            if next(steps) == at:
                raise Killed
            return remove(*given)

        return run

    def dying(workspace: Workspace, user_id: str) -> Iterator[Holding]:
        for holding in whole(workspace, user_id):
            yield replace(holding, remove=step(holding.remove))

    whole, renew = person.holdings, person.renew_tables
    at = min(at, _steps(shop))
    others = _others(shop)
    with monkeypatch.context() as patched:
        patched.setattr(person, "holdings", dying)
        patched.setattr(person, "renew_tables", step(renew))
        with pytest.raises(Killed):
            forget(shop, USER)
    if at == 0:  # nothing is learnt from tables that still hold them
        with pytest.raises(ArtifactError, match="cut off"):
            Pipeline(Workspace.open(shop), NOBODY)
    else:
        assert USER not in Pipeline(Workspace.open(shop), NOBODY).data.user_row
    assert any(
        finding.level == "error" and finding.subject == "forgotten"
        for finding in diagnose(shop, least_free=0)
    )
    forget(shop, USER)
    assert _holding(shop) == [] and _others(shop) == others
    Pipeline(Workspace.open(shop), NOBODY)


def test_files_that_go_meanwhile_hold_nobody(
    untouched_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingest at the same time writes files of its own, and takes them and earlier tables away."""
    root = Path(shutil.copytree(untouched_workspace, tmp_path / "w"))
    listed = holdings.files_under

    def gone(folder: Path, endings: Any) -> list[Path]:
        return [*listed(folder, endings), *(folder / "data" / f".current.1a2b{end}" for end in endings)]

    for module in (holdings, person):
        monkeypatch.setattr(module, "files_under", gone)
    building = root / "data" / ".tables-0.1a2b3c4d.tmp" / "interactions.parquet"
    building.parent.mkdir()
    shutil.copy(next(root.glob("data/tables-*/interactions.parquet")), building)
    building.with_name(".items.1a2b3c4d.tmp.parquet").write_bytes(b"PAR1 half of it")
    holder = os.open(building.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)  # so is it while an ingest writes it
    close = person.close_database

    def closed(workspace: Workspace, user_id: str) -> None:
        shutil.rmtree(building.parent, ignore_errors=True)  # and so once it has ended
        close(workspace, user_id)

    monkeypatch.setattr(person, "close_database", closed)
    assert forget(root, "u001")["removed"] and not building.exists()
    os.close(holder)


def test_a_server_can_start_in_the_middle_of_an_erasure(
    untouched_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, started = Path(shutil.copytree(untouched_workspace, tmp_path / "w")), []
    workspace = Workspace.open(root)
    people = [{"user_id": user, "name": user, "text": "Simulated: a."} for user in ("u001", "u002")]
    write_table(workspace.data / "listener_profiles.parquet", pa.Table.from_pylist(people))
    record_media(workspace)

    def written(path: Path, table: pa.Table) -> None:
        write_table(path, table)
        if path.name == "listener_profiles.parquet":
            WorkspaceService(Workspace.open(root)).close()  # it compares the file with what was recorded
            started.append(path)

    monkeypatch.setattr(holdings, "write_table", written)
    forget(root, "u001")
    assert started
    (workspace.data / "listener_profiles.parquet").write_bytes(b"")
    with pytest.raises(ArtifactError, match="listener profiles"):
        WorkspaceService(Workspace.open(root))


def test_what_is_served_goes_on_without_them_and_training_again_removes_what_learnt_from_them(
    untouched_workspace: Path, tmp_path: Path
) -> None:
    root, user = tmp_path / "w", "u001"
    shutil.copytree(untouched_workspace, root)
    workspace = Workspace.open(root)
    database = Database(workspace.database)
    database.add_events([Event("e-1", user, "like", WHEN, "t000"), Event("e-2", "p", "like", WHEN, "t001")])
    database.close()
    train.run_stages(root, NOBODY)  # learns from the events, too
    workspace.artifacts.partial("sasrec", "f" * 32).joinpath("half").write_text(user)
    before = deploy.active(workspace)
    assert before is not None and user in before.data().user_row
    assert [path.parent.name for path in (root / "artifacts" / "events").glob("*/events.parquet")]
    report = forget(root, user)
    after = deploy.active(workspace)
    assert after is not None and after.base == before.base and user not in after.data().user_row
    assert before not in deploy.deployments(workspace)  # nobody can go back to it
    with pytest.raises(InputError, match="held people who asked to be forgotten, and were removed"):
        deploy.rollback(workspace)
    with pytest.raises(
        ArtifactError, match="people were removed who asked to be forgotten since the last tr"
    ):
        evaluate_workspace(root, [], "test", 0, NOBODY)
    assert {"events that were learnt from", "interactions"} <= {
        removal["what"] for removal in report["removed"]
    }
    assert "NOT changed" in report["text"] and f"refit/{after.base.model}" in report["outdated"]
    assert not list((root / "artifacts" / "events").glob("*")) and user not in str(
        [pq.read_table(path).to_pylist() for path in root.rglob("*.parquet")]
    )
    assert (
        next(finding for finding in diagnose(root, least_free=0) if finding.subject == "forgotten").level
        == "warn"
    )
    second = train.run_stages(root, NOBODY)
    assert not any(stage["reused"] for stage in second["stages"])
    assert {Path(path).name for path in second["removed"]} >= {before.base.model, after.fingerprint}
    now = deploy.active(workspace)
    assert now is not None and [deployment.name for deployment in deploy.deployments(workspace)] == [now.name]
    assert "p" in Pipeline(workspace, NOBODY).data.user_row  # what others did on the page counts
    assert (
        next(finding for finding in diagnose(root, least_free=0) if finding.subject == "forgotten").level
        == "ok"
    )
    assert train.run_stages(root, NOBODY)["removed"] == []


def test_text_that_somebody_put_there_is_named(shop: Path) -> None:
    (shop / "notes.md").write_text(f"call {USER} back")
    (shop / "other.md").write_text(f"{USER}-2 is somebody else")
    assert forget(shop, USER)["mentions"] == ["notes.md"]


def test_a_table_that_cannot_be_read_stops_it(shop: Path) -> None:
    (shop / "runs" / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"torn\.parquet: cannot be read"):
        forget(shop, USER)


def test_a_server_that_starts_at_any_moment_of_an_erasure_finds_what_to_serve(
    untouched_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, user = tmp_path / "w", "u001"
    shutil.copytree(untouched_workspace, root)
    names, starts = list[str](), 0

    def starting(workspace: Workspace, user_id: str) -> Iterator[Holding]:
        def step(remove: Callable[[], object]) -> Callable[[], object]:
            def run() -> None:
                for act in (lambda: None, remove):
                    act()
                    service = WorkspaceService(Workspace.open(root))
                    names.append(service.parts.deployment)
                    service.close()

            return run

        yield from [replace(holding, remove=step(holding.remove)) for holding in whole(workspace, user_id)]

    whole, load = person.holdings, service_load.load_parts
    monkeypatch.setattr(person, "holdings", starting)
    forget(root, user)
    now = deploy.active(Workspace.open(root))
    assert now is not None and set(names) == {now.name} and user not in now.data().user_row

    def erased_meanwhile(workspace: Workspace, shared: service_load.Shared, used: Any) -> Any:
        nonlocal starts
        starts += 1
        if starts == 1:  # between the look at what is active and the reading of it
            forget(root, "u002")
        return load(workspace, shared, used)

    monkeypatch.setattr(person, "holdings", whole)
    monkeypatch.setattr("tastemaker.serving.service.load_parts", erased_meanwhile)
    service = WorkspaceService(Workspace.open(root))
    assert service.parts.deployment != now.name and starts == 2
    service.close()
    shutil.rmtree(Workspace.open(root).tables_folder())
    with pytest.raises(ArtifactError, match="these tables are gone"):  # nothing else is served in its place
        WorkspaceService(Workspace.open(root))
