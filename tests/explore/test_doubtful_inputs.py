"""Inputs that were read without a word, from the command line and from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import run_command

from tastemaker.errors import InputError
from tastemaker.explore import Columns, SoftmaxPolicy, check_log, uniform_policy
from tastemaker.store import write_table

Run = Callable[..., tuple[int, str]]
IDS = [f"a{number}" for number in range(10)]


def log(**columns: object) -> pa.Table:
    """600 rows of a uniform logger over ten actions, with columns put in or put over."""
    rng = np.random.default_rng(0)
    plain = {"action": rng.choice(IDS, 600), "reward": rng.random(600) < 0.2, "propensity": np.full(600, 0.1)}
    return pa.table({**plain, "user_id": [f"u{row}" for row in range(600)], **columns})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command on a log: its exit code, and all that it prints."""

    def ran(command: str, table: pa.Table, *words: object) -> tuple[int, str]:
        write_table(tmp_path / "log.parquet", table)
        code, shown, errors = run_command(
            capsys, monkeypatch, "explore", command, tmp_path / "log.parquet", *words
        )
        return code, shown + errors

    return ran


@pytest.mark.parametrize("policy", [["--policy", "uniform"], []])
def test_a_candidate_needs_a_run(run: Run, policy: list[str]) -> None:
    """It was ignored."""
    code, output = run("support", log(), *policy, "--candidate", 7)
    assert code == 2 and "--candidate 7 is of a run" in output


def test_a_role_has_one_column(run: Run) -> None:
    """The last one given was taken."""
    code, output = run("estimate", log(), "--column", "reward=reward", "--column", "reward=propensity")
    assert code == 2 and "--column reward=... is given twice" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--column", "reward=propensity"], "'propensity' cannot be both reward and propensity"),
        (["--context", "reward"], "'reward' cannot be both reward and context"),
    ],
)
def test_a_column_has_one_part(run: Run, words: list[str], message: str) -> None:
    """The reward was a context that foretells the reward."""
    code, printed = run("estimate", log(), *words)
    assert code == 2 and message in printed


def test_an_action_is_once_in_a_pool(run: Run) -> None:
    """It counted twice in what a request could show, and the propensities were blamed."""
    pools = [IDS, *[[*IDS, "a3"]] * 599]
    code, output = run("estimate", log(pool=pools))
    assert code == 2 and "row 2, column 'pool' holds an action twice" in output


def test_an_action_in_two_spellings_is_named(run: Run) -> None:
    """Half of the rows were of other actions, and the propensities were blamed."""
    table = log()
    names = [name.upper() if n % 2 else name for n, name in enumerate(table["action"].to_pylist())]
    table = table.set_column(table.column_names.index("action"), "action", pa.array(names))
    code, output = run("estimate", table)
    assert code == 2 and "two spellings of one value" in output


def test_an_action_is_once_in_the_catalogue() -> None:
    """Rows of the second one were nobody's."""
    with pytest.raises(InputError, match="'a3' comes twice among the 11 known actions"):
        check_log(log(), Columns(), [*IDS, "a3"])


@pytest.mark.parametrize("name", ["vectors", "matrix", "bias", "shift"])
def test_a_policy_of_numbers_that_are_none_is_refused(name: str) -> None:
    """Each of its probabilities was NaN."""
    parts = {"vectors": np.ones((3, 2)), "matrix": np.ones((2, 2)), "bias": np.ones(3), "shift": np.ones(2)}
    parts[name][1] = np.nan
    with pytest.raises(InputError, match=f"{name}: row 2 holds a number that is not finite"):
        SoftmaxPolicy(**parts)


def test_a_uniform_policy_over_nothing_is_refused() -> None:
    """0 / 0 was told as a table whose rows do not sum to 1."""
    with pytest.raises(InputError, match="no action is allowed"):
        uniform_policy(3, np.zeros(3, bool))


def test_a_fitted_logger_is_not_blamed_for_its_own_error(run: Run) -> None:
    """Five of six honest logs without context were refused: "the propensities are not those of the logger",
    at a mean weight of 1.0006.
    """
    for seed in range(12):
        rng = np.random.default_rng(seed)
        honest = log(action=rng.choice(IDS, 600)).drop_columns(["propensity"])
        code, output = run("estimate", honest, "--fit-logger")
        assert code == 0, output
