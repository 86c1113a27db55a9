"""A claim as one self-contained page: the verdict first, then the numbers, figures, what must hold and what
this cannot show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tastemaker.errors import InputError
from tastemaker.reports import figures
from tastemaker.reports.claim.words import LISTS, cell
from tastemaker.reports.figures import Drawing, Row, Series
from tastemaker.reports.markup import Safe, figure, join, table, tag
from tastemaker.reports.page import document
from tastemaker.reports.read import need, numbers, sequence
from tastemaker.reports.sections import pairs

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
    tables = [_table(table) for table in sequence(need(claim, "tables", "the claim"), "tables")]
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


def _table(values: Mapping[str, Any]) -> Safe:
    rows: list[tuple[str | None, list[object]]] = [
        (None, [_unbroken(cell(v)) for v in row]) for row in values["rows"]
    ]
    note = [tag("p", tag("small", values["note"]), class_="wide")] if values.get("note") else []
    return join([tag("h2", values["title"]), table(values["columns"], rows), *note])


def _unbroken(text: str) -> str:
    """A number stays on one line with its percent sign."""
    return text.replace(" %", "\u00a0%")
