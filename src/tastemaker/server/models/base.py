"""What every shape of the edge shares."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

# without control characters, as `store.Event` wants it
Identifier = Annotated[str, Field(min_length=1, max_length=200, pattern="^[^\\x00-\\x1f\\x7f-\\x9f]+$")]


def _whole(value: object) -> object:
    """JSON has one kind of number: 5 and 5.0 are the same; true and "5" are none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole)]
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
