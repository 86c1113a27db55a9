"""HTML where everything that is not markup is escaped, and figures that follow the page's colours."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

from tastemaker.errors import InputError
from tastemaker.reports.figures import Drawing
from tastemaker.reports.theme import VARIABLES

Safe = Markup  # text that is markup already
_NAME = re.compile(r"[a-z][a-z0-9-]*")


def join(parts: Iterable[object]) -> Safe:
    """Parts one after the other, each escaped unless it is markup."""
    return Safe("").join(escape(part) for part in parts)


def tag(name: str, *children: object, **attributes: str | None) -> Safe:
    """An element with its children escaped and attributes quoted; `class_` stands for class, None leaves one
    out.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"'{name}' is no element name")
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return Safe(f"<{name}{''.join(parts)}>{join(children)}</{name}>")


def table(
    head: Iterable[object], rows: Iterable[tuple[str | None, list[object]]], class_: str | None = None
) -> Safe:
    """A table that scrolls sideways on a narrow screen; each row is its CSS class or None, and its cells, the
    first a heading.
    """
    titles = [tag("th", cell, scope="col") for cell in head]
    body = [
        tag("tr", tag("th", cells[0], scope="row"), *(tag("td", cell) for cell in cells[1:]), class_=kind)
        for kind, cells in rows
    ]
    parts = [tag("thead", tag("tr", *titles))] if titles else []
    return tag("div", tag("table", *parts, tag("tbody", *body), class_=class_), class_="scroll", tabindex="0")


def figure(drawing: Drawing, name: str, caption: str = "") -> Safe:
    """A drawing set into the page: its colours become CSS variables and its ids get the prefix `name`, unique
    on the page.

    The drawing is this package's own output, whose text matplotlib has escaped.
    """
    svg = drawing.svg.decode()
    svg = svg[svg.index("<svg") :]
    for colour, variable in VARIABLES.items():
        svg = re.sub(re.escape(colour), f"var({variable})", svg, flags=re.IGNORECASE)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    label = escape(drawing.text)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return tag("figure", Safe(svg), *([tag("figcaption", caption)] if caption else []))
