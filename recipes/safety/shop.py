"""A small shop with everything that a workspace can hold: tables, covers, a trained model, events, slates,
questions, somebody who was forgotten, a base model and the pretrained encoder of texts.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tastemaker.flows.forget.person import forget
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.train import run_stages
from tastemaker.store import Database, Event, Offer, OfferedRow, Offers, Question, Surveys, Workspace

ITEMS, PEOPLE = 48, 40
START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = {
    "text_view": "tfidf",
    "threads": 1,
    "layers": 1,
    "width": 32,
    "levels": "8/8",
    "sft_epochs": 3,
    "batch": 16,
    "beam": 8,
}


def make_shop(root: Path) -> Path:
    """Ingest, train, use and forget; the folder is a workspace afterwards."""
    rng = random.Random(0)
    Workspace.create(root, SETTINGS)
    (root / "covers").mkdir()
    for n in range(ITEMS):
        picture = Image.frombytes("RGB", (24, 24), rng.randbytes(3 * 24 * 24))
        picture.save(root / "covers" / f"{n}.png")
    items = [
        {"item_id": f"i{n:02d}", "title": f"Thing {n} {'abc'[n % 3]}", "image": f"covers/{n}.png"}
        for n in range(ITEMS)
    ]
    plays = [
        {"user_id": f"u{user:02d}", "item_id": f"i{(user + step * 3) % ITEMS:02d}", "position": step}
        for user in range(PEOPLE)
        for step in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(items), root / "items.parquet")
    pq.write_table(pa.Table.from_pylist(plays), root / "plays.parquet")
    ingest_files(root, root / "items.parquet", root / "plays.parquet")
    fill(Workspace.open(root))
    run_stages(root, lambda *_: None)
    forget(root, "u39")
    run_stages(root, lambda *_: None)
    return root


def fill(workspace: Workspace, events: int = 600) -> None:
    """What a server would have stored."""
    database = Database(workspace.database)
    for batch in range(events // 10):
        at = START + timedelta(minutes=batch)
        user = f"u{batch % PEOPLE:02d}"
        database.add_events(
            [Event(f"e{batch}-{n}", user, "like", at, f"i{(batch + n) % ITEMS:02d}") for n in range(10)]
        )
        rows = [OfferedRow(f"i{(batch + n) % ITEMS:02d}", 0.25) for n in range(5)]
        Offers(database).add([Offer(f"r{batch}", user, at, rows, "greedy", pool=["i01", "i02"])])
        Offers(database).delivered([f"r{batch}"], at)
    Surveys(database).ask(Question("q1", "u01", "i01", "r1", "worth", 0.5, START), 0.0, 0)
    database.secret("draws")
    database.close()
