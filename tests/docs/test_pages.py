"""The documentation runs: every shell line and Python block of these pages, in the order a reader meets
them.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastemaker.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
# Lines a test cannot run: they serve until stopped, or need a downloaded package. Nothing else may be left
# out.
LEFT_OUT = ("tastemaker serve", "make smollm2")
SMALL = {
    "sft_epochs": 1,
    "sasrec_epochs": 1,
    "width": 32,
    "threads": 1,
    "text_view": '"tfidf"',
}


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), flags=re.M | re.S)


def shop(folder: Path) -> None:
    """The tables that the pages speak of: items I1..I60 with a colour, users U1..U80."""
    rng = np.random.default_rng(0)
    colours = ["red", "green", "blue"]
    items = [
        {"item_id": f"I{i}", "title": f"Thing {i}", "attributes": [f"colour={colours[i % 3]}"]}
        for i in range(1, 61)
    ]
    pl.DataFrame(items).write_parquet(folder / "items.parquet")
    rows = [
        {"user_id": f"U{u}", "item_id": f"I{int(item) + 1}", "position": position}
        for u in range(1, 81)
        for position, item in enumerate(rng.permutation(60)[: rng.integers(5, 12)])
    ]
    pl.DataFrame(rows).write_csv(folder / "interactions.csv")


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command line in this process; anything but success fails."""
    words = shlex.split(line)
    assert words[0] == "tastemaker", line
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
    except SystemExit as end:
        assert not end.code, line
    if words[1] == "init":
        toml = Path(words[2]) / "tastemaker.toml"
        text = toml.read_text()
        for name, value in SMALL.items():
            text, changed = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.M)
            assert changed == 1
        toml.write_text(text)


def test_quickstart_and_api_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("quickstart.md", "sh") for line in block.splitlines() if line.strip()]
    done = [line for line in lines if not line.startswith(LEFT_OUT)]
    assert len(done) >= 6
    for line in done:
        run(line, monkeypatch)
    assert "colour=red" in capsys.readouterr().out
    (script,) = blocks("api.md", "python")
    (tmp_path / "snippet.py").write_text(script)
    runpy.run_path(str(tmp_path / "snippet.py"))
    shown = capsys.readouterr().out
    assert shown.count("'I") == 5 and "'I4'" not in shown
    _ask_as_the_page_does()


def _ask_as_the_page_does() -> None:
    from starlette.testclient import TestClient

    from tastemaker.server import create_app
    from tastemaker.serving.service import WorkspaceService
    from tastemaker.store import Workspace

    (line,) = [
        command for block in blocks("api.md", "sh") for command in block.splitlines() if "curl" in command
    ]
    words = shlex.split(line)
    body = json.loads(words[words.index("-d") + 1])
    with TestClient(
        create_app(WorkspaceService(Workspace.open(Path("shop")))), base_url="http://localhost:8765"
    ) as client:
        answer = client.post(words[2].partition("8765")[2], json=body)
        assert answer.status_code == 200
        assert len(answer.json()["rows"]) == body["k"]
