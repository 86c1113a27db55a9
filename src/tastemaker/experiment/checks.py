"""Is the test itself sound? Sample ratio, units counted once, and A/A trials on the team's own data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import scipy
from scipy import special

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.experiment.assign import check_shares
from tastemaker.experiment.moments import Metric, batches_of
from tastemaker.experiment.quantiles import Values, effect_of_rows, quantile_effect
from tastemaker.schema.columns import complete, one_spelling, present, somebody
from tastemaker.schema.values import seen
from tastemaker.stats.random import generator

ALARM, WARN = 0.001, 0.01  # p of the sample ratio below which nothing is decided, and below which it is told
LOST = 0.01  # the share of an arm's units whose loss the power of the sample ratio is printed for


@dataclass(frozen=True)
class SampleRatio:
    """Units counted and expected for each arm, chi-squared and its p; `alarm` when p is below the alarm
    level, `warning` from there to the warning level; power: the chance of an alarm had the last arm lost 1 %
    of its units; shown: the loss that gives an alarm four times of five; `reason` says it in words.
    """

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    chi2: float
    p: float
    alarm: bool
    reason: str
    warning: bool = False
    power: float = math.nan
    shown: float = math.nan


def srm(
    counts: Mapping[str, int], shares: Mapping[str, float], alarm: float = ALARM, warn: float = WARN
) -> SampleRatio:
    """Sample-ratio mismatch: do the arms hold the shares they were promised?

    counts: units of each arm; an arm of `shares` that is absent counts 0. A tiny p means that units were lost
    or added for a reason that differs between arms, so their difference says nothing about the treatment.
    alarm, warn: levels of p. Raises InputError on bad shares or levels, an arm that is not in `shares`, a
    negative count, or no unit at all.
    """
    wanted = check_shares(shares)
    if not 0 < alarm <= warn < 1:
        raise InputError(f"alarm is {alarm} and warn is {warn}; give 0 < alarm <= warn < 1")
    unknown = [arm for arm in counts if arm not in shares]
    one_spelling([*counts, *shares], "arm")
    if unknown:
        raise InputError(f"arm '{unknown[0]}' has units but no share; the arms are {', '.join(shares)}")
    values = np.array([counts.get(arm, 0) for arm in shares], dtype=np.float64)
    if values.sum() < 1 or values.min() < 0:
        raise InputError("a sample-ratio check needs at least one unit and no negative count")
    expected = wanted * values.sum()
    chi2 = float(((values - expected) ** 2 / expected).sum())
    p = float(scipy.stats.chi2.sf(chi2, len(values) - 1))
    message = ", ".join(
        f"{arm} {int(n):,} of {due:,.0f}" for arm, n, due in zip(shares, values, expected, strict=True)
    )
    power, shown = _ratio_power(wanted, values.sum(), alarm)
    hardly = "WARNING: the arms hardly hold their shares" if p < warn else "the arms hold their shares"
    held = "the arms do not hold their shares" if p < alarm else hardly
    seen = f"an arm that lost {LOST:.0%} of its units would be seen in {power:.0%} of tests"
    if shown < 1:
        seen += f", one that lost {shown:.1%} in 80 %"
    reason = f"{held} ({message}; p = {p:.2g}, alarm below {alarm:g}; {seen})"
    by_arm = {arm: int(n) for arm, n in zip(shares, values, strict=True)}
    due = dict(zip(shares, map(float, expected), strict=True))
    return SampleRatio(by_arm, due, chi2, p, p < alarm, reason, alarm <= p < warn, power, shown)


def srm_evidence(counts: Mapping[str, int], shares: Mapping[str, float], prior: float = 100.0) -> float:
    """The e-value of a sample-ratio mismatch, for looks while units come: however often one looks, it reaches
    1 / a with probability at most a while the arms hold their shares. prior: units that the Dirichlet
    alternative around the shares is worth.

    Source: Lindon and Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022.
    """
    wanted = check_shares(shares)
    values = np.array([counts.get(arm, 0) for arm in shares], dtype=np.float64)
    start = prior * wanted
    log = special.gammaln(start + values) - special.gammaln(start) - values * np.log(wanted)
    total = log.sum() + special.gammaln(prior) - special.gammaln(prior + values.sum())
    return float(np.exp(min(total, 700.0)))


def _ratio_power(shares: Floats, units: float, alarm: float) -> tuple[float, float]:
    """Power of chi-squared when the last arm lost `LOST` of its units, and the loss seen in 80 %."""
    edge, free = scipy.stats.chi2.isf(alarm, len(shares) - 1), len(shares) - 1
    losses = np.concatenate([[LOST], np.geomspace(1e-4, 0.999, 400)])
    left = np.repeat(shares[None], len(losses), axis=0)
    left[:, -1] *= 1 - losses
    left /= left.sum(axis=1, keepdims=True)
    seen = scipy.stats.ncx2.sf(edge, free, units * ((left - shares) ** 2 / shares).sum(axis=1))
    enough = np.flatnonzero(seen[1:] >= 0.8)
    return float(seen[0]), float(losses[1 + enough[0]]) if len(enough) else 1.0


def check_units(open_table: Callable[[], Any], unit: str, by: str = "arm") -> dict[str, int]:
    """Units of each arm, when every unit has exactly one row; 8 bytes of memory a unit.

    open_table: a function that gives the Arrow stream anew, because names are looked up in a second pass only
    when two rows may be of one unit. Raises InputError naming the unit, its rows and arms when it is in two
    arms or comes twice.
    """
    hashes, counts, row = [], Counter[str](), 0
    for batch in batches_of(open_table()):
        for name in (unit, by):
            complete(present(batch, name), name, start=row)
        ids = pl.Series(batch.column(unit))
        if ids.dtype == pl.String and (padded := ids != seen(ids)).any():
            at = int(padded.arg_max() or 0)
            raise InputError(
                f"row {row + at + 1}, column '{unit}': the unit {ids[at]!a} has blanks around it, or"
                " characters that nobody sees; take them away, or it counts as another one"
            )
        somebody(batch.column(unit).cast(pa.string()), unit, start=row)
        hashes.append(ids.hash(seed=7).to_numpy())
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
        names, arms = pl.Series(present(batch, unit)), present(batch, by)
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

    rate: share of `runs` with p < alpha; up, down: of runs in which the treatment seemed better or worse, in
    numbers, alpha / 2 each due; limit, tail: what rate and each side may be by chance (in all but one of
    10,000 sets of runs); uniform_p: Kolmogorov-Smirnov p that the p-values are uniform; passed: all within
    their limits and uniform_p >= .001.
    """

    metric: str
    runs: int
    alpha: float
    rate: float
    up: float
    down: float
    limit: float
    tail: float
    uniform_p: float
    passed: bool
    reason: str


def aa_test(
    table: pa.Table,
    metric: Metric,
    key: str | int,
    runs: int = 2000,
    alpha: float = 0.05,
    share: float = 0.5,
    cluster: str = "",
) -> AATest:
    """Split the same units at random `runs` times and test for an effect: the false alarm rate of this metric
    on this data.

    table: one row a unit (a cluster, where these are assigned). key: key of the splits. share: of the
    treatment among it and the control. cluster: for a quantile, the column of what is split whole. What is
    tested is the p of the difference, which decides whatever the kind of effect. Finds metrics whose interval
    is wrong, for example rows that are not the units of assignment, or tails too heavy for the sample. Raises
    InputError on fewer than 100 runs, or when the metric cannot be tested in any of them (with the reason).
    """
    if runs < 100 or not 0 < share < 1:
        raise InputError(
            f"an A/A test needs at least 100 runs and a share between 0 and 1; got {runs} and {share}"
        )
    values = np.column_stack([np.asarray(present(table, name), dtype=np.float64) for name in metric.columns])
    whole = present(table, cluster).to_pylist() if cluster else range(len(values))
    places = dict.fromkeys(whole)
    code = np.array(list(map({name: place for place, name in enumerate(places)}.__getitem__, whole)))
    ps, signs, reason = np.full(runs, np.nan), np.zeros(runs), ""
    for run in range(runs):
        chosen = (generator(key, "aa", run).random(len(places)) < share)[code]
        if cluster:
            pair = [Values(values[part, 0], code[part]) for part in (chosen, ~chosen)]
            result = quantile_effect(pair[0], pair[1], metric, "absolute", alpha)
        else:
            result = effect_of_rows(values[chosen], values[~chosen], metric, "absolute", alpha)
        ps[run], signs[run], reason = result.p, result.treatment - result.control, reason or result.reason
    if np.isnan(ps).all():
        raise InputError(f"metric '{metric.name}' cannot be tested: {reason}")
    name = metric.name
    alarms = ps < alpha
    rate, up, down = (float(part.mean()) for part in (alarms, alarms & (signs > 0), alarms & (signs < 0)))
    limit, tail = (float(scipy.stats.binom.isf(1e-4, runs, due)) / runs for due in (alpha, alpha / 2))
    uniform = float(scipy.stats.kstest(ps[~np.isnan(ps)], "uniform").pvalue)
    message = (
        f"{rate:.3f} of {runs} splits found an effect where there is none (at most {limit:.3f} by chance)"
    )
    message += f", up {up:.3f} and down {down:.3f} (at most {tail:.3f} each)"
    if np.isnan(ps).any():
        message += f"; {np.isnan(ps).sum()} splits gave no number: {reason}"
    wrong = [message] if rate > limit or max(up, down) > tail else []
    if uniform < ALARM:
        wrong.append(
            f"the p-values of {runs} splits are not uniform (Kolmogorov-Smirnov p = {uniform:.2g}): a few"
            " units carry the metric, so winsorise it or read a quantile"
        )
    return AATest(
        name, runs, alpha, rate, up, down, limit, tail, uniform, not wrong, "; ".join(wrong) or message
    )
