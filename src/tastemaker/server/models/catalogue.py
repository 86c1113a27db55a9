"""Items, people, fields, what is served, health."""

from __future__ import annotations

from pydantic import BaseModel, Field

from tastemaker.schema import KINDS
from tastemaker.server.models.base import Out


class Item(Out):
    """One item; `attributes`: `field=value`; `facts`: the same by filterable field, with its date's year."""

    item_id: str
    title: str | None = None
    text: str | None = None
    attributes: list[str] = Field(default_factory=list)
    facts: dict[str, list[str]] = Field(default_factory=dict)
    creator: str | None = None
    has_audio: bool = False
    has_image: bool = False


class User(Out):
    """Someone with a history. `simulated` must be shown wherever they could be taken for a person."""

    user_id: str
    label: str
    simulated: bool
    events: int | None = None
    note: str | None = None


class PastTurn(Out):
    """One turn of a person's conversation with the assistant; `shown` are ids of the items of its answer."""

    conversation_id: str
    turn: int
    timestamp: float = Field(description="seconds since 1970")
    message: str
    shown: list[str]


class PastEvent(Out):
    """One event of a history; `item` is filled in by the server."""

    item_id: str
    kind: str | None = None
    event_id: str | None = None
    value: float | None = None
    sign: int | None = Field(
        default=None, description="1: the item is wanted, -1: it is not, 0: neither; None: as the kind says"
    )
    timestamp: float | None = Field(default=None, description="seconds since 1970, when known")
    item: Item | None = None


class Removed(Out):
    """What was removed, and how many of it."""

    what: str
    count: int


class Forgotten(Out):
    """A person is erased; what was learnt from them before goes when the next training is done."""

    removed: list[Removed]
    outdated: list[str] = Field(default_factory=list, description="learned artifacts that saw the person")


class FieldValue(Out):
    """A value that a filter accepts, and how many items have it."""

    value: str
    count: int


class FilterField(Out):
    """A field that can be filtered on: by its values, none where there are more than 200, or, where low and
    high are given, by a range of numbers ("20..50", "..50").
    """

    name: str
    label: str | None = None
    values: list[FieldValue]
    low: float | None = None
    high: float | None = None


class KindOfEvent(Out):
    """A kind of event, and what it says of its item without a value: 1 wanted, -1 unwanted, 0 neither."""

    name: str
    sign: int


class Info(Out):
    """What is being served: names for the page, versions for the log, counts for the curious."""

    dataset: str
    item_noun: str = "item"
    user_noun: str = "user"
    simulated: bool = False
    notice: str | None = Field(default=None, description="shown on the page; says who is simulated")
    versions: dict[str, str] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)
    kinds: list[KindOfEvent] = Field(
        default_factory=lambda: [KindOfEvent(name=kind.name, sign=kind.sign) for kind in KINDS.values()]
    )


class Health(BaseModel):
    """`ready` is false while recommendations cannot be served; `reason` says why."""

    ready: bool
    reason: str = ""
