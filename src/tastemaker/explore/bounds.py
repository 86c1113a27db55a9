"""Lower bounds of a mean, for any estimator's contributions; each refuses what it cannot take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.stats import betting
from tastemaker.stats.intervals import Interval, effective_size, even_edge

LEAST_UNITS = 20  # fewer say nothing that a bound could rest on
PLURALS = {"user": "persons", "request": "requests", "row": "rows"}


def codes(names: npt.NDArray[np.str_]) -> Ints:
    """(n,) a number for each distinct name, in order of appearance."""
    encoded = pa.array(names, pa.string()).dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Units:
    """kind: "user", "request" or "row"; code (n,): unit of each row, from 0; count of units."""

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
    def counted(self) -> str:
        """For instance "200 persons"."""
        return many(self.count, PLURALS[self.kind][:-1])

    @property
    def words(self) -> str:
        """For instance "200 persons (10 to 50 rows each)"."""
        if self.single:
            return self.counted
        least, most = int(self.size.min()), self.most
        span = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        return f"{self.counted} ({span} rows each)"

    def sums(self, value: Floats, most: int | None = None) -> Sums:
        """value (n,) summed by unit; a unit of more than `most` rows counts as that many."""
        if self.single and most in (None, 1):
            return Sums(value, np.ones(len(value)), 1)
        total: Floats = np.bincount(self.code, weights=value, minlength=self.count).astype(np.float64)
        size: Floats = self.size.astype(np.float64)
        if most is not None and most < self.most:
            total, size = total * np.minimum(1.0, most / size), np.minimum(size, float(most))
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
    def skew(self) -> float:
        """Of the mean: third cumulant over the 3/2 power of its variance."""
        left = self.total - self.mean * self.size
        return float((left**3).sum()) / float(left @ left) ** 1.5 if left.any() else 0.0

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


MEAN, INFLUENCE, MODEL = "mean", "influence", "model"


@dataclass(frozen=True)
class Contributions:
    """value (n,): the estimate is their mean; weight (n,): the importance weight of each round.

    low: the smallest value, known before the data (infinite where there is none). kind: "mean"
    (independent rounds), "influence" (a ratio's linearisation: only asymptotic bounds hold), "model" (rests
    on a fitted reward model, whose own error no bound around these values sees). assumptions: what must hold,
    in plain words. estimator: its name. units: what is independent (persons); None: every row by itself.
    """

    value: Floats
    weight: Floats
    low: float
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
        return effective_size(self.weight)


Method = Literal["t", "betting"]

_ASYMPTOTIC = "asymptotic: right only for many rows without rare, very large contributions"
_GIVEN = "how often they come is taken as given"
_UNSEEN = "the interval does not contain the reward model's own error"


def lower_bound(contributions: Contributions, delta: float = 0.05, method: Method = "betting") -> Interval:
    """The mean of a row, and a number below the true mean with probability at least 1 - delta; `high` is
    infinite (one-sided). Rows are summed by the contributions' units, whatever those of one have in common.

    t is asymptotic; betting (2010.09686) needs a finite `low` and holds at any stopping time, with bets of
    .01 to .9 of what the worst value could take for paired values, 1e-4 to .9 where low is 0.

    Where the rows say nothing the bound is the smallest possible value and `reason` says why; no error.

    Raises InputError on an unknown method, delta outside (0, 1), a least value or kind it cannot take.
    """
    if method not in ("t", "betting"):
        raise InputError(f"bound {method!r} does not exist; choose t or betting")
    if not 0 < delta < 0.5:
        raise InputError(f"delta is {delta}; give an error rate above 0 and below .5, for instance .05")
    if contributions.kind == INFLUENCE and method != "t":
        raise InputError(
            f"{method} cannot take {contributions.estimator or 'influence values'}: a ratio has no"
            " independent rounds of known range; use ips, or the bound t"
        )
    sums = contributions.sums()
    notes = list(contributions.assumptions)
    if method == "t":
        notes.append(_ASYMPTOTIC)
    if contributions.kind == MODEL:
        notes.append(_UNSEEN)
    if contributions.units is not None and not contributions.units.single:
        notes.append(
            f"what {PLURALS[contributions.units.kind]} do is independent, and summed for each; {_GIVEN}"
        )
    reason = _nothing(contributions, sums) if method == "t" else ""
    if reason:
        low = contributions.low
    elif method == "betting":
        low = _betting(contributions, sums, delta)
    else:
        # A long lower tail (failures among successes) hides in few rows, and t then promises too much.
        edge = even_edge(float(special.stdtrit(len(sums) - 1, 1 - delta)), min(sums.skew, 0.0))
        low = sums.mean - edge * sums.standard_error()
    return Interval(contributions.mean, low, math.inf, len(sums), method, tuple(notes), reason)


def _nothing(contributions: Contributions, sums: Sums) -> str:
    """Why these rows show no spread for Student's t, else empty."""
    units = contributions.units
    if units is not None and units.kind != "row" and too_few(units):
        return too_few(units)
    value = contributions.value
    if len(sums) < 2:
        return f"{len(sums)} row: t needs at least two to see any spread"
    if float(np.ptp(value)) == 0:
        return (
            f"all {len(value)} contributions are {value[0] + 0.0:g}: no row carries information, and t would"
            " see no spread"
        )
    return ""


def _betting(contributions: Contributions, sums: Sums, delta: float) -> float:
    if not math.isfinite(contributions.low):
        raise InputError(
            "betting needs a smallest contribution known before the data, and"
            f" {contributions.estimator or 'this estimate'} has none; use the bound t, or ips"
        )
    bets = betting.FRACTIONS if contributions.low < 0 else betting.SPARSE_FRACTIONS
    return sums.lower(delta, contributions.low, bets)
