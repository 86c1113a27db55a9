"""Raking: weights moved until each margin of the answers is the population's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.schema.columns import codes, groups, numbers, one_spelling, texts
from tastemaker.stats.intervals import Interval

Floats = npt.NDArray[np.float64]
_STEPS, _CLOSE = 500, 1e-10


@dataclass(frozen=True, eq=False)
class Raked:
    """weight (n,): 0 where not answered, with the sum it had; rows: covariate, value, population, before and
    after shares of the weight; indicators (n, m) of the margins; steps of proportional fitting.
    """

    weight: Floats
    rows: tuple[tuple[str, str, float, float, float], ...]
    indicators: Floats
    steps: int


def rake(shown: pa.Table, weight: Floats, margins: pa.Table, name: str = "surveys") -> Raked:
    """Weights (n,) of `shown`, above 0 for those who answered, fitted to the population's `margins` (a table
    of covariate, value, share; the shares of a covariate sum to 1 or to 100).

    Raises InputError naming a covariate or value that only one of the two tables has, shares that do not
    sum, a value nobody answered in, or when the margins contradict each other.
    Source: Deming and Stephan, Annals of Mathematical Statistics 1940.
    """
    of = texts(margins, "covariate", "margins").to_pylist()
    values = texts(margins, "value", "margins").to_pylist()
    shares = numbers(margins, "share", "margins", low=0)
    answered = weight > 0
    columns, targets, labels = [], [], []
    for covariate in dict.fromkeys(of):
        place, known = groups(shown, covariate, name)
        one_spelling(
            [value for other, value in zip(of, values, strict=True) if other == covariate], "value", "margins"
        )
        wanted = {v: float(s) for c, v, s in zip(of, values, shares, strict=True) if c == covariate}
        total = sum(wanted.values())
        if not (abs(total - 1) < 0.01 or abs(total - 100) < 1):
            raise InputError(f"margins: the shares of '{covariate}' sum to {total:g}; give all of them, to 1")
        unknown = [v for v in known if v not in wanted]
        if unknown:
            raise InputError(f"margins: '{covariate}={unknown[0]}' of {name} has no share; add it")
        for value, share in wanted.items():
            member = place == known.index(value) if value in known else np.zeros(len(place), bool)
            if (share > 0) != bool((member & answered).any()):
                what = "nobody answered" if share > 0 else "there are answers where its share is 0"
                raise InputError(f"margins: '{covariate}={value}': {what}; merge it with another value")
            columns.append(member & answered)
            targets.append(share / total)
            labels.append((covariate, value))
    if not columns:
        raise InputError("margins: the table has no row; give covariate, value, share")
    indicators = np.column_stack(columns).astype(np.float64)
    goal, whole, raked = np.array(targets), weight.sum(), weight.copy()
    before = weight @ indicators / whole
    for step in range(1, _STEPS + 1):
        for column, share in zip(indicators.T, goal, strict=True):
            held = raked @ column
            if held > 0:
                raked = np.where(column > 0, raked * share * whole / held, raked)
        after = raked @ indicators / whole
        if np.abs(after - goal).max() < _CLOSE:
            parts = zip(labels, goal.tolist(), before.tolist(), after.tolist(), strict=True)
            return Raked(raked, tuple((*label, *rest) for label, *rest in parts), indicators, step)
    worst = labels[int(np.abs(after - goal).argmax())]
    raise InputError(
        f"margins: no weights meet all of them ('{worst[0]}={worst[1]}' is furthest off); they contradict"
        " each other among those who answered"
    )


def raked_mean(shown: pa.Table, raked: Raked, level: float = 0.95, name: str = "surveys") -> Interval:
    """Mean of the answers under raked weights; its variance from sums by user of the residuals on the
    margins. Source: Deville and Särndal, JASA 1992.
    """
    from scipy.stats import t

    values = np.nan_to_num(numbers(shown, "answer", name, nulls=True), nan=0.0)
    w, z = raked.weight, raked.indicators
    mean = float(w @ values / w.sum())
    slope = np.linalg.lstsq((z.T * w) @ z, (z.T * w) @ values, rcond=None)[0]
    owner = codes(shown, "user_id", name)[0]
    sums = np.bincount(owner, w * (values - z @ slope) / w.sum())
    used = int((np.bincount(owner, w) > 0).sum())
    half = float(
        t.ppf((1 + level) / 2, max(used - 1, 1)) * np.sqrt((sums**2).sum() * used / max(used - 1, 1))
    )
    return Interval(mean, mean - half, mean + half, used, "raked mean", ("the margins are the population's",))
