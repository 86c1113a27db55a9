"""What the proxy may know of a person and an item when a list is made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.corpus.events import Histories
from tastemaker.corpus.pairs import pair_counts
from tastemaker.errors import ArtifactError
from tastemaker.flows.data import Data
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.retention.proxy import load_proxy
from tastemaker.retention.features import Known, Person, features, history_features, known_items, matrix
from tastemaker.retention.proxy.model import Proxy, predict_arrays
from tastemaker.store import Database, Event, Workspace


class Context:
    """Features of candidates known before the list is shown. interactions: what `data` was read from."""

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


KIND, WITHDRAWN = "proxy", ""  # a deployment of no proxy takes back the one before
SHARES = {"control": 0.5, "treatment": 0.5}  # of people in the running test


def deployed(database: Database) -> str | None:
    """The fingerprint of the newest deployed proxy; None before the first one, and after it was withdrawn."""
    row = database.newest_deployment(KIND)
    return row.fingerprint or None if row else None


def learnt_from(proxy: Proxy) -> str:
    """What the proxy was fitted on, in words that keep simulated listeners apart from people."""
    simulated, fitted = int(proxy.about.get("simulated", 0)), proxy.n
    answers = int(proxy.about.get("answers", fitted))
    gathered = f" of {answers:,} gathered" if answers > fitted else ""
    share = "all" if simulated >= fitted else f"{simulated:,}"
    return f"{fitted:,} survey answers{gathered}" + (f", {share} of simulated listeners" if simulated else "")


def load_deployed(workspace: Workspace, mark: str) -> Proxy:
    """The proxy `mark` of a workspace. Raises ArtifactError naming the command that makes one."""
    try:
        return load_proxy(workspace.artifacts.get(KIND, mark))
    except ArtifactError as error:
        raise ArtifactError(
            f"{error}; make one with `tastemaker retention proxy live -w {workspace.root}`"
        ) from None


def event_rewards(pipeline: Pipeline, train: Histories) -> Floats:
    """(E,) how likely a good answer would be for each event of `train`, p_pos of the proxy that the
    setting `reward` names.

    Features that only a served list has (score, lead, place) stand at their mean among the answers: there is
    no score yet when examples are made. Raises ArtifactError when there is no such proxy.
    """
    proxy = load_deployed(pipeline.workspace, pipeline.workspace.settings.reward)
    context = Context(pipeline.data, pipeline.workspace.table("interactions", full=False), train)
    means = proxy.about.get("means", {})
    parts = []
    for row, user in enumerate(train.users):
        result = history_features(context.known, context.person(str(user), train.of(row).tolist()))
        n = len(train.of(row))
        result |= {
            name: np.full(n, float(means.get(name, 0.0)))
            for name in proxy.settings.features
            if name not in result
        }
        parts.append(predict_arrays(proxy, matrix(result, proxy.settings.features, n))[0])
        pipeline.report("rewards", row + 1, len(train.users), "")
    return np.concatenate(parts)
