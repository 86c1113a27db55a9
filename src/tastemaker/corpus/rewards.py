"""Examples, or targets within them, drawn in proportion to their reward, then weighted equally."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.events import Bools, Ints
from tastemaker.errors import InputError
from tastemaker.stats.random import generator


def sample_by_reward(rewards: npt.ArrayLike, n: int, seed: int | str) -> tuple[Ints, float]:
    """Draw `n` indices in proportion to `rewards` by systematic resampling, with the effective sample size.

    One keyed uniform places n equally spaced pointers, so example e comes up floor or ceil of n r_e / sum r
    times: the draw with the least noise that is still unbiased.

    Parameters
    ----------
    rewards
        (E,) finite, >= 0, not all 0.
    n
        number of draws, >= 1.
    seed
        key of the draw.

    Returns
    -------
    indices
        (n,) int64, sorted.
    effective sample size
        (sum r)^2 / sum r^2, between 1 and E: how many equally rewarded examples the draw is worth.

    Raises
    ------
    InputError
        naming the first row with a reward that is negative or not finite.

    Source: PLUM, arXiv 2510.07784, section 3.3 (sampling by reward); Douc and Cappe, ISPA 2005 (systematic
    resampling).
    """
    array = _checked(rewards)
    if array.ndim != 1 or n < 1 or array.max(initial=0.0) == 0:
        raise InputError(
            f"{n} draws from {array.size} rewards, of which {np.count_nonzero(array)} are above 0: nothing to"
            " draw"
        )
    # Scaling by the maximum keeps sums finite for any finite rewards.
    cumulative = np.cumsum(array / array.max())
    pointers = (np.arange(n) + generator(seed, "rewards").random()) / n * cumulative[-1]
    drawn = np.searchsorted(cumulative, pointers, side="right")
    last = int(np.flatnonzero(array)[-1])  # rounding may put the last pointer on the very end
    scaled = array / array.max()
    return np.minimum(drawn, last).astype(np.int64), float(scaled.sum() ** 2 / (scaled**2).sum())


def targets_by_reward(rewards: npt.ArrayLike, users: npt.ArrayLike, seed: int | str, copy: int = 0) -> Bools:
    """Which events (E,) stay targets of training: each with probability reward / largest reward, drawn anew
    for each `copy`.

    This is sampling targets in proportion to their reward without longer training: an event that is no target
    is still read as context. The best rewarded event of each user stays, so that no sequence is without a
    target.

    rewards: (E,) finite, >= 0, not all 0. users: (E,) row of the user of each event.

    Raises InputError naming the first row with a wrong reward, or when all are 0 or lengths differ.
    Source: PLUM, arXiv 2510.07784, section 3.3 (sampling by reward); as a mask, ours.
    """
    array, whose = _checked(rewards), np.asarray(users, dtype=np.int64)
    if array.shape != whose.shape or array.max(initial=0.0) == 0:
        raise InputError(
            f"{array.size} rewards of {whose.size} events, of which {np.count_nonzero(array)} are above 0: no"
            " target"
        )
    keep = generator(seed, "targets", copy).random(len(array)) < array / array.max()
    best = np.lexsort((-array, whose))
    keep[best[np.flatnonzero(np.diff(whose[best], prepend=-1))]] = True
    return np.asarray(keep)


def _checked(rewards: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(rewards, dtype=np.float64)
    wrong = ~np.isfinite(array) | (array < 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"row {row + 1}: the reward is {array[row]:g}; rewards must be finite and 0 or more")
    return array
