"""How far probabilities are from what happens: expected over observed, equal-mass and smooth error, Murphy's
parts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, idct
from scipy.stats import norm

Floats = npt.NDArray[np.float64]
BINS = 15
_GRID = 4096


def equal_mass(p: Floats, weight: Floats, bins: int = BINS) -> npt.NDArray[np.int64]:
    """(n,) bin of each prediction, cut so that bins carry about the same weight; equal predictions share a
    bin.
    """
    order = np.argsort(p, kind="stable")
    mass = np.cumsum(weight[order]) - weight[order] / 2
    bin_sorted = np.minimum((mass / weight.sum() * bins).astype(np.int64), bins - 1)
    ordered = p[order]
    first = np.searchsorted(ordered, ordered, side="left")
    out = np.empty(len(p), dtype=np.int64)
    out[order] = bin_sorted[first]
    return out


def binned(p: Floats, y: Floats, weight: Floats, bins: int = BINS) -> tuple[Floats, Floats, Floats, Floats]:
    """Weight share, mean prediction, mean outcome and effective number of rows (b,) of each bin that has
    weight.
    """
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
        1 - 2 * norm.cdf(-gap / error)
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
