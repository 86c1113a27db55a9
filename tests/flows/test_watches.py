"""The watches of a running server: what rings, who hears of it, and what the operator's routes say."""

from __future__ import annotations

import json
import math
import re
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import tiny_interactions, tiny_items

from tastemaker.errors import BusyError, InputError
from tastemaker.experiment.checks import srm_evidence
from tastemaker.flows import watches
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.retention.live.context import SHARES
from tastemaker.flows.watches import Look, Watcher
from tastemaker.server import ServerSettings, create_app
from tastemaker.server.operator import LOAD, PARTS
from tastemaker.serving.service import WorkspaceService, open_service
from tastemaker.store import Workspace, write_table
from tastemaker.store.database import Database, Keys
from tastemaker.store.settings import SETTINGS_FILE


class Receiver:
    """A real HTTP server that takes alarms; it refuses the first one."""

    def __init__(self) -> None:
        self.taken, self.refused, self.came = list[dict[str, Any]](), 0, threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                first, receiver.refused = receiver.refused == 0, receiver.refused + 1
                self.send_response(500 if first else 204)
                self.end_headers()
                if not first:
                    receiver.taken.append(body)
                    receiver.came.set()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/alarms"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path, untouched_workspace: Path) -> Path:
    return Path(shutil.copytree(untouched_workspace, tmp_path / "w"))


def change(folder: Path, **values: Any) -> None:
    """Write settings as an operator does."""
    path = folder / SETTINGS_FILE
    text = path.read_text()
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {json.dumps(value)}", text)
        assert count == 1, name
    path.write_text(text)


def expose(folder: Path, arms: dict[str, int], test: str = "t1") -> None:
    database = Database(Workspace.open(folder).database)
    now = datetime.now(UTC)
    with database.transaction() as connection:
        connection.executemany(
            "INSERT INTO exposures (experiment, unit, arm, timestamp) VALUES (?, ?, ?, ?)",
            [
                (test, f"x-{arm}-{n}", arm, int(now.timestamp() * 1e6))
                for arm, many in arms.items()
                for n in range(many)
            ],
        )
    database.close()


def client(service: WorkspaceService) -> TestClient:
    app = create_app(service, ServerSettings(deadline=600))
    return TestClient(app, base_url="http://127.0.0.1:8765")


def test_a_running_server_rings_by_itself_and_goes_on_calling_until_it_is_heard(
    folder: Path, receiver: Receiver
) -> None:
    change(folder, experiment="t1", watch_seconds=0.01, alarm_webhook=receiver.address)
    expose(folder, {"control": 150, "treatment": 40})
    service = open_service(folder)
    try:
        assert receiver.came.wait(600)
        (alarm,) = receiver.taken
        assert (alarm["watch"], alarm["subject"]) == ("sample ratio", "t1") and "150" in alarm["text"]
        with client(service) as calls:
            rows = calls.get("/operator.json?part=watches").json()["watches"]["rows"]
        rung = {row["watch"]: row["alarm"] for row in rows}
        assert rung == {"kill-switch": False, "drift": False, "sample ratio": True}
    finally:
        service.close()
    assert len(receiver.taken) == 1  # told once, however often it was looked at


def test_an_even_split_is_quiet_and_a_webhook_that_is_none_stops_no_watch(folder: Path) -> None:
    change(folder, experiment="t1", alarm_webhook="http://127.0.0.1:1/")
    expose(folder, {"control": 100, "treatment": 96})
    watcher = Watcher(lambda: Workspace.open(folder))
    assert [look.alarm for look in watcher.round()] == [False, False, False]
    expose(folder, {"control": 400}, "t2")
    change(folder, experiment="t2")
    assert [look.alarm for look in watcher.round()] == [False, False, True]
    first = watcher.looks()[-1].at
    assert watcher.round()[-1].at == first  # since when it rings


def test_an_alarm_rings_on_when_a_look_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder, experiment="t1")
    expose(folder, {"control": 400})
    watcher = Watcher(lambda: Workspace.open(folder))
    rung = watcher.round()[-1]
    assert rung.alarm and not rung.failed
    with monkeypatch.context() as patched:

        def busy(*_: object) -> Look:
            raise BusyError("the database is busy; wait")

        patched.setattr(watches, "look_at_ratio", busy)
        for _ in range(2):
            look = watcher.round()[-1]
            assert look.alarm and look.at == rung.at and look.text.count("the database is busy; wait") == 1
            assert look.text.startswith(rung.text)
    assert watcher.round()[-1] == rung
    change(folder, experiment="t2")
    assert not watcher.round()[-1].alarm  # quiet itself


def test_a_webhook_that_is_no_address_is_refused(folder: Path) -> None:
    for text in ("notaurl", "http://", "ftp://host/x", "https://host:port/"):
        change(folder, alarm_webhook=text)
        with pytest.raises(InputError, match=r"'alarm_webhook' is .*must be an address"):
            Workspace.open(folder)
    change(folder, alarm_webhook="https://host.example:8443/path")
    assert Workspace.open(folder).settings.alarm_webhook


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_evidence_of_a_lost_arm_is_a_fair_bet(seed: int) -> None:
    """Under the promised shares its mean after the next unit is what it is now."""
    rng = np.random.default_rng(seed)
    counts = {arm: int(rng.integers(0, 300)) for arm in SHARES}
    now = srm_evidence(counts, SHARES)
    after = [srm_evidence(counts | {arm: counts[arm] + 1}, SHARES) for arm in SHARES]
    assert math.isclose(
        sum(share * e for share, e in zip(SHARES.values(), after, strict=True)), now, rel_tol=1e-9
    )


def test_repeated_looks_ring_no_more_often_than_promised_and_a_loss_is_seen() -> None:
    rng = np.random.default_rng(0)

    def rang(chance: float) -> bool:
        control = np.cumsum(rng.random(2000) < chance)
        looks = range(50, 2001, 50)
        return any(
            srm_evidence({"control": int(control[n - 1]), "treatment": n - int(control[n - 1])}, SHARES) >= 20
            for n in looks
        )

    runs = 400
    assert sum(rang(0.5) for _ in range(runs)) <= 0.05 * runs + 3 * math.sqrt(0.05 * 0.95 * runs)
    assert sum(rang(0.6) for _ in range(20)) == 20


def test_every_figure_is_json_and_a_rollback_happens_once(folder: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "items.parquet", tiny_items().slice(1))
    write_table(tmp_path / "interactions.parquet", tiny_interactions())
    service = WorkspaceService(Workspace.open(folder))
    before = service.parts.deployment
    ingest_files(folder, tmp_path / "items.parquet", tmp_path / "interactions.parquet")
    service.swap()
    after = service.parts.deployment
    change(folder, experiment="t1")
    service.swap()
    expose(folder, {"control": 30, "treatment": 31})
    with client(service) as calls:
        page = calls.get("/operator.json").json()
        assert set(page) == {"at", LOAD, *PARTS}
        assert page["deployments"]["active"] == after != before
        assert {row["name"] for row in page["deployments"]["rows"]} == {before, after}
        items = next(row for row in page["data"]["rows"] if row["table"] == "items")
        assert items["accepted"] == tiny_items().num_rows - 1 and items["refused"] == 0
        assert page["experiment"]["counts"] == {"control": 30, "treatment": 31}
        assert page["surveys"] == {"asked": 0, "answered": 0, "response": None, "proxy": None, "report": None}
        assert "no ledger yet" in page["ledger"]["reason"] and page["conversations"] == {"rows": []}
        codes = page["catalogue"]
        assert codes["items"] == tiny_items().num_rows - 1 and codes["dead"] == codes["codes"] - len(
            codes["rows"]
        )
        assert sum(row["items"] for row in codes["rows"]) == codes["items"]
        assert all(0 < len(row["neighbours"]) <= 4 for row in codes["rows"])
        fullest = max(codes["rows"], key=lambda row: row["items"])
        even = codes["items"] / len(codes["rows"])
        assert codes["rows"][0] == fullest and fullest["crowded"] == (fullest["items"] > 2 * even)
        assert page["cost"]["processor seconds"] > 0
        assert {row["what"] for row in page["cost"]["rows"]} >= {"artifacts/deployment", "data"}
        assert calls.get("/operator.json?part=wages").status_code == 404
        load = calls.get("/operator.json?part=load").json()[LOAD]
        asked = next(row for row in load["rows"] if row["route"] == "/operator.json")
        assert (asked["requests"], asked["4xx"], asked["5xx"]) == (2, 1, 0) and asked["p50_ms"] > 0
        assert {row["lane"] for row in load["lanes"]} >= {"recommendations", "reading", "writing"}
        body = {"serving": after}
        foreign = {"sec-fetch-site": "cross-site"}
        assert calls.post("/operator/rollback", json=body, headers=foreign).status_code == 403
        assert calls.post("/operator/rollback", data=body).status_code == 422  # a form of another page
        assert service.parts.deployment == after
        assert calls.post("/operator/rollback", json=body).json()["deployment"]["name"] == before
        assert service.parts.deployment == before
        assert calls.post("/operator/rollback", json=body).status_code == 409  # the second click
    entries = Keys(service.database).entries()
    assert [(entry.action, entry.detail) for entry in entries[-2:]] == [
        ("deployment rolled back", before),
        ("rollback asked for", before),  # and by whose key
    ]
    service.close()
