"""The switch back to the logger: an alarm that may be looked at after every live row."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.table import Columns, Log
from tastemaker.stats import betting

Floats = npt.NDArray[np.float64]


def watch(rewards: npt.ArrayLike, least: float, delta: float = 0.05, r_max: float = 1.0) -> int | None:
    """First row (from 1) at which the mean reward is surely below `least` = floor x V0, or None.

    Wealth mean_f prod(1 + l_f (least - r_t)), l_f = f / (r_max - least); alarm at 1/delta. If the mean is
    `least` or more, a false alarm ever comes with probability at most delta. A fixed V0 has an error of its
    own: prefer `watch_holdout`. Raises InputError on rewards outside [0, r_max] or `least` outside (0,
    r_max).
    """
    values = np.asarray(rewards, dtype=np.float64)
    if not 0 < least < r_max:
        raise InputError(f"the least mean reward is {least:g}; it lies between 0 and r_max = {r_max:g}")
    _in_range(values, r_max)
    return _alarm(betting.wealth_path(-values, -least, -r_max), delta)


def watch_holdout(
    rewards: npt.ArrayLike,
    policy_ratio: npt.ArrayLike,
    reference_ratio: npt.ArrayLike,
    floor: float,
    holdout: float,
    delta: float = 0.05,
    r_max: float = 1.0,
) -> int | None:
    """First row (from 1) at which V(pi) is surely below floor x V0, both estimated from the same live rows,
    or None.

    policy_ratio, reference_ratio (n,): pi/mixture and pi0/mixture of each served action; holdout: the largest
    share of pi0 in any context (`Ledger.largest_holdout`), so that the first ratio is at most 1/(1-holdout)
    and -g = (floor pi0 - pi)/mixture r at least -r_max/(1-holdout); no other bound is needed. Raises
    InputError on a larger ratio.
    """
    values = np.asarray(rewards, dtype=np.float64)
    own, logger = np.asarray(policy_ratio, dtype=np.float64), np.asarray(reference_ratio, dtype=np.float64)
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
    return _alarm(betting.wealth_path(losses, 0.0, -r_max * most), delta)


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


def _alarm(path: Floats, delta: float) -> int | None:
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta}; give an error probability above 0 and below 1")
    over = path >= math.log(1 / delta)
    return int(np.argmax(over)) + 1 if over.any() else None
