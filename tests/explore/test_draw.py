from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.explore.slate import Pool, draw_pool, draw_slate, plackett_luce, prefix_propensities

WEIGHTS = np.log([4.0, 3.0, 2.0, 1.0])


def test_golden_lists() -> None:
    assert math.exp(plackett_luce(WEIGHTS, [1, 0]).sum()) == pytest.approx(6 / 35, abs=1e-12)
    assert math.exp(plackett_luce(WEIGHTS, [1, 0, 3]).sum()) == pytest.approx(2 / 35, abs=1e-12)
    second = sum(math.exp(plackett_luce(WEIGHTS, [entry, 1]).sum()) for entry in (0, 2, 3))
    assert second == pytest.approx(0.308333, abs=5e-7)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=5, max_size=5), st.integers(1, 5))
def test_list_products_sum_to_one_over_five_items(scores: list[float], k: int) -> None:
    total = sum(math.exp(plackett_luce(scores, entry).sum()) for entry in itertools.permutations(range(5), k))
    assert total == pytest.approx(1.0, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=3, max_size=12), st.integers(0, 10**6))
def test_a_draw_reports_its_own_probability(scores: list[float], key: int) -> None:
    order, propensity = draw_slate(scores, 3, key)
    again, same = draw_slate(scores, 3, key)
    assert order.tolist() == again.tolist() and propensity.tolist() == same.tolist()
    np.testing.assert_allclose(propensity, np.exp(plackett_luce(scores, order)))
    assert propensity[0] == pytest.approx(math.exp(scores[order[0]] - np.logaddexp.reduce(scores)), rel=1e-9)
    assert np.all(propensity > 0) and np.all(propensity <= 1)


def test_frequencies_match_propensities() -> None:
    """Chi-square over all 60 lists of three among five, and over each position."""
    scores = np.array([1.0, 0.5, 0.0, -0.5, -2.0])
    runs = 12_000
    seen = Counter(tuple(draw_slate(scores, 3, f"request-{entry}")[0].tolist()) for entry in range(runs))
    lists = list(itertools.permutations(range(5), 3))
    expected = np.array([math.exp(plackett_luce(scores, entry).sum()) for entry in lists])
    assert stats.chisquare([seen[entry] for entry in lists], runs * expected).pvalue > 1e-4
    for position in range(3):
        observed = np.bincount([entry[position] for entry in seen.elements()], minlength=5)
        marginal = np.array(
            [expected[[entry[position] == item for entry in lists]].sum() for item in range(5)]
        )
        assert stats.chisquare(observed, runs * marginal).pvalue > 1e-4


def test_a_nearly_certain_item_leaves_the_digits_of_the_rest() -> None:
    """1 - drawn mass would be 0 here; the rest still has its exact shares."""
    result = np.exp(plackett_luce([100.0, 1.0, 0.0], [0, 1, 2]))
    np.testing.assert_allclose(result, [1.0, math.e / (1 + math.e), 1.0], rtol=1e-12)


def test_prefix_propensities_by_enumeration() -> None:
    prefixes = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(prefix_propensities(WEIGHTS, [1, 3], prefixes), [0.7, 3 / 7])
    np.testing.assert_allclose(prefix_propensities(WEIGHTS, [0, 1, 2], prefixes), [0.7, 0.5, 1.0])


def test_a_pool_is_drawn_at_its_temperature() -> None:
    pool = Pool(np.array([7, 3, 9, 1]), WEIGHTS * 0.5, 0.5, "softmax")
    draw = draw_pool(pool, 2, ("secret", "r1"), [0, 0, 1, 1])
    order, propensity = draw_slate(WEIGHTS, 2, ("secret", "r1"))
    assert draw.order.tolist() == order.tolist() and draw.policy_id == "softmax"
    np.testing.assert_allclose(draw.propensity, propensity, rtol=1e-12)
    assert draw.prefix is not None and (draw.prefix >= draw.propensity).all() and draw.policy is None
    assert draw_pool(pool, 2, ("secret", "r1")).prefix is None
    assert len(draw_pool(pool, 9, ("secret", "r1")).order) == 4  # no more than there are
    lists = {tuple(draw_pool(pool, 4, (secret, "r1")).order) for secret in "abcdefghij"}
    assert len(lists) > 1  # the id alone does not choose


def test_without_temperature_the_best_come_first_with_certainty() -> None:
    draw = draw_pool(Pool(np.array([7, 3, 9]), np.zeros(3), 0.0, "greedy"), 2, ("secret", "r1"))
    assert draw.order.tolist() == [0, 1] and draw.policy_id == "greedy"
    assert draw.propensity.tolist() == [1.0, 1.0]
    assert draw.prefix is not None and draw.prefix.tolist() == [1.0, 1.0]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="a slate of 3 cannot be drawn from 2 candidates"):
        draw_slate([0.0, -math.inf, 1.0], 3, "r")
    with pytest.raises(InputError, match="NaN"):
        draw_slate([0.0, math.nan], 1, "r")
    with pytest.raises(InputError, match="twice"):
        plackett_luce([0.0, 1.0], [0, 0])
    assert {tuple(sorted(draw_slate([0.0, -math.inf, 1.0], 2, entry)[0])) for entry in range(50)} == {(0, 2)}
