"""From a report's values to its figures: which are drawn, from what, under which name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tastemaker.reports.figures as figures
from tastemaker.reports.figures import Drawing, Row, Series
from tastemaker.reports.templating import mapping, need, number, numbers, row, sequence


def drawings(report: Mapping[str, Any]) -> dict[str, Drawing]:
    """Every figure of a report by name: `results-values`, `results-differences`, `slices-1`, `coverage`,
    `sids-codes`, ...

    The report's shape is told at `tastemaker.reports.evaluation.render`. Raises InputError naming the place
    of a wrong value.
    """
    drawn: dict[str, Drawing] = {}
    parts = {"metrics": _results, "slices": _slices, "coverage": _coverage}
    for key, draw in (parts | {"sids": _sids, "training": _training}).items():
        if report.get(key):
            drawn.update(draw(report[key]))
    return drawn


def _mappings(values: Any, key: str, where: str) -> list[Mapping[str, Any]]:
    """The objects in the list `key` of a part of the report."""
    place = f"{where}.{key}"
    return [mapping(item, place) for item in sequence(need(values, key, where), place)]


def primary_of(metrics: Mapping[str, Any]) -> str:
    """The metric that verdict and figures are about: `primary`, else the first of `names`."""
    names = sequence(need(metrics, "names", "metrics"), "metrics.names")
    return str(metrics.get("primary", names[0] if names else ""))


def _results(metrics: Any) -> dict[str, Drawing]:
    primary, baseline = primary_of(metrics), metrics.get("baseline")
    methods = _mappings(metrics, "methods", "metrics")

    def rows(part: str) -> list[Row]:
        having = [m for m in methods if primary in mapping(m.get(part, {}), f"metrics.methods.{part}")]
        names = [str(need(m, "name", "metrics.methods")) for m in having]
        marks = [bool(m.get("highlight")) for m in having]
        where = [f"method '{name}', {primary}" for name in names]
        return [
            row(n, m[part][primary], w, highlight=h)
            for n, m, w, h in zip(names, having, where, marks, strict=True)
        ]

    drawn = {}
    if values := rows("values"):
        drawn["results-values"] = figures.forest(values, f"{primary} by method", f"{primary}, 95 % interval")
    if differences := rows("differences"):
        label = f"difference in {primary}, same users, 95 % interval"
        drawn["results-differences"] = figures.forest(
            differences, f"Against {baseline}", label, reference=0.0
        )
    return drawn


def _slices(values: Any) -> dict[str, Drawing]:
    drawn = {}
    for place, item in enumerate(sequence(values, "slices")):
        title, metric = str(need(item, "name", "slices")), str(need(item, "metric", "slices"))
        parts = [
            mapping(group, f"slice '{title}'")
            for group in sequence(need(item, "groups", "slices"), "slices.groups")
        ]
        labels = [
            f"{need(p, 'label', 'slices')}\nn = {number(need(p, 'n', 'slices'), 'slices.n'):,.0f}"
            for p in parts
        ]
        names = list(
            dict.fromkeys(str(name) for p in parts for name in mapping(p.get("values", {}), "slices.values"))
        )
        where = f"slice '{title}'"
        groups = {
            n: [row(n, p["values"][n], where) if n in p.get("values", {}) else None for p in parts]
            for n in names
        }
        if groups:
            drawn[f"slices-{place + 1}"] = figures.dots(labels, groups, f"{metric} by {title}", title, metric)
    return drawn


def _coverage(values: Any) -> dict[str, Drawing]:
    methods = _mappings(values, "methods", "coverage")
    curves = {
        str(need(m, "name", "coverage.methods")): numbers(m["curve"], "coverage.curve")
        for m in methods
        if m.get("curve")
    }
    return {"coverage": figures.coverage(curves, "Coverage of the catalogue")} if curves else {}


def _sids(values: Any) -> dict[str, Drawing]:
    drawn = {}
    if levels := mapping(values, "sids").get("levels"):
        counts = [[int(c) for c in numbers(item, "sids.levels")] for item in sequence(levels, "sids.levels")]
        drawn["sids-codes"] = figures.code_use(counts, "Codes in use")
    if sizes := values.get("group_sizes"):
        by_size = {
            _size(size): int(number(n, "sids.group_sizes"))
            for size, n in mapping(sizes, "sids.group_sizes").items()
        }
        drawn["sids-groups"] = figures.group_sizes(by_size, "Items that share a Semantic ID")
    return drawn


def _size(text: Any) -> int:
    """A group size, which JSON writes as text."""
    return int(number(int(text) if str(text).isdecimal() else text, "a size in sids.group_sizes"))


def _training(values: Any) -> dict[str, Drawing]:
    drawn = {}
    for place, item in enumerate(sequence(values, "training")):
        title = str(need(item, "name", "training"))
        lines = [
            Series(
                str(need(s, "name", title)),
                numbers(need(s, "x", title), f"{title}.x"),
                numbers(need(s, "y", title), f"{title}.y"),
            )
            for s in sequence(need(item, "series", "training"), "training.series")
        ]
        if any(len(line.x) for line in lines):
            x_label, y_label = str(item.get("x", "step")), str(item.get("y", "loss"))
            drawn[f"training-{place + 1}"] = figures.curves(lines, title, x_label, y_label)
    return drawn
