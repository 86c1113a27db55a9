"""A claim as Markdown and as one self-contained page: the verdict first, then the numbers, figures, what must
hold and what this cannot show. No file access.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tastemaker.errors import InputError
from tastemaker.reports import figures
from tastemaker.reports.figures import Drawing, Row, Series
from tastemaker.reports.markup import Safe, figure, join, table, tag
from tastemaker.reports.page import document
from tastemaker.reports.read import need, numbers, sequence
from tastemaker.reports.sections import pairs

LISTS = (("assumptions", "What must hold"), ("limits", "What this cannot show"))


_COLOURS = {"supported": "up", "not supported": "down", "cannot tell": "muted"}


def drawings(claim: Mapping[str, Any]) -> dict[str, Drawing]:
    """The claim's figures by name, `figure-1` on; claim: `ClaimReport.as_mapping()` as JSON holds it.

    Raises InputError naming the figure when its kind is unknown or a number is missing.
    """
    return {
        f"figure-{place + 1}": _draw(item)
        for place, item in enumerate(sequence(claim.get("figures", ()), "figures"))
    }


def _draw(item: Mapping[str, Any]) -> Drawing:
    kind, title = need(item, "kind", "a figure"), str(need(item, "title", "a figure"))
    if kind == "intervals":
        rows = [_row(name, values, title, marked=name in item["marked"]) for name, *values in item["rows"]]
        return figures.forest(rows, title, item["label"], reference=item["reference"])
    if kind == "lines":
        series = [Series(str(name), numbers(x, title), numbers(y, title)) for name, x, y in item["series"]]
        return figures.curves(series, title, item["x_label"], item["y_label"], log_x=item["log_x"])
    if kind == "groups":
        groups = {
            str(n): [None if v is None else _row(n, v, title) for v in values] for n, values in item["groups"]
        }
        return figures.dots(item["labels"], groups, title, item["x_label"], item["y_label"])
    raise InputError(f"figure '{title}': kind '{kind}' is unknown; choose intervals, lines or groups")


def _row(name: Any, values: Any, title: str, *, marked: bool = False) -> Row:
    value, low, high = numbers(values, title)
    return Row(str(name), value, low, high, marked)


def render(claim: Mapping[str, Any], drawn: Mapping[str, Drawing]) -> str:
    """The page of a claim; claim as in `drawings`, which gives `drawn`. All text is escaped; nothing is
    fetched.
    """
    title = str(need(claim, "claim", "the claim"))
    verdict = str(claim["verdict"])
    head: list[object] = [
        tag("b", verdict.capitalize() + ".", class_=_COLOURS.get(verdict)),
        " ",
        _unbroken(claim["because"]),
    ]
    horizon = [tag("p", f"Horizon: {claim['horizon']}.", class_="muted")] if claim.get("horizon") else []
    parts = [tag("header", tag("h1", title), tag("p", *head, class_="verdict"), *horizon)]
    tables = [_html_table(part) for part in sequence(need(claim, "tables", "the claim"), "tables")]
    parts.append(tag("section", *tables, id="tables"))
    if drawn:
        captions = [item.get("caption", "") for item in claim["figures"]]
        pictures = [
            figure(d, name, caption) for (name, d), caption in zip(drawn.items(), captions, strict=True)
        ]
        parts.append(
            tag("section", tag("h2", "Figures"), tag("div", *pictures, class_="figures"), id="figures")
        )
    for key, heading in LISTS:
        if claim.get(key):
            parts.append(
                tag(
                    "section",
                    tag("h2", heading),
                    tag("ul", *(tag("li", item) for item in claim[key])),
                    id=key,
                )
            )
    if claim.get("settings"):
        parts.append(tag("section", tag("h2", "Settings"), pairs(claim["settings"], {}), id="settings"))
    return document(title, parts)


def _html_table(values: Mapping[str, Any]) -> Safe:
    rows: list[tuple[str | None, list[object]]] = [
        (None, [_unbroken(cell(v)) for v in row]) for row in values["rows"]
    ]
    note = [tag("p", tag("small", values["note"]), class_="wide")] if values.get("note") else []
    return join([tag("h2", values["title"]), table(values["columns"], rows), *note])


def _unbroken(text: str) -> str:
    """A number stays on one line with its percent sign."""
    return text.replace(" %", "\u00a0%")


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


def markdown(claim: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report as Markdown. claim: `ClaimReport.as_mapping()` as JSON holds it; pictures: path of each
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
    for part in sequence(need(claim, "tables", "the claim"), "tables"):
        lines += _markdown_table(part)
    if pictures:
        lines += ["## Figures", ""]
        for text, path in pictures.items():
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


def _markdown_table(part: Mapping[str, Any]) -> list[str]:
    """Title as a heading, the rows with columns of equal width, the note."""
    columns: Sequence[str] = sequence(need(part, "columns", "a table"), "columns")
    rows = [
        [cell(value).replace("|", "\\|").replace("\n", " ") for value in row]
        for row in [columns, *part["rows"]]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["| " + " | ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) + " |" for row in rows]
    text.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    note = [part["note"], ""] if part.get("note") else []
    return [f"## {part['title']}", "", *text, "", *note]
