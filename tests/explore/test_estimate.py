from __future__ import annotations

import gzip
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from recipes.explore.population import served_by
from recipes.explore.shrunk import dros, switch_dr
from tests.explore.worlds import Dense, GivenRewards, dense_world

from tastemaker.errors import InputError
from tastemaker.explore.bounds import Contributions, lower_bound
from tastemaker.explore.estimate.reward import fit_reward_model
from tastemaker.explore.estimate.weighting import (
    clipped_ips,
    dm,
    dr,
    fitted_propensities,
    ips,
    mips,
    offcem,
    paired,
    snips,
)
from tastemaker.explore.policy.softmax import Mixture, TablePolicy, uniform_policy
from tastemaker.explore.table import Columns, Log, check_log
from tastemaker.stats.betting import log_wealth

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "open-bandit"


def plain_log(
    action: list[int], reward: list[float], propensity: list[float], actions: int, **more: object
) -> Log:
    n = len(action)
    names = [f"a{item}" for item in range(actions)]
    return Log(
        np.zeros((n, 1)), np.array(action), np.array(reward, float), np.array(propensity), names, **more
    )  # type: ignore[arg-type]


def test_golden_paired() -> None:
    reward = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    log = plain_log([0] * 6, reward, [0.125] * 6, 1)
    target = np.log(np.maximum(np.array([0.5, 2, 1, 4, 0, 1.5]) * 0.125, 1e-300))
    g = paired(log, target, 0.95)
    np.testing.assert_allclose(g.value, [-0.45, 1.05, 0, 3.05, -0.95, 0], atol=1e-12)
    assert g.low == -0.95
    assert math.exp(log_wealth(g.value, 0.0, g.low, anchor=0.0)) == pytest.approx(1.185605, abs=5e-7)


def test_golden_mips() -> None:
    pi0, pi, q = np.array([0.4, 0.2, 0.4, 0.0]), np.array([0.1, 0.2, 0.2, 0.5]), np.array([1, 1, 0.5, 0.5])
    prefixes = np.array([0, 0, 1, 1])
    logger, policy = TablePolicy(pi0[None], prefixes), TablePolicy(pi[None], prefixes)
    log = plain_log([0, 1, 2], q[:3].tolist(), pi0[:3].tolist(), 4)
    by_prefix, by_action = mips(log, policy, logger=logger), ips(log, policy)
    np.testing.assert_allclose(by_prefix.weight, [0.5, 0.5, 1.75])
    assert pi0[:3] @ by_prefix.value == pytest.approx(0.65) == pi @ q
    assert pi0[:3] @ by_action.value == pytest.approx(0.40)


@pytest.fixture(scope="module")
def world() -> Dense:
    return dense_world(400)


def test_estimators_equal_their_dense_definitions(world: Dense) -> None:
    rows = np.arange(400)
    w, r, qhat = (
        (world.pi / np.maximum(world.pi0, 1e-300))[rows, world.log.action],
        world.log.reward,
        0.9 * world.q + 0.02,
    )
    model = GivenRewards(qhat)
    own, expected = qhat[rows, world.log.action], (world.pi * qhat).sum(axis=1)
    group = np.eye(5)[world.prefixes]
    by_prefix = ((world.pi @ group) / (world.pi0 @ group))[rows, world.prefixes[world.log.action]]
    shrunk = 3 * w / (w**2 + 3)
    below = (world.pi0 @ group)[rows, world.prefixes[world.log.action]]
    prefixed = replace(world.log, prefix_propensity=below)
    for result, value in [
        (ips(world.log, world.policy), w * r),
        (clipped_ips(world.log, world.policy, 2.0), np.minimum(w, 2) * r),
        (dm(world.log, world.policy, model), expected),
        (dr(world.log, world.policy, model), expected + w * (r - own)),
        (switch_dr(world.log, world.policy, model, 1.5), expected + w * (w <= 1.5) * (r - own)),
        (dros(world.log, world.policy, model, 3.0), expected + shrunk * (r - own)),
        (mips(world.log, world.policy, logger=world.logger), by_prefix * r),
        (offcem(prefixed, world.policy, model), expected + by_prefix * (r - own)),
        (paired(world.log, world.policy, 0.9), (w - 0.9) * r),
    ]:
        np.testing.assert_allclose(result.value, value, atol=1e-12, err_msg=result.estimator)
        assert result.low - 1e-12 <= result.value.min()
    assert snips(world.log, world.policy).mean == pytest.approx((w @ r) / w.sum(), abs=1e-12)
    assert ips(world.log, np.log(np.maximum(w * world.log.propensity, 1e-300))).mean == pytest.approx(
        np.mean(w * r)
    )


@pytest.mark.parametrize("scale", [1.0, 0.5], ids=["logistic", "ridge"])
def test_cross_fitted_models_learn_and_never_predict_what_they_saw(scale: float) -> None:
    world = dense_world(3_000)
    # Rewards of another size than r_max ask for a ridge regression instead of a logistic model.
    log = replace(world.log, context=world.log.context[:, :4], reward=scale * world.log.reward)
    model = fit_reward_model(log, world.policy.vectors)
    own = model.at(log.action)
    truth = scale * world.q[np.arange(3_000), log.action]
    # A constant is wrong by the spread of the truth.
    assert np.sqrt(np.mean((own - truth) ** 2)) < 0.75 * truth.std()
    np.testing.assert_allclose(
        model.block(slice(10, 20), slice(3, 9))[:, 2], model.at(np.full(3_000, 5))[10:20]
    )
    flipped = replace(log, reward=np.where(np.arange(3_000) == 7, scale - log.reward, log.reward))
    other = fit_reward_model(flipped, world.policy.vectors)
    assert other.at(log.action)[7] == own[7]


def test_users_share_a_fold_and_odd_logs_still_fit() -> None:
    log = plain_log([0, 1] * 20, [0.0] * 40, [0.5] * 40, 2, user=np.repeat(["u", "v", "w", "x"], 10))
    model = fit_reward_model(log, folds=2)
    assert all(len(set(model.fold[item : item + 10])) == 1 for item in range(0, 40, 10))
    assert model.at(log.action).max() < 1e-12
    with pytest.raises(InputError, match="5 folds of 4 users"):
        fit_reward_model(log, folds=5)
    with pytest.raises(InputError, match="one row for each of the 2 actions"):
        fit_reward_model(log, np.ones((3, 1)))
    half = plain_log([0, 1] * 20, [0.5] * 40, [0.5] * 40, 2)
    assert fit_reward_model(half).at(half.action) == pytest.approx(0.5)


def test_paired_after_the_first_round(world: Dense) -> None:
    mixed = Mixture(world.policy, world.logger, 0.05, 5.0)
    log = Log(
        world.log.context,
        world.log.action,
        world.log.reward,
        np.exp(mixed.log_prob(world.log.context, world.log.action)),
        world.log.actions,
    )
    log = served_by(log, world.logger)
    g = paired(log, world.policy, 0.9, cap=5.0)
    rows = np.arange(400)
    ratio = [dense[rows, log.action] / log.propensity for dense in (world.pi, world.pi0)]
    np.testing.assert_allclose(g.value, (ratio[0] - 0.9 * ratio[1]) * log.reward, atol=1e-9)
    assert g.low == pytest.approx(-4.5) and g.value.min() >= g.low
    with pytest.raises(InputError, match=r"above U = 1\.01"):
        paired(log, world.policy, 0.9, cap=1.01)


def test_bad_estimates_are_refused(world: Dense) -> None:
    log = world.log
    with pytest.raises(InputError, match=r"row 3: log_prob is 0.5; a log-probability is at most 0"):
        ips(log, np.where(np.arange(400) == 2, 0.5, -1.0))
    with pytest.raises(InputError, match="row 1: log_prob is nan"):
        ips(log, np.full(400, np.nan))
    with pytest.raises(InputError, match="one log-probability for each of the 400 rows"):
        ips(log, np.zeros(3))
    with pytest.raises(InputError, match="the policy knows 3 actions and the log 30"):
        ips(log, uniform_policy(3))
    for c in (0.0, 1.1, math.nan):
        with pytest.raises(InputError, match="above 0 and at most 1"):
            paired(log, world.policy, c)
    with pytest.raises(
        InputError, match=r"'prefix' needs the logger's probability .* add a column 'prefix_propensity'"
    ):
        mips(log, world.policy)
    with pytest.raises(InputError, match="is below the action's own propensity"):
        mips(
            Log(
                log.context,
                log.action,
                log.reward,
                log.propensity,
                log.actions,
                prefix_propensity=log.propensity / 2,
            ),
            world.policy,
        )
    with pytest.raises(InputError, match="never plays what was logged"):
        snips(log, np.full(400, -np.inf))
    for bad in (
        lambda: clipped_ips(log, world.policy, 0),
        lambda: switch_dr(log, world.policy, GivenRewards(world.q), -1),
    ):
        with pytest.raises(InputError, match="tau is"):
            bad()


def test_estimated_propensities_are_labelled() -> None:
    table = pa.table({"action": ["a", "b"] * 20, "reward": [0.0, 1.0] * 20})
    log = check_log(table, Columns(), ["a", "b"], logger=fitted_propensities)
    result: list[Contributions] = [
        ips(log, uniform_policy(2)),
        paired(log, uniform_policy(2)),
        snips(log, uniform_policy(2)),
    ]
    assert all(any("estimated" in note for note in item.assumptions) for item in result)


def read_men(logger: str) -> tuple[Log, pa.Table]:
    path = DATA / logger / "men.csv.gz"
    if not path.exists():
        pytest.skip("Open Bandit data is not beside the project")
    table = pyarrow.csv.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))
    columns = Columns(action="item_id", reward="click", propensity="propensity_score", timestamp="-")
    return check_log(table, columns, [str(item) for item in range(34)]), table


def test_open_bandit_men() -> None:
    bts, _ = read_men("bts")
    random, table = read_men("random")
    assert (random.rewarded, bts.rewarded) == (46, 69)
    to_uniform = ips(bts, uniform_policy(34))
    assert to_uniform.mean == pytest.approx(0.00300863, abs=5e-9)
    assert to_uniform.standard_error == pytest.approx(0.00077394, abs=5e-9)
    assert lower_bound(to_uniform, 0.05, "t").low == pytest.approx(0.00173550, abs=5e-9)
    assert snips(bts, uniform_policy(34)).mean == pytest.approx(0.00318942, abs=5e-9)
    assert to_uniform.effective_size == pytest.approx(655.71, abs=5e-3)
    assert to_uniform.weight.max() == pytest.approx(178.2531, abs=5e-5)
    assert to_uniform.weight.mean() == pytest.approx(0.943314, abs=5e-7)
    # The random log, weighed to how often the other logger showed each item at each position.
    assert bts.position is not None and random.position is not None
    shares = np.stack(
        [
            np.bincount(bts.action[bts.position == item], minlength=34) / (bts.position == item).sum()
            for item in (1, 2, 3)
        ]
    )
    at_position = Log(
        random.position[:, None] - 1.0, random.action, random.reward, random.propensity, random.actions
    )
    back = ips(at_position, TablePolicy(shares))
    assert back.mean == pytest.approx(0.00565627, abs=5e-9)
    assert snips(at_position, TablePolicy(shares)).mean == pytest.approx(0.00573986, abs=5e-9)
    assert back.effective_size == pytest.approx(2869.28, abs=5e-3)
    assert back.weight.max() == pytest.approx(7.484277, abs=5e-7)
    assert table.num_rows == 10_000
