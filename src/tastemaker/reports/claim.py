"""A claim as Markdown and as one self-contained page, the verdict first. No file access."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tastemaker.reports.figures as figures
import tastemaker.reports.templating as templating
from tastemaker.errors import InputError
from tastemaker.reports.figures import Drawing, Row, Series

LISTS = (("assumptions", "What must hold"), ("limits", "What this cannot show"))
COLOURS = {
    "supported": "up",
    "passed": "up",
    "not supported": "down",
    "refused": "down",
    "cannot tell": "muted",
}


def drawings(claim: Mapping[str, Any]) -> dict[str, Drawing]:
    """The claim's figures by name, `figure-1` on; claim: `ClaimReport.as_mapping()` as JSON holds it.

    Raises InputError naming the figure when its kind is unknown.
    """
    return {f"figure-{place}": _draw(item) for place, item in enumerate(claim.get("figures", ()), start=1)}


def _draw(item: Mapping[str, Any]) -> Drawing:
    kind, title = item["kind"], item["title"]
    if kind == "intervals":
        rows = [
            Row(name, value, low, high, name in item["marked"]) for name, value, low, high in item["rows"]
        ]
        return figures.forest(rows, title, item["label"], reference=item["reference"])
    if kind == "lines":
        series = [Series(*line) for line in item["series"]]
        return figures.curves(series, title, item["x_label"], item["y_label"])
    if kind == "groups":
        groups = {n: [None if v is None else Row(n, *v) for v in values] for n, values in item["groups"]}
        return figures.dots(item["labels"], groups, title, item["x_label"], item["y_label"])
    raise InputError(f"figure '{title}': kind '{kind}' is unknown; choose intervals, lines or groups")


def render(claim: Mapping[str, Any], drawn: Mapping[str, Drawing]) -> str:
    """The page of a claim; claim as in `drawings`, which gives `drawn`. Text is escaped, nothing fetched."""
    captions = [item.get("caption", "") for item in claim.get("figures", ())]
    tables = [
        part | {"rows": [[templating.unbroken(cell(value)) for value in row] for row in part["rows"]]}
        for part in _tables(claim)
    ]
    return templating.render(
        "claim.html",
        **_common(claim),
        tables=tables,
        colour=COLOURS.get(claim["verdict"], ""),
        drawn=drawn,
        captions=dict(zip(drawn, captions, strict=True)),
    )


def markdown(claim: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report as Markdown. claim: `ClaimReport.as_mapping()`; pictures: path of each by its text."""
    tables = [part | {"lines": _aligned(part)} for part in _tables(claim)]
    return templating.render("claim.md", **_common(claim), tables=tables, pictures=pictures)


def _common(claim: Mapping[str, Any]) -> dict[str, Any]:
    absent = {"horizon": "", "settings": {}} | {key: () for key, _ in LISTS}
    return {"title": claim["claim"], "claim": {**absent, **claim}, "lists": LISTS}


def _tables(claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"note": "", **part} for part in claim["tables"]]


def _aligned(part: Mapping[str, Any]) -> list[str]:
    """A table's lines, the columns of equal width."""
    rows = [
        [cell(value).replace("|", "\\|").replace("\n", " ") for value in row]
        for row in [part["columns"], *part["rows"]]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return lines


def cell(value: Any) -> str:
    """A value as people read it: four significant digits; estimates with their interval's decimals."""
    if isinstance(value, Mapping):
        return _estimate(value)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _float(value: float) -> str:
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    text = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return text.replace("-", "−")


def _estimate(value: Mapping[str, Any]) -> str:
    middle, low, high = (value[key] for key in ("value", "low", "high"))
    if middle is None or not math.isfinite(middle):
        return str(value.get("reason") or "–")
    ends = [part for part in (low, high) if part is not None and math.isfinite(part)]
    width = max((abs(end - middle) for end in ends), default=0.0)
    digits = min(max(1 - math.floor(math.log10(width)), 0), 8) if width > 0 else 4
    shown = [
        fallback if part is None or not math.isfinite(part) else f"{part:,.{digits}f}"
        for part, fallback in ((middle, "–"), (low, "-∞"), (high, "∞"))
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]".replace("-", "−")
