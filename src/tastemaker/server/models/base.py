"""What every shape of the edge shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

# without control characters, as `store.Event` wants it
Identifier = Annotated[str, Field(min_length=1, max_length=200, pattern="^[^\\x00-\\x1f\\x7f-\\x9f]+$")]


def _whole(value: object) -> object:
    """JSON has one kind of number: 5 and 5.0 are the same; true and "5" are none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole)]
ITEM_EXAMPLE: JsonDict = {
    "item_id": "oneills1850-0413",
    "title": "The Blackbird",
    "text": "The Blackbird, a hornpipe in D from O'Neill's Music of Ireland",
    "attributes": ["tune_type=hornpipe", "key=D", "book=O'Neill's"],
    "facts": {"tune_type": ["hornpipe"], "key": ["D"], "book": ["O'Neill's"]},
    "creator": None,
    "has_audio": True,
    "has_image": True,
}


class In(BaseModel):
    """What a client sends: unknown names are refused, so that a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """What a service returns, as a dictionary or as an object with these names."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


class ProblemOut(BaseModel):
    """Every refusal: what is wrong, and what to do."""

    error: str
    remedy: str
