"""The planner with a model: native tool calls over the wire, every way to fail, and an attacker that obeys
all it reads.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from recipes.assistant.attacker import attack
from typer.testing import CliRunner

from tastemaker.assist.assistant import Limits
from tastemaker.assist.desk import Desk
from tastemaker.assist.gate import Gate, held_in_place
from tastemaker.assist.model import Failed, Model
from tastemaker.assist.parts import Item, Text
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State
from tastemaker.cli.main import app
from tastemaker.errors import InputError

from .conftest import Talk, rows_of

Script = Callable[[dict[str, Any]], tuple[int, Iterable[bytes]]]


@pytest.fixture
def endpoint() -> Iterator[Callable[[Script], str]]:
    """An endpoint that answers by a script: request -> (status, pieces of the body)."""
    servers: list[ThreadingHTTPServer] = []

    def start(script: Script) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, pieces = script(body)
                self.send_response(status)
                self.send_header("Content-Type", "text/event-stream" if status == 200 else "application/json")
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def chunk(**delta: Any) -> bytes:
    body = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }
    return f"data: {json.dumps(body)}\n\n".encode()


def calls(*named: tuple[str, dict[str, Any]]) -> bytes:
    return chunk(
        tool_calls=[
            {
                "index": place,
                "id": f"c{place}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for place, (name, arguments) in enumerate(named)
        ]
    )


END = b"data: [DONE]\n\n"


def test_native_tool_calls_and_streamed_words(shelf: Shelf, endpoint: Callable[[Script], str]) -> None:
    asked: list[dict[str, Any]] = []

    def script(body: dict[str, Any]) -> tuple[int, list[bytes]]:
        asked.append(body)
        results = [json.loads(m["content"]) for m in body["messages"] if m["role"] == "tool"]
        if not results:
            return 200, [calls(("search_items", {"wishes": [{"field": "key", "value": "D"}], "k": 5})), END]
        if len(results) == 1:
            return 200, [
                calls(("show", {"handles": [item["handle"] for item in results[0]["items"][:2]]})),
                END,
            ]
        title = results[0]["items"][0]["title"]
        words = f"“{title}” is a jig in D. It is in the key of G. See https://evil.example now. Enjoy it."
        return 200, [*(chunk(content=words[i : i + 7]) for i in range(0, len(words), 7)), END]

    talk = Talk(shelf, Model(endpoint(script), "m"))
    parts = talk.say("a jig please")
    rows = rows_of(shelf, parts)
    columns = shelf.catalogue.columns
    assert len(rows) == 2 and all(columns["tune_type"][r] == "jig" and columns["key"][r] == "D" for r in rows)
    answer = " ".join(part.text for part in parts if isinstance(part, Text))
    assert (
        "is a jig in D." in answer
        and "Enjoy it." in answer
        and "evil" not in answer
        and "key of G" not in answer
    )
    names = {tool["function"]["name"] for tool in asked[0]["tools"]}
    assert asked[0]["stream"] is True and {"search_items", "show", "relax", "log_feedback"} <= names


function = {"name": "search_items", "arguments": "[" * 100_000}

FAILING: dict[str, Script] = {
    "refuses the request": lambda body: (400, [b'{"error": {"message": "no tools here"}}']),
    "is broken": lambda body: (500, [b"oops"]),
    "streams garbage": lambda body: (200, [b"data: {{{{\n\n", END]),
    "streams another shape": lambda body: (200, [b'data: {"choices": "none"}\n\n', END]),
    "says nothing": lambda body: (200, [END]),
    "answers no stream": lambda body: (200, [b"<html>hello</html>"]),
    "streams without a bottom": lambda body: (200, [b"data: " + b"[" * 100_000 + b"\n\n", END]),
    "counts tokens without end": lambda body: (
        200,
        [b'data: {"choices": [], "usage": {"total_tokens": 1e999}}\n\n', END],
    ),
    "calls without a bottom": lambda body: (
        200,
        [
            chunk(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": function}]),
            END,
        ],
    ),
}


@pytest.mark.parametrize("how", FAILING)
def test_when_it_fails_rules_answer(shelf: Shelf, endpoint: Callable[[Script], str], how: str) -> None:
    talk = Talk(shelf, Model(endpoint(FAILING[how]), "m"))
    parts = talk.say("a jig in D")
    assert any(isinstance(part, Item) for part in parts)


def test_half_a_letter_is_not_said(shelf: Shelf, endpoint: Callable[[Script], str]) -> None:
    talk = Talk(shelf, Model(endpoint(lambda body: (200, [chunk(content="Here \ud800 you are."), END])), "m"))
    assert talk.words("hello").isascii()  # no answer over HTTP can hold it


def test_down_slow_and_never_ending(shelf: Shelf, endpoint: Callable[[Script], str]) -> None:
    released = threading.Event()

    def slow(body: dict[str, Any]) -> tuple[int, list[bytes]]:
        released.wait(30)
        return 200, [END]

    def alive(body: dict[str, Any]) -> tuple[int, Iterator[bytes]]:
        return 200, ((released.wait(0) and time.sleep(0.05)) or b": PROCESSING\n\n" for _ in range(100))

    def answered(url: str, limits: Limits) -> None:
        desk = Desk(shelf, Talk(shelf).ranker, Talk(shelf).crowd, state := State(), Gate(shelf, state))
        list(Model(url, "m").answer("a jig", desk, [], limits))

    with pytest.raises(Failed):
        answered("http://127.0.0.1:9/v1", Limits())
    with pytest.raises(Failed):
        answered(endpoint(slow), Limits(seconds=0.3))
    released.set()
    with pytest.raises(Failed, match="too long"):  # a proxy's signs of life are no answer
        answered(endpoint(alive), Limits(seconds=0.3))
    with pytest.raises(Failed, match="does not stop"):
        answered(endpoint(lambda body: (200, [chunk(content="word " * 50) for _ in range(100)])), Limits())


def test_a_refused_key_ends_the_command_with_one_line(
    tiny_workspace: Any, endpoint: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEMAKER_API_KEY", "sk-canary-1234")
    url = endpoint(lambda body: (401, [b'{"error": {"message": "bad key sk-canary-1234"}}']))
    run = CliRunner().invoke(app, ["chat", "-w", str(tiny_workspace), "--model", f"m@{url}", "--say", "hi"])
    assert run.exit_code != 0 and isinstance(run.exception, InputError)
    assert (
        "\n" not in str(run.exception)
        and "TASTEMAKER_API_KEY" in str(run.exception)
        and "canary" not in str(run.exception)
    )


def test_a_model_moves_a_candidate_three_places_at_most() -> None:
    ranked = list(range(20))
    for chosen in ([19, 5, 4], [7, 6, 5, 0], list(range(19, -1, -1)), []):
        held = held_in_place(ranked, chosen)
        assert len(held) == len(chosen) and len(set(held)) == len(held)
        assert all(row - place <= 3 for place, row in enumerate(held))


def test_the_obedient_attacker_breaches_nothing() -> None:
    breaches, turns, most = attack(40)
    assert turns == 40 and not breaches and most <= Limits().calls


def test_the_attacker_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the gate the same turns breach it: the check can fail."""
    monkeypatch.setattr(Gate, "words", lambda self, text, about: text)
    monkeypatch.setattr(Gate, "pass_on", lambda self, part: part)
    breaches, _, _ = attack(30)
    assert breaches["link, markup, address or hidden text"] and breaches["claim that does not hold"]
