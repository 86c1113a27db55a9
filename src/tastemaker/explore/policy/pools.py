"""What could have been shown in each row of a log: the pool its logger drew from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pools:
    """items (n, m): row numbers of the catalogue, -1 behind the last of a row."""

    items: Ints

    @classmethod
    def of(cls, rows: Sequence[npt.ArrayLike]) -> Pools:
        """One list of item numbers a row."""
        arrays = [np.asarray(row, dtype=np.int64) for row in rows]
        return cls.ragged(np.concatenate(arrays), np.array([len(row) for row in arrays]))

    @classmethod
    def ragged(cls, items: Ints, lengths: Ints) -> Pools:
        """The items of all rows one after another, and how many each has."""
        table = np.full((len(lengths), int(lengths.max(initial=0))), -1, dtype=np.int64)
        table[np.arange(table.shape[1])[None, :] < lengths[:, None]] = items
        return cls(table)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Pools:
        return Pools(self.items[rows])

    @property
    def sizes(self) -> Ints:
        """(n,) items in each."""
        return np.asarray((self.items >= 0).sum(axis=1))

    def holds(self, action: Ints) -> Flags:
        """(n,) whether each row's action is in its pool."""
        return np.asarray((self.items == action[:, None]).any(axis=1))

    def without(self, above: Pools) -> Pools:
        """The pools less the items of `above`: what is left for a lower place of a list."""
        taken = (self.items[:, :, None] == above.items[:, None, :]).any(axis=2)
        return Pools(np.where(taken, -1, self.items))

    def mask(self, rows: slice, actions: slice) -> Flags:
        """(r, a) whether each of a slice of the actions is in the pools of a slice of the rows."""
        part = self.items[rows] - actions.start
        width = actions.stop - actions.start
        inside = (part >= 0) & (part < width) & (self.items[rows] >= 0)
        flags = np.zeros((len(part), width), dtype=bool)
        row, place = np.nonzero(inside)
        flags[row, part[row, place]] = True
        return flags
