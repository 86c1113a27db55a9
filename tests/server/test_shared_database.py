"""Two servers on one PostgreSQL: what one stores the other knows; a database that is away, and comes back."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.postgres import Cluster

import tastemaker.serving.load as load
import tastemaker.store.database.postgres as database_server
from tastemaker.flows import deploy
from tastemaker.server import ServerSettings, create_app
from tastemaker.server.access import AccessSettings
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace
from tastemaker.store.settings import SETTINGS_FILE


@pytest.fixture
def folder(tmp_path: Path, untouched_workspace: Path, postgres: Cluster) -> Path:
    """A trained workspace whose database is a server's."""
    folder = Path(shutil.copytree(untouched_workspace, tmp_path / "w"))
    (folder / "tastemaker.sqlite").unlink()
    path = folder / SETTINGS_FILE
    path.write_text(path.read_text().replace('\ndatabase = ""', f'\ndatabase = "{postgres.fresh()}"'))
    assert Workspace.open(folder).settings.database
    return folder


def client(service: WorkspaceService) -> TestClient:
    settings = ServerSettings(access=AccessSettings(per_person=0, per_key=0, fresh=0), deadline=600)
    return TestClient(create_app(service, settings), base_url="http://127.0.0.1:8765")


def test_two_servers_share_what_changes_and_outlive_their_database(folder: Path, postgres: Cluster) -> None:
    services = [WorkspaceService(Workspace.open(folder)) for _ in range(2)]
    with client(services[0]) as first, client(services[1]) as other:
        user, item = first.get("/users").json()[0]["user_id"], first.get("/items").json()[0]["item_id"]
        like = {"event_id": "e1", "user_id": user, "kind": "like", "item_id": item}
        assert first.post("/events", json={"events": [like]}).json()["accepted"] == 1
        assert other.post("/events", json={"events": [like]}).json()["duplicates"] == 1
        assert [row["event_id"] for row in other.get(f"/users/{user}/history").json()][-1] == "e1"
        wish = {"user_id": user, "k": 3, "request_id": "mine"}
        slates = [calls.post("/recommendations", json=wish).json() for calls in (first, other)]
        assert slates[0]["request_id"] == slates[1]["request_id"]
        # A deployment that somebody activates anywhere is taken over by both.
        before = deploy.active(Workspace.open(folder))
        assert before is not None and {service.parts.deployment for service in services} == {before.name}
        key = services[0].keys.add("operator", "boss")
        headers = {"authorization": f"Bearer {key}"}
        for calls in (first, other):
            assert calls.get("/fields").status_code == 401
            assert calls.get("/fields", headers=headers).status_code == 200
        postgres.stop()
        try:
            ready = first.get("/health/ready")
            assert ready.status_code == 503 and "cannot be reached" in ready.json()["reason"]
            for path, body in (
                ("/events", {"events": [like | {"event_id": "e2"}]}),
                ("/recommendations", {"user_id": user}),
            ):
                refused = first.post(path, json=body, headers=headers)
                assert refused.status_code == 503 and refused.headers["retry-after"], refused.text
                assert "cannot be reached" in refused.json()["error"] and "\n" not in refused.text
            for path in (
                "/items",
                f"/items/{item}",
                "/fields",
                "/info",
            ):  # what needs no database is answered
                assert other.get(path, headers=headers).status_code == 200, path
            assert other.get("/fields").status_code == 401  # and to nobody else
        finally:
            postgres.start()
        assert first.get("/health/ready").status_code == 200
        late = first.post("/events", json={"events": [like | {"event_id": "e2"}]}, headers=headers)
        assert late.json()["accepted"] == 1
        assert other.post("/recommendations", json={"user_id": user}, headers=headers).status_code == 200
        page = other.get("/operator.json", headers=headers).json()
        assert page["deployments"]["active"] == before.name
        removed = other.delete(f"/users/{user}", headers=headers).json()["removed"]
        assert {"what": "events in the database", "count": 2} in removed
        assert (
            first.post("/events", json={"events": [like | {"event_id": "e3"}]}, headers=headers).status_code
            == 409
        )
    for service in services:
        service.close()


class Slow:
    """A server's address through which no byte goes while it is held."""

    def __init__(self, port: int) -> None:
        self.open, self.target = threading.Event(), port
        self.open.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, far = self.listener.accept()[0], socket.create_connection(("127.0.0.1", self.target))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(65536):
                self.open.wait()
                sink.sendall(data)


def test_a_database_that_does_not_answer_is_503_and_is_taken_up_again(
    folder: Path, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(postgres.port)
    path = folder / SETTINGS_FILE
    path.write_text(path.read_text().replace(f":{postgres.port}/", f":{slow.port}/"))
    monkeypatch.setattr(load, "SILENCE", 0.5)
    monkeypatch.setattr(database_server, "CONNECT", 2)
    service = WorkspaceService(Workspace.open(folder))
    with client(service) as calls:
        user, item = calls.get("/users").json()[0]["user_id"], calls.get("/items").json()[0]["item_id"]
        event = {"event_id": "e1", "user_id": user, "kind": "like", "item_id": item}
        slow.open.clear()
        refused = calls.post("/events", json={"events": [event]})
        assert refused.status_code == 503 and "\n" not in refused.json()["error"], refused.text
        assert calls.get("/items").status_code == 200
        slow.open.set()
        assert calls.post("/events", json={"events": [event]}).json()["accepted"] == 1
    service.close()
    slow.listener.close()


def test_machines_whose_clocks_differ_stamp_by_the_databases(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = database_server.now
    monkeypatch.setattr(database_server, "now", lambda: true() + timedelta(hours=3))
    ahead = WorkspaceService(Workspace.open(folder))
    with client(ahead) as calls:
        user, item = calls.get("/users").json()[0]["user_id"], calls.get("/items").json()[0]["item_id"]
        liked = {"event_id": "a", "user_id": user, "kind": "like", "item_id": item}
        assert calls.post("/events", json={"events": [liked]}).json()["accepted"] == 1
    monkeypatch.setattr(database_server, "now", true)
    right = WorkspaceService(Workspace.open(folder))
    with client(right) as calls:  # later, so it is what counts
        event = {"event_id": "b", "user_id": user, "kind": "dislike", "item_id": item}
        assert calls.post("/events", json={"events": [event]}).json()["accepted"] == 1
        assert item in right.parts.people.profile(user).unwanted
        past = [
            row["timestamp"]
            for row in calls.get(f"/users/{user}/history").json()
            if row.get("event_id") in ("a", "b")
        ]
        assert past == sorted(past) and abs(past[0] - time.time()) < 600
    ahead.close()
    right.close()
