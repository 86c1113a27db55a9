"""The JSON that crosses the edge, in and out, with the examples that OpenAPI shows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

Identifier = Annotated[str, Field(min_length=1, max_length=200)]
Kind = Literal["play", "like", "not_interested", "skip", "undo"]

_ITEM: JsonDict = {
    "item_id": "oneills1850-0413",
    "title": "The Blackbird",
    "text": "The Blackbird, a hornpipe in D from O'Neill's Music of Ireland",
    "attributes": ["tune_type=hornpipe", "key=D", "book=O'Neill's"],
    "creator": None,
    "has_audio": True,
    "has_image": True,
}
_REASON: JsonDict = {"text": "You liked The Cuckoo's Nest: same type hornpipe, same key D", "item_id": "ryans-0707"}


class _In(BaseModel):
    """What a client sends: unknown names are refused, so that a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid")


class _Out(BaseModel):
    """What a service returns, as a dictionary or as an object with these names."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


def _as_reason(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


class ProblemOut(BaseModel):
    """Every refusal: what is wrong, and what to do."""

    error: str
    remedy: str


class RecommendationRequest(_In):
    """Ask for a known user, or with a bare history (item ids, oldest first; empty for a stranger)."""

    user_id: Identifier | None = None
    history: list[Identifier] | None = Field(default=None, max_length=1000)
    k: int = Field(default=10, ge=1, le=100, description="rows wanted")
    filters: dict[str, list[str]] = Field(default_factory=dict, description="per field, the values that pass")
    exclude: list[Identifier] = Field(default_factory=list, max_length=5000, description="item ids never to show")
    request_id: Identifier | None = Field(default=None, description="yours, or one is made")
    deadline_ms: int | None = Field(default=None, ge=1, le=60_000, description="give up after this long")

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": "listener-0007", "k": 10, "filters": {"tune_type": ["reel", "jig"]}},
                {"history": ["ryans-0707", "oneills1850-0413"], "k": 5, "exclude": ["ryans-0001"]},
            ]
        },
    )

    @model_validator(mode="after")
    def _one_of(self) -> RecommendationRequest:
        if (self.user_id is None) == (self.history is None):
            raise ValueError("give either user_id or history, not both and not neither")
        return self


class EventIn(_In):
    """One event. `event_id` is chosen by the client, so that sending it again is harmless."""

    event_id: Identifier
    user_id: Identifier
    kind: Kind
    item_id: Identifier | None = None
    target: Identifier | None = Field(default=None, description="for 'undo': the event_id to take back")
    value: float | None = Field(default=None, allow_inf_nan=False, description="for 'play': the share heard, 0 to 1")
    request_id: Identifier | None = Field(default=None, description="the slate it came from")
    position: int | None = Field(default=None, ge=0, description="the row of that slate")

    @model_validator(mode="after")
    def _complete(self) -> EventIn:
        if self.kind == "undo" and self.target is None:
            raise ValueError("an undo needs target, the event_id to take back")
        if self.kind != "undo" and self.item_id is None:
            raise ValueError(f"a {self.kind} needs item_id")
        return self


class EventsRequest(_In):
    """A few events at once; all are stored or none."""

    events: list[EventIn] = Field(min_length=1, max_length=500)

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"events": [{"event_id": "e-1", "user_id": "listener-0007", "kind": "like", "item_id": "ryans-0707"}]},
                {"events": [{"event_id": "e-2", "user_id": "listener-0007", "kind": "undo", "target": "e-1"}]},
            ]
        },
    )


class Counts(_Out):
    """How many events were new, how many were known, and the ids whose content differs from what is stored."""

    accepted: int
    duplicates: int = 0
    conflicts: list[str] = Field(default_factory=list)

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [{"accepted": 1, "duplicates": 0, "conflicts": []}]}
    )


class Item(_Out):
    """One item; `attributes` are `field=value`."""

    item_id: str
    title: str | None = None
    text: str | None = None
    attributes: list[str] = Field(default_factory=list)
    creator: str | None = None
    has_audio: bool = False
    has_image: bool = False

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_ITEM]})


class Reason(_Out):
    """One piece of evidence for a row; `item_id` is the item of the history it rests on."""

    text: str
    item_id: str | None = None


class Row(_Out):
    """One recommended item. `propensity` is the probability with which the policy showed it here."""

    item_id: str
    position: int
    score: float | None = None
    propensity: float
    source: str = "model"
    reasons: list[Annotated[Reason, BeforeValidator(_as_reason)]] = Field(default_factory=list)


class Slate(_Out):
    """A list of rows; `reason` says why there are fewer than asked for."""

    request_id: str
    policy_id: str
    rows: list[Row]
    reason: str | None = None


class FullRow(Row):
    """A row with its item, so that a page needs no second call."""

    item: Item


class Timings(BaseModel):
    """Milliseconds spent waiting for a turn, computing, and in all; `batch` requests were answered together."""

    queue_ms: float
    compute_ms: float
    total_ms: float
    batch: int


class Recommendations(_Out):
    """The answer to a recommendation request."""

    request_id: str
    policy_id: str
    rows: list[FullRow]
    reason: str | None = None
    timings: Timings

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "r-9f2c",
                    "policy_id": "greedy",
                    "rows": [
                        {
                            "item_id": "oneills1850-0413",
                            "position": 0,
                            "score": -3.2,
                            "propensity": 1.0,
                            "source": "model",
                            "reasons": [_REASON],
                            "item": _ITEM,
                        }
                    ],
                    "reason": "1 item passes the filters",
                    "timings": {"queue_ms": 0.4, "compute_ms": 41.0, "total_ms": 42.1, "batch": 1},
                }
            ]
        },
    )


class User(_Out):
    """Someone with a history. `simulated` must be shown wherever they could be taken for a person."""

    user_id: str
    label: str
    simulated: bool
    events: int | None = None
    note: str | None = None

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {"user_id": "listener-0007", "label": "Listener 7", "simulated": True, "events": 31, "note": "mostly reels in D"}
            ]
        },
    )


class PastEvent(_Out):
    """One event of a history; `item` is filled in by the server."""

    item_id: str
    kind: str | None = None
    event_id: str | None = None
    value: float | None = None
    timestamp: float | None = Field(default=None, description="seconds since 1970, when known")
    item: Item | None = None


class FieldValue(_Out):
    """A value that a filter accepts, and how many items have it."""

    value: str
    count: int


class FilterField(_Out):
    """A field that can be filtered on."""

    name: str
    label: str | None = None
    values: list[FieldValue]

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [{"name": "tune_type", "label": "Type", "values": [{"value": "reel", "count": 1204}]}]},
    )


class Info(_Out):
    """What is being served: names for the page, versions for the log, counts for the curious."""

    dataset: str
    item_noun: str = "item"
    user_noun: str = "user"
    simulated: bool = False
    notice: str | None = Field(default=None, description="shown on the page; says who is simulated")
    versions: dict[str, str] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "dataset": "Traditional tunes",
                    "item_noun": "tune",
                    "user_noun": "listener",
                    "simulated": True,
                    "notice": "Every listener here is simulated. No real person's listening is shown.",
                    "versions": {"model": "3f9a1c", "codebook": "b21e07"},
                    "counts": {"items": 4248, "users": 2000},
                }
            ]
        },
    )


class Health(BaseModel):
    """`ready` is false while recommendations cannot be served; `reason` says why."""

    ready: bool
    reason: str = ""
