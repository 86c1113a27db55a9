"""Confirmatory factor analysis of a battery of items: loadings, correlations of the factors, reliability,
fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.retention.validity.factor.fit import Fit, Floats, Moments, fit_of, minimise

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

    def fornell_larcker(self) -> npt.NDArray[np.bool_]:
        """(q,) whether each factor's AVE is above its squared correlation with every other. Source: Fornell
        and Larcker 1981.
        """
        squares = self.phi**2 - np.eye(len(self.phi))
        return np.asarray(self.ave > squares.max(axis=1, initial=0.0), dtype=np.bool_)


def fit_cfa(covariance: npt.ArrayLike, n: int, blocks: Mapping[str, Sequence[int]]) -> CfaFit:
    """Maximum-likelihood CFA in which each item loads on its own factor and factors correlate freely.

    covariance (p, p) of the items with divisor n (a polychoric matrix may be given; its chi2 is then too
    large); blocks: factor
    -> rows of its items; every item in one block. Factor variances are 1; F = ln|Sigma| + tr(S Sigma^-1) -
    ln|S| - p.

    Raises
    ------
    InputError
        when the matrix is not a covariance, an item is in no or two blocks, or the model is not identified:
        one item alone, or two items with no other factor.
    ModelError
        when it does not converge.
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


def refuse_unidentified(blocks: Mapping[str, Sequence[int]], owner: npt.NDArray[np.int64]) -> None:
    """Raises InputError naming a factor whose loadings are not identified."""
    sizes = np.bincount(owner)
    if (sizes == 1).any() or (len(sizes) == 1 and sizes[0] < 3):
        name = list(blocks)[int(np.argmin(sizes))]
        raise InputError(
            f"factor '{name}' has {sizes.min()} item{'s' if sizes.min() > 1 else ''}: its loadings are not"
            " identified; a factor needs three items, or two beside another factor; for one question use"
            " test-retest and the reliability grid"
        )


def composite_reliability(loadings: Floats, owner: npt.NDArray[np.int64]) -> Floats:
    """(q,) CR = (sum l)² / ((sum l)² + sum (1 - l²)) by factor, of standardised loadings (p,); owner (p,)
    their factors.
    """
    total, noise = np.bincount(owner, loadings) ** 2, np.bincount(owner, 1 - loadings**2)
    return np.asarray(total / (total + noise), dtype=np.float64)


def average_variance(loadings: Floats, owner: npt.NDArray[np.int64]) -> Floats:
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
            f"the covariance of {len(s)} items over {n} people is not positive definite: too few people, an"
            " item that repeats others, or one that everyone answered the same"
        )
    return s


def owners(blocks: Mapping[str, Sequence[int]], p: int) -> npt.NDArray[np.int64]:
    """(p,) the factor of each item."""
    owner = np.full(p, -1, dtype=np.int64)
    for factor, (name, items) in enumerate(blocks.items()):
        for item in items:
            if not 0 <= item < p:
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


def start_values(s: Floats, owner: npt.NDArray[np.int64]) -> Floats:
    """Loadings from each item's mean correlation in its block, half the variance unexplained, small factor
    correlations.
    """
    sd, q = np.sqrt(np.diag(s)), int(owner.max()) + 1
    r = s / np.outer(sd, sd)
    same = (owner[:, None] == owner[None, :]) & ~np.eye(len(s), dtype=bool)
    sign = np.array([np.sign(r[i, np.flatnonzero(owner == owner[i])[0]]) for i in range(len(s))])
    level: Floats = np.clip(
        np.sqrt((np.abs(r) * same).sum(axis=1) / np.maximum(same.sum(axis=1), 1)), 0.3, 0.9
    )
    return np.concatenate([sign * level * sd, (1 - level**2) * sd**2, np.full(q * (q - 1) // 2, 0.2)])


def positive(loadings: Floats, phi: Floats, owner: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
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
