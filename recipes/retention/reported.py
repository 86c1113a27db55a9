"""What a published interval tells of the test behind it: its effect, its size, its power."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.experiment.effects import Better, Effect

Floats = npt.NDArray[np.float64]


def effect_from_interval(
    metric: str, value: float, half_width: float, better: Better = "up", level: float = 0.95
) -> Effect:
    """An effect somebody else published as value and half width of its `level` interval, read as normal.

    Raises InputError unless value and half width are finite and the latter is above 0.
    """
    if not math.isfinite(value) or not math.isfinite(half_width) or half_width <= 0:
        raise InputError(
            f"metric '{metric}': {value} with half width {half_width}; both must be finite, the width above 0"
        )
    se = half_width / float(stats.norm.ppf((1 + level) / 2))
    p = float(2 * stats.norm.sf(abs(value) / se))
    assumed = ("the published interval is symmetric, normal and two-sided",)
    ends = value - half_width, value + half_width
    return Effect(metric, value, *ends, 0, "relative", p, assumed, se=se, better=better)


def size_for_error(cv: float, se: float) -> float:
    """Units an arm that give a relative lift this standard error; cv: SD / mean of the metric by unit."""
    return 2 * (cv / se) ** 2


def power_of(
    cv: float, lift: npt.ArrayLike, n: npt.ArrayLike, alpha: float = 0.05, correlation: float = 0.0
) -> Floats:
    """Chance to see a relative `lift` with `n` units an arm; arrays broadcast."""
    se = cv * np.sqrt(2 * (1 - correlation**2) / np.asarray(n, dtype=np.float64))
    edge, shift = stats.norm.ppf(1 - alpha / 2), np.asarray(lift, dtype=np.float64) / se
    return np.asarray(stats.norm.sf(edge - shift) + stats.norm.cdf(-edge - shift), dtype=np.float64)
