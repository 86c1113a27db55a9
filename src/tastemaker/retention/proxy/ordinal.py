"""Ordinal logistic regression with survey weights and an L2 penalty, by L-BFGS with exact gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LEVELS = 5
FAR = 40.0  # log-odds that stand for certainty


def fit_ordinal(x: Floats, answer: Ints, weight: Floats, l2: float) -> tuple[Floats, Floats]:
    """Slopes b (d,) and rising thresholds theta (4,) of P(Y <= k | x) = expit(theta_k − x'b), answers 1 to 5.

    Minimises the weighted mean negative log-likelihood + l2/2 |b|²; thresholds are not penalised. They are
    fitted as a first one and logs of the gaps, so that they rise. Source: McCullagh 1980.

    An answer that nobody gave gets no chance: its threshold is that of the answer before it, or FAR out.
    Raises InputError when all gave one answer, or when the fit does not settle.
    """
    present = np.unique(answer[weight > 0])
    if len(present) < 2:
        raise InputError("everybody gave the same answer; there is nothing to learn")
    levels, answer = len(present), np.minimum(np.searchsorted(present, answer), len(present) - 1) + 1
    share = np.bincount(answer, weight, levels + 1)[1:] / weight.sum()
    d, total = x.shape[1], float(weight.sum())
    start = logit(np.clip(np.cumsum(share)[:-1], 1e-6, 1 - 1e-6))
    first = np.concatenate([np.zeros(d), start[:1], np.log(np.maximum(np.diff(start), 1e-4))])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        b, theta = parameters[:d], _thresholds(parameters[d:])
        z = x @ b
        padded = np.concatenate([[-np.inf], theta, [np.inf]])
        upper, lower = padded[answer] - z, padded[answer - 1] - z
        above, below = expit(upper), expit(lower)
        # expit(u) − expit(l) loses digits in the upper tail; there its mirror image is exact.
        chance = np.where(lower > 0, expit(-lower) - expit(-upper), above - below)
        chance = np.maximum(chance, 1e-300)
        at_upper, at_lower = above * (1 - above) / chance, below * (1 - below) / chance
        slopes = x.T @ (weight * (at_upper - at_lower)) / total + l2 * b
        raised = np.bincount(answer, weight * at_upper, levels + 1)[1:levels]
        on_theta = (np.bincount(answer, weight * at_lower, levels + 1)[2:] - raised) / total
        tail = np.cumsum(on_theta[::-1])[::-1]
        gaps = tail[1:] * np.exp(parameters[d + 1 :])
        value = -float(weight @ np.log(chance)) / total + l2 / 2 * float(b @ b)
        return value, np.concatenate([slopes, tail[:1], gaps])

    minimise = _minimise(loss, first)
    known = np.concatenate([[-FAR], _thresholds(minimise[d:]), [FAR]])
    return minimise[:d], known[np.searchsorted(present, np.arange(1, LEVELS), side="right")]


def _thresholds(parameters: Floats) -> Floats:
    return np.cumsum(np.concatenate([parameters[:1], np.exp(parameters[1:])]))


def _minimise(loss: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    options = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-8, "maxcor": 20}
    result = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    if not np.isfinite(result.x).all() or np.abs(result.x).max() > 50:
        raise InputError(
            "the proxy does not settle: a feature tells the answer without error; leave it out, or raise l2"
        )
    return np.asarray(result.x, dtype=np.float64)
