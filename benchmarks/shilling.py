"""How far 1 % fake people move one item, with and without the cap on what one person's events count.

    python -m benchmarks.shilling               # on the demo's tables
    python -m benchmarks.shilling -w shop

On a copy of the workspace fake visitors alternate popular items with a target that nobody is shown; then the
memory of what follows what is counted anew. Exposure: the share of genuine people whose ten items that the
memory holds most likely, seen ones left out, have the target. The language model is not trained again. Exit
code 1 when it grows by more than 3 points with the cap, or when the doctor says nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from recipes.common import command, options

import tastemaker.flows.anomalies as anomalies
from tastemaker.flows.data import load_data, telling_events
from tastemaker.flows.ingest import ingest_dataset
from tastemaker.retrieve.evaluation import Lists
from tastemaker.retrieve.memory import fit_memory
from tastemaker.store import Database, Event, Workspace

K = 10
MOST = 0.03  # share of the genuine people to whom 1 % fake ones may bring the item
START = datetime(2026, 1, 1, tzinfo=UTC)


def exposure(workspace: Workspace, target: str, genuine: int) -> float:
    """The share of the first `genuine` people whose ten have the target."""
    data = load_data(workspace, events=telling_events(workspace))
    rows = [row for row, user in enumerate(data.histories.users) if not str(user).startswith("fake-")]
    memory = fit_memory(data.histories, len(data.item_ids))
    column, shown = data.index[target], 0
    for row in rows[:genuine]:
        history = data.histories.of(row)
        scores = memory.score(Lists(np.array([0, len(history)]), history))[0]
        scores[history[history != column]] = -1
        shown += int(column in np.argsort(-scores, kind="stable")[:K] and scores[column] > 0)
    return shown / len(rows[:genuine])


def main() -> None:
    """Measure."""
    parser = options(__doc__)
    parser.add_argument("-w", "--workspace", type=Path, help="default: the demo's tables, untrained")
    parser.add_argument("--people", type=int, default=1000, help="genuine people that are looked at")
    parser.add_argument("--events", type=int, default=400, help="events of each fake person")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "workspace"
        if arguments.workspace is None:
            Workspace.create(copy)
            ingest_dataset(copy, "tunes", lambda *_: None, tunes=400)
        else:
            shutil.copytree(arguments.workspace, copy)
        workspace = Workspace.open(copy)
        data = load_data(workspace)
        popularity = np.bincount(data.histories.items, minlength=len(data.item_ids))
        order = np.argsort(-popularity, kind="stable")
        target, popular = data.item_ids[order[-1]], [data.item_ids[row] for row in order[:50]]
        before = exposure(workspace, target, arguments.people)
        fakes = max(1, len(data.histories) // 100)
        database = Database(workspace.database)
        for fake in range(fakes):
            items = [
                target if place % 2 else popular[(place // 2) % len(popular)]
                for place in range(arguments.events)
            ]
            database.add_events(
                Event(f"f{fake}-{place}", f"fake-{fake}", "like", START + timedelta(seconds=place), item)
                for place, item in enumerate(items)
            )
        database.close()
        with_cap = exposure(workspace, target, arguments.people)
        findings = [str(finding) for finding in anomalies.anomalies(workspace) if target in finding.message]
        anomalies.OF_ONE_ITEM = anomalies.OF_ONE_PERSON = 10**9
        without = exposure(workspace, target, arguments.people)
    figures = {
        "people": len(data.histories),
        "fake_people": fakes,
        "events_of_each": arguments.events,
        "exposure_before": before,
        "exposure_with_cap": with_cap,
        "exposure_without_cap": without,
        "doctor": findings,
    }
    print(json.dumps(figures, indent=2))
    sys.exit(not (findings and with_cap - before <= MOST < without - before))


if __name__ == "__main__":
    command(main)
