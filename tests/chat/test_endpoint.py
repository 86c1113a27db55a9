"""The endpoint back end against a server that misbehaves, over real HTTP; waits pass on a fake clock."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from email.utils import formatdate
from types import SimpleNamespace

import httpx2 as httpx
import pytest
from openai import OpenAI
from recipes.converse.rehearsal import FAULTS, Rehearsal, Script

from tastemaker.chat import CallError, Media, Request, StoppedEarly, Unit, map_units, system, user
from tastemaker.chat.endpoint import Endpoint, EndpointSettings, retry_after
from tastemaker.errors import InputError

from .conftest import Pick, ask

CANARY = "sk-canary-3f9a1c"


def answer(body):
    return json.dumps({"item": len(body["messages"][0]["content"]), "why": "it fits"})


@pytest.fixture
def connect():
    """`connect(url or server, **settings)`: an endpoint that is closed when the test ends."""
    with ExitStack() as stack:

        def build(where="http://127.0.0.1:9/v1", deadline=0.4, **more):
            url = where if isinstance(where, str) else where.base_url
            settings = EndpointSettings(url, "model", deadline=deadline, **more)
            return stack.enter_context(Endpoint(settings))

        yield build


def answering(chat, handler):
    """Put a handler in place of the network."""
    chat.close()
    network = httpx.Client(transport=httpx.MockTransport(handler))
    chat._client = OpenAI(base_url=chat.settings.base_url, api_key="k", max_retries=0, http_client=network)
    return chat


@pytest.mark.parametrize("fault", [kind for kind in FAULTS if kind != "echo_key"])
def test_every_fault_is_survived_and_nothing_invalid_kept(make, clock, tmp_path, fault, connect):
    script = Script(answer, plan=("", fault), retry_after=3, hang=5)
    with Rehearsal(script) as server:
        patience = 2 if fault == "hang" else 60  # so that no other answer is late, however busy the machine
        engine = make(connect(server, deadline=patience), most=8)
        assert engine.call(ask("a")).item == 1 and engine.call(ask("bb")).item == 2
        slowed = fault in ("429_seconds", "429_date", "503", "hang")
        assert engine.pace.allowed == (4 if slowed else 8)
        assert server.faults[fault] == 1 and server.asked.total() == 3
        if fault == "429_seconds":
            assert sum(clock.slept) == pytest.approx(3)
        if fault == "429_date":
            assert 2 <= sum(clock.slept) <= 3  # HTTP dates have whole seconds
        kind = {
            "truncated": "cut_off",
            "wrong_schema": "schema",
            "drop": "dropped",
            "hang": "timeout",
            "503": "unavailable",
        }
        assert engine.journal.attempts == {"valid": 2, kind.get(fault, "rate_limited"): 1}
    files = [path for path in (tmp_path / "cache").rglob("*.json") if ".tries" not in path.name]
    assert len(files) == 2 and all(
        Pick.model_validate_json(json.loads(path.read_bytes())["text"]) for path in files
    )


def test_a_storm_of_faults_loses_and_repeats_nothing(make, tmp_path, connect):
    share = 0.04
    kinds = ("429_seconds", "429_date", "503", "truncated", "wrong_schema", "drop", "hang")
    script = Script(answer, faults=dict.fromkeys(kinds, share), hang=5, seed=1)
    with Rehearsal(script) as server:
        engine = make(connect(server, deadline=1.0), cool_down=0.0)
        units = [Unit(f"c{i}", "s", "x" * (i + 1)) for i in range(60)]
        out = list(map_units(engine, lambda unit: engine.call(ask(unit.value, unit=unit.id)).item, units))
    failed = {result.id for result in out if result.failure}
    assert [result.value for result in out if not result.failure] == [
        i + 1 for i in range(60) if f"c{i}" not in failed
    ]
    assert server.faults.total() >= 6 and len(failed) <= 2
    assert engine.journal.attempts["valid"] == 60 - len(failed) and not engine.journal.unconfirmed


def test_retry_after_in_both_forms():
    now = 1_700_000_000.0
    assert retry_after("7", now) == 7 and retry_after("2.5", now) == 2.5
    assert retry_after(formatdate(now + 90, usegmt=True), now) == 90
    assert retry_after(formatdate(now - 90, usegmt=True), now) == 0
    assert retry_after("", now) == retry_after("soon", now) == retry_after("-3", now) == 0


def test_parts_schema_and_sampling_are_sent_as_the_protocol_has_them(connect):
    with Rehearsal(Script(answer)) as server:
        chat = connect(server, revision="2026-11")
        request = Request(
            (system("s"), user("look", Media(b"png", "image/png"), Media(b"wav", "audio/wav"))),
            Pick,
            sample=3,
            view={"a": 1},
        )
        body = chat.body(request)
    assert chat.model == "model@2026-11" and body["seed"] == 3
    assert body["messages"][0] == {"role": "system", "content": "s"}
    text, image, audio = body["messages"][1]["content"]
    assert text == {"type": "text", "text": "look"}
    assert image["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(b"png").decode()
    assert audio == {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(b"wav").decode(), "format": "wav"},
    }
    assert body["response_format"]["json_schema"] == {"name": "Pick", "schema": Pick.model_json_schema()}
    assert "response_format" not in chat.body(Request((user("q"),), str)) and "view" not in body


def test_usage_is_the_endpoint_s_and_a_dripping_answer_meets_the_deadline(connect, monkeypatch):
    with Rehearsal(Script(answer)) as server:
        chat = connect(server)
        reply = chat.complete(ask("abc"))
        assert reply.usage.output == -(-len(reply.text) // 4) and not reply.cut_off
        ticks = iter([0.0, 0.5])  # the clock passes the deadline while the body arrives
        monkeypatch.setattr("tastemaker.chat.endpoint.time", SimpleNamespace(monotonic=lambda: next(ticks)))
        with pytest.raises(CallError, match=r"more than 0\.4 s") as caught:
            chat.complete(ask())
        assert caught.value.kind == "timeout" and caught.value.paid


def test_the_api_key_is_in_no_file_and_no_message(make, tmp_path, monkeypatch, capfd, connect):
    monkeypatch.setenv("TEST_KEY", CANARY)
    with Rehearsal(
        Script(lambda body: json.dumps({"item": 1, "why": CANARY}), plan=("", "echo_key"))
    ) as server:
        chat = connect(server, key_variable="TEST_KEY")
        engine = make(chat)
        assert engine.call(ask("b")).why == "[key]"
        with pytest.raises(
            StoppedEarly, match=r"401.*\[key\].*in the environment variable TEST_KEY"
        ) as caught:
            engine.call(ask("a"))
    output = "".join(capfd.readouterr()) + str(caught.value) + repr(chat) + repr(chat.settings) + repr(engine)
    assert CANARY not in output
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2 and not any(CANARY.encode() in path.read_bytes() for path in files)


def test_an_endpoint_that_is_not_there(make, connect):
    with Rehearsal(Script(answer)) as server:
        gone = connect(server)
    engine = make(gone)
    with pytest.raises(
        StoppedEarly, match=r"answered none of 8 attempts \(unreachable: 127\.0\.0\.1:.*0 of 20 units"
    ):
        list(
            map_units(
                engine, lambda unit: engine.call(ask(unit.id)).item, [Unit(str(i), "", i) for i in range(20)]
            )
        )


def test_a_body_that_is_no_completion_counts_as_dropped(connect):
    chat = connect()
    for body in (b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"[1]"):
        answering(chat, lambda request, body=body: httpx.Response(200, content=body))
        with pytest.raises(CallError) as caught:
            chat.complete(ask())
        assert caught.value.kind == "dropped" and caught.value.paid


@pytest.mark.parametrize(
    "bad",
    [{"base_url": "localhost:8000"}, {"base_url": "http://a:b@host/v1"}, {"model": ""}, {"deadline": 0.0}],
)
def test_settings_are_checked(bad):
    with pytest.raises(InputError):
        EndpointSettings(**{"base_url": "http://host/v1", "model": "m", **bad})


def test_a_key_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(InputError, match="NO_SUCH_KEY"):
        Endpoint(EndpointSettings("http://host/v1", "m", key_variable="NO_SUCH_KEY"))
    with pytest.raises(InputError, match="faults are"):
        Script(answer, faults={"fire": 1})


def test_a_repeated_call_carries_the_same_idempotency_key(connect):
    seen = []

    def look(request):
        seen.append(request.headers["idempotency-key"])
        return httpx.Response(503)

    chat = answering(connect(), look)
    for request in (ask("a"), ask("a", unit="u"), ask("b")):
        with pytest.raises(CallError):
            chat.complete(request)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("code", [401, 402, 403, 404])
def test_a_key_model_or_address_that_is_turned_away_ends_the_run_at_once(make, connect, code):
    asked = []

    def refuse(request):
        asked.append(request)
        return httpx.Response(code, json={"error": {"message": "no"}})

    engine = make(answering(connect(), refuse), most=1)
    units = [Unit(str(i), "", i) for i in range(40)]
    with pytest.raises(StoppedEarly, match=rf"127\.0\.0\.1:9 answers HTTP {code}.*.*0 of 40 units"):
        list(map_units(engine, lambda unit: engine.call(ask(unit.id)).item, units))
    assert len(asked) == 1 and not engine.journal.units


def test_concurrency_halves_and_recovers_over_http(make, clock, connect):
    with Rehearsal(Script(answer, plan=("",) * 4 + ("503",) * 2)) as server:
        engine = make(connect(server, deadline=5), most=4, cool_down=1e9)
        allowed = []
        for i in range(12):
            engine.call(ask("x" * (i + 1)))
            allowed.append(engine.pace.allowed)
    assert allowed == [4] * 4 + [2] + [3] * 3 + [4] * 4


def test_a_key_of_a_letter_is_not_taken_out_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "x")
    chat = Endpoint(EndpointSettings("http://host/v1", "m", key_variable="TEST_KEY"))
    assert chat._without_key("a planxty in mixolydian") == "a planxty in mixolydian"
