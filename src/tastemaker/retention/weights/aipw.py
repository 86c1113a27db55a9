"""Means of answers for everyone shown: weighting (as published), doubly robust, how wrong it could be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import special

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.retention.weights.design import gram
from tastemaker.retention.weights.weigh import (
    Prepared,
    prepare,
    read_answers,
    thin_categories,
)
from tastemaker.schema.columns import codes
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import dealt, generator

Scale = tuple[float, float]

MISSING_AT_RANDOM = "given the covariates, who answers does not depend on the answer"
NOTHING = "no category has enough answers"
POSITIVE = "everyone shown could have answered"


def answered_mean(shown: pa.Table, *, name: str = "surveys") -> Interval:
    """Mean of the answers that came, by design weight alone: what one gets who forgets the others.

    Variance from sums by user. Raises InputError as `response_weights` does.
    """
    values, d = read_answers(shown, name)
    owner, weight = codes(shown, "user_id", name)[0], np.where(np.isnan(values), 0.0, d)
    filled = np.nan_to_num(values, nan=0.0)
    mean = float(weight @ filled / weight.sum())
    rests = ("those who did not answer would have answered like those who did",)
    influence = weight * (filled - mean) / weight.sum()
    return _interval(mean, influence, owner, values, "mean of the answers", rests)


def weighted_mean(
    shown: pa.Table,
    covariates: Sequence[str],
    *,
    scale: Scale | None = None,
    name: str = "surveys",
) -> Interval:
    """As published: mean of the answers under the response weights, weights taken as known, variance from
    sums by user.

    Categories with too few answers are treated as in `aipw_mean`. Raises InputError as `response_weights`.
    """

    def main(rows: pa.Table) -> Interval:
        given = prepare(rows, covariates, name, allow_constant=True)
        filled = np.where(given.answered, given.values, 0.0)
        weight = np.where(given.answered, given.d / given.fit.probability, 0.0)
        mean = float(weight @ filled / weight.sum())
        influence, owner = weight * (filled - mean) / weight.sum(), codes(rows, "user_id", name)[0]
        rests = (MISSING_AT_RANDOM, POSITIVE)
        return _interval(mean, influence, owner, given.values, "weighted mean", rests)

    return _with_thin(shown, covariates, main, scale, name)


def aipw_mean(
    shown: pa.Table,
    covariates: Sequence[str],
    *,
    key: Sequence[str | int] = (0,),
    folds: int = 5,
    scale: Scale | None = None,
    name: str = "surveys",
) -> Interval:
    """Doubly robust mean of the answers over everyone shown: right when either model is.

    mu = (1/D) sum d [m(x) + (R/pi)(y - m(x))], D = sum d, pi as in `response_weights`, m by `linear`
    cross-fitted over `folds` of users drawn by `key`; the people of each category are dealt out evenly, so
    that no fold is predicted by a model that never saw its category. Variance from user sums of the influence
    terms, which include the estimation of pi: its term -d (R/pi - 1) x'g, with g the regression of the
    residuals on x among those who answered, weighted by d (1 - pi)/pi; Student's t with the degrees of
    freedom that few large terms leave.

    A category that fewer than `weigh.LEAST` people answered for cannot be modelled: its people enter with the
    mean of their answers, and the interval allows them any answer of the `scale` (lowest, highest; None: as
    observed). No estimate lies outside the scale.

    Raises InputError as `response_weights` does, and when there are fewer users with an answer than folds.
    Source: Robins, Rotnitzky and Zhao, JASA 1994; cross-fitting: Chernozhukov et al., Econometrics Journal
    2018; bounds: Manski, Partial Identification of Probability Distributions, 2003.
    """
    if folds < 2:
        raise InputError(
            f"folds is {folds}; the answer model needs at least 2 folds of users to be fitted on other people"
        )
    rests = (
        f"{MISSING_AT_RANDOM}, or the answer model is right",
        POSITIVE,
        "users are independent of each other",
    )

    def main(rows: pa.Table) -> Interval:
        given = prepare(rows, covariates, name, allow_constant=True)
        owner = codes(rows, "user_id", name)[0]
        value, influence = _influence(given, _cross_fit(given, owner, folds, key, name))
        return _interval(value, influence, owner, given.values, "AIPW", rests)

    return _with_thin(shown, covariates, main, scale, name)


def _with_thin(
    shown: pa.Table,
    covariates: Sequence[str],
    main: Callable[[pa.Table], Interval],
    scale: Scale | None,
    name: str,
) -> Interval:
    """`main` of the rows outside thin categories, with the people of those put at both ends of the scale."""
    values, d = read_answers(shown, name)
    low, high = scale or (float(np.nanmin(values)), float(np.nanmax(values)))
    thin, rows = thin_categories(shown, covariates, name)
    users = len(codes(shown, "user_id", name)[1])
    if rows.all():
        why = f"{NOTHING}: {'; '.join(category.text for category in thin)}"
        return Interval.unknown(users, "mean", why)
    estimate = main(shown.filter(pa.array(~rows)) if thin else shown)
    if estimate.reason:
        return estimate
    share = float(d[rows].sum() / d.sum())
    answered = rows & ~np.isnan(values)
    own = float(np.average(values[answered], weights=d[answered])) if answered.any() else (low + high) / 2
    ends = (estimate.value, own), (estimate.low, low), (estimate.high, high)
    value, lower, upper = (min(max((1 - share) * most + share * few, low), high) for most, few in ends)
    allowed = tuple(f"nothing of {c.text}: any answer from {low:g} to {high:g}" for c in thin)
    return Interval(value, lower, upper, users, estimate.kind, estimate.assumptions + allowed)


def linear(x: Floats, y: Floats, weight: Floats) -> Callable[[Floats], Floats]:
    """Weighted least squares of y (m,) on an intercept and x (m, p): the outcome model of `aipw_mean`.

    Predictions stay within the answers seen.
    """
    z = np.column_stack([np.ones(len(x)), x])
    slope = np.linalg.lstsq(gram(z, weight), (weight * y) @ z, rcond=None)[0]
    return lambda rows: np.clip(slope[0] + rows @ slope[1:], y.min(), y.max())


def _cross_fit(given: Prepared, owner: Ints, folds: int, key: Sequence[str | int], name: str) -> Floats:
    """(n,) predictions of each row by a model that saw none of its user's rows."""
    people = np.unique(owner[given.answered])
    if len(people) < folds:
        raise InputError(
            f"{name}: {many(len(people), 'user')} answered, fewer than the"
            f" {many(folds, 'fold')} of the answer model; give"
            " fewer folds"
        )
    # Those who answered are dealt out category by category, so that no fold trains without one.
    fold = dealt(_rarest(given, owner), folds, generator(*key, "folds of users"))[owner]
    predicted = np.empty(len(owner))
    for part in range(folds):
        train, test = given.answered & (fold != part), fold == part
        weight = given.d[train] / given.fit.probability[train]
        predicted[test] = linear(given.design.x[train], given.values[train], weight)(given.design.x[test])
    return predicted


def _rarest(given: Prepared, owner: Ints) -> Ints:
    """(users,) the category, of the fewest people, that each user answered in; or that of no answers."""
    label = np.full(int(owner.max()) + 1, -2, dtype=np.int64)
    label[owner[given.answered]] = -1
    people = [np.unique(owner[rows & given.answered]) for _, rows in given.categories]
    for place, members in enumerate(sorted(people, key=len, reverse=True)):
        label[members] = place
    return label


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


def one_answer(values: Floats) -> str:
    """Why the same answer (n,) from everyone has no interval; empty where answers differ."""
    low, high = np.nanmin(values), np.nanmax(values)
    if low < high:
        return ""
    return (
        f"everyone gave the same answer ({low:g}): its spread among those who did not answer cannot be told"
    )


def _interval(
    value: float, influence: Floats, owner: Ints, values: Floats, kind: str, rests: tuple[str, ...]
) -> Interval:
    users = int(owner.max()) + 1
    if reason := one_answer(values):
        return Interval.unknown(users, kind, reason, rests)
    squares = np.bincount(owner, influence, minlength=users) ** 2
    variance = float(squares.sum()) * users / max(users - 1, 1)
    df = float(squares.sum() ** 2 / (squares**2).sum())  # Satterthwaite: a few large terms leave little
    half = special.stdtrit(df, 0.975) * variance**0.5
    return Interval.around(value, half, users, kind, rests)


@dataclass(frozen=True)
class TippingPoint:
    """How far those who did not answer must be from what covariates say, for a mean of `threshold`.

    shift: in points of the answer, for the estimate itself; shift_interval: for the interval's nearer end (0
    when the interval already holds the threshold); in_sd: `shift_interval` over the answers' standard
    deviation. Infinite when everyone answered.
    """

    threshold: float
    response_rate: float
    shift: float
    shift_interval: float
    in_sd: float


def tipping_point(estimate: Interval, threshold: float, response_rate: float, sd: float) -> TippingPoint:
    """Pattern-mixture bound: a shift s of those who did not answer moves the mean by (1 - response_rate) s.

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
