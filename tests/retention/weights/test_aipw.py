"""Means of answers: coverage when one of the two models is wrong, clusters of a user's rows, and the tipping
point.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tastemaker.errors import InputError
from tastemaker.retention.weights.aipw import aipw_mean, answered_mean, tipping_point, weighted_mean
from tastemaker.stats.intervals import Interval

RUNS = 200  # the benchmark runs 1,000


def world(seed: int, n: int = 250, *, response_wrong: bool = False, answer_wrong: bool = False) -> pa.Table:
    """Answers of mean 3 among those asked; either model can be bent away from what a linear one can hold."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    lean = 0.2 + (0.5 * x[:, 0] + 0.5 * (x[:, 1] ** 2 - 1) if response_wrong else x @ [0.6, -0.4])
    answered = rng.random(n) < 1 / (1 + np.exp(-lean))
    mean = 3 + 0.5 * x[:, 0] + 0.3 * x[:, 1] + (0.4 * (x[:, 0] ** 2 - 1) if answer_wrong else 0.0)
    return table(x, answered, mean + rng.normal(size=n), np.arange(n))


def table(x: npt.ArrayLike, answered: npt.ArrayLike, y: npt.ArrayLike, users: npt.ArrayLike) -> pa.Table:
    columns = {f"x{j}": column for j, column in enumerate(np.asarray(x).T)}
    asked = np.full(len(np.asarray(y)), 0.5)
    answers = pa.array(np.asarray(y, dtype=float), mask=~np.asarray(answered, dtype=bool))
    return pa.table(columns | {"user_id": users, "asked_probability": asked, "answer": answers})


@pytest.mark.parametrize("wrong", ["response_wrong", "answer_wrong"])
def test_the_interval_covers_when_one_model_is_wrong(wrong: str) -> None:
    means = [
        aipw_mean(world(seed, **{wrong: True}), ["x0", "x1"], folds=2, key=(seed,)) for seed in range(RUNS)
    ]
    covered = np.mean([mean.low <= 3 <= mean.high for mean in means])
    assert abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / RUNS)
    errors = np.array([mean.value - 3 for mean in means])
    assert abs(errors.mean()) <= 3.5 * errors.std() / np.sqrt(RUNS)


def test_the_plain_mean_misses_what_the_weighted_ones_catch() -> None:
    data = world(1, n=20_000)
    assert answered_mean(data).low > 3.04
    for mean in (weighted_mean(data, ["x0", "x1"]), aipw_mean(data, ["x0", "x1"])):
        assert mean.low < 3.0 < mean.high
    assert aipw_mean(data, ["x0", "x1"]) == aipw_mean(data, ["x0", "x1"])


def test_without_an_answer_model_it_is_the_weighted_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    data = world(5, n=500)
    monkeypatch.setattr(
        "tastemaker.retention.weights.aipw.linear", lambda x, y, weight: lambda rows: np.zeros(len(rows))
    )
    nothing = aipw_mean(data, ["x0", "x1"])
    assert nothing.value == pytest.approx(weighted_mean(data, ["x0", "x1"]).value)
    # Its interval knows that pi was fitted on covariates that predict the answer, so it is the narrower one.
    assert (
        nothing.high - nothing.low
        < weighted_mean(data, ["x0", "x1"]).high - weighted_mean(data, ["x0", "x1"]).low
    )


def test_rows_of_one_user_are_one_unit() -> None:
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(300), 4)
    mood = np.repeat(rng.normal(size=300), 4)
    x = rng.normal(size=(1200, 1))
    data = table(x, rng.random(1200) < 0.6, 3 + mood + 0.1 * rng.normal(size=1200), users)
    apart = data.set_column(data.column_names.index("user_id"), "user_id", pa.array(np.arange(1200)))
    together, alone = aipw_mean(data, ["x0"]), aipw_mean(apart, ["x0"])
    assert together.n == 300 and alone.n == 1200
    assert together.high - together.low > 1.4 * (alone.high - alone.low)


def test_everyone_answered_the_same_has_no_interval() -> None:
    rng = np.random.default_rng(3)
    data = table(rng.normal(size=(60, 1)), rng.random(60) < 0.5, np.full(60, 4.0), np.arange(60))
    for mean in (aipw_mean(data, ["x0"]), weighted_mean(data, ["x0"]), answered_mean(data)):
        assert np.isnan(mean.value) and "same answer (4)" in mean.reason


def test_too_few_users_and_bad_settings_are_refused() -> None:
    data = world(4, n=60)
    with pytest.raises(InputError, match="fewer than the 500 folds"):
        aipw_mean(data, ["x0"], folds=500)


@pytest.mark.parametrize("threshold", [2.0, 2.99, 3.02, 4.0])
def test_the_tipping_point_moves_the_mean_to_the_threshold(threshold: float) -> None:
    estimate, rate = Interval(3.0, 2.95, 3.05, 500, "AIPW"), 0.4
    point = tipping_point(estimate, threshold, rate, sd=1.2)
    assert estimate.value + (1 - rate) * point.shift == pytest.approx(threshold)
    if estimate.low <= threshold <= estimate.high:
        assert point.shift_interval == 0
    else:
        nearer = estimate.low if threshold < estimate.low else estimate.high
        assert nearer + (1 - rate) * point.shift_interval == pytest.approx(threshold)
    assert point.in_sd == pytest.approx(point.shift_interval / 1.2)


def test_nothing_can_tip_when_everyone_answered() -> None:
    estimate = Interval(3.0, 2.9, 3.1, 50, "AIPW")
    assert tipping_point(estimate, 2.0, 1.0, 1.0).shift == -np.inf
    with pytest.raises(InputError, match="response rate in"):
        tipping_point(estimate, 2.0, 0.0, 1.0)


def rare(rng: np.random.Generator, answers: int, mean: int, as_number: bool) -> tuple[pa.Table, float]:
    """60 of 660 people in a category that `answers` of them answered for; they would all answer `mean`."""
    cell = np.repeat(["a", "b", "c"], [300, 300, 60])
    answered = np.concatenate([rng.random(300) < 0.6, rng.random(300) < 0.4, np.arange(60) < answers])
    y = np.where(cell == "c", mean, rng.integers(3, 6, 660)).astype(float)
    given = {"cell": (cell == "c").astype(int)} if as_number else {"cell": cell}
    columns = {"user_id": np.arange(660), "asked_probability": np.ones(660)}
    return pa.table(columns | given | {"answer": pa.array(y, mask=~answered)}), (4 * 600 + mean * 60) / 660


@pytest.mark.parametrize("as_number", [False, True])
@pytest.mark.parametrize(("answers", "mean"), [(1, 1), (2, 4), (5, 5), (10, 4), (24, 1)])
def test_a_category_with_few_answers_stays_on_the_scale_and_is_covered(
    answers: int, mean: int, as_number: bool
) -> None:
    rng, runs, covered = np.random.default_rng(answers), 100, 0
    for run in range(runs):
        data, truth = rare(rng, answers, mean, as_number)
        estimate = aipw_mean(data, ["cell"], key=(run,), scale=(1, 5))
        assert 1 <= estimate.low <= estimate.value <= estimate.high <= 5
        covered += estimate.low <= truth <= estimate.high
    assert covered / runs >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs)


def test_a_category_that_a_fold_never_saw_does_not_exist() -> None:
    """Ten people, all of whom chance could put into one fold: each fold holds as many of them."""
    data, _ = rare(np.random.default_rng(3), 10, 4, as_number=False)
    values = [aipw_mean(data, ["cell"], key=(seed,)).value for seed in range(40)]
    assert np.ptp(values) < 0.1
