"""The routes that matter: a slate for a user or a bare history, the events that answer it, and the survey."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tastemaker.errors import InputError, TastemakerError
from tastemaker.server.access import SERVING, Caller, Me, Routes, allow
from tastemaker.server.admission import Calls, Lane
from tastemaker.server.models import (
    AnswerIn,
    AnswerOut,
    Counts,
    EventIn,
    EventsRequest,
    ImpressionIn,
    ImpressionOut,
    Item,
    ProblemOut,
    RecommendationRequest,
    Recommendations,
    Timings,
)
from tastemaker.server.web import Problem
from tastemaker.serving.query import Happened, Query, Slate

if TYPE_CHECKING:
    from tastemaker.serving.service import WorkspaceService

log = logging.getLogger("tastemaker.server")
RecommendationLane = Lane[Query, Slate]
MarkLane = Lane[tuple[str, bool], None]
MARKED = 30.0  # seconds within which a slate that was sent is marked
REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": ProblemOut, "description": "an unknown user, item or filter"},
    401: {"model": ProblemOut, "description": "no valid key or token"},
    403: {"model": ProblemOut, "description": "the key or token does not allow it"},
    409: {"model": ProblemOut, "description": "an id stands for something else already"},
    413: {"model": ProblemOut, "description": "the body is too large"},
    422: {"model": ProblemOut, "description": "the request's shape is wrong"},
    429: {"model": ProblemOut, "description": "too much is waiting; `Retry-After` says when to come back"},
    503: {"model": ProblemOut, "description": "not ready, stopping, or out of time; `Retry-After` as above"},
}
ANSWER_REFUSALS: dict[int | str, dict[str, object]] = {
    404: {"model": ProblemOut, "description": "a question that was never asked"},
}


def answer(
    service: WorkspaceService, queries: Sequence[Query], free: Callable[[], None] = lambda: None
) -> list[Slate | Exception]:
    """The service's slates for `queries`; runs in a worker thread. free: called once they are only stored."""
    return list(service.recommend_many(queries, free))


class Delivery(Response):
    """An answer that tells when it was sent; nobody is told where the client had hung up before."""

    media_type = "application/json"

    def __init__(self, content: str, headers: dict[str, str], confirm: Callable[[], Awaitable[None]]) -> None:
        super().__init__(content, headers=headers)
        self._mark_sent = confirm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, then tell."""
        hung_up = await _hung_up(receive)
        await super().__call__(scope, receive, send)
        if not hung_up:
            await self._mark_sent()


def mark(service: WorkspaceService, slates: Sequence[tuple[str, bool]]) -> list[Exception | None]:
    """Tell the service which slates were sent, and which wait for a client's word; together in one write."""
    for confirms in {confirms for _, confirms in slates}:
        service.delivered([name for name, other in slates if other == confirms], confirms)
    return [None] * len(slates)


async def _mark_sent(marks: MarkLane, request_id: str, confirms: bool) -> None:
    """Have a slate marked as sent; the answer is out, so a failure can only be noted."""
    try:
        await marks.run((request_id, confirms), MARKED)
    except TastemakerError as error:
        log.error("slate %s was sent but is not marked as shown: %s", request_id, error)


async def _hung_up(receive: Receive) -> bool:
    """Whether the client has closed the connection; the request's body has been read."""
    message = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        message = await receive()
    return message is not None and message["type"] == "http.disconnect"


def known_items(service: WorkspaceService, ids: Sequence[str]) -> dict[str, Item]:
    """The known ones among `ids`, by id."""
    return {item.item_id: item for item in map(Item.model_validate, service.items(ids))} if ids else {}


def recommendation_routes(
    service: WorkspaceService,
    lane: RecommendationLane,
    marks: MarkLane,
    calls: Calls,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Routes:
    """`POST /recommendations`, `/events` and `/surveys`; `seconds`: the deadline of requests without one."""
    router = Routes("recommendations")

    @router.post("/recommendations", responses=REFUSALS, response_model=Recommendations)
    @allow(*SERVING)
    async def recommendations(body: RecommendationRequest, caller: Me) -> Response:
        """A slate for a user or for a bare history, from items that pass the filters and are not excluded.

        It is logged, and counts as shown once it was sent; with `confirm`, once `POST /impressions` or an
        event says so. A user whom nobody knows yet gets a list for anybody, with a notice.
        """
        started = clock()
        allowed = min(seconds, body.deadline_ms / 1000) if body.deadline_ms else seconds
        outcome = await lane.run(_query(body, caller, started + allowed), allowed)
        slate = outcome.answer
        queue, compute, total = (
            round(seconds * 1000, 2) for seconds in (outcome.waited, outcome.computed, clock() - started)
        )
        timings = Timings(queue_ms=queue, compute_ms=compute, total_ms=total, batch=outcome.batch)
        times = f"queue;dur={timings.queue_ms}, model;dur={timings.compute_ms}"
        return Delivery(
            Recommendations.model_validate(slate.public() | {"timings": timings}).model_dump_json(),
            {"Cache-Control": "no-store", "Server-Timing": times},
            lambda: _mark_sent(marks, slate.request_id, body.confirm),
        )

    @router.post(
        "/events", responses={**REFUSALS, 404: {"model": ProblemOut, "description": "nothing to undo"}}
    )
    @allow(*SERVING)
    async def events(body: EventsRequest) -> Counts:
        """Store what happened: all of it or nothing. Sending the same events again is harmless."""
        unique = _unique(body.events)
        counts = Counts.model_validate(await calls(lambda: service.add_events(unique)))
        if counts.conflicts:
            _conflict(counts.conflicts)
        return counts.model_copy(update={"duplicates": counts.duplicates + len(body.events) - len(unique)})

    @router.post(
        "/impressions", responses={**REFUSALS, 404: {"model": ProblemOut, "description": "no such slate"}}
    )
    @allow(*SERVING)
    async def impressions(body: ImpressionIn, caller: Me) -> ImpressionOut:
        """The slate stood on a screen; so did those sent to this person before. A repetition is harmless."""
        whose = body.user_id or caller.person
        if not await calls(lambda: service.shown(body.request_id, whose)):
            raise Problem(
                404, f"no slate '{body.request_id[:80]}' was made for this user", "send both as they came"
            )
        return ImpressionOut(outcome="shown")

    add_surveys(router, service, calls)
    return router


def add_surveys(router: Routes, service: WorkspaceService, calls: Calls) -> None:
    """`POST /surveys`."""

    @router.post("/surveys", responses={**REFUSALS, **ANSWER_REFUSALS})
    @allow(*SERVING)
    async def surveys(body: AnswerIn) -> AnswerOut:
        """Answer a question that came with `POST /events`, or skip it with null; repeating is harmless."""
        outcome = await calls(lambda: service.answer_survey(body.question_id, body.user_id, body.answer))
        name = body.question_id[:80]
        if outcome == "unknown":
            raise Problem(
                404,
                f"question '{name}' was never asked of this user",
                "send the question_id and user_id it came with",
            )
        if outcome == "conflict":
            raise Problem(
                409, f"question '{name}' has another answer already", "an answer stands once it is given"
            )
        return AnswerOut.model_validate({"outcome": outcome})


def _query(body: RecommendationRequest, caller: Caller, deadline: float) -> Query:
    for name, values in body.filters.items():
        if not values:
            raise InputError(
                f"filter '{name}' lists no value, so nothing could pass; leave it out, or name a value of"
                " /fields"
            )
    return Query(
        user_id=body.user_id,
        history=tuple(body.history or ()),
        k=body.k,
        filters={name: tuple(values) for name, values in body.filters.items()},
        exclude=frozenset(body.exclude),
        request_id=body.request_id,
        deadline=deadline,
        asker=caller.person,
    )


def _unique(events: Sequence[EventIn]) -> list[Happened]:
    """The events, each id once; the same id with two contents is refused here, before anything is stored."""
    by_id: dict[str, Happened] = {}
    for entry in events:
        event = Happened(**entry.model_dump())
        if by_id.setdefault(entry.event_id, event) != event:
            _conflict([entry.event_id])
    return list(by_id.values())


def _conflict(ids: Sequence[str]) -> None:
    """A 409, naming the ids."""
    shown = ", ".join(f"'{event_id[:80]}'" for event_id in ids[:5])
    raise Problem(
        409,
        f"event id {shown} already stands for another event; nothing was stored",
        "give each event its own id",
    )
