"""Exact covariate balance: the minimum of a convex function, and what stands in its way named in the data's
own words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TOLERANCE = 1e-11  # of the moments, in standard deviations a unit of weight
_STEPS, _HALVINGS = 100, 40
_FLAT = 1e-9  # curvature below this in some direction: the minimum lies at infinity
_CHUNK = 1 << 16  # rows whose weighted copy is held at once


@dataclass(frozen=True, eq=False)
class Balanced:
    """coefficients (p + 1,) of the intercept and the columns; probability (n,); steps: Newton steps taken."""

    coefficients: Floats
    probability: Floats
    steps: int


def gram(x: Floats, weight: Floats, y: Floats | None = None) -> Floats:
    """sum_i weight_i x_i y_i' (p, q) without a second copy of x; y is x where not given."""
    other = x if y is None else y
    total = np.zeros((x.shape[1], other.shape[1]))
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        total += (x[part] * weight[part, None]).T @ other[part]
    return total


def balance(x: Floats, answered: Bools, d: Floats, names: list[str]) -> Balanced:
    """Minimise F(b) = sum d [R exp(-x'b) + (1 - R) x'b], whose stationary point gives sum d (R / expit(x'b) -
    1) x = 0.

    x (n, p) standardised columns, no intercept (added here) and none a combination of others; answered (n,);
    d (n,) positive design weights; names of the columns. Newton's method with halving of steps.

    Raises
    ------
    InputError
        naming the covariate, when no finite b balances: those who did not answer lie outside the hull of
        those who did.

    Source: Imai and Ratkovic, JRSS B 2014, in the exactly balancing form; the convex function is ours.
    """
    total = d.sum()
    if answered.all():
        return Balanced(np.r_[np.inf, np.zeros(x.shape[1])], np.ones(len(x)), 0)
    z = np.column_stack([np.ones(int(answered.sum())), x[answered]])
    dr = d[answered] / total
    rest = np.r_[d[~answered].sum(), d[~answered] @ x[~answered]] / total
    _refuse_one_sided(z[:, 1:], x[~answered], d[~answered], names)
    b = np.zeros(z.shape[1])
    b[0] = np.log(dr.sum() / rest[0])
    b, steps = _newton(z, dr, rest, b, names)
    eta = b[0] + x @ b[1:]
    return Balanced(b, 1 / (1 + np.exp(-eta)), steps)


def _newton(z: Floats, dr: Floats, rest: Floats, b: Floats, names: list[str]) -> tuple[Floats, int]:
    """z (m, p + 1) answered rows, dr (m,) their shares of the design weight, rest (p + 1,) the sum over the
    others.
    """
    value, odds = _objective(z, dr, rest, b)
    for step in range(_STEPS):
        gradient = rest - odds @ z
        hessian = gram(z, odds)
        if not np.isfinite(hessian).all():  # b ran away towards infinity
            raise InputError(_separated(names))
        if np.abs(gradient).max() < TOLERANCE:
            _refuse_flat(hessian, names)
            return b, step
        try:
            move = -cho_solve(cho_factor(hessian), gradient)
        except LinAlgError:
            _refuse_flat(hessian, names, certain=True)
        size = 1.0
        for _ in range(_HALVINGS):
            new_value, new_odds = _objective(z, dr, rest, b + size * move)
            # Near the minimum the decrease drowns in rounding: there the full step is right, and the gradient
            # decides.
            if new_value <= value + 1e-4 * size * (gradient @ move) + 1e-15 * abs(value):
                break
            size /= 2
        b, value, odds = b + size * move, new_value, new_odds
    _refuse_flat(hessian, names, certain=True)
    raise AssertionError("unreachable")


def _objective(z: Floats, dr: Floats, rest: Floats, b: Floats) -> tuple[float, Floats]:
    with np.errstate(over="ignore"):
        odds = dr * np.exp(-(z @ b))  # d times the odds of not answering
    return float(odds.sum() + rest @ b), odds


def _refuse_one_sided(inside: Floats, outside: Floats, d: Floats, names: list[str]) -> None:
    """The commonest separation, found at once: a column where the others' mean is at or beyond the end of
    those who answered.
    """
    mean = d @ outside / d.sum()
    low, high = inside.min(axis=0), inside.max(axis=0)
    wrong = (mean <= low + 1e-12) | (mean >= high - 1e-12)
    if wrong.any():
        raise InputError(_separated([names[int(np.argmax(wrong))]]))


def _refuse_flat(hessian: Floats, names: list[str], *, certain: bool = False) -> None:
    values, vectors = np.linalg.eigh(hessian)
    if certain or values[0] < _FLAT:
        along = np.abs(vectors[1:, 0])
        order = np.argsort(-along, kind="stable")
        raise InputError(_separated([names[i] for i in order if along[i] > 0.5 * along.max()]))


def _separated(names: list[str]) -> str:
    few = ", ".join(f"'{name}'" for name in names[:3])
    kind = "covariate" if len(names) == 1 else "covariates"
    return (
        f"{kind} {few} separate{'s' if len(names) == 1 else ''} who answered from who did not: no weights of"
        " those who answered can stand for those who did not; leave it out, merge its rare values, or"
        " restrict the claim to people who could answer"
    )
