"""Conversations by rules at scale: seconds each and peak memory as their number grows. Flat memory is the
claim.

    python -m benchmarks.converse.scale WORKSPACE [--sizes 200 1000 10000]

Each size runs in a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from recipes.common import command, options


def generation(workspace: Path, n: int) -> dict[str, float]:
    """Generate `n` conversations in this process; seconds, processor seconds, and megabytes at the peak."""
    from tastemaker.flows.converse.generate import Session, generate
    from tastemaker.flows.converse.settings import RunSettings

    name = f"scale-{n}"
    shutil.rmtree(workspace / "conversations" / name, ignore_errors=True)
    started, worked = time.perf_counter(), time.process_time()
    generate(workspace, name, RunSettings(n=n), Session(), lambda *_: None)
    table = workspace / "conversations" / name / "conversations.parquet"
    figures = {
        "n": n,
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - worked,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "table_mb": table.stat().st_size / 1e6,
    }
    shutil.rmtree(workspace / "conversations" / name)
    return figures


def main() -> None:
    """Every size in its own process; one line each."""
    arguments = options(__doc__)
    arguments.add_argument("workspace", type=Path)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[200, 1000, 10_000])
    arguments.add_argument("--single", type=int, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.single is not None:
        print(json.dumps(generation(given.workspace, given.single)))
        return
    print("| conversations | seconds | processor seconds | peak MB | table MB |")
    print("|---|---|---|---|---|")
    for n in given.sizes:
        command = [
            sys.executable,
            "-m",
            "benchmarks.converse.scale",
            str(given.workspace),
            "--single",
            str(n),
        ]
        row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(
            f"| {n:,} | {row['seconds']:.0f} | {row['processor_seconds']:.0f} | {row['peak_mb']:.0f} |"
            f" {row['table_mb']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    command(main)
