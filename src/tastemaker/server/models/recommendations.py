"""A wish for a slate, and the slate: rows with propensities, evidence, and what the survey proxy moved."""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator

from tastemaker.server.models.base import Identifier, In, Out, Whole
from tastemaker.server.models.catalogue import Item


class RecommendationRequest(In):
    """Ask for a known user, or with a bare history (item ids, oldest first; empty for a stranger)."""

    user_id: Identifier | None = None
    history: list[Identifier] | None = Field(default=None, max_length=1000)
    k: Whole = Field(default=10, ge=1, le=100, description="rows wanted")
    filters: dict[str, list[str]] = Field(default_factory=dict, description="per field, the values that pass")
    exclude: list[Identifier] = Field(
        default_factory=list, max_length=5000, description="item ids never to show"
    )
    request_id: Identifier | None = Field(
        default=None,
        description="your own name for this request: a retry with the same one gets the same slate for a day",
    )
    deadline_ms: Whole | None = Field(default=None, ge=1, le=60_000, description="give up after this long")
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
