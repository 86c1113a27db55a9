"""What events say beside their items, read by the small model alike in training and in serving."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.conftest import TINY, quiet

from tastemaker.corpus.events import HOURS, MARKS, WORTHS, Histories, event_marks
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.items import BARE, _read
from tastemaker.flows.train import run_stages
from tastemaker.lm.items import FILE, ItemModel, ItemShape, load_items, save_items
from tastemaker.serving.query import Happened, Query
from tastemaker.serving.serve import begin
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace


def test_a_mark_tells_how_much_was_wanted_and_how_long_after_the_event_before() -> None:
    steps = len(HOURS) + 2
    times = np.array([0.0, 30.0, 30.0 + 3600 * 100000, np.nan, 5.0])
    worth = np.array([0.0, 0.55, 1.0, np.nan, 1.0])
    marks = event_marks(np.array([0, 3, 3, 5]), times, worth)
    assert marks.tolist() == [steps, 6 * steps + 1, WORTHS * steps + len(HOURS) + 1, 0, WORTHS * steps]
    assert marks.max() < MARKS
    assert event_marks(np.array([0, 2]), None, None).tolist() == [0, 0]
    assert event_marks(np.array([0, 0]), np.empty(0), np.empty(0)).tolist() == []


@pytest.fixture(scope="module")
def shop(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on plays whose shares and times say what comes next."""
    folder = tmp_path_factory.mktemp("marked")
    events = pl.read_parquet(tiny_files / "interactions.parquet")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    when = [start + timedelta(hours=place * (3 if place % 2 else 200)) for place in events["position"]]
    share = [0.3 + 0.1 * (place % 7) for place in range(len(events))]
    events = events.with_columns(kind=pl.lit("play"), value=pl.Series(share), timestamp=pl.Series(when))
    events.write_parquet(folder / "events.parquet")
    Workspace.create(folder / "shop", TINY | {"event_features": True, "sft_epochs": 4, "new_share": 0.0})
    ingest_files(folder / "shop", tiny_files / "items.parquet", folder / "events.parquet")
    run_stages(folder / "shop", quiet)
    return folder / "shop"


def test_what_is_served_reads_the_marks_that_training_read(shop: Path) -> None:
    service = WorkspaceService(Workspace.open(shop))
    searcher, data = service.parts.searcher, service.parts.searcher.data
    row = int(np.argmax(data.histories.lengths))
    user, marks = str(data.histories.users[row]), data.histories.marks
    assert marks is not None and len(set(marks.tolist())) > 10
    keep = np.arange(len(data.histories)) == row
    asked, _ = begin(Query(user, k=5), service.parts)
    assert asked.marks == tuple(data.histories.keep_users(keep).marks.tolist())
    expected = searcher.scores(data.histories.keep_users(keep))
    bare = searcher.scores(Histories.of_lists([data.histories.of(row).tolist()]))
    assert np.abs(expected - bare).max() > 1e-3  # the marks are read
    (answer,) = searcher.answer([asked])
    np.testing.assert_allclose(answer.scores, expected[0, answer.items], atol=1e-4)
    service.add_events([Happened("e1", user, "play", data.item_ids[3], value=0.35)])
    later, _ = begin(Query(user, k=5), service.parts)
    assert later.marks[:-1] == asked.marks and later.marks[-1] // (len(HOURS) + 2) == 1 + 3
    (known,), (nobody,) = (
        service.recommend_many([Query(user, k=5)]),
        service.recommend_many([Query(history=later.history, k=5)]),
    )
    assert len(known.rows) == len(nobody.rows) == 5  # type: ignore[union-attr]
    service.close()


def test_training_hides_marks_of_some_windows_and_an_older_model_knows_none(
    shop: Path, tmp_path: Path
) -> None:
    pipeline = Pipeline(Workspace.open(shop), quiet)
    read = _read(pipeline, pipeline.data.split.train, 0)
    assert read.marks is not None
    windows = np.repeat(np.arange(len(read.offsets) - 1), np.diff(read.offsets))
    hidden = np.bincount(windows, read.marks) == 0
    assert abs(hidden.mean() - BARE) < 0.1
    folder = pipeline.path("sft") / "model"
    assert load_items(folder).marks.abs().max() > 0
    plain = tmp_path / "plain"
    save_items(ItemModel(ItemShape((8, 8, 8), 0, layers=1, width=32, heads=1)), plain)
    about = json.loads((plain / FILE).read_text())
    del about["shape"]["marks"]  # as older versions wrote it
    (plain / FILE).write_text(json.dumps(about))
    assert not load_items(plain).shape.marks
