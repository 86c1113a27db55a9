"""What the survey proxy costs a request: features, prediction, re-ranking, words, and the features logged with the slate.

    python -m benchmarks.retention.serving_cost [--items 12000] [--requests 400]

A synthetic catalogue with eight attributes an item and 30 events a history, 17 candidates of which 12 are shown (the page's list
and five spare). Parts are timed one by one, in processor time (of this thread, so that a busy machine does not count) and on the
clock; the slate is logged into a database of its own, with and without features.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.explore import greedy_slate
from tastemaker.rank.adjust import Capped, Constrained
from tastemaker.rank.features import Person, features, known_items, matrix
from tastemaker.rank.proxy import Proxy, ProxySettings, predict_arrays
from tastemaker.rank.served import rerank, sentence
from tastemaker.stats.random import generator
from tastemaker.store import Database

POOL, SHOWN, HISTORY, VALUES = 17, 12, 30, 8


def main() -> None:
    """Measure and print."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--items", type=int, default=12_000)
    found.add_argument("--requests", type=int, default=400)
    arguments = found.parse_args()
    known, build = timed(lambda: catalogue(arguments.items))
    proxy = Proxy(ProxySettings(known.names), tuple(0.01 for _ in known.names), (-2.0, -1.0, 0.5, 1.5), n=1000)
    rng = generator(0, "requests")
    rows = [one(known, proxy, rng, arguments.items) for _ in range(arguments.requests)]
    print(f"{arguments.items:,} items, {len(known.names)} features, {POOL} candidates, {arguments.requests} requests")
    print(f"facts of the catalogue, once: {build[0]:.2f} s of processor time\n")
    for part in rows[0]:
        show(part, [row[part] for row in rows])
    show("all", [tuple(sum(part[clock] for part in row.values()) for clock in (0, 1)) for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        bare, full = logging(Path(folder), known, rng, arguments)
    show("slate logged without features", bare)
    show("slate logged with features", full)


def catalogue(n: int) -> Any:
    """Synthetic facts: random attributes, plays and pairs."""
    rng = generator(0, "catalogue")
    attributes = [[f"f{field}={int(value)}" for field, value in enumerate(row)] for row in rng.integers(0, 12, (n, VALUES))]
    pairs = {(min(a, b), max(a, b)): 1 for a, b in rng.integers(0, n, (20 * n, 2)).tolist() if a != b}
    items = rng.integers(0, n, 10 * n)
    kinds = rng.choice(["play", "like", "skip"], size=10 * n).tolist()
    return known_items(np.bincount(items, minlength=n), attributes, items, kinds, pairs)


def one(known: Any, proxy: Proxy, rng: np.random.Generator, n: int) -> dict[str, tuple[float, float]]:
    """Seconds (processor, clock) of each part of one request."""
    items, scores = rng.choice(n, POOL, replace=False), np.sort(rng.normal(-4, 1, POOL))[::-1]
    person = Person(tuple(rng.integers(0, n, HISTORY).tolist()), 3, 2, HISTORY)
    rule = Capped(Constrained(), 5)
    seen, a = timed(lambda: features(known, person, items, scores))
    (p_pos, p_neg), b = timed(lambda: predict_arrays(proxy, matrix(seen, proxy.settings.features, POOL)))
    done, c = timed(lambda: rerank(scores, p_pos, p_neg, rule))
    _, d = timed(lambda: [sentence(r - int(done.after[r]), p_pos[r], p_neg[r], done.term[r], False, "it") for r in range(POOL)])
    return {"features": a, "prediction": b, "re-ranking": c, "words": d}


def logging(folder: Path, known: Any, rng: np.random.Generator, arguments: Any) -> tuple[list[Any], list[Any]]:
    """Seconds of storing a slate of 12, without and with its features, in turn."""
    database = Database(folder / "log.sqlite")
    out: tuple[list[Any], list[Any]] = ([], [])
    for number in range(arguments.requests):
        items, scores = rng.choice(arguments.items, SHOWN, replace=False), np.sort(rng.normal(-4, 1, SHOWN))[::-1]
        ids = [f"i{item}" for item in items]
        seen = features(known, Person(), items, scores)
        for place, list_ in enumerate(out):
            slate = greedy_slate(f"r{number}-{place}", "u", ids, datetime.now(UTC))

            def store(place: int = place, slate: Any = slate, seen: Any = seen, ids: list[str] = ids) -> None:
                columns = {name: values.round(6).tolist() for name, values in seen.items()} if place else None
                database.log_slate(slate, json.dumps({"item_id": ids} | columns) if columns else None)

            list_.append(timed(store)[1])
    database.close()
    return out


def timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """The result, and seconds of processor time of this thread and of the clock."""
    processor, clock = time.thread_time(), time.perf_counter()
    result = work()
    return result, (time.thread_time() - processor, time.perf_counter() - clock)


def show(name: str, seconds: list[tuple[float, float]]) -> None:
    """Median and 95th percentile, milliseconds."""
    processor, clock = np.array(seconds).T * 1000
    low, high = np.percentile(processor, [50, 95])
    print(f"{name:32} {low:7.3f} ms of processor time (95 %: {high:.3f}), {np.median(clock):7.3f} ms on the clock")


if __name__ == "__main__":
    main()
