"""Small bandit worlds: their published values, exact truths, and logs whose frequencies match."""

import numpy as np
import pytest
from recipes.explore.bandit import BanditWorld, draw_log
from recipes.explore.worlds import PAIRED_TILTS, paired_world, prefix_world, true_novelty, true_value

from tastemaker.errors import InputError
from tastemaker.explore.policy.softmax import SoftmaxPolicy, TablePolicy


def test_paired_world_has_the_published_values():
    small = paired_world()
    base = small.value(small.logger)
    assert base == pytest.approx(0.007)
    ratios = [small.value(small.tilted(b)) / base for b in PAIRED_TILTS]
    np.testing.assert_allclose(ratios, [0.949, 1, 1.117, 1.468], atol=1e-7)
    assert small.value(small.worth(1.117)) == pytest.approx(1.117 * base)
    with pytest.raises(InputError, match="no exponential tilt"):
        small.worth(50.0)


def test_prefix_world_has_the_published_values():
    small, broken = prefix_world(), prefix_world(worthless=True)
    base, existing = small.value(small.logger), small.world.existing
    assert small.value(small.policy) / base == pytest.approx(1.068, abs=1e-3)
    assert (small.policy * small.q)[existing].sum() / base == pytest.approx(0.917, abs=1e-3)
    assert broken.value(broken.policy) / base == pytest.approx(0.917, abs=1e-3)
    policy = TablePolicy(small.policy[None, :], small.world.prefixes)
    assert true_value(small.world, policy) == pytest.approx(small.value(small.policy))
    assert true_novelty(small.world, policy) == pytest.approx(0.3)


def test_log_follows_the_policy_and_the_truth():
    draws = np.random.default_rng(3)
    contexts, vectors = draws.normal(size=(40, 3)), draws.normal(size=(30, 3))

    def reward(ctx, actions):
        return 1 / (1 + np.exp(-ctx @ vectors[actions].T))

    existing = np.arange(30) < 24
    world = BanditWorld(contexts, reward, existing, np.arange(30) % 5)
    policy = SoftmaxPolicy(vectors, np.eye(3), prefixes=np.arange(30) % 5)
    scores = contexts @ vectors.T
    table = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert true_value(world, policy) == pytest.approx(
        (table * reward(contexts, slice(0, 30))).sum(axis=1).mean(), rel=1e-5
    )
    assert true_novelty(world, policy) == pytest.approx(table[:, ~existing].sum(axis=1).mean(), rel=1e-5)
    log = draw_log(world, policy, 20_000, 5)
    rewards = log["reward"].to_numpy()
    assert rewards.mean() == pytest.approx(true_value(world, policy), abs=4 * rewards.std() / 20_000**0.5)
    inverse = 1 / log["propensity"].to_numpy()
    assert inverse.mean() == pytest.approx(30, abs=4 * inverse.std() / 20_000**0.5)
    assert log.equals(draw_log(world, policy, 20_000, 5))
    assert np.all(log["prefix_propensity"].to_numpy() >= log["propensity"].to_numpy() - 1e-7)


def test_bad_worlds():
    with pytest.raises(InputError, match="existing"):
        BanditWorld(np.zeros((1, 1)), lambda ctx, actions: ctx, np.zeros(3, dtype=bool))
    with pytest.raises(InputError, match="rows"):
        draw_log(paired_world().world, TablePolicy(paired_world().logger[None, :]), 0, 0)
