"""The claim that a survey answer measures something of its own: agrees with its neighbours, repeats none, and
is no event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Mode, Table, Verdict, shown
from tastemaker.retention.validity.reliability import ONE_ITEM, Retest, reliability_grid
from tastemaker.retention.validity.table import QUESTIONS, Associations, association_table
from tastemaker.stats.estimate import Estimate

CEILING = 0.85  # of a correlation: above it two questions are one
LIMIT = 0.15  # of information: the published limit in nats; here also asked of the normalised value


def validity_claim(
    answers: pa.Table,
    events: Sequence[str] = (),
    by: str | None = None,
    *,
    questions: Sequence[str] = QUESTIONS,
    weight: str | None = None,
    retests: Mapping[str, Retest] | None = None,
    mode: Mode = "both",
    key: tuple[str | int, ...] = (0,),
    resamples: int = 300,
    name: str = "answers",
) -> tuple[Associations, ClaimReport]:
    """The tables of `association_table`, and the report on whether the first question measures something of
    its own.

    Supported when its correlation with every other question lies above 0 and below .85 with its whole
    interval, and its normalised information with every event below .15; not supported when one lies outside
    with its whole interval; else cannot tell. Paper mode: Pearson, nats, independent Fisher z. Corrected
    mode: polychoric, normalised information, same-respondent tests, what unknown reliability leaves open.
    retests: of `retest`, by question. Raises InputError as `association_table`.
    """
    paper, corrected = shown(mode, "paper"), shown(mode, "corrected")
    found = association_table(
        answers, events, by, questions=questions, weight=weight, key=key, resamples=resamples, name=name
    )
    if not found.pairs["n"].to_numpy().any():
        raise InputError(
            f"{name}: no row has answers to two of {', '.join(questions)}; associations need people who"
            " answered both"
        )
    verdict, because = _verdict(found, questions[0], corrected)
    report = ClaimReport(
        claim=(
            f"The answer to '{questions[0]}' agrees with the other questions, repeats none, and is no"
            " engagement event"
        ),
        verdict=verdict,
        because=because,
        paper=_paper(found) if paper else (),
        corrected=_corrected(found, questions[0], retests or {}) if corrected else (),
        differ=_DIFFER if mode == "both" else (),
        figures=_figures(found, corrected),
        assumptions=(
            (
                "users are independent of each other",
                "the weights make those who answered stand for everyone asked",
            )
            if weight
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
            "events": list(events),
            "by": by,
            "weight": weight,
            "resamples": resamples,
        },
    )
    return found, report


_DIFFER = (
    (
        "Five answers are cut from a continuum, which shrinks Pearson's r; the polychoric correlation undoes"
        " the cutting."
    ),
    (
        "Mutual information cannot exceed the smaller entropy, and a 3 % event has .1347 nats: 'below .15'"
        " holds for any rare event, so the share of that entropy is reported, free of its upward bias and"
        " against shuffled answers."
    ),
    (
        "Correlations of one group's answers share respondents; an independent Fisher z misjudges their"
        " difference."
    ),
)


def _verdict(found: Associations, first: str, corrected: bool) -> tuple[Verdict, str]:
    kind, side = ("polychoric", "normalised") if corrected else ("pearson", "nats")
    overall = [row for row in found.pairs.to_pylist() if row["group"] == "all" and row["a"] == first]
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
    for row in found.events.to_pylist():
        value = row[side]
        low, high = (row["normalised_low"], row["normalised_high"]) if corrected else (value, value)
        if value is None or low is None or high is None:
            judged.append((False, False, f"{row['event']}: {row['normalised_reason']}"))
            continue
        unit = "of its entropy" if corrected else "nats"
        judged.append((high < LIMIT, low > LIMIT, f"information with {row['event']} = {value:.3f} {unit}"))
    words = "; ".join(text for *_, text in judged)
    against = [str(row["b"]) for row in overall if row[kind] is not None and row[f"{kind}_high"] < 0]
    if against:
        turned = ", ".join(f"'{name}'" for name in against)
        words += f". {turned} runs against '{first}': where one is worded the other way round, give --reverse"
    if any(refuted for _, refuted, _ in judged):
        return "not supported", words + "."
    return ("supported" if judged and all(holds for holds, *_ in judged) else "cannot tell"), words + "."


def _estimate(row: Mapping[str, Any], column: str, n: str = "n") -> Estimate:
    value, low, high = (
        np.nan if row[f"{column}{end}"] is None else row[f"{column}{end}"] for end in ("", "_low", "_high")
    )
    return Estimate(value, low, high, int(row[n]), column, reason=row[f"{column}_reason"])


def _paper(found: Associations) -> tuple[Table, ...]:
    rows = found.pairs.to_pylist()
    tables = [
        Table.of(
            "Correlations (Pearson)",
            [_who(row) | {"r": _estimate(row, "pearson"), "n": row["n"]} for row in rows],
            f"Published ceiling of redundancy: {CEILING}.",
        ),
    ]
    contrasts = [row for row in found.contrasts.to_pylist() if row["reading"] == "other content"]
    if contrasts:
        tables.append(
            Table.of(
                "By content",
                [_contrast(row) for row in contrasts],
                "z as if the groups were different people.",
            )
        )
    events = found.events.to_pylist()
    if events:
        cells: list[dict[str, Cell]] = [
            {
                "event": row["event"],
                "rate": row["rate"],
                "mutual information, nats": row["nats"],
                "below .15": row["nats"] < LIMIT,
            }
            for row in events
        ]
        tables.append(Table.of("Engagement", cells))
    return tuple(tables)


def _corrected(found: Associations, first: str, retests: Mapping[str, Retest]) -> tuple[Table, ...]:
    rows = found.pairs.to_pylist()
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
    contrasts = found.contrasts.to_pylist()
    if contrasts:
        note = (
            "The published row can mean either reading. Intervals from resampling users; z of the same"
            " respondents by "
        )
        note += "Hittner, May and Silver, of different people by Fisher, as published."
        tables.append(Table.of("By content, both readings", [_contrast(row) for row in contrasts], note))
    if found.events.num_rows:
        tables.append(Table.of("Engagement", [_event(row) for row in found.events.to_pylist()]))
    overall = [
        row for row in rows if row["group"] == "all" and row["a"] == first and row["pearson"] is not None
    ]
    tables.append(_reliability(overall))
    if retests:
        asked: list[dict[str, Cell]] = [
            {"question": name, "asked twice": one.pairs, "Pearson": one.pearson, "polychoric": one.polychoric}
            for name, one in retests.items()
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
    for place, one in enumerate(next(iter(grids.values()), [])):
        if one.reliability_a == one.reliability_b:
            line: dict[str, Cell] = {"if both reliabilities were": one.reliability_a}
            for label, grid in grids.items():
                line[label] = grid[place].correlation if grid[place].possible else "impossible: above 1"
            cells.append(line)
    if not cells:
        cells = [{"if both reliabilities were": "no correlation to correct"}]
    return Table.of("Correlation without measurement error", cells, ONE_ITEM.capitalize() + ".")


def _figures(found: Associations, corrected: bool) -> tuple[Intervals, ...]:
    kind = "polychoric" if corrected else "pearson"
    estimates = {
        f"{row['a']}, {row['b']} ({row['group']})": _estimate(row, kind) for row in found.pairs.to_pylist()
    }
    label = f"{kind if corrected else 'Pearson'} correlation, 95 % interval; dashed: ceiling"
    figures = [Intervals.of("Agreement of questions", label, estimates, reference=CEILING)]
    shares = {row["event"]: _estimate(row, "normalised") for row in found.events.to_pylist()}
    if shares:
        label = "share of the smaller entropy, 95 % interval"
        figures.append(Intervals.of("What events tell about the answer", label, shares, reference=LIMIT))
    return tuple(one for one in figures if one.rows)
