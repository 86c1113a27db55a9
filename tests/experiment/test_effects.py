"""Moments that add, effects against slow obvious versions, and rates over A/A and A/B trials."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.experiment import (
    Metric,
    Moments,
    aa_test,
    check_units,
    cluster_totals,
    clustered,
    effect,
    effects,
    moments,
    non_inferior,
    srm,
    watch,
)
from tastemaker.experiment.moments import batches_of

RATIO = Metric("likes per play", "likes", "plays", "likes_before", "plays_before")
MEAN = Metric("plays", covariate="plays_before")


def users(rng: np.random.Generator, n: int, lift: float = 0.0) -> dict[str, np.ndarray]:
    """Two arms of users with a taste for playing that lasts, likes that follow plays, and `lift` on the
    treated plays.
    """
    taste = rng.gamma(4.0, 1.0, n)
    arm = np.where(rng.permutation(n) % 2 == 0, "treatment", "control")
    plays = rng.poisson(taste * np.where(arm == "treatment", 1 + lift, 1.0)) + 1.0
    before = rng.poisson(taste) + 1.0
    liking = rng.beta(2, 6, n)
    likes = rng.binomial(plays.astype(int), liking) * 1.0
    likes_before = rng.binomial(before.astype(int), liking) * 1.0
    return {"arm": arm, "plays": plays, "plays_before": before, "likes": likes, "likes_before": likes_before}


def test_moments_of_parts_add_to_the_whole() -> None:
    table = pa.table(users(np.random.default_rng(0), 3001))
    whole = moments(table, [MEAN, RATIO])
    parts = [moments(table.slice(start, 997), [MEAN, RATIO]) for start in range(0, 3001, 997)]
    for arm in ("control", "treatment"):
        total = parts[0][arm]
        for part in parts[1:]:
            total = total + part[arm]
        values = np.column_stack(
            [table.filter(pa.compute.equal(table["arm"], arm))[c].to_numpy() for c in total.columns]
        )
        assert total.n == whole[arm].n == len(values)
        assert total.mean == pytest.approx(values.mean(axis=0))
        assert total.covariance(total.columns) == pytest.approx(np.cov(values.T))
        assert whole[arm].scatter == pytest.approx(total.scatter)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_addition_is_exact_wherever_one_cuts(values: list[float], cut: int) -> None:
    array = np.array(values)[:, None]
    joined = Moments.of(("x",), array[:cut]) + Moments.of(("x",), array[cut:])
    assert joined.n == len(values)
    assert joined.mean[0] == pytest.approx(array.mean(), rel=1e-9, abs=1e-6)
    assert joined.scatter[0, 0] == pytest.approx(((array - array.mean()) ** 2).sum(), rel=1e-7, abs=1e-3)


def test_a_reader_an_iterator_and_a_table_read_the_same() -> None:
    table = pa.table(users(np.random.default_rng(1), 500))
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=64))
    first, two, three = (
        moments(table, MEAN),
        moments(reader, MEAN),
        moments(iter(table.to_batches(max_chunksize=50)), MEAN),
    )
    for other in (two, three):
        assert other["control"].mean == pytest.approx(first["control"].mean)
        assert other["treatment"].scatter == pytest.approx(first["treatment"].scatter)
    assert len(list(batches_of(table))) == 1


def test_a_plain_difference_is_the_welch_test() -> None:
    data = users(np.random.default_rng(2), 400, lift=0.1)
    read = moments(pa.table(data), MEAN)
    result = effect(read["treatment"], read["control"], MEAN, "absolute", covariate=False)
    t, c = (data["plays"][data["arm"] == arm] for arm in ("treatment", "control"))
    oracle = stats.ttest_ind(t, c, equal_var=False)
    interval = oracle.confidence_interval()
    assert result.p == pytest.approx(oracle.pvalue) and (result.low, result.high) == pytest.approx(
        (interval.low, interval.high)
    )


def test_cuped_is_the_regression_on_the_covariate() -> None:
    data = users(np.random.default_rng(3), 4000, lift=0.05)
    read = moments(pa.table(data), MEAN)
    result = effect(read["treatment"], read["control"], MEAN, "absolute")
    arm = data["arm"] == "treatment"
    design = np.column_stack([np.ones(4000), arm, data["plays_before"]])
    slope = np.linalg.lstsq(design, data["plays"], rcond=None)[0]
    assert result.value == pytest.approx(slope[1], abs=1e-10)
    residual = data["plays"] - design @ slope
    se = math.sqrt(residual[arm].var(ddof=1) / arm.sum() + residual[~arm].var(ddof=1) / (~arm).sum())
    assert result.se == pytest.approx(se, rel=1e-3)
    assert result.variance_kept < 0.8


def test_the_interval_of_a_lift_and_the_p_of_the_difference_agree() -> None:
    """Fieller's interval holds 0 exactly where the difference is not significant; so do bound and margin."""
    rng = np.random.default_rng(1)
    for run in range(200):
        shares = rng.integers(20, 400, 2)
        x = [rng.gamma(1, 10, n) for n in shares]
        arms = [
            Moments.of(("y", "x"), np.column_stack([part + rng.normal(2 * (run % 3), 9, len(part)), part]))
            for part in x
        ]
        result = effect(*arms, Metric("y", covariate="x"))
        if result.reason:
            assert "no bounds" in result.reason or "below 0" in result.reason
            continue
        assert (result.p < 0.05) == (result.low > 0 or result.high < 0)
        absolute = effect(*arms, Metric("y", covariate="x"), "absolute")
        assert result.p == absolute.p
        assert non_inferior(result, 0.1).passed == (non_inferior(result, 0.1).p < 0.05)


def test_a_treatment_without_a_single_event_has_no_relative_lift() -> None:
    rng = np.random.default_rng(5)
    arms = [
        Moments.of(("skips",), rate * np.ones((500, 1)) * (rng.random((500, 1)) < 0.02)) for rate in (0, 1)
    ]
    result = effect(*arms, Metric("skips"))
    assert math.isnan(result.value) and "ask for absolute" in result.reason
    assert effect(*arms, Metric("skips"), "absolute").p < 0.05


def test_a_ratio_has_the_printed_variance() -> None:
    data = users(np.random.default_rng(4), 2000)
    read = moments(pa.table(data), RATIO)
    result = effect(read["treatment"], read["control"], RATIO, "absolute", covariate=False)
    total, value = 0.0, {}
    for arm in ("treatment", "control"):
        y, x = (data[name][data["arm"] == arm] for name in ("likes", "plays"))
        ratio = y.mean() / x.mean()
        cov = np.cov(y, x)
        total += (cov[0, 0] - 2 * ratio * cov[0, 1] + ratio**2 * cov[1, 1]) / (len(x) * x.mean() ** 2)
        value[arm] = ratio
    assert result.value == pytest.approx(value["treatment"] - value["control"])
    assert result.se == pytest.approx(math.sqrt(total))
    lift = effect(read["treatment"], read["control"], RATIO, covariate=False)
    assert lift.value == pytest.approx(value["treatment"] / value["control"] - 1)


def test_clusters_read_as_ratios_of_totals() -> None:
    rng = np.random.default_rng(6)
    homes = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    arm = np.where(homes % 2 == 0, "treatment", "control")
    plays = rng.poisson(5, 60)[homes] + rng.poisson(2, len(homes)) * 1.0
    table = pa.table({"home": homes, "arm": arm, "plays": plays})
    metric = Metric("plays")
    totals = cluster_totals(iter(table.to_batches(max_chunksize=17)), "home", metric)
    read = moments(totals, clustered(metric))
    result = effect(read["treatment"], read["control"], clustered(metric), "absolute")
    naive = moments(table, metric)
    assert result.value == pytest.approx(naive["treatment"].mean[0] - naive["control"].mean[0])
    assert result.n == 60 and result.se > effect(naive["treatment"], naive["control"], metric, "absolute").se
    with pytest.raises(InputError, match="cluster '3' is in two arms"):
        cluster_totals(pa.table({"home": [3, 3], "arm": ["a", "b"], "plays": [1.0, 2.0]}), "home", metric)


@pytest.mark.parametrize(("lift", "runs"), [(0.0, 2000), (0.1, 500)])
def test_errors_and_coverage_over_many_trials(lift: float, runs: int) -> None:
    """Fixed, CUPED, ratio and clustered intervals: at most alpha + 3 Monte-Carlo errors miss the truth."""
    rng = np.random.default_rng(7)
    n, homes = 300, np.arange(300) // 3
    missed = np.zeros(4)
    truth = lift * 4.0
    side = homes % 2 == 0
    for _ in range(runs):
        data = users(rng, n, lift)
        treated = data["arm"] == "treatment"
        columns = ("plays", "plays_before", "likes", "likes_before")
        values = np.column_stack([data[name] for name in columns])
        t, c = Moments.of(columns, values[treated]), Moments.of(columns, values[~treated])
        shared = rng.normal(0, 1, 100)[homes] + data["likes"] + side * truth
        totals = np.column_stack([np.bincount(homes, shared), np.bincount(homes) * 1.0])
        ct, cc = (Moments.of(("y", "units"), totals[part]) for part in (side[::3], ~side[::3]))
        read = (
            (effect(t, c, MEAN, "absolute", covariate=False), truth),
            (effect(t, c, MEAN, "absolute"), truth),
            (effect(t, c, RATIO, "absolute"), 0.0),
            (effect(ct, cc, Metric("y", "y", "units"), "absolute"), truth),
        )
        missed += [not result.low <= true <= result.high for result, true in read]
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert np.all(missed / runs <= limit), missed / runs
    assert np.all(missed / runs >= 0.05 - 4 * math.sqrt(0.05 * 0.95 / runs)), missed / runs


def test_sample_ratio_rates() -> None:
    """Alarms: at most .1 % under the promised shares, more than 99 % at 50:51 with a million units."""
    rng = np.random.default_rng(8)
    shares = {"a": 0.5, "b": 0.5}
    null = sum(srm({"a": int(k), "b": 10**6 - int(k)}, shares).alarm for k in rng.binomial(10**6, 0.5, 4000))
    assert null <= stats.binom.ppf(0.999, 4000, 0.001)
    off = np.mean(
        [srm({"a": int(k), "b": 10**6 - int(k)}, shares).alarm for k in rng.binomial(10**6, 50 / 101, 500)]
    )
    assert off > 0.99


def test_the_aa_test_passes_users_and_fails_rows_of_users() -> None:
    rng = np.random.default_rng(9)
    good = aa_test(pa.table({"plays": rng.poisson(5, 400) * 1.0}), Metric("plays"), "key", runs=300)
    assert good.passed and good.rate <= good.limit
    constant = pa.table({"plays": np.zeros(400)})
    with pytest.raises(InputError, match="cannot be tested: 'plays' is 0 for every unit"):
        aa_test(constant, Metric("plays"), "key", runs=100)
    heavy = rng.pareto(0.6, 200) ** 3  # one unit carries everything: a t interval is far from exact
    assert not aa_test(pa.table({"plays": heavy}), Metric("plays"), "key", runs=300).passed


def test_looks_are_intersected_and_refused_when_early() -> None:
    data = users(np.random.default_rng(10), 6000, lift=0.2)
    table = pa.table(data)
    looks = []
    for end in (600, 2000, 4000, 6000):
        read = moments(table.slice(0, end), MEAN)
        looks.append(effect(read["treatment"], read["control"], MEAN))
    seen = watch(looks, planned=6000)
    assert "the first look needs 500" in seen[0].reason and math.isnan(seen[0].low)
    for earlier, later in pairwise(seen[1:]):
        assert later.low >= earlier.low and later.high <= earlier.high and later.p <= earlier.p
    assert seen[-1].low > 0 and seen[-1].fixed_low > seen[-1].low - 1
    with pytest.raises(InputError, match="in time order"):
        watch(looks[::-1], planned=6000, n_min=2)


def test_what_cannot_be_read_says_why() -> None:
    data = users(np.random.default_rng(11), 100)
    table = pa.table(data)
    read = moments(table, [MEAN, RATIO])
    with pytest.raises(InputError, match="arm 'treatment' is empty: no row has it; arms found: control"):
        effects({"control": read["control"]}, [MEAN], "control", "treatment")
    zero = moments(pa.table({"arm": ["a", "a", "b", "b"], "y": [0.0] * 4}), Metric("y"))
    assert "'y' is 0 for every unit of each arm" in effect(zero["a"], zero["b"], Metric("y")).reason
    nothing = moments(pa.table({"arm": ["a", "a", "b", "b"], "y": [0.0, 1.0, 0.0, 0.0]}), Metric("y"))
    assert "control's value is 0" in effect(nothing["a"], nothing["b"], Metric("y")).reason
    assert effect(nothing["a"], nothing["b"], Metric("y"), "absolute").value == 0.5
    single = moments(pa.table({"arm": ["a", "b", "b"], "y": [1.0, 2.0, 3.0]}), Metric("y"))
    assert "treatment arm has 1 unit;" in effect(single["a"], single["b"], Metric("y")).reason
    with pytest.raises(InputError, match="row 3, column 'y' is 'nan', which is no finite number"):
        moments(pa.table({"arm": ["a", "a", "b"], "y": [1.0, 2.0, math.nan]}), Metric("y"))
    with pytest.raises(InputError, match="row 2, column 'arm' is empty"):
        moments(pa.table({"arm": ["a", None], "y": [1.0, 2.0]}), Metric("y"))
    with pytest.raises(InputError, match="column 'z' is missing; the table has arm, y"):
        moments(pa.table({"arm": ["a"], "y": [1.0]}), Metric("z"))
    with pytest.raises(InputError, match="no rows"):
        moments(pa.table({"arm": pa.array([], pa.string()), "y": pa.array([], pa.float64())}), Metric("y"))
    with pytest.raises(InputError, match="row 1, column 'y' is 'many', which is no finite number"):
        moments(pa.table({"arm": ["a"], "y": ["many"]}), Metric("y"))


def test_units_are_counted_once() -> None:
    table = pa.table({"user_id": ["u1", "u2", "u3", "u2"], "arm": ["a", "b", "a", "a"]})
    assert check_units(lambda: table.slice(0, 3), "user_id") == {"a": 2, "b": 1}
    with pytest.raises(InputError, match="unit 'u2' is in two arms: 'b' in row 2 and 'a' in row 4"):
        check_units(lambda: table.to_batches(max_chunksize=3), "user_id")
    with pytest.raises(InputError, match="unit 'u1' comes twice, in rows 1 and 2"):
        check_units(lambda: pa.table({"user_id": ["u1", "u1"], "arm": ["a", "a"]}), "user_id")


def test_third_moments_add_and_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(9)
    rows = rng.gamma(1, 3, (300, 3))
    parts = [Moments.of(("a", "b", "c"), part) for part in (rows[:40], rows[40:41], rows[41:], rows[:0])]
    whole = sum(parts[1:], start=parts[0])
    weights = np.array([1.0, -0.5, 2.0])
    deviation = (rows - rows.mean(axis=0)) @ weights
    assert whole.cubes(weights, ("a", "b", "c")) == pytest.approx(float((deviation**3).sum()))
    assert whole.cubes(weights[:1], ("b",)) == pytest.approx(
        float((rows[:, 1] - rows[:, 1].mean()) ** 3 @ np.ones(300))
    )


@pytest.mark.parametrize("covariate", [False, True])
def test_unequal_arms_of_rare_events_have_even_tails(covariate: bool) -> None:
    """A/A with one person of ten in the control, 40 events there: without the correction some 3.7 % lie above
    and 1.5 % below; interval, p and guardrail go on agreeing.
    """
    rng, tails, runs = np.random.default_rng(4), [0, 0], 3000
    metric = Metric("y", covariate="x" if covariate else "")
    for _ in range(runs):
        y = (rng.random(2000) < 0.1) * 1.0
        rows, few = np.column_stack([y, y + rng.normal(0, 2, 2000)]), rng.random(2000) < 0.1
        arms = [Moments.of(("y", "x"), rows[part]) for part in (~few, few)]
        result = effect(*arms, metric)
        if result.reason:
            continue
        assert (result.p < 0.05) == (result.low > 0 or result.high < 0) and result.contrast.skew < -0.05
        absolute = effect(*arms, metric, "absolute")
        assert (absolute.p < 0.05) == (absolute.low > 0 or absolute.high < 0) and absolute.p == result.p
        test = non_inferior(result, 0.3)
        assert test.passed == (test.p < 0.05)
        tails[0 if result.value > 0 else 1] += result.p < 0.05
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, 0.025)
    assert all(low <= tail <= high for tail in tails), tails
