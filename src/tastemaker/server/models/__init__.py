"""The JSON that crosses the edge, in and out, with the examples that OpenAPI shows."""

from tastemaker.server.models.base import Identifier, ProblemOut
from tastemaker.server.models.catalogue import (
    FieldValue,
    FilterField,
    Forgotten,
    Health,
    Info,
    Item,
    PastEvent,
    PastTurn,
    User,
)
from tastemaker.server.models.events import (
    AnswerIn,
    AnswerOut,
    Counts,
    EventIn,
    EventsRequest,
    ImpressionIn,
    ImpressionOut,
    Kind,
    Question,
)
from tastemaker.server.models.recommendations import (
    Reason,
    RecommendationRequest,
    Recommendations,
    Retention,
    Row,
    Timings,
)

__all__ = [
    "AnswerIn",
    "AnswerOut",
    "Counts",
    "EventIn",
    "EventsRequest",
    "FieldValue",
    "FilterField",
    "Forgotten",
    "Health",
    "Identifier",
    "ImpressionIn",
    "ImpressionOut",
    "Info",
    "Item",
    "Kind",
    "PastEvent",
    "PastTurn",
    "ProblemOut",
    "Question",
    "Reason",
    "RecommendationRequest",
    "Recommendations",
    "Retention",
    "Row",
    "Timings",
    "User",
]
