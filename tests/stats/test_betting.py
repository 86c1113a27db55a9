"""Bounds by betting: goldens, a slow oracle, miss rates, and sequences that never exceed the bound of the
same rows.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.stats import betting

X = ((7 * np.arange(20)) % 20) / 20
W, R = np.array([0.5, 2, 1, 4, 0, 1.5]), np.array([1.0, 1, 0, 1, 1, 0])


def slow_lower(values, delta, low, fractions=betting.FRACTIONS, anchor=-math.inf):
    """The definition, by bisection."""

    def wealth(m):
        return np.mean([np.prod(1 + f / (max(m, anchor) - low) * (values - m)) for f in fractions])

    left, right = low + 1e-12, max(values)
    for _ in range(200):
        middle = (left + right) / 2
        left, right = (middle, right) if wealth(middle) >= 1 / delta else (left, middle)
    return left


def test_goldens():
    assert betting.lower(X, 0.05, 0.0, fractions=betting.SPARSE_FRACTIONS) == pytest.approx(
        0.267404, abs=5e-7
    )
    assert betting.lower(X, 0.05, 0.0) == pytest.approx(0.292627, abs=5e-7)
    gains = (W - 0.95) * R
    np.testing.assert_allclose(gains, [-0.45, 1.05, 0, 3.05, -0.95, 0], atol=1e-12)
    assert math.exp(betting.log_wealth(gains, 0.0, -0.95)) == pytest.approx(1.185605, abs=5e-7)
    assert math.exp(betting.wealth_path(gains, 0.0, -0.95)[-1]) == pytest.approx(1.185605, abs=5e-7)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-1, 3), min_size=2, max_size=40),
    anchor=st.sampled_from([-math.inf, 0.0]),
    delta=st.sampled_from([0.05, 0.3]),
)
def test_lower_equals_the_definition(values, anchor, delta):
    array = np.array(values)
    got, slow = (
        betting.lower(array, delta, -1.0, anchor=anchor),
        slow_lower(array, delta, -1.0, anchor=anchor),
    )
    assert got == pytest.approx(max(slow, -1.0), abs=1e-6)


def test_total_holds_under_drift_and_adds_up():
    draws, stakes, misses = np.random.default_rng(2), np.array(betting.FRACTIONS), 0
    for _ in range(200):
        means = np.repeat(draws.random(6) * 0.2, 200)
        values = (draws.random(1_200) < means) * 1.0 - 0.1
        sums = np.cumsum(
            [[np.log1p(s * part).sum() for s in stakes] for part in values.reshape(6, 200)], axis=0
        )
        truth = (means - 0.1).reshape(6, 200).sum(axis=1).cumsum()
        misses += any(
            betting.lower_total(item, stakes, 0.05) > true for item, true in zip(sums, truth, strict=True)
        )
    assert misses <= stats.binom.ppf(0.999, 200, 0.05)
    value = betting.lower_total(sums[-1], stakes, 0.05)
    assert np.mean(np.exp(sums[-1] - stakes * value)) == pytest.approx(20, rel=1e-6)


def test_nothing_known_gives_the_smallest_value():
    assert betting.lower(np.zeros(5), 0.05, 0.0) == 0.0
    assert betting.lower(np.empty(0), 0.05, -1.0) == -1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: betting.lower([0.1, -0.2], 0.05, 0.0), "row 2 holds -0.2, below"),
        (lambda: betting.lower([0.1, math.nan], 0.05, 0.0), "row 2"),
        (lambda: betting.lower([math.inf], 0.05, 0.0), "infinite"),
        (lambda: betting.lower([0.1], 1.0, 0.0), "delta is 1.0"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
