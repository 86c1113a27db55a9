"""The loosest threshold whose precision is guaranteed, and an alarm for when it is not; by person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.retention.calibrate import checked

GRID: Floats = np.round(np.linspace(0.95, 0.05, 91), 10)
N_MIN = 100  # (effective) rows
UNITS_MIN = 30  # people; below, the spread between people cannot be told
Side = Literal["lower", "upper"]


@dataclass(frozen=True)
class Threshold:
    """tau: act where p >= tau, None where no threshold keeps the promise (reason says why). bound: lower
    bound of precision at tau, one-sided at 1 − alpha; precision: the point; n: rows at or above tau, of
    `units` people; effective_n: independent rows they are worth; prevalence: share of hits among all rows.
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
    units: int = 0


@dataclass(frozen=True)
class Drift:
    """alarm: the upper bound of the fresh precision lies below the target, so the promise is broken;
    precision, upper, n rows of `units` people at tau; prevalence now (compare with the threshold's own).
    """

    alarm: bool
    precision: float
    upper: float
    n: int
    units: int
    prevalence: float
    reason: str


@dataclass(frozen=True, eq=False)
class Above:
    """What lies at or above each of t thresholds, each (t,): rows and units with a weight, Kish's effective
    number of rows and of units (by weight alone), precision, and the independent rows that it rests on.
    """

    n: Floats
    units: Floats
    kish: Floats
    precision: Floats
    effective: Floats

    def bound(self, alpha: float, side: Side = "lower") -> Floats:
        """(t,) one-sided 1 − alpha bounds of the precision: `precision_bound`."""
        return precision_bound(self.precision, self.effective, self.units, alpha, side)


def precision_bound(
    precision: npt.ArrayLike,
    effective: npt.ArrayLike,
    units: npt.ArrayLike,
    alpha: float,
    side: Side = "lower",
) -> Floats:
    """One-sided 1 − alpha bound of a proportion of clustered, weighted rows: Clopper and Pearson's at the
    effective number of rows, cut by what the degrees of freedom of `units` people cost.

    Source: Korn and Graubard, Survey Methodology 1998; with one row a unit it is Clopper and Pearson 1934
    but for the degrees of freedom.
    """
    from statsmodels.stats.proportion import proportion_confint  # takes a second to load

    p, n, u = (np.asarray(part, np.float64) for part in (precision, effective, units))
    size = n * np.square(stdtrit(np.maximum(n, 2) - 1, alpha) / stdtrit(np.maximum(u, 2) - 1, alpha))
    size = np.minimum(size, n)
    ends = proportion_confint(np.minimum(p * size, size), np.maximum(size, 1e-9), 2 * alpha, "beta")
    return np.asarray(ends[0] if side == "lower" else ends[1], np.float64)


def above(p: Floats, y: Floats, w: Floats, unit: Ints, taus: Floats) -> Above:
    """Sums over the rows with p >= each of the falling `taus` (t,), by unit (numbered from 0).

    Effective rows: precision (1 − precision) over the variance of the ratio of the units' sums, at most what
    the weights leave; where every row hits or misses the units count, as if a unit's rows were alike.
    """
    place = np.searchsorted(-taus, -p, side="left")  # the first threshold that the row is at or above
    on = np.flatnonzero((place < len(taus)) & (w > 0))
    on = on[np.lexsort((place[on], unit[on]))]
    place, unit, w, hit = place[on], unit[on], w[on], (w * y)[on]
    start = np.flatnonzero(np.diff(unit, prepend=-1))  # each unit's first row
    rows = np.diff(np.append(start, len(on)))

    def sums(part: Floats) -> Floats:
        return np.cumsum(np.bincount(place, part, len(taus)))

    def so_far(part: Floats) -> Floats:
        whole = np.cumsum(part)
        return whole - np.repeat(whole[start] - part[start], rows)

    # What a row adds to a sum of squares over units is the square of its unit's sum with it, less that
    # without.
    own, hits = so_far(w), so_far(hit)
    squares = sums(own**2 - (own - w) ** 2)
    crossed = sums(own * hits - (own - w) * (hits - hit))
    hit_squares = sums(hits**2 - (hits - hit) ** 2)
    total, units = sums(w), np.cumsum(np.bincount(place[start], minlength=len(taus))).astype(np.float64)
    divisor = np.where(total > 0, total, 1.0)
    precision = sums(hit) / divisor
    few = units / np.maximum(units - 1, 1)
    variance = few * (hit_squares - 2 * precision * crossed + precision**2 * squares) / divisor**2
    kish = total**2 / np.where(total > 0, sums(w**2), 1.0)
    alike = total**2 / np.where(total > 0, squares, 1.0)
    spread = precision * (1 - precision)
    effective = np.where(variance > 1e-14, spread / np.maximum(variance, 1e-14), alike)
    return Above(sums(np.ones(len(w))), units, kish, precision, np.minimum(effective, kish))


def threshold_at_precision(
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    unit: npt.ArrayLike | None = None,
    target: float = 0.8,
    alpha: float = 0.05,
    n_min: int = N_MIN,
) -> Threshold:
    """The loosest tau of `GRID` with P(y = 1 | p >= tau) >= target, wrong with probability alpha at most.

    unit (n,): whose row it is; rows of one unit may hang together (default: every row is a unit of its
    own). Neutral answers belong in `y` as 0 (misses). From the first tau with `n_min` rows (effective, by
    weight) of `UNITS_MIN` units, walked from strict to loose while the lower bound (`precision_bound`) holds
    the target, stopping at the first that fails: fixed-sequence testing, so alpha needs no share for the
    number of taus.

    Raises InputError as `fit_calibrator`, or on a target or alpha outside (0, 1).
    Source: fixed-sequence testing: Angelopoulos et al., arXiv 2110.01052.
    """
    predicted, truth, w = checked(p, y, weight)
    if not 0 < target < 1 or not 0 < alpha < 0.5:
        raise InputError(f"target is {target:g} and alpha {alpha:g}; both lie between 0 and 1")
    at = above(predicted, truth, w, numbered(unit, len(w)), GRID)
    bound = at.bound(alpha)
    prevalence = float(np.average(truth, weights=w))

    def answer(place: int | None, reason: str) -> Threshold:
        if place is None:
            return Threshold(None, target, alpha, float("nan"), float("nan"), 0, 0.0, prevalence, reason)
        tau, low, point, size = (float(part[place]) for part in (GRID, bound, at.precision, at.effective))
        n, units = int(at.n[place]), int(at.units[place])
        return Threshold(tau, target, alpha, low, point, n, size, prevalence, reason, units)

    enough = np.flatnonzero((at.kish >= n_min) & (at.units >= UNITS_MIN))
    if not len(enough):
        few = int(at.units.max(initial=0))
        if few < UNITS_MIN:
            return answer(
                None,
                f"too few units: {many(few, 'person lies', 'people lie')} above any threshold,"
                f" {UNITS_MIN} are needed",
            )
        reason = f"fewer than {n_min} (effective) rows lie above every threshold; collect more answers"
        return answer(None, reason)
    first = int(enough[0])
    fails = np.flatnonzero(bound[first:] < target)
    last = first + int(fails[0]) - 1 if len(fails) else len(GRID) - 1
    if last < first:
        why = f"at the strictest usable threshold {GRID[first]:.2f} the bound is {bound[first]:.3f}, below"
        return answer(None, f"{why} {target:g}")
    return answer(last, "")


def drift(
    threshold: Threshold,
    p: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    unit: npt.ArrayLike | None = None,
) -> Drift:
    """Whether fresh answers show, at the threshold's own alpha, that its precision has fallen below its
    target; unit as in `threshold_at_precision`.

    Raises InputError when the threshold abstained, or as `fit_calibrator`.
    """
    if threshold.tau is None:
        raise InputError(f"there is no threshold to watch: {threshold.reason}")
    predicted, truth, w = checked(p, y, weight)
    at = above(predicted, truth, w, numbered(unit, len(w)), np.array([threshold.tau]))
    n, units, precision = int(at.n[0]), int(at.units[0]), float(at.precision[0])
    prevalence = float(np.average(truth, weights=w))
    if units < UNITS_MIN:
        few = (
            f"too few units: {many(units, 'person', 'people')} answered above the threshold,"
            f" {UNITS_MIN} are needed"
        )
        return Drift(False, precision if n else float("nan"), 1.0, n, units, prevalence, few)
    upper = float(at.bound(threshold.alpha, "upper")[0])
    words = f"precision {precision:.3f}, at most {upper:.3f}; promised {threshold.target:g}: choose the"
    alarm = upper < threshold.target
    return Drift(alarm, precision, upper, n, units, prevalence, f"{words} threshold again" if alarm else "")


def numbered(unit: npt.ArrayLike | None, n: int) -> Ints:
    """(n,) units numbered from 0; every row a unit of its own where none are given."""
    if unit is None:
        return np.arange(n)
    numbers = np.unique(np.asarray(unit), return_inverse=True)[1]
    return np.asarray(numbers, np.int64)
