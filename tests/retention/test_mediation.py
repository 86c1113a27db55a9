"""Path tests: oracles for both logits, the verdicts of the three worlds, error rates, refusals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from tastemaker.errors import InputError
from tastemaker.retention.mediation.verdict import claim, mediation_tests
from tastemaker.retention.mediation.within import (
    MediationSettings,
    clustered_logit,
    clustered_slope,
    dealt_effect,
    item_means,
)
from tastemaker.simulate.retention import (
    PATHS,
    ListenerWorld,
    ask,
    draw_listeners,
    draw_pairs,
    draw_slates,
    returns,
)

CONTROLS = MediationSettings(controls=("history", "sameday", "like"))


def rows(path: str, listeners: int, key: int | str = 1, **settings: object) -> pa.Table:
    world = ListenerWorld.of(path, listeners=listeners, items=300, **settings)
    return returns(world, ask(world, draw_pairs(world, draw_listeners(world, key), key), key), key)


def repeated(n_users: int = 200, days: int = 4, seed: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), days)
    x = rng.normal(size=(len(users), 2))
    own = rng.normal(size=n_users)[users]
    y = (rng.random(len(users)) < 1 / (1 + np.exp(-(x @ [0.7, -0.4] + own)))).astype(float)
    return x, y, users


def test_the_clustered_logit_agrees_with_statsmodels() -> None:
    import statsmodels.api as sm

    x, y, users = repeated()
    design = np.column_stack([x, np.ones(len(y))])
    b, cov = clustered_logit(design, y, users)
    fit = sm.Logit(y, design).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": users, "use_correction": False}
    )
    groups = users.max() + 1
    assert b == pytest.approx(fit.params, abs=1e-8)
    assert cov == pytest.approx(fit.cov_params() * groups / (groups - 1), rel=1e-6)


def test_the_clustered_slope_is_least_squares() -> None:
    import statsmodels.api as sm

    x, y, users = repeated()
    slope, error = clustered_slope(x[:, 0], y, users)
    fit = sm.OLS(y, sm.add_constant(x[:, 0])).fit(
        cov_type="cluster", cov_kwds={"groups": users, "use_correction": False}
    )
    groups = users.max() + 1
    assert slope == pytest.approx(fit.params[1]) and error == pytest.approx(
        fit.bse[1] * np.sqrt(groups / (groups - 1))
    )
    assert np.isnan(clustered_slope(np.ones(len(y)), y, users)[0])


@pytest.mark.parametrize("path", PATHS)
def test_each_world_gets_its_verdict(path: str) -> None:
    table = rows(path, 8_000)
    tests = mediation_tests(table, draw_slates(table, 300), settings=CONTROLS)
    assert tests.verdict == path
    assert claim(tests).verdict == ("supported" if path == "item" else "not supported")
    alone = mediation_tests(table, settings=CONTROLS)
    assert alone.verdict == ("user" if path == "user" else "unknown")
    once = mediation_tests(table.filter(np.asarray(table["day"]) == 0))
    assert once.verdict == "unknown" and "ask the same users again" in once.reason


def test_the_within_user_interval_covers_zero_in_the_user_world() -> None:
    # 60 worlds here; 400 in recipes.retention.retentive_mediation. With one slope for a control's two parts
    # this fails.
    runs, wrong = 60, 0
    for key in range(runs):
        interval = mediation_tests(rows("user", 1_500, f"w{key}"), settings=CONTROLS).within
        assert interval is not None
        wrong += not interval.low <= 0 <= interval.high
    assert binom.ppf(0.005, runs, 0.05) <= wrong <= binom.ppf(0.995, runs, 0.05)


def test_exposure_finds_the_item_and_errs_at_its_level_in_state() -> None:
    rates = {}
    for path, runs in (("state", 60), ("item", 10)):
        detections = 0
        for key in range(runs):
            table = rows(path, 1_500, f"e{key}")
            exposure = mediation_tests(table, draw_slates(table, 300), key=key).exposure
            assert exposure is not None
            detections += exposure.low > 0 or exposure.high < 0
        rates[path] = detections / runs
    assert rates["state"] <= binom.ppf(0.995, 60, 0.05) / 60 and rates["item"] == 1


def test_item_means_know_how_reliable_they_are() -> None:
    rng = np.random.default_rng(1)
    items = rng.integers(0, 100, 20_000)
    quality = rng.normal(size=100)
    every = np.ones(20_000, dtype=bool)
    means, reliability = item_means(quality[items] + rng.normal(size=20_000), items, every, 100)
    assert reliability > 0.95 and np.abs(means - quality).max() < 0.4
    assert item_means(rng.normal(size=20_000), items, every, 100)[1] < 0.3


def test_covariates_sharpen_the_exposure_and_do_not_move_it() -> None:
    rng = np.random.default_rng(2)
    users, known, value = np.arange(5_000), rng.normal(size=5_000), rng.normal(size=5_000)
    y = 2 * known + 0.1 * value + rng.normal(size=5_000)
    plain = dealt_effect(y, users, value, np.zeros(5_000))
    sharp = dealt_effect(y, users, value, np.zeros(5_000), known[:, None])
    assert sharp[1] < 0.6 * plain[1] and abs(sharp[0] - 0.1) < 4 * sharp[1]


def test_unequal_propensities_need_candidates_and_expectations_use_them() -> None:
    table = rows("item", 2_000)
    slates = draw_slates(table, 300)
    uneven = slates.set_column(5, "propensity", pa.array(np.linspace(0.001, 0.01, slates.num_rows)))
    with pytest.raises(InputError, match="unequal propensities; give --candidates"):
        mediation_tests(table, uneven)
    candidates = pa.table(
        {
            "policy_id": ["uniform"] * 300,
            "item_id": [f"item-{i}" for i in range(300)],
            "probability": [1 / 300] * 300,
        }
    )
    with_them, without = mediation_tests(table, uneven, candidates=candidates), mediation_tests(table, slates)
    assert with_them.exposure is not None and without.exposure is not None
    assert with_them.exposure.value == pytest.approx(without.exposure.value, abs=1e-9)
    with pytest.raises(InputError, match="policy 'uniform' of the slates has no candidate"):
        mediation_tests(
            table, slates, candidates=candidates.set_column(0, "policy_id", pa.array(["other"] * 300))
        )


@pytest.mark.parametrize("listeners", [100, 2_000])
def test_items_that_chance_left_undealt_need_no_candidates(listeners: int) -> None:
    """Tables of `simulate listeners --listeners 3000` were refused as not uniform: 1,905 of 2,000 items."""
    table = rows("item", listeners, days=2)
    slates = draw_slates(table, 300)
    expected = {"policy_id": ["uniform"] * 300, "item_id": [f"item-{i}" for i in range(300)]}
    candidates = pa.table(expected | {"probability": [1 / 300] * 300})
    with_them, without = (mediation_tests(table, slates, candidates=given) for given in (candidates, None))
    assert with_them.exposure is not None and without.exposure is not None
    assert without.exposure.value == pytest.approx(with_them.exposure.value, abs=1e-9)


def test_a_policy_over_fewer_items_than_its_propensities_say_is_refused() -> None:
    table = rows("item", 2_000)
    with pytest.raises(
        InputError, match=r"policy 'uniform' has propensity 0\.002 over 300 items, which is not"
    ):
        mediation_tests(table, draw_slates(table, 500))


def of_unequal_lengths(seed: int, gain: float) -> tuple[pa.Table, pa.Table]:
    """Rows and uniform slates; people with a high trait answer high, return, and get three items and not one.
    gain: of the first item's mean, on the log-odds of returning.
    """
    rng = np.random.default_rng(seed)
    people, days, items = 400, 6, 40
    good, trait = rng.normal(size=items), np.repeat(rng.normal(size=people), days)
    sizes, dealt = np.where(trait < 0, 1, 3), rng.integers(0, items, (people * days, 3))
    wanted = 3 + 0.8 * (good[dealt[:, 0]] + trait + rng.normal(size=len(trait)))
    odds = 0.8 * trait + gain * good[dealt[:, 0]]
    requests = [f"r{row}" for row in range(len(trait))]
    shown = pa.table(
        {
            "user_id": np.repeat([f"u{user}" for user in range(people)], days),
            "item_id": [f"i{item}" for item in dealt[:, 0]],
            "day": np.tile(np.arange(days), people),
            "request_id": requests,
            "return": np.clip(np.round(wanted), 1, 5),
            "returned": (rng.random(len(trait)) < 1 / (1 + np.exp(-odds))).astype(float),
        }
    )
    places = [(row, place) for row, size in enumerate(sizes) for place in range(size)]
    slates = pa.table(
        {
            "request_id": [requests[row] for row, _ in places],
            "item_id": [f"i{dealt[row, place]}" for row, place in places],
            "position": [place for _, place in places],
            "propensity": [1 / items] * len(places),
            "policy_id": ["uniform"] * len(places),
        }
    )
    return shown, slates


@pytest.mark.parametrize("given", [False, True])
def test_who_gets_longer_slates_is_no_effect_of_the_items(given: bool) -> None:
    candidates = pa.table(
        {
            "policy_id": ["uniform"] * 40,
            "item_id": [f"i{item}" for item in range(40)],
            "probability": [1 / 20] * 40,
        }
    )
    known = candidates if given else None
    none = [mediation_tests(*of_unequal_lengths(seed, 0.0), candidates=known) for seed in range(8)]
    assert sum(result.verdict == "item" for result in none) <= 1, [result.reason for result in none]
    assert mediation_tests(*of_unequal_lengths(0, 0.6), candidates=known).verdict == "item"
    empty = candidates.set_column(2, "probability", pa.array([0.0] * 40))
    with pytest.raises(InputError, match="'uniform' has no probability above 0"):
        mediation_tests(*of_unequal_lengths(0, 0.0), candidates=empty)


def test_slates_that_do_not_belong_to_the_rows_are_refused() -> None:
    table = rows("item", 200)
    slates = draw_slates(table, 300)
    other = slates.set_column(0, "request_id", pa.array([f"x{i}" for i in range(slates.num_rows)]))
    with pytest.raises(InputError, match=r"propensity|check that request ids agree"):
        mediation_tests(table, other)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("return", 6.0, "row 1, column 'return' is 6"),
        ("returned", 1.0, "must hold both 0 and 1"),
        ("history", None, "row 1, column 'history' is empty"),
    ],
)
def test_bad_rows_are_named(column: str, values: float | None, words: str) -> None:
    table = rows("item", 50)
    place = table.column_names.index(column)
    bad = table.set_column(place, column, pa.array([values] * table.num_rows, pa.float64()))
    with pytest.raises(InputError, match=words):
        mediation_tests(bad, settings=CONTROLS)


def test_a_control_that_separates_is_refused() -> None:
    table = rows("item", 300)
    with pytest.raises(InputError, match="leave it out"):
        mediation_tests(table, settings=MediationSettings(controls=("returned",)))
    with pytest.raises(InputError, match="alpha"):
        MediationSettings(alpha=0.7)
