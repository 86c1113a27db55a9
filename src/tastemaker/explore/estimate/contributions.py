"""What every estimator returns: one number a round, so that every bound works with every estimator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]

MEAN, INFLUENCE, MODEL = "mean", "influence", "model"


@dataclass(frozen=True)
class Contributions:
    """value (n,): the estimate is their mean; weight (n,): the importance weight of each round.

    low, high: range of a value, known before the data (infinite where there is none). kind: "mean"
    (independent rounds), "influence" (a ratio's linearisation: only asymptotic bounds hold), "model" (rests
    on a fitted reward model, whose own error no bound around these values sees). assumptions: what must hold,
    in plain words. estimator: its name.
    """

    value: Floats
    weight: Floats
    low: float
    high: float
    kind: str = MEAN
    assumptions: tuple[str, ...] = ()
    estimator: str = ""

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

    @property
    def standard_error(self) -> float:
        """Of the mean: s / sqrt(n)."""
        n = len(self.value)
        return float(self.value.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")

    @property
    def effective_size(self) -> float:
        """(sum w)^2 / sum w^2, 0 when every weight is 0."""
        square = float(np.square(self.weight).sum())
        return float(self.weight.sum()) ** 2 / square if square > 0 else 0.0
