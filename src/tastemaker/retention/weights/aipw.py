"""Means of answers for everyone shown: weighting alone (as published), doubly robust (default), and how wrong
it could be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import ndtri

from tastemaker.errors import InputError
from tastemaker.retention.surveys import codes
from tastemaker.retention.weights.newton import gram
from tastemaker.retention.weights.weigh import Prepared, WeightSettings, prepare, read_answers
from tastemaker.stats.estimate import Estimate
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
Predict = Callable[[Floats], Floats]
Learner = Callable[[Floats, Floats, Floats], Predict]

MISSING_AT_RANDOM = "given the covariates, who answers does not depend on the answer"
POSITIVE = "everyone shown could have answered"


def linear(x: Floats, y: Floats, weight: Floats) -> Predict:
    """Weighted least squares of y (m,) on an intercept and x (m, p); the default outcome model of
    `aipw_mean`.
    """
    z = np.column_stack([np.ones(len(x)), x])
    slope = np.linalg.lstsq(gram(z, weight), (weight * y) @ z, rcond=None)[0]
    return lambda rows: np.asarray(slope[0] + rows @ slope[1:], dtype=np.float64)


def answered_mean(
    shown: pa.Table,
    *,
    answer: str = "answer",
    asked_probability: str = "asked_probability",
    user: str = "user_id",
    level: float = 0.95,
    name: str = "surveys",
) -> Estimate:
    """Mean of the answers that came, by design weight alone: what anyone gets who forgets those who did not
    answer.

    Variance from sums by user. Raises InputError as `response_weights` does.
    """
    values, d = read_answers(shown, answer=answer, asked_probability=asked_probability, name=name)
    owner, weight = codes(shown, user, name)[0], np.where(np.isnan(values), 0.0, d)
    filled = np.nan_to_num(values, nan=0.0)
    mean = float(weight @ filled / weight.sum())
    rests = ("those who did not answer would have answered like those who did",)
    return _interval(
        mean, weight * (filled - mean) / weight.sum(), owner, values, "mean of the answers", level, rests
    )


def weighted_mean(
    shown: pa.Table,
    covariates: Sequence[str],
    *,
    answer: str = "answer",
    asked_probability: str = "asked_probability",
    user: str = "user_id",
    level: float = 0.95,
    name: str = "surveys",
) -> Estimate:
    """Paper mode: mean of the answers under the response weights, weights taken as known, variance from sums
    by user.

    Raises InputError as `response_weights` does.
    """
    given = prepare(
        shown, covariates, WeightSettings(), answer=answer, asked_probability=asked_probability, name=name
    )
    owner = codes(shown, user, name)[0]
    filled = np.where(given.answered, given.values, 0.0)
    weight = np.where(given.answered, given.d / given.fit.probability, 0.0)
    mean = float(weight @ filled / weight.sum())
    return _interval(
        mean,
        weight * (filled - mean) / weight.sum(),
        owner,
        given.values,
        "weighted mean",
        level,
        (MISSING_AT_RANDOM, POSITIVE),
    )


def aipw_mean(
    shown: pa.Table,
    covariates: Sequence[str],
    *,
    key: Sequence[str | int] = (0,),
    folds: int = 5,
    learner: Learner = linear,
    answer: str = "answer",
    asked_probability: str = "asked_probability",
    user: str = "user_id",
    level: float = 0.95,
    name: str = "surveys",
) -> Estimate:
    """Doubly robust mean of the answers over everyone shown: right when either the answer model or the
    response model is.

    mu = (1/D) sum d [m(x) + (R/pi)(y - m(x))], D = sum d, pi as in `response_weights`, m by `learner`
    cross-fitted over `folds` of users drawn by `key`. Variance from user sums of the influence terms, which
    include the estimation of pi: its term
    -d (R/pi - 1) x'g, with g the regression of the residuals on x among those who answered, weighted by d (1
    - pi)/pi.

    Raises InputError as `response_weights` does, and when there are fewer users with an answer than folds.
    Source: Robins, Rotnitzky and Zhao, JASA 1994; cross-fitting: Chernozhukov et al., Econometrics Journal
    2018.
    """
    if folds < 2:
        raise InputError(
            f"folds is {folds}; the answer model needs at least 2 folds of users to be fitted on other people"
        )
    given = prepare(
        shown, covariates, WeightSettings(), answer=answer, asked_probability=asked_probability, name=name
    )
    owner = codes(shown, user, name)[0]
    predicted = _cross_fit(given, owner, folds, learner, key, name)
    value, influence = _influence(given, predicted)
    rests = (
        f"{MISSING_AT_RANDOM}, or the answer model is right",
        POSITIVE,
        "users are independent of each other",
    )
    return _interval(value, influence, owner, given.values, "AIPW", level, rests)


def _cross_fit(
    given: Prepared,
    owner: npt.NDArray[np.int64],
    folds: int,
    learner: Learner,
    key: Sequence[str | int],
    name: str,
) -> Floats:
    """(n,) predictions of each row by a model that saw none of its user's rows."""
    people = np.unique(owner[given.answered])
    if len(people) < folds:
        raise InputError(
            f"{name}: {len(people)} users answered, fewer than the {folds} folds of the answer model; give"
            " fewer folds"
        )
    fold_of = np.empty(int(owner.max()) + 1, dtype=np.int64)
    rng = generator(*key, "folds of users")
    # Those who answered are dealt out first, so that no fold trains without answers.
    fold_of[rng.permutation(len(fold_of))] = np.arange(len(fold_of)) % folds
    fold_of[rng.permutation(people)] = np.arange(len(people)) % folds
    fold = fold_of[owner]
    predicted = np.empty(len(owner))
    for one in range(folds):
        train = given.answered & (fold != one)
        predict = learner(
            given.design.x[train], given.values[train], given.d[train] / given.fit.probability[train]
        )
        predicted[fold == one] = predict(given.design.x[fold == one])
    return predicted


def _influence(given: Prepared, predicted: Floats) -> tuple[float, Floats]:
    """The estimate, and (n,) each row's term of its error."""
    total, ratio = given.d.sum(), given.answered / given.fit.probability
    residual = np.where(given.answered, given.values - predicted, 0.0)
    value = float(given.d @ (predicted + ratio * residual) / total)
    on = given.answered
    z = np.column_stack([np.ones(int(on.sum())), given.design.x[on]])
    odds = given.d[on] * (1 / given.fit.probability[on] - 1)
    slope = np.linalg.lstsq(gram(z, odds), (odds * residual[on]) @ z, rcond=None)[0]
    fitted = slope[0] + given.design.x @ slope[1:]
    return value, given.d * (predicted + ratio * residual - value - (ratio - 1) * fitted) / total


def _interval(
    value: float,
    influence: Floats,
    owner: npt.NDArray[np.int64],
    values: Floats,
    kind: str,
    level: float,
    assumptions: tuple[str, ...],
) -> Estimate:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give the coverage of the interval, above 0 and below 1")
    users = int(owner.max()) + 1
    answers = values[~np.isnan(values)]
    if answers.min() == answers.max():
        reason = (
            f"everyone gave the same answer ({answers[0]:g}): its spread among those who did not answer"
            " cannot be told"
        )
        return Estimate(float("nan"), float("nan"), float("nan"), users, kind, assumptions, reason)
    sums = np.bincount(owner, influence, minlength=users)
    half = float(ndtri((1 + level) / 2) * np.sqrt((sums**2).sum() * users / max(users - 1, 1)))
    return Estimate(value, value - half, value + half, users, kind, assumptions)


@dataclass(frozen=True)
class TippingPoint:
    """How far those who did not answer must be from what their covariates say, to move the mean to
    `threshold`.

    shift: in points of the answer, for the estimate itself; shift_interval: for the interval's nearer end (0
    when the interval already holds the threshold); in_sd: `shift_interval` over the answers' standard
    deviation. Infinite when everyone answered.
    """

    threshold: float
    response_rate: float
    shift: float
    shift_interval: float
    in_sd: float


def tipping_point(estimate: Estimate, threshold: float, response_rate: float, sd: float) -> TippingPoint:
    """Pattern-mixture bound: with a shift s of those who did not answer the mean moves by (1 - response_rate)
    s.

    estimate: of the mean; threshold: the value that would overturn the result; response_rate: share of design
    weight that answered, in (0, 1]; sd: standard deviation of the answers, above 0. Raises InputError on
    values out of range.
    """
    if not 0 < response_rate <= 1 or not sd > 0 or not np.isfinite(estimate.value):
        raise InputError(
            "a tipping point needs a mean, a response rate in (0, 1] and a spread above 0; "
            f"got {estimate.value}, {response_rate} and {sd}"
        )
    gap = threshold - estimate.value
    nearer = min(max(threshold, estimate.low), estimate.high)
    gap_interval = threshold - (estimate.low if gap < 0 else estimate.high) if nearer != threshold else 0.0
    missing = 1 - response_rate
    if missing == 0:
        return TippingPoint(threshold, response_rate, *(float(np.copysign(np.inf, gap)),) * 3)
    return TippingPoint(
        threshold, response_rate, gap / missing, gap_interval / missing, gap_interval / missing / sd
    )
