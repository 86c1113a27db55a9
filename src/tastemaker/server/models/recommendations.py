"""A wish for a slate, and the slate: rows with propensities, evidence, and what the survey proxy moved."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from tastemaker.server.models.base import ITEM_EXAMPLE, Identifier, In, Out
from tastemaker.server.models.catalogue import Item

_REASON: JsonDict = {
    "text": "You liked The Cuckoo's Nest: same type hornpipe, same key D",
    "item_id": "ryans-0707",
}


def _as_reason(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


class RecommendationRequest(In):
    """Ask for a known user, or with a bare history (item ids, oldest first; empty for a stranger)."""

    user_id: Identifier | None = None
    history: list[Identifier] | None = Field(default=None, max_length=1000)
    k: int = Field(default=10, ge=1, le=100, description="rows wanted")
    filters: dict[str, list[str]] = Field(default_factory=dict, description="per field, the values that pass")
    exclude: list[Identifier] = Field(
        default_factory=list, max_length=5000, description="item ids never to show"
    )
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
    """One recommended item. `propensity` is the probability with which the policy showed it here."""

    item_id: str
    position: int
    score: float | None = None
    propensity: float
    source: str = "model"
    reasons: list[Annotated[Reason, BeforeValidator(_as_reason)]] = Field(default_factory=list)
    retention: Retention | None = Field(
        default=None, description="what the survey proxy did; null where none is deployed"
    )


class Slate(Out):
    """A list of rows; `reason` says why there are fewer than asked for."""

    request_id: str
    policy_id: str
    rows: list[Row]
    reason: str | None = None


class FullRow(Row):
    """A row with its item, so that a page needs no second call."""

    item: Item


class Timings(BaseModel):
    """Milliseconds spent waiting for a turn, computing, and in all; `batch` requests were answered
    together.
    """

    queue_ms: float
    compute_ms: float
    total_ms: float
    batch: int


class Recommendations(Out):
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
                            "item": ITEM_EXAMPLE,
                        }
                    ],
                    "reason": "1 item passes the filters",
                    "timings": {"queue_ms": 0.4, "compute_ms": 41.0, "total_ms": 42.1, "batch": 1},
                }
            ]
        },
    )
