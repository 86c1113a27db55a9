"""What the proxy may know of a person and an item when a list is made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.corpus.events import Histories
from tastemaker.corpus.pairs import pair_counts
from tastemaker.flows.data import Data
from tastemaker.retention.features import Floats, Known, Person, features, known_items
from tastemaker.store import Event

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Context:
    """Features of candidates, as they are known before the list is shown. interactions: the table that
    `data` was read from; histories: whose counts and pairs are features.
    """

    def __init__(self, data: Data, interactions: pa.Table, histories: Histories) -> None:
        self.data, self.histories = data, histories
        there = pc.is_in(interactions["item_id"], value_set=pa.array(data.item_ids, pa.string()))
        self.interactions = interactions.filter(there)

    @cached_property
    def _events(self) -> tuple[list[str], list[int], Bools, Bools]:
        """Of every event of the table: the person, the item's index, whether it is a like, or a refusal."""
        table = self.interactions
        kinds, values = table["kind"].to_pylist(), table["value"].to_pylist()
        refused = self.data.rules.signs(kinds, values) < 0
        items = [self.data.index[item] for item in table["item_id"].to_pylist()]
        return table["user_id"].to_pylist(), items, self.data.rules.liked(kinds, values), refused

    @cached_property
    def _counts(self) -> dict[str, Ints]:
        """Likes, refusals and events of each person in the table."""
        users, _, liked, refused = self._events
        names, rows = np.unique(np.array(users, dtype=object), return_inverse=True)
        columns = [np.bincount(rows, weights, len(names)) for weights in (liked, refused, None)]
        return dict(zip(names.tolist(), np.stack(columns, axis=1).astype(np.int64), strict=True))

    @cached_property
    def known(self) -> Known:
        """The facts of every item, counted once."""
        data, (_, rows, liked, refused) = self.data, self._events
        pairs, times = pair_counts(self.histories)
        counts = {
            (first, second): count
            for (first, second), count in zip(pairs.tolist(), times.tolist(), strict=True)
        }
        attributes = [values or [] for values in data.items["attributes"].to_pylist()]
        events = self.histories.counts(len(data.item_ids))
        return known_items(events, attributes, rows, liked, refused, counts)

    def person(self, user_id: str | None, history: Sequence[int], since: Sequence[Event] = ()) -> Person:
        """Who asks: the history as the ranker sees it, and what they did, in the tables and `since`."""
        counts = np.zeros(3, np.int64)
        if user_id is not None:
            kinds, values = [event.kind for event in since], [event.value for event in since]
            refused = self.data.rules.signs(kinds, values) < 0
            counts += [self.data.rules.liked(kinds, values).sum(), refused.sum(), len(since)]
            counts += self._counts.get(user_id, 0)
        return Person(tuple(history), *counts.tolist())

    def features(self, person: Person, items: npt.ArrayLike, scores: npt.ArrayLike) -> dict[str, Floats]:
        """Each feature (n,) of the candidates `items` (n,) of this person, best score first."""
        return features(self.known, person, items, scores)
