"""From a report's values to its figures: which are drawn, from what, under which name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tastemaker.reports.figures as figures
from tastemaker.reports.figures import Drawing, Row, Series
from tastemaker.reports.templating import row


def drawings(report: Mapping[str, Any]) -> dict[str, Drawing]:
    """Every figure of a report by name: `results-values`, `results-differences`, `slices-1`, `coverage`,
    `sids-codes`, ...

    The report's shape is told at `tastemaker.reports.evaluation.render`.
    """
    drawn: dict[str, Drawing] = {}
    parts = {"metrics": _results, "slices": _slices, "coverage": _coverage}
    for key, draw in (parts | {"sids": _sids, "training": _training}).items():
        if report.get(key):
            drawn.update(draw(report[key]))
    return drawn


def primary_of(metrics: Mapping[str, Any]) -> str:
    """The metric that verdict and figures are about: `primary`, else the first of `names`."""
    names = metrics["names"]
    return str(metrics.get("primary", names[0] if names else ""))


def _results(metrics: Any) -> dict[str, Drawing]:
    primary = primary_of(metrics)

    def rows(part: str) -> list[Row]:
        return [
            row(method["name"], method[part][primary], highlight=bool(method.get("highlight")))
            for method in metrics["methods"]
            if primary in method.get(part, {})
        ]

    drawn = {}
    if values := rows("values"):
        drawn["results-values"] = figures.forest(values, f"{primary} by method", f"{primary}, 95 % interval")
    if differences := rows("differences"):
        label, title = f"difference in {primary}, same users, 95 % interval", f"Against {metrics['baseline']}"
        drawn["results-differences"] = figures.forest(differences, title, label, reference=0.0)
    return drawn


def _slices(values: Any) -> dict[str, Drawing]:
    drawn = {}
    for place, item in enumerate(values, start=1):
        title, metric, parts = item["name"], item["metric"], item["groups"]
        labels = [f"{part['label']}\nn = {part['n']:,.0f}" for part in parts]
        groups = {
            name: [row(name, part["values"][name]) if name in part["values"] else None for part in parts]
            for name in dict.fromkeys(name for part in parts for name in part["values"])
        }
        if groups:
            drawn[f"slices-{place}"] = figures.dots(labels, groups, f"{metric} by {title}", title, metric)
    return drawn


def _coverage(values: Any) -> dict[str, Drawing]:
    curves = {method["name"]: method["curve"] for method in values["methods"] if method.get("curve")}
    return {"coverage": figures.coverage(curves, "Coverage of the catalogue")} if curves else {}


def _sids(values: Any) -> dict[str, Drawing]:
    drawn = {}
    if levels := values.get("levels"):
        drawn["sids-codes"] = figures.code_use(levels, "Codes in use")
    if sizes := values.get("group_sizes"):  # JSON writes sizes as text
        by_size = {int(size): n for size, n in sizes.items()}
        drawn["sids-groups"] = figures.group_sizes(by_size, "Items that share a Semantic ID")
    return drawn


def _training(values: Any) -> dict[str, Drawing]:
    drawn = {}
    for place, item in enumerate(values, start=1):
        lines = [Series(line["name"], line["x"], line["y"]) for line in item["series"]]
        if any(len(line.x) for line in lines):
            labels = str(item.get("x", "step")), str(item.get("y", "loss"))
            drawn[f"training-{place}"] = figures.curves(lines, item["name"], *labels)
    return drawn
