"""Tombstones: ids nowhere, people left out of ingests and counted, what was learnt from them found."""

from __future__ import annotations

import json
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from tastemaker.errors import ArtifactError
from tastemaker.store import Artifacts, Database, Event, Workspace, diagnose, ingest_files
from tastemaker.store.tombstones import TOMBSTONES_FILE, Tombstones, outdated


def _files(folder: Path, users: str = "abc") -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    items, events = folder / "items.csv", folder / "events.csv"
    items.write_text("item_id,title\ni1,One\ni2,Two\n")
    events.write_text(
        "user_id,item_id,position\n" + "".join(f"person-{user},i{n},{n}\n" for user in users for n in (1, 2))
    )
    return items, events


def test_the_file_holds_hashes_under_a_key_of_its_own(tmp_path: Path) -> None:
    first = Tombstones.of(tmp_path).add("person-a", ["f" * 32])
    again = Tombstones.of(tmp_path)
    assert again == first and again.holds("person-a") and not again.holds("person-b")
    text = (tmp_path / TOMBSTONES_FILE).read_text()
    assert "person-a" not in text and stat.S_IMODE((tmp_path / TOMBSTONES_FILE).stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert Tombstones.of(tmp_path / "other").add("person-a", []).people != first.people
    assert again.add("person-a", []).people == first.people  # twice is once
    (tmp_path / TOMBSTONES_FILE).write_text(text[:-9])
    with pytest.raises(ArtifactError, match="damaged"):
        Tombstones.of(tmp_path)


def test_a_filter_keeps_everybody_else_in_order(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["b", "a", None, "c", "a"], "n": [0, 1, 2, 3, 4]})
    stones = Tombstones.of(tmp_path)
    assert stones.without(table)[0] is table and stones.mark() == {}
    remaining, left = stones.add("a", []).without(table)
    assert remaining["n"].to_pylist() == [0, 2, 3] and (left.rows, left.people) == (2, 1)


def test_an_ingest_leaves_them_out_and_says_so(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    files = _files(tmp_path / "files")
    before = ingest_files(workspace, *files)
    workspace.tombstones.add("person-b", [])
    after = ingest_files(workspace, *files)
    assert after.folder != before.folder and not after.reused
    assert set(workspace.table("interactions")["user_id"].to_pylist()) == {"person-a", "person-c"}
    report = after.reports["interactions"]
    assert (report["rows"], report["accepted"], report["refused"]) == (6, 4, 0)
    assert any("2 rows left out: they are about 1 person" in line for line in after.lines())
    assert ingest_files(workspace, *files).reused


def test_a_file_about_nobody_else_gives_empty_tables(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    workspace.tombstones.add("person-b", [])
    ingest_files(workspace, *_files(tmp_path / "files", users="b"))
    assert workspace.table("interactions").num_rows == 0


def test_what_was_learnt_from_them_is_found_through_others(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    build = lambda folder: (folder / "x").write_text("x")  # noqa: E731
    inputs = {
        "a": {"tables": "1" * 32},
        "b": {"a": "a" * 32},
        "c": {"tables": "2" * 32},
        "d": {"b": "b" * 32, "c": "c" * 32},
    }
    for name, made_from in inputs.items():
        store.put("stage", name * 32, build, inputs=made_from)
    assert {artifact.fingerprint[0] for artifact in outdated(store, ["1" * 32])} == {"a", "b", "d"}
    assert outdated(store, []) == []


def test_the_doctor_sees_a_removal_that_was_cut_off(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    ingest_files(workspace, *_files(tmp_path / "files"))
    assert not [finding for finding in diagnose(workspace.root) if finding.subject == "forgotten"]
    workspace.tombstones.add("person-a", [workspace.tables_fingerprint()])
    assert (
        next(finding for finding in diagnose(workspace.root) if finding.subject == "forgotten").level
        == "error"
    )


def test_a_lock_can_keep_the_command_line_to_itself(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    with workspace.lock("a purpose", command="tastemaker admin forget"):
        assert (
            json.loads((workspace.root / "tastemaker.lock").read_text())["command"]
            == "tastemaker admin forget"
        )


def test_rows_are_counted_and_gone_from_the_log_while_others_have_it_open(tmp_path: Path) -> None:
    path = tmp_path / "tastemaker.sqlite"
    serving = Database(path)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    serving.add_events(
        [Event("e1", "somebody-secret", "like", when, "i"), Event("e2", "other", "like", when, "i")]
    )
    database = Database(path)
    assert database.row_counts("somebody-secret") == {
        "events": 1,
        "slates": 0,
        "surveys": 0,
        "impressions": 0,
        "offers": 0,
        "exposures": 0,
        "talks": 0,
    }
    assert database.erase("somebody-secret") == 1 and not any(database.row_counts("somebody-secret").values())
    database.scrub()
    for file in tmp_path.iterdir():
        assert b"somebody-secret" not in file.read_bytes(), file
    assert sqlite3.connect(path).execute("SELECT count(*) FROM events").fetchone() == (1,)
    serving.close()
    database.close()
