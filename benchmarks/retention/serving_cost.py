"""What the survey proxy costs a request: features, prediction, re-ranking, words, and the features logged
with the slate.

    python -m benchmarks.retention.serving_cost [--items 12000] [--requests 400] [--workspace demo]

A synthetic catalogue with eight attributes an item and 30 events a history, 17 candidates of which 12 are
shown (the page's list and five spare). Parts are timed one by one, in processor time (of this thread, so that
a busy machine does not count) and on the clock; the slate is logged into a database of its own, with and
without features.

--workspace: a trained workspace, for whole requests as well. `POST /recommendations` goes through the
server's app (validation, admission, search, reads and writes of the database, JSON), turn by turn to the
workspace with a proxy and without one; people are drawn at random, the order of the two too. The proxy's
weights are made up: what it says costs the same. Works on a copy.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from recipes.common import command, options

from tastemaker.retention.adjust.rules import Capped, Constrained
from tastemaker.retention.features import Person, features, known_items, matrix, rerank, sentence
from tastemaker.retention.proxy.model import Proxy, ProxySettings, predict_arrays, to_parts
from tastemaker.server import create_app
from tastemaker.serving.service import WorkspaceService
from tastemaker.stats.random import generator
from tastemaker.store import Database, Offer, OfferedRow, Offers, Workspace, write_json, write_table

POOL, SHOWN, HISTORY, VALUES = 17, 12, 30, 8


def main() -> None:
    """Measure and print."""
    reader = options(__doc__)
    reader.add_argument("--items", type=int, default=12_000)
    reader.add_argument("--requests", type=int, default=400)
    reader.add_argument("--workspace", type=Path, help="a trained workspace: measure whole requests too")
    arguments = reader.parse_args()
    known, build = timed(lambda: catalogue(arguments.items))
    proxy = Proxy(
        ProxySettings(known.names), tuple(0.01 for _ in known.names), (-2.0, -1.0, 0.5, 1.5), n=1000
    )
    rng = generator(0, "requests")
    rows = [request_costs(known, proxy, rng, arguments.items) for _ in range(arguments.requests)]
    print(
        f"{arguments.items:,} items, {len(known.names)} features, {POOL} candidates, {arguments.requests}"
        " requests"
    )
    print(f"facts of the catalogue, once: {build[0]:.2f} s of processor time\n")
    for part in rows[0]:
        show(part, [row[part] for row in rows])
    show(
        "all",
        [(sum(part[0] for part in row.values()), sum(part[1] for part in row.values())) for row in rows],
    )
    with tempfile.TemporaryDirectory() as folder:
        bare, full = logging(Path(folder), known, rng, arguments)
    show("slate logged without features", bare)
    show("slate logged with features", full)
    if arguments.workspace is not None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copytree(arguments.workspace, Path(folder) / "workspace"))
            show_whole(whole(copy, arguments.requests), arguments.requests)


def catalogue(n: int) -> Any:
    """Synthetic facts: random attributes, plays and pairs."""
    rng = generator(0, "catalogue")
    attributes = [
        [f"f{field}={int(value)}" for field, value in enumerate(row)]
        for row in rng.integers(0, 12, (n, VALUES))
    ]
    pairs = {(min(a, b), max(a, b)): 1 for a, b in rng.integers(0, n, (20 * n, 2)).tolist() if a != b}
    items = rng.integers(0, n, 10 * n)
    kinds = rng.choice(["play", "like", "skip"], size=10 * n)
    counts = np.bincount(items, minlength=n)
    return known_items(counts, attributes, items, kinds == "like", kinds == "skip", pairs)


def request_costs(
    known: Any, proxy: Proxy, rng: np.random.Generator, n: int
) -> dict[str, tuple[float, float]]:
    """Seconds (processor, clock) of each part of one request."""
    items, scores = rng.choice(n, POOL, replace=False), np.sort(rng.normal(-4, 1, POOL))[::-1]
    person = Person(tuple(rng.integers(0, n, HISTORY).tolist()), 3, 2, HISTORY)
    rule = Capped(Constrained(), 5)
    seen, a = timed(lambda: features(known, person, items, scores))
    (p_pos, p_neg), b = timed(lambda: predict_arrays(proxy, matrix(seen, proxy.settings.features, POOL)))
    done, c = timed(lambda: rerank(scores, p_pos, p_neg, rule))
    _, d = timed(
        lambda: [
            sentence(r - int(done.after[r]), p_pos[r], p_neg[r], done.term[r], False, "it")
            for r in range(POOL)
        ]
    )
    return {"features": a, "prediction": b, "re-ranking": c, "words": d}


def logging(
    folder: Path, known: Any, rng: np.random.Generator, arguments: Any
) -> tuple[list[Any], list[Any]]:
    """Seconds of storing a slate of 12, without and with its features, in turn."""
    database = Database(folder / "log.sqlite")
    offers = Offers(database)
    out: tuple[list[Any], list[Any]] = ([], [])
    for number in range(arguments.requests):
        items, scores = (
            rng.choice(arguments.items, SHOWN, replace=False),
            np.sort(rng.normal(-4, 1, SHOWN))[::-1],
        )
        ids = [f"i{item}" for item in items]
        seen = features(known, Person(), items, scores)
        for place, list_ in enumerate(out):
            columns = {name: values.round(6).tolist() for name, values in seen.items()} if place else None
            offer = Offer(
                f"r{number}-{place}",
                "u",
                datetime.now(UTC),
                [OfferedRow(item_id, 1.0) for item_id in ids],
                "greedy",
                features=json.dumps({"item_id": ids} | columns) if columns else None,
            )
            list_.append(timed(partial(offers.add, [offer]))[1])
    database.close()
    return out


def whole(folder: Path, requests: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds (processor time of the process, clock) of whole requests, without and with a proxy, in turn."""
    opened = Workspace.open(folder)
    services = {
        name: WorkspaceService(replace(opened, settings=replace(opened.settings, ask_share=0.0, adjust=rule)))
        for name, rule in (("without", "off"), ("with", "constrained"))
    }
    deploy(opened, services["with"])
    people = [user["user_id"] for user in services["with"].users(1000, 0)[0]]
    rng, out = generator(0, "whole"), {name: list[tuple[float, float]]() for name in services}
    with ExitStack() as stack:
        apps = {
            name: TestClient(create_app(service), "http://127.0.0.1") for name, service in services.items()
        }
        clients = {name: stack.enter_context(app) for name, app in apps.items()}
        for number in range(-20, requests):  # the first twenty are for what is loaded once
            user = people[int(rng.integers(len(people)))]
            for name in sorted(clients, reverse=bool(rng.random() < 0.5)):
                body = {"request_id": f"{name}{number}", "user_id": user, "k": SHOWN}
                processor, clock = time.process_time(), time.perf_counter()
                answer = clients[name].post("/recommendations", json=body)
                taken = time.process_time() - processor, time.perf_counter() - clock
                assert answer.status_code == 200, answer.text
                assert all(
                    (row["retention"] is not None) == (name == "with") for row in answer.json()["rows"]
                )
                if number >= 0:
                    out[name].append(taken)
    return out


def deploy(workspace: Workspace, service: WorkspaceService) -> None:
    """A proxy with made-up weights for the workspace's own features."""
    names = service.parts.reranker.context.known.names
    weights = tuple(generator(0, "weights").normal(0, 0.1, len(names)))
    values, table = to_parts(Proxy(ProxySettings(names), weights, (-2.0, -1.0, 0.5, 1.5), n=1000))

    def build(place: Path) -> None:
        write_json(place / "proxy.json", values)
        write_table(place / "coefficients.parquet", table)

    workspace.artifacts.put("proxy", "0" * 32, build, inputs={}, settings=values["settings"])
    service.database.deploy("proxy", "0" * 32, datetime.now(UTC), "made up")


def show_whole(result: dict[str, list[tuple[float, float]]], requests: int) -> None:
    """p50 and p99 of both, and what the proxy adds to the same person's request: median difference and ratio,
    with intervals.
    """
    print(f"\nwhole POST /recommendations, {requests} requests each, in turn (milliseconds)")
    for place, name in enumerate(("processor time", "clock")):
        both = {key: 1000 * np.array(rows)[:, place] for key, rows in result.items()}
        for key, values in both.items():
            low, high = np.percentile(values, [50, 99])
            print(f"{key + ' proxy, ' + name:32} p50 {low:7.2f}  p99 {high:7.2f}")
        pairs = np.column_stack([both["without"], both["with"]])
        for label, of in (("added, median of pairs", added), ("ratio of medians", ratio)):
            rng = generator(0, "intervals")
            low, high = np.percentile(
                [of(pairs[rng.integers(0, requests, requests)]) for _ in range(1000)], [2.5, 97.5]
            )
            print(f"{label + ', ' + name:40} {of(pairs):.3f} [{low:.3f}, {high:.3f}]")


def added(pairs: Any) -> float:
    """What the proxy adds to the same person's request: median over pairs (n, 2) of without, with."""
    return float(np.median(pairs[:, 1] - pairs[:, 0]))


def ratio(pairs: Any) -> float:
    """Median with over median without."""
    return float(np.median(pairs[:, 1]) / np.median(pairs[:, 0]))


def timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """The result, and seconds of processor time of this thread and of the clock."""
    processor, clock = time.thread_time(), time.perf_counter()
    result = work()
    return result, (time.thread_time() - processor, time.perf_counter() - clock)


def show(name: str, seconds: list[tuple[float, float]]) -> None:
    """Median and 95th percentile, milliseconds."""
    processor, clock = np.array(seconds).T * 1000
    low, high = np.percentile(processor, [50, 95])
    print(
        f"{name:32} {low:7.3f} ms of processor time (95 %: {high:.3f}), {np.median(clock):7.3f} ms on the"
        " clock"
    )


if __name__ == "__main__":
    command(main)
