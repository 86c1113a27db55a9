"""The surrogate index: a long outcome predicted from short ones, and what a test's short data say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.arrays import Floats
from tastemaker.errors import InputError, in_file, many
from tastemaker.experiment.checks import check_units
from tastemaker.experiment.contrast import critical
from tastemaker.experiment.decide import checked_alpha
from tastemaker.experiment.effects import LEAST, Effect, effects, no_effect, normal_effect
from tastemaker.experiment.moments import Metric, moments
from tastemaker.schema.columns import numbers, one_spelling, texts
from tastemaker.stats.random import generator

REFITS = 20  # fewer say too little of the index's own error
BEYOND = 0.1  # of an arm's units that may lie outside the history
ASSUMPTIONS = (
    "unconfoundedness: the arm was assigned at random",
    "surrogacy: the arm acts on the long outcome only through the short ones",
    "comparability: history and test link short and long outcomes in the same way",
)


@dataclass(frozen=True)
class SurrogateIndex:
    """E[long | short, x], linear: intercept and coefficients (1 + k,), refits (B, 1 + k), r2, n."""

    names: tuple[str, ...]
    coefficients: Floats
    refits: Floats
    r2: float
    n: int

    def predict(self, values: npt.ArrayLike) -> Floats:
        """The index (n,) of rows (n, k)."""
        rows = _rows(values, self.names)
        return np.asarray(self.coefficients[0] + rows @ self.coefficients[1:], dtype=np.float64)


def fit_index(
    short: npt.ArrayLike, long: npt.ArrayLike, names: Sequence[str], key: str | int, resamples: int = 200
) -> SurrogateIndex:
    """Fit the index on history by least squares, with `resamples` refits of residuals drawn anew.

    short: (n, k) short outcomes and covariates of users whose long outcome (n,) is known. Raises InputError
    when there are not more users than columns, columns are collinear, the long outcome never varies, or
    there are fewer than 20 refits, whose spread is part of every interval.

    Source: Athey, Chetty, Imbens and Kang, arXiv 1603.09326, with a linear index; its error: HC3 of MacKinnon
    and White, Journal of Econometrics 1985.
    """
    names = tuple(names)
    rows, outcome = _rows(short, names), np.asarray(long, dtype=np.float64)
    n, k = rows.shape
    if outcome.shape != (n,) or not np.all(np.isfinite(outcome)):
        raise InputError(
            f"the long outcome needs one finite number for each of the {n} rows; got shape {outcome.shape}"
        )
    if resamples < REFITS:
        raise InputError(f"resamples is {resamples}; at least {REFITS} refits say how sure the index is")
    if n <= k + 1:
        raise InputError(f"{many(n, 'user')} cannot fit {k} short outcomes; give more history")
    if np.ptp(outcome) == 0:
        raise InputError(
            "the long outcome is the same for every user of the history; there is nothing to predict"
        )
    design = np.column_stack([np.ones(n), rows])
    if np.linalg.matrix_rank(design) <= k:
        raise InputError(
            f"the short outcomes {', '.join(names)} depend on each other linearly; leave one out"
        )
    inverse = np.linalg.inv(design.T @ design)
    best = inverse @ (design.T @ outcome)
    left = outcome - design @ best
    spread = left / np.maximum(1 - np.einsum("ij,jk,ik->i", design, inverse, design), 1e-9)
    rng = generator(key, "surrogate")
    draws = (inverse @ (design.T @ (spread * rng.standard_normal(n))) for _ in range(resamples))
    refits = best + np.stack(list(draws))  # of outcomes with residuals drawn anew: their spread is HC3's
    r2 = 1 - float((left**2).mean() / outcome.var())
    return SurrogateIndex(names, best, refits, r2, n)


def index_effect(
    index: SurrogateIndex,
    treatment: npt.ArrayLike,
    control: npt.ArrayLike,
    metric: str = "surrogate index",
    alpha: float = 0.05,
) -> Effect:
    """Effect of the arm on the index (absolute), from short outcomes (n_t, k) and (n_c, k) of the test.

    The variance is the test's noise plus that of the index itself (its refits). Where a surrogacy assumption
    fails the interval is of the index, not of the long outcome. An arm with fewer than 2 units gives no
    number, with the reason.
    """
    checked_alpha(alpha)
    arms = [_rows(part, index.names) for part in (treatment, control)]
    n, smallest = len(arms[0]) + len(arms[1]), min(map(len, arms))
    if smallest < LEAST:
        why = f"too few units: {smallest} in the smaller arm; at least {LEAST} are needed"
        return no_effect(metric, why, "absolute", n)
    scores = [index.predict(arm) for arm in arms]
    value = float(scores[0].mean() - scores[1].mean())
    # Rows that are all alike have no variance; that of their scores would be what rounding leaves.
    differ = [bool(np.ptp(arm, axis=0).any()) for arm in arms]
    parts = [differ[i] * float(score.var(ddof=1)) / len(score) for i, score in enumerate(scores)]
    gap = np.subtract(*(arm.mean(axis=0) if differ[i] else arm[0] for i, arm in enumerate(arms)))
    refit = float(np.var(index.refits[:, 1:] @ gap, ddof=1))
    se = math.sqrt(sum(parts) + refit)
    if se == 0:
        why = "the index is the same for every unit: there is nothing to compare"
        return no_effect(metric, why, "absolute", n)
    spread = sum(part**2 / (len(score) - 1) for part, score in zip(parts, scores, strict=True))
    df = se**4 / spread if spread > 0 else math.inf  # Welch's; that of many users for the refits
    means = [float(score.mean()) for score in scores]
    about: dict[str, Any] = {"n": n, "smallest": smallest, "assumptions": ASSUMPTIONS}
    return normal_effect(Metric(metric), value, se, alpha, df, treatment=means[0], control=means[1], **about)


@dataclass(frozen=True)
class SurrogatePlan:
    """Columns: `short` outcomes, the `long` one, the `arm`; the arms' names; horizon: over which days the
    long outcome runs; key: of the refits; unit: the column of units, looked at where the tables have it.
    """

    short: tuple[str, ...]
    long: str
    arm: str = "arm"
    control: str = "control"
    treatment: str = "treatment"
    horizon: str = ""
    key: str | int = 0
    unit: str = "user_id"

    def __post_init__(self) -> None:
        if not self.short:
            raise InputError("a surrogate index needs at least one short outcome")


def index_on_tables(
    history: pa.Table,
    test: pa.Table,
    plan: SurrogatePlan,
    names: tuple[str, str] = ("history", "test"),
) -> tuple[SurrogateIndex, Effect, list[Effect]]:
    """Fit on `history` (one row a unit: short outcomes and `long`), read the effect in `test` (one row a
    unit: arm, short); names: what errors call the two.

    Returns the index, the effect on it (without a number where an arm lies elsewhere than the history), and
    the effect on each short outcome alone. Raises InputError on a missing column or value, a unit twice, an
    arm in two spellings, or one without units.
    """
    with in_file(names[0]):
        _each_once(history, plan.unit, plan.unit)
        past = np.column_stack([numbers(history, name) for name in plan.short])
        index = fit_index(past, numbers(history, plan.long), plan.short, plan.key)
    with in_file(names[1]):
        _each_once(test, plan.unit, plan.arm)
        return index, *_read(index, past, test, plan)


def _each_once(table: pa.Table, unit: str, by: str) -> None:
    if unit in table.column_names:
        check_units(partial(table.select, [*dict.fromkeys((unit, by))]), unit, by)


def _read(
    index: SurrogateIndex, past: Floats, test: pa.Table, plan: SurrogatePlan
) -> tuple[Effect, list[Effect]]:
    """The effect on the index in `test`, and on each short outcome alone; past (n, k): the history's."""
    short, control, treatment = plan.short, plan.control, plan.treatment
    one_spelling(texts(test, plan.arm).unique().to_pylist(), plan.arm)
    now = np.column_stack([numbers(test, name) for name in short])
    arms = np.array(texts(test, plan.arm).to_pylist(), dtype=object)
    for name in (control, treatment):
        if not (arms == name).any():
            raise InputError(
                f"arm '{name}' is empty: no row has it; arms found: {', '.join(sorted(set(map(str, arms))))}"
            )
    metrics = [Metric(name) for name in short]
    alone = effects(moments(test, metrics, plan.arm), metrics, control, treatment)
    label = f"{plan.long} (predicted)"
    parts = {name: now[arms == name] for name in (control, treatment)}
    effect = index_effect(index, parts[treatment], parts[control], label)
    why = _elsewhere(past, parts[control], short) or _beyond(past, parts, short)
    return no_effect(label, why, "absolute", effect.n) if why else effect, alone


def _elsewhere(past: Floats, control: Floats, short: Sequence[str]) -> str:
    """Why the index does not hold in the test: a short outcome of the control that lies further from the
    history's mean than the history's units do. Empty where none does.
    """
    means, now = past.mean(axis=0), control.mean(axis=0)
    far = np.abs(now - means) > past.std(axis=0)
    if not far.any():
        return ""
    place = int(np.argmax(far))
    return (
        f"'{short[place]}' is {now[place]:.4g} in the control and {means[place]:.4g} in the history: another"
        " unit, or other people, for whom the index was not fitted"
    )


def _beyond(past: Floats, parts: Mapping[str, Floats], short: Sequence[str]) -> str:
    """Why the index is not read in an arm (n, k): units whose short outcome is larger or smaller than the
    history's (but for one in a thousand at each end). Empty where they are few, or as many as a history this
    small leaves outside by chance: about 2 in n, at worst 6.
    """
    low, high = np.quantile(past, [0.001, 0.999], axis=0)
    shares = np.array([((part < low) | (part > high)).mean(axis=0) for part in parts.values()])
    arm, place = divmod(int(np.argmax(shares)), len(short))
    if shares[arm, place] <= BEYOND + 6 / len(past):
        return ""
    return (
        f"{shares[arm, place]:.0%} of the units of '{list(parts)[arm]}' lie outside the history in"
        f" '{short[place]}' ({low[place]:.4g} to {high[place]:.4g}), where nothing was seen of the long"
        " outcome; give a history that holds such units, or wait for the long outcome itself"
    )


def index_rows(index: SurrogateIndex) -> list[dict[str, str | int | float | bool | None]]:
    """One row a short outcome: its weight in the index with the interval of its refits."""
    half = critical(0.025, index.n - len(index.coefficients)) * index.refits.std(axis=0, ddof=1)
    low, high = index.coefficients - half, index.coefficients + half
    return [
        {
            "short outcome": name,
            "weight": round(float(index.coefficients[i]), 6),
            "95 % interval": f"{low[i]:.4g} to {high[i]:.4g}",
        }
        for i, name in enumerate(index.names, start=1)
    ]


def _rows(values: npt.ArrayLike, names: Sequence[str]) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise InputError(
            f"short outcomes need one column for each of {', '.join(names)}; got shape {rows.shape}"
        )
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        raise InputError(f"row {bad[0][0] + 1}, column '{names[bad[0][1]]}' is not a finite number")
    return rows
