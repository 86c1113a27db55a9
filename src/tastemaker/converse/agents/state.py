"""What has happened so far in one conversation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tastemaker.converse.constraints import Wish
from tastemaker.converse.language.parse import Heard, Said
from tastemaker.converse.record import Goal, Profile, Progress, Turn
from tastemaker.converse.views import Named


@dataclass
class State:
    """Grows turn by turn; `rows`, `heard` and `adhered` hold an entry for each item played, `barred` rows
    named in messages.
    """

    profile: Profile
    tracks: tuple[Named, ...]
    goal: Goal
    wishes: tuple[Wish, ...] = ()
    said: list[Said] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    handles: dict[str, str] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    adhered: list[bool] = field(default_factory=list)
    barred: set[int] = field(default_factory=set)

    def handle(self, item_id: str) -> str:
        """The item's handle: given at first sight, kept for the whole conversation, never given to
        another.
        """
        return self.handles.setdefault(item_id, f"T{len(self.handles) + 1}")
