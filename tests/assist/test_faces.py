"""Where people and programs meet the assistant: OpenAI's own client, the MCP client, the terminal, Python,
the page's stream.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from openai import APIStatusError, OpenAI
from starlette.testclient import TestClient
from typer.testing import CliRunner

import tastemaker as tm
from tastemaker.assist.assistant import Assistant, Limits
from tastemaker.assist.tools import Rooms, mcp_server
from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.server import address, bind, create_app


@pytest.fixture(scope="module")
def assistant(tiny_workspace: Path) -> Iterator[Assistant]:
    opened = tm.Assistant.open(tiny_workspace)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def url(assistant: Assistant) -> Iterator[str]:
    listener = bind(port=0)
    listener.listen()
    application = create_app(assistant.service, talker=assistant)
    running = uvicorn.Server(uvicorn.Config(application, log_level="warning", ws="none"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield address(listener)
    running.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as api:
        yield api


def parts(url: str, **body: Any) -> list[dict[str, Any]]:
    answer = httpx.post(f"{url}/assist", json=body, timeout=60)
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def test_the_official_client_gets_text_and_items(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tastemaker"]
    asked = [{"role": "user", "content": "a reel in D please"}]
    answer = client.chat.completions.create(model="tastemaker", messages=asked)  # type: ignore[arg-type]
    assert answer.choices[0].message.content and "1. Tune number" in answer.choices[0].message.content
    items = [part for part in answer.model_extra["tastemaker"]["parts"] if part["kind"] == "item"]  # type: ignore[index]
    assert items and all(part["facts"]["type"] == "reel" and part["facts"]["key"] == "D" for part in items)
    asked += [
        {"role": "assistant", "content": answer.choices[0].message.content},
        {"role": "user", "content": "what key is the first in?"},
    ]
    follow = client.chat.completions.create(model="tastemaker", messages=asked)  # type: ignore[arg-type]
    assert "key D" in str(follow.choices[0].message.content)


def test_the_official_client_streams_and_a_forgotten_conversation_is_read_anew(client: OpenAI) -> None:
    line = "1. Tune number 9 the jig"
    asked = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "a jig in G"},
        {"role": "assistant", "content": f"Something that this server never said.\n{line}"},
        {"role": "user", "content": [{"type": "text", "text": "not that one"}]},
    ]
    chunks = list(
        client.chat.completions.create(
            model="tastemaker", messages=asked, stream=True, stream_options={"include_usage": True}
        )
    )  # type: ignore[call-overload]
    answer = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    kinds = [
        chunk.model_extra["tastemaker"]["kind"]
        for chunk in chunks
        if "tastemaker" in (chunk.model_extra or {})
    ]
    assert (
        "Left out from now on: “Tune number 9 the jig”" in answer and "item" in kinds and kinds[-1] == "done"
    )
    assert chunks[-1].usage.total_tokens > 0 and chunks[-2].choices[0].finish_reason == "stop"


def test_after_a_restart_a_place_means_the_list_that_the_client_saw(tiny_workspace: Path) -> None:
    def says(calls: TestClient, asked: list[dict[str, str]], words: str) -> tuple[str, list[str]]:
        asked.append({"role": "user", "content": words})
        body = {"messages": asked, "user": user}
        answer = calls.post("/v1/chat/completions", json=body).raise_for_status().json()
        asked.append(answer["choices"][0]["message"])
        parts = answer["tastemaker"]["parts"]
        return asked[-1]["content"], [part["item_id"] for part in parts if part["kind"] == "item"]

    def served() -> TestClient:
        again = stack.enter_context(closing(tm.Assistant.open(tiny_workspace)))
        app = create_app(again.service, talker=again)
        return stack.enter_context(TestClient(app, base_url="http://localhost"))

    def liked(calls: TestClient) -> list[str]:
        return [event["item_id"] for event in calls.get(f"/users/{user}/history").json()]

    with ExitStack() as stack:
        user, asked, first = "u-restart", list[dict[str, str]](), served()
        items = says(first, asked, "a reel in A")[1]
        branch, edited = [*asked], [*asked]
        says(served(), asked, "I like the second")
        turns = first.get(f"/users/{user}/conversations").json()
        assert liked(first) == [items[1]] and len({turn["conversation_id"] for turn in turns}) == 1
        more = says(first, branch, "more")[1]  # from where the other server went on otherwise
        assert more and not set(more) & set(items)
        edited[1] = {"role": "assistant", "content": "1. Tune number 7 the polka\n2. Tune number 5 the jig"}
        words, _ = says(served(), edited, "I like the second")
        assert "Tune number 5 the jig" in words and liked(first)[-1] == "t005"
        for strange in ("1. A tune\n2. Another", "Here you are."):
            edited[1:] = [{"role": "assistant", "content": strange}]
            assert "Which one do you mean" in says(served(), edited, "I like the second")[0]
        assert set(liked(first)) == {items[1], "t005"}


def test_ids_that_come_back_are_the_list(client: OpenAI) -> None:
    """Two tunes of one title are told apart, and an id that is no item's is refused."""
    shown = {"parts": [{"kind": "item", "item_id": name} for name in ("t005", "t007")]}
    asked: list[Any] = [
        {"role": "user", "content": "anything"},
        {"role": "assistant", "content": "1. An item\n2. An item", "tastemaker": shown},
        {"role": "user", "content": "not the second"},
    ]
    answer = client.chat.completions.create(model="tastemaker", messages=asked)
    assert "Left out from now on: “Tune number 7" in str(answer.choices[0].message.content)
    shown["parts"][1]["item_id"] = "somebody-elses"
    with pytest.raises(APIStatusError) as refused:
        client.chat.completions.create(model="tastemaker", messages=asked)
    assert refused.value.status_code == 400
    assert "'somebody-elses' is not in the catalogue" in refused.value.response.text


def test_the_official_client_is_told_what_is_wrong(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as unknown:
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "hi"}])
    assert unknown.value.status_code == 404 and "tastemaker" in unknown.value.response.json()["remedy"]
    with pytest.raises(APIStatusError) as misplaced:
        client.chat.completions.create(model="tastemaker", messages=[{"role": "assistant", "content": "hi"}])
    assert misplaced.value.status_code == 400


def test_the_pages_stream_chips_and_buttons(url: str) -> None:
    first = parts(url, message="a reel in D")
    assert first[0]["kind"] == "understood" and first[-1]["kind"] == "done" and not first[-1]["changed"]
    name, shown = first[-1]["conversation_id"], [part["item_id"] for part in first if part["kind"] == "item"]
    chip = next(chip["name"] for chip in first[0]["chips"] if chip["field"] == "key")
    without = parts(url, conversation_id=name, remove=[chip])
    assert [each["field"] for each in without[0]["chips"]] == ["type"]
    both = parts(url, conversation_id=name, message="a jig in D and a reel in G")[0]["chips"]
    (chip,) = [chip["name"] for chip in both if chip["label"] == "jig with key D or reel with key G"]
    assert parts(url, conversation_id=name, remove=[chip])[0]["chips"] == []
    pressed = parts(url, conversation_id=name, user_id="u-chat", feedback={shown[0]: "like"})
    assert pressed[-1]["kind"] == "done" and pressed[-1]["changed"]
    history = httpx.get(f"{url}/users/u-chat/history").json()
    assert [(event["item_id"], event["kind"]) for event in history] == [(shown[0], "like")]
    known = parts(url, conversation_id=name, user_id="u-chat", message="what do you know about me?")
    assert any("1 thing that you wanted" in part.get("text", "") for part in known)
    refused = httpx.post(
        f"{url}/assist", json={"message": "hi", "conversation_id": name, "user_id": "u-other"}
    )
    assert refused.status_code == 400 and "another person" in refused.json()["error"]


def test_a_person_who_was_erased_is_nobody_in_the_same_conversation(url: str) -> None:
    first = parts(url, message="a waltz", user_id="u-gone")
    name, shown = (
        first[-1]["conversation_id"],
        next(part["item_id"] for part in first if part["kind"] == "item"),
    )
    parts(url, conversation_id=name, user_id="u-gone", feedback={shown: "like"})
    parts(url, conversation_id=name, user_id="u-gone", message="forget everything about me")
    last = parts(url, conversation_id=name, user_id="u-gone", message="yes, erase everything")
    assert any("erased" in part.get("text", "") for part in last)
    assert httpx.get(f"{url}/users/u-gone/history").status_code == 404


@pytest.mark.parametrize(
    "body", [{"message": "x" * 20_001}, {"message": "hi", "feedback": {"t000": "buy"}}, {"message": 5}, []]
)
def test_a_wrong_turn_is_refused(url: str, body: Any) -> None:
    assert httpx.post(f"{url}/assist", json=body).status_code == 422


def test_long_messages_and_unknown_items_say_so(url: str) -> None:
    answer = httpx.post(f"{url}/assist", json={"message": "x" * 10_001})
    assert answer.status_code == 400 and "10,000" in answer.json()["remedy"]
    notices = parts(url, feedback={"no-such": "like"})
    assert any(part["kind"] == "notice" and "not in the catalogue" in part["text"] for part in notices)


def test_eight_talk_at_once(assistant: Assistant) -> None:
    results: list[list[str]] = []

    def talk(kind: str) -> None:
        spoken = list(assistant.respond(f"a {kind} please"))
        results.append([part.facts["type"] for part in spoken if part.kind == "item"] + [kind])  # type: ignore[attr-defined]

    kinds = ["reel", "jig", "waltz", "polka"] * 2
    threads = [threading.Thread(target=talk, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8 and all(set(types) == {types[-1]} for types in results)


def test_turns_of_a_person_are_limited(assistant: Assistant) -> None:
    few = Assistant(assistant.service, limits=Limits(turns=2))
    few._library = assistant._library
    for _ in range(2):
        list(few.respond("hi", user_id="u-many"))
    with pytest.raises(InputError, match="turns in an hour"):
        list(few.respond("hi", user_id="u-many"))


def test_the_terminal(tiny_workspace: Path) -> None:
    run = CliRunner().invoke(
        app,
        ["chat", "-w", str(tiny_workspace), "--say", "a polka in G", "--say", "what key is it in?", "--json"],
    )
    assert run.exit_code == 0, run.output
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert sum(line["kind"] == "done" for line in lines) == 2 and any(
        "key G" in line.get("text", "") for line in lines
    )
    spoken = CliRunner().invoke(app, ["chat", "-w", str(tiny_workspace), "-q"], input="a polka in G\n\n")
    assert spoken.exit_code == 0 and "1. Tune number" in spoken.stdout


async def _tools(target: Any) -> str:
    """Use the tools as a client does; the title of what was looked up."""
    from mcp import Client

    async with Client(target) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {
            "search_items",
            "recommend",
            "similar_items",
            "relax",
            "explain",
            "compare",
            "log_feedback",
            "get_profile",
        } <= names
        asked = {"wishes": [{"field": "type", "value": "reel"}], "conversation": "a"}
        hits = (await client.call_tool("search_items", asked)).structured_content
        assert hits and hits["fits"] == 16 and all(item["type"] == "reel" for item in hits["items"])
        handle = hits["items"][0]["handle"]
        about = (
            await client.call_tool("get_item", {"handle": handle, "conversation": "a"})
        ).structured_content
        assert about and about["title"] == hits["items"][0]["title"]
        wrong = (
            await client.call_tool("search_items", {"wishes": [{"field": "typo", "value": "reel"}]})
        ).structured_content
        assert wrong and "nearest are type" in wrong["error"]
        alien = (
            await client.call_tool("get_item", {"handle": handle, "conversation": "b"})
        ).structured_content
        assert alien and "unknown" in alien["error"]
        return str(about["title"])


def test_the_official_mcp_client_in_process(assistant: Assistant) -> None:
    assert asyncio.run(_tools(mcp_server(assistant))).startswith("Tune")


def test_the_official_mcp_client_over_http(assistant: Assistant) -> None:
    listener = bind(port=0)
    listener.listen()
    running = uvicorn.Server(
        uvicorn.Config(mcp_server(assistant).streamable_http_app(), log_level="warning", ws="none")
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert asyncio.run(_tools(f"{address(listener)}/mcp")).startswith("Tune")
    finally:
        running.should_exit = True
        thread.join()
        listener.close()


def test_the_official_mcp_client_over_stdio(tiny_workspace: Path) -> None:
    from mcp import StdioServerParameters

    command = ["-m", "tastemaker", "serve", "--mcp", "-w", str(tiny_workspace)]
    parameters = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    assert asyncio.run(_tools(parameters)).startswith("Tune")


def test_a_handle_of_many_digits_is_unknown(assistant: Assistant) -> None:
    assert "is unknown" in Rooms(assistant, None).call("get_item", "c", {"handle": "T" + "9" * 5000})["error"]


def test_long_names_of_conversations_are_told_apart_or_refused(assistant: Assistant) -> None:
    rooms, first, second = Rooms(assistant, None), "c" * 100 + "1", "c" * 100 + "2"
    asked = {"wishes": [{"field": "type", "value": "reel"}]}
    rooms.call("search_items", first, asked)
    assert rooms.call("search_items", second, {})["fits"] > rooms.call("search_items", first, {})["fits"]
    assert "characters at most" in rooms.call("recommend", "c" * 1_000_000, {})["error"]


def test_a_conversation_that_called_enough_is_told_so_for_good(
    assistant: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.assist.tools.CALLS", 2)
    rooms = Rooms(assistant, None)
    said = [rooms.call("relax", "c", {}).get("error", "") for _ in range(4)]
    assert said[:2] == ["", ""] and all("choose another name" in one for one in said[2:])
    assert "error" not in rooms.call("relax", "d", {})


def test_pictures_are_said_to_be_unread(client: OpenAI) -> None:
    words: list[Any] = [{"type": "text", "text": "a jig"}]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    def said(content: list[Any]) -> str:
        answer = client.chat.completions.create(
            model="tastemaker", messages=[{"role": "user", "content": content}]
        )
        return answer.choices[0].message.content or ""

    assert said([*words, picture]).startswith("I cannot read pictures")
    assert "pictures" not in said(words)
    assert said([{"type": "text", "text": None}, picture]).startswith("I cannot read pictures")
