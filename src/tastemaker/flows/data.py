"""A workspace's tables as the arrays that every stage works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.corpus.events import Histories, histories
from tastemaker.corpus.splits import Split, leave_one_out, time_split
from tastemaker.stats.random import hashed_order
from tastemaker.store import Workspace

# Events that say what a person did not want; they exclude items from slates but are no example of taste.
NEGATIVE_KINDS = ("skip", "not_interested")
ORDER_KEY = "item order"


@dataclass(frozen=True, eq=False)
class Data:
    """Items in keyed-hash order (which carries no information), positive histories, and the split to evaluate
    on.
    """

    items: pa.Table
    item_ids: list[str]
    histories: Histories
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
    interactions = positive(workspace.table("interactions"))
    packed = histories(interactions, item_ids)
    split = time_split(packed) if workspace.settings["split"] == "time" else leave_one_out(packed)
    return Data(items, item_ids, packed, split)


def positive(interactions: pa.Table) -> pa.Table:
    """Without the events that say what a person did not want."""
    negative = pc.is_in(interactions["kind"], value_set=pa.array(NEGATIVE_KINDS))
    return interactions.filter(pc.invert(negative))


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
