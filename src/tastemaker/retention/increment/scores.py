"""How good predicted probabilities are, for many weightings of the same rows at once: what a bootstrap over
users needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
METRICS = ("auc", "pr_auc", "log_loss", "ne", "brier", "accuracy")
_EDGE = 1e-12


@dataclass(frozen=True)
class Prepared:
    """Predictions sorted once. place (n,) rank of each row's prediction among the distinct ones; y, log-loss,
    squared error and hit at .5 (n,) by row.
    """

    place: Ints
    distinct: int
    y: Floats
    loss: Floats
    square: Floats
    hit: Floats


def prepare(p: Floats, y: Floats) -> Prepared:
    """Sort predictions `p` (n,) in [0, 1] of outcomes `y` (n,) 0 or 1; InputError on a prediction that is
    none.
    """
    if not np.all((p >= 0) & (p <= 1)):
        row = int(np.argmax(~((p >= 0) & (p <= 1))))
        raise InputError(f"row {row + 1}: the predicted probability is {p[row]}; it must lie in [0, 1]")
    distinct, place = np.unique(p, return_inverse=True)
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    loss = -(y * np.log(inside) + (1 - y) * np.log1p(-inside))
    return Prepared(
        place.astype(np.int64),
        len(distinct),
        y,
        loss,
        (p - y) ** 2,
        ((p > 0.5) == (y > 0)).astype(np.float64),
    )


def scores(at: Prepared, weight: Floats) -> Floats:
    """(6,) the METRICS with row weights (n,): AUC (ties count half), average precision, log loss (nats), log
    loss over the entropy of the base rate, Brier, accuracy at .5. NaN where one class has no weight.

    Sources: NE: He et al., ADKDD 2014; average precision as scikit-learn's, ties as one step.
    """
    positive = np.bincount(at.place, weight * at.y, at.distinct)
    every = np.bincount(at.place, weight, at.distinct)
    negative = every - positive
    p_sum, n_sum = positive.sum(), negative.sum()
    total = p_sum + n_sum
    means = [
        float(weight @ part) / total if total > 0 else float("nan") for part in (at.loss, at.square, at.hit)
    ]
    if p_sum <= 0 or n_sum <= 0:
        return np.array([np.nan, np.nan, means[0], np.nan, means[1], means[2]])
    below = np.cumsum(negative) - negative
    auc = float(positive @ (below + negative / 2)) / (p_sum * n_sum)
    result, shown = np.cumsum(positive[::-1]), np.cumsum(every[::-1])
    precision = np.divide(result, shown, out=np.zeros_like(result), where=shown > 0)
    rate = p_sum / total
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return np.array(
        [auc, float(positive[::-1] @ precision) / p_sum, means[0], means[0] / entropy, means[1], means[2]]
    )


def user_draws(users: Ints, key: tuple[str | int, ...], resamples: int) -> Ints:
    """(resamples, U) how often each user (numbered from 0 in `users`) is drawn: users with replacement."""
    count = int(users.max()) + 1
    rng = generator(*key, "bootstrap of users")
    draws = np.empty((resamples, count), dtype=np.int64)
    for place in range(resamples):
        draws[place] = np.bincount(rng.integers(0, count, size=count), minlength=count)
    return draws


def resampled_scores(at: Prepared, weight: Floats, users: Ints, draws: Ints) -> Floats:
    """(resamples, 6) `scores` under every draw of users; the same draws for two models give paired
    differences.
    """
    return np.array([scores(at, weight * draw[users]) for draw in draws])
