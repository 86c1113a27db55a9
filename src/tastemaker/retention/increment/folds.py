"""Which rows train and which are predicted: by user, or by user and time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tastemaker.errors import InputError
from tastemaker.retention.increment.rows import Floats, IncrementSettings, Mask, Rows
from tastemaker.stats.random import dealt, generator


def user_folds(data: Rows, settings: IncrementSettings, key: int | str) -> Iterator[tuple[Mask, Mask]]:
    """(train, test) masks (n,) of each fold; a user's rows lie in one fold.

    Users with a positive outcome are dealt out evenly, so that a rare outcome is in every fold. With a time
    column training rows come before its middle and test rows at or after it: nothing is predicted from its
    future. Raises InputError on fewer users than folds, or a time that never varies.
    """
    people, count = int(data.users.max()) + 1, settings.folds
    if people < count:
        raise InputError(f"{people} users cannot be cut into {count} folds; give fewer folds or more users")
    kind = "user" if data.time is None else "user+time"
    rare = np.bincount(data.users, data.outcome > 0, people) > 0
    fold = dealt(rare.astype(np.int64), count, generator(key, "folds", kind))[data.users]
    early = late = np.ones(len(data.users), dtype=bool)
    if data.time is not None:
        late = data.time >= _cut(data.time)
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
