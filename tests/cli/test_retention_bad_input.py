"""Every kind of bad input the retention commands must refuse, as a CSV file through the command line: message
and exit code.
"""

from __future__ import annotations

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
    columns |= {"answer": [int(one) if n % 4 else None for n, one in enumerate(rng.integers(1, 6, N))]}
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


WEIGH, READ = ("survey", "weigh", "--covariate", "age"), ("experiment", "read", "--plan", "plan.toml")
GAIN, PREVIEW = ("retain", "increment", "--baseline", "history"), ("adjust", "preview")
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
        surveys(answer=[3 if one > 40 else None for one in AGES]),
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
        ("proxy", "fit", "--feature", "history"),
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
        ("retain", "increment", "--baseline", "height"),
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
        ("retain", "paths", "--control", "history"),
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
        ("survey", "weigh", "--covariate", "land"),
        surveys(land=LANDS),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "groups of a battery in two spellings": (
        ("survey", "validate", *BLOCKS, "--by", "land"),
        people(land=LANDS),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "groups of answers in two spellings": (
        ("survey", "validate", "--question", "return", "--question", "other", "--by", "land"),
        shown(land=LANDS, other=shown()["return"].to_list()[::-1]),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "cohorts of a proxy in two spellings": (
        ("proxy", "fit", "--feature", "history", "--cohort", "land"),
        shown(land=LANDS),
        2,
        "column 'land' holds 'DE' and 'de', two spellings of one value",
    ),
    "no such cohort of a proxy": (
        ("proxy", "fit", "--feature", "history", "--cohort", "land"),
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
    "everybody asked": (
        ("survey", "asked", "--holdout", ".2"),
        results(arm=["asked"] * N),
        1,
        "do not hold their shares",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_told_in_words_with_the_exit_code(
    case: tuple[tuple[str, ...], pl.DataFrame, int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, table, code, said = case
    monkeypatch.chdir(tmp_path)
    table.write_csv("table.csv")
    surveys()[:300].select("user_id", "item_id").write_csv("impressions.csv")
    Path("plan.toml").write_text(f'cohorts = ["fr"]\n{PLAN}' if "cohort" in table.columns else PLAN)
    result = CliRunner().invoke(app, [*words[:2], "table.csv", *words[2:], "--out", "out", "--quiet"])
    if code == 2:
        assert isinstance(result.exception, InputError) and result.exception.exit_code == 2
        assert said in str(result.exception) and "\n" not in str(result.exception)
    else:
        assert result.exit_code == 1 and said in result.stdout and "cannot tell" in result.stdout
        assert Path("out/report.html").exists()


def test_a_time_in_a_csv_is_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown().write_csv("table.csv")
    result = CliRunner().invoke(
        app, [*GAIN[:2], "table.csv", *GAIN[2:], "--stamp", "history=computed", "--out", "out", "--quiet"]
    )
    assert result.exit_code in (0, 1) and "Verdict" in result.stdout
