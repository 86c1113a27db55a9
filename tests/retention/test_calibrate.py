"""Calibrators and calibration errors: oracles, golden numbers of other packages, and what must hold for any
predictions.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.retention.calibrate import (
    METHODS,
    Calibrator,
    calibration_error,
    calibration_table,
    equal_mass,
    expected_observed,
    fit_calibrator,
    murphy,
    smooth_error,
)


def sample(n: int = 2_000, seed: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overconfident predictions, outcomes, and the true probabilities."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    truth = 1 / (1 + np.exp(-z))
    y = (rng.random(n) < truth).astype(float)
    return 1 / (1 + np.exp(-(1.6 * z + 0.3))), y, truth


def test_smooth_error_agrees_with_relplot() -> None:
    p, y, truth = sample()
    # relplot 1.0.3, rp.smECE: its search for the width stops at about 1e-3.
    assert smooth_error(p, y, np.ones(2_000)) == pytest.approx(0.0728183, abs=5e-4)
    assert smooth_error(truth, y, np.ones(2_000)) == pytest.approx(0.0218320, abs=5e-4)


def test_beta_agrees_with_betacal() -> None:
    p, y, _ = sample()
    calibrator = fit_calibrator(p, y, None, "beta")
    # betacal 1.1.0, BetaCalibration("abm"), which has a faint penalty.
    assert calibrator.slopes == pytest.approx((0.711189, 0.620365), abs=1e-3)
    assert calibrator([0.1, 0.5, 0.9]) == pytest.approx([0.155092, 0.453646, 0.773909], abs=2e-4)


def test_platt_recovers_a_logit_map() -> None:
    p, y, truth = sample(200_000)
    calibrator = fit_calibrator(p, y, None, "platt")
    assert calibrator.slopes[0] == pytest.approx(1 / 1.6, abs=0.01) and calibrator.intercept == pytest.approx(
        -0.3 / 1.6, abs=0.015
    )
    assert np.abs(calibrator(p) - truth).max() < 0.01
    assert fit_calibrator(p, y, None, "temperature").intercept == 0


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_means_agree_and_the_map_survives_json(method: str) -> None:
    p, y, _ = sample()
    calibrator = fit_calibrator(p, y, np.linspace(0.5, 1.5, len(y)), method)
    if method in ("platt", "beta", "isotonic"):  # those with an intercept, or free of form
        w = np.linspace(0.5, 1.5, len(y))
        assert np.average(calibrator(p), weights=w) == pytest.approx(np.average(y, weights=w), abs=1e-5)
    assert np.array_equal(Calibrator.of(calibrator.as_mapping())(p), calibrator(p))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from(METHODS))
def test_no_calibrator_turns_a_ranking_over(seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.random(60), (rng.random(60) < 0.5).astype(float)
    if y.min() == y.max():
        return
    grid = np.linspace(0, 1, 50)
    out = fit_calibrator(p, y, rng.random(60) + 0.1, method)(grid)
    assert (np.diff(out) >= -1e-12).all() and out.min() >= 0 and out.max() <= 1


def test_weights_count_as_copies() -> None:
    p, y, _ = sample(300)
    weight = np.random.default_rng(1).integers(1, 4, 300)
    for method in ("platt", "beta", "temperature"):
        once, copies = (
            fit_calibrator(p, y, weight, method),
            fit_calibrator(np.repeat(p, weight), np.repeat(y, weight), None, method),
        )
        assert once(p) == pytest.approx(copies(p), abs=1e-5)


def test_murphy_adds_up_when_predictions_are_equal_in_bins() -> None:
    rng = np.random.default_rng(4)
    p = rng.integers(1, 9, 4_000) / 10
    y = (rng.random(4_000) < p).astype(float)
    rel, res, unc = murphy(p, y, np.ones(4_000), bins=4_000)
    assert rel - res + unc == pytest.approx(np.mean((p - y) ** 2), abs=1e-12)


def test_equal_mass_is_the_obvious_quantile_binning() -> None:
    p = np.random.default_rng(5).permutation(np.arange(100)) / 100
    assert np.array_equal(np.bincount(equal_mass(p, np.ones(100), 10)), np.full(10, 10))
    same = equal_mass(np.full(100, 0.3), np.ones(100), 10)
    assert len(np.unique(same)) == 1


def test_taking_noise_off_brings_the_error_of_true_probabilities_nearer_to_zero() -> None:
    plain, debiased = zip(
        *(calibration_error(*sample(2_000, seed)[2:0:-1], np.ones(2_000)) for seed in range(30)), strict=True
    )
    assert np.mean(debiased) < 0.6 * np.mean(plain)
    p, y, truth = sample(50_000)
    gap = np.abs(p - truth).mean()
    assert calibration_error(p, y, np.ones(50_000))[1] == pytest.approx(gap, abs=0.01)


def test_the_table_finds_the_cohort_that_is_off() -> None:
    _, y, truth = sample(20_000)
    cohort = np.where(np.arange(20_000) % 2 == 0, "a", "b")
    shown = np.where(cohort == "a", truth, np.clip(1.3 * truth, 0, 1))
    rows = {row.cohort: row for row in calibration_table(shown, y, by=cohort, unit=np.arange(20_000) // 4)}
    assert rows["a"].expected_observed.low < 1 < rows["a"].expected_observed.high
    assert rows["b"].expected_observed.low > 1.15
    assert rows["all"].n == 20_000 and rows["all"].expected_observed.n == 5_000
    assert rows["a"].brier == pytest.approx(
        rows["a"].reliability - rows["a"].resolution + rows["a"].uncertainty, abs=2e-3
    )


def test_expected_over_observed_covers_one() -> None:
    inside = 0
    for seed in range(200):
        _, y, truth = sample(300, seed)
        ratio = expected_observed(truth, y, np.ones(300), np.arange(300), (seed,))
        inside += ratio.low <= 1 <= ratio.high
    assert abs(inside / 200 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 200) + 0.01


def test_a_cohort_without_positives_has_a_reason() -> None:
    row = calibration_table([0.2, 0.3], [0, 0])[0]
    assert np.isnan(row.expected_observed.value) and "no positive outcome" in row.expected_observed.reason


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="method 'spline'"):
        fit_calibrator([0.5], [1], None, "spline")
    with pytest.raises(InputError, match="needs both"):
        fit_calibrator([0.5, 0.6], [1, 1])
    with pytest.raises(InputError, match="method 'none such'"):
        Calibrator.of({"method": "none such"})
    assert "below 1,000" in fit_calibrator(*sample(200)[:2], None, "isotonic").note
