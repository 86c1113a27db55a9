"""The increment as a report: a claim, a verdict, and the numbers."""

from __future__ import annotations

from dataclasses import asdict

from tastemaker.retention.increment.table import BASELINE, Increment
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table, Verdict

LIMITS = (
    (
        "A gain in AUC says that the answer predicts, not that the item causes: the path tests tell item,"
        " user and state apart."
    ),
    "TreeSHAP log-odds are not percentage points and cannot be compared with published percentage points.",
)


def claim(found: Increment, survey: str = "return", horizon: str = "day 1") -> ClaimReport:
    """'The answer to `survey` improves the prediction of the outcome': supported when the paired interval of
    the AUC gain lies above 0 in every cohort.
    """
    settings = found.settings
    gains = {score.cohort: score.gain["auc"] for score in found.scores if score.model == survey}
    verdict: Verdict = "supported" if all(gain.low > 0 for gain in gains.values()) else "not supported"
    said = [
        f"{cohort} {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" for cohort, gain in gains.items()
    ]
    because = f"AUC gain over the baseline with folds by user: {'; '.join(said)}.{_direction(found, survey)}"
    rows = {
        f"{score.model}, {score.cohort}": score.gain["auc"]
        for score in found.scores
        if score.model != BASELINE
    }
    return ClaimReport(
        claim=(
            f"The answer to '{survey}' improves the prediction of '{settings.outcome}' beyond "
            f"{len(settings.baseline)} baseline features."
        ),
        verdict=verdict,
        because=because,
        tables=(_score_table(found), _effect_table(found)),
        figures=(Intervals.of("What each answer adds to the baseline", "AUC gain", rows, reference=0.0),),
        assumptions=(
            "Users are independent.",
            "Features were known when the question was asked.",
            "Answers are not missing by outcome.",
        ),
        limits=LIMITS,
        horizon=horizon,
        settings=asdict(settings)
        | {
            "rows": found.n,
            "users": found.users,
            "rows without an answer": found.dropped,
        },
    )


def _direction(found: Increment, survey: str) -> str:
    """A warning where a better answer goes with fewer returns: the scale may run the other way."""
    points = {
        change.level: change.points
        for change in found.changes
        if (change.cohort, change.survey) == ("all", survey)
    }
    if points and points[5].high < 0 < points[1].low:
        return (
            f" Answers of 5 to '{survey}' go with fewer returns than answers of 1: where 1 is the best"
            f" answer, give --reverse {survey}."
        )
    return ""


def _score_table(found: Increment) -> Table:
    rows: list[dict[str, Cell]] = []
    for one in found.scores:
        row: dict[str, Cell] = {"cohort": one.cohort, "model": one.model, "AUC": one.metrics["auc"]}
        row |= {"AUC gain": one.gain.get("auc"), "gain, t over folds": one.across_folds}
        row |= {"log loss gain": one.gain.get("log_loss"), "PR-AUC": one.metrics["pr_auc"].value}
        row |= {
            name: one.metrics[key].value
            for name, key in (("NE", "ne"), ("Brier", "brier"), ("accuracy", "accuracy"))
        }
        rows.append(row)
    note = (
        f"{found.n:,} rows of {found.users:,} users, folds by"
        f" user{' and time' if found.settings.time else ''}, {found.settings.learner}."
    )
    return Table.of("What an answer adds", rows, note)


def _effect_table(found: Increment) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "cohort": one.cohort,
            "answer": f"{one.survey} = {one.level} instead of 3",
            "change, pp": one.points,
            "log-odds": one.log_odds,
        }
        for one in found.changes
    ]
    return Table.of("Change of the predicted probability", rows)
