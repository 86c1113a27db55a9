"""What the checks of the database cost: writing, reading a history, and looking through the file at start.

python -m recipes.safety.cost --events 200000
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recipes.common import command, options
from tastemaker.store import Database, Event
from tastemaker.store.database import check_database

START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Print milliseconds and seconds as JSON."""
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    dials = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path, people = Path(place) / "t.sqlite", max(1, dials.events // 100)
        database, single, started = Database(path), list[float](), time.process_time()
        for first in range(0, dials.events, 5000):
            rows = range(first, min(first + 5000, dials.events))
            database.add_events(
                Event(f"e{n}", f"u{n % people}", "like", START + timedelta(seconds=n), f"i{n % 997}")
                for n in rows
            )
        bulk = time.process_time() - started
        for n in range(300):
            started = time.perf_counter()
            database.add_events([Event(f"s{n}", "single", "like", START, "i1")])
            single.append(time.perf_counter() - started)
        reads = list[float]()
        for n in range(300):
            started = time.perf_counter()
            database.history(f"u{n % people}")
            reads.append(time.perf_counter() - started)
        database.close()
        started = time.process_time()
        wrong = check_database(path)
        figures = {
            "events": dials.events,
            "megabytes": round(path.stat().st_size / 1e6, 1),
            "bulk write, CPU us an event": round(1e6 * bulk / dials.events, 1),
            "one event, ms (median)": round(1e3 * statistics.median(single), 2),
            "history of 100 events, ms (median)": round(1e3 * statistics.median(reads), 2),
            "look through the file, CPU s": round(time.process_time() - started, 2),
            "wrong": wrong,
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    command(main)
