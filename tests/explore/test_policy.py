from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.explore.worlds import dense_softmax, dense_world

from tastemaker.errors import InputError
from tastemaker.explore.policy import base, softmax
from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy, TablePolicy, uniform_policy


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 7, so that a few rows and actions cross many of them."""
    monkeypatch.setattr(softmax, "BLOCK", 7)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 3e-6)])
def test_blocks_agree_with_the_dense_softmax(precision: str, tolerance: float) -> None:
    world = dense_world(40, 30, precision=precision)
    for policy, dense in ((world.policy, world.pi), (world.logger, world.pi0)):
        rows = np.arange(40)
        action = np.random.default_rng(2).integers(0, 30, 40)
        context = world.log.context
        for answer in (policy.log_prob(context, action), base.Policy.log_prob(policy, context, action)):
            np.testing.assert_allclose(np.exp(answer), dense[rows, action], atol=tolerance)
        group = world.prefixes[None, :] == (rows % 5)[:, None]
        np.testing.assert_allclose(
            np.exp(policy.prefix_log_prob(context, rows % 5)), (dense * group).sum(1), atol=tolerance
        )
        novel = np.arange(30) >= 24
        for subset in (novel, ~novel, rows[:30] % 3 == 0, np.zeros(30, bool), np.ones(30, bool)):
            np.testing.assert_allclose(policy.mass(context, subset), dense[:, subset].sum(1), atol=tolerance)
        expected = policy.expect(context, lambda r, a: world.q[r, a])
        np.testing.assert_allclose(expected, (dense * world.q).sum(1), atol=5 * tolerance)


@pytest.mark.usefixtures("small_blocks")
def test_draws_have_the_policys_frequencies_and_never_a_forbidden_action() -> None:
    world = dense_world(3, 30)
    drawn = world.logger.sample(world.log.context, 4_000, "draws")
    assert drawn.max() < 24 and drawn.min() >= 0
    for row in range(3):
        counts = np.bincount(drawn[row], minlength=30)[:24]
        assert stats.chisquare(counts, 4_000 * world.pi0[row, :24]).pvalue > 1e-4
    np.testing.assert_array_equal(drawn, world.logger.sample(world.log.context, 4_000, "draws"))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("cap", [1.0, 2.0, 5.0, 15.0, None])
def test_a_mixture_keeps_its_cap_with_no_more_of_the_logger_than_needed(cap: float | None) -> None:
    world = dense_world(50, 30)
    mixed = Mixture(world.policy, world.logger, 0.05, cap)
    dense = np.zeros((50, 30))
    for rows, actions, block in mixed.blocks(world.log.context):
        dense[rows, actions] = np.exp(block)
    np.testing.assert_allclose(dense.sum(1), 1.0, rtol=1e-9)
    ratio = (world.pi0[:, :24] / dense[:, :24]).max(axis=1)
    assert ratio.max() <= (cap or 20.0) * (1 + 1e-9)
    # Where more than the holdout was mixed in, the cap is met exactly.
    raised = mixed.shares(world.log.context) > 0.05 + 1e-12
    if cap is not None:
        np.testing.assert_allclose(ratio[raised], cap, rtol=1e-6)
    novel, prefix = np.arange(30) >= 24, np.arange(50) % 5
    np.testing.assert_allclose(mixed.mass(world.log.context, novel), dense[:, novel].sum(1), atol=1e-9)
    expected = mixed.expect(world.log.context, lambda r, a: world.q[r, a])
    np.testing.assert_allclose(expected, (dense * world.q).sum(1), rtol=1e-9)
    group = world.prefixes[None, :] == prefix[:, None]
    grouped = np.exp(mixed.prefix_log_prob(world.log.context, prefix))
    np.testing.assert_allclose(grouped, (dense * group).sum(1), rtol=1e-9)
    own = np.exp(mixed.log_prob(world.log.context, world.log.action))
    np.testing.assert_allclose(own, dense[np.arange(50), world.log.action], rtol=1e-9)
    counts = np.bincount(mixed.sample(world.log.context[:1], 5_000, 3)[0], minlength=30)
    played = dense[0] > 0
    assert (
        not counts[~played].any() and stats.chisquare(counts[played], 5_000 * dense[0, played]).pvalue > 1e-4
    )


def test_tables_and_uniform() -> None:
    table = TablePolicy(np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]))
    context = np.array([[1.0], [0.0]])
    np.testing.assert_allclose(np.exp(table.log_prob(context, np.array([2, 2]))), [0.7, 0.0])
    uniform = uniform_policy(4, np.array([True, False, True, True]))
    np.testing.assert_allclose(np.exp(uniform.log_prob(context, np.array([0, 1]))), [1 / 3, 0.0])


def test_a_table_answers_as_the_general_policy_does() -> None:
    draws = np.random.default_rng(1)
    table = TablePolicy(draws.dirichlet(np.ones(6), 4), np.arange(6) % 3)
    context, action = draws.integers(0, 4, 50)[:, None] * 1.0, draws.integers(0, 6, 50)
    np.testing.assert_allclose(table.log_prob(context, action), base.Policy.log_prob(table, context, action))
    np.testing.assert_allclose(
        table.prefix_log_prob(context, action % 3), base.Policy.prefix_log_prob(table, context, action % 3)
    )
    subset = np.arange(6) < 2
    np.testing.assert_allclose(table.mass(context, subset), base.Policy.mass(table, context, subset))


def test_fingerprints_tell_policies_apart() -> None:
    world = dense_world(5, 10)
    again = dense_world(5, 10)
    assert world.policy.fingerprint() == again.policy.fingerprint() != world.logger.fingerprint()
    assert (
        Mixture(world.policy, world.logger).fingerprint()
        != Mixture(world.policy, world.logger, cap=5.0).fingerprint()
    )


def test_bad_policies_are_refused() -> None:
    world = dense_world(5, 10)
    with pytest.raises(InputError, match=r"vectors .* and matrix"):
        SoftmaxPolicy(np.ones((3, 2)), np.ones((2, 3)))
    with pytest.raises(InputError, match="no action is allowed"):
        SoftmaxPolicy(np.ones((3, 2)), np.ones((2, 2)), allowed=np.zeros(3, bool))
    with pytest.raises(InputError, match="bias has shape"):
        SoftmaxPolicy(np.ones((3, 2)), np.ones((2, 2)), np.zeros(2))
    with pytest.raises(InputError, match="each row of sum 1"):
        TablePolicy(np.array([[0.5, 0.6]]))
    with pytest.raises(InputError, match="first context column"):
        TablePolicy(np.full((2, 2), 0.5)).log_prob(np.array([[2.0]]), np.array([0]))
    with pytest.raises(InputError, match="cap of at least 1"):
        Mixture(world.policy, world.logger, cap=0.5)
    with pytest.raises(InputError, match="one catalogue"):
        Mixture(world.policy, uniform_policy(3))
    with pytest.raises(InputError, match="knows no prefixes"):
        uniform_policy(3).prefix_log_prob(np.zeros((1, 0)), np.array([0]))
    with pytest.raises(InputError, match="one action from 0 to 9"):
        world.policy.log_prob(world.log.context, np.full(5, 10))


def test_the_dense_oracle_itself() -> None:
    policy = SoftmaxPolicy(np.eye(2), np.zeros((1, 2)), np.log([1.0, 3.0]))
    np.testing.assert_allclose(dense_softmax(policy, np.zeros((1, 1))), [[0.25, 0.75]])
    assert base.BLOCK == 2048
