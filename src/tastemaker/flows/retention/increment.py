"""Answers and returns into evidence: what an answer adds, and by which path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tastemaker.flows.pipeline import Report
from tastemaker.flows.retention.experiment.load import in_file
from tastemaker.flows.retention.report import write_claim
from tastemaker.flows.retention.tables import IDS, read_typed, warn_of_slips
from tastemaker.retention.increment.rows import IncrementSettings
from tastemaker.retention.surveys import turned


def increment(
    rows: Path,
    out: Path,
    report: Report,
    settings: IncrementSettings,
    reverse: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """`tastemaker retention increment`. reverse: answer columns of
    which 1 is the best answer.

    Raises InputError with file, row, column and remedy.
    """
    from tastemaker.retention.increment import claim, increment_table

    report("increment", 0, 2, "reading")
    moments = [settings.survey_time, *settings.feature_times.values(), *filter(None, [settings.time])]
    table = read_typed(rows, times=moments)
    warn_of_slips(table, settings.baseline, str(rows))
    report("increment", 1, 2, "fitting every model on every fold")
    with in_file(rows):
        table = turned(table, reverse, name=str(rows))
        increments = increment_table(table, settings, seed, name=str(rows))
    result = claim(increments, survey=settings.surveys[0])
    written = write_claim(result, out)
    report("increment", 2, 2, "")
    return written | {"exit_code": result.exit_code}


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
    from tastemaker.retention.mediation import MediationSettings, claim, mediation_tests

    report("mediation", 0, 2, "reading")
    ids = (*IDS, "policy_id")
    table = read_typed(rows)
    dealt = None if slates is None else read_typed(slates, text=ids)
    options = None if candidates is None else read_typed(candidates, text=ids)
    chosen = MediationSettings(**(settings or {}))
    warn_of_slips(table, chosen.controls, str(rows))
    report("mediation", 1, 2, "testing")
    tests = mediation_tests(table, dealt, candidates=options, settings=chosen, key=seed, name=str(rows))
    written = write_claim(claim(tests), out)
    report("mediation", 2, 2, "")
    return written | {"path": tests.verdict, "exit_code": 1 if tests.verdict == "unknown" else 0}
