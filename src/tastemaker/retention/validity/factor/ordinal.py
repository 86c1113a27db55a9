"""Factor analysis of ordered answers: polychoric, diagonally weighted least squares, test by WLSMV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import ndtr

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.retention.validity.factor.cfa import (
    CfaFit,
    Fit,
    average_variance,
    composite_reliability,
    correlations,
    fit_measures,
    improper,
    owners,
    positive,
    refuse_unidentified,
    start_values,
)
from tastemaker.retention.validity.polychoric import (
    bivariate_normal,
    cells,
    corners,
    fit_polychoric,
    thresholds_of,
)

MOST_CATEGORIES = 7  # whole numbers of so few values are ordered answers; more are treated as numbers


def is_ordinal(answers: Floats) -> bool:
    """Whether every item of answers (n, p) takes at most 7 values, all of them whole numbers."""
    return all(
        len(v := np.unique(x)) <= MOST_CATEGORIES and np.array_equal(v, np.round(v)) for x in answers.T
    )


def polychoric_moments(answers: Floats) -> tuple[Floats, Floats]:
    """Polychoric correlations (m,) of all pairs of items, in the order of `np.triu_indices(p, 1)`, and n
    times their covariance (m, m), of complete answers (n, p), one row a person.

    Source: Muthén, Psychometrika 1984: influence of each answer on rho and, through the thresholds, on its
    two-step estimate, with the information from the products of scores as lavaan and Mplus have it (where
    the answers are not cut from normal variables a bootstrap gives another variance).
    """
    n, p = answers.shape
    coded = [np.unique(column, return_inverse=True)[1] for column in answers.T]
    k = max(int(column.max()) + 1 for column in coded)
    first, second = np.triu_indices(p, 1)
    cell = np.array([coded[i] * k + coded[j] for i, j in zip(first, second, strict=True)])
    counts = np.array([np.bincount(row, minlength=k * k) for row in cell]).reshape(-1, k, k)
    rho = fit_polychoric(counts)
    margin = np.array([np.bincount(column, minlength=k) for column in coded]) / n
    tau, below = thresholds_of(margin), np.cumsum(margin, axis=1)[:, :-1]
    density = np.exp(-(tau**2) / 2) / np.sqrt(2 * np.pi)
    inside = (below > 0) & (below < 1)  # thresholds that exist
    # (p, n, k - 1): what one answer moves each threshold by, times n
    moved = (np.array(coded)[:, :, None] <= np.arange(k - 1)) - below[:, None, :]
    moved = np.where(inside[:, None, :], moved / np.where(inside, density, 1.0)[:, None, :], 0.0)
    influence = np.empty((n, len(rho)))
    for pair, (i, j) in enumerate(zip(first, second, strict=True)):
        on_rho, on_tau = _scores(tau[i], tau[j], float(rho[pair]))
        share = counts[pair] / n
        information = float((share * on_rho**2).sum())
        crossed = np.einsum("ab,ab,tab->t", share, on_rho, on_tau)
        through = moved[i] @ crossed[: k - 1] + moved[j] @ crossed[k - 1 :]
        influence[:, pair] = (on_rho.ravel()[cell[pair]] - through) / information
    return rho, influence.T @ influence / n


def _scores(h: Floats, k: Floats, rho: float) -> tuple[Floats, Floats]:
    """Derivative of the log chance of each cell (a, b) in rho, and (t, a, b) in the thresholds h, then k."""
    root = np.sqrt(1 - rho**2)
    x, y = h[:, None], k[None, :]

    def mass(inner: Floats, rows: Floats, columns: Floats, top: float) -> Floats:
        return np.asarray(cells(corners(inner[None], rows[None], columns[None], top))[0])

    zeros_h, zeros_k = np.zeros_like(h), np.zeros_like(k)
    share = np.maximum(mass(bivariate_normal(x, y, rho), ndtr(h), ndtr(k), 1.0), 1e-12)
    joint = np.exp(-(x**2 - 2 * rho * x * y + y**2) / (2 * root**2)) / (2 * np.pi * root)
    on_rho = mass(joint, zeros_h, zeros_k, 0.0) / share
    phi_h, phi_k = (np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) for t in (h, k))
    on_tau = []
    for place in range(len(h)):
        only = np.arange(len(h)) == place
        inner = np.where(only[:, None], phi_h[:, None] * ndtr((y - rho * x) / root), 0.0)
        on_tau.append(mass(inner, np.where(only, phi_h, 0.0), zeros_k, 0.0) / share)
    for place in range(len(k)):
        only = np.arange(len(k)) == place
        inner = np.where(only[None, :], phi_k[None, :] * ndtr((x - rho * y) / root), 0.0)
        on_tau.append(mass(inner, zeros_h, np.where(only, phi_k, 0.0), 0.0) / share)
    return on_rho, np.array(on_tau)


def fit_ordinal_cfa(answers: npt.ArrayLike, blocks: Mapping[str, Sequence[int]]) -> CfaFit:
    """CFA of ordered answers (n, p) without a gap, one row a person, each item loading on its factor.

    chi2, CFI, TLI and RMSEA are those of the test adjusted in mean and variance (scaled and shifted). Raises
    InputError as `fit_cfa`, or on a pair of items that agree perfectly.
    Source: Muthén, du Toit and Spisic 1997; Asparouhov and Muthén 2010 (scaled and shifted); equal to
    lavaan's WLSMV.
    """
    x = np.asarray(answers, dtype=np.float64)
    n, p = x.shape
    owner = owners(blocks, p)
    refuse_unidentified(blocks, owner)
    rows, columns = np.triu_indices(p, 1)
    r, gamma = polychoric_moments(x)
    if np.abs(r).max() > 0.999:
        pair = int(np.argmax(np.abs(r)))
        raise InputError(f"items {rows[pair]} and {columns[pair]} repeat each other; leave one out")
    q, weight = int(owner.max()) + 1, 1 / np.diag(gamma)
    full = np.eye(p)
    full[rows, columns] = full[columns, rows] = r

    def implied(theta: Floats) -> Floats:
        phi = correlations(theta[p:], q)[owner][:, owner]
        return np.asarray((theta[rows] * theta[columns]) * phi[rows, columns])

    start = np.concatenate([start_values(full, owner)[:p], np.full(q * (q - 1) // 2, 0.2)])
    solved = least_squares(
        lambda theta: (implied(theta) - r) * np.sqrt(weight), start, xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    theta = solved.x
    jacobian = solved.jac / np.sqrt(weight)[:, None]
    pressed = jacobian.T * weight
    u = np.diag(weight) - pressed.T @ np.linalg.pinv(pressed @ jacobian) @ pressed
    df, base_df = len(r) - len(theta), len(r)
    if df < 0:
        raise InputError(f"the factor model has {len(theta)} parameters for {len(r)} correlations")
    statistic = _adjusted((n - 1) * 2 * solved.cost, u @ gamma, df)
    base = _adjusted((n - 1) * float(weight @ r**2), weight[:, None] * gamma, base_df)
    fit = fit_measures((statistic, df), (base, base_df), n)
    srmr = float(np.sqrt(2 * np.square(implied(theta) - r).sum() / (p * (p + 1))))
    loadings, phi = positive(theta[:p], correlations(theta[p:], q), owner)
    unexplained = 1 - loadings**2
    cr, ave = composite_reliability(loadings, owner), average_variance(loadings, owner)
    named = {name: tuple(int(i) for i in items) for name, items in blocks.items()}
    measures = Fit(**fit, srmr=srmr, n=n, parameters=len(theta))
    return CfaFit(named, loadings, phi, unexplained, cr, ave, measures, improper(unexplained, phi))


def _adjusted(statistic: float, product: Floats, df: int) -> float:
    """The statistic scaled and shifted so that its mean and variance are those of chi2 with df."""
    if df == 0:
        return statistic
    scale = np.sqrt(df / np.trace(product @ product))
    return float(scale * statistic + df - scale * np.trace(product))
