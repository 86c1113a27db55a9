"""How repeatable answers are, and what a question of one item cannot show about itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from scipy.stats import f as f_distribution

from tastemaker.errors import InputError
from tastemaker.retention.validity.correlation import pearson
from tastemaker.retention.validity.polychoric import polychoric
from tastemaker.stats.intervals import Interval

Floats = npt.NDArray[np.float64]
GRID = (0.5, 0.6, 0.7, 0.8, 0.9)
ONE_ITEM = (
    "one item: alpha, omega and a factor model of it alone are not identified; ask it again of the same"
    " people (test-retest)"
)


def alpha(covariance: npt.ArrayLike, n: int, *, level: float = 0.95) -> Interval:
    """Cronbach's alpha of the k items with this covariance (k, k) over n respondents, with Feldt's interval.

    alpha = k / (k - 1) (1 - trace / sum). One item: NaN, with the reason. Raises InputError on a matrix that
    is not square and symmetric, n below 2, or items without spread. Source: Cronbach 1951; Feldt,
    Psychometrika 1965.
    """
    s = np.asarray(covariance, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or not np.allclose(s, s.T) or n < 2:
        raise InputError(
            f"alpha needs a symmetric covariance of the items and n of at least 2; got shape {s.shape} and n"
            f" = {n}"
        )
    k = len(s)
    if k == 1:
        return Interval(float("nan"), float("nan"), float("nan"), n, "Cronbach alpha", (), ONE_ITEM)
    if not s.sum() > 0:
        raise InputError("alpha needs items whose sum varies; everyone has the same total")
    value = float(k / (k - 1) * (1 - np.trace(s) / s.sum()))
    low, high = (
        1 - (1 - value) * f_distribution.ppf(q, n - 1, (n - 1) * (k - 1))
        for q in ((1 + level) / 2, (1 - level) / 2)
    )
    assumptions = (
        "items measure one thing equally well, with independent errors",
        "respondents are independent",
    )
    return Interval(value, float(low), float(high), n, "Cronbach alpha", assumptions)


@dataclass(frozen=True)
class Disattenuated:
    """What a correlation would be without measurement error, if the two reliabilities were these; above 1 is
    impossible.
    """

    reliability_a: float
    reliability_b: float
    correlation: float
    possible: bool


def reliability_grid(r: float, grid: Sequence[float] = GRID) -> list[Disattenuated]:
    """r / sqrt(reliability_a reliability_b) over all pairs of `grid`: how far a single item's unknown
    reliability matters.

    Raises InputError on a reliability outside (0, 1] or |r| > 1. Source: Spearman 1904.
    """
    if not abs(r) <= 1 or not all(0 < item <= 1 for item in grid):
        raise InputError(f"a grid needs |r| <= 1 and reliabilities in (0, 1]; got r = {r} and {tuple(grid)}")
    pairs = [(a, b) for a in grid for b in grid if b >= a]
    return [Disattenuated(a, b, r / np.sqrt(a * b), abs(r) <= np.sqrt(a * b)) for a, b in pairs]


@dataclass(frozen=True)
class Retest:
    """Agreement of two answers of one person to one question about one item: as numbers, and as ordered
    answers.
    """

    pairs: int
    pearson: Interval
    polychoric: Interval


def retest(
    surveys: pa.Table,
    question: str,
    *,
    weight: str | None = None,
    key: Sequence[str | int] = (0,),
    level: float = 0.95,
) -> Retest:
    """Correlation of the first and the second answer where the same user was asked `question` about the same
    item again.

    surveys: rows of `schema.SURVEYS`; `weight`: a column, taken from the first answer. Give the re-asked a
    random choice, or the result speaks only for those who were asked twice. Without a pair the values are
    NaN, with the reason. Raises InputError when a question is unknown or its timestamps are missing.
    """
    frame = pl.DataFrame(pl.from_arrow(surveys)).filter(pl.col("question") == question)
    if frame.is_empty():
        known = ", ".join(sorted(set(surveys["question"].to_pylist())))
        raise InputError(f"question '{question}' was never asked; the table has {known}")
    answered = frame.filter(pl.col("answer").is_not_null()).sort("timestamp", nulls_last=True)
    if answered["timestamp"].null_count():
        raise InputError(
            f"question '{question}': some answers have no timestamp, so which came first cannot be told"
        )
    columns = ["answer"] if weight is None else ["answer", weight]
    twice = answered.group_by("user_id", "item_id", maintain_order=True).agg(
        pl.len().alias("times"),
        *(pl.col(column).first().alias(f"first_{column}") for column in columns),
        pl.col("answer").get(1, null_on_oob=True),
    )
    twice = twice.filter(pl.col("times") >= 2)
    if twice.height < 3:
        reason = f"{twice.height} re-asked pairs of '{question}': ask a random part again after some days"
        none = Interval(float("nan"), float("nan"), float("nan"), twice.height, "test-retest", (), reason)
        return Retest(twice.height, none, none)
    first, second, users = (twice[c].to_numpy() for c in ("first_answer", "answer", "user_id"))
    w = None if weight is None else twice[f"first_{weight}"].to_numpy()
    results = [f(first, second, w, users=users, key=key, level=level) for f in (pearson, polychoric)]
    return Retest(twice.height, *results)
