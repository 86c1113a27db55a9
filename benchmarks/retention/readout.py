"""Seconds and memory of a read-out: users x 5 metrics, two of them ratios, three with CUPED, streamed from
Parquet.

    python -m benchmarks.retention.readout [--users 10000000]

Writes the table (about 75 MB a million users) to a temporary folder, then reads it in a process of its own,
whose peak memory is told beside that of the same process before it opened the table.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from recipes.common import command, options

PLAN = """
id = "bench"
primary = ["returned"]
exploratory = ["likes", "plays"]
guardrails = { skips = 0.02, reports = 0.2 }
metrics.returned.covariate = "returned_before"
metrics.plays.covariate = "plays_before"
metrics.likes = { denominator = "plays", covariate = "likes_before", covariate_denominator = "plays_before" }
metrics.skips = { denominator = "plays", better = "down" }
metrics.reports.better = "down"
"""
BATCH = 500_000


def write(path: Path, users: int) -> None:
    """Users with a lasting taste; half of them treated, who return 1 % more."""
    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, users, BATCH):
        n = min(BATCH, users - start)
        taste, treated = rng.gamma(4.0, 1.0, n), rng.random(n) < 0.5
        plays, before = rng.poisson(taste) + 1.0, rng.poisson(taste) + 1.0
        table = pa.table(
            {
                "user_id": [f"u{number}" for number in range(start, start + n)],
                "arm": pa.array(np.where(treated, "treatment", "control")),
                "returned": rng.binomial(14, np.clip(taste / 10 * (1 + 0.01 * treated), 0, 1)) * 1.0,
                "returned_before": rng.binomial(14, np.clip(taste / 10, 0, 1)) * 1.0,
                "plays": plays,
                "plays_before": before,
                "likes": rng.binomial(plays.astype(int), 0.1) * 1.0,
                "likes_before": rng.binomial(before.astype(int), 0.1) * 1.0,
                "skips": rng.binomial(plays.astype(int), 0.3) * 1.0,
                "reports": rng.binomial(1, 0.002, n) * 1.0,
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def read(folder: Path) -> None:
    """What the child process does: the command's flow, timed, with the peak of its memory before and
    after.
    """
    from tastemaker.experiment.readout.read import check_split, read_out
    from tastemaker.flows.retention.tables import open_table, read_design

    design = read_design(folder / "plan.toml")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def open_it(names: object) -> object:
        return open_table(folder / "users.parquet", names)  # type: ignore[arg-type]

    begun = time.perf_counter()
    check_split(open_it, design)
    checked = time.perf_counter() - begun
    peak_check = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begun = time.perf_counter()
    from tastemaker.experiment import effects, moments

    names = [design.arm, *(name for metric in design.metrics for name in metric.columns)]
    result = effects(moments(open_it(names), design.metrics), list(design.metrics), "control", "treatment")
    streamed = time.perf_counter() - begun
    begun = time.perf_counter()
    verdict = read_out(open_it, design).decision.verdict
    row = {"check": checked, "moments": streamed, "whole": time.perf_counter() - begun, "verdict": verdict}
    row |= {
        "before MiB": before,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "check MiB": peak_check,
    }
    print(json.dumps(row | {"effects": {item.metric: [item.value, item.low, item.high] for item in result}}))


def main() -> None:
    """Print one row a size."""
    reader = options(__doc__)
    reader.add_argument("--users", type=int, nargs="+", default=[1_000_000, 10_000_000])
    reader.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = reader.parse_args()
    if arguments.child:
        read(arguments.child)
        return
    print(
        "| users | check units and split | stream moments, 5 metrics | whole read-out | memory above start |"
    )
    print("|---|---|---|---|---|")
    for users in arguments.users:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "plan.toml").write_text(PLAN)
            write(folder / "users.parquet", users)
            message = subprocess.run(
                [sys.executable, "-m", "benchmarks.retention.readout", "--child", name],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            row = json.loads(message)
        above = row["peak MiB"] - row["before MiB"]
        times = " | ".join(f"{row[key]:.1f} s" for key in ("check", "moments", "whole"))
        print(f"| {users:,} | {times} | {above:.0f} MiB |", flush=True)


if __name__ == "__main__":
    command(main)
