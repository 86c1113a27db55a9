"""Randomised exposure: do people who were *dealt* better-answered items return more? Only this supports a
cause by the item.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def item_means(answers: Floats, items: Ints, rows: Mask, count: int) -> tuple[Floats, float]:
    """(count,) mean answer of each item over `rows` (n,), the overall mean where an item has none; and its
    reliability: the share of the variance of these means (weighted by answers) that is not noise of few
    answers, in [0, 1].
    """
    n = np.bincount(items[rows], minlength=count).astype(np.float64)
    if n.sum() < 2:
        raise InputError(
            "one half of the users has no answers, so no item means can be made; collect more answers"
        )
    overall = float(answers[rows].mean())
    total = np.bincount(items[rows], answers[rows], minlength=count)
    means = np.divide(total, n, out=np.full(count, overall), where=n > 0)
    within = float(((answers[rows] - means[items[rows]]) ** 2).sum()) / max(1.0, n.sum() - (n > 0).sum())
    between = float((n * (means - overall) ** 2).sum()) / n.sum()
    noise = within * float((n > 0).sum()) / n.sum()
    return means, max(0.0, 1 - noise / between) if between > 0 else 0.0


def clustered_slope(x: Floats, y: Floats, users: Ints) -> tuple[float, float]:
    """Slope of y (n,) on x (n,) with an intercept, and its standard error robust to dependence inside users;
    NaN where x is constant. Source: Liang and Zeger 1986, with the factor G/(G-1).
    """
    centred = x - x.mean()
    power = float(centred @ centred)
    if power <= 1e-12 * len(x):
        return float("nan"), float("nan")
    slope = float(centred @ y) / power
    score = np.bincount(users, centred * (y - y.mean() - slope * centred))
    groups = int((np.bincount(users) > 0).sum())
    return slope, float(np.sqrt((score @ score) * groups / max(1, groups - 1))) / power


def dealt_effect(
    outcome: Floats, users: Ints, value: Floats, expected: Floats, covariates: Floats | None = None
) -> tuple[float, float]:
    """Change of the outcome (n,) a point of exposure dealt above expectation, value − expected (n,), with its
    standard error.

    `covariates` (n, c), known before the deal, take out what they explain of the outcome; being independent
    of the deal they change its precision and not what it estimates.
    """
    if covariates is not None:
        design = np.column_stack([np.ones(len(outcome)), covariates])
        outcome = outcome - design @ np.linalg.lstsq(design, outcome, rcond=None)[0]
    return clustered_slope(value - expected, outcome, users)
