"""A scripted endpoint served over HTTP, which fails in every way real ones do: to rehearse a run for free."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tastemaker.errors import InputError
from tastemaker.stats.random import generator

FAULTS = {
    "429_seconds": "429 with Retry-After in seconds",
    "429_date": "429 with Retry-After as an HTTP date",
    "503": "503 without Retry-After",
    "hang": "no answer until the caller gives up",
    "truncated": "JSON cut off in the middle, finish_reason length",
    "wrong_schema": "JSON of another shape",
    "drop": "the connection breaks in the middle of the body",
    "echo_key": "401 that repeats the caller's Authorization header",
}
DATE_STEP = 1.0
"""An HTTP date has whole seconds, so the shortest wait it can ask for surely is one second."""


@dataclass(frozen=True)
class Script:
    """What the endpoint does. answer: body of the request -> text. latency: seconds before each answer.

    faults: kind of FAULTS -> probability, drawn by seed, request and how often it was seen, so reruns
    misbehave alike.
    plan: the first attempts' behaviour in order of arrival, before probabilities apply: a kind of FAULTS, or
    "" for an answer.
    retry_after: seconds asked for with 429. hang: seconds a hanging answer takes.
    """

    answer: Callable[[dict[str, Any]], str]
    latency: float = 0.0
    faults: Mapping[str, float] = field(default_factory=dict)
    plan: tuple[str, ...] = ()
    retry_after: float = 1.0
    hang: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = {*self.faults, *self.plan} - {*FAULTS, ""}
        if unknown or sum(self.faults.values()) > 1:
            raise InputError(
                f"script: faults are {', '.join(FAULTS)} with probabilities that add up to at most 1 (got"
                f" {unknown})"
            )


class Rehearsal:
    """Serves a script at `base_url` between `with` and its end; counts what was asked and what was answered.

    asked, answered, faults: by sha256 of the request's body, and by kind. log: (seconds since start, kind) of
    every arrival.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self.most_at_once = 0
        self._now_at_once = 0
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._began = time.monotonic()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Rehearsal:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def behaviour(self, digest: str) -> str:
        """What the next arrival of this request meets: a kind of FAULTS, or "" for an answer."""
        with self._lock:
            number, seen = self.asked.total(), self.asked[digest]
            self.asked[digest] += 1
            if number < len(self.script.plan):
                kind = self.script.plan[number]
            else:
                kind = _drawn(self.script, digest, seen)
            self.faults[kind] += bool(kind)
            self.log.append((time.monotonic() - self._began, kind))
        return kind

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the rehearsal ends."""
        self._released.wait(seconds)

    def present(self, change: int) -> None:
        """Count the calls under way."""
        with self._lock:
            self._now_at_once += change
            self.most_at_once = max(self.most_at_once, self._now_at_once)

    def served(self, digest: str) -> None:
        """Count a whole answer."""
        with self._lock:
            self.answered[digest] += 1


def _drawn(script: Script, digest: str, seen: int) -> str:
    draw = float(generator(script.seed, "fault", digest, seen).random())
    for kind, share in script.faults.items():
        if draw < share:
            return kind
        draw -= share
    return ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is part of the rehearsal."""


class _Handler(BaseHTTPRequestHandler):
    owner: Rehearsal
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    disable_nagle_algorithm = True

    def log_message(self, format: str, *values: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        digest = hashlib.sha256(raw).hexdigest()
        self.owner.present(1)
        try:
            kind = self.owner.behaviour(digest)
            self.owner.wait(self.owner.script.latency)
            self._behave(kind, json.loads(raw), digest)
        finally:
            self.owner.present(-1)

    def _behave(self, kind: str, body: dict[str, Any], digest: str) -> None:
        script = self.owner.script
        if kind == "hang":
            self.owner.wait(script.hang)
            self.close_connection = True
        elif kind == "429_seconds":
            self._send(429, {"error": "slow down"}, {"Retry-After": f"{script.retry_after:g}"})
        elif kind == "429_date":
            moment = time.time() + max(script.retry_after, DATE_STEP)
            self._send(429, {"error": "slow down"}, {"Retry-After": formatdate(moment, usegmt=True)})
        elif kind == "503":
            self._send(503, {"error": "overloaded"})
        elif kind == "echo_key":
            self._send(401, {"error": f"invalid key: {self.headers.get('Authorization', '')}"})
        else:
            self._answer(kind, body, digest)

    def _answer(self, kind: str, body: dict[str, Any], digest: str) -> None:
        text = self.owner.script.answer(body)
        if kind == "truncated":
            text = text[: max(1, len(text) // 2)]
        if kind == "wrong_schema":
            text = json.dumps({"unexpected": text})
        tokens = [len(json.dumps(body["messages"]).encode()) // 4, -(-len(text.encode()) // 4)]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "length" if kind == "truncated" else "stop",
        }
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        whole = {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
        if kind == "drop":
            self._drop(json.dumps(whole).encode())
        else:
            self._send(200, whole)
            self.owner.served(digest)

    def _send(self, code: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _drop(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
