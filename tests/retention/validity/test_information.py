"""Mutual information: bounds, bias, and a null by permutation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from tastemaker.errors import InputError
from tastemaker.retention.validity.table import entropy, mutual_information


def test_a_rare_event_has_less_than_the_published_limit() -> None:
    assert round(float(entropy([0.03, 0.97])), 4) == 0.1347
    event = np.r_[np.ones(30), np.zeros(970)]
    information = mutual_information(event, event, resamples=50)
    assert information.nats == pytest.approx(0.1347, abs=5e-5)  # below .15 although the two are the same
    assert information.normalised.value == pytest.approx(1.0, abs=0.01) and information.p < 0.01


@given(st.integers(0, 10_000), st.integers(30, 200))
@settings(max_examples=30, deadline=None)
def test_the_plug_in_value_is_the_usual_one_and_within_bounds(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(1, 6, n)
    b = (rng.random(n) < 0.1 + 0.15 * a).astype(int)
    information = mutual_information(a, b, resamples=5, permutations=5)
    assert information.nats == pytest.approx(mutual_info_score(a, b), abs=1e-12)
    assert 0 <= information.nats <= information.least_entropy + 1e-12


def test_the_correction_removes_the_bias_of_unrelated_answers() -> None:
    rng = np.random.default_rng(0)
    draws = [
        mutual_information(rng.integers(1, 6, 400), rng.random(400) < 0.4, resamples=1, permutations=1)
        for _ in range(300)
    ]
    plain, corrected = (
        np.array(values) for values in zip(*((f.nats, f.corrected.value) for f in draws), strict=True)
    )
    assert plain.mean() > 0.004
    assert abs(corrected.mean()) < 4 * corrected.std() / np.sqrt(300)


def test_the_permutation_null_keeps_its_level() -> None:
    rng = np.random.default_rng(1)
    p = [
        mutual_information(
            rng.integers(1, 6, 120), rng.random(120) < 0.3, resamples=1, permutations=39, key=(i,)
        ).p
        for i in range(300)
    ]
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / 300)


def test_weights_count_like_repeated_rows_and_constants_are_said() -> None:
    rng = np.random.default_rng(2)
    a, b, w = rng.integers(1, 6, 100), rng.integers(0, 2, 100), rng.integers(1, 4, 100)
    assert mutual_information(a, b, w, resamples=2).nats == pytest.approx(
        mutual_info_score(np.repeat(a, w), np.repeat(b, w))
    )
    assert mutual_information(a, np.zeros(100)).corrected.reason == "one side never varies"
    with pytest.raises(InputError, match="needs 2 complete rows"):
        mutual_information([1.0], [1.0])
