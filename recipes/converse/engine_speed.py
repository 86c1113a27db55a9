"""How near the engine comes to the ideal of an endpoint with a fixed latency, and what bare threads get from
the same one.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from recipes.converse.engine_worker import CALLS, Answer, engine_of, say, talk
from recipes.converse.rehearsal import Rehearsal, Script
from tastemaker.chat import PaceSettings, Request, Sampling, Unit, map_units, user
from tastemaker.chat.endpoint import Endpoint, EndpointSettings


def _serve(latency: float, pipe: Connection) -> None:
    with Rehearsal(Script(say, latency)) as server:
        pipe.send(server.base_url)
        pipe.recv()


@contextmanager
def endpoint(latency: float) -> Iterator[str]:
    """The address of an endpoint in a process of its own, as real ones are."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(latency, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("end")
        process.join()


def fixed_latency(latency: float, calls: int, most: int) -> dict[str, float]:
    """Throughput as a share of most/latency: of the engine, and of `most` bare threads."""
    with endpoint(latency) as url:
        ideal = calls * latency / most
        return {"bare": ideal / _bare(url, calls, most), "share": ideal / _engine(url, calls, most)}


def _engine(url: str, calls: int, most: int) -> float:
    """Seconds of the engine with cache and journal."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    try:
        with Endpoint(EndpointSettings(url, "m")) as chat:
            engine = engine_of(folder, chat, PaceSettings(most=most))
            todo = [Unit(f"c{i:04d}", f"subject {i}", i) for i in range(calls // CALLS)]
            began = time.monotonic()
            for outcome in map_units(engine, partial(talk, engine), todo):
                assert outcome.failure is None, outcome.detail
            return time.monotonic() - began
    finally:
        shutil.rmtree(folder)


def _bare(url: str, calls: int, most: int) -> float:
    """Seconds of `most` threads that ask one question after the other and keep nothing."""
    with Endpoint(EndpointSettings(url, "m")) as chat, ThreadPoolExecutor(most) as pool:

        def ask(number: int) -> None:
            chat.complete(Request((user(f"question {number}"),), Answer, Sampling(max_tokens=64)))

        began = time.monotonic()
        list(pool.map(ask, range(calls)))
        return time.monotonic() - began
