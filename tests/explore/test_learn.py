"""Learners: gradients against finite differences, known optima, paths that start at the logger, and what each
mode promises.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.explore.estimate import ips, weights
from tastemaker.explore.gate import GateSettings
from tastemaker.explore.learn.certified import PathSettings, climb, depsue, safe_opg
from tastemaker.explore.learn.fit import LAMBDAS, fit, imitate, learn, path
from tastemaker.explore.learn.objectives import NAMES, value
from tastemaker.explore.learn.paper import (
    PaperSettings,
    balanced,
    depsue_paper,
    halves,
    player,
    safe_opg_paper,
)
from tastemaker.explore.learn.paper.safe_opg import clipped_bound, own_probability
from tastemaker.explore.learn.potec import potec
from tastemaker.explore.learn.rows import Rows, joined
from tastemaker.explore.learn.softmax import Settings, Weights, ascend, batches
from tastemaker.explore.learn.space import Features, NumberedPolicy, Population
from tastemaker.explore.ledger import Ledger, bank
from tastemaker.explore.policy import Mixture, TablePolicy
from tastemaker.explore.table import Log, split
from tastemaker.simulate.bandit.catalogue import CatalogueSettings, CatalogueWorld, catalogue_world
from tastemaker.stats.random import generator

torch.set_num_threads(1)
FAST = Settings(steps=40, learning_rate=0.1)
USERS, ITEMS = 12, 30


def _world(key: int = 0) -> CatalogueWorld:
    draws = generator(key, "test world")
    vectors = draws.standard_normal((ITEMS, 4))
    prefixes = np.arange(ITEMS) % 6
    return catalogue_world(
        vectors, draws.standard_normal((USERS, 4)), CatalogueSettings(gain=1.0), key, prefixes
    )


WORLD = _world()
SPACE = Population(WORLD.contexts, WORLD.vectors, WORLD.prefixes)
NAMES_OF = list(WORLD.world.actions)


def _draw(policy: NumberedPolicy, n: int, key: object) -> Log:
    draws = generator(str(key), "rows")
    users = draws.integers(0, USERS, n)
    ctx = users[:, None].astype(float)
    action = policy.sample(ctx, 1, str(key))[:, 0]
    reward = (draws.random(n) < WORLD.q[users, action]) * 1.0
    group = np.exp(policy.prefix_log_prob(ctx, WORLD.prefixes[action]))
    return Log(ctx, action, reward, np.exp(policy.log_prob(ctx, action)), NAMES_OF, prefix_propensity=group)


def _logger(beta: float = 2.0) -> NumberedPolicy:
    return NumberedPolicy(WORLD.logger(beta), WORLD.prefixes)


def _value(table: np.ndarray) -> float:
    return float((table * WORLD.q).sum(axis=1).mean())


LOG = _draw(_logger(), 3000, "log")
ROWS = SPACE.rows(LOG)
BASE = _value(_logger().probabilities)


@pytest.mark.parametrize("name", NAMES)
def test_objectives_have_the_gradient_of_their_definition(name: str) -> None:
    small = replace(FAST, steps=5)
    batch = next(iter(batches(ROWS, small, 0)))
    goal = value(name, ROWS, small)  # type: ignore[arg-type]
    logits = torch.tensor(
        generator(0).standard_normal((USERS, ITEMS)), dtype=torch.float32, requires_grad=True
    )
    goal(replace(batch, log_probs=torch.log_softmax(logits, 1))).backward()
    assert logits.grad is not None
    step = 1e-2
    for number in range(3):
        direction = torch.tensor(generator(number).standard_normal((USERS, ITEMS)))
        ends = [
            float(
                goal(
                    replace(
                        batch,
                        log_probs=torch.log_softmax(
                            logits.detach().double() + sign * step * direction, 1
                        ).float(),
                    )
                )
            )
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float((logits.grad * direction).sum()) == pytest.approx(slope, abs=2e-3, rel=0.01)


def test_the_ips_objective_is_the_estimate_in_units_of_the_logged_mean() -> None:
    weights_of = imitate(ROWS, FAST, 0)
    batch = next(iter(batches(ROWS, FAST, 0)))
    table = torch.tensor(np.log(weights_of.table(WORLD.contexts, WORLD.vectors)))
    found = float(value("ips", ROWS, FAST)(replace(batch, log_probs=table)))
    assert found == pytest.approx(ips(LOG, SPACE.policy(weights_of)).mean / LOG.reward.mean(), rel=1e-4)


def test_opg_beats_the_logger_and_imitation_matches_it() -> None:
    wide = SPACE.rows(_draw(_logger(), 20_000, "wide"))
    best = learn(wide, "clipped_ips", 0.0, replace(FAST, steps=100), 0)
    copy = imitate(wide, replace(FAST, steps=200, bias=1.0), 0)
    assert _value(best.table(WORLD.contexts, WORLD.vectors)) > 1.15 * BASE
    assert abs(_value(copy.table(WORLD.contexts, WORLD.vectors)) / BASE - 1) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_every_objective_learns_something(name: str) -> None:
    found = learn(ROWS, name, 0.1, FAST, 0)  # type: ignore[arg-type]
    assert _value(found.table(WORLD.contexts, WORLD.vectors)) > BASE


def test_the_path_leaves_the_logger_step_by_step() -> None:
    space = Features(WORLD.vectors)
    featured = replace(LOG, context=WORLD.contexts[LOG.context[:, 0].astype(int)])
    found = path(featured, WORLD.vectors, LAMBDAS, settings=replace(FAST, steps=200))
    fits = [float(one.log_prob(featured.context, featured.action).mean()) for one in found]
    assert all(a > b - 0.01 for a, b in pairwise(fits)) and fits[0] > fits[-1] + 0.05
    values = [float(ips(featured, one).mean) for one in found]
    assert values[-1] > values[0]
    assert space.rows(featured).contexts.shape == (USERS, 4)
    with pytest.raises(InputError, match="falling"):
        path(featured, WORLD.vectors, (0.1, 1.0))


def test_features_and_population_are_the_same_policy() -> None:
    trained = imitate(ROWS, FAST, 0)
    table = trained.table(WORLD.contexts, WORLD.vectors)
    for allowed in (None, WORLD.existing):
        soft = Features(WORLD.vectors, WORLD.prefixes).policy(trained, allowed)
        numbered = SPACE.policy(trained, allowed)
        action = np.arange(USERS) * 2
        ctx = np.arange(USERS)[:, None] * 1.0
        mine = allowed is None or allowed[action]
        assert np.allclose(
            soft.log_prob(WORLD.contexts, action)[mine], numbered.log_prob(ctx, action)[mine], atol=1e-4
        )
    assert np.allclose(table.sum(axis=1), 1, atol=1e-5)


def test_contexts_far_from_zero_cost_no_digits() -> None:
    draws = generator(4)
    near = draws.standard_normal((USERS, 4))
    far = 1e7 + 1e-3 * near
    scale = 1e3 * np.ones(4)
    trained = Weights(
        draws.standard_normal((5, 4)).astype(np.float32), np.zeros(ITEMS, np.float32), np.full(4, 1e7), scale
    )
    action = np.arange(USERS)
    exact = np.log(trained.table(far, WORLD.vectors)[np.arange(USERS), action])
    policy = Features(WORLD.vectors).policy(trained)
    np.testing.assert_allclose(policy.log_prob(far, action), exact, atol=1e-4)
    # One row or many: the same probabilities, to the digits of float32.
    alone = [float(policy.log_prob(far[one : one + 1], action[one : one + 1])[0]) for one in range(USERS)]
    np.testing.assert_allclose(alone, policy.log_prob(far, action), atol=1e-5)


def test_a_numbered_policy_answers_as_the_general_one_does() -> None:
    fast, slow = _logger(), TablePolicy(_logger().probabilities, WORLD.prefixes)
    ctx = generator(1).integers(0, USERS, 50)[:, None] * 1.0
    action = np.flatnonzero(WORLD.existing)[generator(2).integers(0, WORLD.existing.sum(), 50)]
    assert np.allclose(fast.log_prob(ctx, action), slow.log_prob(ctx, action))
    assert np.allclose(
        fast.prefix_log_prob(ctx, WORLD.prefixes[action]), slow.prefix_log_prob(ctx, WORLD.prefixes[action])
    )
    assert np.allclose(fast.mass(ctx, WORLD.existing), slow.mass(ctx, WORLD.existing))
    other = SPACE.policy(imitate(ROWS, FAST, 0))
    mixed, general = SPACE.mixed(other, fast, 0.05, 2.0), Mixture(other, fast, 0.05, 2.0)
    assert np.allclose(mixed.log_prob(ctx, action), general.log_prob(ctx, action))
    assert (fast.probabilities / mixed.probabilities).max() <= 2 + 1e-9


def test_minibatches_cover_every_context_and_end_near_the_whole() -> None:
    seen = [one.number for one in batches(ROWS, replace(FAST, batch=5, steps=12), 0)]
    assert set(np.concatenate(seen)) == set(range(USERS)) and all(len(one) == 5 for one in seen)
    small = learn(ROWS, "clipped_ips", 0.3, replace(FAST, batch=5, steps=150), 0)
    whole = learn(ROWS, "clipped_ips", 0.3, replace(FAST, steps=150), 0)
    assert _value(small.table(WORLD.contexts, WORLD.vectors)) == pytest.approx(
        _value(whole.table(WORLD.contexts, WORLD.vectors)), rel=0.1
    )


def test_training_depends_on_the_key_alone() -> None:
    one, two = (
        fit(replace(LOG, context=WORLD.contexts[LOG.context[:, 0].astype(int)]), WORLD.vectors, settings=FAST)
        for _ in "ab"
    )
    assert one.fingerprint() == two.fingerprint()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(2, 60))
def test_rows_group_and_join_without_losing_any(seed: int, n: int) -> None:
    draws = np.random.default_rng(seed)
    context = draws.integers(0, 3, (n, 2)).astype(float)
    log = Log(context, draws.integers(0, ITEMS, n), draws.random(n), np.full(n, 0.5), NAMES_OF)
    rows = Rows.of(log, WORLD.vectors)
    assert np.array_equal(rows.contexts[rows.context], context) and np.array_equal(rows.asked, context)
    later = log.take(np.arange(n - 1, n // 2, -1))
    both = joined([rows, Rows.of(later, WORLD.vectors)]) if len(later) else joined([rows, rows])
    second = later.context if len(later) else context
    assert np.array_equal(both.asked, np.concatenate([context, second]))
    order, starts = rows.order
    assert all((rows.context[order[starts[c] : starts[c + 1]]] == c).all() for c in range(len(rows.contexts)))


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
        found = safe_opg_paper(s1, s2, target, PaperSettings(learner=replace(FAST, entropy=0.3)), run)
        if found.weights is None:
            continue
        passing += 1
        table = found.weights.table(WORLD.contexts, WORLD.vectors).astype(float)
        old = np.where(WORLD.existing, table, 0.0)
        nu = 1 - float(old.sum(axis=1).mean())
        assert found.bound > target and found.bound == pytest.approx(found.mean - found.width)
        weight = own_probability(found.weights, s2) / s2.propensity
        assert nu <= 1 - (target + found.width) / (float((weight * s2.reward).mean()) / (1 - nu)) + 1e-6
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
    found = depsue_paper(
        ROWS,
        lambda rows: _logger().probabilities[rows.context, rows.action],
        deploy,
        3,
        3000,
        target,
        settings_of,
    )
    assert [one.rounds for one in found] == [1000] * 3 and [one.live for one in found] == rewards
    for k, one in enumerate(found, start=1):
        assert one.found.threshold == pytest.approx(k * target - sum(rewards[: k - 1]))
        assert one.found.weights is None or one.found.bound > one.found.threshold


CERTIFIED = PathSettings(lambdas=(1.0, 0.3), shares=(0.0, 0.05, 0.2, 0.6), learner=replace(FAST, steps=20))


def test_the_ladder_has_exactly_the_novelty_it_says() -> None:
    trained = imitate(ROWS, FAST, 0)
    ctx = np.arange(USERS)[:, None] * 1.0
    for share, one in zip(
        (0.0, 0.1, 0.5), climb(SPACE, trained, WORLD.existing, (0.0, 0.1, 0.5)), strict=True
    ):
        assert np.allclose(1 - one.mass(ctx, WORLD.existing), share)


def test_certified_safe_opg_never_certifies_rows_it_learnt_from() -> None:
    parts = split(_draw(_logger(), 6000, "certified"), CERTIFIED.parts, 0)
    found = safe_opg(parts, SPACE, WORLD.existing, GateSettings(), CERTIFIED)
    assert found.passed is not None and found.certificates[0].n == len(parts[2])
    assert not found.certificates[-1].passed
    hashes = {one.log_hash for one in found.certificates}
    with pytest.raises(InputError, match="opened before"):
        safe_opg(parts, SPACE, WORLD.existing, GateSettings(), CERTIFIED, spent=hashes)


def test_certified_depsue_keeps_its_promise_over_a_full_loop() -> None:
    """Cumulative value and floor in truth, over 30 loops of K = 3 rounds; the ledger's violations stay within
    delta.
    """
    broken = admitted = 0
    runs, rounds = 30, 4500
    for run in range(runs):
        log = _draw(_logger(), 3000, f"loop {run}")
        found, book = depsue(
            log,
            _logger(),
            lambda policy, n, k, run=run: _draw(policy, n, f"loop {run} {k}"),  # type: ignore[misc]
            rounds,
            SPACE,
            WORLD.existing,
            Ledger(K=3, cap=2.0),
            CERTIFIED,
            key=run,
        )
        values = np.array(
            [BASE if one.serving is None else _value(one.serving.probabilities) for one in found]
        )  # type: ignore[attr-defined]
        earned = np.cumsum(values - 0.95 * BASE)
        broken += bool((earned < 0).any() or (values < 0.90 * BASE).any())
        admitted += sum(one.admitted for one in found)
        served = sum(
            1500 * (value - 0.95 * BASE)
            for one, value in zip(found, values, strict=True)
            if one.serving is not None
        )
        broken += bank(book).low > served
        assert book.gates == 3 and len(book.spent) == 6
        caps = [one.found.certificates[0].cap for one in found]
        assert caps == [1.0, *(1.0 if one.serving is None else 2.0 for one in found[:-1])]
    assert broken <= stats.binom.ppf(0.999, runs, 0.05)
    assert admitted >= runs


def test_potec_shares_evidence_within_prefixes() -> None:
    log = _draw(_logger(), 6000, "potec")
    featured = replace(log, context=WORLD.contexts[log.context[:, 0].astype(int)])
    found = potec(featured, WORLD.vectors, WORLD.prefixes, FAST)
    table = np.exp(np.concatenate([block for _, _, block in found.blocks(WORLD.contexts)], axis=1))
    assert np.allclose(table.sum(axis=1), 1, atol=1e-4)
    assert _value(table) > 1.1 * BASE
    within = np.stack([table[:, WORLD.prefixes == e].sum(axis=1) for e in range(6)], axis=1)
    prefix = np.arange(USERS) % 6
    assert np.allclose(
        np.exp(found.prefix_log_prob(WORLD.contexts, prefix)), within[np.arange(USERS), prefix], atol=1e-5
    )
    assert np.isfinite(weights(featured, found)).all()
    with pytest.raises(InputError, match="prefix_propensity"):
        potec(replace(featured, prefix_propensity=None), WORLD.vectors, WORLD.prefixes, FAST)


def test_explore_loads_no_torch() -> None:
    names = (
        "tastemaker.explore",
        "tastemaker.explore.gate",
        "tastemaker.explore.ledger",
        "tastemaker.cli.explore",
    )
    code = f"import sys, {', '.join(names)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_bad_settings_are_told() -> None:
    for wrong in ({"steps": 0}, {"learning_rate": 0.0}, {"entropy": -1.0}, {"clip": 0.0}):
        with pytest.raises(InputError):
            Settings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown"):
        learn(ROWS, "guess", 0.0, FAST, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="vectors"):
        Rows.of(LOG, WORLD.vectors[:5])
    with pytest.raises(InputError, match="reward"):
        fit(replace(LOG, reward=np.zeros(len(LOG))), WORLD.vectors)
    with pytest.raises(InputError, match="rise"):
        PathSettings(shares=(0.2, 0.1))


def test_ascend_starts_where_it_is_told() -> None:
    start = imitate(ROWS, FAST, 0)
    seen: list[Weights] = []
    ascend(
        ROWS,
        lambda batch: 0.0 * batch.log_prob.sum(),
        replace(FAST, steps=1),
        0,
        start,
        lambda _, now: seen.append(now()),
    )
    assert np.allclose(seen[0].matrix, start.matrix, atol=1e-6) and np.allclose(
        seen[0].bias, start.bias, atol=1e-6
    )
