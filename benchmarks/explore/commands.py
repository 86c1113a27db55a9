"""Processor time and memory of `support`, `learn` and `certify` on 1,000,000 rows and 1,000 actions.

    python -m benchmarks.explore.commands [--rows 1000000] [--actions 1000]
    python -m benchmarks.explore.commands --tastemaker OTHER/bin/tastemaker

Rows are of as many persons, with 8 context columns; a fifth of the actions is new. Each command is a process
of its own on one thread, run as a user would; the peak of its resident size is its own (Linux).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from recipes.common import command, options, show_table
from recipes.explore.bandit import catalogue_world, draw_log

from tastemaker.explore.policy.softmax import SoftmaxPolicy
from tastemaker.store import write_table

WIDTH, KEY = 8, "commands"


def tables(folder: Path, rows: int, actions: int) -> None:
    """log.parquet and items.parquet."""
    draws = np.random.default_rng(0)
    vectors, contexts = draws.standard_normal((actions, WIDTH)), draws.standard_normal((20_000, WIDTH))
    shop = catalogue_world(vectors, contexts)
    logger = SoftmaxPolicy(vectors, 0.1 * np.eye(WIDTH), allowed=shop.existing)
    write_table(folder / "log.parquet", draw_log(shop.world, logger, rows, key=KEY))
    items = {"action": list(shop.world.actions), "vector": list(vectors), "new": ~shop.existing}
    write_table(folder / "items.parquet", pa.table(items))


def measured(command: list[str], folder: Path) -> dict[str, str]:
    """Run it; processor and wall seconds, peak megabytes, and how it ended."""
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    wall = time.perf_counter()
    with (folder / "said.txt").open("w") as output:
        started = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=alone)
        _, status, used = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: {(folder / 'said.txt').read_text()[-400:]}")
    return {
        "processor s": f"{used.ru_utime + used.ru_stime:.1f}",
        "wall s": f"{time.perf_counter() - wall:.1f}",
        "peak MB": f"{used.ru_maxrss / 1024:,.0f}",
        "exit code": str(started.returncode),
    }


def main() -> None:
    """Draw the log, run the three commands, print the table."""
    reader = options(__doc__)
    reader.add_argument("--rows", type=int, default=1_000_000)
    reader.add_argument("--actions", type=int, default=1_000)
    reader.add_argument("--tastemaker", help="the command to measure (default: this package's)")
    reader.add_argument("--run-option", default="--run", help="what certify calls the run: --study before")
    reader.add_argument("--out", type=Path, default=Path("runs/explore/commands"))
    arguments = reader.parse_args()
    program = [arguments.tastemaker] if arguments.tastemaker else [sys.executable, "-m", "tastemaker"]
    rest = ["--actions", "items.parquet", "--context", ",".join(f"x{place}" for place in range(WIDTH))]
    asked = {
        "support": ["--policy", "uniform"],
        "learn": ["--out", "run", "-q"],
        "certify": [arguments.run_option, "run", "--ledger", "book.sqlite", "-q"],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables(folder, arguments.rows, arguments.actions)
        lines = [
            {"command": command}
            | measured([*program, "explore", command, "log.parquet", *rest, *more], folder)
            for command, more in asked.items()
        ]
        print((folder / "said.txt").read_text())
    size = f"{arguments.rows:,} rows, {arguments.actions:,} actions, {WIDTH} context columns, one thread"
    arguments.out.mkdir(parents=True, exist_ok=True)
    show_table(arguments.out, lines, size)


if __name__ == "__main__":
    command(main)
