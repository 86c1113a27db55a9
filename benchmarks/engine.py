"""What an engine costs: the Semantic IDs of a million items, part by part, by this process, by two plain
processes, and by Ray with one and two workers; the bytes are compared.

    python -m benchmarks.engine [--items 1000000] [--repeats 3]

One JSON line a way and repeat, its seconds without Ray's start, then the overhead: the median time of two
Ray workers over that of two plain processes. Each process computes with one thread.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy loads

import hashlib
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from recipes.common import command, options

from tastemaker.engine import mapped
from tastemaker.flows.stages.tokens import ROWS, Coded
from tastemaker.semantic_ids.rkmeans import fit_rkmeans
from tastemaker.store import Workspace, write_table

SIZES, DIMENSIONS = (2048, 1024), 64


def quiet(*_: Any) -> None:
    """No progress."""


@dataclass(frozen=True)
class Codes:
    """The batch function: a number and a count of items -> their vectors, drawn there, and their codes."""

    coded: Coded

    def __call__(self, part: tuple[int, int]) -> pa.Table:
        """A column `codes`."""
        vectors = np.random.default_rng(part[0]).standard_normal((part[1], DIMENSIONS), np.float32)
        return self.coded({"text": vectors})


def plain(work: Codes, part: tuple[int, int], path: Path) -> None:
    """A part in a process of a pool, its result written as the engine writes it."""
    write_table(path, work(part))


def digest(tables: list[pa.Table]) -> str:
    """Of all codes in order."""
    sha = hashlib.sha256()
    for table in tables:
        sha.update(table["codes"].combine_chunks().flatten().to_numpy().tobytes())
    return sha.hexdigest()[:16]


def main() -> None:
    """Parse, and measure the ways in turn."""
    parser = options(__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    sample = np.random.default_rng(0).standard_normal((8 * SIZES[0], DIMENSIONS), np.float32)
    work = Codes(Coded(fit_rkmeans({"text": sample}, SIZES, 0)))
    starts = range(0, arguments.items, ROWS)
    parts = [(start, min(ROWS, arguments.items - start)) for start in starts]
    times: dict[str, list[float]] = {}

    def tell(way: str, seconds: float, codes: str) -> None:
        times.setdefault(way, []).append(seconds)
        print(
            json.dumps({"way": way, "items": arguments.items, "seconds": round(seconds, 2), "codes": codes}),
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder) / "w")
        on_ray = replace(workspace, settings=replace(workspace.settings, engine="ray"))
        for repeat in range(arguments.repeats):
            started = time.perf_counter()
            tables = list(mapped(work, parts, workspace, "codes", f"{repeat}", quiet))
            tell("this process", time.perf_counter() - started, digest(tables))
            with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
                list(
                    pool.map(plain, [work] * 2, [(0, 8)] * 2, [Path(folder) / f"{n}.parquet" for n in (0, 1)])
                )
                started = time.perf_counter()
                paths = [Path(folder) / f"{number}.parquet" for number in range(len(parts))]
                list(pool.map(plain, [work] * len(parts), parts, paths))
                tell("two processes", time.perf_counter() - started, "")
            for workers in (1, 2):
                seconds, tables = ray_seconds(work, parts, on_ray, workers)
                tell(f"ray, {workers} workers", seconds, digest(tables))
    best = {way: float(np.median(seconds)) for way, seconds in times.items()}
    overhead = best["ray, 2 workers"] / best["two processes"] - 1
    print(
        json.dumps(
            {"medians": {way: round(value, 2) for way, value in best.items()}, "overhead": round(overhead, 3)}
        )
    )


def ray_seconds(work: Codes, parts: Any, workspace: Workspace, workers: int) -> tuple[float, list[pa.Table]]:
    """Seconds on a Ray of so many workers that runs and has loaded the program, and the results."""
    import ray

    ray.init(num_cpus=workers, log_to_driver=False, logging_level="error", include_dashboard=False)
    try:
        list(mapped(work, [(0, 8)] * workers, workspace, "warm", f"{workers}", quiet))
        started = time.perf_counter()
        tables = list(mapped(work, parts, workspace, "codes", f"ray {workers}", quiet))
        return time.perf_counter() - started, tables
    finally:
        ray.shutdown()


if __name__ == "__main__":
    command(main)
