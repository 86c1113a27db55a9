"""Slates beside a deployed policy: exact mixtures of lists, the cap, the fallback to pi0."""

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
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.slate import (
    Deployed,
    Draw,
    Pool,
    draw_deployed,
    draw_mixed,
    logger_name,
    plackett_luce,
)

POLICY, LOGGER = np.array([0.5, 0.2, 0.1, 0.15, 0.05]), np.array([0.05, 0.0, 0.35, 0.4, 0.2])
PREFIXES = np.array([0, 0, 1, 1, 2])


def drawn(
    request: str, share: float = 0.3, k: int = 3, policy: np.ndarray = POLICY, logger: np.ndarray = LOGGER
) -> Draw:
    return draw_mixed(policy, logger, share, k, ("secret", request), PREFIXES)


def list_chance(order: tuple[int, ...], share: float) -> float:
    """Slow and obvious: one of two lists, each drawn item by item."""
    total = 0.0
    for weight, chance in ((1 - share, POLICY), (share, LOGGER)):
        left, entry = 1.0, weight
        for item in order:
            entry *= chance[item] / left
            left -= chance[item]
        total += entry
    return total


def test_propensities_are_those_of_a_mixture_of_lists() -> None:
    for request in range(60):
        draw = drawn(f"r{request}")
        order = tuple(draw.order.tolist())
        product = np.cumprod(draw.propensity)
        for length in (1, 2, 3):
            assert product[length - 1] == pytest.approx(list_chance(order[:length], 0.3), rel=1e-9)
        assert draw.propensity[0] == pytest.approx(0.7 * POLICY[order[0]] + 0.3 * LOGGER[order[0]], rel=1e-12)
        given = np.exp(
            [plackett_luce(np.log(np.maximum(entry, 1e-300)), order) for entry in (POLICY, LOGGER)]
        )
        np.testing.assert_allclose(draw.policy, given[0], rtol=1e-9)
        np.testing.assert_allclose(draw.reference, given[1], rtol=1e-9, atol=1e-280)
    assert drawn("r7").order.tolist() == drawn("r7").order.tolist()


def test_lists_come_as_often_as_they_say() -> None:
    runs = 2_000
    seen = Counter(tuple(drawn(f"request {entry}", k=2).order.tolist()) for entry in range(runs))
    lists = list(itertools.permutations(range(5), 2))
    expected = np.array([list_chance(entry, 0.3) for entry in lists])
    assert expected.sum() == pytest.approx(1.0)
    counts = np.array([seen[entry] for entry in lists])
    assert stats.chisquare(counts, runs * expected).pvalue > 1e-4


def test_prefix_propensities_by_enumeration() -> None:
    for request in range(20):
        draw = drawn(f"p{request}", k=2)
        first, second = draw.order.tolist()
        assert draw.prefix is not None
        same = [item for item in range(5) if PREFIXES[item] == PREFIXES[first]]
        assert draw.prefix[0] == pytest.approx(sum(list_chance((item,), 0.3) for item in same))
        below = [item for item in range(5) if PREFIXES[item] == PREFIXES[second] and item != first]
        chance = sum(list_chance((first, item), 0.3) for item in below) / list_chance((first,), 0.3)
        assert draw.prefix[1] == pytest.approx(chance)


positive = st.lists(st.floats(0.01, 1), min_size=5, max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    positive,
    positive,
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.integers(0, 10**6),
    st.floats(1, 20),
)
def test_a_deployed_slate_keeps_its_promises(
    wanted: list[float], scores: list[float], forbidden: list[bool], key: int, cap: float
) -> None:
    allowed = ~np.array(forbidden)
    allowed[:2] = True
    pool = np.flatnonzero(allowed)[:2]
    policy = np.array(wanted) / sum(wanted)
    deployed = Deployed(TablePolicy(policy[None, :]), "certified-x", 0.05, cap)
    from_pi0 = Pool(pool, np.array(scores)[pool], 0.5, "pi0")
    draw = draw_deployed(deployed, np.zeros(1), from_pi0, allowed, 2, (key,))
    shown = draw.order.tolist()
    assert draw.policy is not None and draw.reference is not None
    own, logger, mixed = (float(column[0]) for column in (draw.policy, draw.reference, draw.propensity))
    assert allowed[shown].all() and draw.policy_id == "certified-x/pi0"
    assert logger <= mixed * cap * (1 + 1e-9)
    sharp = np.exp(np.array(scores)[pool] / 0.5)
    pi0 = dict(zip(pool.tolist(), sharp / sharp.sum(), strict=True))
    assert logger == pytest.approx(pi0.get(shown[0], 0.0))
    # What this request must not be shown falls to pi0, so nothing that may be shown loses.
    assert own == pytest.approx(policy[shown[0]] + policy[~allowed].sum() * pi0.get(shown[0], 0.0))
    assert own <= mixed / (1 - max(0.05, 1 / cap)) * (1 + 1e-9) if cap > 1 else math.isclose(mixed, logger)


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(InputError, match="a slate of 5 cannot be drawn from 4"):
        drawn("r", k=5)
    deployed = Deployed(TablePolicy(POLICY[None, :]), "certified-x", 0.05, 5.0)
    with pytest.raises(InputError, match="knows 5 items, not these 4"):
        draw_deployed(
            deployed, np.zeros(1), Pool(np.array([0]), np.zeros(1), 1.0, "pi0"), np.ones(4, bool), 2, ("r",)
        )
    assert logger_name(0, "m") == "greedy" and logger_name(0.5, "m") == "plackett-luce-0.5-m"
    with pytest.raises(InputError, match="temperature is -1"):
        logger_name(-1, "m")
