"""Experiments and adjusters on files and on the command line: reports, exit codes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tastemaker.cli.retention.adjust import app as adjusters
from tastemaker.cli.retention.experiment import app as experiment
from tastemaker.errors import InputError
from tastemaker.experiment import assign
from tastemaker.flows.retention.tables import read_design
from tastemaker.stats.random import generator

PLAN = """
id = "rr-1"
primary = ["returned"]
exploratory = ["likes"]
cohorts = ["low"]
horizon = "days 1 to 3"
planned = 3000
guardrails = { skips = 0.1 }
metrics.returned.covariate = "before"
metrics.likes.denominator = "plays"
metrics.skips.better = "down"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plan.toml, days.parquet (3,000 users x 3 days, true lift), results.parquet, results.csv,
    scored.parquet.
    """
    out = tmp_path_factory.mktemp("experiment")
    (out / "plan.toml").write_text(PLAN)
    rng, n = generator("experiment"), 3000
    users = [f"u{number}" for number in range(n)]
    arm = np.array(assign(users, "rr-1", {"control": 0.5, "treatment": 0.5})["arm"].to_pylist())
    taste = rng.normal(size=n)
    before = rng.binomial(7, 1 / (1 + np.exp(-taste))) * 1.0
    days = []
    for day in range(1, 4):
        chance = 1 / (1 + np.exp(-(taste + 0.5 * (arm == "treatment"))))
        plays = rng.poisson(3, n) + 1.0
        values = {
            "returned": (rng.random(n) < chance) * 1.0,
            "plays": plays,
            "likes": rng.binomial(plays.astype(int), 0.2) * 1.0,
        }
        values |= {"skips": rng.poisson(3.0, n) * 1.0, "before": before}
        days.append(pa.table({"user_id": users, "arm": arm, "day": np.full(n, day), **values}))
    table = pa.concat_tables(days)
    pq.write_table(table, out / "days.parquet")
    totals = pl.DataFrame(table).group_by("user_id", maintain_order=True)
    results = totals.agg(pl.first("arm", "before"), pl.sum("returned", "plays", "likes", "skips"))
    results = results.with_columns(pl.Series("cohort", np.where(taste < 0, "low", "high")))
    results.write_parquet(out / "results.parquet")
    results.write_csv(out / "results.csv")
    p = rng.beta(2, 1.5, 600)
    ids = {
        "request_id": np.repeat([f"r{number}" for number in range(40)], 15),
        "item_id": [f"i{number % 15}" for number in range(600)],
    }
    pq.write_table(pa.table({**ids, "score": rng.normal(size=600), "p_pos": p}), out / "scored.parquet")
    return out


def _run(app: object, *words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])  # type: ignore[arg-type]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_true_lift_is_read_and_ships(folder: Path, tmp_path: Path) -> None:
    words = (
        "read",
        folder / "results.parquet",
        "--plan",
        folder / "plan.toml",
        "--days",
        folder / "days.parquet",
    )
    report = json.loads(_run(experiment, *words, "--out", tmp_path, "--json", "-q"))
    assert (
        report["decision"] == "ship"
        and report["verdict"] == "supported"
        and report["horizon"] == "days 1 to 3"
    )
    page = (tmp_path / "report.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://matplotlib.org", "")
    assert [table["title"] for table in report["tables"]] == [
        "Decision",
        "Sample ratio",
        "What this test could see",
        "Balance of covariates",
    ]
    assert len(report["figures"]) == 2
    csv = json.loads(
        _run(
            experiment,
            "read",
            folder / "results.csv",
            "--plan",
            folder / "plan.toml",
            "--out",
            tmp_path,
            "--json",
            "-q",
        )
    )
    assert csv["tables"][0] == report["tables"][0]


def test_an_unsound_test_is_refused_with_exit_1(folder: Path, tmp_path: Path) -> None:
    table = pl.read_parquet(folder / "results.parquet")
    fewer = table.filter((pl.col("arm") == "control") | (pl.int_range(pl.len()) % 5 > 0))
    fewer.write_parquet(tmp_path / "lost.parquet")
    output = _run(
        experiment, "check", tmp_path / "lost.parquet", "--plan", folder / "plan.toml", "-q", code=1
    )
    assert "do not hold their shares" in output
    words = ("read", tmp_path / "lost.parquet", "--plan", folder / "plan.toml", "--out", tmp_path, "-q")
    assert "Sample-ratio alarm" in _run(experiment, *words, code=1)
    sound = _run(
        experiment, "check", folder / "results.parquet", "--plan", folder / "plan.toml", "--runs", 100, "-q"
    )
    assert sound.strip().endswith("passed")


def test_bad_files_name_file_row_and_column(folder: Path, tmp_path: Path) -> None:
    table = pl.read_parquet(folder / "results.parquet")
    plan = folder / "plan.toml"

    def read(changed: pl.DataFrame) -> str:
        changed.write_parquet(tmp_path / "bad.parquet")
        with pytest.raises(InputError) as error:
            _run(experiment, "read", tmp_path / "bad.parquet", "--plan", plan, "--out", tmp_path, "-q")
        assert "bad.parquet" in str(error.value)
        return str(error.value)

    assert "arm 'treatment' is empty" in read(table.filter(pl.col("arm") == "control"))
    assert "unit 'u0' comes twice" in read(pl.concat([table, table.head(1)]))
    other = table.head(1).with_columns(
        pl.when(pl.col("arm") == "control")
        .then(pl.lit("treatment"))
        .otherwise(pl.lit("control"))
        .alias("arm")
    )
    assert "unit 'u0' is in two arms" in read(pl.concat([table, other]))
    assert "row 3, column 'plays'" in read(
        table.with_columns(plays=pl.when(pl.int_range(pl.len()) == 2).then(None).otherwise("plays"))
    )
    assert "column 'skips' is missing" in read(table.drop("skips"))
    zero = table.with_columns(returned=pl.lit(0.0), before=pl.lit(0.0))
    zero.write_parquet(tmp_path / "zero.parquet")
    words = ("read", tmp_path / "zero.parquet", "--plan", plan, "--out", tmp_path, "-q")
    assert "'returned' is 0 for every unit" in _run(experiment, *words, code=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("primary = []", "at least one primary metric"),
        ('primary = ["a"]\nsurprise = 1', "key 'surprise' is unknown"),
        ('primary = ["a"]\nshares = { control = 0.5, treatment = 0.6 }', "sum to 1"),
        ('primary = ["a"]\ntreatment = "b"', "treatment arm 'b' has no share"),
        ('primary = ["a"]\nguardrails = { b = 0 }', "margin 0.0 is not above 0"),
        ('primary = ["a"]\nmetrics.a.colour = "red"', "metrics.a"),
        ("primary = [", "a plan is TOML or JSON"),
    ],
)
def test_bad_plans_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_design(path)
    assert str(path) in str(error.value)


def test_looks_power_assignment_and_surrogate(folder: Path, tmp_path: Path) -> None:
    plan = folder / "plan.toml"
    seen = json.loads(
        _run(experiment, "watch", folder / "days.parquet", "--plan", plan, "--out", tmp_path, "--json", "-q")
    )
    assert len(seen["tables"][0]["rows"]) == 3 and seen["verdict"] == "supported"
    assert seen["figures"]
    assert "174,419,550 units an arm" in _run(experiment, "power", "--cv", 1, "--lift", 0.0003)
    rows = json.loads(
        _run(
            experiment,
            "power",
            "--table",
            folder / "results.parquet",
            "--plan",
            plan,
            "--units",
            1500,
            "--json",
        )
    )["rows"]
    assert rows[0]["metric"] == "returned" and 0 < rows[0]["lift"] < 0.1
    arms = tmp_path / "arms.parquet"
    _run(experiment, "assign", folder / "results.csv", "--plan", plan, "--out", arms)
    given = pl.read_parquet(folder / "results.parquet").select("user_id", "arm")
    assert (
        pl.read_parquet(arms)
        .rename({"unit": "user_id", "arm": "hashed"})
        .join(given, on="user_id")
        .select((pl.col("arm") == pl.col("hashed")).all())
        .item()
    )
    words = (
        "--history",
        folder / "results.parquet",
        "--short",
        "likes",
        "--short",
        "plays",
        "--long",
        "returned",
    )
    output = _run(
        experiment, "surrogate", folder / "results.parquet", *words, "--out", tmp_path / "s", "-q", code=1
    )
    assert "surrogacy" in output and "Each short outcome alone" in output
    page = (tmp_path / "s" / "report.html").read_text()
    assert "Effect on the index" in page and "<svg" in page


def test_rules_are_previewed_and_tuned(folder: Path, tmp_path: Path) -> None:
    scored = folder / "scored.parquet"
    words = (
        "preview",
        scored,
        "--rule",
        "hinge",
        "--set",
        "a=3",
        "--most",
        4,
        "--out",
        tmp_path,
        "-k",
        5,
        "--json",
        "-q",
    )
    report = json.loads(_run(adjusters, *words))
    assert report["verdict"] == "supported" and report["tables"]
    moved = pl.read_parquet(tmp_path / "adjusted.parquet").select(
        (pl.col("rank_after") - pl.col("rank_before")).abs().max()
    )
    assert moved.item() <= 4
    tuned = json.loads(
        _run(adjusters, "tune", scored, "--cap", 0.02, "--out", tmp_path / "t", "--json", "-q")
    )
    assert 0 < tuned["loss"] <= 0.02
    assert _run(adjusters, "preview", scored, "--set", "a=0", "--set", "b=0", "--out", tmp_path, "-q", code=1)
    with pytest.raises(InputError, match="has no setting 'gamma'"):
        _run(adjusters, "preview", scored, "--set", "gamma=1")
    with pytest.raises(InputError, match="rule 'magic' is unknown"):
        _run(adjusters, "preview", scored, "--rule", "magic")
