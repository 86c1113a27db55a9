"""What ships and what is refused, exposure logs, and the surrogate index."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from recipes.retention.reported import effect_from_interval

from tastemaker.errors import InputError
from tastemaker.experiment import (
    Decision,
    Plan,
    assign,
    decide,
    first_exposures,
    fit_index,
    index_effect,
    non_inferior,
    srm,
)
from tastemaker.experiment.assign import EXPOSURES
from tastemaker.experiment.effects import Effect, no_effect

SHARES = {"control": 0.5, "treatment": 0.5}
FINE, OFF = (
    srm({"control": 5000, "treatment": 5010}, SHARES),
    srm({"control": 50000, "treatment": 51100}, SHARES),
)
PLAN = Plan(("returns", "sessions"), {"skips": 0.01}, ("likes",), ("low-signal",), horizon="day 1")
WIN = effect_from_interval("returns", 0.03, 0.01)
EVEN = effect_from_interval("sessions", 0.001, 0.01)
SAFE = effect_from_interval("skips", -0.002, 0.004, "down")


def _read(*effects: Effect, ratio: object = FINE, plan: Plan = PLAN) -> Decision:
    return decide(effects, plan, ratio)  # type: ignore[arg-type]


def test_a_win_with_safe_guardrails_ships() -> None:
    decision = _read(WIN, EVEN, SAFE)
    assert decision.verdict == "ship" and decision.exit_code == 0
    assert [line.role for line in decision.lines] == ["primary", "primary", "guardrail"]


@pytest.mark.parametrize(
    ("effects", "ratio", "plan", "reason"),
    [
        ((WIN, EVEN, SAFE), OFF, PLAN, "sample-ratio alarm"),
        ((WIN, EVEN, SAFE), None, PLAN, "sample ratio was not checked"),
        ((WIN, EVEN), FINE, PLAN, "guardrail 'skips' is missing"),
        (
            (WIN, EVEN, no_effect("skips", "all zero")),
            FINE,
            PLAN,
            "guardrail 'skips' has no number: all zero",
        ),
        ((WIN, SAFE), FINE, PLAN, "primary metric 'sessions' is missing"),
        (
            (WIN, EVEN, SAFE, effect_from_interval("saves", 1.0, 0.1)),
            FINE,
            PLAN,
            "metric 'saves' was not declared",
        ),
        (
            (WIN, EVEN, SAFE),
            FINE,
            Plan(("returns", "sessions"), exploratory=("skips",)),
            "no guardrail was declared",
        ),
    ],
)
def test_an_unsound_test_decides_nothing(
    effects: tuple[Effect, ...], ratio: object, plan: Plan, reason: str
) -> None:
    decision = _read(*effects, ratio=ratio, plan=plan)
    assert decision.verdict == "cannot tell" and decision.exit_code == 1
    assert any(reason in line for line in decision.reasons), decision.reasons


def test_no_win_a_loss_and_a_harmed_guardrail_do_not_ship() -> None:
    assert (
        "no primary metric moved"
        in _read(effect_from_interval("returns", 0.001, 0.01), EVEN, SAFE).reasons[0]
    )
    harmed = _read(WIN, EVEN, effect_from_interval("skips", 0.008, 0.006, "down"))
    assert harmed.verdict == "do not ship" and "may be harmed" in harmed.reasons[0]
    loss = _read(WIN, effect_from_interval("sessions", -0.05, 0.01), SAFE)
    assert loss.verdict == "do not ship" and "'sessions' is worse" in loss.reasons[0]
    with pytest.raises(InputError, match="two effects"):
        _read(WIN, WIN, EVEN, SAFE)


def test_cohorts_are_declared_first() -> None:
    low = Effect(
        "returns", 0.05, 0.04, 0.06, 100, "relative", 1e-9, se=0.005, smallest=50, cohort="low-signal"
    )
    decision = _read(WIN, EVEN, SAFE, low)
    assert decision.verdict == "ship" and decision.lines[-1].role == "exploratory"
    other = Effect(
        "returns", 0.05, 0.04, 0.06, 100, "relative", 1e-9, se=0.005, smallest=50, cohort="night owls"
    )
    assert "cohort 'night owls' was not declared" in _read(WIN, EVEN, SAFE, other).reasons[0]


def test_non_inferiority_in_both_directions() -> None:
    se = 0.004 / 1.959963984540054
    up = non_inferior(effect_from_interval("a", -0.002, 0.004), 0.01)
    assert up.bound == pytest.approx(-0.002 - 1.6448536269514722 * se) and up.passed
    down = non_inferior(effect_from_interval("a", 0.002, 0.004, "down"), 0.01)
    assert down.bound == pytest.approx(up.bound) and down.p == pytest.approx(up.p)
    assert not non_inferior(effect_from_interval("a", -0.009, 0.004), 0.01).passed
    with pytest.raises(InputError, match="margin 0"):
        non_inferior(WIN, 0)
    with pytest.raises(InputError, match="declared twice"):
        Plan(("a", "a"))


def _log(rows: list[tuple[str, str, int]]) -> pa.Table:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    times = [start + datetime.timedelta(hours=hour) for _, _, hour in rows]
    columns = {
        "experiment": ["x"] * len(rows),
        "unit": [r[0] for r in rows],
        "arm": [r[1] for r in rows],
        "timestamp": times,
    }
    return pa.table(columns, schema=EXPOSURES)


def test_exposures_agree_with_the_hash() -> None:
    units = [f"u{i}" for i in range(50)]
    arms = assign(units, "x", SHARES)["arm"].to_pylist()
    rows = [(unit, arm, hour) for hour in (5, 2) for unit, arm in zip(units, arms, strict=True)]
    first = first_exposures(_log(rows), "x", SHARES)
    assert first.num_rows == 50 and {time.hour for time in first["timestamp"].to_pylist()} == {2}
    other = {"control": "treatment", "treatment": "control"}
    with pytest.raises(InputError, match=r"unit 'u3' is in two arms.*row 4.*row 51"):
        first_exposures(_log([*rows[:50], ("u3", other[arms[3]], 9)]), "x", SHARES)
    with pytest.raises(InputError, match="row 1, column 'arm': unit 'u0' was shown"):
        first_exposures(_log([("u0", other[arms[0]], 1)]), "x", SHARES)
    with pytest.raises(InputError, match="one experiment a read-out"):
        first_exposures(_log(rows), "y", SHARES)


def test_bad_assignments_are_refused() -> None:
    for shares in ({"a": 1.0}, {"a": 0.5, "b": 0.6}, {"a": 1.2, "b": -0.2}):
        with pytest.raises(InputError, match="shares need"):
            assign(["u"], "x", shares)
    with pytest.raises(InputError, match="unit 'u' comes twice"):
        assign(["u", "v", "u"], "x", SHARES)
    with pytest.raises(InputError, match="salt is empty"):
        assign(["u"], "", SHARES)
    with pytest.raises(InputError, match="row 2"):
        assign(pa.array(["u", None]), "x", SHARES)
    assert srm({"control": 10}, SHARES).counts == {"control": 10, "treatment": 0}
    with pytest.raises(InputError, match="arm 'other' has units but no share"):
        srm({"other": 10}, SHARES)
    with pytest.raises(InputError, match="at least one unit"):
        srm({}, SHARES)


def test_splits_are_even_and_layers_independent() -> None:
    units = [f"user-{i}" for i in range(20000)]
    first, second = (
        assign(units, salt, SHARES)["arm"].to_numpy(zero_copy_only=False) for salt in ("one", "two")
    )
    counts = {arm: int((first == arm).sum()) for arm in SHARES}
    assert not srm(counts, SHARES).alarm
    both = ((first == "control") & (second == "control")).mean()
    assert abs(both - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 20000)


def _history(rng: np.random.Generator, n: int, lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    short = rng.normal([lift, 0.0], 1.0, (n, 2))
    return short, 0.5 + short @ [0.4, 0.2] + rng.normal(size=n)


def test_the_surrogate_interval_covers_the_long_effect() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for run in range(200):
        short, long = _history(rng, 300)
        index = fit_index(short, long, ("plays", "likes"), run, resamples=100)
        estimate = index_effect(index, _history(rng, 300, 0.5)[0], _history(rng, 300)[0])
        covered += estimate.low <= 0.2 <= estimate.high
    assert covered >= 200 * (0.95 - 4 * math.sqrt(0.05 * 0.95 / 200))
    assert any("surrogacy" in assumption for assumption in estimate.assumptions)


def test_bad_history_is_refused() -> None:
    rng = np.random.default_rng(2)
    short, long = _history(rng, 20)
    with pytest.raises(InputError, match="depend on each other"):
        fit_index(np.column_stack([short[:, 0], short[:, 0]]), long, ("a", "b"), 0)
    with pytest.raises(InputError, match="same for every user"):
        fit_index(short, np.ones(20), ("a", "b"), 0)
    with pytest.raises(InputError, match="row 1, column 'b'"):
        fit_index(np.array([[1.0, np.nan]]), [1.0], ("a", "b"), 0)
    few = index_effect(fit_index(short, long, ("a", "b"), 0), short, short[:1])
    assert "1 in the smaller arm" in few.reason
