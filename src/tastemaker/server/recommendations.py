"""The routes that matter: a slate for a user or a bare history, the events that answer it, and the survey."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from tastemaker.errors import InputError
from tastemaker.server.admission import Calls, Done, Lane, Refused
from tastemaker.server.models import (
    AnswerIn,
    AnswerOut,
    Counts,
    EventIn,
    EventsRequest,
    FullRow,
    Item,
    ProblemOut,
    RecommendationRequest,
    Recommendations,
    Slate,
    Timings,
)
from tastemaker.server.service import Event, Request, Service
from tastemaker.server.web import Problem

Filled = tuple[Slate, list[FullRow]]
RecommendationLane = Lane[Request, Filled]
REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": ProblemOut, "description": "an unknown user, item or filter"},
    422: {"model": ProblemOut, "description": "the request's shape is wrong"},
    429: {"model": ProblemOut, "description": "too much is waiting; `Retry-After` says when to come back"},
    503: {"model": ProblemOut, "description": "not ready, stopping, or out of time; `Retry-After` as above"},
}
ANSWER_REFUSALS: dict[int | str, dict[str, object]] = {
    404: {"model": ProblemOut, "description": "a question that was never asked"},
    409: {"model": ProblemOut, "description": "the question has another answer"},
}


def answer(service: Service, requests: Sequence[Request]) -> list[Filled | Exception]:
    """The service's slates for `requests`, checked and with their items filled in; runs in a worker thread.

    Raises
    ------
    Refused
        503 while the service is not ready.
    """
    ready, reason = service.ready()
    if not ready:
        raise Refused(f"recommendations cannot be served yet: {reason}", 2, 503)
    slates = [
        one if isinstance(one, Exception) else Slate.model_validate(one)
        for one in service.recommend_many(requests)
    ]
    ids = {row.item_id for slate in slates if isinstance(slate, Slate) for row in slate.rows}
    items = known_items(service, sorted(ids))
    return [slate if isinstance(slate, Exception) else (slate, _fill(slate, items)) for slate in slates]


def _fill(slate: Slate, items: dict[str, Item]) -> list[FullRow]:
    return [
        FullRow.model_construct(**row.__dict__, item=items.get(row.item_id) or Item(item_id=row.item_id))
        for row in slate.rows
    ]


def known_items(service: Service, ids: Sequence[str]) -> dict[str, Item]:
    """The known ones among `ids`, by id."""
    return {item.item_id: item for item in map(Item.model_validate, service.items(ids))} if ids else {}


def recommendation_routes(
    service: Service,
    lane: RecommendationLane,
    calls: Calls,
    seconds: float,
    new_id: Callable[[], str],
    clock: Callable[[], float] = time.monotonic,
) -> APIRouter:
    """`POST /recommendations`, `POST /events` and `POST /surveys`; `seconds` is the deadline of a request
    that names none.
    """
    router = APIRouter(tags=["recommendations"])

    @router.post("/recommendations", responses=REFUSALS)
    async def recommendations(
        body: RecommendationRequest, http: HttpRequest, response: Response
    ) -> Recommendations:
        """A slate for a known user or for a bare history, from items that pass the filters and are not
        excluded.
        """
        started = clock()
        allowed = min(seconds, body.deadline_ms / 1000) if body.deadline_ms else seconds
        done = await lane.run(_request(body, new_id, started + allowed), allowed)
        slate, rows = done.answer
        timings = _timings(done, clock() - started)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server-Timing"] = f"queue;dur={timings.queue_ms}, model;dur={timings.compute_ms}"
        return Recommendations.model_construct(
            request_id=slate.request_id,
            policy_id=slate.policy_id,
            rows=rows,
            reason=slate.reason,
            timings=timings,
        )

    @router.post(
        "/events",
        responses={**REFUSALS, 409: {"model": ProblemOut, "description": "an id stands for another event"}},
    )
    async def events(body: EventsRequest) -> Counts:
        """Store what happened: all of it or nothing. Sending the same events again is harmless."""
        unique = _unique(body.events)
        counts = Counts.model_validate(await calls(lambda: service.add_events(unique)))
        if counts.conflicts:
            _conflict(counts.conflicts)
        return counts.model_copy(update={"duplicates": counts.duplicates + len(body.events) - len(unique)})

    add_surveys(router, service, calls)
    return router


def add_surveys(router: APIRouter, service: Service, calls: Calls) -> None:
    """`POST /surveys`."""

    @router.post("/surveys", responses={**REFUSALS, **ANSWER_REFUSALS})
    async def surveys(body: AnswerIn) -> AnswerOut:
        """Answer a question that came with `POST /events`, or skip it with null. Sending the same again is
        harmless.
        """
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


def _request(body: RecommendationRequest, new_id: Callable[[], str], deadline: float) -> Request:
    for name, values in body.filters.items():
        if not values:
            raise InputError(
                f"filter '{name}' lists no value, so nothing could pass; leave it out, or name a value of"
                " /fields"
            )
    return Request(
        request_id=body.request_id or new_id(),
        user_id=body.user_id,
        history=tuple(body.history or ()),
        k=body.k,
        filters={name: tuple(values) for name, values in body.filters.items()},
        exclude=frozenset(body.exclude),
        deadline=deadline,
    )


def _timings(done: Done[Filled], total: float) -> Timings:
    queue, compute, whole = (round(seconds * 1000, 2) for seconds in (done.waited, done.computed, total))
    return Timings(queue_ms=queue, compute_ms=compute, total_ms=whole, batch=done.batch)


def _unique(events: Sequence[EventIn]) -> list[Event]:
    """The events, each id once; the same id with two contents is refused here, before anything is stored."""
    kept: dict[str, Event] = {}
    for one in events:
        event = Event(**one.model_dump())
        if kept.setdefault(one.event_id, event) != event:
            _conflict([one.event_id])
    return list(kept.values())


def _conflict(ids: Sequence[str]) -> None:
    """A 409, naming the ids."""
    shown = ", ".join(f"'{one[:80]}'" for one in ids[:5])
    raise Problem(
        409,
        f"event id {shown} already stands for another event; nothing was stored",
        "give each event its own id",
    )
