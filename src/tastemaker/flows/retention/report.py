"""A claim into a folder: report.json, report.md with its figures beside it, and report.html, which needs no
other file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tastemaker.retention.report import ClaimReport
from tastemaker.store import write_bytes, write_json, write_text
from tastemaker.store.files import plain


def write_claim(report: ClaimReport, folder: Path) -> dict[str, Any]:
    """Write the report and return what a command prints: claim, verdict, because, tables, files, and `text`
    for people.

    Raises ArtifactError when the folder cannot be written, InputError naming a figure that cannot be drawn.
    """
    from tastemaker.reports.claim import drawings, markdown, render

    values: dict[str, Any] = plain(report.as_mapping())
    drawn = drawings(values)
    pictures = {drawing.text: f"figures/{name}.svg" for name, drawing in drawn.items()}
    for name, drawing in drawn.items():
        write_bytes(folder / "figures" / f"{name}.svg", drawing.svg)
        write_bytes(folder / "figures" / f"{name}.png", drawing.png)
    text = markdown(values, pictures)
    write_text(folder / "report.md", text)
    write_text(folder / "report.html", render(values, drawn))
    write_json(folder / "report.json", values)
    shown = markdown(values, {})
    return values | {
        "folder": str(folder),
        "page": str(folder / "report.html"),
        "text": f"{shown}\npage: {folder / 'report.html'}",
    }
