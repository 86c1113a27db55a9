"""No file of the package imports another that leads back to it, imports inside functions included."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import grimp


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


def test_a_circle_is_seen() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()})) == {"a", "b", "c"}
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("tastemaker", cache_dir=None, exclude_type_checking_imports=True)
    assert circle({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}) == []
