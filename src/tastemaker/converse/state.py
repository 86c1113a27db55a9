"""What has happened so far in one conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tastemaker.converse.constraints import Constraint
from tastemaker.converse.language.readers import Mention
from tastemaker.converse.record import MOVES, Goal, Profile, Progress, Turn


@dataclass(frozen=True)
class State:
    """A conversation so far: every turn makes the next state, and nothing changes one.

    active: the constraints that stand. mentions, rows: the names and row of each item played. best: the
    largest share of the goal that an item satisfied so far (at first, the mean of the catalogue). handles:
    item id -> handle, given at first sight and never to another item. barred: rows named in messages.
    """

    profile: Profile
    goal: Goal
    active: tuple[Constraint, ...] = ()
    messages: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    progress: tuple[Progress, ...] = ()
    handles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    mentions: tuple[Mention, ...] = ()
    rows: tuple[int, ...] = ()
    best: float = 0.0
    barred: frozenset[int] = frozenset()

    @property
    def played_last(self) -> bool:
        """Whether the turn before played an item, so that there is something to judge."""
        return bool(self.turns) and self.turns[-1].item_id is not None

    @property
    def liked(self) -> int:
        """How many items moved the listener toward the goal."""
        return sum(line.label == MOVES for line in self.progress)

    def with_handles(self, items: Sequence[str]) -> dict[str, str]:
        """The handles, with new ones for items not seen before."""
        handles = dict(self.handles)
        for item in items:
            handles.setdefault(item, f"T{len(handles) + 1}")
        return handles
