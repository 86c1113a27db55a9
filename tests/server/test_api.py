"""The HTTP edge: shapes, errors with remedies, ranges, limits and headers."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from server_fake import FakeService, goods

from tastemaker.errors import ArtifactError, BusyError
from tastemaker.schema import KINDS
from tastemaker.server import ServerSettings, create_app
from tastemaker.server.catalogue import streamed
from tastemaker.server.recommendations import mark
from tastemaker.server.web import EdgeSettings
from tastemaker.serving.query import Query, Slate

SETTINGS = ServerSettings(edge=EdgeSettings(body=4096), deadline=60)


def client_of(service: FakeService, **options: Any) -> TestClient:
    app = create_app(service, SETTINGS)
    return TestClient(app, base_url="http://127.0.0.1:8765", **options)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> Iterator[TestClient]:
    with client_of(service) as opened:
        yield opened


ID = "THE-ID"


def like(event_id: str, item: str = "tune-001", **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": "listener-0001", "kind": "like", "item_id": item, **more}


def refusal(response: Any, status: int) -> dict[str, str]:
    assert response.status_code == status, response.text
    body: dict[str, str] = response.json()
    assert set(body) == {"error", "remedy"} and all(body.values())
    assert "\n" not in response.text and "Traceback" not in response.text
    return body


def test_a_slate_for_a_user_carries_items_evidence_and_timings(client: TestClient) -> None:
    response = client.post("/recommendations", json={"user_id": "listener-0001", "k": 5})
    body = response.json()
    assert response.status_code == 200
    assert [row["position"] for row in body["rows"]] == [0, 1, 2, 3, 4]
    assert body["request_id"] == "s-1" and body["policy_id"] == "greedy" and body["reason"] is None
    for row in body["rows"]:
        assert row["propensity"] == 1.0 and row["item"]["item_id"] == row["item_id"] and row["item"]["title"]
    assert body["rows"][0]["reasons"][0]["text"].startswith("You heard ")
    assert body["timings"]["total_ms"] >= body["timings"]["compute_ms"] >= 0 and body["timings"]["batch"] == 1
    assert (
        response.headers["server-timing"].startswith("queue;dur=")
        and response.headers["cache-control"] == "no-store"
    )


def test_a_bare_history_filters_and_exclusions_reach_the_service(client: TestClient) -> None:
    wanted = {
        "history": ["tune-000"],
        "k": 100,
        "filters": {"key": ["D", "G"]},
        "exclude": ["tune-005"],
        "request_id": "mine",
    }
    body = client.post("/recommendations", json=wanted).json()
    ids = {row["item_id"] for row in body["rows"]}
    keys = {pair for row in body["rows"] for pair in row["item"]["attributes"] if pair.startswith("key=")}
    assert (
        body["request_id"].startswith("s-")
        and keys == {"key=D", "key=G"}
        and not ids & {"tune-000", "tune-005"}
    )
    assert body["reason"] == f"only {len(ids)} items pass the filters"
    assert client.post("/recommendations", json={"history": []}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "give either user_id or history"),
        ({"user_id": "a", "history": []}, 422, "give either user_id or history"),
        ({"history": ["no-tune"]}, 400, "item 'no-tune' is unknown"),
        ({"user_id": "listener-0001", "k": 0}, 422, "body.k: Input should be greater than or equal to 1"),
        ({"user_id": "listener-0001", "filter": {}}, 422, "body.filter: Extra inputs are not permitted"),
        ({"user_id": "listener-0001", "filters": {"key": []}}, 400, "filter 'key' lists no value"),
        ({"user_id": "listener-0001", "deadline_ms": 0}, 422, "body.deadline_ms"),
    ],
)
def test_a_wrong_request_says_what_and_where(
    client: TestClient, body: dict[str, Any], status: int, message: str
) -> None:
    assert message in refusal(client.post("/recommendations", json=body), status)["error"]


@pytest.mark.parametrize("text", ["a\x00b", "a\n", "\x9f"])
@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/recommendations", {"user_id": ID}, "user_id"),
        ("/recommendations", {"history": [], "request_id": ID}, "request_id"),
        ("/recommendations", {"history": [ID]}, "history.0"),
        ("/recommendations", {"history": [], "exclude": [ID]}, "exclude.0"),
        ("/events", {"events": [like("e1") | {"event_id": ID}]}, "event_id"),
        ("/events", {"events": [like("e1") | {"user_id": ID}]}, "user_id"),
        ("/events", {"events": [like("e1") | {"request_id": ID}]}, "request_id"),
        ("/impressions", {"request_id": ID}, "request_id"),
        ("/surveys", {"question_id": "q", "user_id": ID, "answer": 1}, "user_id"),
        ("/tokens", {"user_id": ID}, "user_id"),
        ("/session", {"user_id": ID}, "user_id"),
    ],
)
def test_no_id_has_a_control_character(
    client: TestClient, path: str, body: dict[str, Any], place: str, text: str
) -> None:
    content = json.dumps(body).replace(ID, json.dumps(text)[1:-1])
    response = client.post(path, content=content, headers={"content-type": "application/json"})
    assert f"{place}: String should match" in refusal(response, 422)["error"]


def test_broken_json_and_a_large_body_are_refused_in_one_line(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    assert "JSON" in refusal(client.post("/events", content=b"{", headers=headers), 422)["error"]
    for field in ("kind", "item_id", "event_id"):  # half of a character, as JSON can name it
        body = json.dumps({"events": [like("e1") | {field: "\ud800"}]}).encode()
        error = refusal(client.post("/events", content=body, headers=headers), 422)["error"]
        assert "half of a character" in error or field in error
    assert (
        "larger than 4,096 bytes"
        in refusal(client.post("/events", content=b"x" * 4097, headers=headers), 413)["error"]
    )
    # A chunked body announces no length.
    assert (
        "larger than"
        in refusal(client.post("/events", content=iter([b"x" * 4000, b"y" * 4000]), headers=headers), 413)[
            "error"
        ]
    )


def test_an_event_counts_once_and_an_id_stands_for_one_event(
    client: TestClient, service: FakeService
) -> None:
    counted = {"accepted": 1, "duplicates": 0, "conflicts": [], "survey": None}
    assert client.post("/events", json={"events": [like("e1")]}).json() == counted
    again = {"events": [like("e1"), like("e1"), like("e2", "tune-002")]}
    assert client.post("/events", json=again).json() == counted | {"duplicates": 2}
    changed = {"events": [like("e3"), like("e1", "tune-009")]}
    assert (
        "'e1' already stands for another event" in refusal(client.post("/events", json=changed), 409)["error"]
    )
    within = {"events": [like("e4"), like("e4", "tune-009")]}
    assert "nothing was stored" in refusal(client.post("/events", json=within), 409)["error"]
    assert set(service.stored) == {"e1", "e2"}


def test_undo_takes_an_event_back(client: TestClient) -> None:
    before = client.get("/users/listener-0001/history").json()
    client.post("/events", json={"events": [like("e1")]})
    history = client.get("/users/listener-0001/history").json()
    assert history[-1]["event_id"] == "e1" and history[-1]["item"]["title"] == "The Cuckoo's Nest"
    undo = {"event_id": "e2", "user_id": "listener-0001", "kind": "undo", "target": "e1"}
    assert client.post("/events", json={"events": [undo]}).status_code == 200
    assert client.get("/users/listener-0001/history").json() == before


@pytest.mark.parametrize(
    ("spelling", "name"),
    [*((name, name) for name in KINDS), ("Not Interested", "not_interested"), ("thumbs-down", "dislike")],
)
def test_every_kind_is_taken_in_every_spelling(client: TestClient, spelling: str, name: str) -> None:
    event = like("e1") | {"kind": spelling} | ({"target": "e0"} if name == "undo" else {})
    assert client.post("/events", json={"events": [event]}).json()["accepted"] == 1
    kinds = [entry["kind"] for entry in client.get("/users/listener-0001/history").json()]
    assert kinds[-1] == name or name == "undo"
    assert client.post("/events", json={"events": [event | {"kind": name}]}).json()["duplicates"] == 1


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"kind": "undo"}, "an undo needs target"),
        ({"kind": "like", "item_id": None}, "a like needs item_id"),
        ({"kind": "teleport"}, "events.0.kind"),
        (
            {"kind": "teleport"},
            "kind 'teleport' is unknown; the kinds are view, click, play, like, save, purchase",
        ),
        ({"value": 1e999}, "events.0.value"),
        ({"event_id": ""}, "events.0.event_id"),
    ],
)
def test_a_wrong_event_is_refused(client: TestClient, event: dict[str, Any], message: str) -> None:
    content = json.dumps({"events": [{**like("e1"), **event}]})
    response = client.post("/events", content=content, headers={"content-type": "application/json"})
    assert message in refusal(response, 422)["error"]


def test_a_survey_question_comes_with_an_event_and_is_answered_once(
    client: TestClient, service: FakeService
) -> None:
    assert client.post("/events", json={"events": [like("s0")]}).json()["survey"] is None
    service.asks = service.moves = True
    survey = client.post("/events", json={"events": [like("s1", "tune-002")]}).json()["survey"]
    assert (
        set(survey) == {"question_id", "item_id", "text", "low", "high"} and survey["item_id"] == "tune-002"
    )
    answer = {"question_id": survey["question_id"], "user_id": "listener-0001", "answer": 4}
    assert client.post("/surveys", json=answer).json() == {"outcome": "stored"}
    assert client.post("/surveys", json=answer).json() == {"outcome": "duplicate"}
    assert "another answer" in refusal(client.post("/surveys", json=answer | {"answer": None}), 409)["error"]
    assert (
        "never asked"
        in refusal(client.post("/surveys", json=answer | {"user_id": "listener-0002"}), 404)["error"]
    )
    assert (
        "never asked"
        in refusal(client.post("/surveys", json=answer | {"question_id": "q-made-up"}), 404)["error"]
    )
    for wrong in (0, 6, 2.5, "4", True):
        refusal(client.post("/surveys", json=answer | {"answer": wrong}), 422)
    refusal(client.post("/surveys", json={name: answer[name] for name in ("question_id", "user_id")}), 422)
    rows = client.post("/recommendations", json={"user_id": "listener-0001", "k": 3}).json()["rows"]
    assert rows[0]["retention"]["moved"] == 2 and rows[0]["retention"]["text"].startswith("Moved up")


def test_a_slate_counts_as_shown_once_it_was_sent_to_somebody_who_is_still_there(
    client: TestClient, service: FakeService
) -> None:
    body = {"user_id": "listener-0001", "k": 3}
    name = client.post("/recommendations", json=body).json()["request_id"]
    assert service.seen == [name]
    service.gate = lambda queries: time.sleep(0.3)
    refusal(client.post("/recommendations", json=body | {"deadline_ms": 50}), 503)
    service.gate = lambda queries: None
    assert client.post("/recommendations", json=body).status_code == 200
    while service.made < 3:  # one for nobody, beside the last
        time.sleep(0.01)
    assert len(service.seen) == 2


def test_a_client_that_hung_up_was_shown_nothing(client: TestClient, service: FakeService) -> None:
    body = json.dumps({"user_id": "listener-0001"}).encode()
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/recommendations", "raw_path": b"/recommendations"}
    scope |= {
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
    sent = []

    async def call() -> None:
        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await client.app(scope, receive, send)

    assert client.portal is not None
    client.portal.call(call)
    assert service.made == 1 and service.seen == [] and not messages


def test_slates_that_went_out_together_are_marked_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One transaction for all, not one for each: a second of these a request is what a full server pays."""
    calls: list[tuple[list[str], bool]] = []

    class Counting(FakeService):
        def delivered(self, request_ids: Sequence[str], confirms: bool) -> None:
            calls.append((list(request_ids), confirms))
            if "s-lost" in request_ids:
                raise BusyError("the database is away; start it again")

    assert mark(Counting(), [("s-1", False), ("s-2", True), ("s-3", False)]) == [None] * 3
    assert sorted(calls) == [(["s-1", "s-3"], False), (["s-2"], True)]

    class Away(Counting):
        def _slate(self, query: Query) -> Slate:
            return replace(super()._slate(query), request_id="s-lost")

    with client_of(Away()) as client:  # the answer is out: what cannot be marked is noted
        assert client.post("/recommendations", json={"user_id": "listener-0001"}).status_code == 200
    assert "slate s-lost was sent but is not marked as shown" in caplog.text


def test_an_erased_person_is_gone(client: TestClient) -> None:
    gone = client.delete("/users/listener-0003").json()
    assert gone["removed"] and all(set(removal) == {"what", "count"} for removal in gone["removed"])
    refusal(client.delete("/users/listener-0003"), 404)
    refusal(client.get("/users/listener-0003/history"), 404)


def test_lists_say_how_many_there_are(client: TestClient) -> None:
    assert client.get("/users?limit=2").headers["x-total-count"] == "12"
    assert client.get("/items?limit=2").headers["x-total-count"] == "60"
    assert "GET" in client.put("/users").headers["allow"]
    whole = client.get("/items/tune-000/audio", headers={"range": "bytes=0-" + "9" * 5000})
    assert whole.status_code == 200  # a range that nobody can mean is none


def test_what_was_not_read_of_an_address_is_named(client: TestClient) -> None:
    answer = client.get("/items?limt=2&query=reel&q%20x=1")
    assert answer.status_code == 200 and answer.headers["x-ignored-parameters"] == "limt, q%20x"
    assert "x-ignored-parameters" not in client.get("/items?limit=2&offset=0").headers
    asked = client.post("/recommendations?k=3", json={"user_id": "listener-1"})
    assert asked.headers["x-ignored-parameters"] == "k"
    for method, address in (("get", "/fields/"), ("post", "/recommendations/")):
        error = refusal(client.request(method, address, json={}), 404 if method == "get" else 405)
        assert error["remedy"] == "leave out the slash at the end"


def test_reading_items_users_fields_and_info(client: TestClient) -> None:
    assert client.get("/items/tune-000").json()["title"] == "The Blackbird"
    items = client.get("/items", params={"query": "blackbird reel", "limit": 2}).json()
    assert [item["title"] for item in items] == ["The Blackbird", "The Blackbird (No. 2)"]
    assert [item["item_id"] for item in client.get("/items?limit=1&offset=3").json()] == ["tune-003"]
    users = client.get("/users?limit=2").json()
    assert [user["label"] for user in users] == ["Listener 1", "Listener 2"] and all(
        user["simulated"] for user in users
    )
    fields = client.get("/fields").json()
    assert [field["name"] for field in fields[:3]] == ["tune_type", "key", "book"] and fields[0]["values"][
        0
    ] == {
        "value": "hornpipe",
        "count": 12,
    }
    assert client.get("/info").json()["notice"].startswith("Every listener here is simulated")


@pytest.mark.parametrize(
    "address",
    [
        "/items/none",
        "/items/none/cover",
        "/users/none/history",
        "/nowhere",
        "/items/shop/001/audio",
        "/items/../../errors.py",
    ],
)
def test_what_is_not_there_is_404_with_a_remedy(address: str) -> None:
    with client_of(FakeService(goods())) as client:
        refusal(client.get(address), 404)
        assert client.get("/items/shop/001").json()["item_id"] == "shop/001"


def test_media_is_tagged_and_served_in_ranges(client: TestClient) -> None:
    whole = client.get("/items/tune-000/audio")
    assert (
        whole.status_code == 200
        and whole.headers["content-type"] == "audio/wav"
        and whole.content[:4] == b"RIFF"
    )
    assert whole.headers["accept-ranges"] == "bytes" and "max-age" in whole.headers["cache-control"]
    tag = whole.headers["etag"]
    assert client.get("/items/tune-000/audio", headers={"if-none-match": f'"x", W/{tag}'}).status_code == 304
    part = client.get("/items/tune-000/audio", headers={"range": "bytes=4-7", "if-range": tag})
    assert part.status_code == 206 and part.content == whole.content[4:8]
    assert part.headers["content-range"] == f"bytes 4-7/{len(whole.content)}"
    assert (
        client.get("/items/tune-000/audio", headers={"range": "bytes=4-7", "if-range": '"old"'}).status_code
        == 200
    )
    beyond = client.get("/items/tune-000/audio", headers={"range": "bytes=9999999-"})
    refusal(beyond, 416)
    assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
    assert client.get("/items/tune-000/cover").content[:8] == b"\x89PNG\r\n\x1a\n"


@settings(deadline=None)
@given(
    content=st.binary(max_size=12), first=st.none() | st.integers(0, 15), last=st.none() | st.integers(0, 15)
)
def test_a_range_is_a_slice(content: bytes, first: int | None, last: int | None) -> None:
    asked = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        answer = TestClient(streamed(path, "x/y", path.stat(), {"range": asked}.get)).get(
            "/", headers={"range": asked}
        )
    if first is None and last is None:
        expected = content
    elif first is None:
        expected = content[-last:] if last else b""
    else:
        expected = content[first : None if last is None else last + 1]
    assert (answer.status_code == 416) == (expected == b"" and asked != "bytes=-")
    if answer.status_code != 416:
        assert answer.content == expected


def test_head_says_what_get_would_without_the_body(client: TestClient) -> None:
    for address in ("/items/tune-000/audio", "/items?limit=2", "/info", "/health/live", "/app.js"):
        whole, head = client.get(address), client.head(address)
        assert head.status_code == whole.status_code == 200 and head.content == b""
        for name in ("content-length", "content-type", "etag", "x-total-count"):
            assert head.headers.get(name) == whole.headers.get(name), (address, name)
    part = client.head("/items/tune-000/audio", headers={"range": "bytes=0-3"})
    assert part.status_code == 206 and part.headers["content-length"] == "4"
    refusal(client.put("/items"), 405)
    for method, address, allowed in (
        ("PUT", "/items", "GET"),
        ("GET", "/events", "POST"),
        ("POST", "/users/x", "DELETE"),
        ("POST", "/items/x/audio", "GET"),
        ("DELETE", "/app.js", "GET"),
        ("PUT", "/nowhere", "GET"),
        ("POST", "/openapi.json", "GET"),
    ):
        answer = client.request(method, address)
        assert answer.status_code == 405, (method, address)
        names = {name.strip() for name in answer.headers["allow"].split(",")}
        assert allowed in names and method not in names and ("HEAD" in names) == ("GET" in names)


@pytest.mark.parametrize(
    ("name", "value"), [("k", True), ("k", "5"), ("k", 5.5), ("deadline_ms", True), ("confirm", 1)]
)
def test_a_number_is_a_number(client: TestClient, name: str, value: Any) -> None:
    refusal(client.post("/recommendations", json={"history": [], name: value}), 422)
    refusal(client.post("/events", json={"events": [like("e1") | {"value": True}]}), 422)
    refusal(client.post("/events", json={"events": [like("e1") | {"position": "1"}]}), 422)


def test_a_turn_of_a_conversation_has_no_unknown_names(service: FakeService) -> None:
    app = create_app(service, SETTINGS, talker=cast(Any, object()))
    with TestClient(app, base_url="http://127.0.0.1:8765") as talking:
        refusal(talking.post("/assist", json={"mesage": "something calm"}), 422)


def test_a_name_twice_in_a_body_is_refused_wherever_it_stands(client: TestClient) -> None:
    for text in (
        '{"history": [], "k": 1, "k": 2}',
        '{"history": [], "filters": {"key": ["D"], "key": ["G"]}}',
    ):
        answer = client.post("/recommendations", content=text, headers={"content-type": "application/json"})
        assert "stands twice" in refusal(answer, 422)["error"]


def test_a_client_that_confirms_decides_when_its_list_was_shown(
    client: TestClient, service: FakeService
) -> None:
    body = {"user_id": "listener-0001", "k": 3, "confirm": True}
    name = client.post("/recommendations", json=body).json()["request_id"]
    assert service.seen == []
    shown = {"request_id": name, "user_id": "listener-0001"}
    assert client.post("/impressions", json=shown).json() == {"outcome": "shown"}
    assert client.post("/impressions", json=shown).json() == {"outcome": "shown"} and service.seen == [name]
    refusal(client.post("/impressions", json=shown | {"request_id": "s-none"}), 404)


def test_health_tells_alive_from_ready(service: FakeService, client: TestClient) -> None:
    assert client.get("/health/ready").json() == {"ready": True, "reason": ""}
    service.is_writable = (False, "another process is writing")
    response = client.get("/health/ready")
    assert (
        response.status_code == 503
        and response.json()["reason"] == "another process is writing"
        and response.headers["retry-after"] == "2"
    )
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    "address", ["/", "/app.js", "/items/tune-000", "/items/tune-000/cover", "/nowhere", "/openapi.json"]
)
def test_every_answer_carries_the_protecting_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert (
        "script-src 'self'" in headers["content-security-policy"]
        and "unsafe" not in headers["content-security-policy"]
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert (
        "access-control-allow-origin"
        not in client.get(address, headers={"origin": "https://elsewhere.example"}).headers
    )


def test_other_hosts_and_other_sites_are_refused(client: TestClient) -> None:
    assert (
        "host 'rebound.example'"
        in refusal(client.get("/info", headers={"host": "rebound.example:8765"}), 400)["error"]
    )
    assert client.get("/info", headers={"host": "[::1]:8765"}).status_code == 200
    body = {"events": [like("e1")]}
    refusal(client.post("/events", json=body, headers={"sec-fetch-site": "cross-site"}), 403)
    assert client.post("/events", json=body, headers={"sec-fetch-site": "same-origin"}).status_code == 200
    for origin in ("https://elsewhere.example", "null", "http://localhost:1"):
        refusal(client.post("/events", json=body, headers={"origin": origin, "host": "localhost:8765"}), 403)
    for origin, host in (("http://localhost:8765", "localhost:8765"), ("https://localhost", "localhost:443")):
        headers = {"origin": origin, "host": host}
        assert client.post("/events", json=body, headers=headers).status_code == 200
    # A form or a text/plain post, which browsers send across sites without asking, is not taken for JSON.
    plain = client.post("/events", content=json.dumps(body), headers={"content-type": "text/plain"})
    refusal(plain, 422)
    assert "content-type: application/json" in plain.json()["remedy"]
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    unread = client.post("/events", content=gzip.compress(json.dumps(body).encode()), headers=packed)
    assert unread.status_code in (400, 422) and "'gzip' is not read" in unread.json()["remedy"]


def test_trouble_inside_is_told_without_a_traceback(service: FakeService) -> None:
    def break_down(requests: Any) -> None:
        raise {
            "a": RuntimeError("secret"),
            "b": ArtifactError("the trie is damaged; run tastemaker admin doctor"),
        }[requests[0].history[0]]

    service.gate = break_down
    with client_of(service, raise_server_exceptions=False) as client:
        broken = client.post("/recommendations", json={"history": ["a"]})
        assert (
            "secret" not in broken.text
            and refusal(broken, 500)
            and broken.headers["x-content-type-options"] == "nosniff"
        )
        damaged = client.post("/recommendations", json={"history": ["b"]})
        assert refusal(damaged, 500) == {
            "error": "the trie is damaged",
            "remedy": "run tastemaker admin doctor",
        }


def test_every_address_is_documented_with_an_example(client: TestClient) -> None:
    page = client.get("/openapi.json").json()
    expected = {
        "/recommendations",
        "/events",
        "/items",
        "/items/{item_id}",
        "/items/{item_id}/cover",
        "/items/{item_id}/audio",
        "/surveys",
        "/users",
        "/users/{user_id}",
        "/users/{user_id}/history",
        "/users/{user_id}/conversations",
        "/fields",
        "/info",
        "/health/live",
        "/impressions",
        "/session",
        "/tokens",
        "/health/ready",
        "/metrics",
        "/operator",
        "/operator.json",
        "/operator/rollback",
    }
    assert set(page["paths"]) == expected
    for name in (
        "RecommendationRequest",
        "EventsRequest",
        "Recommendations",
        "Item",
        "User",
        "FilterField",
        "Info",
        "Counts",
    ):
        assert page["components"]["schemas"][name]["examples"], name
    assert client.get("/docs").status_code == 404  # FastAPI's own page would load scripts from elsewhere


def test_the_examples_are_valid(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for example in schemas["EventsRequest"]["examples"]:
        assert client.post("/events", json=example).status_code in (200, 400)
    for example in schemas["RecommendationRequest"]["examples"]:
        assert client.post("/recommendations", json=example).status_code in (200, 400)
