"""Served slates carry the probabilities they were drawn with, fixed before the draw and logged before they
are shown.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from tests.conftest import quiet

from tastemaker.flows.explore.estimates import estimate, support
from tastemaker.flows.explore.learn import learn
from tastemaker.flows.explore.tables import Source
from tastemaker.flows.recommend import Recommender, Wish
from tastemaker.flows.service import WorkspaceService, open_service
from tastemaker.store import Event, Workspace

DRAWS = 1500


def _drawing(tiny_workspace: Path, temperature: float) -> Recommender:
    opened = Workspace.open(tiny_workspace)
    return Recommender(replace(opened, settings=replace(opened.settings, exploration=temperature)))


def test_frequencies_of_the_served_log_match_its_propensities(tiny_workspace: Path) -> None:
    recommender = _drawing(tiny_workspace, 1.0)
    found = recommender.answer([Wish(("t000", "t004"), 3, exclude=frozenset({"t008"}))])[0]
    assert len(found) == recommender.settings.beam
    logged = [recommender.slate(f"request-{number}", "u", found, 3)[0] for number in range(DRAWS)]
    tops = [slate["item_id"][0].as_py() for slate in logged]
    chance = {slate["item_id"][0].as_py(): slate["propensity"][0].as_py() for slate in logged}
    names = [name for name in chance if DRAWS * chance[name] >= 5]
    counts = np.array([tops.count(name) for name in names] + [sum(top not in names for top in tops)], float)
    expected = np.array([DRAWS * chance[name] for name in names])
    expected = np.append(expected, DRAWS - expected.sum())
    keep = expected > 1
    assert (
        stats.chisquare(counts[keep], expected[keep] * counts[keep].sum() / expected[keep].sum()).pvalue
        > 1e-4
    )
    assert "t008" not in tops and "t000" not in tops
    # Position by position, the mean of 1 / propensity of a fixed event's complement would drift if a row's
    # own were not exact: the weights of "shown third" against uniform over the rest average 1.
    size = len(found)
    weights = np.array([1 / (slate["propensity"][2].as_py() * (size - 2)) for slate in logged])
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(DRAWS)


def test_a_replay_by_request_id_gives_the_same_slate(tiny_workspace: Path) -> None:
    recommender = _drawing(tiny_workspace, 0.7)
    found = recommender.answer([Wish(("t001",), 5)])[0]
    first, again, other = (recommender.slate(name, "u", found, 5)[0] for name in ("r1", "r1", "r2"))
    assert first["item_id"].equals(again["item_id"]) and first["propensity"].equals(again["propensity"])
    assert not first["item_id"].equals(other["item_id"])
    assert first["policy_id"][0].as_py().startswith("plackett-luce-0.7-")
    assert all(0 < one <= 1 for one in first["prefix_propensity"].to_pylist())
    assert all(
        a >= b
        for a, b in zip(first["prefix_propensity"].to_pylist(), first["propensity"].to_pylist(), strict=True)
    )


@pytest.fixture
def exploring(tiny_workspace: Path) -> WorkspaceService:
    service = open_service(tiny_workspace)
    service.recommender.settings = replace(service.recommender.settings, exploration=1.0)
    return service


def test_the_service_logs_what_it_shows(exploring: WorkspaceService) -> None:
    plain = {"k": 5, "filters": {}, "exclude": frozenset(), "deadline": None}
    asked = SimpleNamespace(request_id="explore-1", user_id=None, history=("t002",), **plain)
    shown = exploring.recommend_many([asked])[0]
    rows = [row for row in exploring.database.slates_table().to_pylist() if row["request_id"] == "explore-1"]
    assert [row["item_id"] for row in rows] == [row["item_id"] for row in shown["rows"]]
    assert [row["propensity"] for row in rows] == [row["propensity"] for row in shown["rows"]]
    assert len(rows) == 5 and all(0 < row["propensity"] < 1 for row in rows)
    assert {row["policy_id"] for row in rows} == {shown["policy_id"]}


def test_without_the_dial_nothing_is_drawn(tiny_workspace: Path) -> None:
    recommender = _drawing(tiny_workspace, 0.0)
    found = recommender.answer([Wish(("t001",), 5)])[0]
    slate, shown = recommender.slate("r1", "u", found, 5)
    assert len(found) == 5 and slate["propensity"].to_pylist() == [1.0] * 5
    assert np.array_equal(shown.items, found.items)


def test_served_slates_and_their_events_become_a_log(tiny_workspace: Path, tmp_path: Path) -> None:
    copy = tmp_path / "workspace"
    shutil.copytree(tiny_workspace, copy)
    service = open_service(copy)
    service.recommender.settings = replace(service.recommender.settings, exploration=1.0)
    found = service.recommender.answer([Wish(("t000", "t004"), 4)])[0]
    users = [str(user) for user in service.data.histories.users[:60]]
    before = sum(row["position"] == 0 for row in service.database.slates_table().to_pylist())
    for number, user in enumerate(users):
        slate, _ = service.recommender.slate(f"log-{number}", user, found, 4)
        service.database.log_slate(slate)
        if number % 3 == 0:
            top, now = slate["item_id"][0].as_py(), datetime.now(UTC)
            service.database.add_events(
                [Event(f"log-event-{number}", user, "play", now, top, None, f"log-{number}", None)]
            )
    service.database.close()
    told = support(Source(workspace=copy), "uniform", None, 0.95, 0.05)
    assert (told["rows"], told["rewarded"], told["known_actions"]) == (60 + before, 20, 64)
    assert 0 < told["propensity_range"][0] < 1 and told["policy"]["novelty"] == pytest.approx(0.0)
    values = estimate(Source(workspace=copy), "uniform", None, 0.05)
    assert {one["estimator"] for one in values["estimates"]} >= {"ips", "snips", "dr", "mips"}
    study = learn(Source(workspace=copy), tmp_path / "study", "clipped_ips", (0.0, 0.1), "0", 10, quiet)
    assert study["candidates"] == 2
