"""Behaviour vectors: the damping by hand, planted communities, unseen items, and no way for other events to
leak in.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.encoders import behaviour_vectors
from tastemaker.encoders.behaviour import _damped
from tastemaker.errors import InputError
from tastemaker.stats.random import generator


def _communities(n: int = 40, groups: int = 4, pairs: int = 4000) -> np.ndarray:
    rng = generator(0, "communities")
    group = rng.integers(0, groups, pairs)
    inside = np.stack([group + groups * rng.integers(0, n // groups, pairs) for _ in range(2)], axis=1)
    noise = rng.integers(0, n, (pairs // 10, 2))
    return np.concatenate([inside, noise])


def test_planted_communities_are_found() -> None:
    x = behaviour_vectors(_communities(), None, 40, 4, 0)
    cosine = x @ x.T
    same = (np.arange(40)[:, None] - np.arange(40)) % 4 == 0
    np.fill_diagonal(cosine, np.nan)
    assert np.nanmin(cosine[same]) > np.nanmax(cosine[~same])


def test_ppmi_by_hand() -> None:
    import scipy.sparse as sparse

    counts = np.array([[0, 3.0, 1], [3, 0, 0], [1, 0, 0]])
    got = _damped(sparse.csr_array(counts)).toarray()
    s = counts.sum(axis=1)
    c = s**0.75
    for i in range(3):
        for j in range(3):
            if counts[i, j]:
                both = [np.log(counts[a, b] * c.sum() / (s[a] * c[b])) for a, b in ((i, j), (j, i))]
                assert got[i, j] == pytest.approx(max(0.0, sum(both) / 2))
            else:
                assert got[i, j] == 0


def test_unseen_items_are_missing_never_zero() -> None:
    x = behaviour_vectors(np.array([[0, 1], [1, 2], [0, 2], [4, 4]]), None, 6, 2, 0)
    assert np.isnan(x[3:]).all() and np.isfinite(x[:3]).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_order_and_direction_of_pairs_do_not_matter(seed: int) -> None:
    pairs = _communities(pairs=300)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(pairs)
    flipped = np.where(rng.random(len(pairs))[:, None] < 0.5, shuffled, shuffled[:, ::-1])
    x, y = behaviour_vectors(pairs, None, 40, 4, 0), behaviour_vectors(flipped, None, 40, 4, 0)
    np.testing.assert_allclose(x @ x.T, y @ y.T, atol=1e-4)


def test_weights_count_repeats() -> None:
    pairs = np.array([[0, 1], [0, 1], [1, 2], [2, 3], [0, 3], [1, 3]])
    once = behaviour_vectors(pairs[1:], np.array([2.0, 1, 1, 1, 1]), 4, 2, 0)
    np.testing.assert_allclose(behaviour_vectors(pairs, None, 4, 2, 0), once, atol=1e-6)


def test_same_seed_same_bytes() -> None:
    first, two = (behaviour_vectors(_communities(), None, 40, 8, 3) for _ in range(2))
    assert first.tobytes() == two.tobytes()


def test_a_log_without_pairs_is_refused() -> None:
    with pytest.raises(InputError, match="no two different items"):
        behaviour_vectors(np.array([[1, 1]]), None, 5, 2, 0)
