"""Latency of a server on PostgreSQL against one on SQLite: two processes on copies of one workspace, asked in
turn over HTTP, so that whatever else the machine does falls on both alike.

    python -m benchmarks.postgres -w demo

Without --url a private PostgreSQL on loopback is started, which needs Debian's postgresql.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from recipes.common import command, options
from tests.postgres import cluster

from tastemaker.store.settings import SETTINGS_FILE

PLACES = ("sqlite", "postgresql")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[httpx.Client]:
    """`tastemaker serve` on a workspace, and a client of it."""
    command = [sys.executable, "-m", "tastemaker", "serve", "-w", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(word for line in process.stdout for word in line.split() if word.startswith("http"))
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                yield client
        finally:
            process.terminate()


def timed(client: httpx.Client, path: str, body: dict[str, Any]) -> float:
    """Milliseconds of one request that succeeds."""
    started = time.perf_counter()
    answer = client.post(path, json=body)
    spent = time.perf_counter() - started
    answer.raise_for_status()
    return 1000 * spent


def measure(workspace: Path, url: str, requests: int) -> dict[str, Any]:
    """p50 and p99 of each call on each database, and the ratios of the p50s."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        clients = []
        for place in PLACES:
            folder = Path(scratch) / place
            shutil.copytree(workspace, folder, ignore=shutil.ignore_patterns("tastemaker.sqlite*", "runs"))
            file = folder / SETTINGS_FILE
            text = re.sub(r"(?m)^(database|watch_seconds) = .*\n", "", file.read_text())
            text = re.sub(r"(?m)^\[advanced\]\n", "", text)  # settings may all stand at the top
            own = f"database = {json.dumps(url if place == 'postgresql' else '')}\nwatch_seconds = 0\n"
            file.write_text(own + text)
            clients.append(stack.enter_context(served(folder)))
        users = [row["user_id"] for row in clients[0].get("/users?limit=50").json()]
        items = [row["item_id"] for row in clients[0].get("/items?limit=50").json()]
        spent: dict[str, list[list[float]]] = {"/recommendations": [[], []], "/events": [[], []]}
        for number in range(requests + 20):
            who = users[number % len(users)]
            event = {
                "event_id": f"e{number}",
                "user_id": who,
                "kind": "like",
                "item_id": items[number % len(items)],
            }
            bodies = {"/recommendations": {"user_id": who, "k": 10}, "/events": {"events": [event]}}
            for path, body in bodies.items():
                for side in (0, 1) if number % 2 else (1, 0):
                    milliseconds = timed(clients[side], path, body)
                    if number >= 20:  # the first ones warm up
                        spent[path][side].append(milliseconds)
    result: dict[str, Any] = {"requests": requests}
    for path, both in spent.items():
        known = {name: np.percentile(values, [50, 99]) for name, values in zip(PLACES, both, strict=True)}
        result[path] = {
            name: {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)} for name, (p50, p99) in known.items()
        } | {"ratio": round(known["postgresql"][0] / known["sqlite"][0], 2)}
    return result


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument(
        "-w", "--workspace", type=Path, required=True, help="a trained workspace; it is copied"
    )
    parser.add_argument("--url", default="", help="an empty PostgreSQL; default: a private one")
    parser.add_argument("--requests", type=int, default=500)
    given = parser.parse_args()
    if given.url:
        result = measure(given.workspace, given.url, given.requests)
    else:
        with cluster() as private:
            result = measure(given.workspace, private.fresh(), given.requests)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    command(main)
