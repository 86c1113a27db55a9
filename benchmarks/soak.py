"""A server under a steady mixed load for half an hour: memory, open files and threads must not grow.

    python -m benchmarks.soak -w shop                      # starts `tastemaker serve` on a copy, 30 minutes
    python -m benchmarks.soak --minutes 4                  # on a small shop of its own

People come by as visitors, ask for lists, say that they were shown, like and undo, look at media, talk, and
go; some hang up before their answer. Every tenth does something wrong on purpose. Exit code 1 when memory
grows by more than 1 MB a minute over the second half, files or threads by more than 8 between the second
quarter and the second half, or an answer was a fault of the server's. `--pause` seconds after each visit
leave the machine to others.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import numpy as np
from recipes.common import command, options
from recipes.safety.shop import make_shop

EVERY = 2.0  # seconds between two looks at the process


@dataclass(frozen=True)
class Look:
    """One look at the server's process."""

    second: float
    megabytes: float
    files: int
    threads: int


def look(pid: int, begun: float) -> Look:
    """What /proc says of a process now."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Look(
        time.monotonic() - begun, int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"])
    )


class Visitor:
    """One browser that came by."""

    def __init__(self, url: str, number: int, counts: Counter[int]) -> None:
        self.url, self.number, self.counts = url, number, counts
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def call(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The answer's JSON, or its bytes; None for a refusal, which is counted."""
        data = None if body is None else json.dumps(body).encode()
        ask = urllib.request.Request(
            self.url + path, data, {"content-type": "application/json"} if data else {}, method=method
        )
        try:
            with self._opener.open(ask, timeout=60) as answer:
                content = answer.read()
                self.counts[answer.status] += 1
                return json.loads(content) if "json" in answer.headers["content-type"] else content
        except urllib.error.HTTPError as error:
            with error:
                error.read()
            self.counts[error.code] += 1
            return None

    def visit(self) -> None:
        """A sitting of two lists."""
        me = self.call("/session", {})["user_id"]
        for round_ in range(2):
            slate = self.call("/recommendations", {"user_id": me, "k": 5, "confirm": True})
            if not slate or not slate["rows"]:
                continue
            self.call("/impressions", {"request_id": slate["request_id"], "user_id": me})
            item, name = slate["rows"][0]["item_id"], f"soak-{self.number}-{round_}"
            event = {"event_id": name, "user_id": me, "kind": "like", "item_id": item}
            self.call("/events", {"events": [event | {"request_id": slate["request_id"]}]})
            undo = {"event_id": f"{name}-undo", "user_id": me, "kind": "undo", "target": name}
            self.call("/events", {"events": [undo]})
            for part in ("", "/cover", "/audio"):
                self.call(f"/items/{item}{part}")
            self.call(f"/items?query=the+{self.number}&limit=5")
        if self.number % 5 == 0:
            wish = f"something calm under {self.number} minutes, please"  # caches have to have an end
            self.call("/assist", {"message": wish, "user_id": me})
        if self.number % 10 == 0:
            self.call("/recommendations", {"user_id": me, "k": True})
            self.call("/users/somebody-else/history")
            self.hang_up({"user_id": me, "k": 5})

    def hang_up(self, body: object) -> None:
        """Ask for a list and leave before it is there."""
        host, _, port = self.url.rpartition("/")[2].partition(":")
        content = json.dumps(body).encode()
        head = f"POST /recommendations HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)


def steady(looks: list[Look]) -> tuple[dict[str, float], list[str]]:
    """What grew over the second half, and what of it is too much."""
    half = looks[len(looks) // 2 :]
    minutes = np.array([sample.second for sample in half]) / 60
    slope = float(np.polyfit(minutes, [sample.megabytes for sample in half], 1)[0])
    first = looks[len(looks) // 4 : len(looks) // 2]
    grown = {
        name: float(
            np.median([getattr(sample, name) for sample in half])
            - np.median([getattr(sample, name) for sample in first])
        )
        for name in ("files", "threads")
    }
    wrong = [f"memory grows by {slope:.2f} MB a minute"] if slope > 1 else []
    wrong += [f"{name} grew by {count:g}" for name, count in grown.items() if count > 8]
    return {"megabytes_a_minute": round(slope, 3), **grown}, wrong


def main() -> None:
    """Run it."""
    parser = options(__doc__)
    parser.add_argument("-w", "--workspace", type=Path, help="default: the shop of recipes/safety")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=8799)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "workspace"
        if arguments.workspace is None:
            make_shop(copy)
        else:
            shutil.copytree(arguments.workspace, copy)
        command = [
            sys.executable,
            "-m",
            "tastemaker",
            "serve",
            "-w",
            str(copy),
            "--port",
            str(arguments.port),
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{arguments.port}"
            result = soak(server, url, arguments.minutes * 60, arguments.pause)
        finally:
            server.terminate()
            server.wait()
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["wrong"] else 0)


def soak(server: subprocess.Popen[bytes], url: str, seconds: float, pause: float) -> dict[str, Any]:
    """Load the server for `seconds`, looking at it."""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health/ready", timeout=5).close()
            break
        except OSError:
            time.sleep(0.5)
    counts, looks, number = Counter[int](), list[Look](), 0
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        Visitor(url, number, counts).visit()
        number += 1
        time.sleep(pause)
        if not looks or time.monotonic() - begun - looks[-1].second >= EVERY:
            looks.append(look(server.pid, begun))
    grown, wrong = steady(looks)
    wrong += [
        f"{count} answers {status}" for status, count in counts.items() if status >= 500 and status != 503
    ]
    last = looks[-1]
    return {
        "minutes": round(seconds / 60, 1),
        "visits": number,
        "answers": dict(sorted(counts.items())),
        "grown": grown,
        "megabytes": [round(sample.megabytes) for sample in looks[:: max(1, len(looks) // 12)]],
        "at_the_end": {"megabytes": round(last.megabytes), "files": last.files, "threads": last.threads},
        "wrong": wrong,
    }


if __name__ == "__main__":
    command(main)
