"""One claim, one report: what is claimed, whether the data carry it, and the numbers.

Plain values only, so that `flows.retention.report.write_claim` can turn any claim into JSON, Markdown and one
HTML page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tastemaker.errors import many
from tastemaker.stats.intervals import Interval

LEAST_PEOPLE = 30  # fewer are no basis for a verdict, whatever their rows say
Verdict = Literal["supported", "not supported", "cannot tell"]
Cell = str | int | float | bool | Interval | None


@dataclass(frozen=True)
class Table:
    """A table of a report: `columns`, `rows` of cells (an `Interval` shows itself), a `note` under it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    @classmethod
    def of(cls, title: str, rows: Sequence[Mapping[str, Cell]], note: str = "") -> Table:
        """From a list of mappings; the first names the columns, a missing cell is empty."""
        columns = tuple(rows[0]) if rows else ()
        return cls(title, columns, tuple(tuple(row.get(name) for name in columns) for row in rows), note)


@dataclass(frozen=True)
class Intervals:
    """Figure of values with intervals, one row each, first on top: `rows` of (name, value, low, high);
    `reference` is a line to compare with (0 for differences); names in `marked` stand out.
    """

    title: str
    label: str
    rows: tuple[tuple[str, float, float, float], ...]
    reference: float | None = None
    marked: tuple[str, ...] = ()
    caption: str = ""
    kind: Literal["intervals"] = "intervals"

    @classmethod
    def of(cls, title: str, label: str, estimates: Mapping[str, Interval], **more: Any) -> Intervals:
        """From estimates by name; those without a number are left out."""
        rows = tuple(
            (k, e.value, e.low, e.high)
            for k, e in estimates.items()
            if all(map(math.isfinite, (e.value, e.low, e.high)))
        )
        return cls(title, label, rows, **more)


@dataclass(frozen=True)
class Lines:
    """Figure of lines over a common axis: `series` of (name, x values, y values)."""

    title: str
    x_label: str
    y_label: str
    series: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...]
    kind: Literal["lines"] = "lines"


@dataclass(frozen=True)
class Groups:
    """Figure by slice: a column a label; `groups` of (name, one (value, low, high) or None a label)."""

    title: str
    x_label: str
    y_label: str
    labels: tuple[str, ...]
    groups: tuple[tuple[str, tuple[tuple[float, float, float] | None, ...]], ...]
    caption: str = ""
    kind: Literal["groups"] = "groups"


FigureTable = Intervals | Lines | Groups


@dataclass(frozen=True)
class ClaimReport:
    """A claim and what the data say to it.

    claim: one sentence that could be false. verdict: supported, not supported, cannot tell. because: why, in
    one or two sentences with the deciding numbers. tables: the numbers. figures: what to draw. assumptions:
    what must hold for the verdict. limits: what this cannot show. horizon: over which days an outcome was
    watched ("day 1"), empty where there is none. settings: every setting and key, by name.
    """

    claim: str
    verdict: Verdict
    because: str
    tables: tuple[Table, ...]
    figures: tuple[FigureTable, ...] = ()
    assumptions: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    horizon: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """What the command line ends with: 0 supported, 1 otherwise (the reason is printed)."""
        return 0 if self.verdict == "supported" else 1

    def as_mapping(self) -> dict[str, Any]:
        """The report as JSON can hold it, numbers unrounded: what page and Markdown are rendered from."""
        return asdict(self)


def too_few(people: Mapping[str, int]) -> str:
    """A sentence that names the parts of a claim that rest on too few people."""
    parts = "; ".join(f"{many(count, 'person', 'people')} in {part}" for part, count in people.items())
    return f"Too few units: {parts}; {LEAST_PEOPLE} are needed."
