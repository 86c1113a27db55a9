"""A certificate as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tastemaker.reports.certificate.words import SUPPORTS, candidates, claim, facts, number, verdict
from tastemaker.reports.markup import Safe, table, tag
from tastemaker.reports.page import document

WORDS = "words"  # of tables whose last column is read, not compared


def page(all_of: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """The certificate `all_of[chosen]` (as JSON holds it) with every candidate of its gate; all text is
    escaped.
    """
    one = all_of[chosen]
    header = tag(
        "header",
        tag("h1", verdict(one)),
        tag("p", f"Candidate {chosen + 1} of {len(all_of)}. {one['reason']}", class_="muted"),
    )
    parts = [
        header,
        _section("The claim", tag("p", claim(one)), tag("p", SUPPORTS[one["support"]], class_="notice")),
        _section("The figures", table(["figure", "value"], [(None, list(row)) for row in facts(one)], WORDS)),
        _section(
            "What has to be true",
            tag("ul", *(tag("li", note) for note in one["assumptions"] or ("nothing was tested",))),
        ),
        _section(
            "Every candidate",
            table(
                ["no.", "novelty", "lower bound", "outcome"],
                [(None, list(row)) for row in candidates(all_of)],
                WORDS,
            ),
        ),
    ]
    if one["beside"]:
        rows: list[tuple[str | None, list[object]]] = [
            (
                None,
                [
                    other["test"],
                    number(other["lcb"]),
                    "would pass" if other["passed"] else "would refuse",
                    other["note"],
                ],
            )
            for other in one["beside"]
        ]
        parts.append(
            _section(
                "Other tests of the same claim",
                tag("p", "For comparison; they decide nothing."),
                table(["test", "lower bound", "outcome", "note"], rows, WORDS),
            )
        )
    return document(f"Certificate: {verdict(one).lower()}", parts)


def _section(heading: str, *children: Safe) -> Safe:
    return tag("section", tag("h2", heading), *children)
