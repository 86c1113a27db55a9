"""A large catalogue behind the real server: memory and seconds until it answers, and of a request over HTTP.

    python -m benchmarks.served [--items 100000,1000000] [--width 32] [--requests 20]

A workspace is made of generated items (a title and two attributes each), a thousand people, random Semantic
IDs and a small model of random weights; `tastemaker serve` is started on it in a process of its own, with one
thread, and asked for lists of people. One JSON line a size. Memory is a process's peak: of the one that
ingests and makes all this, and of the server (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
from recipes.common import command, options, whole_numbers

from tastemaker.flows.deploy import activate
from tastemaker.flows.deployment import KIND, Base, name_of, write
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.stages.tokens import write_codes
from tastemaker.lm.items import ItemModel, ItemShape, save_items
from tastemaker.retrieve.trie import build_trie
from tastemaker.semantic_ids.codebook import Codebook
from tastemaker.semantic_ids.sizes import two_level_sizes
from tastemaker.semantic_ids.views import View
from tastemaker.store import Workspace

PEOPLE, EACH = 1000, 20


def workspace_of(folder: Path, n: int, width: int) -> Workspace:
    """A workspace of n items that serves random scores."""
    rng, sizes = np.random.default_rng(0), two_level_sizes(n)
    numbers = pl.Series(np.arange(n)).cast(pl.String)
    kinds = pl.Series(rng.integers(20, size=(2, n)).astype(str)[0])
    attributes = pl.concat_list(
        ("kind=k" + kinds).alias("a"), ("shelf=s" + numbers.str.slice(0, 2)).alias("b")
    )
    items = pl.DataFrame({"item_id": "i" + numbers, "title": "Item " + numbers}).with_columns(
        pl.select(attributes).to_series().alias("attributes")
    )
    items.write_parquet(folder / "items.parquet")
    had = rng.integers(n, size=PEOPLE * EACH)
    people = np.repeat(np.arange(PEOPLE), EACH)
    pl.DataFrame({"user_id": [f"u{p}" for p in people], "item_id": [f"i{i}" for i in had]}).write_parquet(
        folder / "interactions.parquet"
    )
    workspace = Workspace.create(folder / "w", {"threads": 1, "width": width, "watch_seconds": 0})
    ingest_files(workspace.root, folder / "items.parquet", folder / "interactions.parquet")
    flat = rng.choice(int(np.prod(sizes)), n, replace=False)
    table, codes = workspace.table("items"), np.stack(np.unravel_index(flat, sizes), axis=1).astype(np.int32)
    ids = table["item_id"].to_pylist()
    view = View("text", np.zeros(8, np.float32), np.ones(8, np.float32))
    book = Codebook("rkmeans", (view,), tuple(rng.standard_normal((k, 8), np.float32) for k in sizes))
    model = ItemModel(ItemShape(sizes, n, width=width), ids).eval()
    put, marks = workspace.artifacts.put, {"vectors": "0" * 32, "tokens": "1" * 32, "sft": "2" * 32}
    put("vectors", marks["vectors"], lambda path: (path / "none").touch())
    put(
        "tokens",
        marks["tokens"],
        lambda path: write_codes(path, ids, book, codes, sizes),
        inputs={"vectors": marks["vectors"]},
    )
    put("sft", marks["sft"], lambda path: save_items(model, path / "model"))
    about: dict[str, Any] = {
        "base": asdict(Base("sft", marks["sft"], marks["tokens"])),
        "catalogue": workspace.tables_fingerprint(),
        "trie": build_trie(codes, sizes).fingerprint,
        "items": n,
    } | dict.fromkeys(("memory", "proxy", "policy", "note"), "")
    arrays: dict[str, Any] = {"codes": codes, "sizes": np.array(sizes, np.int64)}
    put(KIND, "3" * 32, lambda path: write(path, about, table, arrays))
    activate(workspace, name_of("3" * 32))
    return workspace


def high_water(pid: int) -> float:
    """GB that a process held at most."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    match = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert match is not None
    return int(match[1]) / 1e6


def served(n: int, width: int, requests: int) -> None:
    """Make, serve, ask."""
    with tempfile.TemporaryDirectory() as scratch:
        line = [
            sys.executable,
            "-m",
            "benchmarks.served",
            "--make",
            scratch,
            "--items",
            str(n),
            "--width",
            str(width),
        ]
        began = time.perf_counter()
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        made_s = time.perf_counter() - began
        made_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        command = [sys.executable, "-m", "tastemaker", "serve", "-w", f"{scratch}/w", "--port", "0"]
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = next(word for row in server.stdout for word in row.split() if word.startswith("http"))
                ready, loaded = time.perf_counter() - began, high_water(server.pid)
                times = []
                with httpx.Client(base_url=url, timeout=600) as client:
                    for number in range(requests):
                        started = time.perf_counter()
                        answer = client.post("/recommendations", json={"user_id": f"u{number}", "k": 10})
                        times.append(1000 * (time.perf_counter() - started))
                        assert answer.status_code == 200 and len(answer.json()["rows"]) == 10, answer.text
                    response = client.get("/items", params={"query": "item 77"})
                    assert response.status_code == 200, response.text
                first, *rest = times
                figures = {
                    "made_s": made_s,
                    "made_gb": made_gb,
                    "ready_s": ready,
                    "loaded_gb": loaded,
                    "first_ms": first,
                    "p50_ms": np.median(rest),
                }
                figures["peak_gb"] = high_water(server.pid)
                rounded = {name: round(float(value), 2) for name, value in figures.items()}
                print(json.dumps({"items": n, "width": width, **rounded}), flush=True)
            finally:
                server.terminate()


def main() -> None:
    """Measure each size."""
    parser = options(__doc__)
    parser.add_argument("--items", default="100000,1000000", help="sizes of the catalogue")
    parser.add_argument("--width", type=int, default=32, help="of the model")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for size in whole_numbers(given.items):
        if given.make:
            workspace_of(given.make, size, given.width)
        else:
            served(size, given.width, given.requests)


if __name__ == "__main__":
    command(main)
