"""What a log is checked for before anything is concluded, from the command line: each fault refuses, by name,
and goes on only where it is accepted by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tastemaker import explore
from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.explore.checked import preflight
from tastemaker.explore.policy.base import Pools
from tastemaker.explore.rows import column_marks, row_marks, spent_again, spent_marks, told_again
from tastemaker.explore.table import Log
from tastemaker.store import write_table

ROWS, LOGGED, NEW = 600, 10, 2
Columns = dict[str, Any]


def run(*words: object) -> tuple[int, str]:
    """Exit code and output; an expected error is raised."""
    result = CliRunner().invoke(app, ["explore", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def log_columns(rows: int = ROWS, key: int = 0) -> Columns:
    draws = np.random.default_rng(key)
    return {
        "action": [f"a{number}" for number in draws.integers(0, LOGGED, rows)],
        "reward": (draws.random(rows) < 0.5).astype(int).tolist(),
        "propensity": [1 / LOGGED] * rows,
        "x0": draws.normal(size=rows).tolist(),
        "user_id": [f"{key}u{number}" for number in range(rows)],
        "request_id": [f"{key}r{number}" for number in range(rows)],
        "timestamp": [f"2024-01-{1 + number % 28:02} 00:00:00+00:00" for number in range(rows)],
    }


def item_columns() -> Columns:
    draws, count = np.random.default_rng(1), LOGGED + NEW
    columns: Columns = {"action": [f"a{number}" for number in range(count)]}
    columns["new"] = ["False"] * LOGGED + ["True"] * NEW
    return columns | {f"v{number}": draws.normal(size=count).tolist() for number in range(2)}


class Study:
    """A log and a catalogue as CSV files, and commands on them."""

    def __init__(self, folder: Path, log: Columns | None = None, items: Columns | None = None) -> None:
        self.folder = folder
        self.write("log.csv", log or log_columns())
        self.write("items.csv", items or item_columns())

    def write(self, name: str, columns: Columns) -> Path:
        """As CSV."""
        lines = [",".join(columns)] + [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        (self.folder / name).write_text("\n".join(lines) + "\n")
        return self.folder / name

    def run(self, command: str, *more: object, log: str = "log.csv") -> tuple[int, str]:
        """A command on the log and the catalogue."""
        source = [self.folder / log, "--actions", self.folder / "items.csv", "--context", "x0"]
        return run(command, *source, *more)

    def learn(self, out: str, *more: object, log: str = "log.csv") -> tuple[int, str]:
        """A short run in the folder `out`."""
        return self.run("learn", "--out", self.folder / out, "--steps", 3, "-q", *more, log=log)

    def certify(self, study: str, book: str, *more: object, log: str = "log.csv") -> tuple[int, str]:
        """The run's certificate, in a folder of the ledger's name."""
        paths = ["--run", self.folder / study, "--ledger", self.folder / book]
        return self.run("certify", *paths, "--out", self.folder / f"{book}.out", "-q", *more, log=log)


def test_a_sound_log_goes_through_with_times_and_flags_of_a_csv(tmp_path: Path) -> None:
    study = Study(tmp_path)
    code, printed = study.run("estimate", "--json")
    values = json.loads(printed)
    assert code == 0 and values["units"] == ROWS and values["unit"] == "user" and values["accepted"] == []
    early, late, _ = values["halves"]["ips"]
    assert early != late and abs((early + late) / 2 - 0.5) < 0.1
    assert "stationarity" in study.run("estimate")[1] and "27.0 days" in study.run("support")[1]
    assert study.learn("run")[0] == 0
    code, printed = study.certify("run", "book.sqlite", "--json")
    certificate = json.loads(printed)["certificates"][0]
    assert code in (0, 1) and certificate["units"] > 100 and certificate["accepted"] == []
    page = (tmp_path / "book.sqlite.out" / "certificate.md").read_text()
    for words in ("stationarity", "first half of the time", "Persons counted once", "Every check passed"):
        assert words in page


def changed(name: str, change: Callable[[list[Any]], list[Any]]) -> Columns:
    columns = log_columns()
    return columns | {name: change(list(columns[name]))}


def twice(columns: Columns) -> Columns:
    return {name: [*values, *values] for name, values in columns.items()}


FAULTS: dict[str, tuple[str, Columns]] = {
    "scale": ("weights", changed("propensity", lambda old: [0.05] * ROWS)),
    "constant": ("weights", changed("propensity", lambda old: [0.9] * ROWS)),
    "certain": ("weights", changed("propensity", lambda old: [1.0] * ROWS)),
    "rare": ("propensities", changed("propensity", lambda old: [1e-9, *old[1:]])),
    "twice": ("duplicates", twice(log_columns())),
    "shown": ("catalogue", changed("action", lambda old: [f"a{LOGGED}", *old[1:]])),
    "few": ("units", changed("user_id", lambda old: [f"u{number % 12}" for number in range(ROWS)])),
    "ahead": ("time", changed("timestamp", lambda old: ["2999-01-01 00:00:00+00:00", *old[1:]])),
    "long ago": ("time", changed("timestamp", lambda old: ["1900-01-01 00:00:00+00:00"] * ROWS)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_refused_by_name_and_accepted_by_name(tmp_path: Path, fault: str) -> None:
    check, columns = FAULTS[fault]
    study = Study(tmp_path, columns)
    for command in ("estimate", "learn"):
        extra = ("--out", tmp_path / "none", "-q") if command == "learn" else ()
        code, printed = study.run(command, *extra)
        assert (
            code == 1
            and "refused: " in printed
            and f"{check}: " in printed
            and f"--accept {check}" in printed
        )
    code, printed = study.run("estimate", "--accept", check, "--json")
    assert code == 0 and json.loads(printed)["accepted"] == [check]
    assert f"{check}: FAILED" in study.run("support")[1]
    with pytest.raises(InputError, match="no such check"):
        study.run("estimate", "--accept", "everything")


def test_a_day_is_no_moment(tmp_path: Path) -> None:
    columns = changed("timestamp", lambda old: [f"2024-03-{number % 5 + 1:02d}" for number in range(ROWS)])
    columns["action"][5] = columns["action"][0]
    columns["user_id"][5] = columns["user_id"][0]
    code, printed = Study(tmp_path, columns).run("estimate", "--accept", "units", "--json")
    assert code == 0, printed
    (tmp_path / "again").mkdir()
    code, printed = Study(tmp_path / "again", twice(columns)).run("estimate", "--accept", "units")
    assert code == 1 and "duplicates: " in printed


def test_what_was_accepted_stands_on_the_certificate(tmp_path: Path) -> None:
    study = Study(tmp_path, FAULTS["scale"][1])
    assert study.learn("run", "--accept", "weights")[0] == 0
    code, printed = study.certify("run", "book.sqlite")
    assert code == 1 and "refused: weights" in printed and not (tmp_path / "book.sqlite.out").exists()
    assert study.certify("run", "book.sqlite", "--accept", "weights")[0] in (0, 1)
    page = (tmp_path / "book.sqlite.out" / "certificate.md").read_text()
    assert "Accepted although it failed: weights" in page and "if what failed (weights)" in page.lower()


def test_the_raw_form_of_open_bandit_runs_with_names_of_columns_alone(tmp_path: Path) -> None:
    draws, lines = (
        np.random.default_rng(3),
        [",timestamp,item_id,position,click,propensity_score,user_feature_0"],
    )
    for row in range(600):
        cells = f"2019-11-24 00:{row // 60:02}:{row % 60:02}.004101+00:00,{draws.integers(10)},{row % 3 + 1}"
        lines.append(f"{row},{cells},{int(draws.random() < 0.3)},0.1,{'abcdef'[row % 6] * 8}")
    raw = tmp_path / "men.csv"
    raw.write_text("\n".join(lines) + "\n")
    names = [f"--column={name}" for name in ("action=item_id", "reward=click", "propensity=propensity_score")]
    code, printed = run("support", raw, *names, "--policy", "uniform")
    assert code == 0 and "mean weight" in printed and "FAILED" not in printed
    code, printed = run("estimate", raw, *names, "--policy", "uniform", "--json")
    assert code == 0 and {row["estimator"] for row in json.loads(printed)["estimates"]} >= {"ips", "snips"}


def test_five_rows_teach_nothing(tmp_path: Path) -> None:
    study = Study(tmp_path, log_columns(5))
    code, printed = study.learn("run")
    assert code == 1 and "too few persons" in printed and not (tmp_path / "run").exists()


BAD_CELLS: dict[str, tuple[Columns | None, Columns | None, str]] = {
    "propensity": (
        changed("propensity", lambda old: [*old[:4], 1e-300, *old[5:]]),
        None,
        "row 5.*'propensity'",
    ),
    "context": (changed("x0", lambda old: [*old[:2], 1e308, *old[3:]]), None, "row 3.*'x0'"),
    "vector": (None, item_columns() | {"v0": ["nan", *item_columns()["v0"][1:]]}, "row 1.*'v0'"),
    "flag": (
        None,
        item_columns() | {"new": ["perhaps", *item_columns()["new"][1:]]},
        "row 1.*'new'.*perhaps",
    ),
    "moment": (changed("timestamp", lambda old: ["soon", *old[1:]]), None, "row 1.*'timestamp'.*soon"),
}


@pytest.mark.parametrize("cell", BAD_CELLS)
def test_impossible_cells_are_named(tmp_path: Path, cell: str) -> None:
    log, items, words = BAD_CELLS[cell]
    study = Study(tmp_path, log, items)
    for command in ("support", "estimate"):
        with pytest.raises(InputError, match=words):
            study.run(command)
    with pytest.raises(InputError, match=words):
        study.learn("run")


def test_a_list_with_a_hole_is_named(tmp_path: Path) -> None:
    study = Study(tmp_path)
    items = pa.table({"action": [f"a{number}" for number in range(12)], "vector": [[1.0, float("nan")]] * 12})
    write_table(tmp_path / "items.parquet", items)
    with pytest.raises(InputError, match=r"row 1, column 'vector'.*not finite"):
        run("estimate", study.folder / "log.csv", "--actions", tmp_path / "items.parquet")


def test_opened_rows_stay_opened(tmp_path: Path) -> None:
    study = Study(tmp_path)
    assert study.learn("run")[0] == 0 and study.certify("run", "book.sqlite")[0] in (0, 1)
    backwards = {name: values[::-1] for name, values in log_columns().items()}
    study.write("backwards.csv", backwards)
    study.write(
        "longer.csv", {name: [*values, *log_columns(300, 7)[name]] for name, values in log_columns().items()}
    )
    study.write("others.csv", log_columns(ROWS, 8))
    for name, key in (("log.csv", 1), ("backwards.csv", 0), ("longer.csv", 2)):
        out = f"{name}.run"
        assert study.learn(out, "--key", key, log=name)[0] == 0
        for book in ("book.sqlite", "another.sqlite"):
            with pytest.raises(InputError, match="rows of S3 were opened before"):
                study.certify(out, book, log=name)
    assert study.learn("fresh", log="others.csv")[0] == 0
    assert study.certify("fresh", "book.sqlite", log="others.csv")[0] in (0, 1)


def _told_otherwise() -> dict[str, Columns]:
    """The same events with columns left out, added or spelled otherwise; each has its own way to be known."""
    whole = log_columns() | {"x1": np.random.default_rng(3).normal(size=ROWS).tolist()}
    ids = ("user_id", "request_id", "timestamp")
    bare = {name: values for name, values in whole.items() if name not in ids}
    return {
        "one context": {name: values for name, values in whole.items() if name != "x1"},
        "no ids": bare,
        "other requests": whole | {name: [f"q{row}" for row in range(ROWS)] for name in ids[:2]},
        "other context": whole | {"x0": [0.0] * ROWS, "x1": [1.0] * ROWS},
    }


@pytest.mark.parametrize(
    ("form", "bare"),
    [("one context", False), ("no ids", False), ("other requests", True), ("other context", False)],
)
def test_opened_rows_stay_opened_in_another_form(tmp_path: Path, form: str, bare: bool) -> None:
    forms = _told_otherwise()
    first = forms["no ids"] if bare else log_columns() | {"x1": forms["no ids"]["x1"]}
    study = Study(tmp_path, first)
    study.write("again.csv", forms[form])
    fresh = {**log_columns(ROWS, 9), "timestamp": log_columns()["timestamp"]}
    study.write("fresh.csv", fresh)
    assert study.learn("run", "--context", "x0,x1")[0] == 0
    assert study.certify("run", "book.sqlite", "--context", "x0,x1")[0] in (0, 1)
    assert study.learn("again", "--key", 5, log="again.csv")[0] == 0
    with pytest.raises(InputError, match="rows of S3 were opened before"):
        study.certify("again", "another.sqlite", log="again.csv")
    if form == "one context":
        assert study.learn("fresh", log="fresh.csv")[0] == 0
        assert study.certify("fresh", "book.sqlite", log="fresh.csv")[0] in (0, 1)


def test_rows_that_only_look_alike_are_not_the_same_rows() -> None:
    def plain(key: int) -> Log:
        draws = np.random.default_rng(key)
        return Log(np.zeros((500, 0)), draws.integers(0, 5, 500), draws.integers(0, 2, 500) * 1.0,
                   np.full(500, 0.2), list("abcde"))  # fmt: skip

    opened = spent_marks(plain(0))
    assert spent_again(plain(0).take(np.arange(500)[::-1]), opened) == 500 and not spent_again(
        plain(1), opened
    )
    wide = Log(np.zeros((2, 0)), np.array([0, 1]), np.zeros(2), np.full(2, 0.5), ["a", "b"],
               user=np.array(["u", "longer"]))  # fmt: skip
    assert row_marks(wide)[0] == row_marks(wide.take(np.array([0])))[0]  # whatever else the array holds


def test_a_log_whose_contexts_repeat_is_known_with_a_column_left_out() -> None:
    contexts = np.random.default_rng(0).normal(size=(30, 2))

    def drawn(key: int, columns: int) -> Log:
        draws = np.random.default_rng(key)
        seen = contexts[draws.integers(0, 30, 600)][:, :columns]
        return Log(seen, draws.integers(0, 5, 600), draws.integers(0, 2, 600) * 1.0,
                   np.full(600, 0.2), list("abcde"))  # fmt: skip

    opened = [column_marks(drawn(1, 2))]
    assert told_again(drawn(1, 1), opened) == 600 and told_again(drawn(2, 1), opened) == 0


def test_a_log_of_few_contexts_split_anew_and_without_them_is_known(tmp_path: Path) -> None:
    def repeating(key: int) -> dict[str, list[Any]]:
        draws = np.random.default_rng(key)
        context, action = draws.integers(0, 4, ROWS), draws.integers(0, LOGGED, ROWS)
        reward = (draws.random(ROWS) < 0.2 + 0.1 * (context == action)) * 1.0
        cells = {"action": [f"a{place}" for place in action], "reward": reward.tolist()}
        return {**cells, "propensity": [1 / LOGGED] * ROWS, "x0": context.tolist()}

    study = Study(tmp_path, repeating(0))
    other = {"x0": np.random.default_rng(9).normal(size=ROWS).tolist()}  # in place of the contexts
    study.write("bare.csv", repeating(0) | other)
    study.write("fresh.csv", repeating(1) | other)
    assert study.learn("run")[0] == 0 and study.certify("run", "book.sqlite")[0] in (0, 1)
    assert study.learn("bare", "--key", 5, log="bare.csv")[0] == 0
    with pytest.raises(InputError, match="rows of S3 were opened before"):
        study.certify("bare", "another.sqlite", log="bare.csv")
    assert study.learn("fresh", "--key", 5, log="fresh.csv")[0] == 0
    assert study.certify("fresh", "another.sqlite", log="fresh.csv")[0] in (0, 1)


def test_terms_are_set_once(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.write("others.csv", log_columns(ROWS, 8))
    assert study.learn("run")[0] == 0 and study.certify("run", "book.sqlite")[0] in (0, 1)
    assert study.learn("second", log="others.csv")[0] == 0
    for option, value, promised in (
        ("--c", 0.5, "--c 0.95"),
        ("--floor", 0.5, "--floor 0.9"),
        ("--delta", 0.2, "--delta 0.05"),
        ("--gates", 1, "--gates 5"),
    ):
        with pytest.raises(InputError, match=f"promises {promised}, which was set once"):
            study.certify("second", "book.sqlite", option, value, log="others.csv")
    with pytest.raises(InputError, match=r"--delta 0\.9: a promise that fails more often"):
        study.certify("second", "new.sqlite", "--delta", 0.9, log="others.csv")
    assert study.certify("second", "book.sqlite", "--c", 0.95, log="others.csv")[0] in (0, 1)


def test_a_fitted_logger_is_a_condition_of_the_claim(tmp_path: Path) -> None:
    study = Study(tmp_path, {name: part for name, part in log_columns(900).items() if name != "propensity"})
    assert study.learn("run", "--fit-logger", "--accept", "weights")[0] == 0
    assert study.certify("run", "book.sqlite", "--fit-logger", "--accept", "weights")[0] in (0, 1)
    page = (tmp_path / "book.sqlite.out" / "certificate.md").read_text()
    assert "if the fitted logger is the true one" in page.lower()


def test_a_policy_of_ones_own_by_a_column(tmp_path: Path) -> None:
    # Twice as fond of the first five actions: .15 each, and .05 of the others.
    columns = log_columns()
    columns["mine"] = [0.15 if int(action[1:]) < 5 else 0.05 for action in columns["action"]]
    study = Study(tmp_path, columns)
    code, printed = study.run("estimate", "--policy", "target", "--column", "target=mine", "--json")
    values = {row["estimator"]: row for row in json.loads(printed)["estimates"]}
    expected = np.mean(np.array(columns["mine"]) / 0.1 * np.array(columns["reward"]))
    assert code == 0 and values["ips"]["value"] == pytest.approx(expected) and "dr" not in values
    assert "mean weight" in study.run("support", "--policy", "target", "--column", "target=mine")[1]
    with pytest.raises(InputError, match="--column target=NAME"):
        study.run("estimate", "--policy", "target")
    wrong = columns | {"mine": [0.9] * ROWS}
    study.write("wrong.csv", wrong)
    code, printed = study.run("estimate", "--policy", "target", "--column", "target=mine", log="wrong.csv")
    assert code == 1 and "refused: weights: mean weight of the policy 9.0000" in printed
    assert (
        "the column `target` is not what that policy gives" in printed
        and "those of the logger" not in printed
    )


def test_how_many_rows_a_lift_takes() -> None:
    few = json.loads(run("power", "--lift", 0.5, "--click-rate", 0.1, "--json")[1])
    more = json.loads(run("power", "--lift", 0.1, "--click-rate", 0.1, "--candidates", 4, "--json")[1])
    assert few["rows"] < more["rows"] and few["rows_to_certify"] == pytest.approx(0.3 * few["rows"], abs=1)
    assert "no number of rows" in run("power", "--lift", -0.5, "--click-rate", 0.1)[1]


def test_honest_propensities_of_a_steep_logger_are_no_fault() -> None:
    """What a steep logger all but never draws is missing from a log, and no fault of its propensities."""
    draws, n = np.random.default_rng(3), 700
    logits = 5.0 * draws.normal(size=(n, 50))
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    action = (chance.cumsum(axis=1) > draws.random((n, 1))).argmax(axis=1)
    own = chance[np.arange(n), action]
    pools = Pools(np.tile(np.arange(50), (n, 1)))
    log = Log(
        draws.normal(size=(n, 2)), action, np.ones(n), own, [str(number) for number in range(50)], pool=pools
    )
    assert (1 / 50 / own).mean() < 0.5
    assert preflight(log, np.ones(50, bool)).refusal == ""
    known = replace(
        log, pool=Pools(pools.items, logits)
    )  # as the server keeps them: then nothing can be false
    assert preflight(known, np.ones(50, bool)).refusal == ""
    wrong = replace(known, propensity=np.r_[own[:-1], own[-1] / 2])
    assert "propensities: row 700 is not what" in preflight(wrong, np.ones(50, bool)).refusal
    false = replace(
        log, propensity=np.full(n, 0.06), action=draws.integers(0, 50, n)
    )  # three times too large
    assert "weights: mean weight of a uniform policy 0.3333" in preflight(false, np.ones(50, bool)).refusal


def test_one_check_is_accepted_by_its_name_alone() -> None:
    log = Log(np.zeros((400, 0)), np.zeros(400, dtype=int), np.zeros(400), np.full(400, 0.2), ["a"])
    own = replace(log, target=np.full(400, 0.9))
    with pytest.raises(InputError, match="--accept nosuch: there is no such check"):
        explore.estimate_policy(own, explore.OwnPolicy(), accept="nosuch")
    played, policies = np.array([True]), [explore.OwnPolicy()]
    by_name, listed = (
        preflight(own, played, None, policies, accept=accept) for accept in ("weights", ["weights"])
    )
    assert by_name == listed and by_name.accepted == ("weights",)


def test_ones_own_policy_is_certified_from_the_command_line(tmp_path: Path) -> None:
    # Action 0 is always rewarded, the others now and then; "mine" plays it half of the time, "worse" never.
    columns = log_columns(4_000)
    first = np.array([action == "a0" for action in columns["action"]])
    columns["reward"] = np.where(first, 1, np.random.default_rng(3).random(4_000) < 0.2).astype(int).tolist()
    columns["mine"] = np.where(first, 0.5, 0.5 / 9).tolist()
    columns["worse"] = np.where(first, 0.0, 1 / 9).tolist()
    study = Study(tmp_path, columns)

    def certify(column: str, book: str, *more: object) -> tuple[int, dict[str, Any]]:
        words = ("--policy", "target", "--column", f"target={column}", "--ledger", tmp_path / book, "--json")
        code, printed = study.run("certify", *words, "--out", tmp_path / column, "-q", *more)
        return code, json.loads(printed)

    code, result = certify("worse", "worse.sqlite")
    assert code == 1 and not result["passed"]
    refused = result["certificates"][0]["policy_hash"]
    (tmp_path / ".tastemaker-spent.sqlite").unlink()
    code, result = certify("mine", "book.sqlite")
    (certificate,) = result["certificates"]
    assert code == 0 and certificate["passed"] and certificate["n"] > 2_900 and certificate["novelty"] < 0.1
    assert re.fullmatch("[0-9a-f]{32}", certificate["policy_hash"]) and certificate["policy_hash"] != refused
    assert "made without these rows" in (tmp_path / "mine" / "certificate.md").read_text()
    with pytest.raises(InputError, match="opened before"):
        certify("worse", "another.sqlite", "--key", "1")
    with pytest.raises(InputError, match="certify takes `target`"):
        study.run("certify", "--policy", "uniform", "--ledger", tmp_path / "book.sqlite")
    # Probabilities on another scale are refused, as those of the logger are, and no row is opened for them.
    columns["mine"] = [min(1.0, 1.5 * value) for value in columns["mine"]]
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    study = Study(fresh, columns)
    code, result = certify("mine", "fresh.sqlite")
    assert code == 1 and "mean weight of the policy" in result["reason"]
    assert not (fresh / ".tastemaker-spent.sqlite").exists() or certify(
        "mine", "fresh.sqlite", "--accept", "weights"
    )[0] in (0, 1)


def test_a_run_is_estimated_on_rows_it_was_not_learnt_from(tmp_path: Path) -> None:
    study = Study(tmp_path)
    assert study.learn("run")[0] == 0
    for command in ("estimate", "support"):
        code, printed = study.run(command, "--policy", tmp_path / "run", "--json")
        values = json.loads(printed)
        assert code == 0 and "learnt from others (S1)" in values["judged_on"]
        assert 0 < values["rows"] < 0.3 * ROWS
        assert "left for `certify`" in study.run(command, "--policy", tmp_path / "run")[1]
    assert json.loads(study.run("estimate", "--json")[1])["rows"] == ROWS


def python_log(columns: Columns) -> tuple[explore.Log, explore.Catalogue]:
    items = explore.Catalogue.of(pa.table(item_columns()))
    return explore.check_log(pa.table(columns), explore.Columns(context=("x0",)), items.ids), items


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "shown"])
def test_python_refuses_what_the_commands_refuse(fault: str) -> None:
    check, columns = FAULTS[fault]
    log, items = python_log(columns)
    existing, even = items.existing(log), explore.uniform_policy(LOGGED + NEW, items.existing(log))
    words, listed = f"refused: .*{check}: .*--accept {check}", [check]
    with pytest.raises(InputError, match=words):
        explore.estimate_policy(log, even, names=["ips"])
    (row,) = explore.estimate_policy(log, even, names=["ips"], accept=listed)
    assert any(note.startswith(f"{check}: FAILED, accepted") for note in row.interval.assumptions)
    parts = explore.split(log)
    space, brief = explore.Features(items.vectors), explore.PathSettings(learner=explore.Settings(steps=2))
    with pytest.raises(InputError, match=words):
        explore.safe_opg(parts, space, existing, settings=brief)
    (refused,) = explore.certify([even], parts, existing=existing)
    assert not refused.passed and not refused.tested and f"{check}: " in refused.reason
    (given,) = explore.certify([even], parts, existing=existing, accept=listed)
    assert given.accepted == (check,) and any(
        line.startswith(f"{check}: FAILED") for line in given.checks or ()
    )
    assert given.tested or "too few" in given.reason


def test_python_refuses_what_the_catalogue_contradicts() -> None:
    log, items = python_log(FAULTS["shown"][1])
    even, parts = explore.uniform_policy(LOGGED + NEW, items.existing(log)), explore.split(log)
    (refused,) = explore.certify([even], parts, existing=items.existing(log), new=items.new)
    assert not refused.tested and "catalogue: 1 action is marked new" in refused.reason
    with pytest.raises(InputError, match="no such check"):
        explore.certify([even], parts, accept=["all"])
    outcome = explore.safe_opg(
        explore.split(python_log(log_columns())[0]),
        explore.Features(items.vectors),
        items.existing(log),
        settings=explore.PathSettings(learner=explore.Settings(steps=2)),
    )
    assert outcome.certificates[0].checks and outcome.certificates[0].accepted == ()


def test_a_confidence_is_no_error_probability(tmp_path: Path) -> None:
    """With --delta .95 the "lower bounds" lay above the values."""
    study = Study(tmp_path)
    for command, words in (("estimate", ()), ("support", ("--policy", "uniform"))):
        with pytest.raises(InputError, match=r"delta .*below \.5"):
            study.run(command, *words, "--delta", 0.95)
    with pytest.raises(InputError, match=r"delta .*below \.5"):
        run("power", "--lift", 0.2, "--click-rate", 0.1, "--delta", 0.95)


def test_a_lift_in_percent_is_no_share() -> None:
    """ "--lift 20" for 20 % was 21 times a click rate of .2, for which 70 rows would do."""
    with pytest.raises(InputError, match=r"a lift of 2000% over a click rate of 0\.2 is a rate above 1"):
        run("power", "--lift", 20, "--click-rate", 0.2)
