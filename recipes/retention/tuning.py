"""Measure a world as the published study measured its own, and move its loadings until the numbers agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import least_squares
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.simulate.retention import (
    QUESTIONS,
    ListenerWorld,
    ask,
    column,
    draw_listeners,
    draw_pairs,
    returns,
)

# Published numbers (secondary sources) and how near a world must come: correlations .02, mutual information
# .005, AUC .010.
TARGETS: dict[str, tuple[float, float]] = {
    "r_worth": (0.63, 0.02),
    "r_interest": (0.58, 0.02),
    "r_worth_practical": (0.69, 0.02),
    "r_worth_interest": (0.55, 0.02),
    "r_interest_practical": (0.51, 0.02),
    "r_interest_interest": (0.65, 0.02),
    "mi_like": (0.038, 0.005),
    "mi_save": (0.004, 0.005),
    "mi_reshare": (0.003, 0.005),
    "auc_baseline": (0.830, 0.010),
    "auc_return": (0.860, 0.010),
    "auc_worth": (0.828, 0.010),
    "auc_interest": (0.838, 0.010),
    "auc_baseline_low": (0.630, 0.010),
    "auc_return_low": (0.700, 0.010),
    "auc_worth_low": (0.632, 0.010),
    "auc_interest_low": (0.635, 0.010),
}


@dataclass(frozen=True)
class Tuned:
    """The tuned world, what was measured in it, and the targets it still misses (empty when all are hit)."""

    world: ListenerWorld
    measured: Mapping[str, float]
    missed: tuple[str, ...]


def measure(world: ListenerWorld, key: int | str, auc: bool = True) -> dict[str, float]:
    """Every number of TARGETS in one draw of `world`: Pearson correlations, mutual information (nats), AUC of
    next-day return.

    AUC: logistic, one-hot answers, interactions with the cohort, two folds by listener; only with `auc`,
    being most of the work.
    """
    pairs = draw_pairs(world, draw_listeners(world, key), key)
    table = returns(world, ask(world, pairs, key), key)
    table = table.filter(table["answered"])
    answer = {question: column(table, question) for question in QUESTIONS}
    practical, low = column(table, "practical") > 0, column(table, "low_signal") > 0
    results = {}
    for other in ("worth", "interest"):
        for name, rows in (("", practical | True), ("_practical", practical), ("_interest", ~practical)):
            results[f"r_{other}{name}"] = float(
                np.corrcoef(answer["return"][rows], answer[other][rows])[0, 1]
            )
    for event in ("like", "save", "reshare"):
        results[f"mi_{event}"] = float(mutual_info_score(answer["return"], column(table, event)))
    if not auc:
        return results
    y = column(table, "returned")
    codes = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    for name in ("baseline", *QUESTIONS):
        p = _two_folds(_features(table, low, answer.get(name)), y, codes % 2)
        results[f"auc_{name}"], results[f"auc_{name}_low"] = _auc(y, p), _auc(y[low], p[low])
    return results


def missed(measured: Mapping[str, float], targets: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Names of the targets (value, tolerance) that `measured` is further from than the tolerance."""
    return tuple(name for name, (value, near) in targets.items() if abs(measured[name] - value) > near)


def tune(
    world: ListenerWorld,
    targets: Mapping[str, tuple[float, float]] | None = None,
    key: int | str = 0,
    rounds: int = 6,
) -> Tuned:
    """Loadings, event slopes, effect and spread moved by damped least squares until `measure` meets
    `targets`.

    targets: name -> (value, tolerance), default TARGETS; residuals are in tolerances. Every evaluation uses
    the same draws, and a weak pull (.1 tolerance a 20 % move) keeps what no target speaks about. rounds:
    Gauss-Newton steps at most.

    Raises InputError on an unknown target, or a tolerance that is not above 0.
    """
    targets = TARGETS if targets is None else targets
    for name, (_, near) in targets.items():
        if name not in TARGETS or not near > 0:
            raise InputError(
                f"target '{name}' with tolerance {near}: choose among {', '.join(TARGETS)}, tolerance above 0"
            )
    start, auc = _dials(world), any(name.startswith("auc") for name in targets)

    def residuals(dials: Floats) -> Floats:
        result = measure(_with_dials(world, dials), key, auc)
        off = [(result[name] - value) / near for name, (value, near) in targets.items()]
        return np.array([*off, *(0.5 * (dials / start - 1))])

    ceiling = np.where(np.arange(len(start)) < 7, 0.99, 10.0)
    solved = least_squares(
        residuals,
        np.minimum(start, 0.98),
        bounds=(0.0, ceiling),
        diff_step=0.04,
        max_nfev=rounds,
        x_scale=start,
        method="trf",
    )
    best = _with_dials(world, solved.x)
    results = measure(best, key, auc)
    return Tuned(best, results, missed(results, targets))


def _dials(world: ListenerWorld) -> Floats:
    """(14,) what `tune` may move; the first seven are loadings."""
    surveys = (
        world.return_value,
        world.return_quality,
        *world.worth_value,
        *world.interest_value,
        world.interest_quality,
    )
    slopes = (world.like[1], world.save[1], world.reshare[1])
    return np.array([*surveys, *slopes, *world.effect, *world.spread])


def _with_dials(world: ListenerWorld, dials: Floats) -> ListenerWorld:
    values = [float(dial) for dial in dials]

    def quality(wanted: float, *others: float) -> float:
        return min(wanted, float(np.sqrt(1 - max(others) ** 2)))

    return replace(
        world,
        return_value=values[0],
        return_quality=quality(values[1], values[0]),
        worth_value=(values[2], values[3]),
        interest_value=(values[4], values[5]),
        interest_quality=quality(values[6], values[4], values[5]),
        like=(world.like[0], values[7]),
        save=(world.save[0], values[8]),
        reshare=(world.reshare[0], values[9]),
        effect=(values[10], values[11]),
        spread=(values[12], values[13]),
    )


def _features(table: pa.Table, low: npt.NDArray[np.bool_], answer: Floats | None) -> Floats:
    columns = [column(table, name) for name in ("history", "sameday", "like", "save", "reshare", "practical")]
    if answer is not None:
        columns += [answer == level for level in (1, 2, 4, 5)]
    x = np.column_stack(columns).astype(np.float64)
    return np.column_stack([x, low[:, None] * x, low])


def _two_folds(x: Floats, y: Floats, fold: npt.NDArray[np.int64]) -> Floats:
    p = np.empty(len(y))
    for part in (0, 1):
        held = fold == part
        p[held] = (
            LogisticRegression(C=100.0, solver="newton-cholesky")
            .fit(x[~held], y[~held])
            .predict_proba(x[held])[:, 1]
        )
    return p


def _auc(y: Floats, p: Floats) -> float:
    positives = float(y.sum())
    negatives = len(y) - positives
    return float((rankdata(p)[y > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))
