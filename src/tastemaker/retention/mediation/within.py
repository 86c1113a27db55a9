"""Does a user return more after a better answer *of their own*, or do users who answer better return more?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.retention.surveys import check_answers
from tastemaker.schema.columns import codes, numbers, texts


@dataclass(frozen=True)
class MediationSettings:
    """survey, outcome (0 or 1), user, item, day, request: columns of the rows; controls: columns known before
    the question, given to every model; alpha: two-sided error of each test.
    """

    survey: str = "return"
    outcome: str = "returned"
    user: str = "user_id"
    item: str = "item_id"
    day: str = "day"
    request: str = "request_id"
    controls: tuple[str, ...] = ()
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise InputError(f"alpha is {self.alpha}; give an error rate between 0 and .5")


@dataclass(frozen=True)
class Answered:
    """Rows with answer and outcome: both (n,), users (n,) from 0, day (n,), controls (n, c), user_ids."""

    answer: Floats
    outcome: Floats
    users: Ints
    day: Ints
    controls: Floats
    user_ids: list[str]


def read_answered(rows: pa.Table, settings: MediationSettings, name: str) -> Answered:
    """Rows with both. InputError names row and column: unknown, answer outside 1 to 5, one class alone."""
    check_answers(rows, answer=settings.survey, name=name)
    answer, outcome = (
        numbers(rows, settings.survey, name, nulls=True),
        numbers(rows, settings.outcome, name, nulls=True),
    )
    selected = ~np.isnan(answer) & ~np.isnan(outcome)
    if not selected.any():
        raise InputError(
            f"{name}: no row has both an answer to '{settings.survey}' and an outcome; nothing can be tested"
        )
    y = outcome[selected]
    if not np.isin(y, (0, 1)).all() or y.min() == y.max():
        raise InputError(
            f"{name}: column '{settings.outcome}' must hold both 0 and 1 and nothing else; it has"
            f" {', '.join(f'{value:g}' for value in sorted(set(y))[:5])}"
        )
    parts = [numbers(rows, column, name, nulls=True)[selected] for column in settings.controls]
    controls = np.column_stack(parts) if parts else np.zeros((len(y), 0))
    if np.isnan(controls).any():
        row, place = (int(at) for at in np.argwhere(np.isnan(controls))[0])
        raise InputError(
            f"{name}: row {np.flatnonzero(selected)[row] + 1}, column '{settings.controls[place]}' is empty;"
            " fill it in"
        )
    every, ids = codes(rows, settings.user, name)
    present, users = np.unique(every[selected], return_inverse=True)
    day = codes(rows, settings.day, name)[0][selected]
    return Answered(answer[selected], y, users, day, controls, [ids[item] for item in present])


def repeaters(answered: Answered) -> int:
    """How many users have answers on at least two different days."""
    pairs = np.unique(np.column_stack([answered.users, answered.day]), axis=0)
    return int((np.bincount(pairs[:, 0]) >= 2).sum())


def expectations(
    slates: pa.Table, candidates: pa.Table | None, items: list[str], means: Floats, name: str
) -> dict[str, float]:
    """policy_id -> the item mean that a row of a slate can expect under that policy's probabilities.

    candidates: policy_id, item_id, probability (expected number of times the item is in a slate of the
    policy). Without it, a policy whose propensities are all alike is taken as uniform over the items of
    `slates` and as many more as chance leaves undealt, which have the mean of all; any other is refused by
    name. A row, not a slate: who gets longer slates is no matter of chance.
    """
    place = "position" if "position" in slates.column_names else "item_id"
    again = pl.DataFrame(slates.select(["request_id", place])).is_duplicated()
    if again.any():
        row = int(again.arg_max() or 0)
        raise InputError(
            f"{name}: row {row + 1}: request '{slates['request_id'][row]}' has {place}"
            f" '{slates[place][row]}' twice; keep one row a shown item"
        )
    value = dict(zip(items, means.tolist(), strict=True))
    overall = float(means.mean())
    if candidates is not None:
        probability = numbers(candidates, "probability", "candidates", low=0)
        items_given = texts(candidates, "item_id", "candidates").to_pylist()
        v = np.array([value.get(item, overall) for item in items_given])
        policy, names = codes(candidates, "policy_id", "candidates")
        total = np.bincount(policy, probability, len(names))
        if not total.all():
            raise InputError(
                f"candidates: policy '{names[int(np.argmin(total))]}' has no probability above 0; give what"
                " it could have dealt"
            )
        expected = np.bincount(policy, probability * v, len(names)) / total
        return dict(zip(names, expected.tolist(), strict=True))
    policy, names = codes(slates, "policy_id", name)
    propensity = numbers(slates, "propensity", name, nulls=True)
    out = {}
    for number, policy_id in enumerate(names):
        own = propensity[policy == number]
        if own.max() - own.min() > 1e-9:
            raise InputError(
                f"{name}: policy '{policy_id}' has unequal propensities; give --candidates with policy_id,"
                " item_id, probability"
            )
        dealt = set(slates["item_id"].filter(pa.array(policy == number)).to_pylist())
        never = 1 - own[0] * len(dealt)  # of the probability, on items that were not dealt; by chance:
        chance = max(0.0, 1 - own[0]) ** len(own)
        if not -0.02 <= never <= chance + 0.02 + 4 * np.sqrt(chance * own[0]):
            raise InputError(
                f"{name}: policy '{policy_id}' has propensity {own[0]:g} over {len(dealt)} items, which is"
                " not uniform; give --candidates with policy_id, item_id, probability"
            )
        known = float(np.mean([value.get(entry, overall) for entry in dealt]))
        out[policy_id] = known + max(0.0, never) * (overall - known)
    return out


def group_means(values: Floats, users: Ints) -> Floats:
    """(n,) the mean of each row's user; users (n,) numbered from 0."""
    return np.asarray((np.bincount(users, values) / np.bincount(users))[users], dtype=np.float64)


def clustered_logit(x: Floats, y: Floats, users: Ints) -> tuple[Floats, Floats]:
    """Coefficients (d,) and their covariance (d, d), robust inside users; x (n, d) with its intercept.

    Sandwich with the factor G/(G-1) for G users (Liang and Zeger 1986). Raises InputError when a column
    separates the outcomes or is a sum of others.
    """
    from statsmodels.discrete.discrete_model import Logit  # takes a second to load

    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise InputError(
            "two features say the same (their columns add up to each other, or one is constant); leave"
            " one out"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of separation, and of no convergence
            fit = Logit(y, x).fit(disp=0, **_clustered(users))
    except (Warning, np.linalg.LinAlgError):
        raise InputError(
            "the logit does not settle: a feature tells the outcome without error in these rows; leave it out"
        ) from None
    groups = int(users.max()) + 1
    return np.asarray(fit.params), np.asarray(fit.cov_params()) * groups / (groups - 1)


def _clustered(users: Ints) -> dict[str, Any]:
    """What statsmodels is told for errors by user, without its factor for few coefficients."""
    return {"cov_type": "cluster", "cov_kwds": {"groups": users, "use_correction": False}}


def item_means(answers: Floats, items: Ints, rows: Bools, count: int) -> tuple[Floats, float]:
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
    from statsmodels.regression.linear_model import OLS

    if float(x.var()) <= 1e-12:
        return float("nan"), float("nan")
    fit = OLS(y, np.column_stack([x, np.ones(len(x))])).fit(**_clustered(users))
    groups = len(np.unique(users))
    return float(fit.params[0]), float(fit.bse[0]) * float(np.sqrt(groups / max(1, groups - 1)))


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
