"""Draws of the small worlds: only rewarded rows differ from 0, so a million rows cost as much as their few
thousand rewards.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from tastemaker.stats import betting

Floats = npt.NDArray[np.float64]


def rewarded_actions(q: Floats, played: Floats, n: int, draws: np.random.Generator) -> npt.NDArray[np.int64]:
    """Actions of the rewarded rows among n rows of the policy `played` (A,), whose rewards are 1 with
    probability q (A,).
    """
    joint = played * q
    return np.asarray(draws.choice(len(q), draws.binomial(n, joint.sum()), p=joint / joint.sum()))


def student(total: Floats, squares: Floats, n: int, delta: float) -> Floats:
    """t lower bounds of means from sums and sums of squares over n rows."""
    mean = total / n
    return np.asarray(mean - stats.t.ppf(1 - delta, n - 1) * np.sqrt((squares - n * mean**2) / (n - 1) / n))


def bernstein(total: float, squares: float, n: int, delta: float, span: float) -> float:
    """Empirical Bernstein lower bound (Maurer and Pontil, 0907.3740) from sums, for a range of width
    `span`.
    """
    mean, log = total / n, math.log(2 / delta)
    variance = (squares - n * mean**2) / (n - 1)
    return mean - math.sqrt(2 * variance * log / n) - 7 * span * log / (3 * (n - 1))


def hoeffding(total: float, n: int, delta: float, span: float) -> float:
    """Hoeffding lower bound of a mean."""
    return total / n - span * math.sqrt(math.log(1 / delta) / (2 * n))


def padded(values: Floats, n: int) -> Floats:
    """The rewarded rows' values and zeros for the rest."""
    return np.concatenate([values, np.zeros(n - len(values))])


def wealth(values: Floats, n: int, c: float, margin: float = 0.0) -> float:
    """log W(margin) of paired gains whose other rows are 0."""
    return betting.log_wealth(padded(values, n), margin, -c, anchor=0.0)


def rate(hits: int, runs: int, level: float = 0.95) -> str:
    """A share in percent with its Clopper-Pearson interval."""
    low = stats.beta.ppf((1 - level) / 2, hits, runs - hits + 1) if hits else 0.0
    high = stats.beta.ppf((1 + level) / 2, hits + 1, runs - hits) if hits < runs else 1.0
    return f"{100 * hits / runs:.1f} ({100 * low:.1f}–{100 * high:.1f})"
