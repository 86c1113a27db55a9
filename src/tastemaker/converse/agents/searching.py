"""The recommender's search as a tool call: what the tool looks like, and a model's call as constraints."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import COMPARISONS, Clause, Constraint, Strength
from tastemaker.errors import InputError

BY_ITEM = ("similar_to", "same_group")
_CLAUSE = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["must", "must_not"]},
        "field": {"type": "string"},
        "cmp": {"type": "string", "enum": [name for name in COMPARISONS if name != "either"]},
        "value": {"description": "text, number or list; an item for similar_to and same_group"},
    },
    "required": ["kind", "field", "cmp", "value"],
}


def tool(name: str, text: str, **properties: Any) -> dict[str, Any]:
    """A function tool as OpenAI has it; every argument is required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}


SEARCH = tool(
    "search_items",
    "Items of the catalogue that satisfy every clause, and how many there are.",
    clauses={"type": "array", "items": _CLAUSE},
)
PLAY = tool("play_item", "Play one item to the listener.", item_id={"type": "string"})


class Call(BaseModel):
    """One call of a tool."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    arguments: dict[str, Any]


class SearchAnswer(BaseModel):
    """The calls that a model makes; the last search counts."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    calls: list[Call]


def clauses_of(
    answer: SearchAnswer, catalogue: Catalogue, items: Mapping[str, str]
) -> tuple[Constraint, ...]:
    """The constraints of the last search. items: handle -> item id.

    Raises InputError in one sentence for the model: no search, an unknown field, comparison, value or handle.
    """
    searches = [call for call in answer.calls if call.name == "search_items"]
    if not searches:
        raise InputError("call search_items with the clauses of everything that stands")
    rows = searches[-1].arguments.get("clauses")
    if not isinstance(rows, list):
        raise InputError("search_items needs a list `clauses`")
    return tuple(_constraint(row, catalogue, items) for row in rows)


def _constraint(row: Any, catalogue: Catalogue, items: Mapping[str, str]) -> Constraint:
    if not isinstance(row, dict) or not {"field", "cmp", "value"} <= set(row):
        raise InputError("a clause has kind, field, cmp and value")
    field, cmp, value = str(row["field"]), str(row["cmp"]), row["value"]
    if cmp in BY_ITEM:
        if str(value) not in items:
            raise InputError(f"{value!r} is no item of this conversation; give a handle such as T3")
        value = items[str(value)]
    elif field not in catalogue.fields:
        raise InputError(f"field {field!r} is not known; choose from {', '.join(catalogue.fields)}")
    elif catalogue.fields[field].kind == "number":
        value = tuple(map(float, value)) if isinstance(value, list) else float(value)
    else:
        values = [str(part) for part in value] if isinstance(value, list) else [str(value)]
        for part in values:
            if part not in catalogue.fields[field].values:
                near = difflib.get_close_matches(part, catalogue.fields[field].values, 3, 0.0)
                raise InputError(f"{field} {part!r} is not known; nearest: {', '.join(near)}")
        value = tuple(values) if isinstance(value, list) else values[0]
    kind: Strength = "must_not" if row.get("kind") == "must_not" else "must"
    return Constraint(kind, Clause(field, cmp, value))


def check_search(catalogue: Catalogue, items: Mapping[str, str]) -> Callable[[SearchAnswer], str | None]:
    """What is wrong with a search, in a sentence, or None."""

    def check(answer: SearchAnswer) -> str | None:
        try:
            clauses_of(answer, catalogue, items)
        except (InputError, TypeError, ValueError) as error:
            return str(error)
        return None

    return check
