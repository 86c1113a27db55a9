"""The ledger: thresholds, banking rates, a full simulated loop, alarms, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from recipes.explore.population import served_by
from recipes.explore.worlds import PAIRED_TILTS, paired_world
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.ledger.ledger import Entry, Ledger, admit, bank, margin, record, settle, withdraw
from tastemaker.explore.ledger.watch import watch, watch_holdout
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, Split
from tastemaker.stats.random import generator

SMALL = paired_world()
BASE = SMALL.value(SMALL.logger)


def drawn(n, key, played):
    draws = generator(key, "ledger log")
    action = draws.choice(80, n, p=played)
    log = Log(
        np.zeros((n, 1)),
        action,
        (draws.random(n) < SMALL.q[action]) * 1.0,
        played[action],
        SMALL.world.actions,
    )
    return log if played is SMALL.logger else served_by(log, TablePolicy(SMALL.logger[None, :]))


def gated(ledger, probabilities, key="g", n=60_000, planned=70_000, logger=None):
    """Certify one policy on rows of the logger and record the gate."""
    played = SMALL.logger if logger is None else logger
    settings = GateSettings(
        ledger.c, ledger.gate_delta, margin(ledger, planned), ledger.floor, cap=ledger.cap
    )
    choose, judged = drawn(n // 2, f"{key}2", played), drawn(n, f"{key}3", played)
    parts = Split(choose, choose, judged, f"split {key}")
    result = certify([TablePolicy(probabilities[None, :])], parts, settings, spent=ledger.spent)
    return record(ledger, result), result[0]


def served(policy, n, key, ledger):
    """Gains of n rows of the served mixture."""
    mixed = (1 - ledger.holdout) * policy + ledger.holdout * SMALL.logger
    rows = drawn(n, key, mixed)
    return (policy[rows.action] - ledger.c * SMALL.logger[rows.action]) / mixed[rows.action] * rows.reward


def test_banking_rules_in_the_gaussian_toy():
    """Tight inequalities, standard normal errors: violation in %, final and any round, of three rules (20,000
    runs).
    """
    runs, z = 20_000, stats.norm.ppf(0.95)
    for rounds, final, ever in ((2, 12.2, 16.6), (3, 17.1, 28.4), (5, 23.1, 44.6)):
        draws = np.random.default_rng(rounds)
        gate, banked = draws.normal(size=(2, runs, rounds))
        before = np.c_[np.zeros(runs), np.cumsum(banked, axis=1)[:, :-1]]
        slack = z - gate - before
        share = 100 * (slack < 0)
        assert share[:, -1].mean() == pytest.approx(final, abs=400 * np.sqrt(0.25 / runs))
        assert 100 * (slack < 0).any(axis=1).mean() == pytest.approx(ever, abs=400 * np.sqrt(0.25 / runs))
        split = stats.norm.ppf(1 - 0.05 / (2 * rounds))
        safe = split * (1 + np.sqrt(np.arange(rounds))) - gate - before
        assert (safe < 0).any(axis=1).mean() <= 0.02


def test_bank_bounds_what_was_earned_and_survives_the_store():
    policy = SMALL.tilted(PAIRED_TILTS[2])
    ledger, certificate = gated(Ledger(cap=1.7442), policy)
    ledger = admit(ledger, certificate, 70_000)
    gains = served(policy, 49_000, "s", ledger)
    ledger = settle(ledger, certificate.policy_hash, gains, 70_000)
    result = bank(ledger)
    truth = (SMALL.value(policy) - 0.95 * BASE) * 70_000
    assert truth / 2 < result.low < truth and result.n == 49_000
    assert margin(ledger, 35_000) == pytest.approx(-result.low / 35_000)
    assert ledger.left == 0 and ledger.serving is not None
    again = Ledger(cap=1.7442).with_rows(
        [{"kind": "model", "fingerprint": "x", "note": ""}, *(entry.to_row() for entry in ledger.entries)]
    )
    assert again == ledger
    assert withdraw(ledger, "alarm at row 10").serving is None
    with pytest.raises(InputError, match="no ledger entry"):
        Entry.from_row({"note": "{}"})


def test_bank_of_the_paired_world_has_the_measured_size():
    """Golden: true .167 V0 a round; mean lower bound .133 with the exact U = 1.744, -.070 with U = 1/h
    (70,000 rows, .025).
    """
    policy, runs, n = SMALL.tilted(PAIRED_TILTS[2]), 40, 70_000
    mixed = 0.95 * policy + 0.05 * SMALL.logger
    joint = mixed * SMALL.q
    assert (SMALL.logger / mixed).max() == pytest.approx(1.744, abs=5e-4)
    assert (SMALL.value(policy) - 0.95 * BASE) / BASE == pytest.approx(0.167, abs=5e-4)
    for cap, golden in ((1.7442, 0.133), (20.0, -0.070)):
        ledger, result = Ledger(cap=cap, share=1.0, entries=(Entry("deployed", "p", rounds=n),)), []
        for run in range(runs):
            draws = np.random.default_rng(run)
            rewarded = draws.choice(80, draws.binomial(n, joint.sum()), p=joint / joint.sum())
            gains = np.zeros(n)
            gains[: len(rewarded)] = (policy[rewarded] - 0.95 * SMALL.logger[rewarded]) / mixed[rewarded]
            result.append(bank(settle(ledger, "p", gains, n)).low / n / BASE)
        assert np.mean(result) == pytest.approx(golden, abs=0.01)


def test_bank_exceeds_the_truth_at_most_at_delta():
    # A policy exactly at c earns nothing; 200 runs of four rounds, each looked at (10,000 rows a round).
    policy, ledger = (
        SMALL.worth(0.95),
        replace(Ledger(cap=5.0, delta=0.2), entries=(Entry("deployed", "p", rounds=40_000),)),
    )
    misses, runs = 0, 200
    mixed = 0.95 * policy + 0.05 * SMALL.logger
    rewarded = mixed * SMALL.q
    gain = (policy - 0.95 * SMALL.logger) / mixed
    for run in range(runs):
        draws, now = np.random.default_rng(run), ledger
        for _ in range(4):
            result = np.zeros(7_000)
            count = draws.binomial(7_000, rewarded.sum())
            result[:count] = gain[draws.choice(80, count, p=rewarded / rewarded.sum())]
            now = settle(now, "p", result, 10_000)
            if bank(now).low > 0:
                misses += 1
                break
    assert misses <= stats.binom.ppf(0.999, runs, 0.1)


def test_alarm_at_a_dead_stream_and_rates():
    assert watch(np.zeros(2_000), 0.0063) == 830
    draws, runs, rows = np.random.default_rng(5), 60, 30_000
    at_floor = sum(watch((draws.random(rows) < 0.0063) * 1.0, 0.0063) is not None for _ in range(runs))
    half = [watch((draws.random(rows) < 0.00315) * 1.0, 0.0063) for _ in range(runs)]
    assert at_floor <= stats.binom.ppf(0.999, runs, 0.05)
    assert all(half) and 3_000 < np.median(half) < 5_200


def test_alarm_against_the_holdout():
    good, bad = SMALL.tilted(PAIRED_TILTS[2]), SMALL.worth(0.5)
    result = []
    for policy in (good, bad):
        mixed = 0.95 * policy + 0.05 * SMALL.logger
        rows = drawn(120_000, "h", mixed)
        own, logger = policy[rows.action] / mixed[rows.action], SMALL.logger[rows.action] / mixed[rows.action]
        result.append(watch_holdout(rows.reward, (own, logger), 0.90, 0.05))
    assert result[0] is None and result[1] is not None


def test_ledger_loop_keeps_its_promise():
    """K = 3 deployments of tilts chosen blindly: the sum never falls below 0 more often than delta; good ones
    are deployed.
    """
    runs, violations, deployed = 16, 0, 0
    for run in range(runs):
        draws = np.random.default_rng(run)
        ledger, earned, logger = Ledger(K=3, cap=5.0), 0.0, None
        for k in range(3):
            policy = SMALL.worth(draws.choice([0.93, 1.02, 1.15]))
            ledger, certificate = gated(ledger, policy, f"{run}/{k}", 15_000, 20_000, logger)
            if not certificate.passed:
                continue
            ledger, deployed = admit(ledger, certificate, 20_000), deployed + 1
            ledger = settle(
                ledger, certificate.policy_hash, served(policy, 14_000, f"{run}/{k}/s", ledger), 20_000
            )
            earned += 20_000 * (SMALL.value(policy) - 0.95 * BASE)
            logger = 0.95 * policy + 0.05 * SMALL.logger
            violations += earned < 0
    assert violations <= stats.binom.ppf(0.999, runs, 0.05) and deployed > runs / 2


def test_what_the_ledger_refuses():
    policy = SMALL.tilted(PAIRED_TILTS[2])
    empty = Ledger(K=2)
    assert bank(empty).low == 0 and bank(empty).reason and margin(empty, 10) == 0
    ledger, good = gated(empty, policy)
    assert good.passed and good.log_hash in ledger.spent and ledger.gates == 1
    with pytest.raises(InputError, match="opened before"):
        record(ledger, [good])
    ledger, bad = gated(ledger, SMALL.worth(0.8), "b", 20_000)
    with pytest.raises(InputError, match="no passed certificate"):
        admit(ledger, bad, 100)
    with pytest.raises(InputError, match="latest recorded gate"):
        admit(ledger, good, 100)
    with pytest.raises(InputError, match="all 2 gates"):
        record(ledger, [replace(good, log_hash="new", split_hash="other")])
    first = record(Ledger(K=2, c=0.99, floor=0.9), [good])
    with pytest.raises(InputError, match="does not fit the ledger: c = "):
        admit(first, good, 100)
    with pytest.raises(InputError, match="delta"):
        admit(record(Ledger(K=50), [good]), good, 100)
    with pytest.raises(InputError, match="never deployed"):
        settle(ledger, "nobody", [0.1], 1)
    with pytest.raises(InputError, match="nothing is deployed"):
        withdraw(ledger, "")
    live = admit(gated(empty, policy)[0], gated(empty, policy)[1], 1_000)
    assert live.left == 1_000
    with pytest.raises(InputError, match="at least 65"):
        settle(live, good.policy_hash, np.zeros(10), 100)
    with pytest.raises(
        InputError, match=r"1,001 rounds .* 1,000 planned ones are left.*certify and deploy anew"
    ):
        settle(live, good.policy_hash, np.zeros(1_001), 1_001)
    banked = settle(live, good.policy_hash, np.zeros(700), 700, mark="rows")
    assert banked.left == 300
    with pytest.raises(InputError, match=r"301 rounds .* 300 planned"):
        settle(banked, good.policy_hash, np.zeros(301), 301)
    with pytest.raises(InputError, match="banked before"):
        settle(banked, good.policy_hash, np.zeros(10), 10, mark="rows")
    # What was served before an alarm is banked after it.
    back = withdraw(banked, "alarm")
    assert back.serving is None and back.left == 300
    assert settle(back, good.policy_hash, np.zeros(10), 10, mark="before the alarm").left == 290
    with pytest.raises(InputError, match="impossible with U"):
        settle(live, good.policy_hash, np.full(10, -50.0), 10)
    for wrong in (
        {"c": 0},
        {"floor": 0.99},
        {"delta": 1},
        {"K": 0},
        {"holdout": 0},
        {"cap": 50},
        {"share": 0},
    ):
        with pytest.raises(InputError):
            Ledger(**wrong)
    for call in (
        lambda: watch([2.0], 0.1),
        lambda: watch([0.0], 1.0),
        lambda: watch_holdout([1.0], ([2.0], [1.0]), 0.9, 0.05),
        lambda: watch_holdout([1.0], ([1.0], [1.0]), 0.9, 0.0),
    ):
        with pytest.raises(InputError):
            call()
