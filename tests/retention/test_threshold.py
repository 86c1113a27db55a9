"""Thresholds: golden bounds, the promise neutral over many samples, the walk, and the alarm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import beta, binom, t

from tastemaker.errors import InputError
from tastemaker.retention.threshold import GRID, drift, precision_bound, threshold_at_precision

RUNS = 400


def test_golden_bounds() -> None:
    # One row a unit and many units: Clopper and Pearson.
    assert float(precision_bound(0.9, 100, 10**9, 0.05)) == pytest.approx(0.836282, abs=1e-3)
    assert float(precision_bound(0, 10, 10, 0.05)) == 0
    assert float(precision_bound(1, 10, 10, 0.05, "upper")) == 1


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
        threshold = threshold_at_precision(p, y, weight)
        none += threshold.tau is None
        wrong += threshold.tau is not None and true_precision(threshold.tau) < 0.8
    return wrong / runs, none / runs


@pytest.mark.parametrize("n", [500, 2_000, 20_000])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_promise_is_broken_no_more_often_than_alpha(n: int, weighted: bool) -> None:
    wrong, _ = violations(n, weighted)
    assert wrong <= binom.ppf(0.99, RUNS, 0.05) / RUNS


def test_neutrals_as_misses_lower_the_precision() -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(2, 1.5, 20_000)
    answer = np.where(rng.random(20_000) < 0.2, 3, np.where(rng.random(20_000) < p, 5, 1))
    clear = answer != 3
    dropped = threshold_at_precision(p[clear], (answer[clear] >= 4) * 1.0, target=0.75)
    neutral = threshold_at_precision(p, (answer >= 4) * 1.0, target=0.75)
    assert dropped.tau is not None and (neutral.tau is None or neutral.tau > dropped.tau)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.6, 0.8]), st.integers(50, 400), st.integers(1, 4))
def test_the_walk_is_the_obvious_one(seed: int, target: float, n: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    p, unit = np.round(rng.random(n), 2), np.arange(n) // rows
    y, w = (rng.random(n) < p).astype(float), rng.choice([1.0, 2.0], n)
    threshold = threshold_at_precision(p, y, w, unit=unit, target=target, n_min=20)
    expected = None
    for tau in GRID:
        on = p >= tau
        people = np.unique(unit[on])
        if not on.any() or w[on].sum() ** 2 / (w[on] ** 2).sum() < 20 or len(people) < 30:
            continue
        share = float(np.average(y[on], weights=w[on]))
        off = [(w * (y - share))[on & (unit == person)].sum() / w[on].sum() for person in people]
        variance = np.square(off).sum() * len(people) / (len(people) - 1)
        size = w[on].sum() ** 2 / (w[on] ** 2).sum()
        if variance > 1e-14:
            size = min(size, share * (1 - share) / variance)
        else:
            size = w[on].sum() ** 2 / np.square([w[on & (unit == person)].sum() for person in people]).sum()
        size *= min(1.0, (t.ppf(0.05, size - 1) / t.ppf(0.05, len(people) - 1)) ** 2)
        bound = beta.ppf(0.05, share * size, size - share * size + 1) if share > 0 else 0.0
        if bound < target:
            break
        expected = tau
    assert threshold.tau == expected


def marginal(sd: float) -> tuple[np.ndarray, np.ndarray]:
    """A grid of log-odds, and P(y = 1) at each when people's own log-odds vary by `sd` around it."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(40)
    grid = np.linspace(-6, 8, 1_401)
    return grid, expit(grid[:, None] + sd * nodes) @ mass / mass.sum()


@pytest.mark.parametrize(("people", "answers", "sd"), [(200, 10, 1.0), (100, 20, 1.5), (400, 5, 0.0)])
def test_the_promise_holds_where_people_answer_many_times(people: int, answers: int, sd: float) -> None:
    """The short form of `python -m recipes.retention.thresholds`."""
    rng, runs, n = np.random.default_rng(people), 250, people * answers
    grid, chance = marginal(sd)
    everyone = np.sort(np.interp(rng.normal(1, 1.2, 200_000), grid, chance))[::-1]
    precision = np.cumsum(everyone) / np.arange(1, 200_001)
    unit, broken = np.repeat(np.arange(people), answers), {"person": 0, "row": 0}
    for _ in range(runs):
        eta = rng.normal(1, 1.2, n)
        y = (rng.random(n) < expit(eta + np.repeat(rng.normal(0, sd, people), answers))).astype(float)
        p = np.interp(eta, grid, chance)
        for name, units in (("person", unit), ("row", None)):
            tau = threshold_at_precision(p, y, unit=units).tau
            if tau is not None:
                broken[name] += precision[np.searchsorted(-everyone, -tau, side="right") - 1] < 0.8
    assert broken["person"] <= binom.ppf(0.99, runs, 0.05)
    if sd:  # as it was when rows of one person counted as independent
        assert broken["row"] > broken["person"]


def test_unit_weights_change_only_the_bound() -> None:
    rng = np.random.default_rng(2)
    p = rng.beta(2, 1.5, 5_000)
    y = (rng.random(5_000) < p).astype(float)
    plain, weighted = threshold_at_precision(p, y), threshold_at_precision(p, y, np.full(5_000, 3.0))
    assert plain.tau is not None and weighted.tau is not None
    assert plain.tau == weighted.tau and weighted.effective_n == pytest.approx(weighted.n, abs=1.5)


def test_an_unreachable_target_abstains_and_says_why() -> None:
    p = np.full(500, 0.9)
    threshold = threshold_at_precision(p, (np.arange(500) % 2).astype(float))
    assert threshold.tau is None and "bound" in threshold.reason
    few = threshold_at_precision(p[:50], (np.arange(50) % 2).astype(float))
    assert few.tau is None and "fewer than 100" in few.reason
    with pytest.raises(InputError, match="no threshold to watch"):
        drift(few, p, np.ones(500))


def test_the_alarm_rings_when_the_precision_fell_and_not_before() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(2, 1.5, 20_000)
    threshold = threshold_at_precision(p, (rng.random(20_000) < p).astype(float))
    same = drift(threshold, p, (rng.random(20_000) < p).astype(float))
    fell = drift(threshold, p, (rng.random(20_000) < 0.85 * p).astype(float))
    assert not same.alarm and fell.alarm and "choose the threshold again" in fell.reason
    assert fell.prevalence < threshold.prevalence
    assert not drift(threshold, np.full(5, 0.01), np.ones(5)).alarm


@pytest.mark.parametrize(
    ("p", "y", "weight", "words"),
    [
        ([0.5, 1.2], [0, 1], None, "row 2: the prediction is 1.2"),
        ([0.5, 0.6], [0, 2], None, "row 2: the outcome is 2"),
        ([0.5, 0.6], [0, 1], [1, -1], "row 2: the weight is -1"),
    ],
)
def test_bad_rows_are_named(p: list[float], y: list[float], weight: list[float] | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        threshold_at_precision(p, y, weight)


def test_too_few_people_and_a_promise_that_is_none() -> None:
    p, unit = np.full(500, 0.9), np.arange(500) % 29
    few = threshold_at_precision(p, np.ones(500), unit=unit)
    assert few.tau is None and few.reason.startswith("too few units: 29 people")
    enough = threshold_at_precision(p, np.ones(500), unit=np.arange(500) % 60)
    assert enough.tau is not None and enough.units == 60 and enough.effective_n == pytest.approx(60, abs=0.3)
    assert "too few units" in drift(enough, p, np.zeros(500), unit=unit).reason
    with pytest.raises(InputError, match="both lie between 0 and 1"):
        threshold_at_precision([0.5], [1], target=1.5)
