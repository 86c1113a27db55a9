"""People who come back to what they had: served so where nothing is removed, beside the simplest rival."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.conftest import TINY
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.corpus.events import Histories
from tastemaker.flows.deploy import in_service
from tastemaker.flows.evaluation.sections import HABIT, LATE
from tastemaker.flows.search import Searcher
from tastemaker.retrieve.baselines import HABIT_DECAY, habit
from tastemaker.retrieve.memory import evidence, fit_memory, weighing_in
from tastemaker.store import Workspace


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody has three favourites of 60 tunes and plays them again and again."""
    folder, draws = tmp_path_factory.mktemp("habit"), np.random.default_rng(0)
    with (folder / "log.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "timestamp"])
        for person in range(150):
            favourites = draws.choice(60, 3, replace=False)
            for step in range(12):
                rows.writerow([f"p{person}", f"t{draws.choice(favourites)}", 1_600_000_000 + 3600 * step])
    Workspace.create(folder / "w", TINY | {"remove_seen": False})
    output = run("ingest", "--interactions", str(folder / "log.csv"), "-w", str(folder / "w"))
    assert "remove_seen = false" in output
    run("train", "-w", str(folder / "w"))
    return folder / "w"


def scores(searcher: Searcher, history: Histories) -> npt.NDArray[np.float32]:
    values = searcher.scores(history)
    assert values is not None
    return values[0]


def test_favourites_come_first_where_people_come_back(shop: Path) -> None:
    workspace = Workspace.open(shop)
    deployment = in_service(workspace)
    assert deployment.base.habit > 0
    searcher = Searcher.of(deployment)
    history = Histories.of_lists([[7, 9, 7, 30, 7, 9]])
    table = scores(searcher, history)
    assert set(np.argsort(-table)[:3].tolist()) == {7, 9, 30}
    # What is added is the evidence of their own events, at the weights that were chosen.
    bare = Searcher.of(replace(deployment, base=replace(deployment.base, habit=0.0)))
    before = scores(bare, history)
    added = deployment.base.weight * deployment.base.habit * evidence(habit(history, 60))[0]
    np.testing.assert_allclose(table - before, added, atol=1e-4)


def test_the_evaluation_shows_the_simplest_rival_and_is_not_below_it(shop: Path) -> None:
    output = run("evaluate", "-w", str(shop), "--baselines", "popularity,cooccurrence", "--json")
    systems = {
        method["name"]: method["values"]["R@10"]["value"]
        for method in json.loads(output)["metrics"]["methods"]
    }
    assert systems[HABIT] > 0.95 and systems["Tastemaker"] >= systems[HABIT] - 0.02
    assert max(systems["item co-occurrence"], systems[LATE]) < systems[HABIT]


def test_habit_is_how_often_and_how_lately() -> None:
    habits = habit(Histories.of_lists([[2, 0, 2], []]), 4)
    np.testing.assert_allclose(habits, [[HABIT_DECAY, 0, HABIT_DECAY**2 + 1, 0], [0] * 4], rtol=1e-6)
    memory, history = fit_memory(Histories.of_lists([[0, 1]]), 4), Histories.of_lists([[2, 0, 2]])
    added = replace(memory, habit=2.0).evidence(history) - memory.evidence(history)
    np.testing.assert_allclose(added, 2 * evidence(habits[:1]), rtol=1e-5)


def test_a_summary_without_habit_has_none() -> None:
    assert weighing_in({"weight": 2.0}, True) == (2.0, 0.0, 0.0)
    about = {"weight": 2.0, "weight, seen kept": 1.0, "weight, seen kept: habit": 4.0}
    assert weighing_in(about, False) == (1.0, 0.0, 4.0) and weighing_in(about, True).habit == 0


def test_a_person_is_shown_what_they_come_back_to(shop: Path) -> None:
    with (shop.parent / "log.csv").open() as file:
        theirs = {row["item_id"] for row in csv.DictReader(file) if row["user_id"] == "p7"}
    report = json.loads(run("recommend", "-w", str(shop), "--user", "p7", "--k", "3", "--json"))
    assert {row["item_id"] for row in report["rows"]} == theirs
