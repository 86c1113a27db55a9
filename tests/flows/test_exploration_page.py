"""docs/explore.md runs as it stands, and the commands behind it refuse what they must."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.explore.ledger.ledger import bank
from tastemaker.flows.explore.ledger_store import LedgerStore
from tastemaker.store import read_any, write_table

PAGE = Path(__file__).parents[2] / "docs" / "explore.md"
RUNNER = CliRunner()


def run(line: str) -> tuple[int, str]:
    """Exit code and output of a command line; an expected error is raised."""
    words = shlex.split(line)
    assert words[0] == "tastemaker"
    result = RUNNER.invoke(app, words[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, int, str]]]:
    """The page's folder after every snippet, and what each command said."""
    import torch

    torch.set_num_threads(1)
    folder, printed, names = tmp_path_factory.mktemp("page"), [], {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, code in re.findall(
            r"^```(python|sh)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
        ):
            if language == "python":
                exec(compile(code, str(PAGE), "exec"), names)
            else:
                printed += [(line, *run(line)) for line in code.strip().splitlines()]
    return folder, printed


def test_every_command_of_the_page_ends_well(walked: tuple[Path, list[tuple[str, int, str]]]) -> None:
    folder, printed = walked
    assert [code for _, code, _ in printed] == [0] * 10, printed
    assert "passed" in printed[3][2] and "deployed candidate" in printed[4][2]
    assert "no alarm" in printed[6][2] and "0 planned rounds not banked" in printed[7][2]
    page = (folder / "certificate" / "certificate.html").read_text()
    assert "May go live" in page and "What must hold" in page and "<script" not in page
    values = json.loads((folder / "certificate" / "certificates.json").read_text())
    rungs = [item["novelty"] for item in values]  # a ladder: seven shares of new items from each point
    assert all(
        rungs[first : first + 7] == sorted(rungs[first : first + 7]) for first in range(0, len(rungs), 7)
    )


SOURCE = "log.parquet --actions items.parquet --context x0,x1,x2"


def test_held_out_rows_are_spent_once(walked: tuple[Path, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked[0])
    for option in ("--run", "--study"):  # the second is what version 0.1 called it
        with pytest.raises(InputError, match="opened before"):
            run(f"tastemaker explore certify {SOURCE} {option} run --ledger book.sqlite --out again -q")


def test_a_log_without_rewards_is_refused_with_a_reason(
    walked: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walked[0])
    table = read_any(Path("log.parquet"))
    place = table.column_names.index("reward")
    write_table(Path("nothing.parquet"), table.set_column(place, "reward", pa.array(np.zeros(len(table)))))
    code, printed = run("tastemaker explore support nothing.parquet --actions items.parquet --json")
    assert code == 0 and json.loads(printed)["rewarded"] == 0
    code, printed = run("tastemaker explore learn nothing.parquet --actions items.parquet --out empty -q")
    assert code == 1 and "refused: none of the" in printed and not Path("empty").exists()
    with pytest.raises(InputError, match="other rows"):
        run(
            "tastemaker explore certify nothing.parquet --actions items.parquet --run run --ledger"
            " b2.sqlite -q"
        )


def test_nothing_is_deployed_without_a_certificate(
    walked: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walked[0])
    # The same rows are spent whatever the key, the ledger and the names of people; other people's are not.
    assert run(f"tastemaker explore learn {SOURCE} --out wild --key wild --shares 0.9,0.95 -q")[0] == 0
    with pytest.raises(InputError, match=r"of the .* rows of S3 were opened before"):
        run(f"tastemaker explore certify {SOURCE} --run wild --ledger wild.sqlite --out refused -q")
    page = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
    drawn = page.replace("log.parquet", "others.parquet").replace("key=1)", "key=2)")
    exec(compile(drawn, str(PAGE), "exec"), {})
    for name in ("log", "others"):
        table = read_any(Path(f"{name}.parquet"))
        people = pa.array([f"other {person}" for person in table["user_id"].to_pylist()])
        place = table.column_names.index("user_id")
        write_table(Path(f"{name}-2.parquet"), table.set_column(place, "user_id", people))
    source = SOURCE.replace("log", "log-2", 1)
    assert run(f"tastemaker explore learn {source} --out renamed --shares 0.9,0.95 -q")[0] == 0
    with pytest.raises(InputError, match=r"of the .* rows of S3 were opened before"):
        run(f"tastemaker explore certify {source} --run renamed --ledger wilder.sqlite --out refused -q")
    source = SOURCE.replace("log", "others-2", 1)
    # A candidate that leaves the logger's items almost wholly cannot pass; its refusal ends with exit code 1.
    assert run(f"tastemaker explore learn {source} --out wilder --shares 0.9,0.95 -q")[0] == 0
    code, printed = run(
        f"tastemaker explore certify {source} --run wilder --ledger wilder.sqlite --out refused --json -q"
    )
    assert code == 1 and not json.loads(printed)["passed"]
    assert "Must not go live" in (Path("refused") / "certificate.md").read_text()
    code, printed = run("tastemaker explore deploy --run wilder --certificate refused --ledger wilder.sqlite")
    assert code == 1 and "not deployed: refused" in printed


def test_the_next_gate_reads_rows_of_a_mixture(
    walked: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walked[0])
    first, later = (
        json.loads((Path(name) / "certificates.json").read_text()) for name in ("certificate", "next")
    )
    assert {item["cap"] for item in first} == {1.0} and {item["cap"] for item in later} == {5.0}
    book = LedgerStore(Path("book.sqlite")).read()
    # What was banked is what the second deployment may spend, over its 10,000 planned rounds.
    assert later[0]["margin"] == pytest.approx(-bank(book).low / 10_000) and bank(book).low > 0
    table = read_any(Path("served.parquet"))
    write_table(Path("blind.parquet"), table.drop_columns(["reference_propensity"]))
    learn = f"tastemaker explore learn {SOURCE.replace('log', 'blind', 1)} --out blind -q"
    code, printed = run(learn)  # without that column the logger seems to have shown new items
    assert code == 1 and "--accept catalogue" in printed
    code, printed = run(f"{learn} --accept catalogue")
    assert code == 0, printed
    line = (
        f"tastemaker explore certify {SOURCE.replace('log', 'blind', 1)} --run blind --ledger book.sqlite"
        " --out blind-out -q"
    )
    with pytest.raises(InputError, match=r"'reference_propensity' is missing.*--column reference=propensity"):
        run(line)
    with pytest.raises(InputError, match="opened before"):
        run(f"{line} --column reference=propensity --accept catalogue")
    write_table(Path("renamed.parquet"), table.rename_columns({"reference_propensity": "pi0"}))
    assert run("tastemaker explore watch renamed.parquet --ledger book.sqlite --column reference=pi0")[0] == 0


def test_rows_are_banked_once_and_no_more_than_planned(
    walked: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walked[0])
    for name in ("book.sqlite", "book.sqlite-wal"):
        if Path(name).exists():
            shutil.copy(name, name.replace("book", "copy"))
    with pytest.raises(InputError, match="banked before"):
        run("tastemaker explore ledger --ledger copy.sqlite --settle served.parquet")
    rows = read_any(Path("served.parquet")).slice(0, 9_000)
    write_table(Path("again.parquet"), rows)
    with pytest.raises(InputError, match=r"9,000 rounds .* 0 planned ones are left.*certify and deploy anew"):
        run("tastemaker explore ledger --ledger copy.sqlite --settle again.parquet")


def test_a_dead_stream_raises_the_alarm(walked: tuple[Path, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked[0])
    with pytest.raises(InputError, match="policy_propensity"):
        run("tastemaker explore watch log.parquet --ledger book.sqlite")
    rows = 4000
    draws = np.random.default_rng(0)
    dead = {
        "action": ["item00"] * rows,
        "reward": (draws.random(rows) < 0.5) * 1.0,
        "propensity": [0.5] * rows,
    }
    dead |= {"policy_propensity": [0.01] * rows, "reference_propensity": [0.9] * rows}
    write_table(Path("dead.parquet"), pa.table(dead))
    code, printed = run("tastemaker explore watch dead.parquet --ledger book.sqlite --hand-back")
    assert code == 1 and "ALARM" in printed
    code, printed = run("tastemaker explore ledger --ledger book.sqlite --json")
    assert json.loads(printed)["serving"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": [0.0]}, "row 3, column 'propensity'.*not above 0"),
        ({"propensity": [1.5]}, "row 3, column 'propensity'.*above 1"),
        ({"reward": [-1.0]}, "row 3, column 'reward'.*negative"),
        ({"reward": [2.0]}, "row 3, column 'reward'.*r_max"),
        ({"action": ["elsewhere"]}, "row 3, column 'action'.*elsewhere"),
    ],
)
def test_bad_rows_are_named(
    walked: tuple[Path, object],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, list[object]],
    message: str,
) -> None:
    monkeypatch.chdir(walked[0])
    rows = read_any(Path("log.parquet")).slice(0, 50).to_pylist()
    for name, (value,) in change.items():
        rows[2][name] = value
    write_table(Path("bad.parquet"), pa.Table.from_pylist(rows))
    with pytest.raises(InputError, match=message):
        run("tastemaker explore support bad.parquet --actions items.parquet")


def test_wrong_arguments_are_told() -> None:
    for line, message in (
        ("support", "--log|either"),
        ("support x.csv --column click", "role=name"),
        ("support x.csv --column colour=click", "no such role|cannot|x.csv"),
        ("learn x.csv --shares a,b", "numbers"),
    ):
        with pytest.raises(InputError, match=message):
            run(f"tastemaker explore {line}")
