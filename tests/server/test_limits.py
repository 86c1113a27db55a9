"""What one client may take of the server: time, connections, and files however large."""

from __future__ import annotations

import contextlib
import functools
import gc
import shutil
import socket
import sqlite3
import threading
import time
import urllib.request
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from server_fake import FakeService

import tastemaker.server.access as access
import tastemaker.server.assist as talking
import tastemaker.server.run as run
from tastemaker.assist.assistant import Assistant, Limits
from tastemaker.server import ServerSettings, address, bind, create_app
from tastemaker.server.access import AccessSettings
from tastemaker.serving.service import WorkspaceService, open_service
from tastemaker.store import Workspace
from tastemaker.store.database import Keys


@contextmanager
def served(service: FakeService) -> Iterator[str]:
    listener = bind(port=0)
    listener.listen()
    app = create_app(service, ServerSettings(deadline=60))
    server = uvicorn.Server(uvicorn.Config(app, http=run.Impatient, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def closed(connection: socket.socket) -> bool:
    """Waits until the other side has closed."""
    connection.settimeout(60)
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(4096):
            pass
    return True


def test_connections_whose_request_does_not_come_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "IDLE", 0.3)
    with served(FakeService()) as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        silent, half, dripping = (socket.create_connection(place) for _ in range(3))
        half.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        end = time.monotonic() + 60
        with pytest.raises(OSError):  # reset or broken pipe: dripping on does not prolong it
            while time.monotonic() < end:
                dripping.sendall(b"G")
                time.sleep(0.05)
        assert closed(silent) and closed(half)
        for connection in (silent, half, dripping):
            connection.close()
        with urllib.request.urlopen(f"{url}/health/live", timeout=60) as answer:
            assert answer.status == 200


class Large(FakeService):
    """One sound of 300 MB, which takes no room on the disk."""

    def media(self, item_id: str, kind: str) -> tuple[Path, str] | None:
        path = Path(self.large)
        return path, "audio/wav"

    large = ""


def test_readers_of_a_large_sound_do_not_stop_the_health_check(tmp_path: Path) -> None:
    service = Large()
    service.large = str(tmp_path / "large.wav")
    with Path(service.large).open("wb") as file:
        file.truncate(300 << 20)
    with served(service) as url:
        stop = threading.Event()

        def read(number: int) -> None:
            ask = urllib.request.Request(f"{url}/items/tune-000/audio")
            if number % 2:
                ask.add_header("Range", "bytes=1000-1000")
            while not stop.is_set():
                with urllib.request.urlopen(ask, timeout=60) as answer:
                    while not stop.is_set() and answer.read(1 << 16):
                        pass

        readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for reader in readers:
            reader.start()
        times = []
        for _ in range(10):
            begun = time.monotonic()
            with urllib.request.urlopen(f"{url}/health/live", timeout=60):
                times.append(time.monotonic() - begun)
        stop.set()
        for reader in readers:
            reader.join()
        assert sorted(times)[5] < 2  # it was up to 7 s with the whole file read for each byte


def test_a_locked_database_is_told_and_stops_no_reads(tiny_workspace: Path) -> None:
    service = WorkspaceService(Workspace.open(tiny_workspace))
    item = service.search("", 1, 0)[0][0]["item_id"]
    event = {"event_id": "e-locked", "user_id": "new", "kind": "like", "item_id": item}
    with TestClient(create_app(service), base_url="http://127.0.0.1:1") as client:
        other = sqlite3.connect(service.workspace.database, isolation_level=None)
        assert client.get("/health/ready").status_code == 200
        other.execute("BEGIN IMMEDIATE")
        ready = client.get("/health/ready")
        assert ready.status_code == 503 and "another process" in ready.json()["reason"]
        assert ready.headers["retry-after"]
        writers = [
            threading.Thread(target=lambda: answers.append(client.post("/events", json={"events": [event]})))
            for _ in range(8)
        ]
        answers: list[object] = []
        for writer in writers:
            writer.start()
        assert client.get(f"/items/{item}").status_code == 200
        assert len(answers) < 8  # reads have a lane of their own: the writers wait for five seconds
        for writer in writers:
            writer.join()
        other.execute("ROLLBACK")
        assert {answer.status_code for answer in answers} == {503}  # type: ignore[attr-defined]
        assert all(answer.headers["retry-after"] for answer in answers)  # type: ignore[attr-defined]
        error = answers[0].json()["error"]  # type: ignore[attr-defined]
        assert error.startswith("tastemaker.sqlite: ") and str(tiny_workspace.parent) not in error
        assert client.get("/health/ready").status_code == 200
    service.close()


def containers() -> list[tuple[str, object, int]]:
    """Everything in this process that entries can be put into, and how many there are: lists, dictionaries
    and the like, and caches of functions.
    """
    gc.collect()
    holders = []
    for holder in gc.get_objects():
        kind = type(holder)  # isinstance would ask objects that stand for others
        if kind is functools._lru_cache_wrapper:
            holders.append((str(holder), holder, holder.cache_info().currsize))
        elif issubclass(kind, dict | list | set | deque) and holder is not holders:
            holders.append((kind.__name__, holder, len(holder)))
    return holders


def test_nothing_in_memory_grows_with_callers(
    untouched_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every bound set to a few entries, no list, dictionary or cache of the process gets one more for
    each person, key, address, conversation, filter or message.
    """
    few, many = 8, 40
    monkeypatch.setattr(access, "MANY", few)
    monkeypatch.setattr(talking, "REMEMBERED", few)
    service = open_service(Path(shutil.copytree(untouched_workspace, tmp_path / "shop")))
    rates = AccessSettings(per_person=1000, per_key=1000, fresh=0)
    settings = ServerSettings(access=rates, deadline=60)
    app = create_app(service, settings, talker=Assistant(service, None, Limits(conversations=1)))
    keys = Keys(service.database)
    headers = {"authorization": f"Bearer {keys.add('app', 'shop')}"}
    with TestClient(app, base_url="http://127.0.0.1:1", client=("10.0.0.1", 1)) as client:

        def visit(number: int) -> None:
            person, item = f"visitor-{number:04d}", f"t{number % 20:03d}"
            ask = {"user_id": person, "k": 3, "request_id": f"mine-{number}", "exclude": [item]}
            slate = client.post("/recommendations", json=ask, headers=headers).json()
            event = {"event_id": f"b{number}", "user_id": person, "kind": "like", "item_id": item}
            event["request_id"] = slate["request_id"]
            assert client.post("/events", json={"events": [event]}, headers=headers).status_code == 200
            say = {"message": f"something under {number} minutes", "user_id": person}
            assert client.post("/assist", json=say, headers=headers).status_code == 200
            chat = {"messages": [{"role": "user", "content": f"a reel, number {number}"}], "user": person}
            assert client.post("/v1/chat/completions", json=chat, headers=headers).status_code == 200
            token = client.post("/tokens", json={"user_id": person}, headers=headers).json()["token"]
            own = {"authorization": f"Bearer {token}", "x-request-id": f"r-{number}"}
            assert client.get(f"/users/{person}/history", headers=own).status_code == 200
            assert client.get(f"/users/{person}/conversations", headers=own).json()
            for path in (f"/nowhere/{number}", f"/items/none-{number}", f"/items?query=reel{number}"):
                client.request("GET" if number % 2 else "PUT", path, headers=own)
            wrong = {"authorization": f"Bearer tm-{number:012d}-{'0' * 64}"}
            assert client.get("/fields", headers=wrong).status_code == 401

        for number in range(many):
            visit(number)
        before = containers()
        for number in range(many, 2 * many):
            visit(number)
        sizes = {id(holder): size for _, holder, size in containers()}
        grown = [
            (name, size, sizes[id(holder)], str(holder)[:200])
            for name, holder, size in before
            if sizes.get(id(holder), 0) >= size + many // 2
            and not (type(holder) is functools._lru_cache_wrapper and holder.cache_info().maxsize)
            and not (
                name == "list" and {type(entry) for entry in holder} == {weakref.ref}
            )  # SQLite's cursors
        ]
    service.close()
    assert not grown


def test_ids_of_events_are_a_persons_own(untouched_workspace: Path, tmp_path: Path) -> None:
    """Whatever ids others chose, a person's events are stored, told, undone and sent again as if they were
    alone; and they learn nothing of the others.
    """
    service = WorkspaceService(Workspace.open(shutil.copytree(untouched_workspace, tmp_path / "shop")))
    app = create_app(service)
    with TestClient(app, base_url="http://127.0.0.1:1") as client:

        def send(user: str, name: str, kind: str = "like", **more: Any) -> tuple[int, Any]:
            event = {"event_id": name, "user_id": user, "kind": kind, **more}
            answer = client.post("/events", json={"events": [event]})
            return answer.status_code, answer.json()

        def known(user: str) -> list[str]:
            return [row["item_id"] for row in client.get(f"/users/{user}/history").json()]

        stored = (200, {"accepted": 1, "duplicates": 0, "conflicts": [], "survey": None})
        twice = (200, stored[1] | {"accepted": 0, "duplicates": 1})
        assert send("first", "e", item_id="t001") == stored
        assert send("second", "e", item_id="t002") == stored
        assert send("second", "e", item_id="t002") == twice and send("first", "e", item_id="t001") == twice
        for user in ("first", "second"):
            assert send(user, "e", item_id="t003")[0] == 409  # their own, with other content
        assert known("first") == ["t001"] and known("second") == ["t002"]
        nobody, other = (send("third", "u", "undo", target=name) for name in ("none", "e"))
        assert nobody[0] == other[0] == 404
        assert nobody[1]["error"].replace("none", "e") == other[1]["error"]
        assert send("second", "u", "undo", target="e") == stored
        odd = [send("third", name, "rating", item_id="t001", value=900) for name in ("free", "e")]
        assert odd[0][0] == odd[1][0] == 400
        assert odd[0][1]["error"].replace("free", "e") == odd[1][1]["error"]
        assert send("second", "f", item_id="t004") == stored
        assert known("second") == ["t004"] and known("first") == ["t001"]
        slate = client.post("/recommendations", json={"user_id": "first", "k": 1}).json()
        shown = {"item_id": slate["rows"][0]["item_id"], "request_id": slate["request_id"]}
        assert send("third", "on-another's-list", **shown) == send(
            "third", "on-none", **shown | {"request_id": "s"}
        )
        named = {
            event["user_id"]: event["request_id"] for event in service.database.events_table().to_pylist()
        }
        assert named["third"] == "s"  # nothing that somebody else did is earned by the list
        assert send("first", "on-their-own", **shown) == stored
        client.delete("/users/first")
        assert send("second", "e", item_id="t002") == twice  # still the one that was stored
        assert client.get("/users/first/conversations").status_code == 404
        assert client.get("/users/second/conversations").json() == []
    service.close()
