"""Is the test itself sound? Sample ratio, units counted once, and A/A trials on the team's own data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.experiment.assign import check_shares
from tastemaker.experiment.effects import effect
from tastemaker.experiment.moments import Metric, Moments, batches_of, column_of
from tastemaker.stats.random import generator

ALARM = 0.001


@dataclass(frozen=True)
class SampleRatio:
    """Units counted and expected for each arm, chi-squared and its p; `alarm` when p < .001; `reason` says it
    in words.
    """

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    chi2: float
    p: float
    alarm: bool
    reason: str


def srm(counts: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Sample-ratio mismatch: do the arms hold the shares they were promised?

    counts: units of each arm; an arm of `shares` that is absent counts 0. A tiny p means that units were lost
    or added for a reason that differs between arms, so their difference says nothing about the treatment.
    Raises InputError on bad shares, an arm that is not in `shares`, a negative count, or no unit at all.
    """
    wanted = check_shares(shares)
    unknown = [arm for arm in counts if arm not in shares]
    if unknown:
        raise InputError(f"arm '{unknown[0]}' has units but no share; the arms are {', '.join(shares)}")
    values = np.array([counts.get(arm, 0) for arm in shares], dtype=np.float64)
    if values.sum() < 1 or values.min() < 0:
        raise InputError("a sample-ratio check needs at least one unit and no negative count")
    expected = wanted * values.sum()
    chi2 = float(((values - expected) ** 2 / expected).sum())
    p = float(stats.chi2.sf(chi2, len(values) - 1))
    message = ", ".join(
        f"{arm} {int(n):,} of {due:,.0f}" for arm, n, due in zip(shares, values, expected, strict=True)
    )
    reason = (
        f"{'the arms do not hold their shares' if p < ALARM else 'the arms hold their shares'} ({message}; p"
        f" = {p:.2g})"
    )
    by_arm = {arm: int(n) for arm, n in zip(shares, values, strict=True)}
    return SampleRatio(
        by_arm, dict(zip(shares, map(float, expected), strict=True)), chi2, p, p < ALARM, reason
    )


def check_units(open_table: Callable[[], Any], unit: str, by: str = "arm") -> dict[str, int]:
    """Units of each arm, when every unit has exactly one row; 8 bytes of memory a unit.

    open_table: a function that gives the Arrow stream anew, because names are looked up in a second pass only
    when two rows may be of one unit. Raises InputError naming the unit, its rows and arms when it is in two
    arms or comes twice.
    """
    hashes, counts, row = [], Counter[str](), 0
    for batch in batches_of(open_table()):
        for name in (unit, by):
            if column_of(batch, name).null_count:
                at = pc.index(batch.column(name).is_null(), True).as_py()
                raise InputError(
                    f"row {row + at + 1}, column '{name}' is empty; every row needs a value there"
                )
        hashes.append(pl.Series(batch.column(unit)).hash(seed=7).to_numpy())
        for count in batch.column(by).value_counts().to_pylist():
            counts[str(count["values"])] += count["counts"]
        row += batch.num_rows
    if not row:
        raise InputError("the table has no rows; there is nothing to read out")
    every = np.concatenate(hashes)
    del hashes
    every.sort()
    suspects = np.unique(every[1:][every[1:] == every[:-1]])
    if len(suspects):
        _name_duplicate(open_table(), unit, by, suspects)
    return dict(counts)


def _name_duplicate(table: Any, unit: str, by: str, suspects: npt.NDArray[np.uint64]) -> None:
    """Raise for the first unit that truly comes twice; equal hashes of different units are no offence."""
    seen: dict[Any, tuple[int, Any]] = {}
    row = 0
    for batch in batches_of(table):
        names, arms = pl.Series(column_of(batch, unit)), column_of(batch, by)
        for place in np.flatnonzero(np.isin(names.hash(seed=7).to_numpy(), suspects)):
            name, arm = names[int(place)], arms[int(place)].as_py()
            here = row + int(place) + 1
            if name in seen and seen[name][1] != arm:
                first, other = seen[name]
                raise InputError(
                    f"unit '{name}' is in two arms: '{other}' in row {first} and '{arm}' in row {here}; a"
                    " unit belongs to one arm, so find out how it was exposed to both"
                )
            if name in seen:
                raise InputError(
                    f"unit '{name}' comes twice, in rows {seen[name][0]} and {here}; add up its rows first"
                )
            seen[name] = (here, arm)
        row += batch.num_rows


@dataclass(frozen=True)
class AATest:
    """Many A/A trials on one data set: how often a difference was found where there is none.

    rate: share of `runs` with p < alpha; limit: what it may be by chance (alpha + 3 Monte-Carlo standard
    errors); uniform_p: Kolmogorov-Smirnov p that the p-values are uniform; passed: rate within limit and
    uniform_p >= .001.
    """

    metric: str
    runs: int
    alpha: float
    rate: float
    limit: float
    uniform_p: float
    passed: bool
    reason: str


def aa_test(
    table: pa.Table, metric: Metric, key: str | int, runs: int = 2000, alpha: float = 0.05, share: float = 0.5
) -> AATest:
    """Split the same units at random `runs` times and test for an effect: the false alarm rate of this metric
    on this data.

    table: one row a unit. key: key of the splits. Finds metrics whose interval is wrong, for example rows
    that are not the units of assignment, or tails too heavy for the sample. Raises InputError on fewer than
    100 runs, or when the metric cannot be tested (with the reason).
    """
    if runs < 100 or not 0 < share < 1:
        raise InputError(
            f"an A/A test needs at least 100 runs and a share between 0 and 1; got {runs} and {share}"
        )
    values = np.column_stack(
        [np.asarray(column_of(table, name), dtype=np.float64) for name in metric.columns]
    )
    whole = Moments.of(metric.columns, values)
    ps = np.empty(runs)
    for run in range(runs):
        chosen = generator(key, "aa", run).random(len(values)) < share
        arm = Moments.of(metric.columns, values[chosen])
        result = effect(arm, _rest(whole, arm), metric, "absolute", alpha=alpha)
        if result.reason:
            raise InputError(f"metric '{metric.name}' cannot be tested: {result.reason}")
        ps[run] = result.p
    rate, limit = float((ps < alpha).mean()), alpha + 3 * (alpha * (1 - alpha) / runs) ** 0.5
    uniform = float(stats.kstest(ps, "uniform").pvalue)
    passed = rate <= limit and uniform >= ALARM
    reason = (
        f"{rate:.3f} of {runs} splits found an effect where there is none (at most {limit:.3f} by chance)"
    )
    return AATest(metric.name, runs, alpha, rate, limit, uniform, passed, reason)


def _rest(whole: Moments, part: Moments) -> Moments:
    """The moments of the units that are not in `part`: addition, read backwards."""
    n = whole.n - part.n
    if n < 1:
        return Moments.of(whole.columns, np.empty((0, len(whole.columns))))
    mean = (whole.n * whole.mean - part.n * part.mean) / n
    gap = part.mean - mean
    return Moments(
        whole.columns, n, mean, whole.scatter - part.scatter - np.outer(gap, gap) * (n * part.n / whole.n)
    )
