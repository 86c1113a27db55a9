"""Thresholds: golden bounds, the promise kept over many samples, the walk, and the alarm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from tastemaker.errors import InputError
from tastemaker.retention.threshold import GRID, clopper_pearson, drift, threshold_at_precision, wilson

RUNS = 400


def test_golden_bounds() -> None:
    assert float(wilson(90, 100, 0.05)) == pytest.approx(0.839644, abs=5e-7)
    assert float(clopper_pearson(90, 100, 0.05)) == pytest.approx(0.836282, abs=5e-7)
    assert float(clopper_pearson(0, 10, 0.05)) == 0 and float(clopper_pearson(10, 10, 0.05, "upper")) == 1


def true_precision(tau: float) -> float:
    """P(y = 1 | p >= tau) for p ~ Beta(2, 1.5), calibrated."""
    return float(beta(3, 1.5).sf(tau) / beta(2, 1.5).sf(tau) * (2 / 3.5))


def violations(n: int, weighted: bool = False, runs: int = RUNS) -> tuple[float, float]:
    rng = np.random.default_rng(n)
    wrong = none = 0
    for _ in range(runs):
        p = rng.beta(2, 1.5, n)
        y = (rng.random(n) < p).astype(float)
        weight = rng.gamma(2, 0.5, n) if weighted else None
        found = threshold_at_precision(p, y, weight)
        none += found.tau is None
        wrong += found.tau is not None and true_precision(found.tau) < 0.8
    return wrong / runs, none / runs


@pytest.mark.parametrize("n", [500, 2_000])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_promise_is_broken_no_more_often_than_alpha(n: int, weighted: bool) -> None:
    wrong, _ = violations(n, weighted)
    assert wrong <= binom.ppf(0.99, RUNS, 0.05) / RUNS


def test_neutrals_as_misses_lower_the_precision() -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(2, 1.5, 20_000)
    answer = np.where(rng.random(20_000) < 0.2, 3, np.where(rng.random(20_000) < p, 5, 1))
    told = answer != 3
    dropped = threshold_at_precision(p[told], (answer[told] >= 4) * 1.0, target=0.75)
    kept = threshold_at_precision(p, (answer >= 4) * 1.0, target=0.75)
    assert dropped.tau is not None and (kept.tau is None or kept.tau > dropped.tau)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.6, 0.8]), st.integers(50, 400))
def test_the_walk_is_the_obvious_one(seed: int, target: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(n), 2)
    y = (rng.random(n) < p).astype(float)
    found = threshold_at_precision(p, y, target=target, n_min=20)
    expected = None
    for tau in GRID:
        at = p >= tau
        if at.sum() < 20:
            continue
        if clopper_pearson(y[at].sum(), at.sum(), 0.05) < target:
            break
        expected = tau
    assert found.tau == expected


def test_unit_weights_change_only_the_bound() -> None:
    rng = np.random.default_rng(2)
    p = rng.beta(2, 1.5, 5_000)
    y = (rng.random(5_000) < p).astype(float)
    plain, weighted = threshold_at_precision(p, y), threshold_at_precision(p, y, np.full(5_000, 3.0))
    assert plain.tau is not None and weighted.tau is not None
    assert abs(plain.tau - weighted.tau) <= 0.02 and weighted.effective_n == pytest.approx(weighted.n)


def test_an_unreachable_target_abstains_and_says_why() -> None:
    p = np.full(500, 0.9)
    found = threshold_at_precision(p, (np.arange(500) % 2).astype(float))
    assert found.tau is None and "bound" in found.reason
    few = threshold_at_precision(p[:50], (np.arange(50) % 2).astype(float))
    assert few.tau is None and "fewer than 100" in few.reason
    with pytest.raises(InputError, match="no threshold to watch"):
        drift(few, p, np.ones(500))


def test_the_alarm_rings_when_the_precision_fell_and_not_before() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(2, 1.5, 20_000)
    found = threshold_at_precision(p, (rng.random(20_000) < p).astype(float))
    same = drift(found, p, (rng.random(20_000) < p).astype(float))
    fell = drift(found, p, (rng.random(20_000) < 0.85 * p).astype(float))
    assert not same.alarm and fell.alarm and "choose the threshold again" in fell.reason
    assert fell.prevalence < found.prevalence
    assert not drift(found, np.full(5, 0.01), np.ones(5)).alarm


@pytest.mark.parametrize(
    ("p", "y", "weight", "words"),
    [
        ([0.5, 1.2], [0, 1], None, "row 2: the prediction is 1.2"),
        ([0.5, 0.6], [0, 2], None, "row 2: the outcome is 2"),
        ([0.5, 0.6], [0, 1], [1, -1], "row 2: the weight is -1"),
        ([0.5], [0, 1], None, "give one a row"),
    ],
)
def test_bad_rows_are_named(p: list[float], y: list[float], weight: list[float] | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        threshold_at_precision(p, y, weight)


def test_a_grid_that_rises_is_refused() -> None:
    with pytest.raises(InputError, match="strict to loose"):
        threshold_at_precision([0.5], [1], grid=[0.1, 0.9])
