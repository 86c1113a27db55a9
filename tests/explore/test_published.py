"""The published methods that the recipes compare with, and the certified loop over several deployments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from recipes.explore.loop import Loop, depsue
from recipes.explore.population import imitate
from recipes.explore.published import (
    PaperSettings,
    Plan,
    balanced,
    clipped_bound,
    depsue_paper,
    halves,
    own_probability,
    paper_thresholds,
    paper_violation,
    player,
    safe_opg_paper,
)
from scipy import stats
from tests.explore.test_learn import (
    BASE,
    CERTIFIED,
    FAST,
    ROWS,
    SPACE,
    WORLD,
    _draw,
    _logger,
    _table,
    _value,
)

from tastemaker.explore.learn.softmax import Weights
from tastemaker.explore.learn.space import Rows
from tastemaker.explore.ledger.ledger import Ledger, bank


def test_balanced_weights_average_one_under_each_logger() -> None:
    other = imitate(ROWS, FAST, 0)
    policy = SPACE.policy(other)
    second = SPACE.rows(_draw(policy, 1500, "second"))
    pooled = balanced(
        [ROWS, second], [lambda rows: _logger().probabilities[rows.context, rows.action], player(other)]
    )
    expected = np.array(
        [
            (3000 * _logger().probabilities[c, a] + 1500 * policy.probabilities[c, a]) / 4500
            for c, a in zip(pooled.context, pooled.action, strict=True)
        ]
    )
    assert np.allclose(pooled.propensity, expected, rtol=1e-4)


def test_the_clipped_bound_by_hand() -> None:
    weight, reward = np.array([0.5, 2.0, 300.0, 1.0]), np.array([1.0, 0.0, 1.0, 1.0])
    z = np.array([0.5, 0.0, 100.0, 1.0])
    mean, width = clipped_bound(weight, reward, PaperSettings())
    assert mean == pytest.approx(z.mean())
    assert width == pytest.approx(stats.t.ppf(0.95, 3) * z.std(ddof=1) / 2)


def test_safe_opg_obeys_the_ceiling_of_novelty_on_every_passing_run() -> None:
    """nu <= 1 - (C + width)/V(pi_A) with V(pi_A) as its own log estimates it, and <= 1 - C/V(pi_A) in truth
    but for delta.
    """
    passing, broken = 0, 0
    for run in range(25):
        rows = SPACE.rows(_draw(_logger(), 1500, f"ceiling {run}"))
        target = 0.95 * float(rows.reward.mean())
        s1, s2 = halves(rows, run)
        result = safe_opg_paper(s1, s2, target, PaperSettings(learner=replace(FAST, entropy=0.3)), run)
        if result.weights is None:
            continue
        passing += 1
        table = _table(result.weights).astype(float)
        old = np.where(WORLD.existing, table, 0.0)
        nu = 1 - float(old.sum(axis=1).mean())
        assert result.bound > target and result.bound == pytest.approx(result.mean - result.width)
        weight = own_probability(result.weights, s2) / s2.propensity
        assert nu <= 1 - (target + result.width) / (float((weight * s2.reward).mean()) / (1 - nu)) + 1e-6
        broken += nu > 1 - target / (_value(old) / (1 - nu))
    assert passing >= 5
    assert broken <= stats.binom.ppf(0.999, passing, 0.05) + 1


def test_depsue_as_published_takes_the_live_means_at_their_word() -> None:
    rewards: list[float] = []

    def deploy(weights_of: Weights | None, rounds: int, k: int) -> Rows:
        policy = _logger() if weights_of is None else SPACE.policy(weights_of)
        rows = SPACE.rows(_draw(policy, rounds, f"live {k}"))
        rewards.append(float(rows.reward.mean()))
        return rows

    target = 0.95 * float(ROWS.reward.mean())
    settings_of = PaperSettings(learner=replace(FAST, steps=15))
    result = depsue_paper(
        ROWS,
        lambda rows: _logger().probabilities[rows.context, rows.action],
        deploy,
        Plan(3, 3000, target, settings_of),
    )
    assert [item.rounds for item in result] == [1000] * 3 and [item.live for item in result] == rewards
    for k, item in enumerate(result, start=1):
        assert item.policy.threshold == pytest.approx(k * target - sum(rewards[: k - 1]))
        assert item.policy.weights is None or item.policy.bound > item.policy.threshold


def test_certified_depsue_keeps_its_promise_over_a_full_loop() -> None:
    """Cumulative value and floor in truth, over 30 loops of K = 3 rounds; the ledger's violations stay within
    delta.
    """
    broken = admitted = 0
    runs, rounds = 30, 4500
    for run in range(runs):
        log = _draw(_logger(), 3000, f"loop {run}")
        loop = Loop(
            _logger(),
            lambda policy, n, k, run=run: _draw(policy, n, f"loop {run} {k}"),  # type: ignore[misc]
            SPACE,
            WORLD.existing,
        )
        result, book = depsue(log, loop, rounds, Ledger(K=3, cap=2.0), CERTIFIED, run)
        values = np.array(
            [BASE if item.serving is None else _value(item.serving.probabilities) for item in result]
        )  # type: ignore[attr-defined]
        earned = np.cumsum(values - 0.95 * BASE)
        broken += bool((earned < 0).any() or (values < 0.90 * BASE).any())
        admitted += sum(item.admitted for item in result)
        served = sum(
            1500 * (value - 0.95 * BASE)
            for item, value in zip(result, values, strict=True)
            if item.serving is not None
        )
        broken += bank(book).low > served
        assert book.gates == 3 and len(book.spent) == 6
        caps = [item.outcome.certificates[0].cap for item in result]
        assert caps == [1.0, *(1.0 if item.serving is None else 2.0 for item in result[:-1])]
    assert broken <= stats.binom.ppf(0.999, runs, 0.05)
    assert admitted >= runs


def test_paper_thresholds_and_closed_form() -> None:
    np.testing.assert_allclose(paper_thresholds(0.95, [1.02, 0.99]), [0.95, 0.88, 0.84], atol=1e-12)
    closed = [round(100 * paper_violation(k), 1) for k in (2, 3, 5)]
    assert closed == [12.2, 17.1, 23.1]
    # Ceiling: with V(pi_A) = 1.2 V0 and width .05 V0 the paper's test leaves nu <= 1 - (C + width)/V(pi_A).
    assert pytest.approx(1 / 6) == 1 - (0.95 + 0.05) / 1.2
