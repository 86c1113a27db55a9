"""How many units a test needs, and what a given number can see."""

from __future__ import annotations

import math

from scipy import stats

from tastemaker.errors import InputError
from tastemaker.experiment.effects import effect
from tastemaker.experiment.moments import Metric, Moments


def _normals(alpha: float, power: float) -> float:
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}; give a number between 0 and 1")
    return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))


def _spread(cv: float, correlation: float) -> float:
    """Relative variance of one unit after CUPED."""
    if not (math.isfinite(cv) and cv > 0) or not -1 < correlation < 1:
        raise InputError(
            f"a coefficient of variation above 0 and a correlation in (-1, 1) are needed; got {cv},"
            f" {correlation}"
        )
    return cv**2 * (1 - correlation**2)


def sample_size(
    cv: float, lift: float, alpha: float = 0.05, power: float = 0.8, correlation: float = 0.0
) -> float:
    """Units an arm to see a relative `lift` (.01: one percent) with `power`, two equal arms, two-sided test.

    cv: standard deviation / mean of the metric by unit; correlation: with its CUPED covariate. Raises
    InputError on values out of range. n = 2 CV^2 (z_{1-a/2} + z_power)^2 / lift^2, times 1 - correlation^2.
    """
    if not (math.isfinite(lift) and lift != 0):
        raise InputError(
            f"the lift to see is {lift}; give a number other than 0, for example .01 for one percent"
        )
    return 2 * _spread(cv, correlation) * (_normals(alpha, power) / lift) ** 2


def detectable(
    cv: float, n: float, alpha: float = 0.05, power: float = 0.8, correlation: float = 0.0
) -> float:
    """The relative lift that `n` units an arm see with `power`. Raises InputError on values out of range."""
    if n < 2:
        raise InputError(f"{n} units an arm; at least 2 are needed")
    return _normals(alpha, power) * math.sqrt(2 * _spread(cv, correlation) / n)


def variation(read: Moments, metric: Metric) -> tuple[float, float]:
    """Coefficient of variation of a metric by unit and its correlation with its covariate (0 without one),
    from past data.

    Both count through the ratio's linearisation, so `sample_size` holds for ratios too. Raises InputError
    when the metric is 0 or never varies.
    """
    plain = effect(read, read, metric, "absolute", covariate=False)
    if plain.reason or plain.control == 0:
        raise InputError(
            f"metric '{metric.name}' gives no coefficient of variation: {plain.reason or 'its mean is 0'}"
        )
    adjusted = effect(read, read, metric, "absolute") if metric.covariate else plain
    if adjusted.reason:
        raise InputError(f"metric '{metric.name}': {adjusted.reason}")
    selected = adjusted.variance_kept if metric.covariate else 1.0
    return plain.se * math.sqrt(read.n / 2) / abs(plain.control), math.sqrt(max(0.0, 1 - selected))
