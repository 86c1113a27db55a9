"""The application: routes, lanes and page around what a workspace serves."""

from __future__ import annotations

import asyncio
import mimetypes
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from tastemaker.server.access import Access, AccessSettings, Routes
from tastemaker.server.admission import Calls, Lane, LaneSettings
from tastemaker.server.assist import assistant_routes
from tastemaker.server.catalogue import catalogue_routes, health_routes, people_routes
from tastemaker.server.observe import Meters, Observe, metrics_routes
from tastemaker.server.operator import operator_routes
from tastemaker.server.processes import Board
from tastemaker.server.recommendations import (
    MarkLane,
    RecommendationLane,
    answer,
    mark,
    recommendation_routes,
)
from tastemaker.server.sessions import session_routes
from tastemaker.server.web import Edge, EdgeSettings, add_handlers
from tastemaker.store.settings import Settings

if TYPE_CHECKING:
    from tastemaker.assist.assistant import Assistant
    from tastemaker.serving.service import WorkspaceService

TELL = 5.0  # seconds between the measures that a process tells others
STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class ServerSettings:
    """How much the server takes on, whom it listens to; `deadline`: seconds of requests that name none."""

    recommendations: LaneSettings = LaneSettings(workers=2, computing=1)
    delivered: LaneSettings = LaneSettings("delivered", waiting=4096, batch=256, linger=0.03)
    reading: LaneSettings = LaneSettings("reading", workers=4, waiting=128, batch=1)
    writing: LaneSettings = LaneSettings("writing", workers=2, waiting=128, batch=1)
    media: LaneSettings = LaneSettings("media", workers=2, waiting=128, batch=1)
    health: LaneSettings = LaneSettings("health", workers=1, waiting=16, batch=1)
    edge: EdgeSettings = EdgeSettings()
    access: AccessSettings = AccessSettings()
    deadline: float = 5.0

    @classmethod
    def of(cls, settings: Settings) -> ServerSettings:
        """What a workspace's settings say of it."""
        edge = EdgeSettings(names=_words(settings.names), origins=_words(settings.origins))
        access = AccessSettings(settings.visitors, True, settings.rate_person, settings.rate_key)
        return cls(edge=edge, access=access)


async def _tell(meters: Meters) -> None:
    """Tell the other processes the measures of this one, every so often."""
    while True:
        await asyncio.to_thread(meters.collect)
        await asyncio.sleep(TELL)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip().rstrip("/") for word in text.split(",") if word.strip())


class _Page(StaticFiles):
    """The page's files; browsers ask each time whether they changed, so that a new version shows at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(
    service: WorkspaceService,
    settings: ServerSettings | None = None,
    clock: Callable[[], float] = time.monotonic,
    talker: Assistant | None = None,
    board: Board | None = None,
) -> FastAPI:
    """The server for `service`: JSON under the addresses of /openapi.json, and the page at /.

    Pages of other sites may call it where `settings.edge.origins` names them. `clock` gives seconds; tests
    pass their own. Without a `talker` there are no routes that talk. board: what this process of the server
    has in common with the others.
    """
    settings = settings or ServerSettings()
    lane: RecommendationLane = Lane(
        lambda queries: answer(service, queries, lane.free), settings.recommendations, clock
    )
    marks: MarkLane = Lane(lambda slates: mark(service, slates), settings.delivered, clock)
    access = Access(service.keys, settings.access, clock, board.rates if board else None)
    lanes = settings.reading, settings.writing, settings.media, settings.health
    reads, writes, media, health = (Calls(limits, clock) for limits in lanes)
    every = lane, marks, reads.lane, writes.lane, media.lane, health.lane
    meters = Meters(board.measures if board else None)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for each in every:
            await each.start()
        telling = asyncio.create_task(_tell(meters)) if board else None
        yield
        if telling is not None:
            telling.cancel()
        for each in every:
            await each.stop()

    app = FastAPI(
        title="Tastemaker",
        version=version("tastemaker"),
        description="Recommendations, and what people make of them. Every refusal is `{error, remedy}`.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
    )
    add_handlers(app, lambda kind: meters.errors.labels(kind).inc())
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.edge.origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After", "X-Request-Id", "X-Total-Count", "X-Ignored-Parameters"],
    )
    app.add_middleware(Edge, settings=settings.edge)
    app.add_middleware(Observe, meters=meters, clock=clock)
    app.state.access = access
    routes: tuple[Routes, ...] = (
        recommendation_routes(service, lane, marks, writes, settings.deadline, clock),
        catalogue_routes(service, reads, media),
        people_routes(service, access, reads, writes),
        session_routes(service, access, reads),
        health_routes(service, health),
        metrics_routes(meters, every, service, health),
        operator_routes(service, access, reads, meters, every),
        *(() if talker is None else (assistant_routes(talker),)),
    )
    app.state.routers = routes
    for router in routes:
        app.include_router(router)
    # Some systems map .js to text/plain, which `nosniff` would then refuse to run.
    mimetypes.add_type("text/javascript", ".js")
    app.mount("/", _Page(directory=STATIC, html=True), name="page")
    return app
