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
from recipes.explore.bandit import CatalogueSettings, CatalogueWorld, catalogue_world
from recipes.explore.population import Population, imitate, joined, probabilities

from tastemaker.errors import InputError
from tastemaker.explore.estimate.weighting import ips
from tastemaker.explore.gate.certify import GateSettings
from tastemaker.explore.learn.path import (
    LAMBDAS,
    PathSettings,
    learn_path,
    safe_opg,
)
from tastemaker.explore.learn.softmax import NAMES, Name, Settings, ascend, batches, value
from tastemaker.explore.learn.space import Features, Rows, Weights, build_candidates
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, split
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
SPACE = Population(WORLD.vectors, WORLD.prefixes, contexts=WORLD.contexts)
NAMES_OF = list(WORLD.world.actions)


def _draw(policy: TablePolicy, n: int, key: object) -> Log:
    draws = generator(str(key), "rows")
    users = draws.integers(0, USERS, n)
    ctx = users[:, None].astype(float)
    action = policy.sample(ctx, 1, str(key))[:, 0]
    reward = (draws.random(n) < WORLD.q[users, action]) * 1.0
    group = np.exp(policy.prefix_log_prob(ctx, WORLD.prefixes[action]))
    return Log(ctx, action, reward, np.exp(policy.log_prob(ctx, action)), NAMES_OF, prefix_propensity=group)


def _logger(beta: float = 2.0) -> TablePolicy:
    return TablePolicy(WORLD.logger(beta), WORLD.prefixes)


def _value(table: np.ndarray) -> float:
    return float((table * WORLD.q).sum(axis=1).mean())


def _table(weights: Weights) -> np.ndarray:
    return probabilities(weights, WORLD.contexts, WORLD.vectors)


def _learn(rows: Rows, objective: Name, imitation: float, learner: Settings) -> Weights:
    return learn_path(rows, PathSettings((imitation,), objective=objective, learner=learner), 0)[0]


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
    table = torch.tensor(np.log(_table(weights_of)))
    result = float(value("ips", ROWS, FAST)(replace(batch, log_probs=table)))
    assert result == pytest.approx(ips(LOG, SPACE.policy(weights_of)).mean / LOG.reward.mean(), rel=1e-4)


def test_opg_beats_the_logger_and_imitation_matches_it() -> None:
    wide = SPACE.rows(_draw(_logger(), 20_000, "wide"))
    best = _learn(wide, "clipped_ips", 0.0, replace(FAST, steps=100))
    copy = imitate(wide, replace(FAST, steps=200, bias=1.0), 0)
    assert _value(_table(best)) > 1.15 * BASE
    assert abs(_value(_table(copy)) / BASE - 1) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_every_objective_learns_something(name: str) -> None:
    result = _learn(ROWS, name, 0.1, FAST)  # type: ignore[arg-type]
    assert _value(_table(result)) > BASE


FEATURED = replace(LOG, context=WORLD.contexts[LOG.context[:, 0].astype(int)])


def test_the_path_leaves_the_logger_step_by_step() -> None:
    space = Features(WORLD.vectors)
    rows = space.rows(FEATURED)
    trained = learn_path(rows, PathSettings(LAMBDAS, learner=replace(FAST, steps=200)), 0)
    policies = [space.policy(weights) for weights in trained]
    fits = [float(policy.log_prob(FEATURED.context, FEATURED.action).mean()) for policy in policies]
    assert all(a > b - 0.01 for a, b in pairwise(fits)) and fits[0] > fits[-1] + 0.05
    values = [float(ips(FEATURED, policy).mean) for policy in policies]
    assert values[-1] > values[0]
    assert rows.contexts.shape == (USERS, 4)
    with pytest.raises(InputError, match="falling"):
        learn_path(rows, PathSettings((0.1, 1.0)), 0)


def test_features_and_population_are_the_same_policy() -> None:
    trained = imitate(ROWS, FAST, 0)
    table = _table(trained)
    for allowed in (None, WORLD.existing):
        soft = Features(WORLD.vectors, WORLD.prefixes).policy(trained, allowed)
        numbered = SPACE.policy(trained, allowed)
        action = np.arange(USERS) * 2
        ctx = np.arange(USERS)[:, None] * 1.0
        own = allowed is None or allowed[action]
        assert np.allclose(
            soft.log_prob(WORLD.contexts, action)[own], numbered.log_prob(ctx, action)[own], atol=1e-4
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
    exact = np.log(probabilities(trained, far, WORLD.vectors)[np.arange(USERS), action])
    policy = Features(WORLD.vectors).policy(trained)
    np.testing.assert_allclose(policy.log_prob(far, action), exact, atol=1e-4)
    # One row or many: the same probabilities, to the digits of float32.
    alone = [
        float(policy.log_prob(far[item : item + 1], action[item : item + 1])[0]) for item in range(USERS)
    ]
    np.testing.assert_allclose(alone, policy.log_prob(far, action), atol=1e-5)


def test_minibatches_cover_every_context_and_end_near_the_whole() -> None:
    seen = [item.number for item in batches(ROWS, replace(FAST, batch=5, steps=12), 0)]
    assert set(np.concatenate(seen)) == set(range(USERS)) and all(len(item) == 5 for item in seen)
    small = _learn(ROWS, "clipped_ips", 0.3, replace(FAST, batch=5, steps=150))
    whole = _learn(ROWS, "clipped_ips", 0.3, replace(FAST, steps=150))
    assert _value(_table(small)) == pytest.approx(_value(_table(whole)), rel=0.1)


def test_training_depends_on_the_key_alone() -> None:
    space = Features(WORLD.vectors)
    first, again = (space.policy(_learn(space.rows(FEATURED), "clipped_ips", 0.0, FAST)) for _ in "ab")
    assert first.fingerprint() == again.fingerprint()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(2, 60))
def test_rows_group_without_losing_any(seed: int, n: int) -> None:
    draws = np.random.default_rng(seed)
    context = draws.integers(0, 3, (n, 2)).astype(float)
    log = Log(context, draws.integers(0, ITEMS, n), draws.random(n), np.full(n, 0.5), NAMES_OF)
    rows = Rows.of(log, WORLD.vectors)
    assert np.array_equal(rows.contexts[rows.context], context)
    order, starts = rows.order
    assert all((rows.context[order[starts[c] : starts[c + 1]]] == c).all() for c in range(len(rows.contexts)))
    numbered = joined([SPACE.rows(LOG), SPACE.rows(LOG.take(np.arange(n)))])
    assert len(numbered) == len(LOG) + n
    assert np.array_equal(numbered.context[-n:], LOG.context[:n, 0].astype(int))


CERTIFIED = PathSettings(lambdas=(1.0, 0.3), shares=(0.0, 0.05, 0.2, 0.6), learner=replace(FAST, steps=20))


def test_the_candidate_sequence_has_exactly_the_novelty_it_says() -> None:
    trained = imitate(ROWS, FAST, 0)
    ctx = np.arange(USERS)[:, None] * 1.0
    for share, item in zip(
        (0.0, 0.1, 0.5), build_candidates(SPACE, trained, WORLD.existing, (0.0, 0.1, 0.5)), strict=True
    ):
        assert np.allclose(1 - item.mass(ctx, WORLD.existing), share)


def test_certified_safe_opg_never_certifies_rows_it_learnt_from() -> None:
    parts = split(_draw(_logger(), 6000, "certified"), CERTIFIED.parts, 0)
    result = safe_opg(parts, SPACE, WORLD.existing, GateSettings(), CERTIFIED)
    assert result.passed is not None and result.certificates[0].n == len(parts.certify)
    assert not result.certificates[-1].passed
    hashes = {item.log_hash for item in result.certificates}
    with pytest.raises(InputError, match="opened before"):
        safe_opg(parts, SPACE, WORLD.existing, GateSettings(), CERTIFIED, spent=hashes)


def test_explore_loads_no_torch() -> None:
    names = (
        "tastemaker.explore",
        "tastemaker.explore.gate",
        "tastemaker.explore.ledger",
        "tastemaker.explore.learn.space",
        "tastemaker.flows.explore.certify",
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
        _learn(ROWS, "guess", 0.0, FAST)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="vectors"):
        Rows.of(LOG, WORLD.vectors[:5])
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
