"""Ranking metrics against hand-computed and slow obvious versions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.stats import best_places, coverage_curve, effective_vocabulary, ndcg_at, recall_at


def test_golden_values() -> None:
    assert ndcg_at([1, 2, 10, 11], 10).round(4).tolist() == [1.0, 0.6309, 0.2891, 0.0]
    assert recall_at([1, 10, 11, 0, np.inf, np.nan], 10).tolist() == [1, 1, 0, 0, 0, 0]
    assert effective_vocabulary([90, 5, 3, 2]) == 2


@given(
    st.lists(st.one_of(st.integers(0, 30), st.just(math.inf), st.just(math.nan)), max_size=20),
    st.integers(1, 25),
)
@settings(max_examples=50)
def test_metrics_equal_the_slow_version(ranks: list[float], k: int) -> None:
    result = [1 <= r <= k for r in ranks]
    assert recall_at(ranks, k).tolist() == [float(f) for f in result]
    assert ndcg_at(ranks, k).tolist() == pytest.approx(
        [1 / math.log2(1 + r) if f else 0 for r, f in zip(ranks, result, strict=True)]
    )


@given(st.lists(st.integers(0, 50), max_size=12), st.floats(0.05, 1))
@settings(max_examples=80)
def test_effective_vocabulary_equals_adding_items_until_covered(counts: list[int], share: float) -> None:
    covered, n = 0.0, 0
    for count in sorted(counts, reverse=True):
        if covered >= share * sum(counts) * (1 - 1e-12):
            break
        covered, n = covered + count, n + 1
    assert effective_vocabulary(counts, share) == n
    curve = coverage_curve(counts)
    assert len(curve) == len(counts) and (np.diff(curve) >= -1e-12).all()
    assert not sum(counts) or curve[-1] == pytest.approx(1)


@settings(deadline=None)
@given(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf]), max_size=12), st.integers(0, 14))
def test_the_best_places_are_those_of_a_whole_sort(scores: list[float], k: int) -> None:
    expected = sorted((-score, place) for place, score in enumerate(scores) if score > -np.inf)[:k]
    assert best_places(np.array(scores), k).tolist() == [place for _, place in expected]
