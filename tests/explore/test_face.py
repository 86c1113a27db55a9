"""`tastemaker.explore` as people import it, its example, and an estimator that another package brings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tastemaker import explore
from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.store import write_table

ROOT = Path(__file__).parents[2]

# A package of its own: ten lines, and the entry point that its installation leaves.
PLUGIN = """
import numpy as np

def half_weight(log, policy):
    weight = np.exp(policy.log_prob(log.context, log.action)) / log.propensity
    return np.sqrt(weight) * log.reward

def wrong(log, policy):
    return np.zeros(3)

def words(log, policy):
    return ["much"] * len(log)
"""
ENTRY = """[tastemaker.estimators]
half = half_package:half_weight
short = half_package:wrong
words = half_package:words
"""
BROKEN = "[tastemaker.estimators]\nlost = no_such_module:estimate\n"


def install(folder: Path, name: str, entry: str, code: str = "") -> None:
    """What `pip install` leaves of a package without dependencies."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry)
    (folder / f"{name}.py").write_text(code)


def tastemaker(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, where the packages of `folder` are installed."""
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = "from tastemaker.cli.main import main; main()"
    command = [sys.executable, "-c", run, "explore", *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": paths}
    )


def printed(*words: object) -> str:
    """What a command of this process prints."""
    result = CliRunner().invoke(app, ["explore", *map(str, words)])
    assert result.exit_code == 0, (result.output, result.exception)
    return str(result.output)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder, "half_package", ENTRY, PLUGIN)
    install(folder, "lost_package", BROKEN)
    draws = np.random.default_rng(0)
    action = draws.integers(0, 4, 400)
    columns = {
        "action": [f"a{number}" for number in action],
        "reward": (draws.random(400) < 0.3) * 1.0,
        "propensity": np.full(400, 0.25),
    }
    write_table(folder / "log.parquet", pa.table(columns))
    return folder


def test_every_name_is_there_twice_over() -> None:
    for _ in "ab":
        for name in explore.__all__:
            assert getattr(explore, name).__name__ == name if callable(getattr(explore, name)) else True
    assert set(explore.__all__) <= set(dir(explore))
    with pytest.raises(AttributeError, match="no attribute 'teach'"):
        explore.teach  # noqa: B018


def test_the_example_prints_a_certificate() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "explore.py")],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "# May go live" in done.stdout and "paired       V - 0.95 V0" in done.stdout
    assert (
        15
        <= sum(bool(line.strip()) for line in (ROOT / "examples" / "explore.py").read_text().splitlines())
        <= 30
    )


def test_an_estimator_of_another_package_is_asked_by_name(installed: Path) -> None:
    done = tastemaker(
        installed, "estimate", "log.parquet", "--estimator", "half", "--estimator", "ips", "--json"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["estimates"]
    assert [row["estimator"] for row in rows] == ["half", "ips"]
    # The uniform policy logged these rows: every weight is 1, whatever its power.
    assert rows[0]["value"] == pytest.approx(rows[1]["value"]) and rows[0]["betting"] is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short", "gave an array of shape (3,); one number for each of the 400 rows"),
        ("words", "failed (ValueError: could not convert string to float: 'much')"),
        ("lost", "of the package 'lost_package' cannot be loaded"),
        ("nothing", "'nothing' does not exist; choose one of ips, clipped_ips"),
        ("mips", "prefixes of the actions and a column 'prefix_propensity' are needed"),
    ],
)
def test_an_estimator_that_cannot_be_used_is_one_line(installed: Path, name: str, words: str) -> None:
    done = tastemaker(installed, "estimate", "log.parquet", "--estimator", name)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_the_paired_row_is_explained_and_constant_rewards_are(installed: Path) -> None:
    text = printed("estimate", installed / "log.parquet")
    assert "paired         V - 0.95 V0" in text and "paired is no value" in text
    write_table(
        installed / "ones.parquet",
        pa.table({"action": ["a", "b"] * 20, "reward": [1.0] * 40, "propensity": [0.5] * 40}),
    )
    text = printed("estimate", installed / "ones.parquet")
    rows = json.loads(printed("estimate", installed / "ones.parquet", "--json"))["estimates"]
    assert rows[2]["estimator"] == "snips" and rows[2]["t"] is None and "no row" in rows[2]["no_bound"]
    assert "every reward is 1" in text and "no t bound for snips" in text and "-inf" not in text


@pytest.mark.parametrize("written", ["2024-01-01T00:00:{:02d}Z", "2024-01-01 00:00:{:02d}", "17040672{:02d}"])
def test_times_of_every_kind_are_read(tmp_path: Path, written: str) -> None:
    rows = [f"{written.format(row % 60)},a{row % 3},{row % 2},0.3" for row in range(120)]
    (tmp_path / "log.csv").write_text("timestamp,action,reward,propensity\n" + "\n".join(rows) + "\n")
    assert "rows                120" in printed("support", tmp_path / "log.csv", "--policy", "uniform")


@pytest.mark.parametrize("written", [("True", "False"), ("1", "0"), ("yes", "no"), ("true", "")])
def test_new_actions_of_a_csv_are_those_marked(tmp_path: Path, written: tuple[str, str]) -> None:
    lines = "\n".join(f"a{number},{written[number < 3]}" for number in range(4))
    (tmp_path / "items.csv").write_text(f"action,new\n{lines}\n")
    rows = "\n".join(f"a{row % 3},{row % 2},0.33" for row in range(60))
    (tmp_path / "log.csv").write_text(f"action,reward,propensity\n{rows}\n")
    text = printed("support", tmp_path / "log.csv", "--actions", tmp_path / "items.csv")
    assert "4 known, 3 logged, 1 novel" in text


def test_a_fault_of_the_actions_names_their_file(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id\na0\na1\n")
    (tmp_path / "log.csv").write_text("action,reward,propensity\na0,1,0.5\na1,0,0.5\n")
    words = ["explore", "support", str(tmp_path / "log.csv"), "--actions", str(tmp_path / "items.csv")]
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, InputError) and f"{tmp_path / 'items.csv'}: the table of actions" in str(
        refused
    )


def test_a_mark_that_is_no_truth_is_named() -> None:
    with pytest.raises(
        InputError, match="row 2, column 'new' of the actions: 'perhaps' is neither true nor false"
    ):
        explore.Catalogue.of(pa.table({"action": ["a", "b"], "new": ["true", "perhaps"]}))
