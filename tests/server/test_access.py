"""Every route times every kind of caller, over a workspace's real keys; and what keeps the server closed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from server_fake import FakeService

from tastemaker.assist.parts import Done, Text
from tastemaker.errors import InputError
from tastemaker.flows import demo
from tastemaker.server import ServerSettings, bind, create_app, serve
from tastemaker.server.access import Access, AccessSettings, Routes
from tastemaker.server.web import EdgeSettings
from tastemaker.store.database import Database, Keys
from tastemaker.store.workspace import Workspace

ME, OTHER = "listener-0001", "listener-0002"
LIKE = {"event_id": "e1", "kind": "like", "item_id": "tune-001"}
KEYED = {"operator", "app", "read"}
ALL, SERVING = {*KEYED, "person"}, {"operator", "app", "person"}
PUBLIC = {*ALL, "nobody"}
# Of each route: an example that is about ME, and who may send it. A route that is missing here fails.
MATRIX: dict[tuple[str, str], tuple[dict[str, Any] | None, set[str]]] = {
    ("POST", "/recommendations"): ({"user_id": ME}, SERVING),
    ("POST", "/events"): ({"events": [LIKE | {"user_id": ME}]}, SERVING),
    ("POST", "/surveys"): ({"question_id": "q", "user_id": ME, "answer": 1}, SERVING),
    ("POST", "/impressions"): ({"request_id": "s-none", "user_id": ME}, SERVING),
    ("POST", "/tokens"): ({"user_id": ME}, {"operator", "app"}),
    ("POST", "/session"): ({}, {"person"}),
    ("GET", "/items"): (None, ALL),
    ("GET", "/items/tune-000"): (None, ALL),
    ("GET", "/items/tune-000/cover"): (None, ALL),
    ("GET", "/items/tune-000/audio"): (None, ALL),
    ("GET", "/fields"): (None, ALL),
    ("GET", "/info"): (None, ALL),
    ("GET", "/users"): (None, ALL),
    ("GET", f"/users/{ME}/history"): (None, ALL),
    ("GET", f"/users/{ME}/conversations"): (None, ALL),
    ("DELETE", f"/users/{ME}"): (None, {"operator", "person"}),
    ("GET", "/metrics"): (None, {"operator", "read"}),
    ("GET", "/operator"): (None, PUBLIC),
    ("GET", "/operator.json"): (None, {"operator"}),
    ("POST", "/operator/rollback"): ({"serving": "d-000000000000"}, {"operator"}),
    ("GET", "/health/live"): (None, PUBLIC),
    ("GET", "/health/ready"): (None, PUBLIC),
    ("POST", "/assist"): ({"message": "hi", "user_id": ME}, SERVING),
    ("POST", "/v1/chat/completions"): (
        {"messages": [{"role": "user", "content": "hi"}], "user": ME},
        SERVING,
    ),
    ("GET", "/v1/models"): (None, ALL),
}
BAD = (
    "unknown key",
    "garbled key",
    "revoked key",
    "other scheme",
    "expired",
    "forged",
    "unsigned",
    "orphan",
    "own issuer",
)


class Repeater:
    """A talker that answers with the name of who talks."""

    def respond(
        self, message: str, conversation_id: str | None = None, user_id: str | None = None, **_: Any
    ) -> Any:
        yield Text(text=str(user_id))
        yield Done(conversation_id="c", versions={}, degraded=False)


class Town:
    """A server with keys, and the credentials of every kind of caller."""

    def __init__(self, folder: Path, talker: Any = None, **settings: Any) -> None:
        self.database = Database(folder / "keys.sqlite")
        self.keys = Keys(self.database)
        self.service = FakeService(keys=self.keys)
        self.key = {role: self.keys.add(role, role) for role in KEYED}
        revoked = self.keys.add("app", "gone")
        access = AccessSettings(per_person=0, per_key=0, fresh=0)
        given = ServerSettings(access=replace(access, **settings), deadline=60)
        self.app = create_app(self.service, given, talker=talker)
        self.access: Access = self.app.state.access
        self.client = TestClient(self.app, base_url="http://127.0.0.1:8765")
        self.client.__enter__()
        app_id = self.key["app"].split("-")[1]
        mint = self.access.mint
        orphan = mint(ME, revoked.split("-")[1], 9000)
        self.keys.revoke("gone")
        self.token = mint(ME, app_id, 9000)
        header, claims, signature = self.token.split(".")
        forged = json.loads(base64.urlsafe_b64decode(claims + "=="))
        forged = base64.urlsafe_b64encode(json.dumps(forged | {"sub": OTHER}).encode()).rstrip(b"=").decode()
        payload = jwt.decode(self.token, options={"verify_signature": False})
        self.credentials: dict[str, str | None] = {
            "nobody": None,
            "person": f"Bearer {self.token}",
            "unknown key": "Bearer tm-000000000000-" + "0" * 64,
            "garbled key": f"Bearer {self.key['operator'][:-1]}",
            "revoked key": f"Bearer {revoked}",
            "other scheme": f"Basic {self.key['operator']}",
            "expired": f"Bearer {mint(ME, app_id, -1)}",
            "forged": f"Bearer {header}.{forged}.{signature}",
            "unsigned": f"Bearer {jwt.encode(payload, '', algorithm='none')}",
            "orphan": f"Bearer {orphan}",
            "own issuer": f"Bearer {mint(ME, 'open', 60)}",
            **{role: f"Bearer {key}" for role, key in self.key.items()},
        }

    def call(self, who: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        given = self.credentials[who]
        headers = {} if given is None else {"authorization": given}
        self.client.cookies.clear()
        return self.client.request(method, path, json=body, headers=headers)

    def close(self) -> None:
        self.client.__exit__(None, None, None)
        self.database.close()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    opened = Town(tmp_path, Repeater())
    yield opened
    opened.close()


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    routes = set()
    for path, methods in app.openapi()["paths"].items():
        filled = path.replace("{item_id}", "tune-000").replace("{user_id}", ME)
        routes |= {(method.upper(), filled) for method in methods}
    return routes


def test_every_route_is_open_to_those_whom_the_table_names_and_to_nobody_else(town: Town) -> None:
    assert routes_of(town.app) == set(MATRIX)
    refused = 0
    for (method, path), (body, callers) in MATRIX.items():
        for who in town.credentials:
            response = town.call(who, method, path, body)
            if who in callers or (who in BAD and "nobody" in callers):
                # A survey that was never asked, and a person who was erased a moment ago, are not there.
                assert response.status_code in (200, 404), (who, method, path, response.text)
                continue
            refused += 1
            expected = 401 if who == "nobody" or who in BAD else 403
            assert response.status_code == expected, (who, method, path, response.text)
            assert set(response.json()) == {"error", "remedy"}
            assert ("www-authenticate" in response.headers) == (expected == 401)
    assert refused >= 150


def test_a_person_reaches_nothing_of_another_wherever_the_name_stands(town: Town) -> None:
    named: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", f"/users/{OTHER}/history", None),
        ("GET", f"/users/{OTHER}/conversations", None),
        ("DELETE", f"/users/{OTHER}", None),
        ("GET", f"/items?user_id={OTHER}", None),
        ("POST", "/recommendations", {"user_id": OTHER}),
        (
            "POST",
            "/events",
            {"events": [LIKE | {"user_id": ME}, LIKE | {"event_id": "e2", "user_id": OTHER}]},
        ),
        ("POST", "/surveys", {"question_id": "q", "user_id": OTHER, "answer": 1}),
        ("POST", "/impressions", {"request_id": "s-1", "user_id": OTHER}),
        ("POST", "/assist", {"message": "hi", "user_id": OTHER}),
        ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "user": OTHER}),
    ]
    for method, path, body in named:
        assert town.call("person", method, path, body).status_code == 403, (method, path)
    assert town.service.stored == {} and OTHER in town.service.past
    # Not even where the server would take the other of two names.
    content = f'{{"user_id": "{ME}", "user_id": "{OTHER}"}}'
    headers = {"authorization": town.credentials["person"], "content-type": "application/json"}
    twice = town.client.post("/recommendations", content=content, headers=headers)
    assert twice.status_code == 422 and "twice" in twice.json()["error"]
    # No other route takes a name, but those that give a token to who may have one.
    pages = json.dumps(town.app.openapi()["components"]["schemas"])
    bodies = {name for name, schema in json.loads(pages).items() if "user_id" in schema.get("properties", {})}
    takers = {
        "RecommendationRequest",
        "EventIn",
        "AnswerIn",
        "ImpressionIn",
        "TokenRequest",
        "SessionRequest",
        "TurnIn",
    }
    assert bodies - {"User", "Token", "Session"} == takers
    assert town.call("person", "POST", "/recommendations", {"user_id": ME}).status_code == 200


def test_an_app_mints_tokens_for_one_person_which_end_with_its_key(town: Town) -> None:
    answer = town.call("app", "POST", "/tokens", {"user_id": OTHER, "hours": 2}).json()
    town.credentials["other"] = f"Bearer {answer['token']}"
    assert answer["user_id"] == OTHER and answer["hours"] == 2
    assert town.call("other", "GET", f"/users/{OTHER}/history").status_code == 200
    assert town.call("other", "GET", f"/users/{ME}/history").status_code == 403
    # It opens the page, too, for no longer than it lasts, and its cookie says the same.
    opened = town.call("other", "POST", "/session", {})
    assert opened.json() == {"user_id": OTHER, "known": True, "token": None}
    assert f"{town.access.cookie}={answer['token']};" in opened.headers["set-cookie"]
    assert town.call("person", "POST", "/session", {"user_id": OTHER}).json()["user_id"] == OTHER  # simulated
    town.service.simulated = False
    assert town.call("person", "POST", "/session", {"user_id": OTHER}).status_code == 403
    town.keys.revoke("app")
    assert town.call("other", "GET", f"/users/{OTHER}/history").status_code == 401
    assert town.call("app", "GET", "/info").status_code == 401


def test_the_page_gets_a_person_by_itself_who_is_known_on_return(tmp_path: Path) -> None:
    town = Town(tmp_path, visitors=True)
    client = town.client
    first = client.post("/session", json={}).json()
    assert first["user_id"].startswith("visitor-") and not first["known"] and first["token"] is None
    cookie = next(iter(client.cookies.jar))
    assert cookie.name == town.access.cookie and cookie.expires
    like = LIKE | {"user_id": first["user_id"]}
    assert client.post("/events", json={"events": [like]}).status_code == 200
    assert client.post("/events", json={"events": [like | {"user_id": ME}]}).status_code == 403
    again = client.post("/session", json={}).json()
    assert again == {"user_id": first["user_id"], "known": True, "token": None}
    # GET /users shows simulated listeners alone, and of those others' visits are none.
    assert {row["user_id"] for row in client.get("/users?limit=200").json()} == set(town.service.past)
    assert client.delete(f"/users/{first['user_id']}").status_code == 200
    assert client.post("/session", json={}).json()["user_id"] != first["user_id"]
    # Nor is a clock that jumped back an end of who came by meanwhile.
    ahead = datetime.now(UTC) + timedelta(hours=3)
    claims = {"sub": "visitor-ahead", "iss": "page", "iat": ahead, "exp": ahead + timedelta(hours=1)}
    client.cookies.clear()
    client.cookies.set(town.access.cookie, jwt.encode(claims, town.keys.signing(), algorithm="HS256"))
    assert client.post("/session", json={}).json()["user_id"] == "visitor-ahead"
    # A cookie that is none any more is no obstacle to coming anew.
    client.cookies.clear()
    client.cookies.set(town.access.cookie, "spoilt")
    assert client.get("/info").status_code == 401
    assert client.post("/session", json={}).status_code == 200
    town.close()


@pytest.mark.parametrize("dataset", ["tunes", "movielens"])
def test_the_page_of_the_demo_gets_a_person_though_there_are_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    for name in ("ingest_dataset", "run_stages"):
        monkeypatch.setattr(demo, name, lambda *_: {"text": ""})
    monkeypatch.setattr(demo, "_evaluated", lambda workspace: "evaluated before")
    demo.build_demo(tmp_path / "demo", dataset, 0, lambda *_: None)
    settings = ServerSettings.of(Workspace.open(tmp_path / "demo").settings).access
    town = Town(tmp_path, visitors=settings.visitors)
    visitor = town.client.post("/session", json={}).json()
    assert visitor["user_id"].startswith("visitor-")
    body = {"user_id": visitor["user_id"]}
    assert town.client.post("/recommendations", json=body).status_code == 200
    assert town.client.post("/recommendations", json={"user_id": ME}).status_code == 403
    town.close()


def test_keys_and_tokens_of_one_shop_open_no_other(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    first, other = Town(tmp_path / "one", visitors=True), Town(tmp_path / "other", visitors=True)
    visitor = first.access.mint(ME, "page", 60)
    for who in (*KEYED, "person"):
        other.credentials[who] = first.credentials[who]
        assert first.call(who, "GET", "/info").status_code == 200
        assert other.call(who, "GET", "/info").status_code == 401, who
    other.client.cookies.set(other.access.cookie, visitor)
    assert first.access.cookie != other.access.cookie and other.client.get("/info").status_code == 401
    first.close()
    other.close()


def test_without_keys_this_machine_is_trusted_and_the_first_key_closes_the_door(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keys, "add", lambda self, role, name: f"tm-{role}-none")
        patch.setattr(Keys, "revoke", lambda self, name: None)
        town = Town(tmp_path)
    assert town.call("nobody", "GET", f"/users/{ME}/history").status_code == 200
    visitor = town.client.post("/session", json={}).json()["user_id"]
    assert town.client.get(f"/users/{ME}/history").status_code == 403  # the page is its visitor alone
    assert town.client.post("/session", json={"user_id": ME}).json()["token"]
    for who in BAD:
        if who != "own issuer":
            assert town.call(who, "GET", "/info").status_code == 401, who
    assert town.call("nobody", "DELETE", f"/users/{OTHER}").status_code == 200
    assert [(entry.action, OTHER in entry.detail) for entry in town.keys.entries()] == [("forget", False)]
    key = town.keys.add("read", "reader")
    assert town.call("nobody", "GET", "/info").status_code == 401
    town.keys.revoke("reader")
    assert town.call("nobody", "GET", "/info").status_code == 401 and key and visitor
    town.close()


def test_a_key_of_somebody_elses_making_lets_nobody_speak_for_another(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keys, "add", lambda self, role, name: f"tm-{role}-none")
        patch.setattr(Keys, "revoke", lambda self, name: None)
        town = Town(tmp_path, Repeater())
    client = town.client

    def says(user: str | None, key: str | None) -> tuple[int, str]:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        body = {"messages": [{"role": "user", "content": "hi"}], "user": user}
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
        content = answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else ""
        return answer.status_code, content

    foreign = ("none", "sk-proj-abc", "a.b")
    for key in (None, *foreign):  # a program on this machine
        assert says(ME, key) == (200, ME) and says(None, key) == (200, "None")
    visitor = client.post("/session", json={}).json()["user_id"]
    for key in (None, *foreign):  # the page's cookie comes along
        assert says(ME, key) == (403, "") and says(visitor, key) == says(None, key) == (200, visitor)
        assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
    client.cookies.clear()
    token = town.access.mint(ME, "open", 60)
    assert says(OTHER, token) == (403, "") and says(None, token) == says(ME, token) == (200, ME)

    def named(user: str | None, key: str) -> str:
        body = {"message": "hi"} if user is None else {"message": "hi", "user_id": user}
        return client.post("/assist", json=body, headers={"authorization": f"Bearer {key}"}).text

    assert f'"{ME}"' in named(None, token) and f'"{ME}"' in named(ME, token)
    assert '"None"' in named(None, town.access.mint(visitor, "page", 60))  # nobody until the page names them
    for key in ("tm-none", "a.b.c", ""):  # of our making, and wrong
        assert says(ME, key)[0] == 401
    for path in ("/info", f"/users/{ME}/history"):  # other routes take none
        assert client.get(path, headers={"authorization": "Bearer none"}).status_code == 401
    town.keys.add("app", "backend")
    for key in (None, *foreign, token):
        assert says(ME, key)[0] == says(None, key)[0] == 401
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        assert client.get("/v1/models", headers=headers).status_code == 401
    town.close()


def test_beyond_this_machine_nothing_is_served_without_a_key(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^cannot listen on 0.0.0.0 without a key: .*`tastemaker admin keys add"
    ):
        serve(FakeService(), "0.0.0.0", 0)
    held = bind("0.0.0.0", 0)
    keys = Keys(Database(tmp_path / "k.sqlite"))
    keys.add("app", "app")
    keys.revoke("app")
    with pytest.raises(InputError, match="without a key"):
        serve(FakeService(keys=keys), "0.0.0.0", listener=held)


def test_names_and_origins_are_by_configuration(tmp_path: Path) -> None:
    town = Town(tmp_path, local=False)
    assert town.client.get("/health/live", headers={"host": "rebound.example"}).status_code == 400
    edge = EdgeSettings(names=("shop.example",), origins=("https://shop.example",), anywhere=True)
    app = create_app(town.service, ServerSettings(edge=edge, access=AccessSettings(local=False)))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        statuses = {"shop.example:80": 200, "192.0.2.7:80": 200, "[::1]evil": 400, "evil.com": 400, "": 400}
        for host, status in statuses.items():
            assert client.get("/health/live", headers={"host": host}).status_code == status, host
        site = {"origin": "https://shop.example", "sec-fetch-site": "cross-site"}
        key = {"authorization": f"Bearer {town.key['app']}"}
        asked = client.options(
            "/events",
            headers=site
            | {
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization",
            },
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://shop.example"
        body = {"user_id": ME}
        answer = client.post("/recommendations", json=body, headers=site | key)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        other = site | {"origin": "https://other.example"}
        assert client.post("/recommendations", json=body, headers=other | key).status_code == 403
        assert client.get("/info").status_code == 401  # nobody is trusted from afar
    town.close()


def test_one_person_and_one_key_have_a_rate(tmp_path: Path) -> None:
    now = [0.0]
    town = Town(tmp_path)
    settings = ServerSettings(access=AccessSettings(per_person=0.5, per_key=1, fresh=0))
    with TestClient(create_app(town.service, settings, lambda: now[0]), "http://127.0.0.1:8765") as client:

        def ask(who: str) -> Any:
            given = town.credentials[who]
            return client.get("/info", headers={"authorization": given} if given else {})

        assert [ask("person").status_code for _ in range(6)] == [200] * 5 + [429]
        late = ask("person")
        assert late.headers["retry-after"] == "2" and "0.5 requests a second" in late.json()["error"]
        assert [ask("app").status_code for _ in range(11)] == [200] * 10 + [429]
        assert ask("read").status_code == 200  # each key has its own
        assert [ask("nobody").status_code for _ in range(6)] == [401] * 5 + [429]
        assert client.get("/health/live").status_code == 200
        now[0] = 2.0
        assert ask("person").status_code == 200 and ask("person").status_code == 429
    town.close()


def test_a_route_without_a_rule_cannot_be_made() -> None:
    routes = Routes("tests")
    with pytest.raises(TypeError, match=r"/open: say who may call reach with @allow"):

        @routes.get("/open")
        async def reach() -> None: ...


def test_what_is_kept_of_a_key_does_not_open(town: Town) -> None:
    content = town.database.path.read_bytes() + Path(f"{town.database.path}-wal").read_bytes()
    for key in town.key.values():
        assert key.split("-")[2].encode() not in content
    assert town.keys.all()[0].hash.encode() in content
