"""Maps from a predicted probability to one that comes true that often: Platt, temperature, beta, isotonic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]
Method = Literal["none", "platt", "temperature", "beta", "isotonic"]
METHODS: tuple[Method, ...] = ("none", "platt", "temperature", "beta", "isotonic")
ISOTONIC_POSITIVES = 1000
_EDGE = 1e-9


@dataclass(frozen=True)
class Calibrator:
    """method, and its numbers: slopes and intercept of the map in logits, or for isotonic the knots x and y
    (k,).

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
        return {
            "method": self.method,
            "slopes": list(self.slopes),
            "intercept": self.intercept,
            "knots_x": list(self.knots_x),
            "knots_y": list(self.knots_y),
            "note": self.note,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Calibrator:
        """Back from `as_mapping`. Raises InputError on a method nobody knows."""
        if values.get("method") not in METHODS:
            raise InputError(
                f"calibrator method '{values.get('method')}' is unknown; choose {', '.join(METHODS)}"
            )
        lists = {
            name: tuple(float(value) for value in values[name]) for name in ("slopes", "knots_x", "knots_y")
        }
        return cls(
            values["method"], intercept=float(values["intercept"]), note=str(values.get("note", "")), **lists
        )


def fit_calibrator(
    p: npt.ArrayLike, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, method: str = "platt"
) -> Calibrator:
    """The calibrator of predictions p (n,) of outcomes y (n,) 0 or 1, on **users the model was not trained
    on**.

    platt: logit slope and intercept (Platt 1999, without his target smoothing); temperature: slope only (Guo
    et al. 2017); beta: slopes >= 0 on log p and −log(1 − p) and an intercept (Kull et al. 2017); isotonic: a
    monotone step function, joined by lines, noted when fewer than 1,000 positives carry it (its ties harm
    ranking).

    Raises
    ------
    InputError
        on an unknown method, unequal lengths, p outside [0, 1], y other than 0 and 1, one class, or a
        negative weight.
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
    b = _logit_fit(np.column_stack(columns), truth, w, 1)
    return Calibrator(
        "platt" if method == "platt" else "temperature",
        (float(b[0]),),
        float(b[1]) if method == "platt" else 0.0,
    )


def checked(
    p: npt.ArrayLike, y: npt.ArrayLike, weight: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Arrays of one length as float64; InputError naming the first row that is wrong."""
    predicted, truth = np.asarray(p, dtype=np.float64), np.asarray(y, dtype=np.float64)
    w = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not len(predicted) == len(truth) == len(w) or not len(truth):
        raise InputError(
            f"predictions, outcomes and weights have {len(predicted)}, {len(truth)} and {len(w)} rows; give"
            " one a row"
        )
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
    """Weighted logistic coefficients with the first `slopes` of them at least 0, so that no calibrator turns
    a ranking over.
    """

    def loss(b: Floats) -> tuple[float, Floats]:
        z = x @ b
        value = w @ (np.logaddexp(0, z) - y * z)
        return float(value) / total, (x.T @ (w * (expit(z) - y))) / total

    total = float(w.sum())
    start = np.concatenate([np.ones(slopes), np.zeros(x.shape[1] - slopes)])
    bounds = [(0.0, None)] * slopes + [(None, None)] * (x.shape[1] - slopes)
    result = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
    )
    return np.asarray(result.x, dtype=np.float64)


def _isotonic(p: Floats, y: Floats, w: Floats) -> Calibrator:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, y, w)
    positives = int(min(y.sum(), (1 - y).sum()))
    note = (
        ""
        if positives >= ISOTONIC_POSITIVES
        else f"isotonic on {positives:,} rows of the rarer class; use beta or platt below 1,000"
    )
    x_, y_ = (
        tuple(float(value) for value in values) for values in (model.X_thresholds_, model.y_thresholds_)
    )
    return Calibrator("isotonic", knots_x=x_, knots_y=y_, note=note)
