"""What people did, and the survey question that may follow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from tastemaker.errors import InputError
from tastemaker.schema import KINDS, kind_of
from tastemaker.server.models.base import Identifier, In, Out, Whole


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
    position: Whole | None = Field(default=None, ge=0, description="the row of that slate")
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
    answer: Whole | None = Field(ge=1, le=5)


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
