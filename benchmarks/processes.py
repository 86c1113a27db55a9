"""Requests a second and memory of `tastemaker serve` with one process and with several behind its port.

    python -m benchmarks.processes -w demo [--processes 1,2] [--seconds 15] [--clients 8]

Each number of processes serves a copy of the workspace in turn. So many clients, threads of one process with
a connection each, ask for lists (`POST /recommendations`, logged) without a pause. Memory is the proportional
share (PSS) of all processes of the server, at the end; what each adds is the difference.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from recipes.common import command, options, whole_numbers

from tastemaker.store.settings import SETTINGS_FILE


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(own for child in children for own in family(int(child)))]


def megabytes(pid: int) -> float:
    """The proportional share of memory of a process and its descendants."""
    text = "".join(Path(f"/proc/{each}/smaps_rollup").read_text() for each in family(pid))
    return sum(int(kb) for kb in re.findall(r"(?m)^Pss:\s+(\d+) kB", text)) / 1024


def ask(address: str, users: list[str], end: float, spent: list[float]) -> None:
    """Ask over one connection until the end; seconds of each answer."""
    client = http.client.HTTPConnection(address)
    while (began := time.perf_counter()) < end:
        body = json.dumps({"user_id": users[len(spent) % len(users)], "k": 10})
        client.request("POST", "/recommendations", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}")
        spent.append(time.perf_counter() - began)


def measure(workspace: Path, processes: int, seconds: float, clients: int) -> dict[str, Any]:
    """One server, warmed up, under load."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "w"
        shutil.copytree(workspace, folder, ignore=shutil.ignore_patterns("runs"))
        file = folder / SETTINGS_FILE
        file.write_text(re.sub(r"(?m)^threads = .*$", "threads = 1", file.read_text()))
        command = [sys.executable, "-m", "tastemaker", "serve", "-w", str(folder), "--port", "0"]
        began = time.perf_counter()
        command += ["--processes", str(processes)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
            contextlib.ExitStack() as ending,
        ):
            ending.callback(server.terminate)
            assert server.stdout is not None
            url = next(word for line in server.stdout for word in line.split() if word.startswith("http"))
            ready = time.perf_counter() - began
            users = [row["user_id"] for row in httpx.get(f"{url}/users?limit=50", timeout=60).json()]
            spent: list[list[float]] = [[] for _ in range(clients)]
            for warm in (True, False):
                for own in spent:
                    own.clear()
                end = time.perf_counter() + (3 if warm else seconds)
                with ThreadPoolExecutor(clients) as pool:
                    asked = [pool.submit(ask, url.removeprefix("http://"), users, end, own) for own in spent]
                for answer in asked:
                    answer.result()
            memory = megabytes(server.pid)
    answers = np.concatenate([np.array(own) for own in spent])
    p50, p99 = 1000 * np.percentile(answers, [50, 99])
    return {
        "processes": processes,
        "requests_s": round(len(answers) / seconds, 1),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "ready_s": round(ready, 1),
        "pss_mb": round(memory),
    }


def main() -> None:
    """Measure each number of processes; one JSON line each."""
    parser = options(__doc__)
    parser.add_argument("-w", "--workspace", type=Path, required=True, help="a trained one; it is copied")
    parser.add_argument("--processes", default="1,2", help="numbers of processes, in turn")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    counts = whole_numbers(given.processes)
    print(json.dumps({"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}), flush=True)
    for count in counts:
        print(json.dumps(measure(given.workspace, count, given.seconds, given.clients)), flush=True)


if __name__ == "__main__":
    command(main)
