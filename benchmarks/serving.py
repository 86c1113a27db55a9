"""Latency of `POST /recommendations` at a steady load, and at three times that load, against a running
server.

    python -m benchmarks.serving --url http://127.0.0.1:8765
    python -m benchmarks.serving --url http://127.0.0.1:8765 --rate 10 --seconds 60
    python -m benchmarks.serving --url http://127.0.0.1:8765 --rate 10 --swaps 50 --workspace copy

The load is open: requests leave at the moments of a Poisson process, whether or not earlier ones have come
back, and latency counts from the moment a request should have left, so that a slow server cannot hide its own
queue. Without `--rate` the steady load is half of what the server manages when 16 clients ask without a
pause. People ask in turn, up to `--people` of them; of who asked shortly before and did nothing since, the
server still has the scores.

With `--swaps` two deployments of the workspace that the server serves (use a copy) are activated in turn
under the load; every answer must be a 200 that holds no item which the deployment it names does not have.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from recipes.common import command, options

from tastemaker.flows import deploy
from tastemaker.flows.ingest import ingest_files
from tastemaker.stats.random import generator
from tastemaker.store import Workspace

CLIENTS, PAGE = 16, 200  # in a closed load; people that the server tells at once


@dataclass(frozen=True)
class Load:
    """What to send: `rate` requests a second for `seconds`, for users drawn with `seed`, `k` rows each."""

    rate: float
    seconds: float
    k: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """One request: its status (0 when the connection failed), seconds from when it should have left,
    Retry-After, and the milliseconds that the server says it took.
    """

    status: int
    latency: float
    retry_after: bytes | None
    server_ms: float


@dataclass(frozen=True)
class Summary:
    """One line of the table; latencies in milliseconds, of accepted requests unless said."""

    phase: str
    rate: float
    sent: int
    accepted: int
    shed_429: int
    shed_503: int
    failed: int
    without_retry_after: int
    p50: float
    p99: float
    worst: float
    server_p99: float
    shed_p99: float
    accepted_per_second: float


class Connection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    transport: asyncio.Transport
    answer: asyncio.Future[bytes]
    received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Wait until the body is whole."""
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if separator and len(body) >= int(header(head, b"content-length") or 0) and not self.answer.done():
            self.answer.set_result(self.received)

    def connection_lost(self, error: Exception | None) -> None:
        """The server closes connections that were idle for long."""
        if not self.answer.done():
            self.answer.set_exception(EOFError())


def header(head: bytes, name: bytes) -> bytes | None:
    """A header's value; None where there is none."""
    _, separator, rest = head.lower().partition(b"\r\n" + name + b": ")
    return rest.partition(b"\r\n")[0] if separator else None


class Client:
    """The least HTTP that will do, over kept connections: the generator shares the machine, so it must cost
    little.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._idle: list[Connection] = []

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer; OSError or EOFError when the connection fails."""
        while self._idle and self._idle[-1].transport.is_closing():
            self._idle.pop()
        loop = asyncio.get_running_loop()
        if self._idle:
            connection = self._idle.pop()
        else:
            _, connection = await loop.create_connection(Connection, self._host, self._port)
        connection.received, connection.answer = b"", loop.create_future()
        lines = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        connection.transport.write(f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head, _, content = (await connection.answer).partition(b"\r\n\r\n")
        self._idle.append(connection)
        return int(head.split(maxsplit=2)[1]), head, content

    def close(self) -> None:
        """Close the connections."""
        for connection in self._idle:
            connection.transport.close()


async def people(client: Client, most: int) -> list[str]:
    """Ids of as many people of the tables as there are, `most` at most."""
    ids: list[str] = []
    while len(ids) < most:
        query = f"limit={min(PAGE, most - len(ids))}&offset={len(ids)}"
        page = json.loads((await client.send("GET", f"/users?{query}"))[2])
        if not page:
            break
        ids += [user["user_id"] for user in page]
    return ids


async def ask(client: Client, user: str, k: int, due: float) -> Outcome:
    """One request that should have left at `due` on the loop's clock."""
    status, retry, server = 0, None, 0.0
    try:
        status, head, content = await client.send(
            "POST", "/recommendations", json.dumps({"user_id": user, "k": k}).encode()
        )
        if status == 200:  # its last number but one, for reading all would take the server's time
            server = float(content.rpartition(b'"total_ms":')[2].partition(b",")[0])
        else:
            retry = header(head, b"retry-after")
    except (OSError, EOFError):
        pass
    return Outcome(status, asyncio.get_running_loop().time() - due, retry, server)


async def open_load(client: Client, users: list[str], load: Load) -> list[Outcome]:
    """Send at the moments of a Poisson process; wait for nothing until the end."""
    draws = generator(load.seed, "serving", str(load.rate))
    gaps = draws.exponential(1 / load.rate, size=max(1, round(load.rate * load.seconds)))
    who = draws.integers(len(users), size=len(gaps))
    loop = asyncio.get_running_loop()
    due = loop.time()
    tasks = []
    for gap, number in zip(gaps, who, strict=True):
        due += gap
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.create_task(ask(client, users[number], load.k, due)))
    return await asyncio.gather(*tasks)


async def closed_load(client: Client, users: list[str], seconds: float, k: int) -> float:
    """Requests a second that the server answers when `CLIENTS` clients ask without a pause."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    answered = 0

    async def client_load(number: int) -> None:
        nonlocal answered
        while loop.time() < end:
            outcome = await ask(client, users[number % len(users)], k, loop.time())
            answered += outcome.status == 200
            number += CLIENTS

    started = loop.time()
    await asyncio.gather(*(client_load(number) for number in range(CLIENTS)))
    return answered / (loop.time() - started)


def summarise(phase: str, load: Load, outcomes: list[Outcome], took: float) -> Summary:
    """The table's line for one phase."""
    status = Counter(outcome.status for outcome in outcomes)
    accepted = np.array([outcome.latency for outcome in outcomes if outcome.status == 200]) * 1000
    refused = [outcome for outcome in outcomes if outcome.status in (429, 503)]
    shed = np.array([outcome.latency for outcome in refused]) * 1000
    p50, p99, worst = np.percentile(accepted, [50, 99, 100]) if len(accepted) else (np.nan,) * 3
    return Summary(
        phase=phase,
        rate=round(load.rate, 2),
        sent=len(outcomes),
        accepted=len(accepted),
        shed_429=status[429],
        shed_503=status[503],
        failed=len(outcomes) - len(accepted) - len(refused),
        without_retry_after=sum(not outcome.retry_after for outcome in refused),
        p50=round(float(p50), 1),
        p99=round(float(p99), 1),
        worst=round(float(worst), 1),
        server_p99=round(
            float(
                np.percentile([outcome.server_ms for outcome in outcomes if outcome.status == 200] or [0], 99)
            ),
            1,
        ),
        shed_p99=round(float(np.percentile(shed, 99)), 1) if len(shed) else 0.0,
        accepted_per_second=round(len(accepted) / took, 2),
    )


async def measure(url: str, rate: float | None, load: Load, most: int) -> list[Summary]:
    """Warm up, find the steady rate when none is given, then the steady load, three times it, and the steady
    one again; for `most` people at most.
    """
    client = Client(url)
    status, _, body = await client.send("GET", "/health/ready")
    if status != 200:
        raise SystemExit(f"{url} is not ready: {body.decode()}")
    users = await people(client, most)
    if not users:
        raise SystemExit(f"{url} knows no users; ingest interactions first")
    await closed_load(client, users, 1.0, load.k)
    if rate is None:
        limit = await closed_load(client, users, min(10.0, load.seconds), load.k)
        print(
            f"{CLIENTS} clients without a pause: {limit:.1f} requests/s; the steady load is half of that",
            file=sys.stderr,
        )
        rate = limit / 2
    lines = []
    for phase, times in (("steady", 1), ("3x", 3), ("steady again", 1)):
        load = replace(load, rate=rate * times)
        started = time.monotonic()
        outcomes = await open_load(client, users, load)
        lines.append(summarise(phase, load, outcomes, time.monotonic() - started))
    client.close()
    return lines


def two_deployments(opened: Workspace) -> dict[str, set[str]]:
    """The items of two deployments by name; a workspace that has one gets another, without its last item."""
    if len(deploy.deployments(opened)) < 2:
        folder = opened.root.parent / f"{opened.root.name}-tables"
        folder.mkdir(exist_ok=True)
        items, plays = opened.table("items"), opened.table("interactions")
        last = items["item_id"][-1]
        pq.write_table(items.slice(0, items.num_rows - 1), folder / "items.parquet")
        pq.write_table(plays.filter(pc.not_equal(plays["item_id"], last)), folder / "plays.parquet")
        ingest_files(opened.root, folder / "items.parquet", folder / "plays.parquet")
    two = deploy.deployments(opened)[:2]
    return {deployment.name: set(deployment.catalogue_items()["item_id"].to_pylist()) for deployment in two}


async def swaps(url: str, workspace: Path, load: Load, count: int) -> dict[str, Any]:
    """Activate two deployments in turn under a steady load: requests, failures, answers that do not fit the
    deployment they name, and seconds from each activation until the server names it.
    """
    opened, client, unfit, sent, took = Workspace.open(workspace), Client(url), 0, 0, list[float]()
    failed = Counter[str]()  # by what was answered instead, and when
    items, stop = two_deployments(opened), asyncio.Event()
    users = await people(client, PAGE)

    async def ask_one(user: str) -> None:
        nonlocal unfit
        try:
            body = json.dumps({"user_id": user, "k": load.k}).encode()
            status, _, content = await client.send("POST", "/recommendations", body)
        except (OSError, EOFError):
            status, content = 0, b"no answer"
        if status != 200:
            failed[f"{status} after {len(took)} swaps: {content[:300].decode(errors='replace')}"] += 1
            return
        answer = json.loads(content)
        own = items.get(answer["deployment"], set())
        unfit += not {row["item_id"] for row in answer["rows"]} <= own

    async def ask_on() -> None:
        nonlocal sent
        draws, tasks = generator(load.seed, "swaps"), []
        while not stop.is_set():
            await asyncio.sleep(float(draws.exponential(1 / load.rate)))
            tasks.append(asyncio.create_task(ask_one(users[int(draws.integers(len(users)))])))
            sent += 1
        await asyncio.gather(*tasks)

    asking = asyncio.create_task(ask_on())
    for turn in range(count):
        name = sorted(items)[turn % 2]
        if json.loads((await client.send("GET", "/info"))[2])["versions"]["deployment"] == name:
            name = sorted(items)[1 - turn % 2]
        await asyncio.to_thread(deploy.activate, opened, name)
        began = time.monotonic()
        while json.loads((await client.send("GET", "/info"))[2])["versions"]["deployment"] != name:
            await asyncio.sleep(0.02)
        took.append(time.monotonic() - began)
    stop.set()
    await asking
    client.close()
    return {
        "swaps": count,
        "requests": sent,
        "failed": dict(failed),
        "not valid for what they name": unfit,
        "seconds to the new one, median": round(float(np.median(took)), 2),
        "seconds to the new one, largest": round(max(took), 2),
    }


def table(lines: list[Summary]) -> str:
    """Markdown, one column a measure."""
    rows: list[dict[str, Any]] = [asdict(line) for line in lines]
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(name.replace('_', ' ') for name in line)} |" for line in cells)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = options(__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8765", help="a running server")
    parser.add_argument("--rate", type=float, help="steady requests a second; found when left out")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each phase")
    parser.add_argument("--k", type=int, default=10, help="rows a request asks for")
    parser.add_argument("--people", type=int, default=5000, help="who ask; few ask again before anything new")
    parser.add_argument("--seed", type=int, default=0, help="of arrival times and users")
    parser.add_argument("--swaps", type=int, default=0, help="deployments to activate under the load")
    parser.add_argument("--workspace", type=Path, help="with --swaps: what the server serves")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    if given.swaps:
        load = Load(given.rate or 5.0, given.seconds, given.k, given.seed)
        print(json.dumps(asyncio.run(swaps(given.url, given.workspace, load, given.swaps)), indent=1))
        return
    try:
        load = Load(0.0, given.seconds, given.k, given.seed)
        lines = asyncio.run(measure(given.url, given.rate, load, given.people))
    except ConnectionRefusedError:
        raise SystemExit(
            f"nothing answers at {given.url}; start it with `tastemaker serve`, or give --url"
        ) from None
    if given.json:
        print(json.dumps([asdict(line) for line in lines]))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed {given.seed},"
        " latencies in ms"
    )
    print(table(lines))


if __name__ == "__main__":
    command(main)
