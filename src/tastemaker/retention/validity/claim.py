"""The claim that a survey answer measures something of its own: agrees with its neighbours, repeats none, and
is no event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table, Verdict
from tastemaker.retention.validity.reliability import ONE_ITEM, Retest, reliability_grid
from tastemaker.retention.validity.table import Associations, ValiditySettings, association_table
from tastemaker.stats.intervals import Interval

CEILING = 0.85  # of a correlation: above it two questions are one
LIMIT = 0.15  # of information: the published limit, here asked of the normalised value


def validity_claim(
    answers: pa.Table,
    settings: ValiditySettings = ValiditySettings(),
    retests: Mapping[str, Retest] | None = None,
    name: str = "answers",
) -> tuple[Associations, ClaimReport]:
    """The tables of `association_table`, and the report on whether the first question measures something of
    its own.

    Supported when its correlation with every other question lies above 0 and below .85 with its whole
    interval, and its normalised information with every event below .15; not supported when one lies outside
    with its whole interval; else cannot tell. Correlations are polychoric, information is normalised, tests
    are of the same respondents, and what unknown reliability leaves open is shown. retests: of `retest`, by
    question. Raises InputError as `association_table`.
    """
    questions = settings.questions
    table = association_table(answers, settings, name)
    if not table.pairs["n"].to_numpy().any():
        raise InputError(
            f"{name}: no row has answers to two of {', '.join(questions)}; associations need people who"
            " answered both"
        )
    verdict, because = _verdict(table, questions[0])
    report = ClaimReport(
        claim=(
            f"The answer to '{questions[0]}' agrees with the other questions, repeats none, and is no"
            " engagement event"
        ),
        verdict=verdict,
        because=because,
        tables=_tables(table, questions[0], retests or {}),
        figures=_figures(table),
        assumptions=(
            (
                "users are independent of each other",
                "the weights make those who answered stand for everyone asked",
            )
            if settings.weight
            else (
                "users are independent of each other",
                "those who answered both questions are like everyone else: no weights",
            )
        ),
        limits=(
            ONE_ITEM.capitalize() + ".",
            "Agreement of answers says nothing about whether people come back.",
        ),
        settings={
            "questions": list(questions),
            "events": list(settings.events),
            "by": settings.by,
            "weight": settings.weight,
            "resamples": settings.resamples,
        },
    )
    return table, report


def _verdict(associations: Associations, first: str) -> tuple[Verdict, str]:
    kind = "polychoric"
    overall = [row for row in associations.pairs.to_pylist() if row["group"] == "all" and row["a"] == first]
    judged: list[tuple[bool, bool, str]] = []  # holds, is refuted, in words
    for row in overall:
        r, low, high = (row[f"{kind}{end}"] for end in ("", "_low", "_high"))
        label = f"r({row['a']}, {row['b']})"
        if r is None:
            judged.append((False, False, f"{label}: {row[f'{kind}_reason']}"))
            continue
        judged.append(
            (
                low > 0 and high < CEILING,
                high < 0 or low > CEILING,
                f"{label} = {r:.2f} [{low:.2f}, {high:.2f}]",
            )
        )
    for row in associations.events.to_pylist():
        value, low, high = (row[f"normalised{end}"] for end in ("", "_low", "_high"))
        if value is None or low is None or high is None:
            judged.append((False, False, f"{row['event']}: {row['normalised_reason']}"))
            continue
        judged.append(
            (high < LIMIT, low > LIMIT, f"information with {row['event']} = {value:.3f} of its entropy")
        )
    words = "; ".join(text for *_, text in judged)
    against = [str(row["b"]) for row in overall if row[kind] is not None and row[f"{kind}_high"] < 0]
    if against:
        turned = ", ".join(f"'{name}'" for name in against)
        words += f". {turned} runs against '{first}': where one is worded the other way round, give --reverse"
    if any(refuted for _, refuted, _ in judged):
        return "not supported", words + "."
    return ("supported" if judged and all(holds for holds, *_ in judged) else "cannot tell"), words + "."


def _estimate(row: Mapping[str, Any], column: str, n: str = "n") -> Interval:
    value, low, high = (
        np.nan if row[f"{column}{end}"] is None else row[f"{column}{end}"] for end in ("", "_low", "_high")
    )
    return Interval(value, low, high, int(row[n]), column, reason=row[f"{column}_reason"])


def _tables(associations: Associations, first: str, retests: Mapping[str, Retest]) -> tuple[Table, ...]:
    rows = associations.pairs.to_pylist()
    cells = [
        _who(row)
        | {
            "polychoric": _estimate(row, "polychoric"),
            "effective n": round(row["ess"]),
            "users": row["users"],
        }
        for row in rows
    ]
    tables = [Table.of("Correlations (polychoric)", cells, "Intervals from resampling users.")]
    contrasts = associations.contrasts.to_pylist()
    if contrasts:
        note = (
            "The published row can mean either reading. Intervals from resampling users; z of the same"
            " respondents by "
        )
        note += "Hittner, May and Silver, of different people by Fisher, as published."
        tables.append(Table.of("By content, both readings", [_contrast(row) for row in contrasts], note))
    if associations.events.num_rows:
        tables.append(Table.of("Engagement", [_event(row) for row in associations.events.to_pylist()]))
    overall = [
        row for row in rows if row["group"] == "all" and row["a"] == first and row["pearson"] is not None
    ]
    tables.append(_reliability(overall))
    if retests:
        asked: list[dict[str, Cell]] = [
            {
                "question": name,
                "asked twice": retest.pairs,
                "Pearson": retest.pearson,
                "polychoric": retest.polychoric,
            }
            for name, retest in retests.items()
        ]
        tables.append(
            Table.of(
                "Test-retest", asked, "Of the people asked twice; a random choice of them speaks for all."
            )
        )
    return tuple(tables)


def _who(row: Mapping[str, Any]) -> dict[str, Cell]:
    return {"content": row["group"], "questions": f"{row['a']}, {row['b']}"}


def _contrast(row: Mapping[str, Any]) -> dict[str, Cell]:
    about: dict[str, Cell] = {"content": row["group"], "reading": row["reading"], "contrast": row["contrast"]}
    return about | {
        "difference": _estimate(row, "difference"),
        "z": row["z"],
        "p": row["p"],
        "test": row["test"],
    }


def _event(row: Mapping[str, Any]) -> dict[str, Cell]:
    about: dict[str, Cell] = {"event": row["event"], "entropy bound, nats": row["least_entropy"]}
    about |= {
        "corrected, nats": _estimate(row, "corrected"),
        "share of the bound": _estimate(row, "normalised"),
    }
    return about | {"shuffled, nats": row["null"], "p": row["p"]}


def _reliability(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The disattenuated correlation at equal reliabilities of both questions."""
    grids = {f"{row['a']}, {row['b']}": reliability_grid(row["pearson"]) for row in rows}
    cells: list[dict[str, Cell]] = []
    for place, item in enumerate(next(iter(grids.values()), [])):
        if item.reliability_a == item.reliability_b:
            line: dict[str, Cell] = {"if both reliabilities were": item.reliability_a}
            for label, grid in grids.items():
                line[label] = grid[place].correlation if grid[place].possible else "impossible: above 1"
            cells.append(line)
    if not cells:
        cells = [{"if both reliabilities were": "no correlation to correct"}]
    return Table.of("Correlation without measurement error", cells, ONE_ITEM.capitalize() + ".")


def _figures(associations: Associations) -> tuple[Intervals, ...]:
    estimates = {
        f"{row['a']}, {row['b']} ({row['group']})": _estimate(row, "polychoric")
        for row in associations.pairs.to_pylist()
    }
    label = "polychoric correlation, 95 % interval; dashed: ceiling"
    figures = [Intervals.of("Agreement of questions", label, estimates, reference=CEILING)]
    shares = {row["event"]: _estimate(row, "normalised") for row in associations.events.to_pylist()}
    if shares:
        label = "share of the smaller entropy, 95 % interval"
        figures.append(Intervals.of("What events tell about the answer", label, shares, reference=LIMIT))
    return tuple(figure for figure in figures if figure.rows)
