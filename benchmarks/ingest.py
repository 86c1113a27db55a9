"""Reading interactions: rows a second, CPU and memory of `tastemaker ingest`, and how many times that is of a
plain `polars.read_csv` and `write_parquet` of the same file. Each runs in a process of its own.

    python -m benchmarks.ingest --rows 1000000
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from recipes.common import command, options

INGEST = "from tastemaker.cli.main import main; main()"
PLAIN = "import sys, polars; polars.read_csv(sys.argv[1]).write_parquet(sys.argv[2])"


def make(folder: Path, rows: int, items: int, iso: bool) -> None:
    """Write `items.csv` and `interactions.csv`: users, skewed items, times, and eight kinds of events."""
    draws = np.random.default_rng(0)
    names = [f"i{item}" for item in range(items)]
    pl.DataFrame({"item_id": names, "title": names}).write_csv(folder / "items.csv")
    seconds = 1_600_000_000 + draws.integers(0, 100_000_000, rows)
    kinds = draws.choice(["view", "click", "play", "like", "purchase", "skip", "dislike", "rating"], rows)
    shares = np.round(draws.random(rows), 2)
    rated = np.where(kinds == "rating", 1 + np.floor(4 * shares), np.where(kinds == "play", shares, np.nan))
    events = pl.DataFrame(
        {
            "user": pl.Series(draws.integers(0, max(1, rows // 20), rows)).cast(pl.String),
            "item": pl.Series(names)[(items * draws.random(rows) ** 2).astype(np.int64)],
            "timestamp": pl.from_epoch(pl.Series(seconds)).dt.to_string("iso:strict") if iso else seconds,
            "kind": kinds,
            "value": pl.Series(rated).fill_nan(None),
        }
    )
    events.write_csv(folder / "interactions.csv")


def cost(code: str, *arguments: Path | str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of Python `code` in a process of its own."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(map(str, arguments))}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Make the rows, run both, and print what each costs."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--iso", action="store_true", help="times as ISO 8601 text, not seconds since 1970")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, given.rows, given.items, given.iso)
        items, events, workspace = folder / "items.csv", folder / "interactions.csv", folder / "workspace"
        cost(INGEST, "init", workspace)
        ours = cost(INGEST, "ingest", "-w", workspace, "--items", items, "--interactions", events, "-q")
        plain = cost(PLAIN, events, folder / "plain.parquet")
    for name, (wall, cpu, peak) in (("tastemaker ingest", ours), ("plain polars", plain)):
        rate = given.rows / wall
        print(f"{name:18} {rate:12,.0f} rows/s {cpu:7.2f} s CPU {wall:7.2f} s wall {peak:7.0f} MB peak")
    print(f"{'ratio':18} {ours[1] / plain[1]:.1f} x CPU, {ours[2] / plain[2]:.1f} x memory")


if __name__ == "__main__":
    command(main)
