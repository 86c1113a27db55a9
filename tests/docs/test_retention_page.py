"""docs/retention.md runs as written: every shell line, the Python block, the dials and the plan."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tastemaker.cli.main import main
from tastemaker.store import read_table

PAGE = (Path(__file__).parents[2] / "docs" / "retention.md").read_text()
# What may also refuse: the claims of a small rehearsal. Everything else has to succeed.
MAY_REFUSE = (
    "retention survey weigh",
    "retention survey asked",
    "retention proxy drift",
    "experiment read",
)


def test_the_page_runs_as_written(
    untouched_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(untouched_workspace, tmp_path / "shop")
    (tmp_path / "shop" / "tastemaker.sqlite").unlink(missing_ok=True)
    monkeypatch.chdir(tmp_path)
    run_count, session = 0, dict[str, object]()
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.M | re.S):
        if language == "toml":
            turn(tmp_path / "shop" / "tastemaker.toml", text)
        elif language == "plan":
            (tmp_path / "plan.toml").write_text(text)
        elif language == "python":
            exec(compile(text, "docs/retention.md", "exec"), session)  # one session, as a reader has it
        elif language == "sh":
            for line in filter(None, text.splitlines()):
                run_count += run(line, monkeypatch)
    assert run_count == 15
    output = capsys.readouterr().out
    assert output.count("deployed: it ranks from the next request on") == 2
    assert (
        "withdrawn: lists keep the model's own order" in output
        and "learnt from" in output.partition("withdrawn")[2]
    )
    assert "Asking moves 'returned' by" in output
    assert set(read_table(Path("surveys.parquet"))["question"].to_pylist()) == {"return"}
    results = read_table(Path("results.parquet")).to_pylist()
    assert {row["arm"] for row in results} == {"control", "treatment"} and {
        row["returned"] for row in results
    } == {0, 1}
    assert (tmp_path / "readout" / "report.html").exists() and (tmp_path / "weights" / "report.html").exists()


def turn(path: Path, dials: str) -> None:
    """Set the dials of a block in the workspace's file."""
    text = path.read_text()
    for line in dials.splitlines():
        name, _, value = line.partition("#")[0].partition("=")
        text, changed = re.subn(
            rf"^{name.strip()} = .*$", f"{name.strip()} = {value.strip()}", text, flags=re.M
        )
        assert changed == 1, line
    path.write_text(text)


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """One command in this process, 1; or 0 for the one that serves until it is stopped."""
    if line.startswith("tastemaker serve"):
        return 0
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    refused = code == 1 and line.removeprefix("tastemaker ").startswith(MAY_REFUSE)
    assert code == 0 or refused, (line, code)
    return 1
