"""A full disk: one line at the command, 507 over HTTP, nothing damaged, and on it goes when there is room."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tastemaker.server.app import create_app
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace
from tastemaker.store.database import check_database
from tastemaker.store.database.sqlite import Sqlite


def test_the_server_says_507_and_goes_on(
    untouched_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(untouched_workspace, tmp_path / "w")
    check, room = Sqlite._check_files, [0]

    def small(engine: Sqlite) -> None:  # at the beginning of each write
        if engine._writer is not None:  # what a full disk answers, too
            engine._writer.execute(f"PRAGMA max_page_count = {room[0] or 1 << 30}")
        check(engine)

    monkeypatch.setattr(Sqlite, "_check_files", small)
    service = WorkspaceService(Workspace.open(tmp_path / "w"))
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        about = {"user_id": "p", "kind": "like", "item_id": "t001"}

        def send(batch: int) -> int:
            events = [{"event_id": f"{batch}-{n}"} | about for n in range(100)]
            answer = client.post("/events", json={"events": events})
            if answer.status_code != 200:
                assert answer.json()["error"].endswith("the disk is full")
            return answer.status_code

        assert send(0) == 200
        with service.database.transaction(write=False) as connection:
            room[0] = connection.execute("PRAGMA page_count").fetchone()[0]
        statuses = [send(batch) for batch in range(1, 6)]
        assert 507 in statuses and set(statuses) <= {200, 507}
        assert client.get("/users/p/history").status_code == 200
        room[0] = 0
        assert send(statuses.index(507) + 1) == 200
        stored = len(client.get("/users/p/history").json())
    service.close()
    assert stored == 100 * (2 + statuses.count(200))
    assert check_database(tmp_path / "w" / "tastemaker.sqlite") is None


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from tastemaker.cli.main import main
sys.argv = ["tastemaker", *sys.argv[2:]]
main()
"""


def test_the_command_says_it_in_one_line_and_leaves_what_was(tiny_files: Path, tmp_path: Path) -> None:
    root = Workspace.create(tmp_path / "w").root

    def ingest(limit: int) -> subprocess.CompletedProcess[str]:
        files = ["--items", str(tiny_files / "items.parquet"), "--interactions"]
        command = ["ingest", "-q", "-w", str(root), *files, str(tiny_files / "interactions.parquet")]
        code = [sys.executable, "-c", LIMITED, str(limit), *command]
        return subprocess.run(code, capture_output=True, text=True)

    done = ingest(2000)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "the disk is full; the previous version is intact" in done.stderr
    assert not Workspace.open(root).has_tables() and not list((root / "data").glob("tables-*"))
    assert ingest(resource.RLIM_INFINITY).returncode == 0
