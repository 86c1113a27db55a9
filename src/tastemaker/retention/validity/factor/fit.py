"""Maximum likelihood of covariance structures over groups: Fisher scoring on any smooth model of covariances
and means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from tastemaker.errors import InputError, ModelError

Floats = npt.NDArray[np.float64]
Model = Callable[[Floats], tuple[Floats, Floats]]
_STEPS, _HALVINGS = 300, 30
_TOLERANCE = 1e-14  # of the decrease of F a step still promises: below it rounding has the last word


@dataclass(frozen=True, eq=False)
class Moments:
    """What was seen, by group: covariance (G, p, p) with divisor n, mean (G, p), n (G,)."""

    covariance: Floats
    mean: Floats
    n: Floats


def minimise(model: Model, start: Floats, seen: Moments) -> tuple[Floats, float]:
    """Parameters that minimise F = sum n_g/n [ln|Sigma| + tr(S Sigma^-1) - ln|S| - p + (m - mu)' Sigma^-1 (m
    - mu)], and F.

    model: parameters (..., k) -> covariances (..., G, p, p) and means (..., G, p), at most quadratic in each
    single parameter (derivatives are then exact central differences). Raises ModelError when it does not
    converge.
    """
    theta, share = start.astype(np.float64), seen.n / seen.n.sum()
    value = discrepancy(model(theta), seen)
    if not np.isfinite(value):
        raise ModelError("the factor model's starting values give no covariance; check the blocks of items")
    for _ in range(_STEPS):
        gradient, information = _scoring(model, theta, seen, share)
        try:
            step = -np.linalg.solve(information, gradient)
        except LinAlgError:
            step = -np.linalg.lstsq(information, gradient, rcond=None)[0]
        if -(gradient @ step) < _TOLERANCE:
            return theta, value
        size = 1.0
        for _ in range(_HALVINGS):
            fresh = discrepancy(model(theta + size * step), seen)
            if fresh <= value + 1e-4 * size * (gradient @ step):
                break
            size /= 2
        else:
            return theta, value  # no step lowers F any more: rounding has the last word
        theta, value = theta + size * step, fresh
    raise ModelError(
        f"the factor model did not converge in {_STEPS} steps; a block may hold items that have little in"
        " common"
    )


def discrepancy(implied: tuple[Floats, Floats], seen: Moments) -> float:
    """F at implied covariances and means; infinite where a covariance is not positive definite."""
    sigma, mu = implied
    sign, log_sigma = np.linalg.slogdet(sigma)
    if not (sign > 0).all() or not (np.linalg.eigvalsh(sigma)[:, 0] > 0).all():
        return float("inf")
    inverse, gap = np.linalg.inv(sigma), seen.mean - mu
    log_s = np.linalg.slogdet(seen.covariance)[1]
    each = log_sigma + np.einsum("gij,gji->g", seen.covariance, inverse) - log_s - sigma.shape[1]
    each = each + np.einsum("gi,gij,gj->g", gap, inverse, gap)
    return float((seen.n / seen.n.sum()) @ each)


def _scoring(model: Model, theta: Floats, seen: Moments, share: Floats) -> tuple[Floats, Floats]:
    """Gradient (k,) of F and its expected second derivative (k, k)."""
    sigma, mu = model(theta)
    inverse, gap = np.linalg.inv(sigma), seen.mean - mu
    (up, up_mu), (down, down_mu) = (model(theta + sign * np.eye(len(theta))) for sign in (1.0, -1.0))
    d_sigma, d_mu = (up - down) / 2, (up_mu - down_mu) / 2
    around = inverse - inverse @ (seen.covariance + gap[:, :, None] * gap[:, None, :]) @ inverse
    pull = np.einsum("gij,gj->gi", inverse, gap)
    gradient = np.einsum("g,gij,kgji->k", share, around, d_sigma) - 2 * np.einsum(
        "g,gi,kgi->k", share, pull, d_mu
    )
    half, k = inverse @ d_sigma, len(theta)
    information = (share[:, None, None] * half).reshape(k, -1) @ half.transpose(0, 1, 3, 2).reshape(k, -1).T
    information += 2 * np.einsum("g,kgi,gij,lgj->kl", share, d_mu, inverse, d_mu)
    return gradient, information


@dataclass(frozen=True)
class Fit:
    """How well a model fits: chi2 = nF with df and p; the baseline of unrelated items; CFI, TLI; RMSEA with
    its 90 % interval and the p of close fit (RMSEA <= .05); SRMR; GFI (Joreskog); log-likelihood, AIC, BIC;
    n; parameters.
    """

    chi2: float
    df: int
    p: float
    baseline_chi2: float
    baseline_df: int
    cfi: float
    tli: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    p_close: float
    srmr: float
    gfi: float
    log_likelihood: float
    aic: float
    bic: float
    n: int
    parameters: int


def fit_of(implied: tuple[Floats, Floats], seen: Moments, parameters: int, *, means: bool) -> Fit:
    """Fit measures of implied covariances and means; `means`: whether the model restricts the means.

    Source: chi2 = nF, n not n - 1; CFI Bentler 1990; TLI Tucker and Lewis 1973; RMSEA Steiger 1990, sqrt(G)
    times as large for G groups; SRMR Hu and Bentler 1999, over variances and covariances (and means); GFI
    Joreskog and Sorbom 1984.
    """
    groups, p = seen.mean.shape
    n = float(seen.n.sum())
    moments = groups * p * (p + 1) // 2 + (groups * p if means else 0)
    statistic, df = n * discrepancy(implied, seen), moments - parameters
    if df < 0:
        raise InputError(
            f"the factor model has {parameters} parameters for {moments} moments; it is not identified"
        )
    diagonal = np.einsum("gi,ij->gij", np.einsum("gii->gi", seen.covariance), np.eye(p))
    base, base_df = n * discrepancy((diagonal, seen.mean), seen), groups * p * (p - 1) // 2
    excess, base_excess = max(statistic - df, 0.0), max(base - base_df, statistic - df, 0.0)
    half = (
        -0.5 * float(seen.n @ (p * np.log(2 * np.pi) + np.linalg.slogdet(seen.covariance)[1] + p))
        - statistic / 2
    )
    low, high = (noncentral(statistic, df, q) for q in (0.95, 0.05))
    scale = groups / (df * n) if df else 0.0
    return Fit(
        chi2=statistic,
        df=df,
        p=float(chi2.sf(statistic, df)) if df else 1.0,
        baseline_chi2=base,
        baseline_df=base_df,
        cfi=1 - excess / base_excess if base_excess else 1.0,
        tli=tucker_lewis(statistic, df, base, base_df),
        rmsea=float(np.sqrt(excess * scale)),
        rmsea_low=float(np.sqrt(low * scale)),
        rmsea_high=float(np.sqrt(high * scale)),
        p_close=float(ncx2.sf(statistic, df, 0.0025 / scale)) if df else 1.0,
        srmr=_srmr(implied, seen, means),
        gfi=_gfi(implied[0], seen),
        log_likelihood=half,
        aic=-2 * half + 2 * parameters,
        bic=float(-2 * half + np.log(n) * parameters),
        n=int(n),
        parameters=parameters,
    )


def tucker_lewis(statistic: float, df: int, base: float, base_df: int) -> float:
    """TLI of a statistic against its baseline's."""
    return (base / base_df - statistic / df) / (base / base_df - 1) if df and base != base_df else 1.0


def noncentral(statistic: float, df: int, level: float) -> float:
    """The noncentrality at which `statistic` is the `level` quantile from below; 0 where none is that
    small.
    """
    if df == 0 or chi2.cdf(statistic, df) < level:
        return 0.0
    return float(brentq(lambda lam: ncx2.cdf(statistic, df, lam) - level, 1e-9, 4 * statistic + 100))


def _srmr(implied: tuple[Floats, Floats], seen: Moments, means: bool) -> float:
    each, rows = [], np.tril_indices(seen.mean.shape[1])
    for s, sigma, m, mu in zip(seen.covariance, implied[0], seen.mean, implied[1], strict=True):
        sd = np.sqrt(np.diag(s))
        squares = (((s - sigma) / np.outer(sd, sd))[rows]) ** 2
        each.append(np.sqrt(np.mean(np.r_[squares, ((m - mu) / sd) ** 2] if means else squares)))
    return float((seen.n / seen.n.sum()) @ np.array(each))


def _gfi(sigma: Floats, seen: Moments) -> float:
    ratio = np.linalg.solve(sigma, seen.covariance)
    off = ratio - np.eye(sigma.shape[1])
    top, bottom = (seen.n @ np.einsum("gij,gji->g", part, part) for part in (off, ratio))
    return float(1 - top / bottom)
