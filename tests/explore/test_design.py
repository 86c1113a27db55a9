"""Allocation of new items' plays: the equivalence theorem, caps and minimum plays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.explore.design import DesignSettings, allocate


@pytest.mark.parametrize(("items", "d"), [(12, 3), (200, 8), (1_000, 16)])
def test_no_plan_could_teach_more(items, d):
    # Kiefer and Wolfowitz: a D-optimal design has max_a phi_a^T M^-1 phi_a = d.
    phi = np.random.default_rng(items).normal(size=(items, d))
    share = allocate(phi, budget=100.0)
    information = (phi * share[:, None]).T @ phi
    worst = np.einsum("ad,de,ae->a", phi, np.linalg.inv(information), phi).max()
    assert share.sum() == pytest.approx(1) and share.min() >= 0
    assert worst <= d * (1 + 1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), items=st.integers(8, 60), plays=st.floats(0, 1), slack=st.floats(1.2, 4))
def test_caps_and_minimum_plays_hold(seed, items, plays, slack):
    phi = np.random.default_rng(seed).normal(size=(items, 4))
    cap = max(slack / items, plays / 100)
    share = allocate(phi, 100.0, cap, DesignSettings(min_plays=plays), prior=np.eye(4))
    assert share.sum() == pytest.approx(1)
    assert np.all(share * 100 >= plays - 1e-9) and np.all(share <= cap + 1e-9)


def test_a_prior_moves_plays_to_what_is_unknown():
    phi = np.eye(2)
    share = allocate(phi, 10.0, prior=np.diag([10.0, 0.001]))
    assert share[1] > 0.99
    even = allocate(phi, 10.0, prior=np.diag([1.0, 1.0]))
    np.testing.assert_allclose(even, [0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: allocate(np.eye(3), 2.0, settings=DesignSettings(min_plays=1.0)), "exceed the budget"),
        (lambda: allocate(np.eye(3), 2.0, caps=0.2), "cannot hold"),
        (lambda: allocate(np.ones((3, 2)), 2.0), "do not span"),
        (lambda: allocate(np.full((3, 2), np.nan), 2.0), "finite"),
        (lambda: allocate(np.eye(3), 0.0), "budget"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
