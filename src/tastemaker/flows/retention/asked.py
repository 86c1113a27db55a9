"""`tastemaker retention survey asked`: what the question itself does to people, from a workspace's logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tastemaker.errors import InputError, in_file
from tastemaker.experiment.moments import Metric
from tastemaker.experiment.readout import words
from tastemaker.experiment.readout.logs import (
    SHOWN,
    UNASKED,
    AskedAfter,
    AskingReading,
    AskingSettings,
    people_table,
    read_asking,
    unasked_share,
)
from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.report import ClaimReport, Intervals, Table
from tastemaker.store import Database, Surveys, Workspace, write_table

LOGGED = (
    Metric("returned", covariate="before"),
    Metric("days_active", covariate="before"),
    Metric("lists", covariate="before"),
    Metric("plays", covariate="before"),
    Metric("likes", covariate="before"),
    Metric("skips", covariate="before", better="down"),
)
_ASSUMED = (
    (
        "the never-asked group is chosen by a hash of the person's id, and ask_holdout and seed kept their"
        " values"
    ),
    "people do not affect each other",
    (
        "the first event that a question could follow happens before any question, so it says nothing of the"
        " group"
    ),
)
_LIMITS = (
    (
        "the effect of the whole practice of asking, at the share and pace it had; another pace has another"
        " effect"
    ),
    "nothing is said of people who never played or liked what a list showed",
)


def read_asked(
    out: Path, report: Report, workspace: Path, tolerated: float = 0.02, least: int = 100, days: int = 14
) -> dict[str, Any]:
    """Effect of being asked on returning and on every other metric, with its report and people.parquet in
    `out`; exit code 0, 1 or 2 as the others.

    The logs of the workspace are read over `days` days from each person's first occasion. Raises InputError
    with file, row, column and remedy.
    """
    report("asked", 0, 3, "reading")
    people, design, window = _logged(workspace, tolerated, least, days)
    report("asked", 1, 3, "effects")
    write_table(out / "people.parquet", people)
    reading = read_asking(people, design)
    report("asked", 2, 3, "report")
    claim = asked_claim(reading, design, window)
    summary = write_claim(claim, out)
    report("asked", 3, 3, "")
    results = {
        effect.metric: {"value": effect.value, "low": effect.low, "high": effect.high}
        for effect in reading.effects
        if not effect.reason
    }
    return summary | {"counts": dict(reading.ratio.counts), "effects": results}


def _logged(workspace: Path, tolerated: float, least: int, days: int) -> tuple[pa.Table, AskingSettings, str]:
    """The people of a workspace, the settings of the read-out, and its horizon in words."""
    from tastemaker.retention.surveys import HEARD_SHARE, never_salt
    from tastemaker.schema import ANONYMOUS

    opened = Workspace.open(workspace)
    settings = opened.settings
    if settings.ask_holdout <= 0:
        raise InputError(
            f"{workspace}: ask_holdout is 0, so nobody is left unasked to compare with; set it in"
            " tastemaker.toml"
        )
    design = AskingSettings(LOGGED, settings.ask_holdout, tolerated, least, SHOWN)
    with Database(opened.database) as database:
        logs = database.events_table(), database.slates_table(), Surveys(database).rows()
    with in_file(workspace):
        after = AskedAfter(HEARD_SHARE, ANONYMOUS, opened.event_rules())
        people = people_table(*logs, never_salt(settings.seed), design, after, days)
    return people, design, f"day 1 after the first occasion; counts over {days} days"


def asked_claim(reading: AskingReading, settings: AskingSettings, horizon: str) -> ClaimReport:
    """The report: what asking does."""
    first = settings.metrics[0].name
    tables = []
    if reading.effects:
        tables.append(Table.of("Asked against never asked", [_row(effect) for effect in reading.effects]))
    if reading.each is not None:
        tables.append(Table.of("For each person shown a question on the first day", [_row(reading.each)]))
    tables.append(Table.of("Sample ratio", words.ratio_rows(reading.ratio), reading.ratio.reason))
    if reading.moments is not None:
        rows = words.sensitivity_rows(reading.moments, UNASKED, settings.metrics, settings.alpha)
        tables += [Table.of("What these groups could see", rows)] if rows else []
    known = tuple(words.forest(reading.effects))
    title, label = "What asking does", "change against the never asked, percent"
    share, promised = (unasked_share(reading.ratio),), "share, and what was promised"
    split = Intervals("Share of people never asked", promised, share, settings.holdout)
    return ClaimReport(
        f"Asking costs at most {settings.tolerated:.1%} of '{first}'",
        reading.verdict,
        f"{reading.because}.",
        tuple(tables),
        (Intervals(title, label, known, 0.0, (first,)), split) if known else (split,),
        _ASSUMED,
        _LIMITS,
        horizon,
        {name: getattr(settings, name) for name in ("holdout", "tolerated", "alpha", "least")},
    )


def _row(item: Any) -> dict[str, str | int | float | bool | None]:
    values = {"asked": item.treatment, "never asked": item.control}
    cells: dict[str, str | int | float | bool | None] = {
        "metric": item.metric + (" (less is good)" if item.better == "down" else "")
    }
    cells |= values if item.kind == "relative" else {}
    return cells | {"effect (95 % interval)": words.interval(item), "p": words.p_words(item.p)}
