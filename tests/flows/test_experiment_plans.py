"""Every key of a plan, from the command line: what it does to the read-out, the check and the watch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tastemaker import experiment
from tastemaker.cli.main import main
from tastemaker.cli.retention.experiment import app
from tastemaker.errors import InputError
from tastemaker.experiment.readout.design import _KNOWN, EXAMPLE

PLAN = 'primary = ["returned"]\nguardrails = { skips = 0.3 }\nmetrics.skips.better = "down"\n'
N = 1200


def _people(rng: np.random.Generator, n: int = N, lift: float = 0.4) -> pl.DataFrame:
    """Results with a true lift of `returned`; homes of three people in one arm; the past; two cohorts."""
    home = np.arange(n) // 3
    treated = home % 2 == 0
    taste = rng.normal(size=n)
    would = (np.arange(n) % 4 < 2) * 1
    columns = {
        "user_id": [f"u{row}" for row in range(n)],
        "arm": np.where(treated, "treatment", "control"),
        "home": [f"h{row}" for row in home],
        "returned": rng.poisson(np.exp(0.3 * taste) * np.where(treated, 1 + lift, 1.0)) * 1.0,
        "before": rng.poisson(np.exp(0.3 * taste)) * 1.0,
        "minutes": rng.gamma(2, 5, n) * (1 + 0.2 * treated),
        "skips": rng.poisson(4, n) * 1.0,
        "likes": rng.poisson(2, n) * 1.0,
        "plays": rng.poisson(5, n) + 1.0,
        "plays_before": rng.poisson(5, n) + 1.0,
        "cohort": np.where(taste < 0, "low", "high"),
        "would_differ": would,
    }
    return pl.DataFrame(columns)


@pytest.fixture(scope="module")
def people() -> pl.DataFrame:
    """Twelve hundred people in four hundred homes."""
    return _people(np.random.default_rng(5))


def run(*words: object, codes: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    """What a command of `experiment` returns as JSON."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in codes, result.output
    return dict(json.loads(result.stdout))


def read(folder: Path, table: pl.DataFrame, plan: str, *words: object) -> dict[str, Any]:
    """The read-out of a table by a plan."""
    (folder / "plan.toml").write_text(plan)
    table.write_csv(folder / "results.csv")
    options = ("--plan", folder / "plan.toml", "--out", folder / "out", *words, "-q")
    return run("read", folder / "results.csv", *options)


def rows(found: dict[str, Any], title: str = "Decision") -> list[dict[str, Any]]:
    """The rows of a table of the report, as mappings."""
    table = next(table for table in found["tables"] if table["title"].startswith(title))
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def _renamed(old: str, new: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda table: table.rename({old: new})


CASES: dict[str, tuple[str, Callable[[pl.DataFrame], pl.DataFrame] | None, str]] = {
    "primary": ('primary = ["minutes"]\nguardrails = { skips = 0.3 }\n', None, "'minutes' is better"),
    "guardrails": (PLAN.replace("0.3", "0.0001"), None, "guardrail 'skips' may be harmed"),
    "exploratory": (PLAN + 'exploratory = ["likes"]\n', None, "explores (Benjamini-Hochberg)"),
    "cohorts": (PLAN + 'cohorts = ["low"]\n', None, "returned, low"),
    "cohort": (PLAN + 'cohorts = ["low"]\ncohort = "group"\n', _renamed("cohort", "group"), "returned, low"),
    "alpha": (PLAN + "alpha = 1e-60\n", None, "no primary metric moved"),
    "horizon": (PLAN + 'horizon = "days 1 to 3"\n', None, "days 1 to 3"),
    "id": (PLAN + 'id = "rr-7"\n', None, "rr-7"),
    "unit": (PLAN + 'unit = "person"\n', _renamed("user_id", "person"), "Ship 'treatment'"),
    "arm": (PLAN + 'arm = "group"\n', _renamed("arm", "group"), "Ship 'treatment'"),
    "control": (
        PLAN + 'control = "off"\nshares = { off = 0.5, treatment = 0.5 }\n',
        lambda table: table.with_columns(pl.col("arm").replace("control", "off")),
        "Ship 'treatment'",
    ),
    "treatment": (
        PLAN + 'treatment = "on"\nshares = { control = 0.5, on = 0.5 }\n',
        lambda table: table.with_columns(pl.col("arm").replace("treatment", "on")),
        "Ship 'on'",
    ),
    "shares": (PLAN + "shares = { control = 0.3, treatment = 0.7 }\n", None, "do not hold their shares"),
    "alarm": (
        PLAN + "alarm = 1e-300\nwarn = 0.5\nshares = { control = 0.47, treatment = 0.53 }\n",
        None,
        "WARNING",
    ),
    "warn": (PLAN + "warn = 0.2\nshares = { control = 0.48, treatment = 0.52 }\n", None, "hardly hold"),
    "kind": (PLAN + 'kind = "absolute"\n', None, "change against control"),
    "metrics": (
        PLAN + 'metrics.returned.numerator = "likes"\nmetrics.returned.denominator = "plays"\n',
        None,
        "no primary",
    ),
    "cluster": (PLAN + 'cluster = "home"\n', None, "clusters of 'home'"),
    "triggered": (PLAN + 'triggered = "would_differ"\n', None, "50.0% of all"),
}


@pytest.mark.parametrize("key", CASES)
def test_a_key_of_a_plan_changes_the_read_out(people: pl.DataFrame, tmp_path: Path, key: str) -> None:
    plan, change, message = CASES[key]
    found = read(tmp_path, change(people) if change else people, plan)
    assert message in json.dumps(found, ensure_ascii=False), found["text"]
    plain = read(tmp_path, people, PLAN)
    assert (
        key in {"guardrails", "metrics", "primary"}
        or message not in json.dumps(plain)
        or key
        in (
            "unit",
            "arm",
            "control",
            "kind",
        )
    )


def test_every_key_is_tried() -> None:
    watched = {"day", "planned", "n_min"}
    assert set(CASES) | watched == _KNOWN
    assert all(
        re.search(rf"\b{key}\b", EXAMPLE)
        for key in _KNOWN - {"unit", "arm", "day", "cohort", "control", "n_min", "alpha"}
    )


def test_looks_take_every_metric_and_guardrail(tmp_path: Path) -> None:
    """day, planned and n_min; a guardrail that is harmed is told although the primary metric moved."""
    rng = np.random.default_rng(8)
    parts = [
        _people(rng, 3000, 0.3).with_columns(
            when=pl.lit(day),
            skips=pl.col("skips") * pl.when(pl.col("arm") == "treatment").then(2).otherwise(1),
        )
        for day in (1, 2, 3)
    ]
    pl.concat(parts).write_parquet(tmp_path / "days.parquet")
    plan = PLAN + 'day = "when"\nplanned = 3000\nn_min = 1000\nexploratory = ["likes", "typical"]\n'
    plan += 'metrics.typical = { numerator = "minutes", quantile = 0.5 }\n'
    (tmp_path / "plan.toml").write_text(plan)
    words = (tmp_path / "days.parquet", "--plan", tmp_path / "plan.toml", "--out", tmp_path / "w", "-q")
    found = run("watch", *words)
    now = {row["metric"]: row["so far"] for row in rows(found, "Every metric")}
    assert now == {
        "returned": "effect shown",
        "skips": "HARMED by more than 30.0 %",
        "likes": now["likes"],
        "typical": "effect shown",
    }
    assert found["because"].startswith("Guardrail 'skips' is harmed: stop") and len(found["figures"]) == 4
    rare = pl.concat(parts).with_columns(
        reports=pl.Series(
            (rng.random(9000) < 0.002) * 1.0
        )  # too few for any bound of a lift at the first looks
    )
    rare.write_parquet(tmp_path / "rare.parquet")
    (tmp_path / "plan.toml").write_text(plan.replace("{ skips = 0.3 }", "{ skips = 0.3, reports = 0.25 }"))
    seen = rows(run("watch", tmp_path / "rare.parquet", *words[1:]), "Looks so far: reports")
    assert any("unlimited" in row["valid at every look"] or row["effect"] == "refused" for row in seen)
    (tmp_path / "plan.toml").write_text(plan.replace("n_min = 1000", "n_min = 1501"))
    assert "the first look needs 1501" in run("watch", *words)["because"]


def test_clusters_are_the_units_from_the_check_to_the_decision(tmp_path: Path) -> None:
    """Six homes without an effect decide nothing; forty hold their level; cohorts are read by home as
    well.
    """
    rng = np.random.default_rng(1)

    def homes(count: int) -> pl.DataFrame:
        home = np.repeat(np.arange(count), 200)
        level = rng.normal(5, 1, count)[home]
        value = level + rng.normal(size=len(home))
        arm = np.where(home % 2 == 0, "treatment", "control")
        ids = [f"u{row}" for row in range(len(home))]
        cohort = np.where(np.arange(len(home)) % 2 == 0, "low", "high")
        columns = {"user_id": ids, "arm": arm, "home": home, "returned": value, "skips": value}
        return pl.DataFrame({**columns, "cohort": cohort})

    plan = PLAN + 'cluster = "home"\ncohorts = ["low"]\n'
    small = read(tmp_path, homes(6), plan)
    assert small["decision"] == "cannot tell" and "3 clusters of 'home'" in small["because"]
    wrong = 0
    for _ in range(8):
        found = read(tmp_path, homes(20), plan)
        line = next(row for row in rows(found) if row["metric"] == "returned")
        wrong += line["outcome"] != "no difference shown"
        assert any(row["metric"] == "returned, low" for row in rows(found))
        assert {row["units"] for row in rows(found, "Sample ratio")} == {"10"}
    assert wrong <= 3  # alpha .05: four or more of eight come in 4 of 10,000 sets
    naive = sum(
        next(row for row in rows(read(tmp_path, homes(20), PLAN)) if row["metric"] == "returned")["outcome"]
        != "no difference shown"
        for _ in range(4)
    )
    assert naive >= 2  # people read as units: nearly every one of these trials is a false alarm
    options = (tmp_path / "results.csv", "--plan", tmp_path / "plan.toml", "--runs", 100, "-q")
    (tmp_path / "plan.toml").write_text(PLAN + 'cluster = "home"\n')
    checked = run("check", *options)
    assert checked["counts"] == {"control": 10, "treatment": 10} and checked["passed"]
    assert checked["rows"] == {"control": 2000, "treatment": 2000}


def test_a_check_tries_what_decides(tmp_path: Path) -> None:
    """The plan's kind and shares: a lift of a rare event with few controls has uneven tails; the KS reason is
    told.
    """
    rng, n = np.random.default_rng(2), 400
    treated = np.arange(n) % 10 > 0
    table = pl.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(n)],
            "arm": np.where(treated, "treatment", "control"),
            "returned": (rng.random(n) < 0.3) * 1.0,
            "skips": np.where(np.arange(n) == 7, 50_000.0, rng.poisson(3, n)),
        }
    )
    plan = PLAN + "shares = { control = 0.1, treatment = 0.9 }\n"
    (tmp_path / "plan.toml").write_text(plan)
    table.write_csv(tmp_path / "results.csv")
    words = (tmp_path / "results.csv", "--plan", tmp_path / "plan.toml", "--runs", 300, "-q")
    trials = run("check", *words)
    assert not trials["trials"]["skips"]["passed"] and trials["exit_code"] == 1
    assert "winsorise it or read a quantile" in trials["trials"]["skips"]["reason"]
    assert trials["trials"]["returned"]["up"] + trials["trials"]["returned"]["down"] == pytest.approx(
        trials["trials"]["returned"]["rate"]
    )
    (tmp_path / "plan.toml").write_text(plan + "metrics.skips.winsorise = 0.95\n")
    assert run("check", *words)["trials"]["skips"]["uniform_p"] > trials["trials"]["skips"]["uniform_p"]


def test_winsorised_metrics_and_quantiles_are_read(people: pl.DataFrame, tmp_path: Path) -> None:
    outlier = pl.int_range(pl.len()) == 3
    table = people.with_columns(minutes=pl.when(outlier).then(5e6).otherwise("minutes"))
    plan = 'primary = ["raw", "cut", "typical"]\nguardrails = { skips = 0.3 }\n'
    plan += 'metrics.raw.numerator = "minutes"\nmetrics.cut = { numerator = "minutes", winsorise = 0.99 }\n'
    plan += 'metrics.typical = { numerator = "minutes", quantile = 0.5 }\n'
    outcomes = {row["metric"]: row["outcome"] for row in rows(read(tmp_path, table, plan))}
    assert outcomes["raw"] == "no number" and outcomes["cut"] == outcomes["typical"] == "better"
    medians = [table.filter(pl.col("arm") == arm)["minutes"].median() for arm in ("treatment", "control")]
    lift = 100 * (medians[0] / medians[1] - 1)  # type: ignore[operator]
    line = next(row for row in rows(read(tmp_path, table, plan)) if row["metric"] == "typical")
    assert f"{lift:+.1f} %" in line["effect (interval)"]
    tied = plan.replace('"minutes", quantile', '"likes", quantile')
    assert "hide" in read(tmp_path, table, tied)["because"]
    few = table.filter((pl.col("arm") == "control") | (pl.int_range(pl.len()) % 9 == 0))
    uneven = json.dumps(read(tmp_path, few, plan + "shares = { control = 0.9, treatment = 0.1 }\n"))
    assert "lies on one side more often" in uneven
    assert "lies on one side more often" not in json.dumps(read(tmp_path, table, plan))
    by_home = read(tmp_path, table, plan + 'cluster = "home"\n')
    line = next(row for row in rows(by_home) if row["metric"] == "typical")
    assert f"{lift:+.1f} %" in line["effect (interval)"] and line["outcome"] == "better"
    assert {row["units"] for row in rows(by_home, "Sample ratio")} == {"200"}


def test_a_median_of_homes_is_read_by_home(tmp_path: Path) -> None:
    """Homes that share a level and no effect: people read as units see effects, homes do not; `check` splits
    homes.
    """
    rng, wrong = np.random.default_rng(11), {"homes": 0, "people": 0}
    plan = 'primary = ["typical"]\nguardrails = { skips = 0.5 }\n'
    plan += 'metrics.typical = { numerator = "minutes", quantile = 0.5 }\n'
    for _ in range(10):
        home = np.repeat(np.arange(40), 25)
        table = pl.DataFrame(
            {
                "user_id": [f"u{row}" for row in range(1000)],
                "arm": np.where(home % 2 == 0, "treatment", "control"),
                "home": home,
                "minutes": np.exp(rng.normal(2, 1, 40)[home] + rng.normal(size=1000)),
                "skips": rng.normal(5, 1, 1000),
            }
        )
        for name, extra in (("homes", 'cluster = "home"\n'), ("people", "")):
            line = next(
                row for row in rows(read(tmp_path, table, plan + extra)) if row["metric"] == "typical"
            )
            wrong[name] += line["outcome"] != "no difference shown"
    assert wrong["homes"] <= 3 and wrong["people"] >= 4
    options = (tmp_path / "results.csv", "--plan", tmp_path / "plan.toml", "--runs", 100, "-q")
    assert not run("check", *options)["trials"]["typical"]["passed"] or wrong["people"] < 10
    (tmp_path / "plan.toml").write_text(plan + 'cluster = "home"\n')
    assert run("check", *options)["trials"]["typical"]["rate"] < 0.2


@pytest.mark.parametrize(
    ("control", "treatment", "better", "verdict", "message"),
    [
        (0.06, 0.0, "down", "ship", "every guardrail is non-inferior"),
        (0.002, 0.0, "down", "do not ship", "guardrail 'reports' may be harmed"),
        (0.0, 0.06, "down", "do not ship", "guardrail 'reports' may be harmed"),
        (0.0, 0.06, "up", "ship", "every guardrail is non-inferior"),
        (0.06, 0.0, "up", "do not ship", "guardrail 'reports' may be harmed"),
        (0.0, 0.0, "down", "cannot tell", "there is nothing to compare"),
    ],
)
def test_a_relative_guardrail_without_events_is_judged_by_those_there_are(
    tmp_path: Path, control: float, treatment: float, better: str, verdict: str, message: str
) -> None:
    rng = np.random.default_rng(2)
    table = _people(rng)
    treated = table["arm"].to_numpy() == "treatment"
    table = table.with_columns(reports=(rng.random(N) < np.where(treated, treatment, control)) * 1.0)
    plan = PLAN.replace("{ skips = 0.3 }", "{ skips = 0.3, reports = 0.25 }")
    plan += f'metrics.reports.better = "{better}"\n'
    found = read(tmp_path, table, plan)
    assert found["decision"] == verdict and message in found["because"].lower(), found["because"]
    table.with_columns(day=pl.lit(1)).write_parquet(tmp_path / "days.parquet")
    (tmp_path / "plan.toml").write_text(plan + "planned = 1200\nn_min = 500\n")
    words = (
        "watch",
        tmp_path / "days.parquet",
        "--plan",
        tmp_path / "plan.toml",
        "--out",
        tmp_path / "w",
        "-q",
    )
    (look,) = rows(run(*words), "Looks so far: reports")
    shown = {"down": "HARMED", "up": "effect shown"}[better] if (control, treatment) == (0.0, 0.06) else ""
    assert (look["so far"] == "effect shown") == (max(control, treatment) == 0.06), look
    assert not shown or shown in json.dumps(rows(run(*words), "Every metric"))


def test_three_arms_share_alpha_and_each_has_its_verdict(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(4), 3000
    arm = np.array(["control", "new", "newer"])[np.arange(n) % 3]
    gain = np.select([arm == "new", arm == "newer"], [0.0, 1.0], 0.0)
    table = pl.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(n)],
            "arm": arm,
            "returned": rng.normal(5 + gain, 1),
            "skips": rng.normal(5, 1, n),
        }
    )
    plan = PLAN + "shares = { control = 0.34, new = 0.33, newer = 0.33 }\n"
    found = read(tmp_path, table, plan)
    assert found["arms"] == {"new": "do not ship", "newer": "ship"} and found["decision"] == "ship"
    assert "Ship 'newer'." in found["because"] and {"returned, new", "returned, newer"} <= {
        row["metric"].removesuffix(" (less is good)") for row in rows(found)
    }
    alone = read(tmp_path, table, plan + 'treatment = "new"\n')
    assert alone["decision"] == "do not ship" and set(alone["arms"]) == {"new"}
    with pytest.raises(InputError, match="treatment arm 'old' has no share"):
        read(tmp_path, table, plan + 'treatment = ["old"]\n')


def test_a_covariate_that_the_arms_do_not_share_decides_nothing(people: pl.DataFrame, tmp_path: Path) -> None:
    spoilt = people.with_columns(
        before=pl.when(pl.col("arm") == "control").then(0.0).otherwise("returned"),
        returned=pl.Series(np.random.default_rng(3).poisson(1.0, len(people)) * 1.0),
    )
    plan = PLAN + 'metrics.returned.covariate = "before"\n'
    found = read(tmp_path, spoilt, plan)
    assert (
        found["decision"] == "cannot tell"
        and "Covariate 'before' differs between the arms" in found["because"]
    )
    line = next(row for row in rows(found) if row["metric"] == "returned")
    assert line["outcome"] == "no difference shown"  # read without the covariate
    checked = run("check", tmp_path / "results.csv", "--plan", tmp_path / "plan.toml", "-q")
    assert checked["exit_code"] == 1 and checked["balance"]["before"] < 1e-50
    sound = read(tmp_path, people, plan)
    assert sound["decision"] == "ship" and rows(sound, "Balance")[0]["covariate"] == "before"
    constant = people.with_columns(before=(pl.col("arm") == "control").cast(pl.Float64))
    assert "Covariate 'before' differs" in read(tmp_path, constant, plan)["because"]
    with pytest.raises(InputError, match="its covariate 'returned' is the metric itself"):
        read(tmp_path, people, PLAN + 'metrics.returned.covariate = "returned"\n')


def test_a_sample_ratio_is_warned_of_before_it_alarms(people: pl.DataFrame, tmp_path: Path) -> None:
    """44,700 against 45,489 (p .0086) used to be told as sound."""
    sizes = np.repeat(["control", "treatment"], [44_700, 45_489])
    rng = np.random.default_rng(6)
    table = pl.DataFrame(
        {
            "user_id": np.arange(len(sizes)).astype(str),
            "arm": sizes,
            "returned": rng.normal(5 + (sizes == "treatment"), 1),
            "skips": rng.normal(5, 1, len(sizes)),
        }
    )
    found = read(tmp_path, table, PLAN)
    assert found["decision"] == "ship" and "WARNING: the arms hardly hold their shares" in found[
        "because"
    ].replace("WARNING: sample ratio: ", "WARNING: ")
    assert found["warnings"] and "% of tests" in found["because"]
    strict = read(tmp_path, table, PLAN + "alarm = 0.01\nwarn = 0.05\n")
    assert strict["decision"] == "cannot tell" and "Sample-ratio alarm" in strict["because"]
    assert "alarm below 0.02" in read(tmp_path, table, PLAN + "alarm = 0.02\n")["because"]
    with pytest.raises(InputError, match="give 0 < alarm <= warn < 1"):
        read(tmp_path, table, PLAN + "alarm = 0.5\nwarn = 0.1\n")


def test_a_treatment_without_events_is_no_crash(tmp_path: Path) -> None:
    arm = np.where(np.arange(1000) % 2 == 0, "treatment", "control")
    skips = ((np.arange(1000) % 50 == 1) & (arm == "control")) * 1.0
    columns = {
        "user_id": np.arange(1000).astype(str),
        "arm": arm,
        "returned": np.arange(1000) % 7 * 1.0,
        "skips": skips,
    }
    found = read(tmp_path, pl.DataFrame(columns), PLAN)
    assert found["decision"] == "do not ship" and "No primary metric moved" in found["because"]
    assert "a lift of -100 % has no interval" in json.dumps(rows(found))
    absolute = read(tmp_path, pl.DataFrame(columns), PLAN + 'kind = "absolute"\n')
    assert "guardrail 'skips' has no number" not in absolute["because"]


def test_a_crash_is_no_decision(
    monkeypatch: pytest.MonkeyPatch, people: pl.DataFrame, tmp_path: Path
) -> None:
    """A fault of the program ends with a code of its own: 1 is "do not ship"."""

    def broken(*words: object) -> None:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr("tastemaker.flows.retention.experiment.run.read_experiment", broken)
    monkeypatch.delenv("TASTEMAKER_DEBUG", raising=False)
    monkeypatch.setattr("sys.argv", ["tastemaker", "experiment", "read", "t.csv", "--plan", "p.toml", "-q"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 70


def test_what_looks_wrong_in_a_column_is_named(people: pl.DataFrame, tmp_path: Path) -> None:
    row = pl.int_range(pl.len())
    plan = PLAN + 'exploratory = ["likes", "plays"]\n'
    found = read(tmp_path, people.with_columns(skips=pl.when(row == 4).then(-3.0).otherwise("skips")), plan)
    assert "WARNING: 'skips' goes down to -3: a count is never below 0" in found["because"]
    outlier = people.with_columns(likes=pl.when(row == 4).then(99_999_999.0).otherwise("likes"))
    assert (
        "one unit has 1e+08 of 'likes', 100% of all: winsorise it" in read(tmp_path, outlier, plan)["because"]
    )
    coded = people.with_columns(returned=pl.when(pl.col("returned") > 0).then(3.0).otherwise(0.0))
    assert "'returned' is only ever 0 or 3" in read(tmp_path, coded, plan)["because"]
    assert read(tmp_path, people, plan)["warnings"] == []
    padded = people.with_columns(user_id=pl.when(row == 9).then(pl.lit(" u7 ")).otherwise("user_id"))
    padded.write_parquet(tmp_path / "padded.parquet")
    with pytest.raises(
        InputError, match=r"padded.parquet: row 10, column 'user_id': the unit ' u7 ' has blanks"
    ):
        run("read", tmp_path / "padded.parquet", "--plan", tmp_path / "plan.toml", "-q", "--out", tmp_path)
    same = people.with_columns(returned=pl.col("likes"), before=pl.col("likes"))
    told = read(tmp_path, same, PLAN + 'metrics.returned.covariate = "before"\n')
    assert "the covariate 'before' explains all of 'returned'" in told["because"]


def test_a_missing_column_is_named_beside_those_there_are(people: pl.DataFrame, tmp_path: Path) -> None:
    for name in ("user_id", "arm", "skips"):
        with pytest.raises(
            InputError, match=rf"results.csv: column '{name}' is missing; the table has .*returned"
        ):
            read(tmp_path, people.drop(name), PLAN)


def test_python_reads_a_table_by_the_same_plan(people: pl.DataFrame, tmp_path: Path) -> None:
    plan = {"primary": ["returned"], "guardrails": {"skips": 0.3}, "metrics": {"skips": {"better": "down"}}}
    reading = experiment.read_out(people.to_arrow(), experiment.design_of(plan))
    told = read(tmp_path, people, PLAN)
    assert reading.decision.verdict == told["decision"] and list(reading.decision.reasons) == told["reasons"]
