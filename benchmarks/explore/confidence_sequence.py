"""Cost a row of betting, ours beside vw-estimators, in one run.

    python -m benchmarks.explore.confidence_sequence
    python -m benchmarks.explore.confidence_sequence --rows 200000 --peer-rows 5000

vw-estimators 0.2.2 is installed by this script into an environment of its own (kept in --env); it takes rows
one by one, so it gets fewer. Both see importance weights and rewards of 0 or 1, and give a bound once at the
end and after every row. Processor time of one thread is counted, of the fastest of --repeats runs, as other
work on the machine only adds time.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from recipes.common import command, options

from tastemaker.stats import betting

PEER = "vw-estimators==0.2.2"
# Runs in the peer's environment, which has no tastemaker; the rows come from a file.
SCRIPT = """
import json, sys, time
import numpy as np
from estimators.bandits.cs import Interval

rows, each, repeats = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
weight, reward = rows[:, 0].tolist(), rows[:, 1].tolist()

def end():
    found = Interval()
    for w, r in zip(weight, reward):
        found.add_example(1.0, r, w)
    return found.get(0.05)

def every():
    found = Interval()
    for w, r in zip(weight[:each], reward[:each]):
        found.add_example(1.0, r, w)
        found.get(0.05)

def least(work):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)

print(json.dumps({"end": least(end) / len(weight), "every": least(every) / each, "bound": end()[0]}))
"""


def rows(n: int) -> np.ndarray:
    """(n, 2): importance weights of a tilted policy, and rewards of 0 or 1, about one in ten."""
    draws = np.random.default_rng(0)
    level = np.linspace(-1, 1, 50)
    policy = np.exp(level) / np.exp(level).sum()
    action = draws.integers(0, 50, n)
    reward = (draws.random(n) < 0.1 * (1 + 0.5 * level[action])) * 1.0
    return np.asarray(np.c_[policy[action] * 50, reward])


def least(work: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of `repeats` runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def peer(env: Path, sample: np.ndarray, each: int, repeats: int) -> dict[str, float]:
    """Seconds a row of vw-estimators, with its bound on the sample."""
    if not (env / "bin" / "python").exists():
        venv.create(env, with_pip=True)
    python = str(env / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", PEER, "numpy", "scipy", "setuptools"], check=True
    )
    np.save(env / "rows.npy", sample)
    command = [python, "-c", SCRIPT, str(env / "rows.npy"), str(each), str(repeats)]
    result: dict[str, float] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    return result


def main() -> None:
    """Measure both and print a table."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=20_000)
    parser.add_argument(
        "--peer-every", type=int, default=1_000, help="rows after each of which the peer gives a bound"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--env", type=Path, default=Path("runs/environments/vw-estimators"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    sample = rows(arguments.rows)
    value = sample[:, 0] * sample[:, 1]
    gains = (sample[:, 0] - 0.95) * sample[:, 1]
    head = value[: arguments.peer_rows]
    bets = betting.SPARSE_FRACTIONS
    other = peer(arguments.env, sample[: arguments.peer_rows], arguments.peer_every, arguments.repeats)
    table = [
        ("vw-estimators, bound at the end", other["end"]),
        ("vw-estimators, bound after every row", other["every"]),
        (
            "lower, one sample (20 bets)",
            least(lambda: betting.lower(value, 0.05, 0.0, fractions=bets), arguments.repeats),
        ),
        (
            "lower, paired (9 bets)",
            least(lambda: betting.lower(gains, 0.05, -0.95, anchor=0.0), arguments.repeats),
        ),
        (
            "wealth_path, paired, after every row",
            least(lambda: betting.wealth_path(gains, 0.0, -0.95), arguments.repeats),
        ),
    ]
    costs = {
        name: 1e6 * (cost if place < 2 else cost / arguments.rows) for place, (name, cost) in enumerate(table)
    }
    bounds = {
        "vw-estimators": other["bound"],
        "betting": betting.lower(head, 0.05, 0.0, fractions=bets),
        "mean": head.mean(),
    }
    if arguments.json:
        print(
            json.dumps(
                {
                    "microseconds_per_row": costs,
                    "bounds": bounds,
                    "rows": arguments.rows,
                    "machine": platform.machine(),
                }
            )
        )
        return
    print(f"| what ({arguments.rows:,} rows; peer {arguments.peer_rows:,}) | microseconds a row |\n|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {cost:.3g} |")
    print(
        f"\nLower bounds on the peer's {len(head):,} rows: "
        + ", ".join(f"{name} {bound:.5f}" for name, bound in bounds.items())
    )


if __name__ == "__main__":
    command(main)
