"""What one client may take of the server: time, connections, and files however large."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient
from server_fake import FakeService

import tastemaker.server.run as run
from tastemaker.server import ServerSettings, address, bind, create_app
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace


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
        assert client.get("/health/ready").status_code == 200
    service.close()
