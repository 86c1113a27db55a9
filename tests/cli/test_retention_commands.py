"""simulate listeners -> retain increment, paths -> proxy fit, calibrate, thresholds, score: files, JSON, exit
codes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows.retention.proxy import load_proxy


def run(*words: object) -> tuple[int, dict[str, object]]:
    result = CliRunner().invoke(app, [*map(str, words), "--json", "--quiet"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    report = json.loads(result.stdout)
    if "verdict" in report:  # every report has tables and (where there is a number) a figure
        assert report["tables"] and (report["figures"] or report["verdict"] == "cannot tell"), words
        assert Path(report["page"]).exists() and Path(report["page"]).with_suffix(".md").exists()
    return result.exit_code, report


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    code, report = run(
        "retention", "simulate", "listeners", "--listeners", 3_000, "--items", 100, "--out", out
    )
    assert code == 0 and report["rows"]["rows"] == 6_000
    return out


FEATURES = [part for name in ("base_score", "p_like", "item_rate") for part in ("--feature", name)]


def test_the_truth_is_kept_apart(world: Path) -> None:
    names = pq.read_schema(world / "rows.parquet").names
    assert not [name for name in names if name.startswith("true_")]
    assert "true_latent" in pq.read_schema(world / "truth.parquet").names
    assert {"users.parquet", "surveys.parquet", "slates.parquet", "world.json"} <= {
        file.name for file in world.iterdir()
    }


def test_retain_increment_writes_a_report(world: Path, tmp_path: Path) -> None:
    code, report = run(
        "retention",
        "increment",
        world / "rows.parquet",
        "--baseline",
        "history",
        "--baseline",
        "like",
        "--out",
        tmp_path / "i",
    )
    assert code == 0 and report["verdict"] == "supported"
    assert {"report.md", "report.html", "report.json"} <= {file.name for file in (tmp_path / "i").iterdir()}


def test_retain_paths_reaches_its_verdict_and_refuses_without_repeats(world: Path, tmp_path: Path) -> None:
    words = [
        "retention",
        "mediation",
        world / "rows.parquet",
        "--control",
        "history",
        "--out",
        tmp_path / "p",
    ]
    code, report = run(*words, "--slates", world / "slates.parquet")
    assert code == 0 and report["path"] == "item"
    rows = pq.read_table(world / "rows.parquet")
    pq.write_table(rows.filter(pa.compute.equal(rows["day"], 0)), tmp_path / "once.parquet")
    code, report = run("retention", "mediation", tmp_path / "once.parquet", "--out", tmp_path / "q")
    assert code == 1 and report["path"] == "unknown" and "ask the same users again" in str(report["because"])


def test_the_proxy_from_fit_to_score(world: Path, tmp_path: Path) -> None:
    rows = world / "rows.parquet"
    code, report = run(
        "retention", "proxy", "fit", rows, *FEATURES, "--cohort", "low_signal", "--out", tmp_path / "fit"
    )
    assert code in (0, 1) and (tmp_path / "fit" / "proxy" / "manifest.json").exists() and report["tables"]
    code, _ = run(
        "retention",
        "proxy",
        "calibrate",
        tmp_path / "fit",
        rows,
        "--method",
        "beta",
        "--out",
        tmp_path / "cal",
    )
    assert code in (0, 1)
    code, _ = run(
        "retention",
        "proxy",
        "thresholds",
        tmp_path / "cal",
        rows,
        "--positive",
        0.7,
        "--negative",
        0.5,
        "--out",
        tmp_path / "ready",
    )
    assert code == 0
    proxy = load_proxy(tmp_path / "ready")
    assert proxy.thresholds["pos"].tau is not None and proxy.calibrators["neg"].method == "beta"
    code, report = run("retention", "proxy", "drift", tmp_path / "ready", rows, "--out", tmp_path / "drift")
    assert code == 0 and [len(table["rows"]) for table in report["tables"]] == [3, 2]  # type: ignore[attr-defined]
    table = pq.read_table(rows)
    worse = pa.array(
        [None if answer is None else max(1, answer - 2) for answer in table["return"].to_pylist()]
    )
    pq.write_table(
        table.set_column(table.column_names.index("return"), "return", worse), tmp_path / "worse.parquet"
    )
    code, report = run(
        "retention",
        "proxy",
        "drift",
        tmp_path / "ready",
        tmp_path / "worse.parquet",
        "--out",
        tmp_path / "drifted",
    )
    assert (
        code == 1
        and "choose the threshold again" in str(report["because"])
        and "positive" in str(report["because"])
    )
    code, _ = run(
        "retention",
        "proxy",
        "thresholds",
        tmp_path / "cal",
        rows,
        "--positive",
        0.999,
        "--out",
        tmp_path / "none",
    )
    assert code == 1
    code, report = run(
        "retention", "proxy", "score", tmp_path / "ready", rows, "--out", tmp_path / "scored.parquet"
    )
    scored = pq.read_table(tmp_path / "scored.parquet")
    assert code == 0 and {"p_pos", "p_neg", "retention"} <= set(scored.column_names)
    with pytest.raises(ArtifactError, match="exists already"):
        run("retention", "proxy", "fit", rows, *FEATURES, "--out", tmp_path / "fit")
    with pytest.raises(InputError, match="column 'item_rate' is missing"):
        pq.write_table(pq.read_table(rows).drop_columns(["item_rate"]), tmp_path / "less.parquet")
        run(
            "retention",
            "proxy",
            "score",
            tmp_path / "ready",
            tmp_path / "less.parquet",
            "--out",
            tmp_path / "x.parquet",
        )


def test_damage_and_absence_are_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no proxy"):
        load_proxy(tmp_path / "nothing")
    with pytest.raises(InputError, match="world 'moon'"):
        run("retention", "simulate", "listeners", "--world", "moon", "--out", tmp_path / "w")
