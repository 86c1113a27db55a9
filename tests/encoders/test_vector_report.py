"""Standardisation and the checks that stop unusable vectors before training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.encoders import standardise, vector_report
from tastemaker.errors import InputError


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 60), st.integers(1, 9))
def test_standardised_moments(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(0, 100, d), rng.uniform(0.01, 50, d), (n, d)).astype(np.float32)
    x[0] = np.nan
    y = standardise(x)
    assert np.isnan(y[0]).all()
    np.testing.assert_allclose(y[1:].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(y[1:].std(axis=0), 1, atol=1e-3)


def test_constant_dimensions_become_zero() -> None:
    y = standardise(np.array([[1.0, 7], [2, 7], [3, 7]]))
    np.testing.assert_array_equal(y[:, 1], 0)


def test_mean_cosine_small_is_exact_and_large_is_close() -> None:
    x = np.random.default_rng(0).normal(0.5, 1, (50, 6))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T
    exact = cosine[~np.eye(50, dtype=bool)].mean()
    assert vector_report(x).mean_cosine == pytest.approx(exact)
    many = np.random.default_rng(0).normal(0.5, 1, (3000, 6))
    unit = many / np.linalg.norm(many, axis=1, keepdims=True)
    exact = (np.square(unit.sum(axis=0)).sum() - 3000) / (3000 * 2999)
    # The standard error of 20,000 sampled cosines is below .5 / sqrt(20,000) = .0035.
    assert abs(vector_report(many).mean_cosine - exact) < 0.014


def test_alike_vectors_warn_and_standardising_cures() -> None:
    x = np.random.default_rng(1).normal(3, 1, (200, 16)).astype(np.float32)
    assert any("too alike" in line for line in vector_report(x, "text").warnings)
    report = vector_report(standardise(x), "text")
    assert report.warnings == () and abs(report.mean_cosine) < 0.1


def test_counts_of_missing_distinct_and_constant() -> None:
    x = np.array([[1.0, 5, 0], [2, 5, 1], [np.nan] * 3, [1, 5, 0]])
    report = vector_report(x, "audio")
    assert (report.items, report.dimensions, report.missing, report.distinct, report.constant_dimensions) == (
        4,
        3,
        1,
        3 - 1,
        1,
    )


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 2], [np.nan, 2]], "view 'cover': item row 2 holds a NaN"),
        ([[1.0, 2], [3, np.inf]], "view 'cover': item row 2 holds a NaN or infinite"),
        ([[1.0, 2], [2, 1], [0, 0]], "view 'cover': item row 3 is a constant vector"),
        ([[1.0, 2], [1, 2]], "item row 2 equals every other row"),
        ([[np.nan, np.nan]], "every item's vector is missing"),
    ],
)
def test_unusable_vectors_name_view_and_row(x: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        vector_report(np.array(x), "cover")


def test_nothing_to_standardise() -> None:
    with pytest.raises(InputError, match="every vector of the view is missing"):
        standardise(np.full((3, 2), np.nan))
