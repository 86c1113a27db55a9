"""Figures as bytes and one self-contained HTML page of an evaluation. No file access.

`tastemaker.reports.figures` holds the single figures; it loads matplotlib, and so does `render`.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["render"]


def render(report: Mapping[str, Any]) -> str:
    """The HTML page of a report; its shape is told at `tastemaker.reports.page.render`."""
    from tastemaker.reports.page import render as page

    return page(report)
