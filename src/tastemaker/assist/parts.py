"""What a turn answers with: typed parts, in the order in which they are said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Part:
    """One piece of an answer; `kind` names it wherever it is sent."""

    kind: ClassVar[str] = "part"

    def public(self) -> dict[str, Any]:
        """As plain values, with its kind."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Text(Part):
    """Words; several may follow one another."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Understood(Part):
    """What stands after the message: chips, each {name, label, kind, field} and removable by its name."""

    kind: ClassVar[str] = "understood"
    chips: tuple[Mapping[str, str], ...] = ()
    fits: int | None = None


@dataclass(frozen=True)
class Item(Part):
    """An item that is shown. handle: how it is spoken of here ("1"). unmet: demands that it misses (closest
    only). request_id: the slate that it is of, for events that answer it.
    """

    kind: ClassVar[str] = "item"
    item_id: str
    handle: str
    title: str
    creator: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    item: Mapping[str, Any] = field(default_factory=dict)
    unmet: tuple[str, ...] = ()
    request_id: str = ""


@dataclass(frozen=True)
class Explanation(Part):
    """Why an item: one claim and the evidence that it rests on (a kind, and the items or words)."""

    kind: ClassVar[str] = "explanation"
    item_id: str
    text: str
    evidence: str
    because_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question(Part):
    """Something asked back, with answers to choose from."""

    kind: ClassVar[str] = "question"
    text: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class NothingFits(Part):
    """No item meets all demands. ways: per demand its name, its chip's, and items that fit without."""

    kind: ClassVar[str] = "nothing_fits"
    text: str
    ways: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Notice(Part):
    """Something about the answer itself, as that a model failed and rules answered."""

    kind: ClassVar[str] = "notice"
    text: str


@dataclass(frozen=True)
class Done(Part):
    """The end of a turn: versions, whether rules had to answer for a model (degraded), what it used, and
    whether words changed what is kept about the person (changed).
    """

    kind: ClassVar[str] = "done"
    conversation_id: str
    versions: Mapping[str, str] = field(default_factory=dict)
    degraded: bool = False
    usage: Mapping[str, float] = field(default_factory=dict)
    changed: bool = False


def item_line(title: str, creator: str | None) -> str:
    """An item in words, without its place."""
    return f"{title}, {creator}" if creator else title


def listed(text: str) -> list[str]:
    """The items of an answer in words, as `item_line` has them, in order: what `plain_text` numbered."""
    return [_MISSES.sub("", hit[1].rstrip()) for hit in _NUMBERED.finditer(text)]


_NUMBERED, _MISSES = re.compile(r"^\d{1,2}\. (.+)$", re.MULTILINE), re.compile(r" \(misses: .*\)$")


def plain_text(part: Part) -> str:
    """A part in words; empty for parts that only a page shows."""
    if isinstance(part, Text | Notice):
        return part.text
    if isinstance(part, Item):
        unmet = f" (misses: {', '.join(part.unmet)})" if part.unmet else ""
        return f"{part.handle}. {item_line(part.title, part.creator)}{unmet}"
    if isinstance(part, Explanation):
        return f"   {part.text}"
    if isinstance(part, Question):
        return part.text + (f" ({' / '.join(part.options)})" if part.options else "")
    if isinstance(part, NothingFits):
        ways = [f"   without {way['label']}: {way['count']} fit" for way in part.ways]
        return "\n".join([part.text, *ways])
    assert isinstance(part, Understood | Part)
    return ""
