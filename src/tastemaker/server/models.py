"""The JSON that crosses the edge, in and out; what OpenAPI shows of it is in `examples.json`."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.config import JsonDict

from tastemaker.errors import InputError
from tastemaker.schema import KINDS, kind_of

# without control characters, as `store.Event` wants it
Identifier = Annotated[str, Field(min_length=1, max_length=200, pattern="^[^\\x00-\\x1f\\x7f-\\x9f]+$")]


def _integer(value: object) -> object:
    """JSON has one kind of number: 5 and 5.0 are the same; true and "5" are none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, Field(strict=True), BeforeValidator(_integer)]
_EXAMPLES = json.loads(files(__package__).joinpath("examples.json").read_text("utf-8"))


def _shown(schema: JsonDict, shape: type[BaseModel]) -> None:
    """Add the shape's examples, where it has any, to what OpenAPI says of it."""
    if shape.__name__ in _EXAMPLES:
        schema["examples"] = _EXAMPLES[shape.__name__]


class In(BaseModel):
    """What a client sends: unknown names are refused, so that a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_shown)


class Out(BaseModel):
    """What a service returns, as a dictionary or as an object with these names."""

    model_config = ConfigDict(from_attributes=True, extra="ignore", json_schema_extra=_shown)


class ProblemOut(BaseModel):
    """Every refusal: what is wrong, and what to do."""

    error: str
    remedy: str


def _name(text: str) -> str:
    try:
        return kind_of(text).name
    except InputError as error:
        raise ValueError(str(error)) from None


Kind = Annotated[
    str,
    AfterValidator(_name),
    Field(
        max_length=50,
        description=f"{', '.join(KINDS)}; case, spaces, hyphens and common synonyms do not matter",
    ),
]


class EventIn(In):
    """One event. `event_id` is chosen by the client, so that sending it again is harmless."""

    event_id: Identifier
    user_id: Identifier
    kind: Kind
    item_id: Identifier | None = None
    target: Identifier | None = Field(default=None, description="for 'undo': the event_id to take back")
    value: float | None = Field(
        default=None,
        strict=True,
        allow_inf_nan=False,
        description="of a play: the share heard, 0 to 1; of a rating: the rating",
    )
    request_id: Identifier | None = Field(default=None, description="the slate it came from")
    position: Integer | None = Field(default=None, ge=0, description="the row of that slate")
    timestamp: AwareDatetime | None = Field(
        default=None, description="when it happened, with its zone; default: when it arrived"
    )

    @model_validator(mode="after")
    def _complete(self) -> EventIn:
        if self.kind == "undo" and self.target is None:
            raise ValueError("an undo needs target, the event_id to take back")
        if self.kind != "undo" and self.item_id is None:
            raise ValueError(f"a {self.kind} needs item_id")
        return self


class EventsRequest(In):
    """A few events at once; all are stored or none."""

    events: list[EventIn] = Field(min_length=1, max_length=500)


class Question(Out):
    """A survey question to show once beside the item: answers are 1 (`low`) to 5 (`high`), or skipped."""

    question_id: str
    item_id: str
    text: str
    low: str
    high: str


class Counts(Out):
    """How many events were new, how many known, and ids whose content differs from what is stored."""

    accepted: int
    duplicates: int = 0
    conflicts: list[str] = Field(default_factory=list)
    survey: Question | None = Field(
        default=None, description="a question to show now; at times, and never to some"
    )


class AnswerIn(In):
    """The answer to a question of `POST /events`: 1 to 5, or null for skipped; repeating it is harmless."""

    question_id: Identifier
    user_id: Identifier
    answer: Integer | None = Field(ge=1, le=5)


class ImpressionIn(In):
    """A slate that was shown, and to whom; without `user_id` where it was made for a bare history."""

    request_id: Identifier
    user_id: Identifier | None = None


class ImpressionOut(Out):
    """It counts as shown."""

    outcome: Literal["shown"]


class AnswerOut(Out):
    """Whether the answer was new or had been stored before."""

    outcome: Literal["stored", "duplicate", "conflict", "unknown"]


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


class RecommendationRequest(In):
    """Ask for a known user, or with a bare history (item ids, oldest first; empty for a stranger)."""

    user_id: Identifier | None = None
    history: list[Identifier] | None = Field(default=None, max_length=1000)
    k: Integer = Field(default=10, ge=1, le=100, description="rows wanted")
    filters: dict[str, list[str]] = Field(default_factory=dict, description="per field, the values that pass")
    exclude: list[Identifier] = Field(
        default_factory=list, max_length=5000, description="item ids never to show"
    )
    request_id: Identifier | None = Field(
        default=None,
        description="your own name for this request: a retry with the same one gets the same slate for a day",
    )
    deadline_ms: Integer | None = Field(default=None, ge=1, le=60_000, description="give up after this long")
    confirm: bool = Field(
        default=False,
        strict=True,
        description="you will say with POST /impressions when it was shown; until then it counts nowhere",
    )

    @model_validator(mode="after")
    def _one_of(self) -> RecommendationRequest:
        if (self.user_id is None) == (self.history is None):
            raise ValueError("give either user_id or history, not both and not neither")
        return self


class Reason(Out):
    """One piece of evidence for a row; `item_id` is the item of the history it rests on."""

    text: str
    item_id: str | None = None


class Retention(Out):
    """What the survey proxy did to a row.

    `p_pos`, `p_neg`: shares of people asked about such a match who are expected to answer 4 or 5, and 1 or 2.
    `moved`: places up (down below 0). `term`: what was added to the score, in median absolute deviations of
    the list's scores.
    """

    p_pos: float
    p_neg: float
    moved: int
    term: float
    text: str


class Row(Out):
    """A recommended item and all there is to show of it; `propensity`: how likely it was shown here."""

    item_id: str
    position: int
    score: float | None = None
    propensity: float
    source: str = "model"
    reasons: list[Reason] = Field(default_factory=list)
    retention: Retention | None = Field(
        default=None, description="what the survey proxy did; null where none is deployed"
    )
    item: Item


class Timings(BaseModel):
    """Milliseconds spent waiting for a turn, computing, in all; `batch` were answered together."""

    queue_ms: float
    compute_ms: float
    total_ms: float
    batch: int


class Recommendations(Out):
    """The answer to a recommendation request; events that answer a row send this `request_id`."""

    request_id: str
    deployment: str = Field(default="", description="what the answer is valid for, see `versions`")
    versions: dict[str, str] = Field(default_factory=dict)
    policy_id: str
    ranker: str = Field(default="", description="the survey proxy that re-ranked; empty where none did")
    rows: list[Row]
    reason: str | None = Field(default=None, description="why there are fewer rows than asked for")
    notice: str | None = Field(default=None, description="what to know, such as that nobody knows the user")
    timings: Timings


class TokenRequest(In):
    """For whom, and for how long."""

    user_id: Identifier
    hours: float = Field(default=1.0, gt=0, le=24 * 365, strict=True)


class Token(Out):
    """Send it as `Authorization: Bearer ...`."""

    user_id: str
    token: str
    hours: float


class SessionRequest(In):
    """Nothing, or somebody to look on as."""

    user_id: Identifier | None = None


class Session(Out):
    """Who the page acts for; `known` says whether anything is kept about them. `token` only where it is asked
    for by name: the visitor's own is in the cookie.
    """

    user_id: str
    known: bool
    token: str | None = None
