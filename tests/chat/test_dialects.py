"""Answers as endpoints that call themselves compatible give them: each was reported of another client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from tastemaker.chat import CallError, Engine, StoppedEarly, Usage
from tastemaker.chat.answers import read_answer
from tastemaker.chat.budget import Limits, maximum
from tastemaker.chat.endpoint import Endpoint, EndpointSettings
from tastemaker.chat.protocol import BudgetReached, Reply

from .conftest import Pick, ask

OK = '{"item": 1, "why": "it fits"}'
USED = {"prompt_tokens": 10, "completion_tokens": 5}


def completion(content: Any = OK, usage: Any = USED, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"choices": [choice], "usage": usage}


def calling(arguments: Any) -> dict[str, Any]:
    return completion(None, tool_calls=[{"function": {"name": "search", "arguments": arguments}}])


def answering(body: Any) -> Endpoint:
    """An endpoint that always answers `body`, as JSON where it is no text."""
    content = body if isinstance(body, str) else json.dumps(body)
    chat = Endpoint(EndpointSettings("http://127.0.0.1:9/v1", "model"))
    chat.close()
    network = httpx.Client(
        transport=httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    )
    chat._client = OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0, http_client=network)
    return chat


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": OK}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "{"}]}, {"type": "text", "text": OK}],
        f'<think>perhaps {{"item": 2}}?</think>\n{OK}',
        f"perhaps {{two}}? </think>\n\n{OK}",
        f"Sure:\n```json\n{OK}\n```\nWrite me {{again}}!",
        f"```JSON\n{OK}\n```",
    ],
)
def test_the_answer_is_found_beside_thoughts_parts_and_prose(
    make: Callable[..., Engine], content: Any
) -> None:
    engine = make(answering(completion(content)))
    assert engine.call(ask()) == Pick(item=1, why="it fits")
    assert engine.journal is not None
    assert engine.journal.attempts == {"valid": 1}


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": 7},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": -1, "completion_tokens": -1},
        {"prompt_tokens": float("inf"), "completion_tokens": 1},
    ],
)
def test_usage_that_is_no_count_is_booked_at_its_maximum(make: Callable[..., Engine], usage: Any) -> None:
    """Half of a count broke the answer off as "no whole chat completion"; zeros let a limit never be met."""
    request = ask()
    engine = make(answering(completion(usage=usage)), limits=Limits(tokens=maximum(request).total))
    assert engine.call(request).item == 1
    assert engine.budget.usage == maximum(request)
    with pytest.raises(BudgetReached):
        engine.call(ask("another?"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, "rate_limited"),
        (401, "denied"),
        (502, "unavailable"),
        (400, "refused"),
        ("overloaded", "unavailable"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_an_error_with_status_200_is_that_error(code: Any, kind: str, inside: bool) -> None:
    error = {"error": {"message": "free models: 20 a minute", "code": code}}
    body = {"choices": [{**error, "message": {"role": "assistant", "content": ""}}]} if inside else error
    with pytest.raises(CallError, match="free models: 20 a minute") as caught:
        answering(body).complete(ask())
    assert caught.value.kind == kind


def test_a_body_that_is_no_completion_is_shown(make: Callable[..., Engine]) -> None:
    with pytest.raises(StoppedEarly, match=r"no whole chat completion: .*something else"):
        make(answering({"something else": 1})).call(ask())


def test_json_without_a_bottom_is_an_answer_like_any_other() -> None:
    """It was a RecursionError, and ended the command with "please report it"."""
    deep = "[" * 100_000
    with pytest.raises(CallError, match="no whole chat completion"):
        answering(deep).complete(ask())
    for body in (completion(deep), calling(deep)):
        with pytest.raises(CallError) as caught:
            read_answer(answering(body).complete(ask()), ask())
        assert caught.value.kind == "not_json"


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS"])
def test_an_answer_at_its_most_tokens_is_cut_off(finish: str) -> None:
    reply = answering(completion('{"item": 1, "why": "it f', finish=finish)).complete(ask())
    assert reply.cut_off
    with pytest.raises(CallError, match="fewer words"):
        read_answer(reply, ask())


def test_broken_arguments_of_a_tool_are_an_answer_to_ask_again_for(make: Callable[..., Engine]) -> None:
    """They were a broken connection, and ended the run."""
    with pytest.raises(CallError) as caught:
        make(answering(calling('{"item": '))).call(ask())
    assert caught.value.kind == "not_json"
    for arguments in ({"item": 1}, '{"item": 1}'):
        reply = answering(calling(arguments)).complete(ask())
        assert json.loads(reply.text) == {"calls": [{"name": "search", "arguments": {"item": 1}}]}


def test_half_a_surrogate_pair_breaks_no_run(make: Callable[..., Engine]) -> None:
    """An emoji cut in two ended the whole run with a UnicodeEncodeError."""
    assert make(answering(completion('{"item": 1, "why": "\ud83d fits"}'))).call(ask()).why == "\ufffd fits"
    assert (
        make(answering(completion('{"item": 1, "why": "\U0001f600 fits"}'))).call(ask("?")).why
        == "\U0001f600 fits"
    )


def test_why_nothing_was_said_is_kept() -> None:
    reply = answering(completion(None, refusal="I cannot help with that")).complete(ask())
    assert reply == Reply("I cannot help with that", Usage(10, 5))
