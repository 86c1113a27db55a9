"""What the proxy may know of a person and an item when a list is made, from a workspace's tables and its
database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy.typing as npt

from tastemaker.corpus.pairs import pair_counts
from tastemaker.flows.data import Data
from tastemaker.retention.features import Floats, Known, Person, features, known_items
from tastemaker.store import Database, Workspace


class Context:
    """Features of candidates, as they are known before the list is shown."""

    def __init__(self, workspace: Workspace, data: Data, database: Database | None) -> None:
        self.workspace, self.data, self.database = workspace, data, database

    @cached_property
    def _kinds(self) -> dict[str, Counter[str]]:
        table = self.workspace.table("interactions", full=False)
        found: dict[str, Counter[str]] = {}
        for user, kind in zip(table["user_id"].to_pylist(), table["kind"].to_pylist(), strict=True):
            found.setdefault(user, Counter())[kind or ""] += 1
        return found

    @cached_property
    def known(self) -> Known:
        """The facts of every item, counted once."""
        table, data = self.workspace.table("interactions", full=False), self.data
        pairs, times = pair_counts(data.split.train)
        counts = {
            (one, other): count for (one, other), count in zip(pairs.tolist(), times.tolist(), strict=True)
        }
        rows = [data.index[item] for item in table["item_id"].to_pylist()]
        attributes = [values or [] for values in data.items["attributes"].to_pylist()]
        return known_items(data.training_counts, attributes, rows, table["kind"].to_pylist(), counts)

    def person(self, user_id: str | None, history: Sequence[int]) -> Person:
        """Who asks: the history as the ranker sees it, and what they did, in the tables and since."""
        kinds = Counter(self._kinds.get(user_id, {})) if user_id is not None else Counter[str]()
        if user_id is not None and self.database is not None:
            kinds.update(event.kind for event in self.database.history(user_id))
        return Person(tuple(history), kinds["like"], kinds["skip"] + kinds["not_interested"], kinds.total())

    def features(
        self, user_id: str | None, history: Sequence[int], items: npt.ArrayLike, scores: npt.ArrayLike
    ) -> dict[str, Floats]:
        """Each feature (n,) of the candidates `items` (n,) of this person, best score first."""
        return features(self.known, self.person(user_id, history), items, scores)
