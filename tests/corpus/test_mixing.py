"""Mixtures counted in tokens, and sampling by reward."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus.mixing import mix, pack, token_counts
from tastemaker.corpus.rewards import targets_by_reward
from tastemaker.errors import InputError


def source(name: str, lengths: list[int], start: int):
    """Each example repeats its own number, so that it can be recognised."""
    tokens = np.repeat(np.arange(start, start + len(lengths)), lengths)
    return pack(tokens, np.ones(len(tokens)), np.concatenate([[0], np.cumsum(lengths)]), name)


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(sizes, sizes, st.floats(0, 1), st.integers(1, 300), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_shares_are_met_in_tokens_and_repeats_wait_their_turn(
    a: list[int], b: list[int], share: float, tokens: int, seed: int
) -> None:
    mixed, achieved = mix(
        {"a": source("a", a, 0), "b": source("b", b, 100)}, {"a": share, "b": 1 - share}, tokens, seed
    )
    lengths = token_counts(mixed)
    for name, part, own, start in (("a", share, a, 0), ("b", 1 - share, b, 100)):
        mask = np.array([s == name for s in mixed["source"].to_pylist()], dtype=bool)
        assert lengths[mask].sum() == achieved[name]
        assert abs(achieved[name] - part * tokens) <= max(own) / 2 + 1e-6
        drawn = [t[0] - start for t, m in zip(mixed["tokens"].to_pylist(), mask, strict=True) if m]
        for at in range(0, len(drawn) - len(own) + 1, len(own)):
            assert sorted(drawn[at : at + len(own)]) == list(
                range(len(own))
            )  # nothing twice before everything once


def test_sources_alternate_and_the_seed_decides() -> None:
    sources = {"a": source("a", [2] * 50, 0), "b": source("b", [4] * 50, 100)}
    first, _ = mix(sources, {"a": 0.5, "b": 0.5}, 100, 0)
    assert first.equals(mix(sources, {"a": 0.5, "b": 0.5}, 100, 0)[0])
    assert not first.equals(mix(sources, {"a": 0.5, "b": 0.5}, 100, 1)[0])
    halves = [first["source"].to_pylist()[half].count("a") for half in (slice(0, 19), slice(19, None))]
    assert min(halves) >= 10


def test_targets_stay_in_proportion_to_their_reward_and_every_user_keeps_one() -> None:
    rewards, users = np.array([0.2, 0.8, 0.4, 0.1, 0.05, 0.1]), np.array([0, 0, 0, 1, 2, 2])
    copies = 3_000
    targets = np.stack([targets_by_reward(rewards, users, 0, copy) for copy in range(copies)])
    share = targets.mean(axis=0)
    assert share[1] == share[3] == share[5] == 1.0  # the largest reward of all, and the best of each user
    for event in (0, 2, 4):
        expected = rewards[event] / 0.8
        assert abs(share[event] - expected) < 4 * np.sqrt(expected * (1 - expected) / copies)
    assert np.array_equal(targets[7], targets_by_reward(rewards, users, 0, 7))
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match=f"row 2: the reward is {wrong:g}"):
            targets_by_reward([1.0, wrong], [0, 0], 0)
    with pytest.raises(InputError, match="no target"):
        targets_by_reward([0.0, 0.0], [0, 0], 0)
