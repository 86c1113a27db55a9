"""From a reply to a usable answer: parse, schema, domain; and how to ask again where one fails."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from tastemaker.chat.protocol import CallError, Check, Reply, Request, assistant, user

A = TypeVar("A")
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n\s*```", re.DOTALL | re.IGNORECASE)
_SHOWN = 3


def read_answer(reply: Reply, request: Request[A], check: Check[A] | None = None) -> A:
    """The validated answer in `reply`; a Markdown fence or prose around one JSON object is taken off, nothing
    else is repaired.

    Raises CallError: `cut_off`, `not_json`, `schema` or `domain`; the detail is what the model is told.
    """
    value = cast(
        A, _plain(reply) if request.answer is str else _parsed(reply, cast("type[BaseModel]", request.answer))
    )
    problem = check(value) if check is not None else None
    if problem is not None:
        raise CallError("domain", problem)
    return value


def _plain(reply: Reply) -> str:
    if reply.cut_off:
        raise CallError("cut_off", "the answer was too long; say it in fewer words")
    if not reply.text.strip():
        raise CallError("schema", "the answer was empty")
    return reply.text.strip()


def _parsed(reply: Reply, answer: type[BaseModel]) -> BaseModel:
    fenced = _FENCE.search(reply.text)
    text = fenced[1] if fenced else reply.text
    try:
        return answer.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    inside = text[text.find("{") : text.rfind("}") + 1]  # an object with prose around it
    if problems[0]["type"] == "json_invalid" and inside and inside != text.strip():
        try:
            return answer.model_validate_json(inside)
        except ValidationError:
            pass
    if problems[0]["type"] == "json_invalid":
        if reply.cut_off:
            raise CallError("cut_off", "the JSON was cut off because it was too long; answer in fewer words")
        quote = f"‘{' '.join(text.split())[:80]}’" if text.strip() else "it is empty"
        why = problems[0]["msg"] if inside else quote  # a refusal says more than where the parser stopped
        raise CallError("not_json", f"the answer is not JSON ({why}); answer with one JSON object only")
    listed = "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'answer'}: {problem['msg']}" for problem in problems[:_SHOWN]
    )
    suffix = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
    raise CallError("schema", f"the JSON does not fit the schema: {listed}{suffix}")


def ask_again(request: Request[A], tries: Sequence[dict[str, Any]]) -> Request[A]:
    """The request with rejected answers and reasons, in order; without tries, the request itself."""
    messages = request.messages
    for rejected in tries:
        messages += (
            assistant(rejected["text"] or "(empty)"),
            user(f"That answer cannot be used: {rejected['detail']}. Answer again."),
        )
    return replace(request, messages=messages) if tries else request


def schema_prompt(request: Request[Any]) -> str:
    """The sentence that tells a model without schema decoding its answer's shape; "" for text."""
    if request.schema is None:
        return ""
    return (
        "Answer with one JSON object that fits this JSON schema, and nothing"
        f" else:\n{json.dumps(request.schema)}"
    )
