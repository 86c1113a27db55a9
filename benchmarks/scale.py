"""Time and peak memory of every stage that grows with the catalogue or the log, each in a process of its own.

    python -m benchmarks.scale [--items 10000,100000,1000000] [--events 100000,1000000,10000000] [--threads 1]

Catalogue: vectors of 32 numbers about 500 centres -> codebook -> Semantic IDs (no two alike) -> trie; what a
request costs is in `benchmarks/recommender.py`. Log: events of people who have twenty each, packed into
histories, and the transitions of the memory counted; what reading them from a file costs is in
`benchmarks/ingest.py`. One JSON line a size: seconds of each stage, and the peak memory until its end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from recipes.common import command, options, whole_numbers

DIMENSIONS, CENTRES, EACH = 32, 500, 20


def catalogue(n: int, timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    """n items, to their trie."""
    from tastemaker.flows.stages.tokens import BALANCE
    from tastemaker.retrieve.trie import build_trie
    from tastemaker.semantic_ids.collisions import encode_unique
    from tastemaker.semantic_ids.rkmeans import RkmeansSettings, fit_rkmeans
    from tastemaker.semantic_ids.sizes import two_level_sizes

    rng, sizes = np.random.default_rng(0), two_level_sizes(n)
    centres = rng.standard_normal((CENTRES, DIMENSIONS), np.float32)
    vectors = rng.standard_normal((n, DIMENSIONS), np.float32)
    vectors += centres[rng.integers(CENTRES, size=n)]
    settings = RkmeansSettings(scaling="view", start="rows", balance=BALANCE)
    book = timed("codebook", lambda: fit_rkmeans({"text": vectors}, sizes, 0, None, settings))
    codes = timed("tokens", lambda: encode_unique(book, {"text": vectors}, balance=BALANCE))
    timed("trie", lambda: build_trie(codes, sizes))


def log(n: int, timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    """n events, to the memory's counts."""
    from tastemaker.corpus.events import Histories
    from tastemaker.retrieve.memory import fit_memory

    rng, items = np.random.default_rng(0), max(1000, n // 100)
    drawn = (items * rng.random(n) ** 2).astype(np.int64)
    people = np.array([f"u{person}" for person in range(n // EACH)])
    offsets = np.arange(0, n + 1, EACH, dtype=np.int64)
    histories = timed("histories", lambda: Histories(people, offsets, drawn, np.arange(n, dtype=np.float64)))
    timed("memory", lambda: fit_memory(histories, items))


def child(kind: str, n: int) -> None:
    """Measure one size and print it."""
    figures: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        figures[f"{name}_s"] = round(time.perf_counter() - started, 2)
        figures["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
        figures[f"{name}_gb"] = figures["peak_gb"]
        return result

    {"items": catalogue, "events": log}[kind](n, timed)
    print(json.dumps({kind: n, **figures}), flush=True)


def main() -> None:
    """Parse, and measure each size, the smaller first."""
    parser = options(__doc__)
    parser.add_argument("--items", default="10000,100000,1000000", help="sizes of the catalogue; empty: none")
    parser.add_argument("--events", default="100000,1000000,10000000", help="sizes of the log; empty: none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], int(arguments.child[1]))
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    given = {"items": arguments.items, "events": arguments.events}
    sizes = {kind: whole_numbers(text) if text else [] for kind, text in given.items()}
    for kind in sizes:
        for size in sizes[kind]:
            script = [sys.executable, "-m", "benchmarks.scale", "--child", kind, str(size)]
            subprocess.run(script, env=environment, check=True)


if __name__ == "__main__":
    command(main)
