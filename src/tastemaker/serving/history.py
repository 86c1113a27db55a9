"""What is known of a person: events of the tables, then the server's that still stand, by one rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.corpus.events import event_marks
from tastemaker.flows.data import Data
from tastemaker.schema.values import bare_id
from tastemaker.store import Database, Event

Wanted = tuple[str, float, float]  # item, seconds since 1970, how much it was wanted (NaN: not known)


@dataclass(frozen=True)
class Profile:
    """history: ids of the items the person wants, oldest first. unwanted: those they do not. events: what the
    server knows of them beside the tables. known: whether anything is. marks: of each event of the history,
    see `event_marks`; () where only items are known.
    """

    history: tuple[str, ...] = ()
    unwanted: frozenset[str] = frozenset()
    events: tuple[Event, ...] = ()
    known: bool = True
    marks: tuple[int, ...] = ()


NOBODY = Profile(known=False)


class People:
    """The people of one version of the tables, and of the database as it is now.

    interactions: the table that `data` was read from. forgotten: who was erased, and treated as nobody.
    """

    def __init__(
        self, data: Data, interactions: pa.Table, database: Database, forgotten: Callable[[str], bool]
    ) -> None:
        self.data, self.database, self.forgotten = data, database, forgotten
        encoded = interactions["user_id"].combine_chunks().dictionary_encode()
        users = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
        self.ids: list[str] = sorted(encoded.dictionary.to_pylist())
        self._row = {user: row for row, user in enumerate(encoded.dictionary.to_pylist())}
        order = np.lexsort((interactions["position"].to_numpy(), users))
        self._offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(self._row)))])
        columns = ["item_id", "kind", "value", "timestamp"]
        self._table = interactions.select(columns).take(pa.array(order))

    def profile(self, user_id: str) -> Profile:
        """What they want and do not want; `NOBODY` for one whom neither tables nor database know."""
        if self.forgotten(user_id):
            return NOBODY
        row = self.data.user_row.get(user_id)
        events = self.database.history(user_id)
        if row is None and user_id not in self._row and not events:
            bare = bare_id(user_id)  # ingest keeps 12.0 as 12
            return self.profile(bare) if bare != user_id else NOBODY
        refused = self.data.unwanted.get(user_id, ())
        return self._folded(self._wanted(row), refused, events)

    def _wanted(self, row: int | None) -> list[Wanted]:
        """What a person of the tables wants, oldest first."""
        if row is None:
            return []
        events, unknown = self.data.histories, np.full(int(self.data.histories.lengths[row]), np.nan)
        place = slice(events.offsets[row], events.offsets[row + 1])
        times, worth = (unknown if part is None else part[place] for part in (events.times, events.worth))
        ids = [self.data.item_ids[item] for item in events.items[place]]
        return list(zip(ids, times.tolist(), worth.tolist(), strict=True))

    def _folded(self, past: list[Wanted], refused: Iterable[str], events: Sequence[Event]) -> Profile:
        """The server's events after the tables': one that is wanted joins the taste, and one that is not
        leaves it and is excluded until it is wanted again.
        """
        unwanted = {item for item in refused if item in self.data.index}
        columns = [event.kind for event in events], [event.value for event in events]
        signs, worths = self.data.rules.signs(*columns).tolist(), self.data.rules.worth(*columns).tolist()
        for event, sign, worth in zip(events, signs, worths, strict=True):
            if event.item_id is None or event.item_id not in self.data.index:
                continue
            if sign > 0:
                past.append((event.item_id, event.timestamp.timestamp(), worth))
                unwanted.discard(event.item_id)
            elif sign < 0:
                past = [wanted for wanted in past if wanted[0] != event.item_id]
                unwanted.add(event.item_id)
        items, times, worth = zip(*past, strict=True) if past else ((), (), ())
        marks = event_marks(np.array([0, len(past)]), np.array(times), np.array(worth))
        return Profile(items, frozenset(unwanted), tuple(events), marks=tuple(marks.tolist()))

    def recorded(self, user_id: str) -> bool:
        """Whether the person stands in the table."""
        return user_id in self._row

    def listed(
        self, limit: int, offset: int, all_: bool = True, only: Callable[[str], bool] | None = None
    ) -> tuple[list[tuple[str, int]], int]:
        """People of the table by id (`only` those), then with `all_` those whom the database alone knows, in
        the order they came, each with the number of their events; and how many there are in all.
        """
        counts = dict(self.database.people())
        ids = [user for user in self.ids if not self.forgotten(user) and (only is None or only(user))]
        ids += [user for user in counts if user not in self._row] if all_ else []
        shown = ids[offset : offset + limit]
        return [(user, self._in_table(user) + counts.get(user, 0)) for user in shown], len(ids)

    def _in_table(self, user_id: str) -> int:
        row = self._row.get(user_id)
        return 0 if row is None else int(self._offsets[row + 1] - self._offsets[row])

    def past(self, user_id: str) -> list[dict[str, Any]] | None:
        """Every event that stands, with its true kind, oldest first; None for a person whom nobody knows."""
        if self.forgotten(user_id):
            return None
        history = self.database.history(user_id)
        row, events = self._row.get(user_id), list[dict[str, Any]]()
        if row is None and not history:
            return None
        if row is not None:
            start, end = int(self._offsets[row]), int(self._offsets[row + 1])
            for event in self._table.slice(start, end - start).to_pylist():
                when = event["timestamp"]
                seconds = None if when is None else when.timestamp()
                sign = self.data.rules.sign(event["kind"], event["value"])
                events.append(event | {"sign": sign, "timestamp": seconds})
        for stored in history:
            seconds = stored.timestamp.timestamp()
            sign = self.data.rules.sign(stored.kind, stored.value)
            about = {"item_id": stored.item_id, "kind": stored.kind, "value": stored.value, "sign": sign}
            events.append(about | {"event_id": stored.event_id, "timestamp": seconds})
        return events
