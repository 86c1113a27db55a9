"""The page on conversations runs as written: its Python blocks and shell lines, in the order a reader meets
them.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.docs.test_pages import DOCS, run


def test_from_a_catalogue_to_an_exported_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = re.findall(r"^```(sh|python)\n(.*?)^```", (DOCS / "converse.md").read_text(), flags=re.M | re.S)
    assert [kind for kind, _ in parts].count("python") == 2 and len(parts) >= 8
    for number, (kind, text) in enumerate(parts):
        if kind == "python":
            script = tmp_path / f"snippet{number}.py"
            script.write_text(text)
            runpy.run_path(str(script))
        else:
            for line in filter(str.strip, text.splitlines()):
                run(line, monkeypatch)
    shown = capsys.readouterr().out
    assert " fit) " in shown and "no fault" in shown
    folder = tmp_path / "shop" / "conversations" / "first"
    assert {path.name for path in (folder / "exports").iterdir()} >= {
        "chat.jsonl",
        "crs.json",
        "talkplay.jsonl",
    }
