"""Sums that add: one pass over a table of any size gives, for each arm, all that a read-out needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

import tastemaker.schema.values as values
from tastemaker.arrays import Bools, Floats
from tastemaker.errors import InputError
from tastemaker.schema.columns import complete, present, somebody, texts

_NEVER = 0.1  # share of the values above 1 that a count would have
_CARRIED = 0.1  # share of a column's total that one unit may have before it is told
_APART, _APART_CODE = 20, 3  # times the next largest value: a value that several units share; 9, 99, 999 ...


@dataclass(frozen=True)
class Metric:
    """How one metric is computed from columns with one row a unit.

    A mean of `numerator` (default: the column called `name`), or the ratio of totals numerator / denominator.
    `covariate` (and `covariate_denominator` for a ratio) hold the same quantity from before the test, for
    CUPED. `better`: the good direction. `quantile`: read this quantile (.5: the median) instead of the mean.
    `winsorise`: values above this quantile of all arms together count as that quantile (1: as they are).
    """

    name: str
    numerator: str = ""
    denominator: str = ""
    covariate: str = ""
    covariate_denominator: str = ""
    better: Literal["up", "down"] = "up"
    quantile: float = 0.0
    winsorise: float = 1.0

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("a metric needs a name")
        if self.better not in ("up", "down"):
            raise InputError(f"metric '{self.name}': better is '{self.better}'; say up or down")
        if self.covariate_denominator and not self.covariate:
            raise InputError(f"metric '{self.name}': covariate_denominator needs a covariate to divide")
        if self.covariate and self.covariate == (self.numerator or self.name):
            raise InputError(
                f"metric '{self.name}': its covariate '{self.covariate}' is the metric itself; give the same"
                " quantity from before the test"
            )
        if not 0 <= self.quantile < 1 or not 0 < self.winsorise <= 1:
            raise InputError(
                f"metric '{self.name}': quantile is {self.quantile:g} and winsorise {self.winsorise:g}; both"
                " are above 0 and below 1"
            )
        if self.quantile and (self.denominator or self.covariate or self.winsorise < 1):
            raise InputError(
                f"metric '{self.name}': a quantile stands alone; leave out denominator, covariate and"
                " winsorise"
            )
        if self.winsorise < 1 and (self.denominator or self.covariate_denominator):
            raise InputError(
                f"metric '{self.name}': a ratio of totals is not winsorised; leave out winsorise or"
                " denominator"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        named = (self.numerator or self.name, self.denominator, self.covariate, self.covariate_denominator)
        return tuple(name for name in named if name)


@dataclass(frozen=True)
class Moments:
    """n units, the means (k,) of `columns` and their scatter (k, k): sums of products of deviations; low,
    high: the smallest and largest values (k,), third (k, k, k): sums of products of three deviations, yes,
    other (k,): how many values are 1, and neither 0 nor 1; below, tops (k,): the largest value but one, and
    how many are the largest. `a + b` is exact.

    Source of the sum: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm, 1979; Pebay,
    Sandia report 2008-6212.
    """

    columns: tuple[str, ...]
    n: int
    mean: Floats
    scatter: Floats
    low: Floats
    high: Floats
    third: Floats
    yes: Floats
    other: Floats
    below: Floats
    tops: Floats

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of units together."""
        if self.columns != other.columns:
            raise InputError(f"moments of different columns do not add: {self.columns} and {other.columns}")
        n = self.n + other.n
        if not n:
            return self
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.n / n)
        scatter = self.scatter + other.scatter + np.outer(gap, gap) * (self.n * other.n / n)
        mixed = np.multiply.outer((self.n * other.scatter - other.n * self.scatter) / n, gap)
        third = self.third + other.third + mixed + mixed.transpose(0, 2, 1) + mixed.transpose(2, 0, 1)
        cube = np.multiply.outer(np.outer(gap, gap), gap)
        high, lower = np.maximum(self.high, other.high), np.minimum(self.high, other.high)
        below = np.maximum(self.below, other.below)
        return Moments(
            self.columns,
            n,
            mean,
            scatter,
            np.minimum(self.low, other.low),
            high,
            third + cube * (self.n * other.n * (self.n - other.n) / n**2),
            self.yes + other.yes,
            self.other + other.other,
            np.where(lower < high, np.maximum(below, lower), below),
            self.tops * (self.high == high) + other.tops * (other.high == high),
        )

    @classmethod
    def of(cls, columns: tuple[str, ...], values: Floats) -> Moments:
        """From values (n, k)."""
        low, high = values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf)
        # The rounding of a mean would give a constant column a variance, and its effect a p of 0.
        mean = np.where(low == high, low, values.sum(axis=0) / max(len(values), 1))
        centred = values - mean
        third = np.array([(centred * part[:, None]).T @ centred for part in centred.T])
        third = third.reshape((len(columns),) * 3)
        yes = (values == 1).sum(axis=0).astype(np.float64)
        rest = len(values) - yes - (values == 0).sum(axis=0)
        below = values.max(axis=0, initial=-np.inf, where=values < high)
        tops = (values == high).sum(axis=0).astype(np.float64)
        scatter = centred.T @ centred
        return cls(columns, len(values), mean, scatter, low, high, third, yes, rest, below, tops)

    def oddities(self) -> list[str]:
        """What looks wrong in a column of counts: values below 0, one unit that carries most of it, one value
        of several units far above all others, and only two values that are not 0 and 1.
        """
        out: list[str] = []
        for place, name in enumerate(self.columns):
            low, high, mean = float(self.low[place]), float(self.high[place]), float(self.mean[place])
            if low < 0:
                out.append(f"'{name}' goes down to {low:g}: a count is never below 0")
            elif mean > 0 and high / (self.n * mean) > _CARRIED and self.n > 1 / _CARRIED:
                out.append(
                    f"one unit has {high:,g} of '{name}', {high / (self.n * mean):.0%} of all: winsorise it"
                )
            elif self._apart(place):
                out.append(
                    f"'{name}' is {high:g} in {self.tops[place]:,.0f} of {self.n:,} units and at most"
                    f" {self.below[place]:g} in all others: a code for no value, or another unit?"
                )
            elif self.n > 1 / _CARRIED and low == 0 and high not in (0, 1) and self.below[place] == 0:
                out.append(f"'{name}' is only ever 0 or {high:g}: a yes or no is 0 or 1")
            else:
                yes, rest = float(self.yes[place]), float(self.other[place])
                # A count that is 1 so often is 2 and more in about yes^2 / 2n units.
                if 0 < rest < _NEVER * yes**2 / (2 * self.n):
                    out.append(
                        f"'{name}' is 0 or 1 but for {rest:.0f} of {self.n:,} units, up to {high:g}: a yes or"
                        " no is 0 or 1"
                    )
        return out

    def _apart(self, place: int) -> bool:
        """Whether several units share a value far above all others, as a code for no value does."""
        high, below = float(self.high[place]), float(self.below[place])
        times = _APART_CODE if high > 1 and set(f"{high:g}") == {"9"} else _APART
        return bool(self.tops[place] > 1 and 0 < below * times <= high)

    def amounts(self, name: str) -> tuple[float, float, int]:
        """Mean of a column where it is not 0, that mean's standard error, and how many values that are."""
        place = self._place(name)
        many = int(self.yes[place] + self.other[place])
        mean = self.n * float(self.mean[place]) / max(many, 1)
        square = float(self.scatter[place, place]) + self.n * float(self.mean[place]) ** 2
        return mean, math.sqrt(max(square / max(many, 1) - mean**2, 0.0) / max(many, 1)), many

    def covariance(self, names: Sequence[str]) -> Floats:
        """Sample covariance (m, m) of `names`; NaN below two units."""
        places = [self._place(name) for name in names]
        part = self.scatter[np.ix_(places, places)]
        return part / (self.n - 1) if self.n > 1 else np.full_like(part, np.nan)

    def cubes(self, weights: Floats, names: Sequence[str]) -> float:
        """Sum of the third powers of the deviations of a weighted sum of `names`."""
        places = [self._place(name) for name in names]
        return float(np.einsum("ijk,i,j,k", self.third[np.ix_(places, places, places)], *[weights] * 3))

    def mean_of(self, name: str) -> float:
        """The mean of one column."""
        return float(self.mean[self._place(name)])

    def high_of(self, name: str) -> float:
        """The largest value of one column."""
        return float(self.high[self._place(name)])

    def _place(self, name: str) -> int:
        if name not in self.columns:
            raise InputError(
                f"the moments hold no column '{name}'; they were taken of {', '.join(self.columns)}"
            )
        return self.columns.index(name)


def batches_of(table: Any) -> Iterator[pa.RecordBatch]:
    """Record batches of an Arrow table, a reader, an exported Arrow stream, or an iterable of batches."""
    if isinstance(table, pa.Table):
        yield from table.to_batches()
    elif hasattr(table, "__arrow_c_stream__"):
        yield from pa.RecordBatchReader.from_stream(table)
    else:
        yield from table


def moments(
    table: Any,
    metrics: Metric | Sequence[Metric],
    by: str = "arm",
    part: str | None = None,
    report: Callable[[int], object] | None = None,
) -> dict[Any, Moments]:
    """Moments of every column the metrics read, for each arm, in one pass and memory of one batch.

    table: any Arrow stream with one row a unit. by: the column of arms. part: a second column (a cohort, a
    day): the keys are then (part, arm) instead of arm. report: called with the number of rows read so far.
    Rows of a day or cohort may repeat a unit across parts, never within one. Raises InputError naming row and
    column on a missing column, an empty or non-finite value (a unit without events has 0, not nothing), or a
    table without rows.
    """
    wanted = [metrics] if isinstance(metrics, Metric) else list(metrics)
    columns = tuple(dict.fromkeys(name for metric in wanted for name in metric.columns))
    keys = [by] if part is None else [part, by]
    results: dict[Any, Moments] = {}
    row = 0
    for batch in batches_of(table):
        values = _values(batch, columns, row)
        for key, members in _groups(batch, keys, row):
            added = Moments.of(columns, values[members])
            results[key] = results[key] + added if key in results else added
        row += batch.num_rows
        if report is not None:
            report(row)
    if not results:
        raise InputError("the table has no rows; there is nothing to read out")
    return dict(sorted(results.items()))


def numbers_of(batch: pa.RecordBatch, name: str, start: int = 0) -> Floats:
    """A column (n,) of finite numbers. InputError names the column and its row, counted from `start`."""
    column = pa.chunked_array([present(batch, name)])
    numbers, wrong = values.as_number(column, name)
    bad = (wrong.fill_null(False) | numbers.is_null()).arg_true()
    if len(bad):
        row = int(bad[0])
        cell = "empty" if column[row].as_py() is None else f"'{column[row]}', which is no finite number"
        cell += values.plainly(column[row]) if column[row].as_py() is not None else ""
        raise InputError(
            f"row {start + row + 1}, column '{name}' is {cell}; a unit without events has the value 0, a yes"
            " or no is 1 or 0"
        )
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _values(batch: pa.RecordBatch, columns: Iterable[str], start: int) -> Floats:
    """Values (n, k), every one finite."""
    return np.column_stack(
        [np.empty((batch.num_rows, 0)), *(numbers_of(batch, name, start) for name in columns)]
    )


def _groups(batch: pa.RecordBatch, keys: Sequence[str], start: int) -> Iterator[tuple[Any, Bools]]:
    """Each key present in the batch with the mask of its rows."""
    for name in keys:
        complete(present(batch, name), name, start=start)
    codes = np.zeros(batch.num_rows, dtype=np.int64)
    labels: list[tuple[Any, ...]] = [()]
    for name in keys:
        encoded = batch.column(name).dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = codes * len(names) + encoded.indices.to_numpy(zero_copy_only=False)
        labels = [(*label, item) for label in labels for item in names]
    for code in np.unique(codes):
        label = labels[code]
        yield (label[0] if len(label) == 1 else label), codes == code


def cluster_totals(
    table: Any, cluster: str, metrics: Metric | Sequence[Metric], by: str = "arm", part: str | None = None
) -> pa.Table:
    """One row a cluster: totals of every column the metrics read, and `units`, its number of rows.

    When whole clusters (households, cities, sessions of a user) were assigned, a mean is a ratio of cluster
    totals: read it with `clustered(metric)`. part: a second column (a cohort, a day), with a row for each of
    its values that a cluster has. Raises InputError naming a cluster that is in two arms.
    """
    wanted = [metrics] if isinstance(metrics, Metric) else list(metrics)
    columns = list(dict.fromkeys(name for metric in wanted for name in metric.columns))
    keys = [cluster, by] if part is None else [cluster, by, part]
    parts = []
    row = 0
    for batch in batches_of(table):
        for _ in _groups(batch, keys, row):  # names an empty cluster, arm or part
            break
        named = texts(pa.table({cluster: batch.column(cluster)}), cluster)
        somebody(named, cluster, start=row)
        frame = pl.DataFrame({name: pl.Series(batch.column(name)) for name in keys})
        frame = frame.with_columns(pl.Series(cluster, named))
        values = _values(batch, columns, row)
        frame = frame.with_columns([pl.Series(name, values[:, place]) for place, name in enumerate(columns)])
        row += batch.num_rows
        sums = [pl.col(name).sum() for name in columns]
        parts.append(frame.group_by(keys).agg(*sums, pl.len().cast(pl.Float64).alias("units")))
    if not parts:
        raise InputError("the table has no rows; there is nothing to read out")
    totals = (
        pl.concat(parts).group_by(keys).agg(pl.col(name).sum() for name in [*columns, "units"]).sort(keys)
    )
    both = totals.select(cluster, by).unique().filter(pl.col(cluster).is_duplicated()).sort(cluster, by)
    if len(both):
        name, arms = both[cluster][0], " and ".join(repr(item) for item in both[by][:2])
        raise InputError(f"cluster '{name}' is in two arms, {arms}; clusters are assigned whole")
    return totals.to_arrow()


def clustered(metric: Metric) -> Metric:
    """The same metric read from `cluster_totals`: a mean becomes total / units, a ratio stays one."""
    before = (metric.covariate_denominator or "units") if metric.covariate else ""
    above, below = metric.numerator or metric.name, metric.denominator or "units"
    return replace(metric, numerator=above, denominator=below, covariate_denominator=before)
