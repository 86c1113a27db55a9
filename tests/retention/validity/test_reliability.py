"""Reliability: alpha, the sensitivity grid of one item, and answers given twice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.errors import InputError
from tastemaker.retention.validity.claim import alpha, retest


def test_alpha_and_feldt_interval_as_pingouin_gives_them() -> None:
    """pingouin 0.7.0 on these answers: .6846664131491105, [.513, .806]."""
    rng = np.random.default_rng(0)
    trait = rng.normal(size=50)
    x = np.array([np.round(3 + trait * 0.8 + rng.normal(size=50) * 0.9) for _ in range(4)]).T
    result = alpha(np.cov(x.T), 50)
    assert result.value == pytest.approx(0.6846664131491105, abs=1e-12)
    assert [round(result.low, 3), round(result.high, 3)] == [0.513, 0.806]


def test_one_item_has_no_alpha_and_the_reason_says_what_to_do() -> None:
    result = alpha([[1.3]], 500)
    assert np.isnan(result.value) and "test-retest" in result.reason
    with pytest.raises(InputError, match="everyone has the same total"):
        alpha(np.zeros((3, 3)), 100)


def surveys(first: np.ndarray, second: np.ndarray) -> pa.Table:
    n = len(first)
    return pa.table(
        {
            "user_id": [f"u{i}" for i in range(n)] * 2,
            "item_id": ["a"] * 2 * n,
            "question": ["return"] * 2 * n,
            "asked_probability": [1.0] * 2 * n,
            "answer": np.r_[second, first],  # the later ones stand first: order is by time
            "timestamp": pa.array([9] * n + [3] * n, pa.timestamp("us", tz="UTC")),
            "w": np.r_[np.ones(n), np.arange(n) % 3 + 1.0],
        }
    )


def test_answers_given_twice() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(1, 6, 300)
    second = np.clip(first + rng.integers(-1, 2, 300), 1, 5)
    result = retest(surveys(first, second), "return", weight="w")
    assert result.pairs == 300
    times = np.arange(300) % 3 + 1  # the weight is that of the first answer
    assert result.pearson.value == pytest.approx(
        np.corrcoef(np.repeat(first, times), np.repeat(second, times))[0, 1]
    )
    assert result.polychoric.value > result.pearson.value


def test_nobody_was_asked_twice() -> None:
    table = surveys(np.array([1, 2, 3]), np.array([1, 2, 3]))
    assert "0 re-asked pairs" in retest(table.slice(0, 3), "return").pearson.reason
    with pytest.raises(InputError, match="question 'joy' was never asked; the table has return"):
        retest(table, "joy")
    late = table.set_column(5, "timestamp", pa.nulls(6, pa.timestamp("us", tz="UTC")))
    with pytest.raises(InputError, match="no timestamp"):
        retest(late, "return")
