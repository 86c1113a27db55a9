"""Which rows train and which are predicted: by user, by user and time, and the published way (rows at
random).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Kind = Literal["user", "user+time", "rows"]


def folds(
    kind: Kind, count: int, users: Ints, time: Floats | None, y: Floats, key: tuple[str | int, ...]
) -> Iterator[tuple[Mask, Mask]]:
    """(train, test) masks (n,) of each of `count` folds.

    'user': a user's rows lie in one fold. 'user+time': besides, training rows come before the median time and
    test rows at or after it, so that nothing is predicted from its future. 'rows': stratified by outcome,
    users on both sides (as published).

    Raises InputError on fewer users than folds, or no time where it is needed.
    """
    rng = generator(*key, "folds", kind)
    if kind == "rows":
        fold = np.empty(len(y), dtype=np.int64)
        for outcome in np.unique(y > 0):
            rows = np.flatnonzero((y > 0) == outcome)
            fold[rng.permutation(rows)] = np.arange(len(rows)) % count
        for part in range(count):
            yield fold != part, fold == part
        return
    people = int(users.max()) + 1
    if people < count:
        raise InputError(f"{people} users cannot be cut into {count} folds; give fewer folds or more users")
    fold = (rng.permutation(people) % count)[users]
    early = np.ones(len(y), dtype=bool)
    late = early
    if kind == "user+time":
        if time is None:
            raise InputError("folds by time need a time column; name it, or use folds by user")
        late = time >= _cut(time)
        early = ~late
    for part in range(count):
        yield (fold != part) & early, (fold == part) & late


def _cut(time: Floats) -> float:
    """A time that leaves about half of the rows before it, and some on each side."""
    distinct = np.unique(time)
    if len(distinct) < 2:
        raise InputError("folds by time need at least two different times; use folds by user")
    middle = float(np.median(time))
    return float(distinct[max(1, int(np.searchsorted(distinct, middle)))])
