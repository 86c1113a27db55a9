"""Calibration by cohort with intervals, and the curve behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.retention.calibrate.calibrators import Floats, checked
from tastemaker.retention.calibrate.errors import binned, calibration_error, murphy, smooth_error
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

ALL = "all"


RESAMPLES = 500  # of users, for an interval


@dataclass(frozen=True)
class Calibration:
    """One cohort: n rows; expected/observed with its interval (1 is right; users drawn with replacement); log
    loss over base-rate entropy; Brier and its reliability, resolution, uncertainty; equal-mass ECE, without
    its noise, smooth; curve: share, mean prediction, mean outcome and standard error of each bin.
    """

    cohort: str
    n: int
    prevalence: float
    expected_observed: Interval
    ne: float
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    ece: float
    ece_debiased: float
    ece_smooth: float
    curve: tuple[tuple[float, float, float, float], ...]


def calibration_table(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    by: npt.ArrayLike | None = None,
    unit: npt.ArrayLike | None = None,
    key: int | str = 0,
) -> list[Calibration]:
    """All rows, then each value of `by` (n,); p (n,) in [0, 1], y (n,) 0 or 1, unit (n,): the person
    of each row, whose rows may hang together (default: every row is a unit of its own).

    A cohort where the outcome is one-sided has NaN for what is undefined there, and the reason in
    `expected_observed`. Raises InputError as `fit_calibrator`, or on unequal lengths.
    """
    predicted, truth, w = checked(p, y, weight)
    n = len(truth)
    who = np.arange(n) if unit is None else np.unique(np.asarray(unit), return_inverse=True)[1]
    cohort = np.full(n, ALL) if by is None else np.asarray(by).astype(str)
    if len(who) != n or len(cohort) != n:
        raise InputError(
            f"unit and by have {len(who)} and {len(cohort)} entries for {n} rows; give one a row"
        )
    parts: list[tuple[str, npt.NDArray[np.bool_]]] = [(ALL, w > 0)]
    parts += [(str(name), (cohort == name) & (w > 0)) for name in np.unique(cohort)] if by is not None else []
    return [
        _one(name, predicted[rows], truth[rows], w[rows], who[rows], (key, name))
        for name, rows in parts
        if rows.any()
    ]


def _one(
    name: str,
    p: Floats,
    y: Floats,
    w: Floats,
    who: npt.NDArray[np.int64],
    key: tuple[int | str, ...],
) -> Calibration:
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    rate = float(np.average(y, weights=w))
    loss = -float(np.average(y * np.log(inside) + (1 - y) * np.log1p(-inside), weights=w))
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)) if 0 < rate < 1 else float("nan")
    share, expected, observed, effective = binned(p, y, w)
    errors = np.sqrt(observed * (1 - observed) / np.maximum(effective, 1))
    ece, debiased = calibration_error(p, y, w)
    curve = tuple(
        tuple(float(v) for v in item) for item in zip(share, expected, observed, errors, strict=True)
    )
    return Calibration(
        name,
        len(y),
        rate,
        expected_observed(p, y, w, who, key),
        loss / entropy,
        float(np.average((p - y) ** 2, weights=w)),
        *murphy(p, y, w),
        ece,
        debiased,
        smooth_error(p, y, w),
        tuple((item[0], item[1], item[2], item[3]) for item in curve),
    )


def expected_observed(
    p: Floats,
    y: Floats,
    w: Floats,
    who: npt.NDArray[np.int64],
    key: tuple[int | str, ...],
) -> Interval:
    """Sum of predictions over sum of outcomes, with a percentile interval from drawing users with
    replacement.
    """
    owner = np.unique(who, return_inverse=True)[1]
    people = int(owner.max()) + 1
    kind = "expected over observed, bootstrap of users"
    sums = np.column_stack([np.bincount(owner, w * part, people) for part in (p, y)])
    if sums[:, 1].sum() <= 0:
        return Interval(
            float("nan"),
            float("nan"),
            float("nan"),
            people,
            kind,
            reason="no positive outcome in this cohort",
        )
    rng = generator(*key, "expected over observed")
    drawn = np.array([rng.multinomial(people, np.full(people, 1 / people)) @ sums for _ in range(RESAMPLES)])
    ratio = drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.nan)
    low, high = np.nanquantile(ratio, [0.025, 0.975])
    return Interval(
        float(sums[:, 0].sum() / sums[:, 1].sum()),
        float(low),
        float(high),
        people,
        kind,
        ("users are independent",),
    )
