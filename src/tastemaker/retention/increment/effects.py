"""What an answer moves in the prediction: percentage points of probability, with log-odds contributions
beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import t

from tastemaker.retention.increment.rows import (
    Floats,
    IncrementSettings,
    Ints,
    Mask,
    Rows,
    design,
    labels,
    learn,
    user_folds,
)
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

NEUTRAL = 3
LEAST = 10  # people who gave an answer; below, its effect is not told


@dataclass(frozen=True)
class Change:
    """Setting the answer to `survey` to `level` instead of 3, in a cohort: mean change of the predicted
    probability in percentage points (interval: users and refitting), and the mean log-odds that the answer
    contributes where it was given (coefficient times distance from the mean), NaN if it never was.
    """

    cohort: str
    survey: str
    level: int
    points: Interval
    log_odds: float


def changes(data: Rows, settings: IncrementSettings, key: int | str) -> Iterator[Change]:
    """Every cohort, survey and answer 1, 2, 4, 5, out of fold.

    Interval: Student's t, with the variance from drawing users (model held) plus that of refitting, by the
    jackknife over the users that each fold leaves out. A change of a prediction is not an effect of the item:
    see `tastemaker.retention.mediation`.
    """
    n, given = len(data.outcome), list(data.answers)
    moved = {(item, level): np.full(n, np.nan) for item in given for level in (1, 2, 4, 5)}
    shares = {item: np.full(n, np.nan) for item in given}
    fold = np.full(n, -1)
    for train, test in user_folds(data, settings, key):
        truth = labels(data.outcome, train, settings.active_quantile)
        fold[test] = fold.max() + 1
        for survey in given:
            x = design(data, data.answers[survey])
            fitted = learn(x[train], truth[train], data.weight[train])
            columns = _answer_columns(data, x.shape[1])
            shares[survey][test] = fitted.contributions(x[test])[:, columns].sum(axis=1)
            neutral = fitted.predict(_with(data, test, NEUTRAL))
            for level in (1, 2, 4, 5):
                moved[survey, level][test] = fitted.predict(_with(data, test, level)) - neutral
    yield from _summaries(data, settings, key, moved, shares, fold)


def _with(data: Rows, rows: Mask, level: int) -> Floats:
    """Features of `rows` with every answer set to `level`; the cohort columns stay, also where the rows are
    of one cohort.
    """
    every: Floats = design(data, np.full(len(data.outcome), float(level)))
    return every[rows]


def _answer_columns(data: Rows, width: int) -> list[int]:
    start = data.features.shape[1]
    alone = list(range(start, start + 4))
    return alone if width == start + 4 else alone + [start + 4 + 1 + start + number for number in range(4)]


def _summaries(
    data: Rows,
    settings: IncrementSettings,
    key: int | str,
    moved: dict[tuple[str, int], Floats],
    shares: dict[str, Floats],
    fold: Ints,
) -> Iterator[Change]:
    people, count = int(data.users.max()) + 1, int(fold.max()) + 1
    rng = generator(key, "increment", "changes")
    # Means of drawn users' sums; Poisson(1) counts are the bootstrap of many users without holding who was
    # drawn.
    draws = rng.poisson(1.0, size=(settings.resamples, people)).astype(np.float64)
    z = float(t.ppf((1 + settings.level) / 2, count - 1))
    for cohort, member in data.cohorts().items():
        for (survey, level), values in moved.items():
            rows = member & ~np.isnan(values)
            w, points = data.weight[rows], 100 * values[rows]
            top, bottom = (np.bincount(data.users[rows], part, people) for part in (w * points, w))
            parts = np.bincount(fold[rows], w * points, count) / np.bincount(fold[rows], w, count)
            refit = float(parts.var()) * (count - 1)
            half = z * sqrt(float(((draws @ top) / (draws @ bottom)).var()) + refit)
            mean = float(top.sum() / bottom.sum())
            given = rows & (data.answers[survey] == level)
            weight, nan = data.weight[given], float("nan")
            odds = float(np.average(shares[survey][given], weights=weight)) if given.any() else nan
            kind, n = "users drawn with replacement, and refitting", int((bottom > 0).sum())
            change = Interval(mean, mean - half, mean + half, n, kind)
            givers = len(np.unique(data.users[given]))
            if givers < LEAST:  # a fold of the others learns nothing of this answer
                why = f"{givers} people answered {level}; {LEAST} are needed"
                change = Interval(nan, nan, nan, n, kind, reason=why)
            yield Change(cohort, survey, level, change, odds)
