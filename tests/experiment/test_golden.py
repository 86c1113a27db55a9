"""The numbers the specification prints, and rates over simulated trials with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from recipes.retention.reported import effect_from_interval, power_of, size_for_error
from scipy import stats

from tastemaker.experiment import (
    assign,
    bh,
    confidence_sequence,
    holm,
    sample_size,
    srm,
)
from tastemaker.experiment.assign import arm_at, position
from tastemaker.experiment.decide import detectable

# Published, 14 days, percent: metric -> effect, 95 % half width, z, p, Holm, BH (over all seven; not printed
# for two).
PUBLISHED = {
    "sessions per user": (0.030, 0.026, 2.26, 0.0237, 0.0237, 0.0237),
    "communication": (0.052, 0.039, 2.61, 0.00897, 0.0179, 0.0105),
    "like rate": (0.169, 0.100, 3.31, 9.25e-4, 0.00278, 0.00130),
    "skip rate": (-0.188, 0.085, 4.33, 1.46e-5, 7.29e-5, 3.40e-5),
    "reported content": (-1.36, 0.11, 24.2, 1e-129, None, None),
    "negative feedback": (-1.527, 0.095, 31.5, 8e-218, None, None),
    "not interested": (-2.6, 1.3, 3.92, 8.86e-5, 3.54e-4, 1.55e-4),
}


def _digits(value: float, printed: float, digits: int = 3) -> None:
    assert float(f"{value:.{digits - 1}e}") == pytest.approx(printed, rel=1e-9)


def test_the_published_table_follows_from_effect_and_interval() -> None:
    read = {name: effect_from_interval(name, row[0], row[1]) for name, row in PUBLISHED.items()}
    for name, row in PUBLISHED.items():
        z = abs(read[name].value) / read[name].se
        assert float(f"{z:.3g}") == row[2], name
        _digits(read[name].p, row[3], 1 if row[3] < 1e-100 else 3)
    ps = [result.p for result in read.values()]
    for row, by_holm, by_bh in zip(PUBLISHED.values(), holm(ps), bh(ps), strict=True):
        if row[4] is not None and row[5] is not None:
            _digits(by_holm, row[4])
            _digits(by_bh, row[5])


def test_holm_and_bh_by_their_definitions() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ps = np.round(rng.random(rng.integers(1, 9)) ** 3, 2)
        m, ranked = len(ps), sorted(ps)
        by_holm = [min(1, max((m - j) * ranked[j] for j in range(m) if ranked[j] <= p)) for p in ps]
        by_bh = [min(1, min(m / (j + 1) * ranked[j] for j in range(m) if ranked[j] >= p)) for p in ps]
        assert holm(ps) == pytest.approx(by_holm)
        assert bh(ps) == pytest.approx(by_bh)


def test_hash_positions() -> None:
    assert position("u1", "exp-1") == pytest.approx(0.301168171643711, abs=5e-16)
    assert position("u2", "exp-1") == pytest.approx(0.00593011970463775, abs=5e-18)
    assert position("u1", "exp-2") == pytest.approx(0.386331069527533, abs=5e-16)
    table = assign(["u1", "u2"], "exp-1", {"control": 0.2, "treatment": 0.8})
    assert table["arm"].to_pylist() == ["treatment", "control"]
    assert arm_at(position("u2", "exp-1"), {"control": 0.2, "treatment": 0.8}) == "control"


def test_sample_ratio() -> None:
    shares = {"a": 0.5, "b": 0.5}
    first = srm({"a": 10000, "b": 10300}, shares)
    assert round(first.chi2, 4) == 4.4335 and round(first.p, 5) == 0.03524 and not first.alarm
    second = srm({"a": 50000, "b": 51100}, shares)
    assert round(second.p, 6) == 0.000541 and second.alarm


def test_confidence_sequence() -> None:
    first = confidence_sequence(0.05, 4e-4, 10000, 5000)
    assert (round(float(first.half_width), 7), round(float(first.e), 6), round(float(first.p), 6)) == (
        0.0612295,
        4.604105,
        0.217197,
    )
    second = confidence_sequence(0.05, 8e-4, 5000, 5000)
    assert (round(float(second.half_width), 7), round(float(second.e), 6), round(float(second.p), 6)) == (
        0.0858487,
        1.339901,
        0.746324,
    )
    assert (-2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05))) / 5000 == pytest.approx(0.00158723, abs=5e-9)


def test_thirty_looks() -> None:
    """No effect, 30 looks, planned at a quarter: naive z errs 29 %, the sequence 1.6-1.7 %, 1.55-1.72 x as
    wide.
    """
    runs, looks, each = 4000, 30, 400
    rng = np.random.default_rng(5)
    n = each * np.arange(1, looks + 1)
    sums = rng.normal(0, np.sqrt(each), (runs, looks)).cumsum(axis=1)
    mean, variance = sums / n, np.broadcast_to(1 / n, (runs, looks))
    naive = (np.abs(mean / np.sqrt(variance)) > 1.959964).any(axis=1).mean()
    assert abs(naive - 0.29) < 3 * np.sqrt(0.29 * 0.71 / runs)
    read = confidence_sequence(mean, variance, n, planned=int(n[-1]) // 4)
    errs = ((read.low > 0) | (read.high < 0)).any(axis=1).mean()
    assert abs(errs - 0.0165) < 3 * np.sqrt(0.0165 / runs)
    wider = read.half_width[0] / (1.959964 / np.sqrt(n))
    assert 1.55 <= wider[-1] <= 1.72


def test_power() -> None:
    se = 0.026e-2 / stats.norm.ppf(0.975)
    assert round(se * 100, 4) == 0.0133
    assert round(size_for_error(1.0, se) / 1e6, 1) == 113.7
    assert round(sample_size(1.0, 0.03e-2) / 1e6, 1) == 174.4
    assert detectable(1.0, sample_size(1.0, 0.02, correlation=0.5), correlation=0.5) == pytest.approx(0.02)
    assert power_of(1.0, 0.02, sample_size(1.0, 0.02)) == pytest.approx(0.8, abs=1e-4)
    assert sample_size(1.0, 0.02, correlation=0.6) == pytest.approx(0.64 * sample_size(1.0, 0.02))
