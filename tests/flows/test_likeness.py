"""The weight of likeness in a new item's score: fitted where words tell what goes together, and where not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import TINY
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.flows.deploy import in_service
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.likeness import GRID, PEOPLE, SHARE, new_item_ranks
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.retrieve.new_items import LIKENESS
from tastemaker.stats.ranking import ndcg_at
from tastemaker.store import Workspace

TOPICS, PEOPLE_HERE = 40, 600


def shop(folder: Path, told: bool) -> Workspace:
    """Trained on people who take items of two topics each; titles name an item's topic, or any other."""
    draws = np.random.default_rng(0)
    topics = np.arange(5 * TOPICS) % TOPICS
    named = topics if told else draws.permutation(topics)
    items = [{"item_id": f"i{n}", "title": f"subject{topic} piece{n}"} for n, topic in enumerate(named)]
    events = []
    for person in range(PEOPLE_HERE):
        liked = np.flatnonzero(np.isin(topics, draws.choice(TOPICS, 2, replace=False)))
        for position, item in enumerate(draws.choice(liked, 6, replace=False)):
            events.append({"user_id": f"u{person}", "item_id": f"i{item}", "position": position})
    for name, rows in (("i", items), ("e", events)):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    Workspace.create(folder / "w", TINY | {"sft_epochs": 2})
    files = ["--items", str(folder / "i.parquet"), "--interactions", str(folder / "e.parquet")]
    for command in (["ingest", *files], ["train"]):
        result = CliRunner().invoke(app, [*command, "-w", str(folder / "w")])
        assert result.exit_code == 0, result.output
    assert "likeness of new items" in result.output
    return Workspace.open(folder / "w")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return shop(tmp_path_factory.mktemp("told"), told=True)


def test_likeness_counts_where_words_tell_what_goes_together(told: Workspace, tmp_path: Path) -> None:
    silent = shop(tmp_path, told=False)
    weights = [in_service(workspace).base.content for workspace in (told, silent)]
    assert weights[0] > weights[1] and set(weights) <= set(GRID)
    pipeline = Pipeline(told, lambda *_: None)
    about = json.loads((pipeline.path("memory") / "summary.json").read_text())
    assert about[LIKENESS] == weights[0]
    parts = in_service(told).parts()
    assert parts.new is None  # nothing came after training, and the weight waits for what will


def test_targets_treated_as_new_are_ranked_among_each_other(told: Workspace) -> None:
    pipeline = Pipeline(told, lambda *_: None)
    targets = pipeline.data.split.validation
    ranks = new_item_ranks(pipeline, trained_parts(pipeline), targets)
    known = np.unique(targets.target[np.isin(targets.target, pipeline.data.split.train.items)])
    assert len(ranks) == len(GRID) + 1 and PEOPLE < ranks.shape[1] < len(targets) / 2
    assert ranks.min() == 1 and ranks.max() <= round(SHARE * len(known))
    # Of forty such items hardly two have the topic of a person.
    assert ndcg_at(ranks[-1], 10).mean() > 0.7
