"""The switch back to the logger: an alarm that may be looked at after every live row."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.explore.bounds import Units, too_few
from tastemaker.explore.table import Columns, Log
from tastemaker.stats import betting

FIRST, RATIO = 256, 1.5  # rows at the first look where persons return, and from each look to the next


def watch(
    rewards: npt.ArrayLike,
    least: float,
    delta: float = 0.05,
    r_max: float = 1.0,
    *,
    units: Units | None = None,
) -> int | None:
    """First row (from 1) at which the mean reward is surely below `least` = floor x V0, or None.

    Wealth mean_f prod(1 + l_f (least - r_t)), l_f = f / (r_max - least); alarm at 1/delta. If the mean is
    `least` or more, a false alarm ever comes with probability at most delta. units: who the rows are of;
    where one returns, rows are summed by unit at set looks (256 rows, then half as many again each time) that
    share delta as 1/2, 1/6, 1/12 ... A fixed V0 has an error of its own: prefer `watch_holdout`. Raises
    InputError on rewards outside [0, r_max] or `least` outside (0, r_max).
    """
    values = np.asarray(rewards, dtype=np.float64)
    if not 0 < least < r_max:
        raise InputError(f"the least mean reward is {least:g}; it lies between 0 and r_max = {r_max:g}")
    _in_range(values, r_max)
    if units is None or units.single:
        return _alarm(betting.wealth_path(-values, -least, -r_max), delta)
    return _alarm_by_unit(least - values, least - r_max, units, delta)


def watch_holdout(
    rewards: npt.ArrayLike,
    ratios: tuple[npt.ArrayLike, npt.ArrayLike],
    floor: float,
    holdout: float,
    delta: float = 0.05,
    r_max: float = 1.0,
    *,
    units: Units | None = None,
) -> int | None:
    """First row (from 1) at which V(pi) is surely below floor x V0, both from the same live rows, or None.

    ratios: pi/mixture and pi0/mixture (n,) of each served action (`live_ratios`); holdout: the largest
    share of pi0 in any context (`Ledger.largest_holdout`), so that the first ratio is at most 1/(1-holdout)
    and -g = (floor pi0 - pi)/mixture r at least -r_max/(1-holdout); no other bound is needed. units: as in
    `watch`. Raises InputError on a larger ratio.
    """
    values = np.asarray(rewards, dtype=np.float64)
    own, logger = np.asarray(ratios[0], dtype=np.float64), np.asarray(ratios[1], dtype=np.float64)
    if not 0 < floor <= 1 or not 0 < holdout < 1:
        raise InputError(f"floor {floor} must be in (0, 1] and holdout {holdout} in (0, 1)")
    _in_range(values, r_max)
    most = 1 / (1 - holdout)
    wrong = ~((own >= 0) & (own <= most * (1 + 1e-6)) & (logger >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1}: pi/mixture is {own[row]:g}, at most {most:g} with a holdout of {holdout:g}; log"
            " the mixture"
        )
    losses = (floor * logger - np.minimum(own, most)) * values
    if units is None or units.single:
        return _alarm(betting.wealth_path(losses, 0.0, -r_max * most), delta)
    return _alarm_by_unit(losses, -r_max * most, units, delta)


def live_ratios(log: Log) -> tuple[Floats, Floats]:
    """(n,) pi/mixture and pi0/mixture of the served actions: what `watch_holdout` takes.

    Raises InputError where the log lacks what the policy and pi0 gave the shown action.
    """
    if log.deployed is None or log.reference is None:
        name = Columns.deployed if log.deployed is None else Columns.reference
        raise InputError(
            f"column '{name}' is missing: beside 'propensity' (what was served) live rows need"
            f" {Columns.deployed} and {Columns.reference}, the probabilities that the policy and pi0 gave the"
            " shown action"
        )
    return log.deployed / log.propensity, log.reference / log.propensity


def _in_range(values: Floats, r_max: float) -> None:
    wrong = ~((values >= 0) & (values <= r_max))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1}: reward {values[row]:g} is not in [0, {r_max:g}]; raise r_max or rescale the"
            " rewards"
        )


def looks(rows: int) -> list[int]:
    """The row numbers at which a stream of persons who return is looked at."""
    numbers, at = [], float(FIRST)
    while at <= rows:
        numbers.append(int(at))
        at *= RATIO
    return numbers


def _alarm_by_unit(losses: Floats, low: float, units: Units, delta: float) -> int | None:
    """First look at which sums by unit say that the mean loss is above 0. Rows of one person are no fair game
    given his earlier ones, so that the wealth cannot be followed row by row; looks count it anew.
    """
    _check_delta(delta)
    for number, rows in enumerate(looks(len(losses)), start=1):
        names, code = np.unique(units.code[:rows], return_inverse=True)
        seen = Units(units.kind, code, len(names))
        if too_few(seen):
            continue
        if seen.sums(losses[:rows]).log_wealth(0.0, low) >= math.log(number * (number + 1) / delta):
            return rows
    return None


def _check_delta(delta: float) -> None:
    if not 0 < delta < 0.5:
        raise InputError(f"delta is {delta}; give an error probability above 0 and below .5, such as .05")


def _alarm(path: Floats, delta: float) -> int | None:
    _check_delta(delta)
    over = path >= math.log(1 / delta)
    return int(np.argmax(over)) + 1 if over.any() else None
