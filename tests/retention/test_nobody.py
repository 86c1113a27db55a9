"""What used to be accepted without a word, from the command line: ids that are words for nothing, groups that
are, too few people for a verdict, impossible probabilities, a yes or no of 7.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError

Columns = dict[str, list[Any]]


def run(*words: object) -> tuple[int, str]:
    """Exit code and output; an expected error is raised."""
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def write(path: Path, columns: Columns) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
        return path
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return path


def answers(users: int = 60, each: int = 4) -> Columns:
    """Rows of people who answered on several days; nothing depends on anything."""
    rng, n = np.random.default_rng(users), users * each
    return {
        "user_id": [f"u{row // each}" for row in range(n)],
        "item_id": [f"i{item}" for item in rng.integers(0, 30, n)],
        "history": rng.normal(size=n).round(3).tolist(),
        "return": rng.integers(1, 6, n).tolist(),
        "returned": rng.integers(0, 2, n).tolist(),
        "day": [row % each for row in range(n)],
        "question": ["return"] * n,
        "asked_probability": [0.5] * n,
        "answer": [int(value) if rng.random() < 0.7 else "" for value in rng.integers(1, 6, n)],
        "timestamp": [f"2026-01-{1 + row % 28:02}T10:00:{row % 60:02}Z" for row in range(n)],
        "country": [("de", "it", "fr")[place] for place in rng.integers(0, 3, n)],
    }


def people(n: int = 400) -> Columns:
    """Results of a test; homes of four in one arm."""
    rng = np.random.default_rng(3)
    return {
        "user_id": [f"u{row}" for row in range(n)],
        "arm": ["treatment" if row // 4 % 2 else "control" for row in range(n)],
        "home": [f"h{row // 4}" for row in range(n)],
        "returned": (rng.random(n) < 0.4).astype(int).tolist(),
        "skips": rng.poisson(4, n).tolist(),
    }


def commands(folder: Path, columns: Columns, suffix: str) -> dict[str, tuple[object, ...]]:
    """Every command that takes a table of people's answers."""
    table, out = write(folder / f"rows{suffix}", columns), ("-q", "--out")
    return {
        "increment": ("retention", "increment", table, "--baseline", "history", *out, folder / "i"),
        "mediation": ("retention", "mediation", table, "--control", "history", *out, folder / "m"),
        "fit": ("retention", "proxy", "fit", table, "--feature", "history", *out, folder / "f"),
        "weigh": ("retention", "survey", "weigh", table, "--covariate", "country", *out, folder / "w"),
    }


@pytest.mark.parametrize("word", ["NULL", "nan"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_of_nobody_are_not_those_of_one_person(tmp_path: Path, word: str, suffix: str) -> None:
    columns = answers()
    columns["user_id"][3] = word
    if suffix == ".parquet":
        columns["answer"] = [value or None for value in columns["answer"]]
    for words in commands(tmp_path, columns, suffix).values():
        with pytest.raises(InputError, match=f"row 4, column 'user_id' is '{word}', a word for nothing"):
            run(*words)
    plan = tmp_path / "plan.toml"
    plan.write_text('primary = ["returned"]\nguardrails = { skips = 0.2 }\ncluster = "home"\n')
    for name in ("user_id", "home"):
        table = people()
        table[name][5] = word
        results = write(tmp_path / f"results{suffix}", table)
        with pytest.raises(InputError, match=f"row 6, column '{name}' is '{word}', a word for nothing"):
            run("experiment", "read", results, "--plan", plan, "--out", tmp_path / "o", "-q")
    log = {"action": ["a", "b"] * 30, "reward": [0, 1] * 30, "propensity": [0.5] * 60}
    for name in ("user_id", "request_id"):
        ids: list[Any] = [f"x{row}" for row in range(59)]
        path = write(tmp_path / f"log{suffix}", {**log, name: [*ids, word]})
        with pytest.raises(InputError, match=f"row 60, column '{name}' is '{word}', a word for nothing"):
            run("explore", "estimate", path)


def test_blanks_do_not_make_a_home_of_its_own(tmp_path: Path) -> None:
    table, plan = people(), tmp_path / "plan.toml"
    table["home"][0] = "h1 "  # h1 is in the other arm
    plan.write_text('primary = ["returned"]\nguardrails = { skips = 0.2 }\ncluster = "home"\n')
    for suffix in (".csv", ".parquet"):
        results = write(tmp_path / f"results{suffix}", table)
        with pytest.raises(InputError, match="cluster 'h1' is in two arms"):
            run("experiment", "read", results, "--plan", plan, "--out", tmp_path / "o", "-q")


def test_a_group_is_no_word_for_nothing_and_a_draw_no_impossible_one(tmp_path: Path) -> None:
    for name, value, words in (
        ("country", "NULL", "row 8, column 'country' is 'NULL', a word for nothing"),
        ("asked_probability", "1e-300", "row 8, column 'asked_probability' is 1e-300"),
    ):
        columns = answers()
        columns[name][7] = value
        with pytest.raises(InputError, match=words):
            run(*commands(tmp_path, columns, ".csv")["weigh"])
    columns = answers()
    columns["country"] = [country.replace("de", "NA") for country in columns["country"]]
    assert run(*commands(tmp_path, columns, ".csv")["weigh"])[0] in (0, 1)  # Namibia


@pytest.mark.parametrize("users", [3, 12])
def test_a_handful_of_people_decides_nothing(tmp_path: Path, users: int) -> None:
    asked = commands(tmp_path, answers(users, 200), ".csv")
    for name in ("increment", "mediation"):
        if (name, users) == ("increment", 3):
            continue  # fewer people than folds are refused as input
        code, text = run(*asked[name])
        assert code == 1 and "cannot tell" in text and f"oo few units: {users} people" in text


@pytest.mark.parametrize(("value", "warned"), [(7, True), (-3, True), (1, False)])
def test_a_yes_or_no_of_seven_is_named(tmp_path: Path, value: int, warned: bool) -> None:
    table, plan = people(), tmp_path / "plan.toml"
    table["returned"][11] = value
    plan.write_text('primary = ["returned"]\nguardrails = { skips = 0.2 }\n')
    results = write(tmp_path / "results.csv", table)
    text = run("experiment", "read", results, "--plan", plan, "--out", tmp_path / "o", "-q")[1]
    assert ("WARNING: 'returned'" in text) == warned and "WARNING: 'skips'" not in text


def test_a_log_of_decades_and_an_item_twice_are_named(tmp_path: Path) -> None:
    times: list[Any] = [
        "1970-01-01T00:00:00Z",
        *(f"2026-01-{1 + row % 28:02}T10:00:00Z" for row in range(59)),
    ]
    log = {"action": ["a", "b"] * 30, "reward": [0, 1] * 30, "propensity": [0.5] * 60, "timestamp": times}
    path = write(tmp_path / "log.csv", log)
    code, text = run("explore", "estimate", path)
    assert code == 1 and "time: 56 years from row 1 to row" in text and "--accept time" in text
    assert run("explore", "estimate", path, "--accept", "time")[0] == 0
    items = write(tmp_path / "items.csv", {"action": ["a", "b", "a "], "v0": [1, 2, 3]})
    with pytest.raises(InputError, match="row 3 of the table of actions: 'a' comes twice"):
        run("explore", "estimate", path, "--actions", items)
