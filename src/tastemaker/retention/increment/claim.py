"""The increment as a report: a claim, a verdict, and both ways of computing it."""

from __future__ import annotations

from dataclasses import asdict

from tastemaker.retention.increment.table import BASELINE, Increment
from tastemaker.retention.report import Cell, ClaimReport, Intervals, Table, Verdict

DIFFER = (
    (
        "Paper folds put rows of one user on both sides; here a user's rows lie in one fold, and later rows"
        " are predicted from earlier ones where a time is named."
    ),
    (
        "SDs, p and Cohen's d over folds treat folds that share training rows as independent; here users are"
        " drawn with replacement."
    ),
    "Every model is fitted and scored on the same rows, so differences are paired.",
)
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
    verdict: Verdict = "cannot tell"
    because = "Only the published way was asked for; its folds are dependent, so it carries no verdict."
    gains = {one.cohort: one.gain["auc"] for one in found.scores if one.model == survey}
    if gains:
        verdict = "supported" if all(one.low > 0 for one in gains.values()) else "not supported"
        said = [
            f"{cohort} {one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for cohort, one in gains.items()
        ]
        because = f"AUC gain over the baseline with folds by user: {'; '.join(said)}."
    figures: tuple[Intervals, ...] = ()
    if found.scores:
        rows = {
            f"{one.model}, {one.cohort}": one.gain["auc"] for one in found.scores if one.model != BASELINE
        }
        figures = (Intervals.of("What each answer adds to the baseline", "AUC gain", rows, reference=0.0),)
    return ClaimReport(
        claim=(
            f"The answer to '{survey}' improves the prediction of '{settings.outcome}' beyond "
            f"{len(settings.baseline)} baseline features."
        ),
        verdict=verdict,
        because=because,
        paper=(_paper_table(found),) if found.paper else (),
        corrected=(_corrected_table(found), _effect_table(found)) if found.scores else (),
        differ=DIFFER,
        figures=figures,
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


def _corrected_table(found: Increment) -> Table:
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
        f"{found.n:,} rows of {found.users:,} users, folds by {found.settings.fold_kind},"
        f" {found.settings.learner}."
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


def _paper_table(found: Increment) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "cohort": one.cohort,
            "model": one.model,
            "accuracy": f"{100 * one.accuracy[0]:.1f} ± {100 * one.accuracy[1]:.1f}",
            "AUC": f"{one.auc[0]:.3f} ± {one.auc[1]:.3f}",
            "p over folds": None if one.p != one.p else f"{one.p:.1e}",
            "Cohen d": None if one.d != one.d else round(one.d, 1),
        }
        for one in found.paper
    ]
    return Table.of(
        "The published way: folds of rows",
        rows,
        f"{found.settings.paper_folds} stratified folds of rows, ± SD over folds.",
    )
