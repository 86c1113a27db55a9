"""The loosest threshold whose precision is guaranteed, and an alarm for when it no longer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.retention.calibrate.calibrators import checked

Floats = npt.NDArray[np.float64]
GRID: Floats = np.round(np.linspace(0.95, 0.05, 91), 10)
N_MIN = 100
Side = Literal["lower", "upper"]


@dataclass(frozen=True)
class Threshold:
    """tau: act where p >= tau, None where no threshold keeps the promise (reason says why). bound: lower
    bound of precision at tau, one-sided at 1 − alpha; precision: the point; n: rows at or above tau
    (effective_n where weighted); prevalence: share of hits among all rows.
    """

    tau: float | None
    target: float
    alpha: float
    bound: float
    precision: float
    n: int
    effective_n: float
    prevalence: float
    reason: str


@dataclass(frozen=True)
class Drift:
    """alarm: the upper bound of the fresh precision lies below the target, so the promise is broken;
    precision, upper, n at tau; prevalence now (compare with the threshold's own).
    """

    alarm: bool
    precision: float
    upper: float
    n: int
    prevalence: float
    reason: str


def clopper_pearson(hits: npt.ArrayLike, n: npt.ArrayLike, alpha: float, side: Side = "lower") -> Floats:
    """One-sided 1 − alpha bound of a proportion, exact (Clopper and Pearson 1934); hits and n may be
    fractional.
    """
    return _bound(hits, n, alpha, side, "beta")


def wilson(hits: npt.ArrayLike, n: npt.ArrayLike, alpha: float, side: Side = "lower") -> Floats:
    """One-sided 1 − alpha bound of a proportion by the score test (Wilson 1927); hits and n may be
    fractional.
    """
    return _bound(hits, n, alpha, side, "wilson")


def _bound(hits: npt.ArrayLike, n: npt.ArrayLike, alpha: float, side: Side, method: str) -> Floats:
    from statsmodels.stats.proportion import proportion_confint

    k, m = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    ends = proportion_confint(np.minimum(k, m), m, 2 * alpha, method)  # two-sided at 2 alpha
    return np.asarray(ends[0] if side == "lower" else ends[1], dtype=np.float64)


def threshold_at_precision(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    target: float = 0.8,
    alpha: float = 0.05,
    grid: npt.ArrayLike = GRID,
    n_min: int = N_MIN,
) -> Threshold:
    """The loosest tau of `grid` with P(y = 1 | p >= tau) >= target, wrong with probability alpha at most.

    Neutral answers belong in `y` as 0 (misses). From the first tau with `n_min` rows, walked from strict to
    loose while the lower bound holds the target, stopping at the first that fails: fixed-sequence testing, so
    alpha needs no share for the number of taus. Bound: Clopper–Pearson; with weights Wilson at the effective
    number of rows (sum w)²/sum w².

    Raises InputError as `fit_calibrator`, or on a target or alpha outside (0, 1), or a grid that does not
    fall.
    Source: fixed-sequence testing: Angelopoulos et al., arXiv 2110.01052.
    """
    predicted, truth, w = checked(p, y, weight)
    taus = _usable(target, alpha, grid)
    total, hits, square, n = _above(predicted, truth, w, taus)
    effective = np.divide(total**2, square, out=np.zeros_like(total), where=square > 0)
    precision = np.divide(hits, total, out=np.zeros_like(total), where=total > 0)
    bound, few, rule = np.zeros(len(taus)), total > 0, clopper_pearson if weight is None else wilson
    bound[few] = rule(effective[few] * precision[few], effective[few], alpha)
    enough = np.flatnonzero(effective >= n_min)
    prevalence = float(np.average(truth, weights=w))

    def answer(place: int | None, reason: str) -> Threshold:
        if place is None:
            return Threshold(None, target, alpha, float("nan"), float("nan"), 0, 0.0, prevalence, reason)
        tau, low, point, size = (float(part[place]) for part in (taus, bound, precision, effective))
        return Threshold(tau, target, alpha, low, point, int(n[place]), size, prevalence, reason)

    if not len(enough):
        return answer(
            None, f"fewer than {n_min} (effective) rows lie above every threshold; collect more answers"
        )
    walked = np.arange(enough[0], len(taus))
    holds = bound[walked] >= target
    selected = int(np.argmin(holds)) if not holds.all() else len(holds)
    if selected == 0:
        first = enough[0]
        return answer(
            None,
            f"at the strictest usable threshold {taus[first]:.2f} the bound is {bound[first]:.3f}, below"
            f" {target:g}",
        )
    return answer(int(walked[selected - 1]), "")


def _usable(target: float, alpha: float, grid: npt.ArrayLike) -> Floats:
    taus = np.asarray(grid, dtype=np.float64)
    if not 0 < target < 1 or not 0 < alpha < 1 or len(taus) < 1 or not (np.diff(taus) < 0).all():
        raise InputError(
            "a threshold needs target and alpha in (0, 1) and a grid that goes from strict to loose"
        )
    return taus


def drift(
    threshold: Threshold,
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    alpha: float | None = None,
) -> Drift:
    """Whether fresh answers show that the threshold's precision has fallen below its target.

    Raises InputError when the threshold abstained, or as `fit_calibrator`.
    """
    if threshold.tau is None:
        raise InputError(f"there is no threshold to watch: {threshold.reason}")
    predicted, truth, w = checked(p, y, weight)
    total, hits, square, n = (
        float(item[0]) for item in _above(predicted, truth, w, np.array([threshold.tau]))
    )
    prevalence = float(np.average(truth, weights=w))
    if total == 0:
        return Drift(False, float("nan"), 1.0, 0, prevalence, "no fresh row lies above the threshold")
    effective, precision = total**2 / square, hits / total
    rule = clopper_pearson if weight is None else wilson
    upper = float(
        rule(effective * precision, effective, threshold.alpha if alpha is None else alpha, "upper")
    )
    alarm = upper < threshold.target
    text = (
        f"precision {precision:.3f}, at most {upper:.3f}; promised {threshold.target:g}: choose the threshold"
        " again"
        if alarm
        else ""
    )
    return Drift(alarm, precision, upper, int(n), prevalence, text)


def _above(p: Floats, y: Floats, w: Floats, taus: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Sum of weights, of weighted hits, of squared weights, and number of rows (t,) with p >= tau and a
    weight.
    """
    order = np.argsort(-p, kind="stable")
    at = np.searchsorted(-p[order], -taus, side="right")
    sums = (
        np.concatenate([[0.0], np.cumsum(part[order])])[at]
        for part in (w, w * y, w * w, (w > 0).astype(np.float64))
    )
    return next(sums), next(sums), next(sums), next(sums)
