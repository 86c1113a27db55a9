"""What the studies share: workspaces that differ in one thing, trained on some of the people and all tested
on the same ones, whose last events no arm has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recipes.common import DATA, benchmark
from recipes.plum.next_item import SETS
from tastemaker.corpus.splits import Targets
from tastemaker.demo.movielens import load
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.flows.train import run_stages
from tastemaker.stats.intervals import bootstrap, paired_bootstrap
from tastemaker.stats.random import hashed_place
from tastemaker.stats.ranking import ndcg_at, recall_at
from tastemaker.store import Workspace, write_table
from tastemaker.store.settings import SETTINGS_FILE

Values = npt.NDArray[Any]
FILMS = "movielens"  # has kinds, values and times of events
STUDIED = SETS | {FILMS: ("MovieLens, 671 people", dict[str, Any]())}


@dataclass(frozen=True)
class Study:
    """out: folder of the workspaces; name: of the data set; settings: what all arms have in common."""

    out: Path
    name: str
    settings: Mapping[str, Any]

    def workspace(self, arm: str, share: float, settings: Mapping[str, Any]) -> Workspace:
        """The workspace of an arm, with the events of a `share` of the people; smaller shares are parts of
        larger ones. The catalogue, and so the number of each item, is the same in all of them.
        """
        folder = self.out / arm
        if not (folder / SETTINGS_FILE).exists():
            own = {"text_view": "tfidf", "threads": 1} | STUDIED[self.name][1] | dict(self.settings)
            Workspace.create(folder, own | dict(settings))
        opened = Workspace.open(folder)
        if not opened.has_tables():
            items, events = self._tables()
            people = [user for user in events["user_id"].unique() if hashed_place(str(user)) < share]
            tables = self.out / f"people-{share:g}.parquet"
            write_table(tables, events.filter(pl.col("user_id").is_in(people)).to_arrow())
            ingest_files(folder, items, tables)
        return Workspace.open(folder)

    def _tables(self) -> tuple[Path, pl.DataFrame]:
        """The file of the items, and the events."""
        if self.name != FILMS:
            data = DATA / SETS[self.name][0]
            return data / "items.parquet", pl.read_parquet(benchmark(data, "interactions.parquet"))
        items, events = load()
        write_table(self.out / "items.parquet", items)
        return self.out / "items.parquet", pl.DataFrame(pl.from_arrow(events))

    def trained(
        self, arm: str, settings: Mapping[str, Any], report: Report, share: float = 1.0, until: str = "sft"
    ) -> Pipeline:
        """The arm, trained as far as `until` (resumed, or read back)."""
        opened = self.workspace(arm, share, settings)
        run_stages(opened.root, report, until=until)
        return Pipeline(opened, report)

    @cached_property
    def targets(self) -> Targets:
        """The last event of everybody, and what came before it."""
        return Pipeline(self.workspace("everybody", 1.0, {}), lambda *_: None).data.split.test


def tested(pipeline: Pipeline, targets: Targets, remember: bool = False) -> list[int]:
    """The rank of each target by the trained model, with or without counts and likeness beside it."""
    searcher = Searcher(trained_parts(pipeline, remember))
    return [int(rank) for rank in searcher.ranks(targets, (searcher.weight,))[0]]


def surprise(pipeline: Pipeline, targets: Targets) -> list[float]:
    """Minus the log-probability of each target by a small model, in nats."""
    searcher = Searcher(trained_parts(pipeline, remember=False))
    assert searcher.score is not None
    losses: list[float] = []
    for part in searcher.blocks(targets.context):
        own = targets.target[len(losses) : len(losses) + len(part)]
        losses += [-float(value) for value in searcher.score(part)[np.arange(len(part)), own]]
    return losses


def measures(ranks: Values) -> dict[str, Values]:
    """R@10 and N@10 of each person."""
    return {"R@10": recall_at(ranks, 10), "N@10": ndcg_at(ranks, 10)}


def mean_interval(values: Values) -> str:
    """A mean with its interval over people."""
    interval = bootstrap(np.asarray(values, float), 0)
    return f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def difference(values: Values, others: Values) -> str:
    """A paired difference with its interval over people."""
    interval = paired_bootstrap(np.asarray(values, float), np.asarray(others, float), 0)
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
