"""No file of the package imports another that leads back to it, imports inside functions included."""

from __future__ import annotations

import grimp
import networkx

# Circles that are still to be opened; the list only gets shorter.
KNOWN = [
    {
        "tastemaker.flows.explore.serve",
        "tastemaker.flows.recommend",
        "tastemaker.flows.retention.live.ranking",
    }
]


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules each of which leads to every other one of its set."""
    graph = networkx.DiGraph([(module, other) for module, others in imports.items() for other in others])
    return [found for found in networkx.strongly_connected_components(graph) if len(found) > 1]


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("tastemaker", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    for circle in circles(imports):
        assert any(circle <= known for known in KNOWN), f"a circle of imports: {', '.join(sorted(circle))}"
