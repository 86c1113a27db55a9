"""Memory and time of policies over large catalogues, beside the dense peer at a size it can work at.

    python -m benchmarks.exploration.scale [--rows 100000] [--peer-rows 5000] [--peer-actions 2000] [--no-peer]

Every line runs in a process of its own; extra memory is its peak resident size less the size when policy and log were in place.
A 32-dimensional linear softmax, float32 blocks of 2,048 rows x 2,048 actions. The peer (sb-obp, in its own environment) makes a
dense log and one IPS estimate; memory and time there grow with rows x actions, so keep them small.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

OPERATIONS = ("propensities", "novelty", "top 10", "4 draws")


def one(operation: str, rows: int, actions: int) -> dict[str, float]:
    """Seconds and extra megabytes of one operation."""
    from tastemaker.explore.policy import SoftmaxPolicy

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(actions, 32)).astype(np.float32)
    policy = SoftmaxPolicy(vectors, (0.2 * rng.normal(size=(32, 32))).astype(np.float32))
    context, action = rng.normal(size=(rows, 32)).astype(np.float32), rng.integers(0, actions, rows)
    novel = np.arange(actions) >= actions * 4 // 5
    # A first product lets the linear algebra library set up its own buffers before memory is counted.
    policy.log_prob(context[:8], action[:8])
    before, start = _resident(), time.perf_counter()
    if operation == "propensities":
        policy.log_prob(context, action)
    elif operation == "novelty":
        policy.mass(context, novel)
    elif operation == "top 10":
        policy.top_k(context, 10)
    else:
        policy.sample(context, 4, 0)
    return {
        "seconds": time.perf_counter() - start,
        "extra_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before,
    }


def _resident() -> float:
    """Megabytes resident now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def measure(operation: str, rows: int, actions: int) -> dict[str, float]:
    """`one`, in a fresh process; prints its line."""
    command = [sys.executable, "-m", "benchmarks.exploration.scale", "--one", operation, str(rows), str(actions)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    dense = rows * actions * 8 / 2**20
    print(
        f"{operation:<22} {rows:>9,} {actions:>8,} {found['seconds']:>9.1f} {found['extra_mb']:>10.0f} {dense:>14,.0f}",
        flush=True,
    )
    return found


def main() -> int:
    """The table; exit code 1 when memory is above 256 MB or grows by more than a fifth from 10,000 to 50,000 actions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--other-rows", type=int, default=20_000, help="rows of the operations other than propensities")
    parser.add_argument("--peer-rows", type=int, default=5_000)
    parser.add_argument("--peer-actions", type=int, default=2_000)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("OPERATION", "ROWS", "ACTIONS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one[0], int(arguments.one[1]), int(arguments.one[2]))))
        return 0
    print(f"{'':<22} {'rows':>9} {'actions':>8} {'seconds':>9} {'extra MB':>10} {'dense array MB':>14}")
    held = {}
    for actions in (10_000, 50_000):
        for operation in OPERATIONS:
            rows = arguments.rows if operation == "propensities" else arguments.other_rows
            held[operation, actions] = measure(operation, rows, actions)["extra_mb"]
    if not arguments.no_peer:
        peer(arguments.peer_rows, arguments.peer_actions)
    worst = max(held.values())
    growth = max(held[name, 50_000] / held[name, 10_000] for name in OPERATIONS)
    print(f"\nmost extra memory {worst:.0f} MB (limit 256); 50,000 actions over 10,000: at most {growth:.2f} times (limit 1.2)")
    return int(worst > 256 or growth > 1.2)


def peer(rows: int, actions: int) -> None:
    """The dense peer's line, and ours at its size."""
    from benchmarks.exploration.environment import peer_python

    measure("propensities", rows, actions)
    command = [str(peer_python()), str(Path(__file__).with_name("peer.py")), "scale", str(rows), str(actions)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    seconds, dense = found["data_s"] + found["estimate_s"], rows * actions * 8 / 2**20
    print(f"{'sb-obp, data and IPS':<22} {rows:>9,} {actions:>8,} {seconds:>9.1f} {found['extra_mb']:>10.0f} {dense:>14,.0f}")


if __name__ == "__main__":
    sys.exit(main())
