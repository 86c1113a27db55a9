"""Who is counted once: persons (or requests, or rows), and sums over all that a person did.

The rows of one person depend on each other, so every bet, bound and standard error of this package takes sums
by person; what the rows of one person say together is one observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.stats import betting

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_UNITS = 20  # fewer say nothing that a bound could rest on
PLURALS = {"user": "persons", "request": "requests", "row": "rows"}


def codes(names: npt.NDArray[np.str_]) -> Ints:
    """(n,) a number for each distinct name, in order of appearance."""
    encoded = pa.array(names, pa.string()).dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Units:
    """kind: "user", "request" or "row"; code (n,): number of the unit of each row, from 0; count: units there
    are.
    """

    kind: str
    code: Ints
    count: int

    @classmethod
    def rows(cls, n: int) -> Units:
        """Every row by itself."""
        return cls("row", np.arange(n), n)

    @classmethod
    def of(cls, kind: str, names: npt.NDArray[np.str_]) -> Units:
        """Rows of the same name are one unit."""
        code = codes(names)
        return cls(kind, code, int(code.max(initial=-1)) + 1)

    @cached_property
    def size(self) -> Ints:
        """(units,) rows of each."""
        return np.bincount(self.code, minlength=self.count)

    @property
    def single(self) -> bool:
        """Whether no unit has a second row."""
        return self.count == len(self.code)

    @property
    def most(self) -> int:
        """Rows of the unit that has most."""
        return int(self.size.max(initial=1))

    @property
    def words(self) -> str:
        """For instance "200 persons (10 to 50 rows each)"."""
        if self.single:
            return f"{self.count:,} {PLURALS[self.kind]}"
        least, most = int(self.size.min()), self.most
        span = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        return f"{self.count:,} {PLURALS[self.kind]} ({span} rows each)"

    def sums(self, value: Floats, most: int | None = None) -> Sums:
        """value (n,) summed by unit; a unit of more than `most` rows counts as that many."""
        if self.single and most in (None, 1):
            return Sums(value, np.ones(len(value)), 1)
        total: Floats = np.bincount(self.code, weights=value, minlength=self.count).astype(np.float64)
        size: Floats = self.size.astype(np.float64)
        if most is not None and most < self.most:
            shrunk = np.minimum(1.0, most / size)
            total, size = total * shrunk, size * shrunk
        return Sums(total, size, self.most if most is None else most)


@dataclass(frozen=True, eq=False)
class Sums:
    """total, size (units,): the values of each unit summed, and how many rows that are; most: what a size
    cannot exceed, fixed before the values were seen.
    """

    total: Floats
    size: Floats
    most: int

    def __len__(self) -> int:
        return len(self.total)

    @property
    def mean(self) -> float:
        """Of a row."""
        return float(self.total.sum() / self.size.sum())

    def standard_error(self) -> float:
        """Of the mean, whatever the rows of one unit have in common (linearised ratio, k / (k - 1))."""
        count = len(self)
        if count < 2:
            return math.inf
        left = self.total - self.mean * self.size
        return math.sqrt(count / (count - 1) * float(left @ left)) / float(self.size.sum())

    @property
    def scaled(self) -> tuple[Floats, Floats | None]:
        """Totals and sizes as `stats.betting` takes them: shares of the largest size there can be."""
        if self.most == 1 and len(self.size) and self.size.min() == 1.0:
            return self.total, None
        return self.total / self.most, self.size / self.most

    def lower(self, delta: float, low: float, fractions: tuple[float, ...] = betting.FRACTIONS) -> float:
        """Betting lower bound of the mean of a row; low: the smallest value of one row."""
        values, sizes = self.scaled
        return betting.lower(values, delta, low, fractions=fractions, anchor=0.0, sizes=sizes)

    def log_wealth(self, m: float, low: float) -> float:
        """log of the wealth against "the mean of a row is at most m"."""
        values, sizes = self.scaled
        return betting.log_wealth(values, m, low, anchor=0.0, sizes=sizes)


def too_few(units: Units, where: str = "the log") -> str:
    """Why these units are no basis for a bound, else empty."""
    if units.count >= LEAST_UNITS:
        return ""
    plural = PLURALS[units.kind]
    return f"too few {plural}: {where} holds {units.count}, and a bound needs {LEAST_UNITS}; collect more"


def check_kind(unit: str) -> None:
    """Raises InputError unless `unit` is "" (the default), user, request or row."""
    if unit and unit not in PLURALS:
        raise InputError(f"unit '{unit}' is unknown; choose one of {', '.join(PLURALS)}")
