"""How often one caller may call: a bucket each, filled steadily, emptied by calls."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

SECONDS = 10.0  # how much of the rate may come at once
MANY = 10_000  # names that are remembered: those that called last


class Rates:
    """`per_second` calls of each name, `SECONDS` worth of them at once; 0 for any number."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._rate, self._clock = per_second, clock
        self._buckets = OrderedDict[str, tuple[float, float]]()  # calls left, and when that was

    def take(self, name: str) -> int:
        """0 when the call may go on; else whole seconds until the next one may."""
        if not self._rate:
            return 0
        now, full = self._clock(), max(1.0, self._rate * SECONDS)
        left, since = self._buckets.pop(name, (full, now))
        left = min(full, left + (now - since) * self._rate)
        self._buckets[name] = left - (left >= 1), now
        if len(self._buckets) > MANY:
            self._buckets.popitem(last=False)
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / self._rate))
