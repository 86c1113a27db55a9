"""Memory and time of policies over large catalogues, beside the dense peer as far as it goes.

    python -m benchmarks.explore.scale [--no-peer]

Every line runs in a process of its own, one thread; extra memory is its peak resident size less the size when
the libraries (and our policy and log) were in place. Ours: a 32-dimensional linear softmax, float32 blocks of
2,048 rows x 2,048 actions. The peer (sb-obp, in its own environment) makes a dense log and one IPS estimate;
it is given twice the rows again and again, for each number of actions, until it takes more memory or
processor time than allowed, which ends its line. Beside each of its sizes: ours drawing every row's action
from the policy and asking for its propensity (the peer also makes every action's expected reward).
Resumable: finished lines are kept in runs.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from recipes.common import Journal, command, options, save_figure, show_table

OPERATIONS = ("propensities", "novelty", "4 draws")
DRAWN = "draw and propensities"
PEER = "sb-obp, data and IPS"
Line = dict[str, Any]


def measure(operation: str, rows: int, actions: int) -> dict[str, float]:
    """Processor and wall seconds and extra megabytes of one operation."""
    from tastemaker.explore.policy.softmax import SoftmaxPolicy

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(actions, 32)).astype(np.float32)
    policy = SoftmaxPolicy(vectors, (0.2 * rng.normal(size=(32, 32))).astype(np.float32))
    context, action = rng.normal(size=(rows, 32)).astype(np.float32), rng.integers(0, actions, rows)
    novel = np.arange(actions) >= actions * 4 // 5
    # A first product lets the linear algebra library set up its own buffers before memory is counted.
    policy.log_prob(context[:8], action[:8])
    before, start, wall = _resident(), time.process_time(), time.perf_counter()
    if operation == "novelty":
        policy.mass(context, novel)
    elif operation == "4 draws":
        policy.sample(context, 4, 0)
    else:
        policy.log_prob(context, policy.sample(context, 1, 0)[:, 0] if operation == DRAWN else action)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": time.process_time() - start,
        "wall": time.perf_counter() - wall,
        "extra_mb": peak - before,
    }


def _resident(process: int | str = "self") -> float:
    """Megabytes resident now (Linux); 0 of a process that has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except (OSError, IndexError):
        return 0.0


def line(name: str, command: list[str], rows: int, actions: int, most_mb: float, most_seconds: float) -> Line:
    """Run a process that prints its figures as JSON; `stopped` says what it had too little of, if
    anything.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    stopped = ""
    while started.poll() is None and not stopped:
        time.sleep(0.05)
        if _resident(started.pid) > most_mb:
            stopped = f"over {most_mb:,.0f} MB"
        elif _seconds(started.pid) > most_seconds:
            stopped = f"over {most_seconds:g} s"
    if stopped:
        started.kill()
    printed = started.communicate()[0]
    figures: Line = {} if stopped else json.loads(printed.splitlines()[-1])
    return {
        "what": name,
        "rows": rows,
        "actions": actions,
        "dense_mb": rows * actions * 8 / 2**20,
        "stopped": stopped,
    } | figures


def _seconds(process: int) -> float:
    """Processor seconds so far (Linux); 0 of a process that has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def ours(journal: Journal, operation: str, rows: int, actions: int) -> Line:
    """`measure`, in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.explore.scale",
        "--one",
        operation,
        str(rows),
        str(actions),
    ]
    key = [operation, rows, actions]
    figures: Line = journal.run(
        [key], lambda _: line(operation, command, rows, actions, 8192, 600), f"{operation} {rows} {actions}"
    )[0]
    return figures


def beside_the_peer(
    journal: Journal, catalogues: list[int], rows: int, most_mb: float, most_seconds: float
) -> list[Line]:
    """The peer at ever more rows until it has too little memory or time, and ours at each of its sizes."""
    from benchmarks.explore.environment import peer_python

    script, lines = str(Path(__file__).with_name("peer.py")), list[Line]()
    for actions in catalogues:
        size = rows
        while True:
            key, command = (
                [PEER, size, actions],
                [
                    str(peer_python()),
                    script,
                    "scale",
                    str(size),
                    str(actions),
                ],
            )

            def work(
                _: object, command: list[str] = command, size: int = size, actions: int = actions
            ) -> Line:
                return line(PEER, command, size, actions, most_mb, most_seconds)

            lines += journal.run([key], work, f"{PEER} {size} {actions}")
            lines.append(ours(journal, DRAWN, size, actions))
            if lines[-2]["stopped"]:
                break
            size *= 2
    return lines


def table_row(figures: Line) -> dict[str, str]:
    """A line of the table."""
    size = {"what": figures["what"], "rows": f"{figures['rows']:,}", "actions": f"{figures['actions']:,}"}
    took = {"processor s": figures["stopped"], "wall s": "", "extra MB": ""}
    if not figures["stopped"]:
        took = {"processor s": f"{figures['seconds']:.2f}", "wall s": f"{figures['wall']:.2f}"}
        took["extra MB"] = f"{figures['extra_mb']:,.0f}"
    return size | took | {"one dense array, MB": f"{figures['dense_mb']:,.0f}"}


def draw(lines: list[Line]) -> Figure:
    """Extra memory and processor time against rows x actions."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    kinds = (PEER, "C3o", "sb-obp: data and one IPS estimate"), (DRAWN, "C0D", "ours: draws and propensities")
    for name, style, label in kinds:
        done = [line for line in lines if line["what"] == name and not line["stopped"]]
        size = [line["rows"] * line["actions"] for line in done]
        left.plot(size, [line["extra_mb"] for line in done], style, label=label)
        right.plot(size, [line["seconds"] for line in done], style, label=label)
    left.axhline(256, color="0.4", linewidth=0.8, linestyle="--", label="our limit, 256 MB")
    left.set(title="Memory beyond the tables", ylabel="extra MB")
    right.set(title="Processor time, one thread", ylabel="seconds")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="rows x actions")
        axes.legend(frameon=False, fontsize=8)
    return figure


def main() -> int:
    """Two tables and a figure; exit code 1 when memory is above 256 MB, or at five times the actions above
    1.2 times.
    """
    parser = options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/explore/scale"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument(
        "--other-rows", type=int, default=20_000, help="rows of the operations other than propensities"
    )
    parser.add_argument("--peer-rows", type=int, default=1_250, help="rows that the peer begins with")
    parser.add_argument(
        "--peer-mb", type=float, default=8_192, help="resident memory at which the peer is stopped"
    )
    parser.add_argument(
        "--peer-seconds", type=float, default=120, help="processor time at which the peer is stopped"
    )
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("OPERATION", "ROWS", "ACTIONS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], int(arguments.one[1]), int(arguments.one[2]))))
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    sizes = {name: arguments.rows if name == "propensities" else arguments.other_rows for name in OPERATIONS}
    limits = {"mb": arguments.peer_mb, "seconds": arguments.peer_seconds}
    journal = Journal(arguments.out, {"benchmark": "scale", "peer": limits})
    results = [
        ours(journal, name, rows, actions) for actions in (10_000, 50_000) for name, rows in sizes.items()
    ]
    held = {(line["what"], line["actions"]): line["extra_mb"] for line in results}
    worst, growth = max(held.values()), max(held[name, 50_000] / held[name, 10_000] for name in OPERATIONS)
    note = (
        f"Most extra memory {worst:.0f} MB (limit 256); 50,000 actions over 10,000: at most {growth:.2f}"
        " times (limit 1.2)."
    )
    show_table(arguments.out, [table_row(line) for line in results], "Ours over large catalogues", note)
    if not arguments.no_peer:
        lines = beside_the_peer(
            journal, [2_000, 10_000], arguments.peer_rows, arguments.peer_mb, arguments.peer_seconds
        )
        stop = (
            f"The peer is stopped at {arguments.peer_mb:,.0f} MB resident or {arguments.peer_seconds:g} s of"
            " processor time."
        )
        title = "The dense peer as far as it goes, and ours beside it"
        show_table(arguments.out, [table_row(line) for line in lines], title, stop, "peer")
        save_figure(arguments.out, draw(lines))
    return int(worst > 256 or growth > 1.2)


if __name__ == "__main__":
    command(main)
