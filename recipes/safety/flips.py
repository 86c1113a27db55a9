"""Change single bits and cut files, one at a time, in everything that a workspace keeps, and look whether
anything wrong is served or learnt from without a word.

    python -m recipes.safety.flips --flips 1000
    python -m recipes.safety.flips --flips 200 --only database,log

After each change everything is read as the server and a training read it. The outcome is one of: `same` (the
byte is used for nothing, or what was damaged was made anew), `refused` (an error of one line), `told`
(another answer, after a warning that says what changed) or `SILENT` (another answer and no word), which
fails.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from recipes.common import chosen, command, options
from recipes.safety.shop import make_shop
from recipes.small import Shape, build_small, small
from tastemaker.errors import TastemakerError
from tastemaker.flows.media import Media
from tastemaker.flows.pipeline import Pipeline
from tastemaker.lm.base import load, save
from tastemaker.serving.query import Query
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Database, Event, Surveys, Workspace
from tastemaker.store.database import sqlite as opened
from tastemaker.store.recorded import check_base

TRIO = ("", "-wal", "-shm")
PLACES = {
    "database": "tastemaker.sqlite",
    "log": "tastemaker.sqlite-wal",
    "index of the log": "tastemaker.sqlite-shm",
    "settings": "tastemaker.toml",
    "tombstones": "tombstones.json",
    "pointers": "data/*.json",
    "tables": "data/tables-*/*",
    "artifacts": "artifacts/**/*",
    "media": "covers/*",
    "base": "models/**/*",
}


class LogLines(logging.Handler):
    """Whether anything was logged for the user to see."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def answers(root: Path, place: str) -> str:
    """Everything that is served and learnt from, as one text."""
    workspace = Workspace.open(root)
    if place == "base":
        folder = root / "models" / "own"
        check_base(workspace, folder)
        return str([float(parameter.detach().double().sum()) for parameter in load(folder)[0].parameters()])
    service = WorkspaceService(workspace)
    try:
        people, _ = service.users(100, 0)
        queries = [Query(f"u{n:02d}", k=6, logged=False) for n in range(4)]
        slates = [
            slate if isinstance(slate, TastemakerError) else [row.item_id for row in slate.rows]
            for slate in service.recommend_many(queries)
        ]
        for slate in slates:
            if isinstance(slate, TastemakerError):
                raise slate
        database = service.database
        stored = [database.events_table(), database.slates_table(), Surveys(database).rows()]
        own = [database.secret("draws"), database.deployments(), service.info(), service.fields()]
        histories = [service.history(str(person["user_id"])) for person in people[:20]]
    finally:
        service.close()
    pipeline = Pipeline(workspace, lambda *_: None)
    done = [pipeline.path(name).name for name in pipeline.stages if pipeline.finished(name)]
    media = Media(workspace, pipeline.data.items)
    covers = [media.get(item, "cover") for item in pipeline.data.item_ids]
    left = sorted(workspace.tombstones.people)
    tables = [table.to_pylist() for table in stored]
    return repr((people, slates, tables, own, histories, done, covers, left, workspace.settings))


def put(path: Path, content: bytes) -> None:
    """In a file of its own: who has the old one mapped into memory keeps it."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def changed(content: bytes, rng: random.Random) -> bytes:
    """One bit flipped, or cut off somewhere."""
    if rng.random() < 0.2:
        return content[: rng.randrange(len(content))]
    flipped = bytearray(content)
    flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def prepare(root: Path) -> None:
    """The shop, a base model, and a log that a killed writer left behind."""
    make_shop(root)
    save(small(build_small((8, 8)), Shape(layers=1, width=32, heads=1), 0), None, root / "models" / "own")
    check_base(Workspace.open(root), root / "models" / "own")
    writer = Database(root / "tastemaker.sqlite")
    when = writer.history("u01")[0].timestamp
    for n in range(12):
        writer.add_events([Event(f"late-{n}", f"u{n % 5:02d}", "play", when, "i03")])
    contents = {end: (root / f"tastemaker.sqlite{end}").read_bytes() for end in TRIO}
    writer.close()
    for end, content in contents.items():
        (root / f"tastemaker.sqlite{end}").write_bytes(content)


def outcome(root: Path, place: str, right: str, log_lines: LogLines) -> tuple[str, str]:
    """What became of a change, and the words for it."""
    opened._checked.clear()  # a new process would look through the file
    log_lines.lines.clear()
    try:
        same = answers(root, place) == right
    except TastemakerError as error:
        return "refused", str(error)
    except Exception as error:
        return f"traceback {type(error).__name__}", str(error)[:200]
    if same:
        return "same", ""
    return ("told" if log_lines.lines else "SILENT"), "; ".join(log_lines.lines)


def run(root: Path, flips: int, only: list[str], seed: int) -> dict[str, Any]:
    """Counts of outcomes by place, and every one that fails."""
    rng, log_lines = random.Random(seed), LogLines()
    logging.getLogger("tastemaker").addHandler(log_lines)
    logging.getLogger("tastemaker").propagate = False
    trio = {root / f"tastemaker.sqlite{end}": (root / f"tastemaker.sqlite{end}").read_bytes() for end in TRIO}
    seen = {place: Counter[str]() for place in PLACES if not only or place in only}
    right, bad, started = dict[str, str](), [], time.monotonic()
    keep = {path: path.read_bytes() for path in root.glob("data/*.json")}
    for number in range(flips):
        place = list(seen)[number % len(seen)]
        for path, content in (trio | keep).items():
            put(path, content)
        if place not in right:
            opened._checked.clear()
            right[place] = answers(root, place)
            for path, content in trio.items():  # reading moved the log into the file
                put(path, content)
        files = [path for path in sorted(root.glob(PLACES[place])) if path.is_file() and path.stat().st_size]
        if not files:
            continue
        path = (
            rng.choices(files, [path.stat().st_size for path in files])[0]
            if number % 2
            else rng.choice(files)
        )
        content = path.read_bytes()
        put(path, changed(content, rng))
        name, words = outcome(root, place, right[place], log_lines)
        put(path, content)
        seen[place][name] += 1
        if name not in ("same", "refused", "told"):
            bad.append({"file": path.relative_to(root).as_posix(), "outcome": name, "words": words})
    total = sum(seen.values(), Counter[str]())
    return {
        "changes": sum(total.values()),
        "outcomes": dict(total),
        "places": {place: dict(counts) for place, counts in seen.items()},
        "bad": bad,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    """Print the counts; exit code 1 where a change was served without a word."""
    parser = options(__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--only", default="", help="places, with commas; default: all")
    parser.add_argument("--seed", type=int, default=1)
    dials = parser.parse_args()
    only = chosen(dials.only, PLACES, "place")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "shop"
        prepare(root)
        result = run(root, dials.flips, only, dials.seed)
        shutil.rmtree(root)
    print(json.dumps(result, indent=1))
    print(
        f"{'FAIL' if result['bad'] else 'PASS'}: {result['changes']} changes, {len(result['bad'])} silent or"
        " crashed"
    )
    sys.exit(bool(result["bad"]))


if __name__ == "__main__":
    command(main)
