"""Surveys into weights, and answers into evidence of what they measure: load, call, save, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.errors import in_file
from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.tables import warn_of_slips, write_claim
from tastemaker.retention.increment.rows import IncrementSettings
from tastemaker.retention.report import ClaimReport
from tastemaker.retention.surveys import (
    check_surveys,
    no_answers,
    of_question,
    straight_lines,
    turned,
    with_covariates,
)
from tastemaker.retention.validity.table import ValiditySettings
from tastemaker.retention.weights.weigh import stages_table
from tastemaker.schema.columns import numbers
from tastemaker.store import Database, Workspace, write_table
from tastemaker.store.tables import IDS, read_typed


@dataclass(frozen=True)
class Weighing:
    """How surveys are weighed. users: a table of one row a user whose columns may be covariates; impressions:
    user_id and item_id of what was shown, against which answers are checked; columns: our name of a column ->
    the table's; trim: of `response_weights`; threshold: a mean answer that would change a decision;
    margins: a table of the population's covariate, value, share.
    """

    users: Path | None = None
    impressions: Path | None = None
    question: str = "return"
    columns: Mapping[str, str] = field(default_factory=dict)
    trim: float | None = None
    threshold: float | None = None
    margins: Path | None = None
    seed: int = 0


def weigh_surveys(
    surveys: Path, covariates: Sequence[str], out: Path, report: Report, settings: Weighing = Weighing()
) -> dict[str, Any]:
    """`tastemaker retention survey weigh`: `weights.parquet` (the survey's rows with probability and weight),
    `balance.parquet`, report.

    surveys: rows of `schema.SURVEYS`, or a workspace, whose answers are weighed to stand for everything it
    showed. Raises InputError with file, row, column and remedy.
    """
    from tastemaker.retention.weights.claim import weights_claim

    report("survey weights", 0, 3, "reading")
    if surveys.is_dir() and (surveys / "tastemaker.toml").exists():
        table, shown = _of_workspace(surveys, covariates)
    else:
        seen = None if settings.impressions is None else read_typed(settings.impressions)
        table, shown = read_typed(surveys), None
        table = check_surveys(table, columns=settings.columns, impressions=seen, name=str(surveys))
        table = of_question(table, settings.question)
    if settings.users is not None:
        table = with_covariates(table, read_typed(settings.users), name=str(settings.users))
    margins = None if settings.margins is None else read_typed(settings.margins, text=("covariate", "value"))
    report("survey weights", 1, 3, "balancing")
    result, claim = weights_claim(
        table,
        covariates,
        trim=settings.trim,
        threshold=settings.threshold,
        margins=margins,
        key=(settings.seed, "weigh"),
        name=str(surveys),
    )
    if shown is not None:
        claim = replace(
            claim,
            claim="Weighted, those who answered look like everything that was shown",
            tables=(stages_table(shown, covariates), *claim.tables),
        )
    report("survey weights", 2, 3, "writing")
    weighted = table.append_column("probability", pa.array(result.probability)).append_column(
        "weight", pa.array(result.weight)
    )
    if result.raked is not None:
        weighted = weighted.append_column("raked", pa.array(result.raked))
    write_table(out / "weights.parquet", weighted)
    write_table(out / "balance.parquet", result.balance)
    summary = write_claim(claim, out)
    report("survey weights", 3, 3, "")
    return summary | {
        "weights": str(out / "weights.parquet"),
        "ess": result.ess,
        "deff": result.deff,
    }


def _of_workspace(workspace: Path, covariates: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """The questions asked, with the chance that what was shown was asked about; and everything shown."""
    from tastemaker.flows.retention.live.fit import shown_rows
    from tastemaker.retention.weights.weigh import asked_of_shown

    opened = Workspace.open(workspace)
    with Database(opened.database) as database:
        shown = shown_rows(opened, database)
    return asked_of_shown(shown, covariates, name=f"{workspace}, what was shown"), shown


def validate_answers(
    answers: Path,
    out: Path,
    report: Report,
    settings: ValiditySettings,
    columns: Mapping[str, str] | None = None,
    reverse: Sequence[str] = (),
) -> dict[str, Any]:
    """`tastemaker retention survey validate`: agreement of questions, distance from engagement, test-retest;
    tables and report in `out`.

    answers: rows of `schema.SURVEYS` (a `question` column), or one row a user and item with a column a
    question; reverse: questions worded in reverse. Raises InputError with file, row, column and remedy.
    """
    from tastemaker.retention.validity.claim import retest, validity_claim
    from tastemaker.retention.validity.table import flat, widen

    report("survey validity", 0, 2, "reading")
    table, name = read_typed(answers), str(answers)
    retests = {}
    if (columns or {}).get("question", "question") in table.column_names:
        table = check_surveys(table, columns=columns, name=name)
        known = set(table["question"].unique().to_pylist())
        retests = {
            question: retest(table, question, weight=settings.weight, key=(*settings.key, "retest", question))
            for question in settings.questions
            if question in known
        }
        table = widen(table, [*settings.events, *(c for c in (settings.by, settings.weight) if c)])
    values = np.column_stack([numbers(table, question, name, nulls=True) for question in settings.questions])
    doubts = no_answers(values, settings.questions)
    note, most = straight_lines(values)
    table = turned(table, reverse, name=name)
    report("survey validity", 1, 2, "intervals by user")
    asked_twice = {question: pairs for question, pairs in retests.items() if pairs.pairs}
    result, claim = validity_claim(table, settings, asked_twice, name)
    claim = _doubted(claim, [*doubts, note] if most else doubts, "" if most else note)
    for title, part in (("pairs", result.pairs), ("contrasts", result.contrasts), ("events", result.events)):
        if part:
            write_table(out / f"{title}.parquet", flat(part))
    summary = write_claim(claim, out)
    report("survey validity", 2, 2, "")
    return summary


def _doubted(claim: ClaimReport, doubts: Sequence[str], note: str) -> ClaimReport:
    """The claim with a note, which decides nothing while cells may stand for no answer."""
    if note:
        claim = replace(claim, because=f"{claim.because} {note}.")
    if not doubts:
        return claim
    return replace(claim, verdict="cannot tell", because=f"{'; '.join(doubts)}. {claim.because}")


def validate_battery(
    answers: Path,
    blocks: Mapping[str, Sequence[str]],
    out: Path,
    report: Report,
    *,
    by: str | None = None,
    reverse: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """`tastemaker retention survey validate --block`: factor analysis of items; report in `out`.

    answers: one row a person with a column an item; people with a missing item are left out and counted. by:
    a column whose groups are compared (invariance); reverse: items worded the other way round. Raises
    InputError with file, row, column and remedy.
    """
    from tastemaker.retention.validity.factor.claim import battery, battery_claim

    report("battery", 0, 2, "reading")
    table, name = read_typed(answers), str(answers)
    items = battery(table, blocks, by=by, reverse=reverse, key=(seed, "battery"), name=name)
    report("battery", 1, 2, "fitting")
    fit, claim = battery_claim(
        items.covariance,
        items.n,
        items.blocks,
        names=items.names,
        groups=items.groups,
        bounds=items.bounds,
        ordinal=items.ordinal,
    )
    claim = _doubted(claim, items.doubts, items.note)
    if items.left_out:
        note = f"{items.left_out:,} people with an empty item are left out: they may answer differently."
        claim = replace(claim, limits=(*claim.limits, note))
    summary = write_claim(claim, out)
    report("battery", 2, 2, "")
    return summary | {"left_out": items.left_out, "chi2": fit.fit.chi2}


def increment(
    rows: Path,
    out: Path,
    report: Report,
    settings: IncrementSettings,
    reverse: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """`tastemaker retention increment`. reverse: answer columns of which 1 is the best answer.

    Raises InputError with file, row, column and remedy.
    """
    from tastemaker.retention.increment.table import claim, increment_table

    report("increment", 0, 2, "reading")
    moments = [settings.survey_time, *settings.feature_times.values(), *filter(None, [settings.time])]
    table = read_typed(rows, times=moments)
    warn_of_slips(table, settings.baseline, str(rows))
    report("increment", 1, 2, "fitting every model on every fold")
    with in_file(rows):
        table = turned(table, reverse, name=str(rows))
        increments = increment_table(table, settings, seed, name=str(rows))
    result = claim(increments, survey=settings.surveys[0])
    summary = write_claim(result, out)
    report("increment", 2, 2, "")
    return summary


def mediation(
    rows: Path,
    out: Path,
    report: Report,
    *,
    slates: Path | None = None,
    candidates: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """`tastemaker retention mediation`: item, user, state or unknown.

    Raises InputError with file, row, column and remedy.
    """
    from tastemaker.retention.mediation.verdict import claim, mediation_tests
    from tastemaker.retention.mediation.within import MediationSettings

    report("mediation", 0, 2, "reading")
    ids = (*IDS, "policy_id")
    table = read_typed(rows)
    dealt = None if slates is None else read_typed(slates, text=ids)
    options = None if candidates is None else read_typed(candidates, text=ids)
    chosen = MediationSettings(**(settings or {}))
    warn_of_slips(table, chosen.controls, str(rows))
    report("mediation", 1, 2, "testing")
    tests = mediation_tests(table, dealt, candidates=options, settings=chosen, key=seed, name=str(rows))
    summary = write_claim(claim(tests), out)
    report("mediation", 2, 2, "")
    return summary | {"path": tests.verdict, "exit_code": 1 if tests.verdict == "unknown" else 0}
