"""Served slates carry the probabilities they were drawn with, fixed before the draw and logged before they
are shown.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.conftest import quiet

from tastemaker.flows.explore.estimates import estimate, learn, support
from tastemaker.flows.explore.tables import Source, load
from tastemaker.serving.query import Conflict, Happened, Query, Slate
from tastemaker.serving.serve import begin, search
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Offer, OfferedRow, Offers, Workspace

DRAWS = 1500


def open_at(folder: Path, temperature: float, **settings: Any) -> WorkspaceService:
    """The service of a workspace that explores."""
    opened = Workspace.open(folder)
    changed = replace(opened.settings, exploration=temperature, **settings)
    return WorkspaceService(replace(opened, settings=changed))


@pytest.fixture
def folder(tiny_workspace: Path, tmp_path: Path) -> Path:
    """A copy, so that what is served here is the whole log."""
    ignore = shutil.ignore_patterns("tastemaker.sqlite*")
    return Path(shutil.copytree(tiny_workspace, tmp_path / "workspace", ignore=ignore))


def test_frequencies_of_what_is_served_match_its_propensities(folder: Path) -> None:
    service = open_at(folder, 1.0)
    query, parts = Query(history=("t000", "t004"), k=3, exclude=frozenset({"t008"})), service.parts
    resolved, empty = begin(query, parts)
    (searched,) = search([(resolved, empty)], parts, 0)
    assert len(searched.pool) == service.workspace.settings.beam
    draw = parts.drawer.now()
    slates = [draw(resolved, replace(searched, request_id=f"s-{number}")) for number in range(DRAWS)]
    tops = [slate.rows[0].item_id for slate in slates]
    chance = {slate.rows[0].item_id: slate.rows[0].propensity for slate in slates}
    names = [name for name in chance if DRAWS * chance[name] >= 5]
    counts = np.array([tops.count(name) for name in names] + [sum(top not in names for top in tops)], float)
    expected = np.array([DRAWS * chance[name] for name in names])
    expected = np.append(expected, DRAWS - expected.sum())
    keep = expected > 1
    scale = counts[keep].sum() / expected[keep].sum()
    assert stats.chisquare(counts[keep], expected[keep] * scale).pvalue > 1e-4
    assert "t008" not in tops and "t000" not in tops
    # Position by position, the mean of 1 / propensity of a fixed event's complement would drift if a row's
    # own were not exact: the weights of "shown third" against uniform over the rest average 1.
    size = len(searched.pool)
    weights = np.array([1 / (slate.rows[2].propensity * (size - 2)) for slate in slates])
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(DRAWS)


def test_a_draw_is_keyed_by_the_secret_and_the_servers_own_id(folder: Path) -> None:
    service = open_at(folder, 0.7)
    query = Query(history=("t001",), k=5, request_id="mine")
    resolved, empty = begin(query, service.parts)
    (searched,) = search([(resolved, empty)], service.parts, 0)
    draw = service.parts.drawer.now()
    first, again, other = (draw(resolved, replace(searched, request_id=name)) for name in ("a", "a", "b"))
    assert first.rows == again.rows and first.rows != other.rows
    assert first.policy_id.startswith("plackett-luce-0.7-")
    assert first.drawn is not None and first.drawn.prefix is not None
    assert (first.drawn.prefix >= first.drawn.propensity).all() and (first.drawn.prefix <= 1).all()
    service.database.close()
    (folder / "tastemaker.sqlite").unlink()
    elsewhere = open_at(folder, 0.7)  # another secret, another list of the same id
    assert draw(resolved, searched).rows == draw(resolved, searched).rows
    assert elsewhere.parts.drawer.now()(resolved, replace(searched, request_id="a")).rows != first.rows


def test_ids_that_a_client_chooses_do_not_choose_the_list(folder: Path) -> None:
    """The same wish under many ids of the client's and from many strangers: every list is the server's own
    draw.
    """
    service = open_at(folder, 1.0)
    queries = [Query(history=("t002",), k=5, request_id=f"r{number}") for number in range(40)]
    lists = [tuple(row.item_id for row in slate.rows) for slate in service.recommend_many(queries)]
    assert len(set(lists)) > 20
    ids = [slate.request_id for slate in service.recommend_many(queries)]
    assert len(set(ids)) == 40 and not set(ids) & {query.request_id for query in queries}


def test_a_slate_is_logged_when_it_is_made_and_counts_once_it_was_delivered(folder: Path) -> None:
    service = open_at(folder, 1.0)
    seen, lost = service.recommend_many([Query(history=("t002",), k=5), Query("u001", k=5)])
    assert service.database.slates_table().num_rows == 0
    service.delivered([seen.request_id])
    rows = service.database.slates_table().to_pylist()
    assert {row["request_id"] for row in rows} == {seen.request_id}
    assert [row["item_id"] for row in rows] == [row.item_id for row in seen.rows]
    assert [row["propensity"] for row in rows] == [row.propensity for row in seen.rows]
    assert len(rows) == 5 and all(0 < row["propensity"] < 1 for row in rows)
    assert {row["policy_id"] for row in rows} == {seen.policy_id}
    (pool,) = Offers(service.database).pools().values()  # with what pi0 drew by
    assert tuple(pool) == seen.pool
    logits = np.array(list(pool.values()), float)
    first = np.exp(logits - np.logaddexp.reduce(logits))[list(pool).index(seen.rows[0].item_id)]
    assert first == pytest.approx(seen.rows[0].propensity, rel=1e-3)
    assert {row["item_id"] for row in rows} < set(seen.pool)
    event = Happened("e1", "u001", "play", lost.rows[0].item_id, request_id=lost.request_id)
    service.add_events([event])  # it names the slate, so they saw it
    assert service.database.slates_table().num_rows == 10


def test_confirming_only_the_lists_that_please_makes_no_propensity_false(folder: Path) -> None:
    service, asked = open_at(folder, 1.0), 40
    slates = []
    for _ in range(asked):
        (slate,) = service.recommend_many([Query(user_id="grinder", k=1)])
        assert isinstance(slate, Slate)
        service.delivered([slate.request_id], confirms=True)
        slates.append(slate)
    tops = [slate.rows[0].item_id for slate in slates]
    rare = min(slates, key=lambda slate: slate.rows[0].propensity).rows[0].item_id
    assert len(service.database.slates_table()) == 0  # nothing was said to be on a screen
    pleasing = [place for place, top in enumerate(tops) if top == rare]
    assert not service.shown(slates[0].request_id, "somebody else")
    for place in pleasing:
        assert service.shown(slates[place].request_id, "grinder")
    logged = service.database.slates_table()
    assert set(logged["request_id"].to_pylist()) == {
        pleased.request_id for pleased in slates[: pleasing[-1] + 1]
    }
    # An event about a list counts as saying so; what came after it stays open.
    event = Happened("e-ground", "grinder", "like", tops[-1], request_id=slates[-1].request_id)
    service.add_events([event])
    assert len(service.database.slates_table()) == asked
    service.close()


def test_a_retry_gets_the_same_slate_and_another_wish_a_conflict(folder: Path) -> None:
    service = open_at(folder, 1.0, ask_share=1.0)
    query = Query("u001", k=5, request_id="mine")
    first, twin = service.recommend_many([query, query])
    (again,) = service.recommend_many([query])
    assert first.public() == twin.public() == again.public() and first.rows[0].reasons
    liked = first.rows[0].item_id
    survey = service.add_events([Happened("e1", "u001", "like", liked, request_id="mine")])["survey"]
    assert survey and survey["item_id"] == liked  # the client's own id names the slate too, to that client
    (after,) = service.recommend_many([query])
    assert after.public() == first.public()  # still the answer of then
    others = [
        replace(query, k=4),
        replace(query, filters={"type": ("reel",)}),
        replace(query, exclude={"t000"}),
    ]
    assert all(isinstance(answer, Conflict) for answer in service.recommend_many(others))
    (theirs,) = service.recommend_many([replace(query, user_id="u002")])  # another caller's "mine"
    assert isinstance(theirs, Slate) and theirs.request_id != first.request_id
    service.delivered([first.request_id, again.request_id])
    assert service.database.slates_table().num_rows == 5


def test_without_exploration_nothing_is_drawn(folder: Path) -> None:
    service = open_at(folder, 0.0)
    (slate,) = service.recommend_many([Query(history=("t001",), k=5)])
    assert len(slate.pool) == 5 and [row.propensity for row in slate.rows] == [1.0] * 5
    assert tuple(row.item_id for row in slate.rows) == slate.pool and slate.policy_id == "greedy"


def test_served_slates_and_their_events_become_a_log(folder: Path, tmp_path: Path) -> None:
    service = open_at(folder, 1.0)
    users = [str(user) for user in service.parts.searcher.data.histories.users[:60]]
    slates = service.recommend_many([Query(user, k=4) for user in users])
    service.recommend_many([Query(user, k=4) for user in users])  # never delivered
    service.delivered([slate.request_id for slate in slates])
    for user, slate in list(zip(users, slates, strict=True))[::3]:
        service.add_events(
            [Happened(f"e-{user}", user, "play", slate.rows[0].item_id, request_id=slate.request_id)]
        )
    service.database.close()
    report = support(Source(workspace=folder), "uniform", None, 0.95, 0.05)
    assert (report["rows"], report["rewarded"], report["known_actions"]) == (60, 20, 64)
    assert 0 < report["propensity_range"][0] < 1 and report["policy"]["novelty"] == pytest.approx(0.0)
    values = estimate(Source(workspace=folder), "uniform", None, 0.05)
    assert {row["estimator"] for row in values["estimates"]} >= {"ips", "snips", "dr", "mips"}
    study = learn(Source(workspace=folder), tmp_path / "study", "clipped_ips", (0.0, 0.1), "0", 10, quiet)
    assert study["passed"] and study["candidates"] == 2 * len(study["lambdas"])
    # Lists of conversations, which words asked for, are another population; they are read where they are
    # named.
    talked = open_at(folder, 1.0)
    talked.offers.add(
        [Offer("s-t", users[0], talked.clock(), [OfferedRow("t001", 0.5)], "talk-x", "", ["t001"])]
    )
    talked.delivered(["s-t"])
    talked.close()
    assert len(load(Source(workspace=folder)).log) == 60
    assert len(load(Source(workspace=folder, deployment="talk-")).log) == 1
    # Every place of a list has its reward, and a pool less what stands above it.
    places = load(Source(workspace=folder, places=4)).log
    assert len(places) == 240 and places.rewarded == 20 and places.pool is not None
    assert places.pool.holds(places.action).all()
    first, fourth = (places.pool.sizes[np.asarray(places.position) == place] for place in (0, 3))
    assert (first - fourth == 3).all()
    assert (
        support(Source(workspace=folder, places=4), "uniform", None, 0.95, 0.05)["pools"][0] == fourth.min()
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_reason_is_given_only_where_rows_are_missing(folder: Path, temperature: float) -> None:
    service = open_at(folder, temperature)
    few, many = (Query(history=("t001",), k=k, filters={"type": ("reel",)}) for k in (3, 60))
    full, short = service.recommend_many([few, many])  # one search, as deep as the deepest
    assert isinstance(full, Slate) and isinstance(short, Slate)
    assert len(full.rows) == 3 and full.reason is None
    assert len(short.rows) < 60 and short.reason is not None and "are allowed" in short.reason
