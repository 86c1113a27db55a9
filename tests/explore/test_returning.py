"""Persons who return: certificates, alarms and the bank count each of them once; the short form of
`recipes.explore.returning`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from recipes.explore.returning import World, alarmed, certified, overstated
from scipy import stats
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.explore.bounds import LEAST_UNITS, Contributions, Units, lower_bound
from tastemaker.explore.estimate.weighting import ips
from tastemaker.explore.estimates import estimate_policy
from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.ledger.ledger import Entry, Ledger, bank, settle
from tastemaker.explore.policy.softmax import uniform_policy
from tastemaker.explore.power import Effect, persons_needed
from tastemaker.explore.table import Log, Split
from tastemaker.stats import betting
from tastemaker.store import write_table

WORLD, DELTA, SD = World.drawn(), 0.05, 0.8


def share(runs: list[dict[str, bool]], name: str) -> float:
    return float(np.mean([run[name] for run in runs]))


@pytest.mark.parametrize("people", [(200, 50), (100, 100), (80, 250)])
def test_returning_persons_do_not_make_false_certificates(people: tuple[int, int]) -> None:
    runs = [certified(WORLD, 0.949, people, SD, run, run < 2) for run in range(150)]
    assert share(runs, "persons") <= stats.binom.ppf(0.999, 150, DELTA) / 150
    if people[1] > 50:  # what a bet on rows would do
        assert share(runs, "rows") > stats.binom.ppf(0.95, 150, DELTA) / 150


def test_a_good_policy_passes_where_persons_return_a_little() -> None:
    assert share([certified(WORLD, 1.5, (1_000, 10), SD, run, False) for run in range(40)], "persons") > 0.8


def test_alarm_and_bank_count_persons() -> None:
    for work in (lambda run: alarmed((100, 100), SD, run), lambda run: overstated(WORLD, (40, 250), SD, run)):
        runs = [work(run) for run in range(60)]
        assert share(runs, "persons") <= stats.binom.ppf(0.999, 60, DELTA) / 60 < share(runs, "rows") + 0.05


def clustered(units: int, rows: int, draws: np.random.Generator) -> Contributions:
    """Mean 0 in the population, every unit with a level of its own."""
    own = np.repeat(draws.normal(size=units), rows)
    value = np.clip(0.5 + 0.2 * own + 0.1 * draws.normal(size=units * rows), 0, 1)
    code = np.repeat(np.arange(units), rows)
    return Contributions(value, np.ones(len(value)), 0.0, units=Units("user", code, units))


@pytest.mark.parametrize("method", ["t", "betting"])
def test_bounds_of_clustered_rows_miss_at_delta(method: str) -> None:
    draws, runs, misses, by_rows = np.random.default_rng(3), 120, 0, 0
    for _ in range(runs):
        contributions = clustered(30, 40, draws)
        misses += lower_bound(contributions, DELTA, method).low > 0.5  # type: ignore[arg-type]
        by_rows += lower_bound(contributions.by(None), DELTA, "t").low > 0.5
    assert misses <= stats.binom.ppf(0.999, runs, DELTA) and by_rows > 0.15 * runs


def test_sums_of_one_row_each_are_the_rows() -> None:
    value = np.random.default_rng(0).random(50)
    alone = Contributions(value, np.ones(50), 0.0)
    named = alone.by(Units.of("user", np.arange(50).astype(str)))
    for method in ("t", "betting"):
        assert lower_bound(alone, 0.05, method).low == lower_bound(named, 0.05, method).low  # type: ignore[arg-type]
    # Persons of equal sizes: the bet on their means, whatever the size.
    both = alone.by(Units.of("user", np.repeat(np.arange(25), 2).astype(str)))
    means = value.reshape(25, 2).mean(axis=1)
    assert lower_bound(both, 0.05, "betting").low == pytest.approx(
        betting.lower(means, 0.05, 0.0, fractions=betting.SPARSE_FRACTIONS, anchor=0.0), rel=1e-6
    )
    assert both.standard_error == pytest.approx(means.std(ddof=1) / 5)


def a_log(users: int, rows: int) -> Log:
    draws, n = np.random.default_rng(1), users * rows
    action, reward = draws.integers(0, 4, n), (draws.random(n) < 0.4) * 1.0
    names = np.repeat(np.arange(users), rows).astype(str)
    return Log(np.zeros((n, 1)), action, reward, np.full(n, 0.25), list("abcd"), user=names)


def test_a_few_persons_are_no_basis_however_many_rows() -> None:
    log, policy = a_log(LEAST_UNITS - 1, 500), uniform_policy(4)
    (certificate,) = certify([policy], Split(log, log, log, "few"))
    assert not certificate.tested and "too few persons" in certificate.reason and certificate.units == 19
    (row,) = estimate_policy(log, policy, names=["ips"])
    assert "too few persons" in row.interval.reason
    by_rows = certify([policy], Split(log, log, log, "few"), GateSettings(unit="row"))[0]
    assert by_rows.tested and by_rows.unit == "row" and by_rows.units == len(log)
    assert estimate_policy(log, policy, names=["ips"], unit="row")[0].interval.low > 0.3
    with pytest.raises(InputError, match="no column for it"):
        log.units("request")
    with pytest.raises(InputError, match="unit 'household' is unknown"):
        GateSettings(unit="household")


def test_a_person_of_many_rows_counts_as_most_rows() -> None:
    few, many = a_log(60, 10), a_log(60, 30)
    (certificate,) = certify([uniform_policy(4)], Split(few, few, many, "mixed"))
    assert certificate.most_rows == 10  # what S1 and S2 know
    sums = many.units().sums(many.reward, 10)
    assert sums.size.max() == 10 and sums.mean == pytest.approx(many.reward.mean())
    assert ips(many, uniform_policy(4)).sums().most == 30
    with pytest.raises(InputError, match="most_rows is 0"):
        GateSettings(most_rows=0)


@pytest.mark.parametrize("most", [1, 7, 13, 49, 1_000])
def test_shares_of_the_largest_size_are_shares(most: int) -> None:
    """Persons of very many and very different numbers of rows, whatever rounding makes of their shares."""
    names = np.repeat(np.arange(300), np.random.default_rng(5).integers(1, 5_000, 300)).astype(str)
    units = Units.of("user", names)
    values, sizes = units.sums(np.ones(len(names)), most).scaled
    assert most == 1 or (sizes is not None and sizes.max() <= 1.0)
    assert betting.lower(values, 0.05, 0.0, anchor=0.0, sizes=sizes) > 0.9


def test_the_bank_knows_who_comes_back() -> None:
    ledger = Ledger(cap=5.0).plus(Entry("deployed", "p", rounds=10_000))
    gains, people = np.full(200, 0.4), [f"u{number % 50}" for number in range(200)]
    once = settle(ledger, "p", gains, 200, people=people)
    twice = settle(once, "p", gains, 200, people=people)
    again = ledger.with_rows([entry.to_row() for entry in twice.entries])
    assert again.entries == twice.entries and bank(again).low == bank(twice).low
    strangers = settle(once, "p", gains, 200, people=[f"other {name}" for name in people])
    assert bank(twice).low < bank(strangers).low < 0.4 * 400
    # Whatever share of the rounds is kept: an honest stretch is banked.
    assert bank(settle(ledger, "p", gains, 400, people=people)).low < 0.4 * 400
    with pytest.raises(InputError, match="3 people for 200 rows"):
        settle(ledger, "p", gains, 200, people=["a", "b", "c"])


def test_the_rows_that_power_names_are_enough() -> None:
    effect, level = Effect(lift=0.3, click_rate=0.1, effective=0.6), 0.02
    count = persons_needed(effect, level)
    assert count is not None
    draws, passed, spread = np.random.default_rng(5), 0, np.log(1 / 0.6)
    for _ in range(300):
        rewarded = draws.binomial(count, 0.1)
        weight = 1.3 * np.exp(draws.normal(-spread / 2, np.sqrt(spread), rewarded))
        gains = np.concatenate([weight - 0.95, np.zeros(count - rewarded)])
        passed += betting.log_wealth(gains, 0.0, -0.95, anchor=0.0) >= np.log(1 / level)
    assert abs(passed / 300 - 0.8) < 4 * np.sqrt(0.16 / 300) + 0.02
    more = persons_needed(Effect(0.3, 0.1, 0.6, rows_each=10), level)
    assert more is not None and count / 10 < more < count
    assert persons_needed(Effect(-0.1, 0.1), level) is None
    with pytest.raises(InputError, match="click rate"):
        Effect(0.1, 0.0)


def test_learn_says_how_many_rows_of_a_person_let_evidence_grow(tmp_path: Path) -> None:
    """Most persons have two rows, one in fifty has sixty: bets on sums must allow for sixty."""
    draws = np.random.default_rng(3)
    sizes = np.where(np.arange(1_500) % 50 == 0, 60, 2)
    user, n = np.repeat(np.arange(1_500), sizes), int(sizes.sum())
    action = draws.integers(0, 4, n)
    columns = {
        "user_id": [f"u{number}" for number in user],
        "action": [f"a{number}" for number in action],
        "reward": (draws.random(n) < np.array([0.2, 0.3, 0.4, 0.7])[action]) * 1.0,
        "propensity": np.full(n, 0.25),
    }
    log, run = tmp_path / "log.parquet", tmp_path / "run"
    write_table(log, pa.table(columns))

    def command(*words: object) -> str:
        result = CliRunner().invoke(app, ["explore", *map(str, words), "--quiet"])
        assert result.exit_code in (0, 1), (result.output, result.exception)
        return str(result.stdout)

    advice = re.search(
        r"certify --most-rows (\d)`: persons have up to 60 rows",
        command("learn", log, "--out", run, "--steps", 60),
    )
    assert advice is not None
    gate = ("certify", log, "--run", run, "--ledger", tmp_path / "book.sqlite", "--json")
    refused = json.loads(command(*gate, "--out", tmp_path / "whole"))
    assert not refused["passed"] and refused["certificates"][0]["most_rows"] == 60
    for book in (tmp_path / "book.sqlite", tmp_path / ".tastemaker-spent.sqlite"):
        book.unlink()
    passed = json.loads(command(*gate, "--out", tmp_path / "fewer", "--most-rows", advice.group(1)))
    assert passed["passed"] and passed["certificates"][0]["most_rows"] == int(advice.group(1))
