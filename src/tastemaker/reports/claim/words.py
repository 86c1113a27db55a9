"""A claim as text: cells of tables, and the whole report as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tastemaker.reports.read import need, sequence

LISTS = (("assumptions", "What must hold"), ("limits", "What this cannot show"))


def cell(value: Any) -> str:
    """A table's value as people read it: four significant digits; an estimate with as many decimals as its
    interval carries.
    """
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
    middle, low, high = (need(value, key, "an estimate") for key in ("value", "low", "high"))
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


def markdown(claim: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """The report as Markdown. claim: `ClaimReport.as_mapping()` as JSON holds it; figures: path of each
    picture by its text.
    """
    lines = [
        f"# {need(claim, 'claim', 'the claim')}",
        "",
        f"**Verdict: {claim['verdict']}.** {claim['because']}",
        "",
    ]
    if claim.get("horizon"):
        lines += [f"Horizon: {claim['horizon']}.", ""]
    for table in sequence(need(claim, "tables", "the claim"), "tables"):
        lines += _table(table)
    if figures:
        lines += ["## Figures", ""]
        for text, path in figures.items():
            lines += [f"![{text}]({path})", ""]
    for key, heading in LISTS:
        if claim.get(key):
            lines += [f"## {heading}", "", *(f"- {item}" for item in sequence(claim[key], key)), ""]
    if claim.get("settings"):
        lines += [
            "## Settings",
            "",
            *(f"- {name}: {_plain(value)}" for name, value in claim["settings"].items()),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _plain(value: Any) -> str:
    """A setting in words: lists joined, no digits cut."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _table(table: Mapping[str, Any]) -> list[str]:
    """Title as a heading, the rows with columns of equal width, the note."""
    columns: Sequence[str] = sequence(need(table, "columns", "a table"), "columns")
    rows = [
        [cell(value).replace("|", "\\|").replace("\n", " ") for value in row]
        for row in [columns, *table["rows"]]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["| " + " | ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) + " |" for row in rows]
    text.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    note = [table["note"], ""] if table.get("note") else []
    return [f"## {table['title']}", "", *text, "", *note]
