"""The claim that a survey answer is of its own: agrees with neighbours, repeats none, is no event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from scipy.stats import f as f_distribution

from tastemaker.errors import InputError, many
from tastemaker.retention.report import LEAST_PEOPLE, Cell, ClaimReport, Intervals, Table, Verdict
from tastemaker.retention.validity.correlation import pearson
from tastemaker.retention.validity.polychoric import polychoric
from tastemaker.retention.validity.table import Associations, ValiditySettings, association_table
from tastemaker.stats.intervals import Interval

GRID = (0.5, 0.6, 0.7, 0.8, 0.9)
ONE_ITEM = (
    "one item: alpha, omega and a factor model of it alone are not identified; ask it again of the same"
    " people (test-retest)"
)


def alpha(covariance: npt.ArrayLike, n: int) -> Interval:
    """Cronbach's alpha of the k items with this covariance (k, k) over n respondents, with Feldt's interval.

    alpha = k / (k - 1) (1 - trace / sum). One item: NaN, with the reason. Raises InputError on
    items without spread. Source: Cronbach 1951; Feldt, Psychometrika 1965.
    """
    s = np.asarray(covariance, dtype=np.float64)
    k = len(s)
    if k == 1:
        return Interval.unknown(n, "Cronbach alpha", ONE_ITEM)
    if not s.sum() > 0:
        raise InputError("alpha needs items whose sum varies; everyone has the same total")
    value = float(k / (k - 1) * (1 - np.trace(s) / s.sum()))
    low, high = (1 - (1 - value) * f_distribution.ppf(q, n - 1, (n - 1) * (k - 1)) for q in (0.975, 0.025))
    assumptions = (
        "items measure one thing equally well, with independent errors",
        "respondents are independent",
    )
    return Interval(value, float(low), float(high), n, "Cronbach alpha", assumptions)


@dataclass(frozen=True)
class Retest:
    """Agreement of two answers of one person on one question and item: as numbers, as ordered answers."""

    pairs: int
    pearson: Interval
    polychoric: Interval


def retest(
    surveys: pa.Table,
    question: str,
    *,
    weight: str | None = None,
    key: Sequence[str | int] = (0,),
) -> Retest:
    """Correlation of the first and the second answer of a user asked `question` about an item twice.

    surveys: rows of `schema.SURVEYS`; `weight`: a column, taken from the first answer. Give the re-asked a
    random choice, or the result speaks only for those who were asked twice. Without a pair the values are
    NaN, with the reason. Raises InputError when a question is unknown or its timestamps are missing.
    """
    frame = pl.DataFrame(pl.from_arrow(surveys)).filter(pl.col("question") == question)
    if frame.is_empty():
        known = ", ".join(sorted(set(surveys["question"].to_pylist())))
        raise InputError(f"question '{question}' was never asked; the table has {known}")
    answered = frame.filter(pl.col("answer").is_not_null()).sort("timestamp", nulls_last=True)
    if answered["timestamp"].null_count():
        raise InputError(
            f"question '{question}': some answers have no timestamp, so which came first cannot be told"
        )
    columns = ["answer"] if weight is None else ["answer", weight]
    twice = answered.group_by("user_id", "item_id", maintain_order=True).agg(
        pl.len().alias("times"),
        *(pl.col(column).first().alias(f"first_{column}") for column in columns),
        pl.col("answer").get(1, null_on_oob=True),
    )
    twice = twice.filter(pl.col("times") >= 2)
    if twice.height < 3:
        reason = f"{twice.height} re-asked pairs of '{question}': ask a random part again after some days"
        none = Interval.unknown(twice.height, "test-retest", reason)
        return Retest(twice.height, none, none)
    first, second, users = (twice[c].to_numpy() for c in ("first_answer", "answer", "user_id"))
    w = None if weight is None else twice[f"first_{weight}"].to_numpy()
    results = [f(first, second, w, users=users, key=key) for f in (pearson, polychoric)]
    return Retest(twice.height, *results)


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
    with its whole interval; else cannot tell. Correlations are polychoric, information is normalised,
    and what unknown reliability leaves open is shown. retests: of `retest`, by
    question. Raises InputError as `association_table`.
    """
    questions = settings.questions
    table = association_table(answers, settings, name)
    if not any(row["n"] for row in table.pairs):
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
            "users are independent of each other",
            "the weights make those who answered stand for everyone asked"
            if settings.weight
            else "those who answered both questions are like everyone else: no weights",
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
    overall = [row for row in associations.pairs if row["group"] == "all" and row["a"] == first]
    counts = [min(row["users"], round(row["ess"])) for row in overall]  # a few weights are few people
    users = max(counts, default=0)
    judged: list[tuple[bool, bool, str]] = []  # holds, is refuted, in words
    for row, count in zip(overall, counts, strict=True):
        r, label = row["polychoric"], f"r({row['a']}, {row['b']})"
        if r.reason:
            judged.append((False, False, f"{label}: {r.reason}"))
            continue
        text = f"{label} = {r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
        if count < LEAST_PEOPLE:
            people = many(count, "person", "people") + (" by weight" if count < row["users"] else "")
            few = f"{text}, too few units: {people}, {LEAST_PEOPLE} are needed"
            judged.append((False, False, few))
            continue
        judged.append((r.low > 0 and r.high < CEILING, r.high < 0 or r.low > CEILING, text))
    for row in associations.events:
        share = row["normalised"]
        if not 0 < row["rate"] < 1:
            judged.append((False, False, f"{row['event']} is the same on every row and tells nothing"))
            continue
        if not np.isfinite([share.value, share.low, share.high]).all():
            judged.append((False, False, f"{row['event']}: {share.reason}"))
            continue
        if users < LEAST_PEOPLE:
            continue
        text = f"information with {row['event']} = {share.value:.3f} of its entropy"
        judged.append((share.high < LIMIT, share.low > LIMIT, text))
    words = "; ".join(text for *_, text in judged)
    against = [str(row["b"]) for row in overall if row["polychoric"].high < 0]
    if against:
        turned = ", ".join(f"'{name}'" for name in against)
        words += f". {turned} runs against '{first}': where one is worded the other way round, give --reverse"
    if any(refuted for _, refuted, _ in judged):
        return "not supported", words + "."
    return ("supported" if judged and all(holds for holds, *_ in judged) else "cannot tell"), words + "."


def _tables(associations: Associations, first: str, retests: Mapping[str, Retest]) -> tuple[Table, ...]:
    rows = associations.pairs
    columns = ("content", "questions", "polychoric", "effective n", "users")
    cells = tuple(
        (
            row["group"],
            f"{row['a']}, {row['b']}",
            row["polychoric"],
            round(row["ess"]),
            row["users"],
        )
        for row in rows
    )
    tables = [Table("Correlations (polychoric)", columns, cells, "Intervals from resampling users.")]
    if associations.contrasts:
        note = "The published row can mean either reading. Intervals from resampling users."
        tables.append(
            Table.of("By content, both readings", [_contrast(row) for row in associations.contrasts], note)
        )
    if associations.events:
        tables.append(Table.of("Engagement", [_event(row) for row in associations.events]))
    overall = [
        row for row in rows if row["group"] == "all" and row["a"] == first and not row["pearson"].reason
    ]
    tables.append(_reliability(overall))
    if retests:
        twice = ("question", "asked twice", "Pearson", "polychoric")
        asked = tuple((name, item.pairs, item.pearson, item.polychoric) for name, item in retests.items())
        note = "Of the people asked twice; a random choice of them speaks for all."
        tables.append(Table("Test-retest", twice, asked, note))
    return tuple(tables)


def _contrast(row: Mapping[str, Any]) -> dict[str, Cell]:
    names = ("reading", "contrast", "difference")
    return {"content": row["group"]} | {name: row[name] for name in names}


def _event(row: Mapping[str, Any]) -> dict[str, Cell]:
    about: dict[str, Cell] = {"event": row["event"], "entropy bound, nats": row["least_entropy"]}
    about |= {
        "corrected, nats": row["corrected"],
        "share of the bound": row["normalised"],
    }
    return about | {"shuffled, nats": row["null"], "p": row["p"]}


def _reliability(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What each correlation would be without error of measurement, at this reliability (Spearman 1904)."""
    cells: list[dict[str, Cell]] = []
    for reliability in GRID if rows else ():
        line: dict[str, Cell] = {"if both reliabilities were": reliability}
        for row in rows:
            r = row["pearson"].value
            value = r / reliability if abs(r) <= reliability else "impossible: above 1"
            line[f"{row['a']}, {row['b']}"] = value
        cells.append(line)
    none: list[dict[str, Cell]] = [{"if both reliabilities were": "no correlation to correct"}]
    return Table.of("Correlation without measurement error", cells or none, ONE_ITEM.capitalize() + ".")


def _figures(associations: Associations) -> tuple[Intervals, ...]:
    estimates = {f"{row['a']}, {row['b']} ({row['group']})": row["polychoric"] for row in associations.pairs}
    label = "polychoric correlation, 95 % interval; dashed: ceiling"
    figures = [Intervals.of("Agreement of questions", label, estimates, reference=CEILING)]
    shares = {row["event"]: row["normalised"] for row in associations.events}
    if shares:
        label = "share of the smaller entropy, 95 % interval"
        figures.append(Intervals.of("What events tell about the answer", label, shares, reference=LIMIT))
    return tuple(figure for figure in figures if figure.rows)
