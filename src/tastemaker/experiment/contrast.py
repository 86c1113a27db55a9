"""A difference and a lift of two estimates, with the t and the interval that agree with each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from tastemaker.stats.intervals import even_edge


def critical(alpha: float, df: float) -> float:
    """The upper `alpha` point of Student's t; of the normal for infinite df."""
    return float(-special.stdtrit(df, alpha) if math.isfinite(df) else -special.ndtri(alpha))


def upper_tail(t: float, df: float) -> float:
    """The chance of a Student's t above `t`; of a normal for infinite df."""
    return float(special.stdtr(df, -t) if math.isfinite(df) else special.ndtr(-t))


@dataclass(frozen=True)
class Contrast:
    """treatment - ratio * control for any ratio: the two values, and its variance c0 + c1 ratio + c2 ratio^2.

    The difference is the contrast at 1; a lift is where the contrast is 0, and its interval all ratios that a
    test does not reject (Fieller, JRSS B 1954), so the interval of a lift and the p of the difference agree.
    skew: third cumulant of the difference over the 3/2 power of its variance, which makes the tails of t
    uneven where arms are; `adjusted` takes it out (Hall, JRSS B 1992).
    """

    treatment: float
    control: float
    parts: tuple[float, float, float]
    skew: float = 0.0

    def variance(self, ratio: float = 1.0) -> float:
        """Of the contrast at `ratio`."""
        c0, c1, c2 = self.parts
        return max(0.0, c0 + c1 * ratio + c2 * ratio**2)

    def t(self, ratio: float = 1.0) -> float:
        """The contrast at `ratio` over its standard error; infinite without variance."""
        gap, variance = self.treatment - ratio * self.control, self.variance(ratio)
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    def adjusted(self, t: float) -> float:
        """t with tails of equal weight; grows with t."""
        k = self.skew
        return t + k * t**2 / 3 + k**2 * t**3 / 27 + k / 6 if k and math.isfinite(t) else t

    def edges(self, edge: float) -> tuple[float, float]:
        """The t above and below 0 whose adjusted t is `edge` and -`edge`, both as positive numbers."""
        high, low = (even_edge(z, self.skew) for z in (edge, -edge))
        return max(high, 0.0), max(-low, 0.0)

    def limits(self, edge: float) -> tuple[float, float]:
        """The ratios whose adjusted t lies within `edge` of 0; infinite ends without a bound."""
        above, below = self.edges(edge)
        return self.ratios(above)[0], self.ratios(below)[1]

    def ratios(self, edge: float) -> tuple[float, float]:
        """The ratios whose contrast is within `edge` standard errors of 0; infinite without a bound."""
        c0, c1, c2 = (edge**2 * part for part in self.parts)
        a, b, c = self.control**2 - c2, self.treatment * self.control + c1 / 2, self.treatment**2 - c0
        root = b**2 - a * c
        if a <= 0 or root < 0:
            return -math.inf, math.inf
        return (b - math.sqrt(root)) / a, (b + math.sqrt(root)) / a


@dataclass(frozen=True)
class NoEvents:
    """An arm without a single event. events: what the other arm's are worth, (sum)^2 / sum of squares; odds:
    units of the treatment over those of the control; treatment: whether it is the treatment that has none.
    """

    events: float
    odds: float
    treatment: bool

    def tail(self, lift: float) -> float:
        """The chance of no event in that arm at this lift: binomial, given the events there are."""
        share = (1 + lift) * self.odds / (1 + (1 + lift) * self.odds)
        return float((1 - share if self.treatment else share) ** self.events)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The lifts from below and above that this excludes at `alpha`, each side alone."""
        share = alpha ** (1 / self.events)
        if self.treatment:
            return -1.0, (1 / share - 1) / self.odds - 1
        return share / (1 - share) / self.odds - 1, math.inf
