"""One number with its interval, and what must hold for it to be believed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """value with the interval [low, high] (one-sided ones have an infinite end); n: units it rests on; kind:
    which method;
    assumptions: what must hold, in plain words; reason: why there is no number (value NaN), else empty.
    """

    value: float
    low: float
    high: float
    n: int
    kind: str
    assumptions: tuple[str, ...] = ()
    reason: str = ""
