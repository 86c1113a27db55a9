from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.explore.bounds import Contributions, Method, lower_bound
from tastemaker.stats.betting import SPARSE_FRACTIONS

GOLDEN = ((7 * np.arange(20)) % 20) / 20


def contributions(value: np.ndarray, low: float = 0.0, kind: str = "mean") -> Contributions:
    return Contributions(value, np.ones(len(value)), low, kind, estimator="test")


@pytest.mark.parametrize(("method", "expected"), [("t", 0.360629), ("betting", 0.267404)])
def test_golden_numbers(method: Method, expected: float) -> None:
    result = lower_bound(contributions(GOLDEN), 0.05, method)
    assert result.low == pytest.approx(expected, abs=5e-7)
    assert (
        result.value == pytest.approx(0.475)
        and result.high == math.inf
        and result.n == 20
        and result.kind == method
    )


DISTRIBUTIONS = {
    "uniform": (0.5, lambda rng, n: rng.random(n)),
    "clicks": (0.05, lambda rng, n: (rng.random(n) < 0.05).astype(float)),
    "rare": (0.02, lambda rng, n: (rng.random(n) < 0.02) * 1.0),
    "beta": (0.2, lambda rng, n: rng.beta(0.5, 2.0, n)),
}
RUNS, DELTA = 2_000, 0.05


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_betting_misses_no_more_often_than_delta(name: str) -> None:
    """The bound is above the truth exactly where the wealth at the truth has reached 1/delta: no search is
    needed to count.
    """
    truth, draw = DISTRIBUTIONS[name]
    rows = draw(np.random.default_rng(15), RUNS * 100).reshape(RUNS, 100)
    wealth = np.mean(
        [np.exp(np.log1p(f * (rows - truth) / truth).sum(axis=1)) for f in SPARSE_FRACTIONS], axis=0
    )
    missed = wealth >= 1 / DELTA
    assert missed.sum() <= stats.binom.ppf(0.999, RUNS, DELTA)
    for item in [*np.flatnonzero(missed)[:3], *np.flatnonzero(~missed)[:5]]:
        assert (lower_bound(contributions(rows[item]), DELTA, "betting").low > truth) == missed[item]


def test_student_misses_within_two_hundredths_on_light_tails() -> None:
    rng = np.random.default_rng(12)
    misses = (
        sum(lower_bound(contributions(rng.random(100)), DELTA, "t").low > 0.5 for _ in range(RUNS)) / RUNS
    )
    assert abs(misses - DELTA) <= 0.02


@pytest.mark.parametrize(
    ("given", "method", "message"),
    [
        (
            contributions(GOLDEN, low=-math.inf),
            "betting",
            "betting needs a smallest contribution .* use the bound t",
        ),
        (contributions(GOLDEN, kind="influence"), "betting", "betting cannot take test: a ratio"),
        (contributions(GOLDEN), "median", "bound 'median' does not exist; choose t or betting"),
    ],
)
def test_refusals(given: Contributions, method: Method, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lower_bound(given, 0.05, method)


def test_more_refusals() -> None:
    with pytest.raises(InputError, match="delta is 1"):
        lower_bound(contributions(GOLDEN), 1.0, "t")
    with pytest.raises(InputError, match="row 2 is not a finite number"):
        contributions(np.array([0.0, math.nan]))


@pytest.mark.parametrize("method", ["t", "betting"])
def test_no_rewarded_row_is_no_error_and_claims_nothing(method: Method) -> None:
    result = lower_bound(contributions(np.zeros(50)), 0.05, method)
    assert result.value == 0 and result.low <= 0
    if method == "t":
        assert "no row carries information" in result.reason
    paired = lower_bound(contributions(np.zeros(50), low=-0.95), 0.05, "betting")
    assert -0.95 <= paired.low < 0


def test_asymptotic_bounds_and_models_say_so() -> None:
    assert any("asymptotic" in item for item in lower_bound(contributions(GOLDEN), 0.05, "t").assumptions)
    assert any(
        "model's own error" in item
        for item in lower_bound(contributions(GOLDEN, kind="model"), 0.05, "t").assumptions
    )


def test_the_bound_t_of_few_failures_is_below_the_mean() -> None:
    """99 of 100 rows succeed: in 16 % of draws the bound lay above the mean, where 5 % are due."""
    rng = np.random.default_rng(2)
    weight = np.exp(0.15 * np.arange(20))
    weight /= weight.mean()
    missed = 0
    for _ in range(RUNS := 400):
        w = weight[rng.integers(20, size=1000)]
        reward = rng.random(1000) < 0.99
        value = w * (reward - (w @ reward) / w.sum()) / w.mean() + (w @ reward) / w.sum()
        missed += lower_bound(Contributions(value, w, -np.inf, kind="influence"), 0.05, "t").low > 0.99
    assert missed / RUNS < 0.09
