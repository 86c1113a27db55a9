"""One self-contained HTML page of an evaluation: no script, no remote asset, light and dark, down to phone
width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tastemaker.reports import sections
from tastemaker.reports.figures import Drawing
from tastemaker.reports.markup import Safe, join, tag
from tastemaker.reports.plots import drawings
from tastemaker.reports.read import mapping, need, sequence
from tastemaker.reports.theme import CSS

# Key of the report, anchor, heading, and what makes the section.
_SECTIONS: tuple[tuple[str, str, Callable[[Any, sections.Drawings], Safe]], ...] = (
    ("metrics", "Results", sections.headline),
    ("alarms", "Alarms", sections.alarms),
    ("slices", "Slices", sections.slices),
    ("coverage", "Reach into the catalogue", sections.reach),
    ("sids", "Semantic IDs", sections.semantic_ids),
    ("training", "Training", sections.training),
    ("settings", "Settings", sections.pairs),
    ("provenance", "Provenance", sections.pairs),
    ("commands", "Reproduce", sections.commands),
)


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

    `drawn`: the report's figures if they were drawn already (`plots.drawings`), else they are drawn here. All
    text is escaped. Raises InputError naming the place when a part has another shape.
    """
    title = str(need(mapping(report, "the report"), "title", "the report"))
    present = [(key, heading, make) for key, heading, make in _SECTIONS if report.get(key)]
    figures = drawings(report) if drawn is None else drawn
    notices = [
        tag("p", item, class_="notice", role="note")
        for item in sequence(report.get("notices", []), "notices")
    ]
    links = [tag("a", heading, href=f"#{key}") for key, heading, _ in present]
    body = [
        tag("section", tag("h2", heading), make(report[key], figures), id=key)
        for key, heading, make in present
    ]
    words = tag("section", tag("h2", "Words"), sections.terms(report.get("terms", {})), id="terms")
    header = tag("header", tag("h1", title), tag("p", report.get("subtitle", ""), class_="muted"), *notices)
    nav = tag("nav", *links, tag("a", "Words", href="#terms"), aria_label="Sections")
    return document(title, [header, nav, *body, words])


def document(title: str, children: Iterable[Safe]) -> str:
    """A whole page around `children`, with the common look and nothing remote."""
    head = join(
        [
            Safe('<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'),
            Safe('<meta name="color-scheme" content="light dark">'),
            tag("title", title),
            Safe(f"<style>{CSS}</style>"),
        ]
    )
    page = tag("html", tag("head", head), tag("body", tag("main", *children)), lang="en")
    return f"<!doctype html>\n{page}\n"
