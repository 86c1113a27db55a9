"""Confirmatory factor analysis of a battery of items: loadings, factor correlations, reliability, fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError, ModelError, many

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
    single parameter (derivatives are then exact central differences). Raises ModelError without convergence.
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
    """chi2 = nF with df; baseline of unrelated items; CFI, TLI; RMSEA, 90 % interval; SRMR; n; parameters."""

    chi2: float
    df: int
    baseline_chi2: float
    baseline_df: int
    cfi: float
    tli: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    srmr: float
    n: int
    parameters: int


def fit_of(implied: tuple[Floats, Floats], seen: Moments, parameters: int, *, means: bool) -> Fit:
    """Fit measures of implied covariances and means; `means`: whether the model restricts the means.

    Source: chi2 = nF, n not n - 1; CFI Bentler 1990; TLI Tucker and Lewis 1973; RMSEA Steiger 1990, sqrt(G)
    times as large for G groups; SRMR Hu and Bentler 1999, over variances and covariances (and means).
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
    return Fit(
        **fit_measures((statistic, df), (base, base_df), n, groups),
        srmr=_srmr(implied, seen, means),
        n=int(n),
        parameters=parameters,
    )


def fit_measures(
    test: tuple[float, int], baseline: tuple[float, int], n: float, groups: int = 1
) -> dict[str, Any]:
    """What a statistic and its df say, beside those of the baseline: the fields of `Fit` up to rmsea_high."""
    (statistic, df), (base, base_df) = test, baseline
    excess, base_excess = max(statistic - df, 0.0), max(base - base_df, statistic - df, 0.0)
    low, high = (noncentral(statistic, df, q) for q in (0.95, 0.05))
    scale = groups / (df * n) if df else 0.0
    tli = (base / base_df - statistic / df) / (base / base_df - 1) if df and base != base_df else 1.0
    return {
        "chi2": statistic,
        "df": df,
        "baseline_chi2": base,
        "baseline_df": base_df,
        "cfi": 1 - excess / base_excess if base_excess else 1.0,
        "tli": tli,
        "rmsea": float(np.sqrt(excess * scale)),
        "rmsea_low": float(np.sqrt(low * scale)),
        "rmsea_high": float(np.sqrt(high * scale)),
    }


def noncentral(statistic: float, df: int, level: float) -> float:
    """The noncentrality at which `statistic` is the lower `level` quantile; 0 where none is that small."""
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


CUTOFFS = {
    "cfi": 0.95,
    "tli": 0.95,
    "rmsea": 0.06,
    "srmr": 0.08,
    "ave": 0.5,
    "alpha": 0.7,
    "htmt": 0.85,
    "cfi_drop": 0.01,
}


@dataclass(frozen=True, eq=False)
class CfaFit:
    """blocks: factor -> its items. loadings (p,) standardised, in the items' order; phi (q, q) correlations
    of the factors; residual (p,) unexplained shares; reliability (q,) = CR and ave (q,) by factor; fit;
    improper: why the solution cannot be taken at face value (a negative residual, a correlation of 1 or
    more), else empty.
    """

    blocks: Mapping[str, tuple[int, ...]]
    loadings: Floats
    phi: Floats
    residual: Floats
    reliability: Floats
    ave: Floats
    fit: Fit
    improper: str = ""

    def fornell_larcker(self) -> Bools:
        """(q,) whether AVE exceeds each squared correlation of its factor (Fornell and Larcker 1981)."""
        squares = self.phi**2 - np.eye(len(self.phi))
        return np.asarray(self.ave > squares.max(axis=1, initial=0.0), dtype=np.bool_)


def fit_cfa(covariance: npt.ArrayLike, n: int, blocks: Mapping[str, Sequence[int]]) -> CfaFit:
    """Maximum-likelihood CFA in which each item loads on its own factor and factors correlate freely.

    covariance (p, p) of the items with divisor n (a polychoric matrix may be given; its chi2 is then too
    large); blocks: factor -> rows of its items; every item in one block. Factor variances are 1; F =
    ln|Sigma| + tr(S Sigma^-1) - ln|S| - p.

    Raises InputError when the matrix is not a covariance, an item is in no or two blocks, or the model is not
    identified: one item alone, or two items with no other factor; ModelError when it does not converge.
    """
    s = checked_covariance(covariance, n)
    owner = owners(blocks, len(s))
    refuse_unidentified(blocks, owner)
    seen = Moments(s[None], np.zeros((1, len(s))), np.array([float(n)]))
    q, p = int(owner.max()) + 1, len(s)

    def model(theta: Floats) -> tuple[Floats, Floats]:
        load = np.zeros((*theta.shape[:-1], p, q))
        load[..., range(p), owner] = theta[..., :p]
        sigma = load @ correlations(theta[..., 2 * p :], q) @ load.swapaxes(-1, -2) + theta[
            ..., p : 2 * p, None
        ] * np.eye(p)
        return sigma[..., None, :, :], np.broadcast_to(seen.mean, (*theta.shape[:-1], *seen.mean.shape))

    theta, _ = minimise(model, start_values(s, owner), seen)
    implied = model(theta)
    sd = np.sqrt(np.diag(implied[0][0]))
    loadings, residual = theta[:p] / sd, theta[p : 2 * p] / sd**2
    loadings, phi = positive(loadings, correlations(theta[2 * p :], q), owner)
    fit = fit_of(implied, seen, len(theta), means=False)
    cr, ave = composite_reliability(loadings, owner), average_variance(loadings, owner)
    named = {name: tuple(int(i) for i in items) for name, items in blocks.items()}
    return CfaFit(named, loadings, phi, residual, cr, ave, fit, improper(residual, phi))


def refuse_unidentified(blocks: Mapping[str, Sequence[int]], owner: Ints) -> None:
    """Raises InputError naming a factor whose loadings are not identified."""
    sizes = np.bincount(owner)
    if (sizes == 1).any() or (len(sizes) == 1 and sizes[0] < 3):
        name = list(blocks)[int(np.argmin(sizes))]
        raise InputError(
            f"factor '{name}' has {sizes.min()} item{'s' if sizes.min() > 1 else ''}: its loadings are not"
            " identified; a factor needs three items, or two beside another factor; for one question use"
            " test-retest and the reliability grid"
        )


def composite_reliability(loadings: Floats, owner: Ints) -> Floats:
    """(q,) CR = (sum l)² / ((sum l)² + sum (1 - l²)) of standardised loadings (p,) by `owner` (p,)."""
    total, noise = np.bincount(owner, loadings) ** 2, np.bincount(owner, 1 - loadings**2)
    return np.asarray(total / (total + noise), dtype=np.float64)


def average_variance(loadings: Floats, owner: Ints) -> Floats:
    """(q,) AVE = mean l² by factor, of standardised loadings (p,); owner (p,) their factors."""
    return np.asarray(np.bincount(owner, loadings**2) / np.bincount(owner), dtype=np.float64)


def checked_covariance(covariance: npt.ArrayLike, n: int) -> Floats:
    """(p, p) a finite, symmetric, positive definite covariance of more than p people, else InputError."""
    s = np.asarray(covariance, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or not np.isfinite(s).all() or not np.allclose(s, s.T):
        raise InputError(
            f"a factor model needs a finite symmetric covariance of the items; got shape {s.shape}"
        )
    if n <= len(s) or np.linalg.eigvalsh(s)[0] <= 1e-10 * np.trace(s):
        raise InputError(
            f"the covariance of {many(len(s), 'item')} over {many(n, 'person', 'people')} is"
            " not positive definite: too few people, an"
            " item that repeats others, or one that everyone answered the same"
        )
    return s


def owners(blocks: Mapping[str, Sequence[int]], p: int) -> Ints:
    """(p,) the factor of each item."""
    owner = np.full(p, -1, dtype=np.int64)
    for factor, (name, items) in enumerate(blocks.items()):
        for item in items:
            if item not in range(p):
                raise InputError(
                    f"factor '{name}': item {item} does not exist; items count from 0 to {p - 1}"
                )
            if owner[item] >= 0:
                raise InputError(f"item {item} is in two blocks; each item loads on one factor")
            owner[item] = factor
    if (owner < 0).any():
        raise InputError(
            f"item {int(np.argmin(owner))} is in no block; give its factor, or leave it out of the covariance"
        )
    return owner


def correlations(below: Floats, q: int) -> Floats:
    """(..., q, q) symmetric matrices of unit diagonal from their entries below it (..., q (q - 1) / 2)."""
    rows, columns = np.tril_indices(q, -1)
    result = np.broadcast_to(np.eye(q), (*below.shape[:-1], q, q)).copy()
    result[..., rows, columns] = result[..., columns, rows] = below
    return result


def start_values(s: Floats, owner: Ints) -> Floats:
    """Loadings by mean correlation in the block, half the variance unexplained, low factor correlations."""
    sd, q = np.sqrt(np.diag(s)), int(owner.max()) + 1
    r = s / np.outer(sd, sd)
    same = (owner[:, None] == owner[None, :]) & ~np.eye(len(s), dtype=bool)
    sign = np.array([np.sign(r[i, np.flatnonzero(owner == owner[i])[0]]) for i in range(len(s))])
    level: Floats = np.clip(
        np.sqrt((np.abs(r) * same).sum(axis=1) / np.maximum(same.sum(axis=1), 1)), 0.3, 0.9
    )
    return np.concatenate([sign * level * sd, (1 - level**2) * sd**2, np.full(q * (q - 1) // 2, 0.2)])


def positive(loadings: Floats, phi: Floats, owner: Ints) -> tuple[Floats, Floats]:
    """The same solution with each factor pointing the way most of its loadings do."""
    sign = np.where(np.bincount(owner, loadings) < 0, -1.0, 1.0)
    return loadings * sign[owner], phi * np.outer(sign, sign)


def improper(residual: Floats, phi: Floats) -> str:
    """Why a solution cannot be taken at face value; empty where it can."""
    reasons = []
    if (residual < 0).any():
        reasons.append(f"item {int(np.argmin(residual))} has a negative residual variance")
    if np.abs(phi - np.eye(len(phi))).max(initial=0.0) >= 1:
        reasons.append("two factors correlate by 1 or more: they are one")
    return "; ".join(reasons)
