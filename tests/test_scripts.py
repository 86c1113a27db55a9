"""Recipes, benchmarks and examples: every module imports, so that what is renamed is renamed there too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    path for folder in ("recipes", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)
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
