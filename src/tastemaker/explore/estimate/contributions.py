"""What every estimator returns: one number a round, and the units whose rounds depend on each other, so that
every bound works with every estimator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.units import Sums, Units

Floats = npt.NDArray[np.float64]

MEAN, INFLUENCE, MODEL = "mean", "influence", "model"


@dataclass(frozen=True)
class Contributions:
    """value (n,): the estimate is their mean; weight (n,): the importance weight of each round.

    low, high: range of a value, known before the data (infinite where there is none). kind: "mean"
    (independent rounds), "influence" (a ratio's linearisation: only asymptotic bounds hold), "model" (rests
    on a fitted reward model, whose own error no bound around these values sees). assumptions: what must hold,
    in plain words. estimator: its name. units: what is independent (persons); None: every row by itself.
    """

    value: Floats
    weight: Floats
    low: float
    high: float
    kind: str = MEAN
    assumptions: tuple[str, ...] = ()
    estimator: str = ""
    units: Units | None = None

    def __post_init__(self) -> None:
        if self.value.ndim != 1 or self.value.shape != self.weight.shape or not len(self.value):
            raise InputError(
                f"contributions need one value and one weight a round; got {self.value.shape},"
                f" {self.weight.shape}"
            )
        if not np.all(np.isfinite(self.value)):
            row = int(np.argmin(np.isfinite(self.value)))
            raise InputError(f"{self.estimator}: the contribution of row {row + 1} is not a finite number")

    def __len__(self) -> int:
        return len(self.value)

    @property
    def mean(self) -> float:
        """The estimate."""
        return float(self.value.mean())

    def by(self, units: Units | None) -> Contributions:
        """The same with other units."""
        return replace(self, units=units)

    def sums(self) -> Sums:
        """The values summed by unit."""
        units = self.units if self.units is not None else Units.rows(len(self.value))
        return units.sums(self.value)

    @property
    def standard_error(self) -> float:
        """Of the mean: s / sqrt(n) over independent rows, clustered by unit otherwise."""
        return self.sums().standard_error()

    @property
    def effective_size(self) -> float:
        """(sum w)^2 / sum w^2, 0 when every weight is 0."""
        square = float(np.square(self.weight).sum())
        return float(self.weight.sum()) ** 2 / square if square > 0 else 0.0
