"""A beam narrower than the catalogue: each request is judged on what it could show, from the log that the
server keeps to the policy that it serves.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from recipes.explore.pools import Shop as Simulated
from recipes.explore.pools import judged
from scipy import stats
from tests.flows.test_deployed_policy import HEAT, Shop

from tastemaker.explore.learn.path import LAMBDAS, PathSettings, learn_path
from tastemaker.explore.learn.softmax import Settings
from tastemaker.explore.learn.space import Features, Rows
from tastemaker.explore.policy.base import Policy, Pooled, Pools
from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy, uniform_policy
from tastemaker.flows.explore.tables import Source, load
from tastemaker.serving.service import open_service

BEAM = 16


@pytest.fixture(scope="module")
def shop(tiny_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Lists from 16 of 64 tunes, served by pi0."""
    root = tmp_path_factory.mktemp("pools") / "workspace"
    shutil.copytree(tiny_workspace, root, ignore=shutil.ignore_patterns("tastemaker.sqlite*"))
    settings = root / "tastemaker.toml"
    settings.write_text(settings.read_text().replace("\nexploration = 0.0", f"\nexploration = {HEAT}"))
    opened = Shop(root, open_service(root))
    opened.serve("pool", 24)
    return opened


def test_the_servers_own_propensities_raise_no_alarm(shop: Shop) -> None:
    report = shop.run("support --policy uniform")
    assert 1 < report["pools"][0] <= report["pools"][1] < 64
    assert abs(report["policy"]["z"]) < 4 and report["policy"]["expected_weight"] == 1.0
    assert not any("propensities may not be" in warning for warning in report["warnings"])
    assert shop.run("estimate --policy uniform")["passed"]
    # Judged on everything that was ever shown, as without pools, most weight would be missing.
    log = load(Source(workspace=shop.root)).log
    everywhere = np.exp(uniform_policy(64).log_prob(log.context, log.action)) / log.propensity
    assert everywhere.mean() < 0.6


def test_a_ladder_plays_its_share_outside_the_pool_of_each_request(shop: Shop) -> None:
    learnt = shop.run(f"learn --out {shop.root / 'run'} --shares 0,0.1 --steps 40 -q")
    assert learnt["novelty"] == pytest.approx([0.0, 0.1] * len(learnt["lambdas"]))
    words = f"certify --run {shop.root / 'run'} --out {shop.root / 'certificate'} --rounds 500 -q"
    certified = shop.run(words, 0)
    mass = [item["on_support_mass"] for item in certified["certificates"]]
    assert mass == pytest.approx([1.0, 0.9] * len(learnt["lambdas"]))
    page = (shop.root / "certificate" / "certificate.md").read_text()
    assert "each request is judged on its own pool" in page
    passed = [place for place, item in enumerate(certified["certificates"], 1) if item["passed"]]
    with_novelty = [place for place in passed if certified["certificates"][place - 1]["novelty"] > 0.05]
    refused = [place for place in range(1, len(mass) + 1) if place not in passed]
    if refused:
        assert not shop.run(f"deploy --run {shop.root / 'run'} --certificate {shop.root / 'certificate'}"
                            f" --candidate {refused[0]} --rounds 500", 1)["passed"]  # fmt: skip
    base = f"deploy --run {shop.root / 'run'} --certificate {shop.root / 'certificate'} --rounds 500"
    assert "no candidate of novelty 0.5" in shop.run(f"{base} --novelty 0.5", 1)["reason"]
    wanted = with_novelty[0] if with_novelty else passed[0]
    deployed = shop.run(f"{base} --candidate {wanted}")
    assert deployed["candidate"] == wanted and deployed["novelty"] <= 0.1 + 1e-9
    live = shop.serve("live", 4)
    assert all(slate.policy_id.startswith("certified-") for slate in live)
    book = json.loads((shop.root / "certificate" / "certificates.json").read_text())
    assert book[wanted - 1]["passed"]
    # What it shows from outside the pools is what it was certified to show there.
    outside = np.mean([slate.rows[0].item_id not in slate.pool for slate in live])
    novelty = certified["certificates"][wanted - 1]["novelty"]
    assert outside <= novelty + 4 * np.sqrt(0.1 / len(live))
    log = load(Source(workspace=shop.root, unit="user")).log
    assert log.reference is not None and (log.reference[~log.pool.holds(log.action)] == 0).all()
    assert shop.run("watch")["alarm"] is None and shop.run("ledger --settle-live")["rounds_left"] >= 0


def test_pooled_policies_are_their_dense_definitions() -> None:
    draws = np.random.default_rng(0)
    base = SoftmaxPolicy(draws.normal(size=(9, 3)), draws.normal(size=(2, 3)), precision="float64")
    context, pools = draws.normal(size=(4, 2)), Pools.of([[0, 3, 4], [1], [2, 5, 6, 8], list(range(9))])
    full = np.exp(np.stack([base.log_prob(context, np.full(4, item)) for item in range(9)], axis=1))
    flags = pools.mask(slice(0, 4), slice(0, 9))
    for inside in (True, False):
        part = flags if inside else np.where(flags.all(axis=1, keepdims=True), flags, ~flags)
        dense = np.where(part, full, 0) / np.where(part, full, 0).sum(axis=1, keepdims=True)
        policy = Pooled(base, inside).within(pools)
        for item in range(9):
            action = np.full(4, item)
            np.testing.assert_allclose(np.exp(policy.log_prob(context, action)), dense[:, item], atol=1e-12)
        blocks = np.concatenate([np.exp(block) for _, _, block in policy.blocks(context)], axis=1)
        np.testing.assert_allclose(blocks, dense, atol=1e-12)
        np.testing.assert_allclose(Pooled(base, inside).in_pool(context, pools), (dense * flags).sum(axis=1))
    mixed = Mixture(Pooled(base), Pooled(base, False), 0.1)
    np.testing.assert_allclose(mixed.in_pool(context, pools), [0.9, 0.9, 0.9, 1.0])
    below = pools.without(Pools.of([[3], [], [2, 8], [0]]))
    assert below.sizes.tolist() == [2, 1, 2, 8]


def test_a_policy_that_starts_from_the_loggers_logits_is_the_logger() -> None:
    draws = np.random.default_rng(1)
    context, rows = draws.normal(size=(3, 2)), [[0, 3, 4], [1, 8], [2, 5, 6, 7]]
    logits = [draws.normal(size=len(row)) for row in rows]
    pools = Pools.of(rows, logits)
    base = SoftmaxPolicy(draws.normal(size=(9, 3)), draws.normal(size=(2, 3)), precision="float64")
    for policy, tilt in ((uniform_policy(9), 0.0), (base, 1.0)):
        anchored = Pooled(policy, anchor=1.0).within(pools)
        blocks = np.concatenate([block for _, _, block in anchored.blocks(context)], axis=1)
        for number, (row, own) in enumerate(zip(rows, logits, strict=True)):
            score = own + tilt * base.at(context, np.tile(row, (3, 1)))[number]
            expected = np.exp(score - np.logaddexp.reduce(score))
            np.testing.assert_allclose(np.exp(blocks[number, row]), expected, atol=1e-12)
            for item, chance in zip(row, expected, strict=True):
                given = np.exp(anchored.log_prob(context, np.full(3, item))[number])
                assert given == pytest.approx(chance, abs=1e-12)
    outside = Pooled(base, False, 1.0).within(pools)  # what the logger could not show has no logit
    plain = Pooled(base, False).within(pools)
    np.testing.assert_allclose(
        outside.log_prob(context, np.full(3, 5)), plain.log_prob(context, np.full(3, 5))
    )
    assert Pooled(base, anchor=1.0).fingerprint() != Pooled(base).fingerprint()


def test_what_the_server_logged_is_learnt_as_a_correction_of_the_logger() -> None:
    """People like what is like what they had, which the logger does not know: few rows tell."""
    draws, n, wide = np.random.default_rng(2), 1500, 12
    vectors = draws.normal(size=(60, 4)) / 2
    pools = np.argsort(draws.random((n, 60)), axis=1)[:, :wide]
    logits = draws.normal(size=pools.shape)
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    place = (chance.cumsum(axis=1) > draws.random((n, 1))).argmax(axis=1)
    context = vectors[draws.integers(0, 60, (n, 3))].mean(axis=1)
    worth = 1 / (1 + np.exp(1 - 6 * np.einsum("nk,nmk->nm", context, vectors[pools])))
    each = np.arange(n)
    action, reward = pools[each, place], (draws.random(n) < worth[each, place]).astype(float)
    known = Pools(pools, logits)
    rows = Rows(context, vectors, each, action, reward, chance[each, place], known)
    space = Features(vectors, pooled=True)

    def value(policy: Policy) -> float:
        logs = [policy.within(known).log_prob(context, column) for column in pools.T]
        return float((np.exp(np.stack(logs, axis=1)) * worth).sum(axis=1).mean())

    logger = value(Pooled(uniform_policy(60), anchor=1.0))
    settings = PathSettings(objective="dr", learner=Settings(steps=60))
    path = learn_path(rows, settings, 0)
    values = [value(space.policy(point)) for point in path]
    assert values[0] == pytest.approx(logger, rel=0.05)  # imitation is the logger
    assert max(values[: len(LAMBDAS)]) > 1.15 * logger  # two parameters
    blind = Rows(context, vectors, each, action, reward, chance[each, place], Pools(pools))
    assert value(space.policy(learn_path(blind, settings, 0)[0])) < 0.98 * max(values)


def test_rates_and_power_on_pools() -> None:
    simulated, runs = Simulated.opened(16, 64), 60
    bad, good = ((simulated.policy(value), simulated.policy(value / 0.9)) for value in (0.949, 1.3))
    results = [judged(simulated, bad, run, run < 2) for run in range(runs)]
    assert max(result["apart"] for result in results) < 1e-12
    assert sum(result["certified"]["novel"] for result in results) <= stats.binom.ppf(0.999, runs, 0.05)
    assert sum(result["certified"]["pool"] for result in results) <= stats.binom.ppf(0.999, runs, 0.05)
    assert sum(abs(result["uniform"][2]) > 3 or abs(result["own"][2]) > 3 for result in results) <= 3
    better = [judged(simulated, good, run, True) for run in range(20)]
    assert all(sum(result["certified"][name] for result in better) >= 15 for name in ("pool", "novel"))
    assert not any(result["certified"]["catalogue"] for result in better)
