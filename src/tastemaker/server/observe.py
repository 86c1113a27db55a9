"""What an operator sees of a running server: `/metrics` for Prometheus, and a log line a request.

Neither names a person: requests are counted and logged by the route's pattern, never the address.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tastemaker.server.access import OPERATOR, READER, Routes, allow
from tastemaker.server.admission import Calls, Lane

if TYPE_CHECKING:
    from tastemaker.serving.service import WorkspaceService

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
Families = list[Metric]
OTHER = "(other)"  # the page's files, and addresses that no route has
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
access_log = logging.getLogger("tastemaker.access")
request_id: ContextVar[str] = ContextVar("request_id", default="")


class Meters(Collector):
    """Counters of one server, in a registry of their own; beside other processes, of all of them:
    `measures` is where they tell each other (`server.processes.SharedMeasures`).
    """

    def __init__(self, measures: Any = None) -> None:
        self.registry, self._measures = CollectorRegistry(), measures
        about = ("method", "route", "status")
        name = "tastemaker_request"
        self.requests = Counter(f"{name}s", "Requests answered.", about, registry=self.registry)
        self.seconds = Histogram(
            f"{name}_seconds",
            "Seconds from a request to the end of its answer.",
            ("route",),
            registry=self.registry,
            buckets=SECONDS,
        )
        self.errors = Counter(
            "tastemaker_errors",
            "Failures of the server itself (status 500 and above), by kind.",
            ("kind",),
            registry=self.registry,
        )

    def collect(self) -> Families:
        """What is known now: counts of all processes, and of this one what is no count."""
        families = list(self.registry.collect())
        others = self._measures.exchange(os.getpid(), families) if self._measures is not None else []
        return summed(families, others)


def summed(base: Families, others: Sequence[Families]) -> Families:
    """The families of a process, with those of others added where they count something."""
    total: dict[tuple[str, frozenset[tuple[str, str]]], float] = defaultdict(float)
    families = {family.name: Metric(family.name, family.documentation, family.type) for family in base}
    for family in (row for rows in (base, *others) for row in rows):
        gauge = family.type == "gauge"
        known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            if key not in total:
                known.samples.append(sample)
            if not (gauge or sample.name.endswith("_created")) or key not in total:
                total[key] += sample.value
    for family in families.values():
        family.samples = [
            sample._replace(value=total[sample.name, frozenset(sample.labels.items())])
            for sample in family.samples
        ]
    return list(families.values())


class Watched(Collector):
    """What is read when it is asked for: the lanes, and what the service says of itself."""

    def __init__(self, lanes: Sequence[Lane[Any, Any]], service: WorkspaceService) -> None:
        self._lanes, self._service = lanes, service

    def describe(self) -> list[Metric]:
        """Nothing ahead of time: registering asks no service."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The lanes' and the service's numbers now."""
        known = [(lane.settings, *lane.load) for lane in self._lanes]
        for name, about, values in (
            ("waiting", "Requests that wait in a lane.", [waiting for _, waiting, _ in known]),
            ("busy", "Requests that a lane computes.", [busy for *_, busy in known]),
            ("capacity", "Requests that may wait in a lane.", [lane.waiting for lane, *_ in known]),
        ):
            gauge = GaugeMetricFamily(f"tastemaker_lane_{name}", about, labels=["lane"])
            for (lane, *_), value in zip(known, values, strict=True):
                gauge.add_metric([lane.name], value)
            yield gauge
        measures = self._service.measures()
        name = "tastemaker_deployment"
        info = GaugeMetricFamily(f"{name}_info", "The deployment that answers.", labels=["deployment"])
        info.add_metric([measures.deployment], 1)
        yield info
        age = (datetime.now(UTC) - measures.created).total_seconds()
        yield GaugeMetricFamily(f"{name}_age_seconds", "Seconds since that deployment was made.", age)
        yield GaugeMetricFamily(f"{name}s", "Deployments kept.", measures.deployments)
        events = CounterMetricFamily("tastemaker_events", "Events stored, by kind.", labels=["kind"])
        for kind, count in sorted(measures.events.items()):
            events.add_metric([kind], count)
        yield events


def metrics_routes(
    meters: Meters, lanes: Sequence[Lane[Any, Any]], service: WorkspaceService, calls: Calls
) -> Routes:
    """`GET /metrics`."""
    router = Routes("operator")
    meters.registry.register(Watched(lanes, service))

    @router.get("/metrics", response_class=Response)
    @allow(OPERATOR, READER)
    async def metrics() -> Response:
        """What Prometheus scrapes: requests, latencies, lanes, the deployment's age, events and errors."""
        text = await calls(lambda: generate_latest(meters))
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

    return router


class Observe:
    """The outermost layer: names requests (`X-Request-Id`, the caller's if plain), counts, logs them."""

    def __init__(self, app: ASGIApp, meters: Meters, clock: Callable[[], float] = time.monotonic) -> None:
        self.app, self.meters, self.clock = app, meters, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, seen."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        header = Headers(scope=scope).get("x-request-id", "")
        name = header if _ID.fullmatch(header) else secrets.token_hex(8)
        request_id.set(name)
        # What the layers below find out; a layer may copy the scope, but not this.
        seen = scope["seen"] = {"route": OTHER, "caller": "", "name": name}
        started, status = self.clock(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            seconds, route = self.clock() - started, seen["route"]
            method = scope["method"] if scope["method"] in METHODS else OTHER
            self.meters.requests.labels(method, route, str(status)).inc()
            self.meters.seconds.labels(route).observe(seconds)
            facts = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
            access_log.info("request", extra={"facts": facts | {"caller": seen["caller"]}})


METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the request's id, and the facts of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if name := request_id.get():
            line["request_id"] = name
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_json() -> None:
    """Have everything that this program and its server log go to stderr as JSON lines, requests included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.root.handlers = [handler]
    access_log.setLevel(logging.INFO)
