"""No file of the package imports another that leads back to it: imports of modules, inside functions and for
types alone all count.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """The modules of a circle in their order, the first one again at its end; none where there is no
    circle.
    """
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        modules: list[str] = error.args[1]
        return modules
    return []


def imports(package: str) -> dict[str, set[str]]:
    """Of each module of a package the modules that it imports, wherever it does."""
    graph = grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=False)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


@pytest.mark.parametrize("ways", ["mft", "ftm", "tmf", "fft", "ttt", "fff"])
def test_a_circle_is_seen_whichever_way_its_files_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: str
) -> None:
    """Three files in a circle: of the module (m), inside a function (f), for types alone (t)."""
    name = f"planted_{ways}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    for file, other, way in zip("abc", "bca", ways, strict=True):
        line = f"from {name}.{other} import x"
        text = {
            "m": line,
            "f": f"def late():\n    {line}\n    return x",
            "t": f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {line}",
        }
        (folder / f"{file}.py").write_text(text[way] + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(circle(imports(name))) == {f"{name}.{file}" for file in "abc"}


def test_a_circle_is_seen() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()})) == {"a", "b", "c"}
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(imports("tastemaker")) == []
