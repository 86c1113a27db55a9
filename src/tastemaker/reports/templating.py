"""Pages from the templates beside this file: HTML is escaped, and a missing name is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tastemaker.reports.figures import VARIABLES, Drawing, Row


def row(name: str, interval: Mapping[str, float], *, highlight: bool = False) -> Row:
    """An interval `{value, low, high}` as a figure's row."""
    return Row(name, interval["value"], interval["low"], interval["high"], highlight)


def render(template: str, **values: Any) -> str:
    """`template` (a file name in `templates/`) filled with `values`; HTML escaped, Markdown not."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tastemaker.reports"),
        autoescape=lambda name: name is None or not name.endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (svg, plain, exact, unbroken, signed, fixed, tone, judged)
    environment.filters.update({function.__name__: function for function in filters})
    return environment


def svg(drawing: Drawing, name: str) -> Markup:
    """A drawing set into the page: colours become CSS variables, ids get the prefix `name`, unique there.

    The drawing is this package's own output, whose text matplotlib has escaped.
    """
    text = drawing.svg.decode()
    text = text[text.index("<svg") :]
    for colour, variable in VARIABLES.items():
        text = re.sub(re.escape(colour), f"var({variable})", text, flags=re.IGNORECASE)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(drawing.text)}"', 1))


def plain(value: Any) -> str:
    """A setting or fact as people read it: six digits, lists joined, yes and no."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)


def exact(value: Any) -> str:
    """A setting in words: lists joined, no digits cut."""
    if isinstance(value, list | tuple):
        return ", ".join(map(exact, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def unbroken(text: str) -> str:
    """A number stays on one line with its percent sign."""
    return text.replace(" %", "\u00a0%")


def fixed(value: float) -> str:
    """Four decimals."""
    return f"{value:.4f}"


def signed(value: float) -> str:
    """Four decimals with a sign, a true minus."""
    return f"{value:+.4f}".replace("-", "−")


def tone(difference: Row) -> Markup:
    """The class attribute that colours a difference whose interval leaves out 0."""
    kind = "up" if difference.low > 0 else "down" if difference.high < 0 else None
    return Markup(f' class="{kind}"' if kind else "")


def judged(difference: Row) -> str:
    """What a paired difference says, in words."""
    if difference.low > 0:
        return "better than"
    return "worse than" if difference.high < 0 else "not told apart from"
