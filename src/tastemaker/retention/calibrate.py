"""Maps from predictions to chances that come true (Platt, temperature, beta, isotonic), and their error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy
from scipy.fft import dct, idct
from scipy.special import expit, ndtr

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.stats.intervals import Interval
from tastemaker.stats.resample import by_unit, of_totals

Method = Literal["none", "platt", "temperature", "beta", "isotonic"]
METHODS: tuple[Method, ...] = ("none", "platt", "temperature", "beta", "isotonic")
ISOTONIC_POSITIVES = 1000
_EDGE = 1e-9
BINS = 15
_GRID = 4096
ALL = "all"
RESAMPLES = 500  # of users, for an interval


@dataclass(frozen=True)
class Calibrator:
    """method, and its numbers: slopes and intercept of the map in logits, or isotonic's knots x and y (k,).

    note: a warning that belongs with its use, empty if there is none.
    """

    method: Method
    slopes: tuple[float, ...] = ()
    intercept: float = 0.0
    knots_x: tuple[float, ...] = ()
    knots_y: tuple[float, ...] = ()
    note: str = ""

    def __call__(self, p: npt.ArrayLike) -> Floats:
        """(n,) calibrated probabilities of p (n,) in [0, 1]; monotone in p."""
        values = np.asarray(p, dtype=np.float64)
        if self.method == "none":
            return values
        if self.method == "isotonic":
            return np.asarray(np.interp(values, self.knots_x, self.knots_y), dtype=np.float64)
        inside = np.clip(values, _EDGE, 1 - _EDGE)
        if self.method == "beta":
            return np.asarray(
                expit(self.slopes[0] * np.log(inside) - self.slopes[1] * np.log1p(-inside) + self.intercept)
            )
        return np.asarray(expit(self.slopes[0] * (np.log(inside) - np.log1p(-inside)) + self.intercept))

    def as_mapping(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Calibrator:
        """Back from `as_mapping`. Raises InputError on a method nobody knows."""
        if values.get("method") not in METHODS:
            raise InputError(
                f"calibrator method '{values.get('method')}' is unknown; choose {', '.join(METHODS)}"
            )
        lists = {name: tuple(map(float, values[name])) for name in ("slopes", "knots_x", "knots_y")}
        return cls(**{**values, **lists})


def fit_calibrator(
    p: npt.ArrayLike, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, method: str = "platt"
) -> Calibrator:
    """The calibrator of predictions p (n,) of outcomes y (n,) 0 or 1, **users not trained on**.

    platt: logit slope and intercept (Platt 1999, without his target smoothing); temperature: slope only (Guo
    et al. 2017); beta: slopes >= 0 on log p and −log(1 − p) and an intercept (Kull et al. 2017); isotonic: a
    monotone step function, joined by lines, noted when fewer than 1,000 positives carry it (its ties harm
    ranking).

    Raises InputError on an unknown method, p outside [0, 1], y not 0 or 1, one class, or a negative weight.
    """
    if method not in METHODS:
        raise InputError(f"calibrator method '{method}' is unknown; choose {', '.join(METHODS)}")
    predicted, truth, w = checked(p, y, weight)
    if method == "none":
        return Calibrator("none")
    if truth.min() == truth.max():
        raise InputError(
            f"every one of the {len(truth):,} outcomes is {truth[0]:g}; a calibrator needs both; take more"
            " users"
        )
    if method == "isotonic":
        return _isotonic(predicted, truth, w)
    inside = np.clip(predicted, _EDGE, 1 - _EDGE)
    odds = np.log(inside) - np.log1p(-inside)
    if method == "beta":
        b = _logit_fit(np.column_stack([np.log(inside), -np.log1p(-inside), np.ones(len(odds))]), truth, w, 2)
        return Calibrator("beta", (float(b[0]), float(b[1])), float(b[2]))
    columns = [odds, np.ones(len(odds))] if method == "platt" else [odds]
    slope, *rest = _logit_fit(np.column_stack(columns), truth, w, 1).tolist()
    return Calibrator("platt" if rest else "temperature", (slope,), *rest)


def checked(
    p: npt.ArrayLike, y: npt.ArrayLike, weight: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Arrays of one length as float64; InputError naming the first row that is wrong."""
    predicted, truth = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=np.float64)
    w = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    for name, wrong, rule in (
        ("prediction", ~((predicted >= 0) & (predicted <= 1)), "lies in [0, 1]"),
        ("outcome", ~np.isin(truth, (0, 1)), "is 0 or 1"),
        ("weight", ~(w >= 0) | np.isinf(w), "is finite and at least 0"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            value = {"prediction": predicted, "outcome": truth, "weight": w}[name][row]
            raise InputError(f"row {row + 1}: the {name} is {value:g}; a {name} {rule}")
    return predicted, truth, w


def _logit_fit(x: Floats, y: Floats, w: Floats, slopes: int) -> Floats:
    """Weighted logistic coefficients, the first `slopes` at least 0: no calibrator reverses a ranking."""

    def loss(b: Floats) -> tuple[float, Floats]:
        z = x @ b
        value = w @ (np.logaddexp(0, z) - y * z)
        return float(value) / total, (x.T @ (w * (expit(z) - y))) / total

    total = float(w.sum())
    start = np.concatenate([np.ones(slopes), np.zeros(x.shape[1] - slopes)])
    bounds = [(0.0, None)] * slopes + [(None, None)] * (x.shape[1] - slopes)
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500}
    result = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(result.x, dtype=np.float64)


def _isotonic(p: Floats, y: Floats, w: Floats) -> Calibrator:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, y, w)
    positives = int(min(y.sum(), (1 - y).sum()))
    note = f"isotonic on {positives:,} rows of the rarer class; use beta or platt below 1,000"
    x_, y_ = (tuple(map(float, values)) for values in (model.X_thresholds_, model.y_thresholds_))
    return Calibrator(
        "isotonic", knots_x=x_, knots_y=y_, note="" if positives >= ISOTONIC_POSITIVES else note
    )


def equal_mass(p: Floats, weight: Floats, bins: int = BINS) -> Ints:
    """(n,) bin of each prediction, so that bins weigh about the same; equal predictions share a bin."""
    order = np.argsort(p, kind="stable")
    mass = np.cumsum(weight[order]) - weight[order] / 2
    bin_sorted = np.minimum((mass / weight.sum() * bins).astype(np.int64), bins - 1)
    ordered = p[order]
    first = np.searchsorted(ordered, ordered, side="left")
    out = np.empty(len(p), dtype=np.int64)
    out[order] = bin_sorted[first]
    return out


def binned(p: Floats, y: Floats, weight: Floats, bins: int = BINS) -> tuple[Floats, Floats, Floats, Floats]:
    """Weight share, mean prediction, mean outcome, effective rows (b,) of each bin with weight."""
    place = equal_mass(p, weight, bins)
    mass = np.bincount(place, weight, bins)
    used = mass > 0
    mean = (np.bincount(place, weight * part, bins)[used] / mass[used] for part in (p, y))
    square = np.bincount(place, weight**2, bins)[used]
    return mass[used] / mass.sum(), next(mean), next(mean), mass[used] ** 2 / square


def calibration_error(p: Floats, y: Floats, weight: Floats, bins: int = BINS) -> tuple[float, float]:
    """Equal-mass ECE, and the same with the bias of noise taken off: each |gap| is lowered by how much a
    normal gap of that size and the bin's standard error exceeds itself in absolute value. Sources: Naeini
    2015; Kumar, Liang and Ma 2019, section 4 (their L1 correction, in closed form).
    """
    share, expected, observed, n = binned(p, y, weight, bins)
    gap = np.abs(observed - expected)
    error = np.sqrt(np.maximum(observed * (1 - observed), 1e-12) / np.maximum(n - 1, 1))
    folded = error * np.sqrt(2 / np.pi) * np.exp(-(gap**2) / (2 * error**2)) + gap * (
        1 - 2 * ndtr(-gap / error)
    )
    return float(share @ gap), max(0.0, float(share @ (2 * gap - folded)))


def smooth_error(p: Floats, y: Floats, weight: Floats) -> float:
    """smECE: the integral of |smoothed residual| at the kernel width that equals it; no bins to choose.

    Reflected Gaussian kernel on [0, 1], residuals split over a grid of 4,096 cells. Source: Błasiok and
    Nakkiran, arXiv 2309.12236, definition 4 and algorithm 1.
    """
    position = p * (_GRID - 1)
    left = np.minimum(position.astype(np.int64), _GRID - 2)
    part = position - left
    residual = weight * (y - p) / weight.sum()
    cells = np.bincount(left, residual * (1 - part), _GRID) + np.bincount(left + 1, residual * part, _GRID)
    waves = dct(cells, type=2)
    decay = -((np.pi * np.arange(_GRID) * (_GRID - 1) / _GRID) ** 2) / 2

    def at(width: float) -> float:
        # The cosine transform makes reflection at both ends exact and a Gaussian a product.
        return float(np.abs(idct(waves * np.exp(decay * width**2), type=2)).sum())

    low, high = 0.0, 1.0
    for _ in range(15):  # the smoothed error falls with the width, so the crossing is unique
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) > middle else (low, middle)
    return at((low + high) / 2)


def murphy(p: Floats, y: Floats, weight: Floats, bins: int = BINS) -> tuple[float, float, float]:
    """Reliability, resolution and uncertainty of the Brier score: Brier is about rel − res + unc (exactly,
    when predictions are equal inside bins). Source: Murphy 1973.
    """
    share, expected, observed, _ = binned(p, y, weight, bins)
    base = float(share @ observed)
    return float(share @ (expected - observed) ** 2), float(share @ (observed - base) ** 2), base * (1 - base)


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
    `expected_observed`. Raises InputError as `fit_calibrator`.
    """
    predicted, truth, w = checked(p, y, weight)
    n = len(truth)
    who = np.arange(n) if unit is None else np.unique(np.asarray(unit), return_inverse=True)[1]
    cohort = np.full(n, ALL) if by is None else np.asarray(by).astype(str)
    parts: list[tuple[str, Bools]] = [(ALL, w > 0)]
    parts += [(str(name), (cohort == name) & (w > 0)) for name in np.unique(cohort)] if by is not None else []
    return [
        _cohort(name, predicted[rows], truth[rows], w[rows], who[rows], (key, name))
        for name, rows in parts
        if rows.any()
    ]


def _cohort(name: str, p: Floats, y: Floats, w: Floats, who: Ints, key: tuple[int | str, ...]) -> Calibration:
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    rate = float(np.average(y, weights=w))
    loss = -float(np.average(y * np.log(inside) + (1 - y) * np.log1p(-inside), weights=w))
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)) if 0 < rate < 1 else float("nan")
    share, expected, observed, effective = binned(p, y, w)
    errors = np.sqrt(observed * (1 - observed) / np.maximum(effective, 1))
    ece, debiased = calibration_error(p, y, w)
    curve = zip(*(column.tolist() for column in (share, expected, observed, errors)), strict=True)
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
        tuple(curve),
    )


def expected_observed(p: Floats, y: Floats, w: Floats, who: Ints, key: tuple[int | str, ...]) -> Interval:
    """Sum of predictions over sum of outcomes, with a percentile interval from redrawing users."""
    kind = "expected over observed, bootstrap of users"
    sums = by_unit(w[:, None] * np.column_stack([p, y]), who)
    if sums[:, 1].sum() <= 0:
        return Interval.unknown(len(sums), kind, "no positive outcome in this cohort")

    def ratio(totals: Floats) -> Floats:
        return totals[:, 0] / np.where(totals[:, 1] > 0, totals[:, 1], np.nan)

    rests = ("users are independent",)
    return of_totals(sums, ratio, (*key, "expected over observed"), RESAMPLES, kind, rests)
