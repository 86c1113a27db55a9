"""A workspace's tables as the arrays that every stage works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.events import Histories, histories, taste
from tastemaker.corpus.splits import Split, leave_one_out, time_split
from tastemaker.schema import EventRules
from tastemaker.stats.random import hashed_order
from tastemaker.store import Workspace

ORDER_KEY = "item order"


@dataclass(frozen=True, eq=False)
class Data:
    """Items in keyed-hash order (which carries no information), what people wanted, and the split to evaluate
    on.

    histories: wanted items of each user, oldest first. unwanted: user id -> items they do not want, by the
    tables. rules: how the workspace's events are read.
    """

    items: pa.Table
    item_ids: list[str]
    histories: Histories
    unwanted: Mapping[str, frozenset[str]]
    rules: EventRules
    split: Split

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id -> item index."""
        return {item: row for row, item in enumerate(self.item_ids)}

    @cached_property
    def user_row(self) -> dict[str, int]:
        """User id -> row in `histories`."""
        return {str(user): row for row, user in enumerate(self.histories.users)}

    @cached_property
    def training_counts(self) -> npt.NDArray[np.int64]:
        """(N,) training events of each item."""
        return self.split.train.counts(len(self.item_ids))


def load_data(workspace: Workspace) -> Data:
    """Read and check the tables in use, order items by keyed hash, pack histories, split."""
    items = workspace.table("items")
    order = hashed_order(items["item_id"].to_pylist(), ORDER_KEY)
    items = items.take(pa.array(order))
    item_ids = items["item_id"].to_pylist()
    rules = workspace.event_rules()
    wanted, unwanted = taste(workspace.table("interactions"), rules)
    packed = histories(wanted, item_ids)
    refused: dict[str, set[str]] = {}
    for user, item in zip(unwanted["user_id"].to_pylist(), unwanted["item_id"].to_pylist(), strict=True):
        refused.setdefault(user, set()).add(item)
    split = time_split(packed) if workspace.settings.split == "time" else leave_one_out(packed)
    return Data(
        items, item_ids, packed, {user: frozenset(ids) for user, ids in refused.items()}, rules, split
    )


def positive(interactions: pa.Table) -> pa.Table:
    """The events that say what a person wants, and still stand."""
    return taste(interactions, EventRules())[0]


def item_texts(items: pa.Table) -> list[str]:
    """Title, text and attributes of each item in one string; empty where it has none of them."""
    rows = zip(
        items["title"].to_pylist(), items["text"].to_pylist(), items["attributes"].to_pylist(), strict=True
    )
    return [
        ". ".join(part for part in (title, text, ", ".join(attributes or [])) if part)
        for title, text, attributes in rows
    ]


def attribute_words(attributes: list[str] | None) -> Mapping[str, list[str]]:
    """`field=value` attributes by field; an attribute without a field is filed under 'attribute'."""
    fields: dict[str, list[str]] = {}
    for one in attributes or []:
        name, found, value = one.partition("=")
        fields.setdefault(name if found else "attribute", []).append(value if found else name)
    return fields
