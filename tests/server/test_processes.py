"""`tastemaker serve --processes 2`: one server to whoever asks, whichever process answers, and when one is
killed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.postgres import Cluster

from tastemaker.store import Database, Workspace
from tastemaker.store.database import Keys
from tastemaker.store.settings import SETTINGS_FILE

SERVE = (sys.executable, "-m", "tastemaker", "serve", "--port", "0", "--processes", "2")


DATABASES = os.environ.get("TASTEMAKER_TEST_PROCESSES_ON", "sqlite").split(",")


@pytest.fixture(params=DATABASES)
def folder(request: pytest.FixtureRequest, tmp_path: Path, untouched_workspace: Path) -> Path:
    """A trained workspace, where a key may call once a second and 10 times at once; on each database that is
    named in the environment, for 30 seconds of a processor each.
    """
    folder = Path(shutil.copytree(untouched_workspace, tmp_path / "w"))
    changes = {"rate_key": "1.0", "threads": "1"}
    if request.param == "postgresql":
        postgres: Cluster = request.getfixturevalue("postgres")
        (folder / "tastemaker.sqlite").unlink()
        changes["database"] = json.dumps(postgres.fresh())
    change(folder, changes)
    return folder


def change(folder: Path, changes: dict[str, str]) -> None:
    path = folder / SETTINGS_FILE
    text = path.read_text()
    for name, value in changes.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert count == 1, name
    path.write_text(text)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and its address once all processes serve."""
    with subprocess.Popen([*SERVE, "-w", str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, next(word for line in process.stdout for word in line.split() if "http" in word)
        finally:
            process.terminate()


def children(process: subprocess.Popen[str]) -> set[int]:
    """The processes that answer."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    lines = {
        int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}").exists()
    }
    return {pid for pid, line in lines.items() if b"spawn_main" in line}


def until(true: Callable[[], Any]) -> Any:
    """What it gives once it is true."""
    while not (value := true()):
        time.sleep(0.05)
    return value


def post(url: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    """Over a connection of its own, so that any process may answer."""
    return httpx.post(url, json=body, headers=headers, timeout=120)


def requests(url: str) -> float:
    """How many lists were answered, as `/metrics` says."""
    lines = httpx.get(f"{url}/metrics", timeout=120).text.splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith("tastemaker_requests_total{") and '"/recommendations"' in line
    )


def test_two_processes_are_one_server(folder: Path) -> None:
    with serving(folder) as (process, url):
        assert len(children(process)) == 2
        user = httpx.get(f"{url}/users", timeout=120).json()[0]["user_id"]
        wish = {"user_id": user, "k": 3, "request_id": "mine"}
        with ThreadPoolExecutor(8) as pool:
            slates = list(pool.map(lambda _: post(f"{url}/recommendations", wish).json(), range(16)))
        assert len({slate["request_id"] for slate in slates}) == 1
        # Each process tells the others every few seconds what it counted.
        until(lambda: requests(url) == 16)
        # A conversation goes on in whichever process answers.
        name: str | None = None
        for message in ("only waltzes", "more", "more", "more", "more", "more"):
            stream = post(f"{url}/assist", {"message": message, "conversation_id": name}).text
            parts = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
            name = parts[-1]["conversation_id"]
            chips = [chip["name"] for part in parts if part["kind"] == "understood" for chip in part["chips"]]
            assert len(chips) == 1 and "waltz" in chips[0], message
        # One that is killed is replaced; the other answers meanwhile, and what was counted stays.
        gone = min(children(process))
        os.kill(gone, signal.SIGKILL)
        assert post(f"{url}/recommendations", {"user_id": user}).status_code == 200
        until(lambda: len(children(process) - {gone}) == 2)
        assert requests(url) >= 16
        # Settings that change are taken over by all.
        change(folder, {"title": '"Another name"'})
        until(
            lambda: all(
                httpx.get(f"{url}/info", timeout=120).json()["dataset"] == "Another name" for _ in range(8)
            )
        )
        # Calls of a key are counted together.
        database = Database(Workspace.open(folder).database)
        key = Keys(database).add("read", "reader")
        database.close()
        until(lambda: httpx.get(f"{url}/info", timeout=120).status_code == 401)
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            bearer = {"authorization": f"Bearer {key}"}
            codes = list(pool.map(lambda _: httpx.get(f"{url}/info", headers=bearer).status_code, range(40)))
        assert 10 <= codes.count(200) <= 11 + time.monotonic() - began and set(codes) == {200, 429}
        # Nobody outlives the parent, however that ended.
        left = children(process)
        process.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))


def test_a_workspace_that_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w")
    done = subprocess.run([*SERVE, "-w", str(tmp_path / "w")], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "has no tables yet" in done.stderr
