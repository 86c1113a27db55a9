"""Interactions as one compact array of item indices a user, in time order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

import tastemaker.schema.columns as columns
from tastemaker.schema import EventRules, kind_named
from tastemaker.schema.events import UNWANTED, WANTED, coded

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
NAME = "interactions"
HOURS = (1 / 60, 0.25, 1, 6, 24, 72, 168, 720, 2160, 8760)  # steps of the time since the event before
WORTHS = 10  # steps of how much an item was wanted
MARKS = (WORTHS + 1) * (len(HOURS) + 2)


@dataclass(frozen=True, eq=False)
class Histories:
    """Each user's items in time order, packed: user u owns `items[offsets[u]:offsets[u + 1]]`.

    users (U,) str; offsets (U + 1,) int64 from 0 to E; items (E,) int64 item indices >= 0; times (E,) float64
    seconds since 1970 with NaN where unknown, or None; worth (E,) how much each event says that the item was
    wanted, from 0 to 1, or None; marks (E,) see `event_marks`, or None.
    """

    users: npt.NDArray[np.str_]
    offsets: Ints
    items: Ints
    times: Floats | None = None
    worth: Floats | None = None
    marks: Ints | None = None

    @classmethod
    def of_lists(
        cls,
        items: Sequence[Sequence[int]],
        users: Sequence[str] | None = None,
        times: Sequence[Sequence[float]] | None = None,
        marks: Sequence[Sequence[int]] | None = None,
    ) -> Histories:
        """Histories of lists of item indices, oldest first, one a user; users "0", "1", ... if not given."""
        lengths = [len(row) for row in items]
        return cls(
            np.array(
                list(users) if users is not None else [str(row) for row in range(len(items))], dtype=np.str_
            ),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.fromiter((item for row in items for item in row), dtype=np.int64, count=sum(lengths)),
            None if times is None else np.array([time for row in times for time in row], dtype=np.float64),
            marks=None if marks is None else np.array([mark for row in marks for mark in row], np.int64),
        )

    def __len__(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def lengths(self) -> Ints:
        """(U,) events of each user."""
        return np.diff(self.offsets)

    @property
    def user_rows(self) -> Ints:
        """(E,) the row in `users` that each event belongs to."""
        return np.repeat(np.arange(len(self.users)), self.lengths)

    @property
    def from_end(self) -> Ints:
        """(E,) how many events of the same user come after each event: 0 for the last."""
        return np.repeat(self.offsets[1:], self.lengths) - 1 - np.arange(len(self.items))

    def of(self, row: int) -> Ints:
        """Items of the user in `row`, oldest first."""
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    def people(self, n_items: int) -> Ints:
        """(N,) how many people's histories hold each item."""
        items = np.unique(np.stack([self.user_rows, self.items]), axis=1)[1]
        return np.bincount(items, minlength=n_items).astype(np.int64)

    def counts(self, n_items: int) -> Ints:
        """(n_items,) number of events of each item."""
        return np.bincount(self.items, minlength=n_items).astype(np.int64)

    def keep_events(self, keep: Bools) -> Histories:
        """The same users with only the events marked in `keep` (E,); a user may be left without any."""
        counts = np.concatenate([[0], np.cumsum(keep)])
        return self._of(self.users, counts[self.offsets].astype(np.int64), keep)

    def keep_users(self, keep: Bools) -> Histories:
        """Only the users marked in `keep` (U,), with all their events."""
        events = np.repeat(keep, self.lengths)
        offsets = np.concatenate([[0], np.cumsum(self.lengths[keep])]).astype(np.int64)
        return self._of(self.users[keep], offsets, events)

    def _of(self, users: npt.NDArray[np.str_], offsets: Ints, events: Bools) -> Histories:
        times, worth = (None if column is None else column[events] for column in (self.times, self.worth))
        marks = None if self.marks is None else self.marks[events]
        return Histories(users, offsets, self.items[events], times, worth, marks)


def histories(
    interactions: pa.Table, item_ids: Sequence[str] | npt.NDArray[np.str_], worth: Floats | None = None
) -> Histories:
    """Pack a table of interactions, users sorted by id, their events by `position`, equal ones as the rows
    are; repeated events are kept.

    interactions: columns `user_id`, `item_id`, `position`, and `timestamp` where there is one.
    item_ids: item ids in the order of the workspace's item table: an item's index is its place here.
    worth: (rows,) how much each row says that the item was wanted, see `Histories`.

    Raises InputError on a missing column, an empty cell, or an item that is not in `item_ids`, naming the row
    (from 1).
    """
    items = columns.places(interactions, "item_id", item_ids, NAME)
    users, user_rows = _user_rows(interactions, NAME)
    times = _seconds(interactions, NAME) if "timestamp" in interactions.column_names else None
    sort = np.lexsort((columns.integers(interactions, "position", NAME), user_rows))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user_rows, minlength=len(users)))]).astype(np.int64)
    times, worth = (None if column is None else column[sort] for column in (times, worth))
    known = times is not None or worth is not None
    marks = event_marks(offsets, times, worth) if known else None
    return Histories(users, offsets, items[sort], times, worth, marks)


def event_marks(offsets: Ints, times: Floats | None, worth: Floats | None) -> Ints:
    """(E,) what each event says beside its item, as one number below `MARKS`: how much the item was wanted
    and how long after the person's event before, in steps of `HOURS`; 0 where neither is known.

    offsets (U + 1,), times (E,), worth (E,): as in `Histories`, NaN where unknown.
    """
    wanted = gaps = np.zeros(int(offsets[-1]), np.int64)
    if worth is not None:
        step = np.minimum(np.nan_to_num(worth) * WORTHS, WORTHS - 1).astype(np.int64)
        wanted = np.where(np.isnan(worth), 0, 1 + step)
    if times is not None and len(times):
        hours = np.diff(times, prepend=np.nan) / 3600
        hours[offsets[:-1][np.diff(offsets) > 0]] = np.nan
        gaps = np.where(np.isnan(hours), 0, 1 + np.digitize(hours, HOURS))
    return np.asarray(wanted * (len(HOURS) + 2) + gaps, np.int64)


def taste(interactions: pa.Table, rules: EventRules) -> tuple[pa.Table, pa.Table]:
    """What people want and what they do not want: the rows of `interactions` that say the one and the other.

    A row stands until a later one of the same person about the same item says the opposite: a dislike takes
    an earlier like out of the taste, and a like after a dislike brings the item back. An undo takes back the
    last row before it. Rows that say neither are in neither table. "Later" is by `position`, then by row.

    interactions: user_id, item_id, position, and kind and value where there are any.
    """
    n = interactions.num_rows
    kinds, values = (
        interactions[name] if name in interactions.column_names else pa.nulls(n, dtype)
        for name, dtype in (("kind", pa.string()), ("value", pa.float64()))
    )
    users, items = (coded(interactions[name])[0].astype(np.int64) for name in ("user_id", "item_id"))
    frame = pl.DataFrame(
        {
            "row": np.arange(n),
            "sign": rules.signs(kinds, values),
            "undo": _undos(kinds),
            "position": interactions["position"].to_numpy(),
            "pair": users * (int(items.max(initial=0)) + 1) + items,
        }
    )
    frame = frame.sort("position", maintain_order=True)
    if frame["undo"].any():
        frame = frame.filter(~_taken_back(frame))
    frame = frame.filter(pl.col("sign") != 0)
    frame = frame.with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    last_wanted, last_unwanted = (
        pl.when(pl.col("sign") == sign).then(pl.col("place")).max().over("pair").fill_null(-1)
        for sign in (WANTED, UNWANTED)
    )
    frame = frame.with_columns(last_wanted=last_wanted, last_unwanted=last_unwanted).sort("row")
    wanted = frame.filter((pl.col("sign") > 0) & (pl.col("place") > pl.col("last_unwanted")))["row"]
    unwanted = frame.filter((pl.col("sign") < 0) & (pl.col("place") > pl.col("last_wanted")))["row"]
    return interactions.take(wanted.to_arrow()), interactions.take(unwanted.to_arrow())


def _undos(kinds: pa.Array | pa.ChunkedArray) -> Bools:
    """(E,) which kinds spell an undo."""
    codes, names = coded(kinds)
    undo = [bool(name and (kind := kind_named(name)) and kind.name == "undo") for name in names]
    return np.array(undo, dtype=bool)[codes]


def _taken_back(frame: pl.DataFrame) -> pl.Series:
    """(E,) of events in order of time: those that a later undo of the same person and item takes back."""
    touched = frame.filter(pl.col("undo").any().over("pair"))
    undone_rows: list[int] = []
    standing: dict[int, list[int]] = {}
    for pair, row, undo in touched.select("pair", "row", "undo").iter_rows():
        before = standing.setdefault(pair, [])
        if not undo:
            before.append(row)
        elif before:
            undone_rows.append(before.pop())
    return frame["row"].is_in(undone_rows)


def _user_rows(table: pa.Table, name: str) -> tuple[npt.NDArray[np.str_], Ints]:
    """User ids sorted, and the place among them of each row."""
    rows, names = columns.codes(table, "user_id", name)
    unsorted = np.array(names, dtype=np.str_)
    sort = np.argsort(unsorted)
    place = np.empty_like(sort)
    place[sort] = np.arange(len(sort))
    return unsorted[sort], place[rows].astype(np.int64)


def _seconds(table: pa.Table, name: str) -> Floats | None:
    """Timestamps as seconds since 1970, NaN where empty; None when no row has one."""
    array = columns.times(table, "timestamp", name, nulls=True)
    if array.null_count == len(array):
        return None
    micros = pc.cast(array.cast(pa.int64()), pa.float64(), safe=False)  # exact until the year 2255
    return np.asarray(micros.fill_null(float("nan")).to_numpy(zero_copy_only=False), dtype=np.float64) / 1e6
