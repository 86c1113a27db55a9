"""What the proxy may know of a person and an item when a list is made, from a workspace's tables and its
database.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.pairs import pair_counts
from tastemaker.flows.data import Data
from tastemaker.retention.features import Floats, Known, Person, features, known_items
from tastemaker.store import Database, Workspace

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Context:
    """Features of candidates, as they are known before the list is shown."""

    def __init__(self, workspace: Workspace, data: Data, database: Database | None) -> None:
        self.workspace, self.data, self.database = workspace, data, database

    @cached_property
    def _events(self) -> tuple[list[str], list[int], Bools, Bools]:
        """Of every event of the table: the person, the item's index, whether it is a like, or a refusal."""
        table = self.workspace.table("interactions", full=False)
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
        pairs, times = pair_counts(data.split.train)
        counts = {
            (one, other): count for (one, other), count in zip(pairs.tolist(), times.tolist(), strict=True)
        }
        attributes = [values or [] for values in data.items["attributes"].to_pylist()]
        return known_items(data.training_counts, attributes, rows, liked, refused, counts)

    def person(self, user_id: str | None, history: Sequence[int]) -> Person:
        """Who asks: the history as the ranker sees it, and what they did, in the tables and since."""
        counts = np.zeros(3, np.int64)
        if user_id is not None:
            counts = counts + self._counts.get(user_id, 0)
            if self.database is not None:
                events = self.database.history(user_id)
                kinds, values = [event.kind for event in events], [event.value for event in events]
                refused = self.data.rules.signs(kinds, values) < 0
                counts += [self.data.rules.liked(kinds, values).sum(), refused.sum(), len(events)]
        return Person(tuple(history), *counts.tolist())

    def features(
        self, user_id: str | None, history: Sequence[int], items: npt.ArrayLike, scores: npt.ArrayLike
    ) -> dict[str, Floats]:
        """Each feature (n,) of the candidates `items` (n,) of this person, best score first."""
        return features(self.known, self.person(user_id, history), items, scores)
