"""Every kind of bad input the retention commands must refuse, as a CSV file through the command line: message
and exit code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError

N = 400
NOON = "2026-03-01T12:00:00Z"
PLAN = """\
id = "e"
primary = ["returned"]
shares = { control = 0.5, treatment = 0.5 }
guardrails = { skips = 0.2 }
[metrics.returned]
[metrics.skips]
better = "down"
"""


def surveys(**changes: Any) -> pl.DataFrame:
    """Questions, answered but for every fourth."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "user_id": [f"u{n}" for n in range(N)],
        "item_id": [f"i{n % 20}" for n in range(N)],
    }
    columns |= {"question": ["return"] * N, "asked_probability": [0.5] * N, "timestamp": [NOON] * N}
    columns |= {"answer": [int(answer) if n % 4 else None for n, answer in enumerate(rng.integers(1, 6, N))]}
    return pl.DataFrame(columns | {"age": rng.normal(40, 10, N).round(1)} | changes)


def results(**changes: Any) -> pl.DataFrame:
    """Results of a test, one row a unit."""
    rng = np.random.default_rng(1)
    columns = {
        "user_id": [f"u{n}" for n in range(N)],
        "arm": [("control", "treatment")[n % 2] for n in range(N)],
    }
    return pl.DataFrame(columns | {"returned": rng.integers(0, 2, N), "skips": rng.poisson(1, N)} | changes)


def shown(**changes: Any) -> pl.DataFrame:
    """Shown items with answers and returns, two days a user."""
    rng = np.random.default_rng(2)
    columns: dict[str, Any] = {
        "user_id": [f"u{n // 2}" for n in range(N)],
        "item_id": [f"i{n % 30}" for n in range(N)],
    }
    columns |= {
        "day": [n % 2 for n in range(N)],
        "request_id": [f"r{n}" for n in range(N)],
        "timestamp": [NOON] * N,
    }
    columns |= {
        "history": rng.normal(size=N),
        "return": rng.integers(1, 6, N),
        "returned": rng.integers(0, 2, N),
    }
    columns |= {
        "low_signal": [n // 2 % 3 == 0 for n in range(N)],
        "computed": ["2026-03-01T11:00:00Z"] * N,
        "weight": [1.0] * N,
    }
    return pl.DataFrame(columns | changes)


def scored(**changes: Any) -> pl.DataFrame:
    """Candidates of requests."""
    rng = np.random.default_rng(3)
    columns = {
        "request_id": [f"q{n // 10}" for n in range(100)],
        "item_id": [f"i{n % 10}" for n in range(100)],
    }
    return pl.DataFrame(columns | {"score": rng.normal(size=100), "p_pos": rng.random(100)} | changes)


def put(values: list[Any], row: int, value: Any) -> list[Any]:
    """A column with one value changed; rows count from 1."""
    return [*values[: row - 1], value, *values[row:]]


WEIGH, READ = (
    ("retention", "survey", "weigh", "--covariate", "age"),
    ("experiment", "read", "--plan", "plan.toml"),
)
GAIN, PREVIEW = ("retention", "increment", "--baseline", "history"), ("retention", "adjust", "preview")
AGES = surveys()["age"].to_list()
LANDS = [("DE", "de", "fr")[n % 3] for n in range(N)]
BLOCKS = ("--block", "value=a,b,c", "--block", "effort=d,e,f")


def people(**changes: Any) -> pl.DataFrame:
    """A battery of six items, one row a person."""
    rng = np.random.default_rng(4)
    level = rng.normal(size=N)
    items = {name: np.clip(np.round(3 + level + rng.normal(size=N)), 1, 5).astype(int) for name in "abcdef"}
    return pl.DataFrame({"user_id": [f"u{n}" for n in range(N)], **items, **changes})


# Name: command, table, exit code, and what the message says.
CASES: dict[str, tuple[tuple[str, ...], pl.DataFrame, int, str]] = {
    "nobody answered": (WEIGH, surveys(answer=[None] * N), 2, "nobody answered"),
    "a covariate that separates": (
        WEIGH,
        surveys(answer=[3 if age > 40 else None for age in AGES]),
        2,
        "'age' separates",
    ),
    "probability 0": (
        WEIGH,
        surveys(asked_probability=put([0.5] * N, 8, 0.0)),
        2,
        "row 8, column 'asked_probability' is 0",
    ),
    "probability empty": (
        WEIGH,
        surveys(asked_probability=put([0.5] * N, 8, None)),
        2,
        "row 8, column 'asked_probability' is empty",
    ),
    "answer 7": (WEIGH, surveys(answer=put([3] * N, 12, 7)), 2, "row 12, column 'answer' is 7"),
    "duplicate": (WEIGH, pl.concat([surveys(), surveys()[5:6]]), 2, "row 401 repeats row 6"),
    "never shown": (
        (*WEIGH, "--impressions", "impressions.csv"),
        surveys(),
        2,
        "'u300' answers about item 'i0', which was never logged",
    ),
    "same answer": (
        ("retention", "proxy", "fit", "--feature", "history"),
        shown(**{"return": [4] * N}),
        2,
        "everybody answered 4",
    ),
    "one arm empty": (READ, results(arm=["control"] * N), 2, "arm 'treatment' is empty"),
    "all zero": (READ, results(returned=[0] * N), 1, "'returned' is 0 for every unit"),
    "two arms": (
        READ,
        pl.concat([results(), results()[3:4].with_columns(arm=pl.lit("control"))]),
        2,
        "unit 'u3' is in two arms",
    ),
    "one class": (GAIN, shown(returned=[1] * N), 2, "the outcome is 1 in all"),
    "no such column": (
        ("retention", "increment", "--baseline", "height"),
        shown(),
        2,
        "column 'height' is missing; the table has",
    ),
    "after the survey": (
        (*GAIN, "--stamp", "history=computed"),
        shown(computed=["2026-03-02T12:00:00Z"] * N),
        2,
        "'history' was computed after the question",
    ),
    "negative weight": (
        (*GAIN, "--weight", "weight"),
        shown(weight=put([1.0] * N, 5, -1.0)),
        2,
        "row 5, column 'weight' is '-1.0', which is not a number from 0 and above",
    ),
    "no repeats": (
        ("retention", "mediation", "--control", "history"),
        shown().filter(pl.col("day") == 0),
        1,
        "0 users have answers on two",
    ),
    "score is no number": (
        PREVIEW,
        scored(score=put([0.5] * 100, 10, float("nan"))),
        2,
        "row 10, column 'score' is empty; every row needs a value there",
    ),
    "a covariate in two spellings": (
        ("retention", "survey", "weigh", "--covariate", "land"),
        surveys(land=LANDS),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "groups of a battery in two spellings": (
        ("retention", "survey", "validate", *BLOCKS, "--by", "land"),
        people(land=LANDS),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "groups of answers in two spellings": (
        ("retention", "survey", "validate", "--question", "return", "--question", "other", "--by", "land"),
        shown(land=LANDS, other=shown()["return"].to_list()[::-1]),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "cohorts of a proxy in two spellings": (
        ("retention", "proxy", "fit", "--feature", "history", "--cohort", "land"),
        shown(land=LANDS),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "no such cohort of a proxy": (
        ("retention", "proxy", "fit", "--feature", "history", "--cohort", "land"),
        shown(),
        2,
        "column 'land' is missing",
    ),
    "cohorts of a test in two spellings": (
        READ,
        results(cohort=LANDS),
        2,
        "column 'cohort' holds 'DE' and 'de', two spellings of one value",
    ),
    "cohorts of a test declared in another spelling": (
        READ,
        results(cohort=["de" if n % 3 else "FR" for n in range(N)]),
        2,
        "column 'cohort' holds 'FR' and 'fr', two spellings of one value",
    ),
    "a survey of 1900": (
        WEIGH,
        surveys(timestamp=put([NOON] * N, 3, "1900-01-01")),
        2,
        "row 3, column 'timestamp' is 1900-01-01 00:00, which lies before 1970",
    ),
    "a survey to come": (
        WEIGH,
        surveys(timestamp=put([NOON] * N, 3, "2990-01-01")),
        2,
        "row 3, column 'timestamp' is 2990-01-01 00:00, which lies",
    ),
    "a moment of nothing": (
        WEIGH,
        surveys(timestamp=put([NOON] * N, 3, "1970-01-01")),
        2,
        "lies 56 years before the last",
    ),
    "a feature of 1900": (
        (*GAIN, "--stamp", "history=computed"),
        shown(computed=put(["2026-03-01T11:00:00Z"] * N, 4, "1900-01-01")),
        2,
        "row 4, column 'computed' is 1900-01-01",
    ),
    "rows ordered by a time to come": (
        (*GAIN, "--time", "seen"),
        shown(seen=[NOON] * (N - 1) + ["2990-01-01"]),
        2,
        "row 400, column 'seen' is 2990-01-01",
    ),
    "an age below 0": (WEIGH, surveys(age=put(AGES, 7, -5.0)), 1, "'age' has -5, which is no age"),
    "an age of 200": (WEIGH, surveys(age=put(AGES, 7, 200.0)), 1, "'age' has 200, which is no age"),
    "years below 0": (
        ("retention", "survey", "weigh", "--covariate", "tenure"),
        surveys(tenure=put([abs(age) for age in AGES], 7, -3.0)),
        1,
        "'tenure' is below 0 in 1 of 400 rows",
    ),
    "a threshold off the scale": (
        (*WEIGH, "--threshold", "9"),
        surveys(),
        2,
        "the threshold is 9; answers lie between 1 and 5",
    ),
    "a probability that is no number": (
        WEIGH,
        surveys(asked_probability=put(["0.5"] * N, 8, "50%")),
        2,
        "row 8, column 'asked_probability' cannot be read as double",
    ),
    "returns below 0": (
        (*GAIN, "--outcome", "returned", "--active-quantile", ".05"),
        shown(returned=put([1] * N, 9, -3)),
        2,
        "row 9, column 'returned' is '-3.0', which is not a number from 0 and above",
    ),
    "returned as words": (
        READ,
        results(returned=put(["yes"] * N, 1, "no")),
        2,
        "row 1, column 'returned' is 'no', which is no finite number",
    ),
    "a slate twice": (
        ("retention", "mediation", "--slates", "slates.csv", "--control", "history"),
        shown(),
        2,
        "row 1: request 'r0' has item_id 'i0' twice",
    ),
    "the past of a person twice": (
        ("experiment", "surrogate", "--history", "table.csv", "--short", "skips", "--long", "returned"),
        pl.concat([results(), results()[3:4]]),
        2,
        "unit 'u3' comes twice, in rows 4 and 401",
    ),
    "an arm in two spellings": (
        ("experiment", "surrogate", "--history", "table.csv", "--short", "skips", "--long", "returned"),
        results(arm=put(results()["arm"].to_list(), 9, "Control")),
        2,
        "column 'arm' holds 'control' and 'Control', two spellings",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_told_in_words_with_the_exit_code(
    case: tuple[tuple[str, ...], pl.DataFrame, int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, table, code, message = case
    monkeypatch.chdir(tmp_path)
    table.write_csv("table.csv")
    surveys()[:300].select("user_id", "item_id").write_csv("impressions.csv")
    dealt = (
        shown()
        .select("request_id", "user_id", "item_id")
        .with_columns(propensity=pl.lit(1 / 30), policy_id=pl.lit("uniform"))
    )
    pl.concat([dealt, dealt]).write_csv("slates.csv")
    Path("plan.toml").write_text(f'cohorts = ["fr"]\n{PLAN}' if "cohort" in table.columns else PLAN)
    names = 3 if words[1] in ("survey", "proxy", "adjust") else 2
    line = [*words[:names], "table.csv", *words[names:], "--out", "out", "--quiet"]
    result = CliRunner().invoke(app, line)
    if code == 2:
        assert isinstance(result.exception, InputError) and result.exception.exit_code == 2
        assert message in str(result.exception) and "\n" not in str(result.exception)
    else:
        assert result.exit_code == 1 and message in result.stdout and "cannot tell" in result.stdout
        assert Path("out/report.html").exists()


def exposures(**changes: Any) -> pl.DataFrame:
    """When whom a test was shown."""
    arms = results().select("arm", unit="user_id")
    return arms.with_columns(experiment=pl.lit("e"), **changes)


def clicks(**changes: Any) -> pl.DataFrame:
    """A log of a uniform policy over four actions."""
    rng = np.random.default_rng(5)
    columns = {"action": [f"a{n % 4}" for n in range(N)], "reward": rng.integers(0, 2, N)}
    return pl.DataFrame(columns | {"propensity": [0.25] * N, "x0": rng.normal(size=N)} | changes)


@pytest.mark.parametrize(
    ("command", "table"),
    [
        ("retention survey weigh table.csv --covariate age --out out -q", surveys),
        ("retention increment table.csv --baseline history --out out -q", shown),
        ("experiment check results.csv --plan plan.toml --exposures table.csv -q", exposures),
        ("explore support table.csv --context x0", clicks),
    ],
)
def test_numbers_in_times_are_read_alike_by_every_command(
    command: str, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Days since 1970: what was understood, and what else they may be, is said, and the option settles it."""
    monkeypatch.chdir(tmp_path)
    days = pl.Series([18_000 + n % 30 for n in range(N)])
    table(timestamp=days).write_csv("table.csv")
    results().write_csv("results.csv")
    Path("plan.toml").write_text(PLAN)
    CliRunner().invoke(app, command.split())
    read = "they were read as days since 1970 (2019-04-14 to 2019-05-13); --time-unit seconds reads them as"
    assert read in caplog.text
    caplog.clear()
    CliRunner().invoke(app, [*command.split(), "--time-unit", "days"])
    assert "'timestamp' holds" not in caplog.text
    wrong = CliRunner().invoke(app, [*command.split(), "--time-unit", "weeks"])
    assert "--time-unit weeks: there is no such unit" in str(wrong.exception)


def test_a_time_in_a_csv_is_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown().write_csv("table.csv")
    result = CliRunner().invoke(
        app, [*GAIN[:2], "table.csv", *GAIN[2:], "--stamp", "history=computed", "--out", "out", "--quiet"]
    )
    assert result.exit_code in (0, 1) and "Verdict" in result.stdout


def by_day(days: list[str]) -> pl.DataFrame:
    """Results of two hundred people on each of the days."""
    rng, people = np.random.default_rng(6), results()[:200]
    return pl.concat(
        [people.with_columns(day=pl.lit(day), returned=pl.Series(rng.integers(0, 2, 200))) for day in days]
    )


@pytest.mark.parametrize(
    ("given", "days"),
    [
        (["31.01.2026", "01.02.2026", "02.02.2026"], ["2026-01-31", "2026-02-01", "2026-02-02"]),
        (["day 2", "day 10", "day 1"], ["1", "2", "10"]),
        (["10", "9", "-1"], ["-1", "9", "10"]),
    ],
)
def test_days_are_looked_at_in_their_order(
    given: list[str], days: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    by_day(given).write_csv("days.csv")
    results()[:200].with_columns(before=pl.lit(1.0)).write_csv("whole.csv")
    past = PLAN.replace("[metrics.returned]\n", '[metrics.returned]\ncovariate = "before"\n')
    Path("plan.toml").write_text(f"planned = 200\nn_min = 20\n{PLAN}")
    Path("past.toml").write_text(past)
    words = ["experiment", "watch", "days.csv", "--plan", "plan.toml", "--json", "-q"]
    result = CliRunner().invoke(app, words)
    tables = [table for table in json.loads(result.stdout)["tables"] if "day" in table["columns"]]
    assert tables and all([row[0] for row in table["rows"]] == days for table in tables)
    words = ["experiment", "read", "whole.csv", "--plan", "past.toml", "--days", "days.csv", "-q"]
    result = CliRunner().invoke(app, words)  # the days lack the covariate
    assert result.exit_code == 1 and "Verdict" in result.stdout, result.output


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (["Monday", "Tuesday"], "row 1, column 'day' is 'Monday', and other days are written otherwise"),
        (["1900-01-01", "2026-02-02"], "row 1, column 'day' is 1900-01-01 00:00, which lies before 1970"),
        (["2026-02-02", "2990-01-01"], "row 201, column 'day' is 2990-01-01 00:00, which lies"),
        (["2026-02-02", ""], "row 201, column 'day' is empty"),
    ],
)
def test_days_without_an_order_are_refused(
    days: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    by_day(days).write_csv("days.csv")
    Path("plan.toml").write_text(f"planned = 200\nn_min = 20\n{PLAN}")
    result = CliRunner().invoke(app, ["experiment", "watch", "days.csv", "--plan", "plan.toml", "-q"])
    assert isinstance(result.exception, InputError) and message in str(result.exception)


def test_a_cohort_without_people_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results(cohort=["old"] * N).write_csv("table.csv")
    Path("plan.toml").write_text(f'cohorts = ["new"]\n{PLAN}')
    result = CliRunner().invoke(app, ["experiment", "read", "table.csv", "--plan", "plan.toml", "-q"])
    assert "nobody of cohort 'new' is in both arms" in result.stdout


def test_slips_among_features_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    shown(tenure=put([1.0 + n % 50 for n in range(N)], 5, -1.0)).write_csv("table.csv")
    for words in (
        ["increment", "table.csv", "--baseline", "tenure"],
        ["mediation", "table.csv", "--control", "tenure"],
        ["proxy", "fit", "table.csv", "--feature", "tenure"],
    ):
        caplog.clear()
        CliRunner().invoke(app, ["retention", *words, "--out", words[0], "-q"])
        assert "'tenure' is below 0 in 1 of 400 rows" in caplog.text


DAYS = ["2026-02-01", "2026-02-02", "2026-02-03"]


def looked_at(frame: pl.DataFrame) -> Any:
    frame.write_csv("days.csv")
    Path("plan.toml").write_text(f"planned = 200\nn_min = 20\n{PLAN}")
    return CliRunner().invoke(app, ["experiment", "watch", "days.csv", "--plan", "plan.toml", "--json", "-q"])


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_a_day_before_anybody_is_in_an_arm_has_no_look(
    arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    late = by_day(DAYS).filter((pl.col("day") > DAYS[0]) | (pl.col("arm") != arm))
    result = looked_at(late)
    assert result.exit_code in (0, 1), result.exception
    table = next(table for table in json.loads(result.stdout)["tables"] if "day" in table["columns"])
    assert [row[0] for row in table["rows"]] == DAYS
    assert f"nobody is in arm '{arm}'" in table["rows"][0] and "refused" not in table["rows"][1]
    results()[:200].write_csv("whole.csv")
    words = ["experiment", "read", "whole.csv", "--plan", "plan.toml", "--days", "days.csv", "-q"]
    read = CliRunner().invoke(app, words)
    assert read.exit_code in (0, 1) and "Verdict" in read.stdout, read.exception


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda days: days.filter(pl.col("arm") == "control"), "arm 'treatment' is empty: no row has it"),
        (lambda days: days.clear(), "no row"),
        (
            lambda days: pl.concat([days, days[:1].with_columns(arm=pl.lit("treatment"))]),
            "is in two arms; a unit belongs to one arm",
        ),
    ],
)
def test_days_of_one_arm_of_nobody_or_of_a_unit_in_both_are_refused(
    rows: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = looked_at(rows(by_day(DAYS).sort("arm")))
    assert isinstance(result.exception, InputError) and message in str(result.exception)
