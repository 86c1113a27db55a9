"""The increment as a report: a claim, a verdict, and the numbers."""

from __future__ import annotations

from dataclasses import asdict

from tastemaker.retention.increment.table import BASELINE, Increment
from tastemaker.retention.report import LEAST_PEOPLE, Cell, ClaimReport, Intervals, Table, Verdict, too_few

LIMITS = (
    (
        "A gain in AUC says that the answer predicts, not that the item causes: the path tests tell item,"
        " user and state apart."
    ),
)


def claim(increment: Increment, survey: str = "return", horizon: str = "day 1") -> ClaimReport:
    """'The answer to `survey` improves the prediction of the outcome': supported when the paired interval of
    the AUC gain lies above 0 in every cohort.
    """
    settings = increment.settings
    gains = {score.cohort: score.gain["auc"] for score in increment.scores if score.model == survey}
    verdict: Verdict = "supported" if all(gain.low > 0 for gain in gains.values()) else "not supported"
    few = {
        score.cohort: score.gain["auc"].n
        for score in increment.scores
        if score.model == survey and score.gain["auc"].n < LEAST_PEOPLE
    }
    text = [
        f"{cohort} {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" for cohort, gain in gains.items()
    ]
    because = (
        f"AUC gain over the baseline with folds by user: {'; '.join(text)}.{_direction(increment, survey)}"
    )
    if few:
        verdict = "cannot tell"
        because = f"{too_few(few)} {because}"
    rows = {
        f"{score.model}, {score.cohort}": score.gain["auc"]
        for score in increment.scores
        if score.model != BASELINE
    }
    return ClaimReport(
        claim=(
            f"The answer to '{survey}' improves the prediction of '{settings.outcome}' beyond "
            f"{len(settings.baseline)} baseline features."
        ),
        verdict=verdict,
        because=because,
        tables=(_score_table(increment), _effect_table(increment)),
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
            "rows": increment.n,
            "users": increment.users,
            "rows without an answer": increment.dropped,
        },
    )


def _direction(increment: Increment, survey: str) -> str:
    """A warning where a better answer goes with fewer returns: the scale may run the other way."""
    points = {
        change.level: change.points
        for change in increment.changes
        if (change.cohort, change.survey) == ("all", survey)
    }
    if points and points[5].high < 0 < points[1].low:
        return (
            f" Answers of 5 to '{survey}' go with fewer returns than answers of 1: where 1 is the best"
            f" answer, give --reverse {survey}."
        )
    return ""


def _score_table(increment: Increment) -> Table:
    rows: list[dict[str, Cell]] = []
    for score in increment.scores:
        row: dict[str, Cell] = {"cohort": score.cohort, "model": score.model, "AUC": score.metrics["auc"]}
        row |= {"AUC gain": score.gain.get("auc"), "gain, t over folds": score.across_folds}
        row |= {"log loss gain": score.gain.get("log_loss"), "PR-AUC": score.metrics["pr_auc"].value}
        row |= {
            name: score.metrics[key].value
            for name, key in (("NE", "ne"), ("Brier", "brier"), ("accuracy", "accuracy"))
        }
        rows.append(row)
    note = (
        f"{increment.n:,} rows of {increment.users:,} users, folds by"
        f" user{' and time' if increment.settings.time else ''}, logistic regression."
    )
    return Table.of("What an answer adds", rows, note)


def _effect_table(increment: Increment) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "cohort": change.cohort,
            "answer": f"{change.survey} = {change.level} instead of 3",
            "change, pp": change.points,
            "log-odds": change.log_odds,
        }
        for change in increment.changes
    ]
    return Table.of("Change of the predicted probability", rows)
