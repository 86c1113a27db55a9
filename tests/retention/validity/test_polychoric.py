"""Polychoric correlation: exact cases, a quadrature oracle, and no bias where the truth is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, norm

from tastemaker.errors import InputError
from tastemaker.retention.validity.polychoric import bivariate_normal, fit_polychoric, polychoric

CUTS = norm.ppf(np.cumsum([0.10, 0.12, 0.22, 0.32]))


def test_the_tetrachoric_golden() -> None:
    assert float(fit_polychoric([[40, 10], [10, 40]])) == pytest.approx(np.sin(0.3 * np.pi), abs=1e-9)
    assert round(float(fit_polychoric([[40, 10], [10, 40]])), 6) == 0.809017


@pytest.mark.parametrize("h", [-2.0, 0.0, 0.7, 9.0])
@pytest.mark.parametrize("k", [-0.4, 0.0, 1.5])
@pytest.mark.parametrize("rho", [-0.95, 0.0, 0.6])
def test_the_bivariate_normal_is_the_usual_one(h: float, k: float, rho: float) -> None:
    expected = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([h, k])
    assert float(bivariate_normal(h, k, rho)) == pytest.approx(expected, abs=1e-8)


def _oracle(counts: npt.NDArray[np.float64]) -> float:
    """The same two steps, each cell integrated by Gauss-Legendre quadrature, rho by a bounded search."""
    total = counts.sum()
    rows = np.r_[-8, norm.ppf(np.cumsum(counts.sum(axis=1))[:-1] / total), 8]
    columns = np.r_[-8, norm.ppf(np.cumsum(counts.sum(axis=0))[:-1] / total), 8]
    nodes, weights = np.polynomial.legendre.leggauss(80)

    def loss(rho: float) -> float:
        value = 0.0
        for i in range(counts.shape[0]):
            half = (rows[i + 1] - rows[i]) / 2
            x = rows[i] + half * (1 + nodes)
            below = norm.cdf((columns[:, None] - rho * x) / np.sqrt(1 - rho**2))
            value -= counts[i] @ np.log(np.diff(below, axis=0) @ (half * weights * norm.pdf(x)))
        return float(value)

    return float(minimize_scalar(loss, bounds=(-0.95, 0.95), method="bounded", options={"xatol": 1e-8}).x)


@pytest.mark.parametrize("counts", [[[20, 7, 3], [9, 30, 11], [2, 13, 25]], [[5, 9], [14, 6], [3, 8.5]]])
def test_the_quadrature_oracle_agrees(counts: list[list[float]]) -> None:
    table = np.array(counts, dtype=float)
    assert float(fit_polychoric(table)) == pytest.approx(_oracle(table), abs=1e-5)


def test_no_bias_over_200_runs() -> None:
    rng, tables = np.random.default_rng(0), []
    for _ in range(200):
        a = rng.normal(size=5_000)
        b = 0.63 * a + np.sqrt(1 - 0.63**2) * rng.normal(size=5_000)
        tables.append(
            np.bincount(np.digitize(a, CUTS) * 5 + np.digitize(b, CUTS), minlength=25).reshape(5, 5)
        )
    assert abs(fit_polychoric(np.array(tables)).mean() - 0.63) < 0.01


@given(st.lists(st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None)
def test_symmetries(counts: list[list[int]]) -> None:
    table = np.array(counts, dtype=float)
    if min((table.sum(axis=0) > 0).sum(), (table.sum(axis=1) > 0).sum()) < 2:
        return
    rho = float(fit_polychoric(table))
    assert -1 < rho < 1
    assert float(fit_polychoric(table.T)) == pytest.approx(rho, abs=1e-6)
    assert float(fit_polychoric(table[:, ::-1])) == pytest.approx(-rho, abs=1e-6)
    assert float(fit_polychoric(3.5 * table)) == pytest.approx(rho, abs=1e-9)


def test_perfect_agreement_ends_at_the_limit() -> None:
    assert float(fit_polychoric([[50, 0], [0, 50]])) > 0.9999


def test_weights_count_like_repeated_rows() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(1, 6, 300), rng.integers(1, 6, 300)
    times = rng.integers(1, 4, 300)
    weighted = polychoric(a, b, times, resamples=20)
    assert weighted.value == pytest.approx(
        polychoric(np.repeat(a, times), np.repeat(b, times), resamples=20).value, abs=1e-9
    )


def test_what_cannot_be_fitted_is_said() -> None:
    assert "same answer" in polychoric([3, 3, 3, 3], [1, 2, 3, 4]).reason
    with pytest.raises(InputError, match="too many for ordered answers"):
        polychoric(np.arange(30), np.arange(30))
    with pytest.raises(InputError, match="row 2: the weight is -1"):
        polychoric([1, 2, 3], [1, 2, 3], [1, -1, 1])
