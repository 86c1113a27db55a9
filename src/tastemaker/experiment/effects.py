"""The effect of an arm on a metric: difference or relative lift, of means or ratios, with or without
CUPED.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.experiment.moments import Floats, Metric, Moments

Kind = Literal["relative", "absolute"]
Better = Literal["up", "down"]
_INDEPENDENT = "units do not affect each other, and the arm was assigned at random"
_MARGINS = "means are near normal at this sample size (central limit theorem, delta method)"


def number(value: float, kind: Kind, sign: bool = True) -> str:
    """A value with its sign, as a percentage where it is relative; 'none' without one."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else ("unlimited" if value > 0 else "-unlimited")
    plus = "+" if sign else ""
    shown = 100 * value if kind == "relative" else value
    digits = max(0, min(6, 2 - math.floor(math.log10(abs(shown))))) if shown else 1
    return f"{shown:{plus}.{digits}f}" + (" %" if kind == "relative" else "")


@dataclass(frozen=True)
class Effect:
    """What an arm did to a metric, treatment against control.

    value with the two-sided interval [low, high] and `p` against no effect; kind 'relative' (a share of the
    control's value: .01 is one percent) or 'absolute'; n: units of both arms; smallest: units of the smaller
    arm; se: standard error, with `df` degrees of freedom (infinite: normal); better: the good direction;
    treatment, control: the two values; variance_kept: share of the variance left by CUPED; cohort: empty for
    everybody. assumptions: what must hold; reason: why there is no number (value NaN), else empty.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    kind: Kind
    p: float
    assumptions: tuple[str, ...] = ()
    reason: str = ""
    se: float = math.nan
    df: float = math.inf
    smallest: int = 0
    better: Better = "up"
    treatment: float = math.nan
    control: float = math.nan
    variance_kept: float = 1.0
    cohort: str = ""

    def good(self) -> float:
        """The value turned so that a positive number is good; NaN without one."""
        return self.value if self.better == "up" else -self.value

    def bound(self, alpha: float = 0.05) -> float:
        """One-sided 1 - alpha bound of `good()` from below: how bad the effect may be."""
        return self.good() - float(stats.t.ppf(1 - alpha, self.df)) * self.se


@dataclass(frozen=True)
class _Arm:
    """A metric in one arm: value, mean of its covariate, and the variances and covariance of one unit's
    linearised parts.
    """

    value: float
    before: float
    own: float
    cross: float
    covariate: float

    def left(self, gain: float, slope: float) -> float:
        """Variance of one unit of `gain` times its value less `slope` times its covariate."""
        variance = gain**2 * self.own - 2 * gain * slope * self.cross + slope**2 * self.covariate
        return max(0.0, variance)


def effect(
    treatment: Moments,
    control: Moments,
    metric: Metric,
    kind: Kind = "relative",
    covariate: bool = True,
    alpha: float = 0.05,
    cohort: str = "",
) -> Effect:
    """Effect of `treatment` against `control` on `metric`, with Welch's t interval at 1 - alpha.

    covariate: use the metric's covariate (CUPED) where it names one; theta is pooled within arms. Ratios go
    through their linearisation (y - R x) / mean x, so CUPED composes with them. Where nothing can be said (an
    empty arm, a metric that never varies, a control of 0 for a relative lift) value is NaN and `reason` says
    why. Raises InputError on moments without the metric's columns, or alpha outside (0, 1).

    Source: variance of a ratio and of a relative lift by the delta method; CUPED: Deng, Xu, Kohavi and
    Walker, WSDM 2013.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}; give a number between 0 and 1")
    if kind not in ("relative", "absolute"):
        raise InputError(f"effect kind '{kind}' is unknown; choose relative or absolute")
    about: dict[str, Any] = {
        "kind": kind,
        "n": treatment.n + control.n,
        "smallest": min(treatment.n, control.n),
        "better": metric.better,
        "cohort": cohort,
    }
    for name, arm in (("treatment", treatment), ("control", control)):
        if arm.n < 2:
            return no_effect(metric.name, f"the {name} arm has {arm.n} units; at least 2 are needed", **about)
    use = covariate and bool(metric.covariate)
    arms = [_arm(read, metric, use) for read in (treatment, control)]
    if any(math.isnan(arm.value) for arm in arms):
        return no_effect(metric.name, f"the denominator '{metric.denominator}' is 0 for a whole arm", **about)
    freedom = (treatment.n - 1, control.n - 1)
    spread = sum(w * arm.covariate for w, arm in zip(freedom, arms, strict=True))
    cross = sum(w * arm.cross for w, arm in zip(freedom, arms, strict=True))
    theta = cross / spread if use and spread > 0 else 0.0
    share = (treatment.n / about["n"], control.n / about["n"])
    centre = share[0] * arms[0].before + share[1] * arms[1].before
    mt, mc = (arm.value - theta * (arm.before - centre) for arm in arms)
    own = sum(arm.own for arm in arms)
    about |= {
        "treatment": mt,
        "control": mc,
        "variance_kept": sum(arm.left(1.0, theta) for arm in arms) / own if own > 0 else 1.0,
    }
    if sum(arm.left(1.0, theta) for arm in arms) <= 0:
        same = "0" if mt == mc == 0 else "the same"
        why = f"'{metric.name}' is {same} for every unit of each arm: there is nothing to compare"
        return no_effect(metric.name, why, **about)
    if kind == "absolute":
        value, gains, slope = mt - mc, (1.0, 1.0), theta
    elif mc == 0:
        why = "the control's value is 0, so a relative lift has no meaning; ask for absolute"
        return no_effect(metric.name, why, **about)
    else:
        # The pooled centre of the covariate is estimated too: it moves both adjusted means, and a lift far
        # from 0 does not cancel it. mt = yt - theta w_c (xt - xc) and mc = yc + theta w_t (xt - xc).
        lift = mt / mc
        value, gains, slope = lift - 1, (1 / mc, lift / mc), theta * (share[1] + share[0] * lift) / mc
    parts = [
        arm.left(gain, slope) / read.n
        for arm, gain, read in zip(arms, gains, (treatment, control), strict=True)
    ]
    if sum(parts) <= 0:
        why = f"'{metric.name}' is 0 for every unit of the treatment: a lift of -100 % has no interval;"
        return no_effect(metric.name, f"{why} ask for absolute", **about)
    about["assumptions"] = (_INDEPENDENT, _MARGINS)
    if use:
        known = f"'{metric.covariate}' was measured before the test and cannot be affected by it"
        about["assumptions"] += (known,)
    return _with_interval(metric.name, value, parts, freedom, alpha, about)


def _with_interval(
    metric: str,
    value: float,
    variances: list[float],
    freedom: tuple[int, int],
    alpha: float,
    about: dict[str, Any],
) -> Effect:
    """The effect with Welch's t interval from the two arms' parts of its variance."""
    se = math.sqrt(sum(variances))
    df = sum(variances) ** 2 / sum(part**2 / free for part, free in zip(variances, freedom, strict=True))
    half = float(stats.t.ppf(1 - alpha / 2, df)) * se
    p = float(2 * stats.t.sf(abs(value) / se, df))
    return Effect(metric, value, value - half, value + half, p=p, se=se, df=df, **about)


def no_effect(metric: str, reason: str, kind: Kind = "relative", n: int = 0, **about: Any) -> Effect:
    """An effect without a number, and why."""
    nan = math.nan
    return Effect(metric, nan, nan, nan, n, kind, nan, reason=reason, **about)


def effect_from_interval(
    metric: str, value: float, half_width: float, better: Better = "up", level: float = 0.95, n: int = 0
) -> Effect:
    """An effect somebody else published as value and half width of its `level` interval, read as normal.

    Units are the publisher's. Raises InputError unless value and half width are finite and the latter is
    above 0.
    """
    if not math.isfinite(value) or not math.isfinite(half_width) or half_width <= 0:
        raise InputError(
            f"metric '{metric}': {value} with half width {half_width}; both must be finite, the width above 0"
        )
    se = half_width / float(stats.norm.ppf((1 + level) / 2))
    p = float(2 * stats.norm.sf(abs(value) / se))
    assumed = ("the published interval is symmetric, normal and two-sided",)
    return Effect(
        metric,
        value,
        value - half_width,
        value + half_width,
        n,
        "relative",
        p,
        assumed,
        se=se,
        smallest=n // 2,
        better=better,
    )


def effects(
    read: Mapping[str, Moments],
    metrics: list[Metric],
    control: str,
    treatment: str,
    kind: Kind = "relative",
    alpha: float = 0.05,
) -> list[Effect]:
    """Effect of one arm against another on every metric. Raises InputError naming an arm that has no unit."""
    for name in (control, treatment):
        if name not in read:
            raise InputError(
                f"arm '{name}' is empty: no row has it; arms found: {', '.join(map(str, read)) or 'none'}"
            )
    return [effect(read[treatment], read[control], metric, kind, alpha=alpha) for metric in metrics]


def _arm(read: Moments, metric: Metric, use: bool) -> _Arm:
    """Value and linearised second moments; NaN value where a denominator is 0."""
    value, slope = _linear(read, metric.numerator or metric.name, metric.denominator)
    if not use or math.isnan(value):
        names = [name for name in (metric.numerator or metric.name, metric.denominator) if name]
        covariance = read.covariance(names)
        return _Arm(value, 0.0, float(slope @ covariance @ slope), 0.0, 0.0)
    before, slope_before = _linear(read, metric.covariate, metric.covariate_denominator)
    if math.isnan(before):
        raise InputError(
            f"metric '{metric.name}': '{metric.covariate_denominator}' is 0 for a whole arm; leave the"
            " covariate out"
        )
    covariance = read.covariance(metric.columns)
    k = len(slope)
    own = float(slope @ covariance[:k, :k] @ slope)
    cross = float(slope @ covariance[:k, k:] @ slope_before)
    return _Arm(value, before, own, cross, float(slope_before @ covariance[k:, k:] @ slope_before))


def _linear(read: Moments, numerator: str, denominator: str) -> tuple[float, Floats]:
    """A mean or ratio, and its derivative by the means it is made of."""
    above = read.mean_of(numerator)
    if not denominator:
        return above, np.ones(1)
    below = read.mean_of(denominator)
    if below == 0:
        return math.nan, np.zeros(2)
    return above / below, np.array([1 / below, -above / below**2])
