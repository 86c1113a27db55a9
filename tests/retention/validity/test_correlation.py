"""Weighted correlations, intervals by user, and differences among the same respondents."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tastemaker.retention.validity.correlation import (
    difference_by_user,
    pearson,
)


def test_weights_count_like_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=200)
    b, times = a + rng.normal(size=200), rng.integers(1, 5, 200)
    expected = np.corrcoef(np.repeat(a, times), np.repeat(b, times))[0, 1]
    assert pearson(a, b, times).value == pytest.approx(expected)


def test_the_interval_is_of_users() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=400)
    b = 0.6 * a + 0.8 * rng.normal(size=400)
    once, four = pearson(a, b), pearson(np.tile(a, 4), np.tile(b, 4), users=np.tile(np.arange(400), 4))
    assert four.n == 400 and four.value == pytest.approx(once.value)
    assert four.high - four.low == pytest.approx(once.high - once.low, rel=0.15)
    fisher = np.tanh(np.arctanh(once.value) + norm.ppf([0.025, 0.975]) / np.sqrt(397))
    assert [once.low, once.high] == pytest.approx(fisher, abs=0.02)


def test_missing_answers_are_left_out_and_constants_said() -> None:
    a, b = np.array([1, 2, 3, np.nan, 5]), np.array([2, 1, 4, 4, 6.0])
    keep = ~np.isnan(a)
    assert pearson(a, b).value == pytest.approx(np.corrcoef(a[keep], b[keep])[0, 1])
    assert "same answer" in pearson([3, 3, 3], [1, 2, 3]).reason
    assert "2 complete rows" in pearson([3, 4, np.nan], [1, 2, 3]).reason


def test_a_difference_of_the_same_users_is_narrower_than_of_different_ones() -> None:
    rng = np.random.default_rng(3)
    x = rng.multivariate_normal(np.zeros(3), [[1, 0.8, 0.6], [0.8, 1, 0.5], [0.6, 0.5, 1]], size=1_500)
    rows = np.ones(1_500, dtype=bool)
    interval = difference_by_user(
        (x[:, 0], x[:, 2]), (x[:, 1], x[:, 2]), (rows, rows), users=np.arange(1_500)
    )
    r = np.corrcoef(x.T)
    assert interval.value == pytest.approx(r[0, 2] - r[1, 2])
    apart = np.sqrt(sum((1 - r[place, 2] ** 2) ** 2 for place in (0, 1)) / 1_500)
    assert interval.high - interval.low < 0.8 * 2 * 1.96 * apart
