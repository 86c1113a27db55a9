"""What an operator sees: `/metrics` over HTTP, read by Prometheus' own parser, and a JSON line a request."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tastemaker.store import Workspace
from tastemaker.store.database import Database, Keys
from tastemaker.store.settings import SETTINGS_FILE

SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
from server_fake import FakeService
from tastemaker.server import ServerSettings, serve
from tastemaker.server.observe import log_json

def gate(queries):
    if queries[0].k == 3:
        raise RuntimeError("broken inside")

log_json()
patient = ServerSettings(deadline=600)
serve(FakeService(gate=gate), port=0, settings=patient, announce=lambda url: print(url, flush=True))
"""


class Patient(httpx.HTTPTransport):
    """Asks again when the server had no time, as a client should: a machine may be very busy."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        while (answer := super().handle_request(request)).status_code == 503:
            answer.close()
        return answer


@contextmanager
def running(*command: str) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A server in a process of its own; its lines of stderr, complete once it was stopped."""
    lines = list[str]()
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = next(word for line in process.stdout for word in line.split() if word.startswith("http"))
            with httpx.Client(base_url=url, timeout=600, transport=Patient()) as client:
                yield client, lines
            process.send_signal(signal.SIGTERM)
            lines += process.communicate(timeout=600)[1].splitlines()
        finally:
            process.kill()


def scraped(client: httpx.Client) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of /metrics, by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def sample(values: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return values[name, frozenset(labels.items())]


@pytest.fixture
def workspace(tmp_path: Path, untouched_workspace: Path) -> Path:
    return Path(shutil.copytree(untouched_workspace, tmp_path / "workspace"))


def test_metrics_count_what_was_asked_and_logs_name_each_request() -> None:
    with running("-c", SERVE, str(Path(__file__).parent)) as (client, lines):
        for _ in range(2):
            assert client.post("/recommendations", json={"user_id": "listener-0001"}).status_code == 200
        like = {"event_id": "e1", "user_id": "listener-0001", "kind": "like", "item_id": "tune-001"}
        for _ in range(2):
            assert client.post("/events", json={"events": [like]}).status_code == 200
        history = "/users/listener-0001/history"
        assert client.head(history).status_code == 200
        assert client.get("/nothing/here").status_code == 404
        assert client.get("/fields", headers={"host": "elsewhere.example"}).status_code == 400
        response = client.get("/fields", headers={"x-request-id": "mine-1"})
        assert response.headers["x-request-id"] == "mine-1"
        foul = client.get("/fields", headers={"x-request-id": 'a"b c'}).headers["x-request-id"]
        assert foul.isalnum()
        once = {"connection": "close"}  # as the server does after a failure that nobody caught
        broken = {"user_id": "listener-0001", "k": 3}
        failed = client.post("/recommendations", json=broken, headers=once)
        assert failed.status_code == 500 and failed.headers["x-request-id"]
        values = scraped(client)
        asked = {"method": "POST", "route": "/recommendations"}
        assert sample(values, "tastemaker_requests_total", **asked, status="200") == 2
        assert sample(values, "tastemaker_requests_total", **asked, status="500") == 1
        pattern = "/users/{user_id}/history"
        assert sample(values, "tastemaker_requests_total", method="HEAD", route=pattern, status="200") == 1
        other = {"method": "GET", "route": "(other)"}
        assert sample(values, "tastemaker_requests_total", **other, status="404") == 1
        assert sample(values, "tastemaker_requests_total", **other, status="400") == 1
        assert sample(values, "tastemaker_request_seconds_count", route="/recommendations") == 3
        assert sample(values, "tastemaker_events_total", kind="like") == 1
        assert sample(values, "tastemaker_errors_total", kind="RuntimeError") == 1
        assert sample(values, "tastemaker_lane_busy", lane="health") == 1  # this very question
        assert sample(values, "tastemaker_lane_capacity", lane="recommendations") == 16
        assert sample(values, "tastemaker_deployment_info", deployment="d-000000000000") == 1
        assert sample(values, "tastemaker_deployment_age_seconds") > 0
    logged = [json.loads(line) for line in lines]
    requests = [line for line in logged if line["logger"] == "tastemaker.access"]
    assert [line["request_id"] for line in requests if line["route"] == "/fields"] == ["mine-1", foul]
    assert {line["caller"] for line in requests if line["route"] == "/fields"} == {"operator"}
    cause = next(line for line in logged if "broken inside" in line["message"])
    assert cause["request_id"] == failed.headers["x-request-id"] and cause["level"] == "error"
    assert len({line["request_id"] for line in requests}) == len(requests)
    assert all("listener-0001" not in json.dumps(line) for line in requests)


def test_a_workspace_serves_its_metrics_and_logs_as_its_settings_say(workspace: Path) -> None:
    path = workspace / SETTINGS_FILE
    path.write_text(path.read_text().replace('log = "text"', 'log = "json"'))
    assert Workspace.open(workspace).settings.log == "json"
    command = ("-m", "tastemaker", "serve", "-w", str(workspace), "--port", "0")
    with running(*command) as (client, lines):
        user, item = client.get("/users").json()[0]["user_id"], client.get("/items").json()[0]["item_id"]
        events = [{"event_id": f"e{n}", "user_id": user, "kind": "like", "item_id": item} for n in range(3)]
        assert client.post("/events", json={"events": events[:2]}).json()["accepted"] == 2
        assert client.post("/events", json={"events": events}).json()["accepted"] == 1
        values = scraped(client)
        assert sample(values, "tastemaker_events_total", kind="like") == 3
        assert sample(values, "tastemaker_deployments") >= 1
        name = client.get("/info").json()["versions"]["deployment"]
        assert sample(values, "tastemaker_deployment_info", deployment=name) == 1
        assert 0 < sample(values, "tastemaker_deployment_age_seconds") < 1e6
    assert [json.loads(line)["status"] for line in lines if '"/events"' in line] == [200, 200]


def test_a_key_that_only_serves_sees_no_metrics(workspace: Path) -> None:
    database = Database(Workspace.open(workspace).database)
    key = Keys(database).add("app", "backend")
    database.close()
    with running("-m", "tastemaker", "serve", "-w", str(workspace), "--port", "0") as (client, _):
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 403
