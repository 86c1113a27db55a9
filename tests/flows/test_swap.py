"""A running server takes over what was activated: catalogue and answers change together, nothing is
dropped.
"""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from tests.conftest import tiny_interactions, tiny_items

from tastemaker.errors import ArtifactError
from tastemaker.flows import deploy
from tastemaker.flows.ingest import ingest_files
from tastemaker.schema import ANONYMOUS
from tastemaker.server import create_app
from tastemaker.server.processes import keep_loaded
from tastemaker.serving.query import Query
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Database, Workspace

GONE = ["t005", "t033"]


@pytest.fixture
def folder(untouched_workspace: Path, tmp_path: Path) -> Path:
    """A trained workspace to change."""
    return Path(shutil.copytree(untouched_workspace, tmp_path / "w"))


@pytest.fixture
def service(folder: Path) -> Iterator[WorkspaceService]:
    service = WorkspaceService(Workspace.open(folder), watch=0.05)
    yield service
    service.close()


@pytest.fixture
def client(service: WorkspaceService) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://localhost") as opened:
        yield opened


def take_down(folder: Path, items: list[str]) -> str:
    """Ingest the catalogue without some items; the name of the deployment that serves it."""
    table = tiny_items()
    remaining = pc.invert(pc.is_in(table["item_id"], value_set=pa.array(items, pa.string())))
    pq.write_table(table.filter(remaining), folder.parent / "items.parquet")
    pq.write_table(tiny_interactions(), folder.parent / "interactions.parquet")
    files = folder.parent / "items.parquet", folder.parent / "interactions.parquet"
    return str(ingest_files(folder, *files)["deployment"]["name"])


def until(true: Callable[[], bool], seconds: float = 60.0) -> float:
    """Seconds until it is."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_an_item_taken_down_is_gone_from_the_running_server(folder: Path, client: TestClient) -> None:
    listener = next(user for user in client.get("/users").json() if "t005" in _past(client, user["user_id"]))
    before = client.post("/recommendations", json={"history": ["t001"], "k": 100}).json()
    assert client.get("/items/t005").status_code == 200
    request = {"history": ["t001"], "k": 100, "request_id": "mine"}
    first = client.post("/recommendations", json=request).json()
    name = take_down(folder, GONE)
    until(lambda: client.get("/items/t005").status_code == 404)
    assert client.get("/info").json()["versions"]["deployment"] == name
    after = client.post("/recommendations", json={"history": ["t001"], "k": 100}).json()
    assert after["deployment"] == name != before["deployment"]
    assert {row["item_id"] for row in before["rows"]} - {row["item_id"] for row in after["rows"]} == set(GONE)
    # The same request again is answered as before, but for what is gone.
    again = client.post("/recommendations", json=request).json()
    assert again["request_id"] == first["request_id"] and "taken out of the catalogue" in again["notice"]
    assert again["rows"] == [row for row in first["rows"] if row["item_id"] not in GONE] != first["rows"]
    # Who heard it, and who still excludes it, are served all the same.
    assert "t005" not in _past(client, listener["user_id"])
    for body in ({"user_id": listener["user_id"]}, {"history": [], "exclude": ["t005"]}):
        assert client.post("/recommendations", json=body).status_code == 200
    deploy.rollback(Workspace.open(folder))
    until(lambda: client.get("/items/t005").status_code == 200)


@pytest.mark.parametrize("body", ['{"history": [], "filters": {"\\ud800": ["x"]}}', '{"user_id": "\\ud800"}'])
def test_half_a_character_is_refused_in_one_line(client: TestClient, body: str) -> None:
    response = client.post("/recommendations", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422) and set(response.json()) == {"error", "remedy"}


def _past(client: TestClient, user: str) -> set[str]:
    return {event["item_id"] for event in client.get(f"/users/{user}/history").json()}


def test_swaps_under_load_drop_nothing_and_every_answer_is_valid_for_what_it_names(
    folder: Path, service: WorkspaceService, client: TestClient
) -> None:
    whole = service.parts.deployment
    few = take_down(folder, GONE)
    until(lambda: service.parts.deployment == few)
    items = {whole: set(tiny_items()["item_id"].to_pylist())}
    items[few] = items[whole] - set(GONE)
    answers: list[Any] = []
    stop = threading.Event()

    def ask(user: str) -> None:
        while not stop.is_set():
            answers.append(client.post("/recommendations", json={"user_id": user, "k": 64}))

    people = [threading.Thread(target=ask, args=(f"u{number:03d}",)) for number in range(3)]
    for person in people:
        person.start()
    for name in (whole, few) * 4:
        deploy.activate(Workspace.open(folder), name)
        until(lambda name=name: service.parts.deployment == name)  # type: ignore[misc]
        until(lambda more=len(answers) + 2: len(answers) >= more)  # type: ignore[misc]
    stop.set()
    for person in people:
        person.join()
    assert {answer.status_code for answer in answers} == {200}
    bodies = [answer.json() for answer in answers]
    assert {answer["deployment"] for answer in bodies} == {whole, few}
    for answer in bodies:
        assert {row["item_id"] for row in answer["rows"]} <= items[answer["deployment"]]
        assert all(row["item"]["title"] for row in answer["rows"])
        assert answer["versions"]["deployment"] == answer["deployment"]
    assert any(set(GONE) & {row["item_id"] for row in answer["rows"]} for answer in bodies)


def test_what_was_served_before_leaves_the_memory_of_a_server(
    folder: Path, service: WorkspaceService
) -> None:
    service.close()  # nothing looks for deployments but the line below
    before = service.parts.deployment
    live = weakref.ref(service.pages), weakref.ref(service.parts.searcher)
    keep_loaded()
    try:
        take_down(folder, GONE)
        assert service.swap() and service.parts.deployment != before
        assert [part() for part in live] == [None, None]
    finally:
        gc.unfreeze()


def test_a_damaged_deployment_is_not_taken_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    service = WorkspaceService(Workspace.open(folder))
    name = service.parts.deployment
    take_down(folder, GONE)
    damaged = deploy.active(Workspace.open(folder))
    assert damaged is not None
    file = damaged.folder / "served.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="damaged"):
        service.swap()
    assert service.parts.deployment == name and service.items(["t005"])
    service.close()


def test_a_log_that_another_process_deleted_ends_the_storing(
    folder: Path, service: WorkspaceService, client: TestClient
) -> None:
    """A raw read of the file in the server's process drops SQLite's locks, so that the next process to close
    it takes itself for the last one, and deletes the log.
    """
    event = {"user_id": "p", "kind": "like", "item_id": "t001"}
    assert client.post("/events", json={"events": [event | {"event_id": "before"}]}).status_code == 200
    (folder / "tastemaker.sqlite").read_bytes()

    def look() -> str:
        program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1])\n"
        program += "print(c.execute('SELECT event_id FROM events').fetchall()); c.close()"
        command = [sys.executable, "-c", program, folder / "tastemaker.sqlite"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert look() == "[('before',)]" and not (folder / "tastemaker.sqlite-wal").exists()
    answer = client.post("/events", json={"events": [event | {"event_id": "after"}]})
    assert answer.status_code == 503 and answer.headers["retry-after"] and "again" in answer.json()["remedy"]
    ready = client.get("/health/ready")
    assert ready.status_code == 503 and "replaced or deleted" in ready.json()["reason"]
    service.close()
    assert client.post("/events", json={"events": [event | {"event_id": "later"}]}).status_code == 200
    assert look() == "[('before',), ('later',)]"


def test_a_copy_of_a_workspace_in_use_answers_the_same(
    folder: Path, service: WorkspaceService, client: TestClient
) -> None:
    """The commands of docs/safety.md, while a server has the workspace open."""
    event = {"user_id": "p", "kind": "like", "item_id": "t001"}
    assert client.post("/events", json={"events": [event | {"event_id": "one"}]}).status_code == 200
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text()
    commands = page.split("## A backup of a workspace in use")[1].split("```sh\n")[1].split("```")[0]
    commands = commands.replace("python3 ", f"{sys.executable} ")
    commands = commands.replace("tastemaker admin doctor", f"{sys.executable} -m tastemaker admin doctor")
    (folder.parent / "shop").symlink_to(folder)
    subprocess.run(["bash", "-euc", commands], cwd=folder.parent, check=True, capture_output=True)
    assert client.post("/events", json={"events": [event | {"event_id": "two"}]}).status_code == 200
    other = WorkspaceService(Workspace.open(folder.parent / "copy"))
    try:
        assert [entry["item_id"] for entry in other.history("p")] == ["t001"]
        assert len(service.history("p")) == 2 and other.keys.signing() == service.keys.signing()
        queries = [Query(f"u00{n}", k=5, logged=False) for n in range(3)]
        ours, theirs = service.recommend_many(queries), other.recommend_many(queries)
        assert [slate.rows for slate in ours] == [slate.rows for slate in theirs]  # type: ignore[union-attr]
    finally:
        other.close()


def test_the_name_that_stands_for_nobody_is_no_person(client: TestClient) -> None:
    """Who took it would own, and could erase, every slate that was made for a bare history."""
    event = {"event_id": "e1", "user_id": ANONYMOUS, "kind": "like", "item_id": "t001"}
    client.post("/recommendations", json={"history": ["t001"]})
    for answer in (
        client.post("/recommendations", json={"user_id": ANONYMOUS}),
        client.post("/events", json={"events": [event]}),
        client.delete(f"/users/{ANONYMOUS}"),
    ):
        assert answer.status_code == 400 and "is no person" in answer.json()["error"]


def test_an_erased_person_is_nobody_to_the_running_server(folder: Path, client: TestClient) -> None:
    event = {"event_id": "e1", "user_id": "passer-by", "kind": "like", "item_id": "t001"}
    assert client.post("/events", json={"events": [event]}).status_code == 200
    for user in ("passer-by", "u003"):
        client.post("/recommendations", json={"user_id": user})
        gone = client.delete(f"/users/{user}")
        assert gone.status_code == 200 and sum(removal["count"] for removal in gone.json()["removed"]) > 0
        assert client.get(f"/users/{user}/history").status_code == 404
        assert user not in {row["user_id"] for row in client.get("/users?limit=200").json()}
        assert client.delete(f"/users/{user}").json()["removed"] == []
        again = client.post("/events", json={"events": [event | {"event_id": f"e-{user}", "user_id": user}]})
        assert again.status_code == 409 and "was erased" in again.json()["error"]
        answer = client.post("/recommendations", json={"user_id": user}).json()
        assert "was erased" in answer["notice"] and len(answer["rows"]) == 10
        database = Database(folder / "tastemaker.sqlite")
        assert user not in database.slates_table()["user_id"].to_pylist()
        database.close()
    assert client.delete("/users/never-came").status_code == 404


def test_changed_settings_are_taken_over_and_illegal_ones_are_not(
    folder: Path, service: WorkspaceService, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    file, name = folder / "tastemaker.toml", service.parts.deployment
    text = file.read_text()
    ask = {"history": ["t001"], "k": 5}
    assert all(row["propensity"] == 1 for row in client.post("/recommendations", json=ask).json()["rows"])
    file.write_text(text.replace("exploration = 0.0", "exploration = 'warm'"))
    until(lambda: bool(caplog.records))
    live = service.parts
    file.write_text(
        text.replace("exploration = 0.0", "exploration = 2.0").replace('title = "', 'title = "New ')
    )
    until(lambda: service.parts is not live)
    assert client.get("/info").json()["dataset"].startswith("New ")
    assert all(row["propensity"] < 1 for row in client.post("/recommendations", json=ask).json()["rows"])
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert (
        len(errors) == 1
        and errors[0].startswith(f"{name} goes on serving: ")
        and "'exploration'" in errors[0]
    )
    assert service.parts.deployment == name
