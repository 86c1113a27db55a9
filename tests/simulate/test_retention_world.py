"""The world of listeners: it hits the published numbers, its switch works, and the same key gives the same
world.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from recipes.retention.trial import TrialPlan, run_trial
from recipes.retention.tuning import TARGETS, measure, missed, tune

from tastemaker.errors import InputError
from tastemaker.simulate.retention import (
    PATHS,
    QUESTIONS,
    ListenerWorld,
    ask,
    column,
    draw_listeners,
    draw_pairs,
    draw_slates,
    ranker_features,
    returns,
    survey_table,
)


def rows(world: ListenerWorld, key: int = 1):
    return returns(world, ask(world, draw_pairs(world, draw_listeners(world, key), key), key), key)


@pytest.mark.parametrize("path", PATHS)
def test_every_target_is_hit_on_every_path(path: str) -> None:
    measures = measure(ListenerWorld.of(path, listeners=40_000), "targets")
    assert missed(measures, TARGETS) == ()


def test_a_perturbed_world_misses_and_tuning_restores_it() -> None:
    world = ListenerWorld.of("item", listeners=6_000)
    off = replace(
        world,
        return_value=0.78 * 0.8,
        worth_value=(0.97 * 0.8, 0.77 * 0.8),
        interest_value=(0.59 * 0.8, 0.93),
    )
    # The AUC targets are restored too, in the recipe retentive_paths: 90 s a world.
    targets = {name: TARGETS[name] for name in TARGETS if not name.startswith("auc")}
    assert len(missed(measure(off, 3, auc=False), targets)) >= 4
    tuned = tune(off, targets, key=3, rounds=15)
    assert tuned.missed == ()
    assert abs(tuned.world.return_value - world.return_value) < abs(off.return_value - world.return_value) / 2


def test_answers_have_the_population_shares_and_events_their_rates() -> None:
    table = rows(ListenerWorld(listeners=20_000))
    shares = np.bincount(column(table, "return").astype(int), minlength=6)[1:] / table.num_rows
    assert np.abs(shares - ListenerWorld().answer_shares).max() < 4 * np.sqrt(0.25 / table.num_rows)
    assert 0.09 < column(table, "like").mean() < 0.11
    assert 0.59 < column(table, "returned").mean() < 0.61
    low = column(table, "low_signal") > 0
    assert column(table, "events_28d")[low].max() < np.median(column(table, "events_28d")[~low])


@pytest.mark.parametrize("path", PATHS)
def test_a_ranking_rule_moves_returns_only_where_the_item_causes_them(path: str) -> None:
    world = ListenerWorld.of(path, listeners=3_000)
    table = run_trial(
        world, lambda score, pos, neg: score + 0.5 * (pos > np.quantile(pos, 0.75)), 2, TrialPlan(days=2)
    )
    gain = column(table, "true_return_treatment") - column(table, "true_return_control")
    assert column(table, "changed").mean() > 0.1
    if path == "item":
        assert 0.007 < gain.mean() < 0.044  # the specification's .605 -> .612 to .649
    else:
        assert np.all(gain == 0)
    assert set(table["arm"].unique().to_pylist()) == {"control", "treatment"}


def test_a_rule_that_returns_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="finite scores of shape"):
        run_trial(ListenerWorld(listeners=10), lambda score, pos, neg: score[:, :1], 0, TrialPlan(days=1))


def test_same_key_same_world_and_another_key_another() -> None:
    world = ListenerWorld(listeners=50)
    assert rows(world, 4).equals(rows(world, 4))
    assert not rows(world, 4).equals(rows(world, 5))


def test_non_response_leaves_nulls_and_prefers_the_active() -> None:
    world = ListenerWorld(listeners=5_000, ask_rate=0.5, answer_rate=0.4, answer_by_activity=1.0)
    table = rows(world)
    asked, answered = column(table, "asked") > 0, column(table, "answered") > 0
    assert table["return"].null_count == (~answered).sum()
    assert not (answered & ~asked).any()
    assert (
        column(table, "events_28d")[answered].mean() > column(table, "events_28d")[asked & ~answered].mean()
    )
    log = survey_table(table)
    assert log.num_rows == asked.sum() and log["answer"].null_count == (asked & ~answered).sum()


def test_being_asked_moves_returns_when_it_is_switched_on() -> None:
    world = ListenerWorld(listeners=10_000, ask_rate=0.5, asked_effect=0.5)
    table = rows(world)
    asked = column(table, "asked") > 0
    assert column(table, "true_return")[asked].mean() - column(table, "true_return")[~asked].mean() > 0.03


def test_styles_make_a_listener_answer_alike() -> None:
    plain, styled = (rows(ListenerWorld(listeners=4_000, style_shift=shift)) for shift in (0.0, 1.0))
    alike = [np.corrcoef(column(world, "worth").reshape(-1, 2).T)[0, 1] for world in (plain, styled)]
    assert abs(alike[0]) < 4 / np.sqrt(4_000) and alike[1] > 0.3


def test_ranker_features_know_the_trait_only_in_the_user_world() -> None:
    for path, knows in (("user", True), ("item", False)):
        world = ListenerWorld.of(path, listeners=3_000)
        table = ranker_features(world, draw_pairs(world, draw_listeners(world, 1), 1), 1)
        correlation = np.corrcoef(column(table, "user_rate"), column(table, "true_trait"))[0, 1]
        assert (abs(correlation) > 0.5) == knows


def test_slates_follow_the_pairs() -> None:
    pairs = draw_pairs(ListenerWorld(listeners=5), draw_listeners(ListenerWorld(listeners=5), 0), 0)
    slates = draw_slates(pairs, 2_000)
    assert slates["item_id"].equals(pairs["item_id"]) and slates["propensity"][0].as_py() == 1 / 2_000


@pytest.mark.parametrize(
    "settings",
    [
        {"share_item": 0.5},
        {"answer_shares": (1.0, 0, 0, 0, 0)},
        {"return_value": 0.99},
        {"ask_rate": 0.0},
        {"days": 0},
        {"answer_by_activity": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match="ListenerWorld"):
        ListenerWorld(**settings)


def test_unknown_world_and_target_are_refused() -> None:
    with pytest.raises(InputError, match="world 'items' is unknown"):
        ListenerWorld.of("items")
    with pytest.raises(InputError, match="target 'auc'"):
        tune(ListenerWorld(listeners=10), {"auc": (0.5, 0.1)})
    assert len(QUESTIONS) == 3
