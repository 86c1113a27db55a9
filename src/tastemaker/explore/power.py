"""How many rows a certificate takes: said before anything is logged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.bounds import LEAST_UNITS
from tastemaker.stats.betting import FRACTIONS
from tastemaker.stats.random import generator

DRAWS, RUNS, MOST = 20_000, 400, 10**10


@dataclass(frozen=True)
class Effect:
    """lift: V(pi)/V0 - 1; click_rate: mean reward of the logger, rewards being 0 or 1; effective: what share
    of its rows a log is worth for the policy (1: it plays like the logger); rows_each: rows of one person.
    """

    lift: float
    click_rate: float
    effective: float = 0.5
    rows_each: int = 1

    def __post_init__(self) -> None:
        if not -1 < self.lift < math.inf or not 0 < self.click_rate <= 1:
            raise InputError(
                f"lift {self.lift} and click rate {self.click_rate}: give a lift above -1 and a rate in"
                " (0, 1]"
            )
        if self.click_rate * (1 + self.lift) > 1:
            raise InputError(
                f"a lift of {self.lift:.0%} over a click rate of {self.click_rate:g} is a rate above 1; a"
                " lift is a share: .2 is 20 %"
            )
        if not 0 < self.effective <= 1 or self.rows_each < 1:
            raise InputError(
                f"effective {self.effective} is a share above 0 and at most 1, rows of a person"
                f" {self.rows_each} at least 1"
            )


def persons_needed(effect: Effect, delta: float, c: float = 0.95, power: float = 0.8) -> int | None:
    """Persons in the part that certifies, so that the paired bet at `delta` passes with probability `power`;
    None where no number of them would do.

    Weights of rewarded rows are taken as lognormal with mean 1 + lift and as spread as `effective` says. The
    logarithm of each bet's wealth is a sum over persons, drawn as normal.
    """
    if not 0 < delta < 0.5 or not 0 < c <= 1 or not 0.5 <= power < 1:
        raise InputError(
            f"delta {delta} lies below .5, c {c} is a share, and power {power} from .5 to below 1"
        )
    draws, m = generator(0, "power"), effect.rows_each
    ever = -math.expm1(m * math.log1p(-effect.click_rate)) if effect.click_rate < 1 else 1.0
    clicks = draws.binomial(m, effect.click_rate, size=max(DRAWS, int(DRAWS / ever)) if m > 1 else 0)
    clicks = clicks[clicks > 0] if m > 1 else np.ones(DRAWS, dtype=np.int64)
    spread = math.log(1 / effect.effective)
    weight = (1 + effect.lift) * np.exp(draws.normal(-spread / 2, math.sqrt(spread), int(clicks.sum())))
    sums = np.add.reduceat(weight - c, np.concatenate([[0], np.cumsum(clicks)[:-1]]))
    logs = np.log1p(np.asarray(FRACTIONS) / (c * m) * sums[:, None])
    mean = ever * logs.mean(axis=0)
    spread_of = ever * (logs.T @ logs) / len(logs) - np.outer(mean, mean)
    if mean.max() <= 0:
        return None
    noise = draws.multivariate_normal(np.zeros(len(mean)), spread_of, size=RUNS, method="eigh")

    def passes(count: int) -> bool:
        wealth = np.logaddexp.reduce(count * mean + math.sqrt(count) * noise, axis=1) - math.log(len(mean))
        return float((wealth >= math.log(1 / delta)).mean()) >= power

    low, high = LEAST_UNITS - 1, LEAST_UNITS
    while not passes(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > max(1, high // 500):
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high
