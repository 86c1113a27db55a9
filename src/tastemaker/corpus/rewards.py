"""Targets of training drawn in proportion to their reward, then weighted equally."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.events import Bools
from tastemaker.errors import InputError
from tastemaker.stats.random import generator


def targets_by_reward(rewards: npt.ArrayLike, users: npt.ArrayLike, seed: int | str, copy: int = 0) -> Bools:
    """Which events (E,) stay targets of training: each with probability reward / largest reward, drawn anew
    for each `copy`.

    This is sampling targets in proportion to their reward without longer training: an event that is no target
    is still read as context. The best rewarded event of each user stays, so each sequence has a target.

    rewards: (E,) finite, >= 0, not all 0. users: (E,) row of the user of each event.

    Raises InputError naming the first row with a wrong reward, or when all are 0 or lengths differ.
    Source: PLUM, arXiv 2510.07784, section 3.3 (sampling by reward); as a mask, ours.
    """
    array, whose = np.asarray(rewards, dtype=np.float64), np.asarray(users, dtype=np.int64)
    wrong = np.flatnonzero(~np.isfinite(array) | (array < 0))
    if len(wrong):
        raise InputError(
            f"row {wrong[0] + 1}: the reward is {array[wrong[0]]:g}; rewards must be finite and 0 or more"
        )
    if array.shape != whose.shape or array.max(initial=0.0) == 0:
        raise InputError(
            f"{array.size} rewards of {whose.size} events, of which {np.count_nonzero(array)} are above 0: no"
            " target"
        )
    keep = generator(seed, "targets", copy).random(len(array)) < array / array.max()
    best = np.lexsort((-array, whose))
    keep[best[np.flatnonzero(np.diff(whose[best], prepend=-1))]] = True
    return np.asarray(keep)
