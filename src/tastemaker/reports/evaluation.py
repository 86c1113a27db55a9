"""A self-contained HTML page of an evaluation: no script, no remote asset, light, dark, phone-wide."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import tastemaker.reports.templating as templating
from tastemaker.reports.figures import Drawing, Row
from tastemaker.reports.plots import drawings, primary_of
from tastemaker.reports.templating import row

SECTIONS = {
    "metrics": "Results",
    "alarms": "Alarms",
    "slices": "Slices",
    "coverage": "Reach into the catalogue",
    "sids": "Semantic IDs",
    "training": "Training",
    "settings": "Settings",
    "provenance": "Provenance",
    "commands": "Reproduce",
}
# How the names of a section's figures begin, where it is not the section's own.
FIGURES = {"metrics": "results"}
TERMS = tomllib.loads(files(__package__).joinpath("templates/terms.toml").read_text("utf-8"))


def render(report: Mapping[str, Any], drawn: Mapping[str, Drawing] | None = None) -> str:
    """The page of a report, from values that JSON can hold: write them as `metrics.json` and render them
    again at any time.

    `title` is required; every other key is optional and its section left out when absent. An interval `I` is
    `{"value": x, "low": x, "high": x}`, further keys ignored.

    title, subtitle
        text.
    notices
        list of text shown first, for example that the listeners are simulated.
    metrics
        `{"names": ["R@10", ...], "primary": "N@10", "baseline": "SASRec" | absent, "methods": [{"name",
        "highlight": bool, "values": {metric: I}, "differences": {metric: I}}], "comparisons":
        [{"against": name, "differences": {metric: I}}]}`; differences are paired: of each method against the
        baseline, and of the first method against each other one, which the verdict puts in words.
    alarms
        `[{"name", "ok": bool, "text"}]`.
    slices
        `[{"name": "training events of the target", "metric": "R@10", "groups": [{"label", "n", "values":
        {method: I}}]}]`.
    coverage
        `{"items": N, "methods": [{"name", "effective", "distinct", "curve": [share covered by n items, n =
        1..]}]}`.
    sids
        `{"facts": {name: value}, "levels": [[items of each code, ...], ...], "group_sizes": {size: groups}}`.
    training
        `[{"name", "x": "step", "y": "loss", "caption", "series": [{"name", "x": [...], "y": [...]}]}]`.
    settings, provenance
        `{name: value}`, or `{heading: {name: value}}`.
    commands
        list of text.
    terms
        `{word: meaning}`, added to the common definitions.

    `drawn`: the report's figures if drawn already (`plots.drawings`), else drawn here. All text is escaped.
    """
    figures = drawings(report) if drawn is None else drawn
    captions = {
        "coverage": (
            "A mark on each curve shows the effective vocabulary: the items that fill 95 % of the slots."
            " Right is broader."
        ),
        "sids-codes": "Stronger colour: more items. Orange: codes that no item has.",
    }
    for place, item in enumerate(report.get("training", ()), start=1):
        captions[f"training-{place}"] = str(item.get("caption", ""))
    alarms = [{"ok": False, "text": "", **item} for item in report.get("alarms", ())]
    return templating.render(
        "evaluation.html",
        title=report["title"],
        report=report,
        sections=[(key, heading) for key, heading in SECTIONS.items() if report.get(key)],
        **_results(report.get("metrics") or {"names": [], "methods": []}),
        alarms=sorted(alarms, key=lambda item: bool(item["ok"])),  # raised ones first
        reach=_reach(report.get("coverage") or {"methods": []}),
        figures={
            key: {n: f for n, f in figures.items() if n.split("-")[0] == FIGURES.get(key, key)}
            for key in SECTIONS
        },
        captions=captions,
        terms={**TERMS, **report.get("terms", {})},
    )


def _results(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Methods with interval and paired difference for each metric, and the first against others."""
    names, primary, baseline = metrics["names"], primary_of(metrics), metrics.get("baseline")
    methods = []
    for method in metrics["methods"]:
        cells = {name: _cell(method, name) for name in [*names, primary]}
        value, difference = cells[primary]
        about = {"name": method["name"], "highlight": bool(method.get("highlight")), "main": value}
        against = difference if baseline else None
        methods.append(about | {"against": against, "cells": [cells[name] for name in names]})
    comparisons = [
        row(item["against"], item["differences"][primary]) for item in metrics.get("comparisons", ())
    ]
    report = {"names": names, "primary": primary, "baseline": baseline}
    return report | {"methods": methods, "comparisons": comparisons}


def _cell(method: Mapping[str, Any], name: str) -> tuple[Row | None, Row | None]:
    """Value and paired difference of a method's metric, where it has them."""
    values, differences = (method.get(part, {}) for part in ("values", "differences"))
    value = row(method["name"], values[name]) if name in values else None
    return value, row(method["name"], differences[name]) if value and name in differences else None


def _reach(coverage: Mapping[str, Any]) -> list[list[str]]:
    """How much of the catalogue each method shows: its name, effective vocabulary and distinct items."""
    total = coverage.get("items", 0)

    def count(items: float | None) -> str:
        if items is None:
            return "–"
        return f"{items:,.0f}" + (f" ({items / total:.1%})" if total else "")

    return [
        [item["name"], count(item.get("effective")), count(item.get("distinct"))]
        for item in coverage["methods"]
    ]
