"""The rules that let the retention proxy move items: five settings classes, one `adjust` for all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tastemaker.arrays import Floats
from tastemaker.errors import InputError

Part = Literal["both", "boost", "demote"]


def _least(name: str, value: float, low: float, high: float = math.inf, above: bool = False) -> None:
    if not (math.isfinite(value) and low <= value <= high and not (above and value == low)):
        message = f"above {low:g}" if above else f"at least {low:g}"
        raise InputError(
            f"{name} is {value}; give a number {message}"
            + (f" and at most {high:g}" if math.isfinite(high) else "")
        )


class _OfProbability:
    """What `Step` and `Hinge` share: they look at p_pos alone, and act beyond two thresholds."""

    tau_boost: float
    tau_demote: float

    def _check(self, *strengths: str) -> None:
        for name in strengths:
            _least(name, getattr(self, name), 0)
        _least("tau_boost", self.tau_boost, 0, 1)
        _least("tau_demote", self.tau_demote, 0, 1)
        if self.tau_demote > self.tau_boost:
            raise InputError(
                f"tau_demote {self.tau_demote} lies above tau_boost {self.tau_boost}; an item would be raised"
                " and lowered at once"
            )

    def retention(self, p_pos: Floats, p_neg: Floats) -> Floats:
        """What the rule looks at: p_pos."""
        return p_pos


class _OfValue:
    """What `Value` and `Constrained` share: they look at v, or at one of its halves."""

    penalty: float
    part: Part

    def retention(self, p_pos: Floats, p_neg: Floats) -> Floats:
        """v = p_pos - penalty p_neg; of the part 'boost' only what raises, of 'demote' only what lowers."""
        return np.asarray(
            (self.part != "demote") * p_pos - (self.part != "boost") * self.penalty * p_neg, dtype=np.float64
        )


@dataclass(frozen=True)
class Step(_OfProbability):
    """+ alpha where p > tau_boost, - beta (tau_demote - p) where p < tau_demote; jumps at tau_boost."""

    alpha: float = 1.0
    beta: float = 2.0
    tau_boost: float = 0.76
    tau_demote: float = 0.38

    def __post_init__(self) -> None:
        self._check("alpha", "beta")

    def term(self, p_pos: Floats, p_neg: Floats) -> Floats:
        """What is added to each score (n,)."""
        demoted = self.beta * (self.tau_demote - p_pos)
        raised = np.where(p_pos > self.tau_boost, self.alpha, 0.0)
        return np.asarray(raised - np.where(p_pos < self.tau_demote, demoted, 0.0), dtype=np.float64)


@dataclass(frozen=True)
class Hinge(_OfProbability):
    """+ a max(0, p - tau_boost) - b max(0, tau_demote - p): continuous, so no rank jumps by little."""

    a: float = 4.0
    b: float = 2.0
    tau_boost: float = 0.76
    tau_demote: float = 0.38

    def __post_init__(self) -> None:
        self._check("a", "b")

    def term(self, p_pos: Floats, p_neg: Floats) -> Floats:
        """What is added to each score (n,)."""
        return self.a * np.maximum(0.0, p_pos - self.tau_boost) - self.b * np.maximum(
            0.0, self.tau_demote - p_pos
        )


@dataclass(frozen=True)
class Value(_OfValue):
    """+ weight (p_pos - penalty p_neg)."""

    weight: float = 1.0
    penalty: float = 1.0
    part: Part = "both"

    def __post_init__(self) -> None:
        _least("weight", self.weight, 0)
        _least("penalty", self.penalty, 0)

    def term(self, p_pos: Floats, p_neg: Floats) -> Floats:
        """What is added to each score (n,)."""
        return self.weight * self.retention(p_pos, p_neg)


@dataclass(frozen=True)
class Constrained(_OfValue):
    """Sort by z + mu v with the largest mu <= mu_max that costs a request at most the share `eps` of its
    engagement range.

    sum_j e_j z_(j) >= best - eps (best - worst), e_j = 1/log2(1 + j), v = p_pos - penalty p_neg. Each mu
    gives the exact optimum of its weighted sum, and the loss grows with mu, so bisection finds it.
    """

    eps: float = 0.05
    mu_max: float = 10.0
    penalty: float = 1.0
    part: Part = "both"

    def __post_init__(self) -> None:
        _least("eps", self.eps, 0, 1)
        _least("mu_max", self.mu_max, 0, above=True)
        _least("penalty", self.penalty, 0)


@dataclass(frozen=True)
class Capped:
    """`rule`, but an item of base rank r stays within r - most .. r + most."""

    rule: Step | Hinge | Value | Constrained = field(default_factory=Step)
    most: int = 5

    def __post_init__(self) -> None:
        if self.most < 0:
            raise InputError(f"most is {self.most}; give the positions an item may move, 0 or more")


Rule = Step | Hinge | Value | Constrained | Capped


def ablation(rule: Rule, part: Literal["boost", "demote"]) -> Rule:
    """The same rule that only raises, or only lowers."""
    if isinstance(rule, Step):
        return replace(rule, beta=0.0) if part == "boost" else replace(rule, alpha=0.0)
    if isinstance(rule, Hinge):
        return replace(rule, b=0.0) if part == "boost" else replace(rule, a=0.0)
    if isinstance(rule, Value | Constrained):
        return replace(rule, part=part)
    return replace(rule, rule=ablation(rule.rule, part))  # type: ignore[arg-type]  # what it wraps keeps its class
