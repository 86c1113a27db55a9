"""The effect of an arm on a metric: difference or lift, of means, ratios or quantiles, perhaps by CUPED."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tastemaker.arrays import Floats
from tastemaker.errors import InputError, many
from tastemaker.experiment.contrast import Contrast, NoEvents, critical, upper_tail
from tastemaker.experiment.moments import Metric, Moments

Kind = Literal["relative", "absolute"]
Better = Literal["up", "down"]
EVEN = 0.03  # skewness of a difference below which a tail is off by less than .3 points
FEW = 200  # units that a ratio counts as below which its denominator costs degrees of freedom
LEAST = 4  # units of an arm (clusters, where these were assigned) below which nothing is estimated
ROUNDING = 1e-12  # of what a variance is made of
_INDEPENDENT = "units do not affect each other, and the arm was assigned at random"
_MARGINS = "means are near normal at this sample size (central limit theorem, delta method)"


def number(value: float, kind: Kind, sign: bool = True) -> str:
    """A value with its sign, as a percentage where it is relative; 'none' without one."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else ("unlimited" if value > 0 else "-unlimited")
    plus = "+" if sign else ""
    shown = 100 * value if kind == "relative" else value
    digits = max(0, 2 - math.floor(math.log10(abs(shown)))) if shown else 1
    style = f".{digits}f" if digits <= 6 else ".2e"
    return f"{shown:{plus}{style}}" + (" %" if kind == "relative" else "")


@dataclass(frozen=True)
class Effect:
    """What an arm did to a metric, treatment against control.

    value with the two-sided interval [low, high] and `p` against no effect (always of the difference); kind
    'relative' (a share of the control's value: .01 is one percent) or 'absolute'; n: units of both arms;
    smallest: units of the smaller arm; se: standard error, with `df` degrees of freedom (infinite: normal);
    better: the good direction; treatment, control: the two values; variance_kept: share of the variance left
    by CUPED; cohort: empty for everybody; arm: which arm was compared; contrast: what the interval is made
    of; empty: of a lift that has no number because one arm has no event.
    assumptions: what must hold; reason: why there is no number (value NaN), else empty.
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
    arm: str = ""
    contrast: Contrast | None = None
    empty: NoEvents | None = None

    def good(self) -> float:
        """The value turned so that a positive number is good; NaN without one."""
        return self.value if self.better == "up" else -self.value

    def limits(self, edge: float) -> tuple[float, float]:
        """The interval of `edge` standard errors to each side, or as many as make its tails even."""
        if self.contrast is None:
            return self.value - edge * self.se, self.value + edge * self.se
        if self.kind == "relative":
            low, high = self.contrast.limits(edge)
            return low - 1, high - 1
        above, below = self.contrast.edges(edge)
        return self.value - above * self.se, self.value + below * self.se

    def t(self, value: float = 0.0) -> float:
        """How many standard errors the effect lies above `value`, its tails made even."""
        if self.contrast is None:
            return (self.value - value) / self.se
        t = self.contrast.t(1 + value) if self.kind == "relative" else (self.value - value) / self.se
        return self.contrast.adjusted(t)

    def bound(self, alpha: float = 0.05) -> float:
        """One-sided 1 - alpha bound of `good()` from below: how bad the effect may be."""
        low, high = self.empty.bounds(alpha) if self.empty else self.limits(critical(alpha, self.df))
        return low if self.better == "up" else -high


@dataclass(frozen=True)
class _Arm:
    """A metric in one arm of n units: value, mean of its covariate, the variances and covariance of one
    unit's linearised parts, and the units it counts as; weights: what its columns weigh in the first and the
    second linearised part.
    """

    n: int
    value: float
    before: float
    own: float
    cross: float
    covariate: float
    effective: float
    weights: tuple[Floats, Floats] = (np.zeros(0), np.zeros(0))

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
    """Effect of `treatment` against `control` on `metric`: Welch's t for the difference, Fieller's interval
    for a relative lift, both at 1 - alpha; p is of the difference either way.

    covariate: use the metric's covariate (CUPED) where it names one; theta is pooled within arms. Ratios go
    through their linearisation (y - R x) / mean x, so CUPED composes with them; below `FEW` units their
    variance and degrees of freedom are those of n / (1 + cv^2 of the denominator) units. Arms of unlike size
    and skewed units make the tails of t uneven; that is taken out (`Contrast`). Where nothing can be said
    (fewer than 2 units, a metric that never varies, a control of 0 for a relative lift) value is NaN and
    `reason` says why. Raises InputError on moments without the metric's columns, or alpha outside (0, 1).

    Source: variance of a ratio by the delta method; Fieller, JRSS B 1954; CUPED: Deng, Xu, Kohavi and Walker,
    WSDM 2013; effective units: Carter, Schnepel and Steigerwald, Review of Economics and Statistics 2017.
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
    for name, read in (("treatment", treatment), ("control", control)):
        if read.n < 2:
            why = f"too few units: the {name} arm has {many(read.n, 'unit')}; at least 2 are needed"
            return no_effect(metric.name, why, **about)
    use = covariate and bool(metric.covariate)
    arms = [_arm(read, metric, use) for read in (treatment, control)]
    if any(math.isnan(arm.value) for arm in arms):
        return no_effect(metric.name, f"the denominator '{metric.denominator}' is 0 for a whole arm", **about)
    for name, arm in zip(("treatment", "control"), arms, strict=True):
        if arm.effective < LEAST <= arm.n:
            why = (
                f"too few units: the {arm.n:,} of the {name} arm count as {arm.effective:.1f}, so unequal is"
            )
            why += f" their '{metric.denominator}'; at least {LEAST} are needed"
            return no_effect(metric.name, why, **about)
    spread = sum((arm.n - 1) * arm.covariate for arm in arms)
    theta = sum((arm.n - 1) * arm.cross for arm in arms) / spread if use and spread > 0 else 0.0
    about["assumptions"] = (_INDEPENDENT, _MARGINS)
    if use:
        about["assumptions"] += (
            f"'{metric.covariate}' was measured before the test and cannot be affected by it",
        )
    return _compared(metric, arms, theta, alpha, about, _skew((treatment, control), arms, metric, theta, use))


def _skew(reads: Sequence[Moments], arms: Sequence[_Arm], metric: Metric, theta: float, use: bool) -> float:
    """Of the difference, from the skewness of one unit in both arms together: that of a small arm alone is
    too noisy to use. 0 between arms of like size, where it cancels.
    """
    names = metric.columns if use else metric.columns[: 1 + bool(metric.denominator)]
    cubes = sum(
        read.cubes(np.concatenate([arm.weights[0], -theta * arm.weights[1]]), names)
        for read, arm in zip(reads, arms, strict=True)
    )
    left, n = sum((arm.n - 1) * arm.left(1.0, theta) for arm in arms), sum(arm.n for arm in arms)
    if left <= 0:
        return 0.0
    unit_skew, parts = cubes / n / (left / n) ** 1.5, [1 / arm.n for arm in arms]
    skew = unit_skew * (parts[0] ** 2 - parts[1] ** 2) / sum(parts) ** 1.5
    return skew if abs(skew) >= EVEN else 0.0


def compared(
    metric: Metric, arms: Sequence[tuple[int, float, float, float]], kind: Kind, alpha: float, why: str
) -> Effect:
    """Effect from (units, value, variance of the value, units they count as) of treatment and control; why:
    what must hold.

    The same refusals and the same interval as `effect`.
    """
    sizes = [n for n, *_ in arms]
    about: dict[str, Any] = {"kind": kind, "n": sum(sizes), "smallest": min(sizes), "better": metric.better}
    about["assumptions"] = (_INDEPENDENT, why)
    both = [_Arm(n, value, 0.0, n * variance, 0.0, 0.0, known) for n, value, variance, known in arms]
    return _compared(metric, both, 0.0, alpha, about)


def _compared(
    metric: Metric, arms: Sequence[_Arm], theta: float, alpha: float, about: dict[str, Any], skew: float = 0.0
) -> Effect:
    """The effect of two arms whose covariates are taken off at `theta`."""
    t, c = arms
    own, left = sum(arm.own for arm in arms), [arm.left(1.0, theta) for arm in arms]
    share = t.n / (t.n + c.n)
    centre = share * t.before + (1 - share) * c.before
    mt, mc = (arm.value - theta * (arm.before - centre) for arm in arms)
    about |= {"treatment": mt, "control": mc, "variance_kept": sum(left) / own if own > 0 else 1.0}
    if theta and own > 0 and sum(left) <= 1e-9 * own:
        why = f"the covariate '{metric.covariate}' explains all of '{metric.name}': is it the metric itself?"
        return no_effect(metric.name, why, **about)
    if sum(left) <= 0:
        same = "0" if mt == mc == 0 else "the same"
        why = f"'{metric.name}' is {same} for every unit of each arm: there is nothing to compare"
        if not math.isclose(mt, mc, rel_tol=1e-9):
            why = (
                f"'{metric.name}' is {mt:.4g} for every unit of the treatment and {mc:.4g} for every other:"
                " does it name the arm?"
            )
        return no_effect(metric.name, why, **about)
    contrast = Contrast(mt, mc, _variances(t, c, theta, share), skew)
    weights = [part / arm.n for part, arm in zip(left, arms, strict=True)]
    freedom = [max(1.0, arm.effective - 1) for arm in arms]
    df = sum(weights) ** 2 / sum(part**2 / free for part, free in zip(weights, freedom, strict=True))
    p = 2 * upper_tail(abs(contrast.adjusted(contrast.t())), df)
    edge = critical(alpha / 2, df)
    about |= {"df": df, "contrast": contrast}
    if about["kind"] == "absolute":
        se, (above, below) = math.sqrt(contrast.variance()), contrast.edges(edge)
        return Effect(metric.name, mt - mc, mt - mc - above * se, mt - mc + below * se, p=p, se=se, **about)
    why = ""
    if mc <= 0:
        sign = "0" if mc == 0 else f"below 0 ({mc:.3g})"
        why = f"the control's value is {sign}, so a relative lift has no meaning"
    elif contrast.variance(mt / mc) <= 0:
        why = f"'{metric.name}' is 0 for every unit of the treatment: a lift of -100 % has no interval"
    elif not all(map(math.isfinite, contrast.limits(edge))):
        why = f"the control's value ({mc:.3g}) cannot be told from 0, so a relative lift has no bounds"
    if why:
        why += "; ask for absolute"
        none = [arm.value == 0 and arm.own == 0 for arm in arms]
        if any(none):  # not both: then there is nothing to compare
            full = arms[none.index(False)]
            events = full.n * full.value**2 / (full.own + full.value**2)
            about["empty"] = NoEvents(events, t.n / c.n, none[0])
        return no_effect(metric.name, why, **about)
    low, high = contrast.limits(edge)
    se = math.sqrt(contrast.variance(mt / mc)) / mc
    return Effect(metric.name, mt / mc - 1, low - 1, high - 1, p=p, se=se, **about)


def _variances(t: _Arm, c: _Arm, theta: float, share: float) -> tuple[float, float, float]:
    """The variance of treatment - ratio * control as (c0, c1, c2) of c0 + c1 ratio + c2 ratio^2.

    The pooled centre of the covariate is estimated too, and moves both adjusted values: with x the covariate
    and w the treatment's share, mt = yt - theta (1 - w) (xt - xc) and mc = yc + theta w (xt - xc), so the
    contrast is yt - ratio yc - theta (1 - w + w ratio) (xt - xc).
    """
    k0, k1 = theta * (1 - share), theta * share
    c0 = (t.own - 2 * k0 * t.cross + k0**2 * t.covariate) / t.n + k0**2 * c.covariate / c.n
    c1 = 2 * k1 * (k0 * t.covariate - t.cross) / t.n + 2 * k0 * (k1 * c.covariate - c.cross) / c.n
    c2 = k1**2 * t.covariate / t.n + (c.own - 2 * k1 * c.cross + k1**2 * c.covariate) / c.n
    return c0, c1, c2


def no_effect(metric: str, reason: str, kind: Kind = "relative", n: int = 0, **about: Any) -> Effect:
    """An effect without a number, and why."""
    nan = math.nan
    return Effect(metric, nan, nan, nan, n, kind, nan, reason=reason, **about)


def normal_effect(
    metric: Metric, value: float, se: float, alpha: float, df: float = math.inf, **about: Any
) -> Effect:
    """An absolute effect of a standard error with `df` degrees of freedom, with its interval and p."""
    half = critical(alpha / 2, df) * se
    p = 2 * upper_tail(abs(value) / se, df) if se > 0 else math.nan
    return Effect(
        metric.name,
        value,
        value - half,
        value + half,
        kind="absolute",
        p=p,
        se=se,
        df=df,
        better=metric.better,
        **about,
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
    effective, grown = _effective(read, metric.denominator)
    if not use or math.isnan(value):
        names = [name for name in (metric.numerator or metric.name, metric.denominator) if name]
        own = grown * _spread(read.covariance(names), slope)
        return _Arm(read.n, value, 0.0, own, 0.0, 0.0, effective, (slope, np.zeros(0)))
    before, slope_before = _linear(read, metric.covariate, metric.covariate_denominator)
    if math.isnan(before):
        raise InputError(
            f"metric '{metric.name}': '{metric.covariate_denominator}' is 0 for a whole arm; leave the"
            " covariate out"
        )
    covariance = grown * read.covariance(metric.columns)
    k = len(slope)
    own = _spread(covariance[:k, :k], slope)
    cross = float(slope @ covariance[:k, k:] @ slope_before)
    theirs = _spread(covariance[k:, k:], slope_before)
    return _Arm(read.n, value, before, own, cross, theirs, effective, (slope, slope_before))


def _spread(covariance: Floats, slope: Floats) -> float:
    """Variance of a weighted sum; 0 where only rounding is left of what cancels."""
    value, parts = slope @ covariance @ slope, np.abs(slope) @ np.abs(covariance) @ np.abs(slope)
    return float(value) if value > ROUNDING * parts else 0.0


def ratio_error(read: Moments, metric: Metric) -> tuple[float, float]:
    """The standard error of a ratio, and the units it counts as."""
    arm = _arm(read, metric, False)
    return math.sqrt(arm.own / arm.n), arm.effective


def _effective(read: Moments, denominator: str) -> tuple[float, float]:
    """The units that a ratio counts as, and what that does to its variance: few units of unequal size know
    less than their number says, and so do many of which few have anything in the denominator.
    """
    if not denominator or read.mean_of(denominator) == 0:
        return float(read.n), 1.0
    unequal = float(read.covariance([denominator])[0, 0]) / read.mean_of(denominator) ** 2
    units = read.n / (1 + unequal)
    if units >= FEW:
        return float(read.n), 1.0
    return units, max(units, 2.0) / (max(units, 2.0) - 1) * (read.n - 1) / read.n


def _linear(read: Moments, numerator: str, denominator: str) -> tuple[float, Floats]:
    """A mean or ratio, and its derivative by the means it is made of."""
    above = read.mean_of(numerator)
    if not denominator:
        return above, np.ones(1)
    below = read.mean_of(denominator)
    if below == 0:
        return math.nan, np.zeros(2)
    return above / below, np.array([1 / below, -above / below**2])
