"""The increment: metrics against scikit-learn, folds without leaks, gains and their absence, effects,
refusals.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from tastemaker.errors import InputError
from tastemaker.retention.increment.rows import IncrementSettings, Rows, labels, learn, read_rows, user_folds
from tastemaker.retention.increment.table import (
    METRICS,
    claim,
    increment_table,
    prepare,
    resampled_scores,
    scores,
)
from tastemaker.simulate.retention import ListenerWorld, ask, draw_listeners, draw_pairs, returns
from tastemaker.stats.resample import draw_counts

BASELINE = ("history", "sameday", "like", "practical")
QUICK = IncrementSettings(BASELINE, surveys=("return", "worth"), resamples=60, folds=3)


def rows(listeners: int = 2_500, path: str = "item", key: int = 1) -> pa.Table:
    world = ListenerWorld.of(path, listeners=listeners)
    return returns(world, ask(world, draw_pairs(world, draw_listeners(world, key), key), key), key)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 80))
def test_metrics_agree_with_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = np.round(rng.uniform(0.02, 0.98, n), 1).clip(0.05, 0.95), (rng.random(n) < 0.5).astype(float)
    weight = rng.random(n) + 0.1
    if y.min() == y.max():
        return
    metrics = dict(zip(METRICS, scores(prepare(p, y), weight), strict=True))
    assert metrics["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=weight))
    assert metrics["pr_auc"] == pytest.approx(average_precision_score(y, p, sample_weight=weight))
    assert metrics["log_loss"] == pytest.approx(log_loss(y, p, sample_weight=weight))
    assert metrics["brier"] == pytest.approx(brier_score_loss(y, p, sample_weight=weight))
    rate = np.average(y, weights=weight)
    assert metrics["ne"] == pytest.approx(
        metrics["log_loss"] / log_loss(y, np.full(n, rate), sample_weight=weight)
    )


def test_a_draw_of_users_counts_as_copies_of_their_rows() -> None:
    rng = np.random.default_rng(1)
    users, p, y = np.repeat(np.arange(30), 2), rng.random(60), (rng.random(60) < 0.5).astype(float)
    (draw,) = draw_counts(30, ("k",), 1)
    copies = np.repeat(np.arange(60), draw[0][users])
    weighted = resampled_scores(prepare(p, y), np.ones(60), users, draw)[0]
    assert weighted == pytest.approx(scores(prepare(p[copies], y[copies]), np.ones(len(copies))))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000), st.integers(2, 5), st.integers(10, 60))
def test_no_user_and_no_future_leaks(seed: int, count: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    users = np.concatenate([np.arange(people), rng.integers(0, people, 3 * people)])
    time, y = rng.integers(0, 5, len(users)).astype(float), (rng.random(len(users)) < 0.5).astype(float)
    seen = np.zeros(len(users), dtype=int)
    chosen, ones = replace(QUICK, folds=count), np.ones(len(y))
    data = Rows(y, ones, users, ones > 0, ones[:, None], {}, None, 0)
    positive = set(users[y > 0])
    for train, test in user_folds(data, chosen, "a"):
        held = len(positive & set(users[test]))
        assert len(positive) // count <= held <= len(positive) // count + 1  # a rare outcome is in every fold
        assert not set(users[train]) & set(users[test])
        seen += test
    assert (seen == 1).all()
    for train, test in user_folds(replace(data, time=time), chosen, "a"):
        assert not set(users[train]) & set(users[test])
        assert not train.any() or not test.any() or time[train].max() < time[test].min()


def test_the_return_answer_adds_and_the_worth_answer_does_not() -> None:
    increment = increment_table(rows(), QUICK, 1)
    for cohort in ("all", "low-signal"):
        assert increment.score(cohort, "return").gain["auc"].low > 0
        assert increment.score(cohort, "return").gain["log_loss"].high < 0
        assert abs(increment.score(cohort, "worth").gain["auc"].value) < 0.01
    assert increment.n == 5_000 and increment.users == 2_500 and increment.dropped == 0
    report = claim(increment)
    assert report.verdict == "supported" and report.tables and report.figures
    assert claim(increment, "worth").verdict == "not supported"


def test_effects_rise_with_the_answer() -> None:
    chosen = replace(QUICK, surveys=("return",))
    moved = {
        shift.level: shift for shift in increment_table(rows(), chosen, 1).changes if shift.cohort == "all"
    }
    points = [moved[level].points.value for level in (1, 2, 4, 5)]
    assert points == sorted(points) and points[0] < -5 and points[-1] > 5
    assert moved[1].log_odds < 0 < moved[5].log_odds
    assert all(shift.points.low < shift.points.value < shift.points.high for shift in moved.values())


def test_effects_are_the_obvious_change_of_prediction() -> None:
    table = rows(600).drop_columns(["low_signal", "events_28d"])
    chosen = replace(QUICK, surveys=("return",), folds=2)
    moved = {shift.level: shift.points.value for shift in increment_table(table, chosen, 1).changes}
    data = read_rows(table, chosen)
    total = np.zeros(len(data.outcome))
    for train, test in user_folds(data, chosen, 1):
        hot = (data.answers["return"][:, None] == [1, 2, 4, 5]).astype(float)
        fitted = learn(
            np.column_stack([data.features, hot])[train],
            data.outcome[train],
            data.weight[train],
        )
        five, three = (np.tile([0.0, 0.0, 0.0, v], (len(hot), 1)) for v in (1.0, 0.0))
        change = fitted.predict(np.column_stack([data.features, five])) - fitted.predict(
            np.column_stack([data.features, three])
        )
        total[test] = change[test]
    assert moved[5] == pytest.approx(100 * total.mean(), abs=1e-9)


def test_an_answer_that_hardly_anybody_gave_has_no_effect() -> None:
    table = rows(600)
    given = np.array([4.0 if value == 5 else value for value in table["return"].to_pylist()], dtype=float)
    given[:3] = 5.0
    table = table.set_column(
        table.column_names.index("return"), "return", pa.array(given, mask=np.isnan(given))
    )
    changes = increment_table(table, replace(QUICK, surveys=("return",)), 1).changes
    rare = [change.points for change in changes if change.level == 5]
    assert all(
        np.isnan(points.value) and "people answered 5; 10 are needed" in points.reason for points in rare
    )
    assert all(np.isfinite(change.points.value) for change in changes if change.level == 4)


def test_the_threshold_of_a_count_comes_from_the_training_rows() -> None:
    counts = np.array([0, 1, 2, 3, 4, 100, 200, 300.0])
    train = np.array([True] * 5 + [False] * 3)
    assert labels(counts, train, 0.5).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    increment = increment_table(
        rows(), replace(QUICK, outcome="next_day_views", active_quantile=0.05, surveys=("return",)), 1
    )
    assert increment.score("all", "return").gain["auc"].low > 0


def test_time_modes_weights_and_derived_cohorts() -> None:
    table = rows(1_500)
    early = increment_table(table, replace(QUICK, time="day", surveys=("return",)), 1)
    assert early.score("all", "return").metrics["auc"].n == 1_500
    weighted = table.drop_columns(["low_signal"]).append_column("w", pa.array([1.0, 0.0] * 1_500))
    increment = increment_table(weighted, replace(QUICK, weight="w", surveys=("return",)), 1)
    assert increment.n == 1_500 and increment.dropped == 1_500
    low = read_rows(weighted, replace(QUICK, weight="w")).low
    assert 0.25 < low.mean() < 0.36
    assert (
        increment_table(table, replace(QUICK, surveys=("return",)), 1).scores
        == increment_table(table, replace(QUICK, surveys=("return",)), 1).scores
    )


def change(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    filled = pa.array([values[i % len(values)] for i in range(table.num_rows)])
    if column in table.column_names:
        return table.set_column(table.column_names.index(column), column, filled)
    return table.append_column(column, filled)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("return", [9.0], "row 1, column 'return' is 9"),
        ("returned", [1.0], "the outcome is 1 in all"),
        ("returned", [0.5, 1.0], "give 0 or 1, or set active_quantile"),
        ("history", [1.0, None], "row 2, column 'history' is empty"),
        ("w", [1.0, -2.0], "row 2, column 'w' is '-2.0', which is not a number from 0"),
        ("return", [None, 4.0], "no row has an outcome and an answer"),
    ],
)
def test_bad_rows_are_named(column: str, values: list[object], words: str) -> None:
    table = change(rows(60), column, values)
    if words.startswith("no row"):
        table = change(table, "worth", [4.0, None])
    with pytest.raises(InputError, match=words):
        increment_table(table, replace(QUICK, weight="w" if column == "w" else None), 1)


def test_unknown_columns_late_features_and_few_users_are_refused() -> None:
    table = rows(40)
    with pytest.raises(InputError, match="column 'nothing' is missing"):
        increment_table(table, IncrementSettings(("nothing",)), 1)
    stamped = change(change(table, "made", [5.0, 20.0]), "timestamp", [10.0])
    late = replace(QUICK, feature_times={"like": "made"})
    with pytest.raises(InputError, match="row 2, column 'like' was computed after the question"):
        increment_table(stamped, late, 1)
    with pytest.raises(InputError, match="cannot be cut into 3 folds"):
        increment_table(table.slice(0, 4), QUICK, 1)
    with pytest.raises(InputError, match="at least one baseline"):
        IncrementSettings(())
