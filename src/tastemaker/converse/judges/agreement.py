"""How far judges agree, and what may be reported of them: never a mean over too few valid answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.stats.intervals import Interval
from tastemaker.stats.resample import by_unit, of_totals

LEAST_VALID = 0.95
GRADES = 4
RESAMPLES = 1000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rated:
    """One judge's answer on an aspect of a turn; score None: no valid answer. item: what was judged."""

    judge: str
    conversation: str
    item: str
    aspect: str
    score: int | None
    reason: str = ""


@dataclass(frozen=True)
class Mean:
    """A judge's mean on an aspect; None, with the reason, unless 95 % of the answers are valid."""

    judge: str
    aspect: str
    asked: int
    valid: int
    mean: float | None
    reason: str = ""


def means(ratings: Sequence[Rated]) -> list[Mean]:
    """Mean over valid answers, judge by judge and aspect by aspect."""
    groups: dict[tuple[str, str], list[Rated]] = {}
    for rating in ratings:
        groups.setdefault((rating.judge, rating.aspect), []).append(rating)
    rows_of_means = []
    for (judge, aspect), rows in sorted(groups.items()):
        scores = [rating.score for rating in rows if rating.score is not None]
        share = len(scores) / len(rows)
        if share < LEAST_VALID:
            reason = (
                f"only {share:.1%} of {len(rows)} answers are valid; at least {LEAST_VALID:.0%} are needed"
                " for a mean"
            )
            rows_of_means.append(Mean(judge, aspect, len(rows), len(scores), None, reason))
        else:
            rows_of_means.append(Mean(judge, aspect, len(rows), len(scores), float(np.mean(scores))))
    return rows_of_means


def _kappas(tables: Floats) -> npt.NDArray[np.float64]:
    """Weighted kappa of each (K, K) table of counts: 1 - sum w O / sum w E, w_ij = ((i - j)/(K - 1))^2 (Cohen
    1968); NaN where chance leaves no disagreement.
    """
    grades = tables.shape[-1]
    place = np.arange(grades)
    weights = np.square((place[:, None] - place[None, :]) / (grades - 1))
    total = np.maximum(tables.sum(axis=(1, 2)), 1e-300)
    expected = tables.sum(axis=2)[:, :, None] * tables.sum(axis=1)[:, None, :] / total[:, None, None]
    seen, chance = (weights * tables).sum(axis=(1, 2)), (weights * expected).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(chance > 0, 1.0 - seen / chance, np.nan))


def agreement(ratings: Sequence[Rated], first: str, second: str, aspect: str, seed: int = 0) -> Interval:
    """Weighted kappa of two judges on what both answered, with a percentile bootstrap over conversations.

    The value is NaN, with a reason, when chance alone leaves no disagreement (a judge always says the same).
    """
    pairs = _pairs(ratings, first, second, aspect)
    cells = np.eye(GRADES * GRADES)
    if not pairs:
        return Interval.unknown(0, "weighted kappa", "no answer of both judges")
    counts = np.array([cells[(a - 1) * GRADES + b - 1] for _, a, b in pairs])
    interval = of_totals(
        by_unit(counts, [name for name, *_ in pairs]),
        lambda totals: _kappas(totals.reshape(-1, GRADES, GRADES)),
        (seed, "kappa", first, second, aspect),
        RESAMPLES,
        "weighted kappa",
        ("conversations are independent",),
    )
    if np.isnan(interval.value):
        reason = "a judge gives one grade throughout: chance leaves no disagreement"
        return Interval.unknown(len(pairs), "weighted kappa", reason)
    return replace(interval, n=len(pairs))


def _pairs(ratings: Sequence[Rated], first: str, second: str, aspect: str) -> list[tuple[str, int, int]]:
    """(conversation, grade of the first, grade of the second) of every unit that both graded."""
    rated = [rating for rating in ratings if rating.aspect == aspect and rating.score is not None]
    others = {rating.item: rating.score for rating in rated if rating.judge == second}
    return [
        (rating.conversation, rating.score or 0, other)
        for rating in rated
        if rating.judge == first and (other := others.get(rating.item)) is not None
    ]
