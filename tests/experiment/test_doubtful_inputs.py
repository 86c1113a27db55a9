"""What was reported of other tools for experiments, from the command line: the right number, or a refusal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats
from tests.conftest import run_command
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError, many
from tastemaker.experiment import Metric
from tastemaker.experiment.effects import number
from tastemaker.experiment.quantiles import Values, effect_of_rows, quantile_effect
from tastemaker.experiment.readout.days import watch
from tastemaker.experiment.surrogate import SurrogatePlan, fit_index, index_effect, index_on_tables

PLAN = 'id = "t"\nprimary = ["m"]\nguardrails = { g = 0.05 }\nplanned = 4000\nn_min = 100\n'
N = 2000

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command on a table and a plan: its exit code, and all that it prints."""

    def ran(command: str, table: pl.DataFrame, plan: str = PLAN, ending: str = "csv") -> tuple[int, str]:
        given = tmp_path / f"given.{ending}"
        if ending == "csv":
            table.write_csv(given)
        else:
            table.write_parquet(given)
        (tmp_path / "plan.toml").write_text(plan)
        words = [command, given, "--plan", tmp_path / "plan.toml", "-q"]
        words += [] if command == "check" else ["--out", tmp_path / "out"]
        code, shown, errors = run_command(capsys, monkeypatch, "experiment", *words)
        return code, shown + errors

    return ran


def people(days: int = 1) -> pl.DataFrame:
    """Two arms of people without any effect, a row each (and day)."""
    rng = np.random.default_rng(4)
    arm = np.where(rng.permutation(N) < N // 2, "control", "treatment")
    parts = [
        {"user_id": [f"u{i}" for i in range(N)], "arm": arm, "day": f"2026-03-0{day + 1}"}
        | {"m": rng.poisson(3, N), "g": rng.poisson(3, N)}
        for day in range(days)
    ]
    return pl.concat([pl.DataFrame(part) for part in parts])


@pytest.mark.parametrize("mean", [2.674, 10.668, 30.67])
def test_the_median_of_counts_between_two_of_them_has_no_number(mean: float) -> None:
    """Half of the people below a step: the median is one count or the next by chance, and was "shown" to
    differ in 43 % of tests without an effect.
    """
    rng = np.random.default_rng(1)
    results = [
        quantile_effect(*(Values(rng.poisson(mean, 1000) * 1.0) for _ in "tc"), Metric("m", quantile=0.5))
        for _ in range(200)
    ]
    assert all(item.reason for item in results)
    assert any("nothing between" in item.reason for item in results)


def test_a_median_is_read_where_values_are_close_enough() -> None:
    """False alarms of rounded values, of few values and of heavy tails, at most as many as allowed."""
    rng = np.random.default_rng(2)
    draws: list[tuple[Callable[[], np.ndarray], float]] = [
        (lambda: np.round(rng.standard_normal(1000), 2), 0.0),
        (lambda: rng.standard_normal(30), 0.02),
        (lambda: np.exp(2 * rng.standard_normal(100)), 0.02),
    ]
    for draw, without in draws:
        results = [
            quantile_effect(Values(draw()), Values(draw()), Metric("m", quantile=0.5), "absolute")
            for _ in range(300)
        ]
        assert np.mean([bool(item.reason) for item in results]) <= without
        assert np.mean([item.p < 0.05 for item in results]) <= 0.09


def test_a_watch_tells_of_lost_units(run: Run) -> None:
    table = people(2)
    lost = table.filter((pl.col("arm") == "control") | pl.col("user_id").str.contains("[1-7]$"))
    assert "sample-ratio" not in run("watch", table)[1].lower()
    code, text = run("watch", lost)
    assert code == 1
    assert "Verdict: cannot tell" in text
    assert "Sample-ratio alarm" in text


@pytest.mark.parametrize(
    ("column", "cell", "named"),
    [
        ("m", None, "row 3, column 'm' is empty"),
        ("user_id", None, "row 3, column 'user_id' is empty"),
        ("user_id", "NULL", "row 3, column 'user_id' is 'NULL'"),
        ("arm", None, "row 3, column 'arm' is empty"),
        ("arm", "other", "arm 'other' has units but no share"),
    ],
)
def test_a_watch_names_an_empty_cell(run: Run, column: str, cell: str | None, named: str) -> None:
    """An empty metric was added up as 0, and rows of nobody were one person."""
    third = pl.int_range(pl.len()) == 2
    code, text = run(
        "watch", people().with_columns(pl.when(third).then(pl.lit(cell)).otherwise(column).alias(column))
    )
    assert (code, named in text) == (2, True), text


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("names", [("0", "1"), ("false", "true")])
def test_arms_that_are_numbers_are_those_of_the_plan(run: Run, ending: str, names: tuple[str, str]) -> None:
    treated = pl.col("arm") == "treatment"
    arm = treated if names[1] == "true" else treated.cast(pl.Int64)
    table = people().with_columns(arm, (pl.int_range(pl.len()) % 2).alias("cohort"))
    shares = f'shares = {{ "{names[0]}" = 0.5, "{names[1]}" = 0.5 }}'
    plan = f'{PLAN}control = "{names[0]}"\ncohorts = ["1"]\n{shares}\n'
    code, text = run("read", table, plan, ending)
    assert code == 1, text
    assert f"Do not ship '{names[1]}'" in text
    assert "m, 1" in text


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("alpha = 0.95", "alpha is 0.95; give the chance of a false alarm"),
        ("alpha = 5", "alpha is 5.0; give the chance of a false alarm"),
        ("guardrails = { g = 5 }", "guardrail 'g' tolerates 500% of the control"),
    ],
)
def test_a_confidence_is_no_alpha_and_percent_no_share(run: Run, key: str, named: str) -> None:
    """With alpha = .95 a lift with p = .6 was shipped; a harm of 500 % is never reached."""
    plan = PLAN.replace("guardrails = { g = 0.05 }\n", "") if key.startswith("guard") else PLAN
    code, text = run("read", people(), f"{plan}{key}\n")
    assert (code, named in text) == (2, True), text


def test_one_unit_in_an_arm_is_too_few(run: Run) -> None:
    table = people().head(30).with_columns(pl.Series("arm", ["treatment"] + 29 * ["control"]))
    code, text = run("read", table)
    assert code == 1
    assert "too few units" in text


def test_the_largest_float_is_no_number(run: Run) -> None:
    """It stands for a missing value in exports, and its square is infinite."""
    table = people().with_columns(
        pl.when(pl.int_range(pl.len()) == 2).then(sys.float_info.max).otherwise("m").alias("m")
    )
    code, text = run("read", table)
    assert code == 2
    assert "row 3, column 'm'" in text


def test_values_that_hardly_differ_are_no_yes_or_no(run: Run) -> None:
    code, text = run("read", people().with_columns(pl.col("m") + 10**12), PLAN + 'kind = "absolute"\n')
    assert code == 1
    assert "only ever 0" not in text


@pytest.mark.parametrize(
    ("plan", "smaller", "all_units", "alpha"),
    [
        ("", 1.0, 2.0, 0.05),
        ("alpha = 0.01\n", 1.0, 2.0, 0.01),
        ("shares = { control = 0.9, treatment = 0.1 }\n", 5 / 9, 50 / 9, 0.05),
        ("shares = { control = 0.1, treatment = 0.9 }\n", 5 / 9, 50 / 9, 0.05),
        ("shares = { control = 0.5, a = 0.3, b = 0.2 }\n", 0.7, 3.5, 0.025),
    ],
)
def test_units_are_counted_for_the_plan(
    tmp_path: Path, plan: str, smaller: float, all_units: float, alpha: float
) -> None:
    """They were those of two equal arms at alpha = .05 whatever the plan says: with 90/10 and as many units
    the lift was seen in a third of tests. `smaller`, `all_units`: of the units of one of two equal arms.
    """
    table = people().with_columns(arm=pl.lit("control"))
    table.write_csv(tmp_path / "past.csv")
    (tmp_path / "plan.toml").write_text('id = "t"\nprimary = ["m"]\n' + plan)
    words = ("--table", tmp_path / "past.csv", "--plan", tmp_path / "plan.toml", "--lift", 0.05, "--json")
    done = CliRunner().invoke(app, ["experiment", "power", *map(str, words)])
    (row,) = json.loads(done.stdout)["rows"]
    needed = 2 * row["cv"] ** 2 * (stats.norm.isf(alpha / 2) + stats.norm.ppf(0.8)) ** 2 / 0.05**2
    assert row["alpha"] == alpha
    assert row["units_per_arm"] == pytest.approx(smaller * needed, abs=1)
    assert row["units"] == pytest.approx(all_units * needed, abs=10)


def test_the_index_of_few_units_is_not_that_of_many() -> None:
    """By the normal curve it moved in one test in eight of four units an arm without an effect."""
    rng = np.random.default_rng(0)
    past = rng.poisson(3, (1000, 1)) * 1.0
    index = fit_index(past, 2 * past[:, 0] + rng.standard_normal(1000), ["s"], 0)
    results = [index_effect(index, rng.poisson(3, (4, 1)), rng.poisson(3, (4, 1))) for _ in range(600)]
    assert np.mean([item.p < 0.05 for item in results]) <= 0.075
    assert all((item.p < 0.05) == (item.low > 0 or item.high < 0) for item in results)
    assert "too few units" in index_effect(index, rng.poisson(3, (3, 1)), rng.poisson(3, (9, 1))).reason


def test_an_index_is_not_read_in_another_unit() -> None:
    """Minutes in the history and seconds in the test: sixty times the effect, "supported"."""
    rng = np.random.default_rng(1)
    minutes, arm = rng.gamma(3, 1, N), np.where(np.arange(N) % 2, "control", "treatment")
    history = pa.table({"minutes": minutes, "long": 2 * minutes + rng.standard_normal(N)})
    now = rng.gamma(3, 1, N) + 0.3 * (arm == "treatment")
    plan = SurrogatePlan(("minutes",), "long")
    same = index_on_tables(history, pa.table({"arm": arm, "minutes": now}), plan)[1]
    assert same.low < 0.6 < same.high and same.low > 0
    other = index_on_tables(history, pa.table({"arm": arm, "minutes": 60 * now}), plan)[1]
    assert "another unit, or other people" in other.reason


@pytest.mark.parametrize("kind", ["relative", "absolute"])
@pytest.mark.parametrize("price", [0.1, 2.7, 19.99])
def test_a_metric_that_never_varies_has_no_effect(run: Run, price: float, kind: str) -> None:
    """The rounding of its mean was a variance, and "better: +0.0 %, Holm p = 0" shipped it."""
    table = people().with_columns(pl.lit(price).alias("m"))
    code, output = run("read", table, f'kind = "{kind}"\n{PLAN}')
    assert code == 1 and "'m' is the same for every unit of each arm" in output


def test_a_ratio_of_proportional_columns_has_no_effect() -> None:
    """y = .1 x in one arm and .3 x in the other: nothing varies, whatever is left of rounding."""
    x = np.random.default_rng(0).poisson(3, 1000).astype(float)
    for rate, words in ((0.1, "the same for every unit"), (0.3, "is 0.3 for every unit of the treatment")):
        arms = [np.column_stack([level * x, x]) for level in (rate, 0.1)]
        assert words in effect_of_rows(*arms, Metric("y", denominator="x")).reason


def orders(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    """What n people spent and how often they ordered; few of them did."""
    count = (rng.random(n) < share) * (1 + rng.poisson(0.3, n))
    return np.column_stack([np.where(count > 0, count * rng.lognormal(0, 0.7, n), 0), count]).astype(float)


def test_a_ratio_over_one_order_an_arm_is_refused() -> None:
    """One order in each arm of 500: the linearised parts cancel, p was 0, the lift "-64 % (-64 to -64)"."""
    arms = [np.zeros((500, 2)) for _ in "tc"]
    for arm, spent in zip(arms, (0.86, 2.42), strict=True):
        arm[7] = spent, 1
    result = effect_of_rows(*arms, Metric("v", denominator="o"))
    assert result.reason.startswith("too few units: the 500 of the treatment arm count as 1.0")


def test_a_ratio_over_few_orders_keeps_its_error_rate() -> None:
    """Few people of 1,000 order: the true lift was missed in 18 % (at .5 %) of tests, 5 % are due."""
    rng, metric = np.random.default_rng(3), Metric("v", denominator="o")
    results = [
        effect_of_rows(orders(rng, 1000, s), orders(rng, 1000, s), metric) for s in (0.005, 0.008) * 300
    ]
    missed = [not item.low <= 0 <= item.high for item in results if not item.reason]
    assert len(missed) > 200
    assert sum(missed) / len(results) <= stats.binom.isf(1e-3, len(results), 0.05) / len(results)


@pytest.mark.parametrize("treatment", [1, 9])
def test_looks_at_rare_events_never_contradict_their_p(treatment: int) -> None:
    """Looks at few events, with arms that have none: "effect shown" exactly where p is below alpha."""
    metric, sizes = Metric("y"), [500, 1000, 2000, 4000]
    for seed in range(60):
        rng = np.random.default_rng((77, seed))
        arms = [(rng.random((4000 * times, 1)) < 0.005) * 1.0 for times in (treatment, 10 - treatment)]
        cut = [[arm[: n * len(arm) // 4000] for arm in arms] for n in sizes]
        for look in watch([effect_of_rows(*pair, metric) for pair in cut], 40000):
            if not look.reason:
                assert (look.p < 0.05) == (look.low > 0 or look.high < 0), (seed, look)


def test_cents_in_one_arm_decide_nothing(run: Run) -> None:
    """An export in cents beside one in euros: "+10197 %" shipped."""
    cents = pl.when(pl.col("arm") == "treatment").then(pl.col("m") * 100).otherwise(pl.col("m"))
    code, output = run("read", people().with_columns(cents))
    assert code == 1 and "'m' is 10" in output and "another unit there (cents, milliseconds)?" in output
    # Ten times as many people who act is an effect.
    rare = (pl.col("arm") == "treatment") & (pl.col("m") > 0) | (pl.int_range(pl.len()) % 90 == 0)
    assert "another unit" not in run("read", people().with_columns(rare.cast(pl.Int64).alias("m")))[1]


@pytest.mark.parametrize("every", [10, 50])
def test_cents_in_a_few_rows_of_one_arm_decide_nothing(run: Run, every: int) -> None:
    """One row in ten in cents shipped with "+1061 %", one in fifty with "+198 %"."""
    given = people().with_columns((pl.col("m") * 1.0).alias("m"))
    for arm in ("treatment", "control"):
        chosen = (pl.col("arm") == arm) & (pl.int_range(pl.len()) % every == 0)
        code, output = run("read", given.with_columns(pl.when(chosen).then(pl.col("m") * 100).otherwise("m")))
        assert code == 1 and "This test cannot decide." in output and "another unit" in output, output
    # Heavy tails put their largest values into either arm.
    heavy = pl.Series("m", np.random.default_rng(0).pareto(0.8, N) + 1)
    assert "another unit" not in run("read", given.with_columns(heavy))[1]


@pytest.mark.parametrize(("metric", "value"), [("yes", 9), ("yes", 100), ("count", 99), ("count", 999)])
def test_a_value_far_above_all_others_is_named(run: Run, metric: str, value: int) -> None:
    """999 for "not known" among counts, 100 for yes among ones."""
    base = pl.col("m") if metric == "count" else (pl.col("m") > 2).cast(pl.Int64)
    given = people().with_columns(base.alias("m"))
    spiked = pl.when(pl.int_range(pl.len()) % 40 == 0).then(pl.lit(value)).otherwise("m").alias("m")
    assert f"'m' is {value} in 50 of {N:,} units and at most" in run("read", given.with_columns(spiked))[1]
    assert "WARNING" not in run("read", given)[1]


def test_a_metric_that_names_the_arm_is_no_constant(run: Run) -> None:
    """It was "the same for every unit ...: there is nothing to compare", beside means of 1 and 0."""
    arm = (pl.col("arm") == "treatment").cast(pl.Int64).alias("m")
    code, output = run("read", people().with_columns(arm))
    assert code == 1 and "is 1 for every unit of the treatment and 0 for every other" in output
    assert "nothing to compare" not in output and "?." not in output


def test_winsorising_a_rare_metric_to_nothing_is_refused(run: Run) -> None:
    """Its .99 quantile is 0, and "is 0 for every unit" was no true word of the column."""
    rare = people().with_columns((pl.int_range(pl.len()) % 300 == 0).cast(pl.Int64).alias("m"))
    code, output = run("read", rare, f"{PLAN}[metrics.m]\nwinsorise = 0.99\n")
    assert code == 2 and "column 'm' is 0 up to its 0.99 quantile" in output


def test_an_index_without_refits_is_refused() -> None:
    """Its own error would be 0 in every interval."""
    past = np.random.default_rng(0).random((50, 1))
    with pytest.raises(InputError, match="resamples is 0; at least 20 refits"):
        fit_index(past, past[:, 0] * 2 + np.arange(50) % 3, ["s"], 0, resamples=0)


def test_an_index_of_a_constant_outcome_compares_nothing() -> None:
    """The rounding of equal scores was their variance."""
    past = np.random.default_rng(0).random((500, 1))
    index = fit_index(past, past[:, 0] + np.arange(500) % 3 / 10, ["s"], 0)
    result = index_effect(index, np.full((997, 1), 0.1), np.full((1003, 1), 0.1))
    assert result.reason.startswith("the index is the same for every unit")


def test_a_tiny_lift_is_written_with_its_digits() -> None:
    """Not as +0.000000 %."""
    assert number(2.34e-13, "relative") == "+2.34e-11 %"


@pytest.mark.parametrize(("count", "words"), [(0, "0 rows"), (1, "1 row"), (2000, "2,000 rows")])
def test_one_is_no_plural(count: int, words: str) -> None:
    """Not "1 rows"."""
    assert many(count, "row") == words
    assert many(count, "person", "people").endswith("person" if count == 1 else "people")


def test_one_cluster_an_arm_is_one_unit(run: Run) -> None:
    """It was "1 units"."""
    code, output = run("read", people().with_columns(house=pl.col("arm")), f'cluster = "house"\n{PLAN}')
    assert code == 1 and "the treatment arm has 1 unit; at least 2 are needed" in output


def test_the_error_of_an_index_from_little_history_is_in_its_intervals() -> None:
    """Of 100 past people whose long outcome is noisier the more they do 9 % missed the truth, 5 % are due."""
    missed = []
    for run in range(200):
        rng = np.random.default_rng(run)
        past, now, then = (rng.exponential(1, (n, 2)) for n in (100, 4000, 4000))
        now[:, 0] += 0.5
        index = fit_index(past, past.sum(axis=1) + rng.standard_t(3, 100) * past[:, 0], ["a", "b"], run)
        result = index_effect(index, now, then)
        missed.append(not result.low <= 0.5 <= result.high)
    assert np.mean(missed) <= 0.075


def test_cents_in_one_arm_are_told_before_the_end_too(run: Run) -> None:
    """`check` passed, and `watch` said that no effect is excluded."""
    cents = pl.when(pl.col("arm") == "treatment").then(pl.col("m") * 100).otherwise(pl.col("m"))
    code, output = run("watch", people(2).with_columns(cents))
    assert code == 1 and "cannot tell" in output and "another unit there" in output, output
    assert "another unit" not in run("watch", people(2))[1]
    code, output = run("check", people().with_columns(cents))
    assert code == 1 and "another unit there" in output, output
    assert run("check", people())[0] == run("check", people().drop("m", "g"))[0] == 0


def test_points_between_thousands_are_no_decimals(run: Run) -> None:
    """2.743 beside 950 was 2.743: a lift of 14 % was one of -9 %."""
    given = people().with_columns(pl.Series("m", np.random.default_rng(1).integers(100, 5000, N)))
    points = pl.Series("m", [f"{value:,}".replace(",", ".") for value in given["m"]])
    code, output = run("read", given.with_columns(points))
    assert code == 2 and "which is no finite number, but may be" in output, output
    thirds = pl.Series("m", [f"{value / 1000:.3f}" for value in given["m"]])
    assert run("read", given.with_columns(thirds))[0] == 1


@pytest.mark.parametrize("ending", ["\u200b", "\ufeff", "\u00a0"])
def test_characters_that_nobody_sees_make_no_unit_and_no_arm(
    run: Run, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    given = people()
    third = pl.int_range(pl.len()) % 3 == 0
    arms = pl.when(third).then(pl.col("arm") + ending).otherwise("arm")
    assert run("read", given.with_columns(arms))[0] == 1
    assert "characters that nobody sees" in caplog.text
    twice = pl.concat([given, given.head(9).with_columns(pl.col("user_id") + ending)])
    assert "unit 'u0' comes twice" in run("read", twice)[1]


def test_an_arm_in_two_spellings_is_named(run: Run) -> None:
    third = pl.int_range(pl.len()) % 3 == 0
    arms = pl.when(third).then(pl.col("arm").str.to_uppercase()).otherwise("arm")
    code, output = run("read", people().with_columns(arms))
    assert code == 2 and "two spellings of one value" in output, output


def test_a_treatment_beyond_the_history_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plays at five times anything in the history: the line was drawn further, "supported: +20.2"."""
    rng = np.random.default_rng(3)
    users, treated = [f"u{i}" for i in range(N)], np.arange(N) % 2 == 1
    plays = rng.poisson(3, N)
    past = pl.DataFrame({"user_id": users, "plays": plays, "long": plays + rng.standard_normal(N)})
    arm = np.where(treated, "treatment", "control")
    here, then = tmp_path / "results.csv", tmp_path / "past.csv"
    words = (here, "--history", then, "--short", "plays", "--long", "long", "--out", tmp_path / "out", "-q")

    def told(past: pl.DataFrame, now: np.ndarray) -> tuple[int, str]:
        past.write_csv(then)
        pl.DataFrame({"user_id": users, "arm": arm, "plays": now}).write_csv(here)
        code, shown, errors = run_command(capsys, monkeypatch, "experiment", "surrogate", *words)
        return code, shown + errors

    same = rng.poisson(np.where(treated, 3.5, 3))
    assert "supported" in told(past, same)[1] and told(past, same)[0] == 0
    assert told(past[:40], same)[0] == 0  # a small history leaves some outside by chance
    code, output = told(past, np.where(treated, 5 * past["plays"].max(), same))
    assert code == 1 and "cannot tell" in output.lower()
    assert "100% of the units of 'treatment' lie outside the history in 'plays'" in output
    for wrong, message in (
        (pl.concat([past, past[:1]]), "unit 'u0' comes twice"),
        (
            past.with_columns(plays=pl.when(pl.int_range(pl.len()) == 2).then(None).otherwise("plays")),
            "row 3",
        ),
    ):
        code, output = told(wrong, same)
        assert code == 2 and "past.csv: " in output and message in output and "results.csv" not in output
