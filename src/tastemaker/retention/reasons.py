"""Why this one: evidence a person can check, never a story made up after the fact."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

FEWEST = 5  # people below whom a reason would tell of single ones


@dataclass(frozen=True)
class Reason:
    """One piece of evidence that ties a recommended item to an item of the history.

    `kind` is 'shared_attributes' or 'co_played'; `because_of` is the history item; `attributes` the values
    both have; `count` how many people's histories hold both items close together (0 for attributes).
    """

    kind: str
    because_of: str
    attributes: tuple[str, ...] = ()
    count: int = 0


def rarity_of(attributes: Iterable[Iterable[str]]) -> dict[str, float]:
    """How telling each attribute is: log(items / items that have it), 0 for one that all have."""
    having, items = Counter[str](), 0
    for values in attributes:
        having.update(set(values))
        items += 1
    return {value: math.log(items / count) for value, count in having.items()}


def reasons(
    item_id: str,
    history: Sequence[str],
    attributes: Mapping[str, frozenset[str]],
    co_plays: Callable[[str, str], int],
    rarity: Mapping[str, float],
    most: int = 2,
) -> list[Reason]:
    """The strongest evidence for `item_id` given a `history` of item ids, oldest first.

    Shared attributes count by `rarity` (attribute -> weight, an inverse document frequency: sharing a rare
    mode says more than sharing the book half the catalogue is in); co-plays by how many people's
    histories hold both, and by no fewer than `FEWEST`, which would tell of single people. Of each kind the
    best history item is named, the more recent one on equal evidence. An empty list means there is no such
    evidence, and callers must say that rather than invent some.
    """
    own = attributes.get(item_id, frozenset())
    best_weight, best_count = 0.0, FEWEST - 1
    shared_reason: Reason | None = None
    played_reason: Reason | None = None
    for other in reversed(history):
        if other == item_id:
            continue
        shared = own & attributes.get(other, frozenset())
        weight = sum([rarity.get(value, 0.0) for value in shared]) if shared else 0.0
        if weight > best_weight:
            ranked = sorted(shared, key=lambda value: (-rarity.get(value, 0.0), value))
            best_weight, shared_reason = weight, Reason("shared_attributes", other, tuple(ranked[:3]))
        count = co_plays(item_id, other)
        if count > best_count:
            best_count, played_reason = count, Reason("co_played", other, count=count)
    return [reason for reason in (played_reason, shared_reason) if reason is not None][:most]
