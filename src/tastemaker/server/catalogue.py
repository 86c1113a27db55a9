"""The routes that read: items and their media, users, filterable fields, what is served, and health."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Response
from fastapi import Request as HttpRequest
from fastapi.responses import FileResponse, JSONResponse
from starlette.types import Receive, Scope, Send

from tastemaker.server.access import KEYS, OPERATOR, PERSON, READING, Access, Me, Routes, allow
from tastemaker.server.admission import Calls
from tastemaker.server.models import (
    FilterField,
    Forgotten,
    Health,
    Info,
    Item,
    PastEvent,
    PastTurn,
    ProblemOut,
    User,
)
from tastemaker.server.recommendations import REFUSALS, known_items
from tastemaker.server.web import bare, problem_response, unknown

if TYPE_CHECKING:
    from tastemaker.serving.service import WorkspaceService

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
MISSING: dict[int | str, dict[str, object]] = {
    404: {"model": ProblemOut, "description": "not there"},
    **REFUSALS,
}
_RANGE = re.compile(r"bytes=(\d{0,400})-(\d{0,400})")


def catalogue_routes(service: WorkspaceService, calls: Calls, media: Calls) -> Routes:
    """`/items`, `/fields` and `/info`."""
    router = Routes("catalogue")
    add_items(router, service, calls)
    add_media(router, service, calls, media)

    @router.get("/fields", responses=REFUSALS)
    @allow(*READING)
    async def fields() -> list[FilterField]:
        """Fields that can be filtered on, with their values and how many items have each."""
        return await calls(lambda: [FilterField.model_validate(field) for field in service.fields()])

    @router.get("/info", responses=REFUSALS)
    @allow(*READING)
    async def info() -> Info:
        """The data set, who is simulated, versions and counts."""
        return await calls(lambda: Info.model_validate(service.info()))

    return router


def add_items(router: Routes, service: WorkspaceService, calls: Calls) -> None:
    """`GET /items?query=`."""

    @router.get("/items", responses=REFUSALS)
    @allow(*READING)
    async def items(
        response: Response,
        query: Annotated[str, Query(max_length=200, examples=["blackbird"])] = "",
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> list[Item]:
        """Items that match the words, parts of words and typing errors too, best first; without words the
        catalogue, page by page. The header `X-Total-Count` says how many there are.
        """
        rows, total = await calls(lambda: service.search(query, limit, offset))
        response.headers["X-Total-Count"] = str(total)
        return [Item.model_validate(row) for row in rows]


def add_media(router: Routes, service: WorkspaceService, calls: Calls, files: Calls) -> None:
    """`GET /items/{id}` and its cover and audio. Ids may hold slashes, so the longer addresses come first."""

    async def media(item_id: str, kind: str, http: HttpRequest) -> Response:
        file = await files(lambda: service.media(item_id, kind))
        if file is None:
            if item_id not in await calls(lambda: known_items(service, [item_id])):
                raise unknown("item", item_id)
            return problem_response(
                404, f"item '{item_id[:80]}' has no {kind}", "look at has_audio and has_image of the item"
            )
        path, media_type = file
        return streamed(path, media_type, await asyncio.to_thread(path.stat), http.headers.get)

    @router.get("/items/{item_id:path}/cover", responses=MISSING, response_class=Response)
    @allow(*READING)
    async def cover(item_id: str, http: HttpRequest) -> Response:
        """The item's picture."""
        return await media(item_id, "cover", http)

    @router.get("/items/{item_id:path}/audio", responses=MISSING, response_class=Response)
    @allow(*READING)
    async def audio(item_id: str, http: HttpRequest) -> Response:
        """The item's sound; byte ranges are served, so that players can seek."""
        return await media(item_id, "audio", http)

    @router.get("/items/{item_id:path}", responses=MISSING)
    @allow(*READING)
    async def item(item_id: str) -> Item:
        """One item."""
        items = await calls(lambda: known_items(service, [item_id]))
        if item_id not in items:
            raise unknown("item", item_id)
        return items[item_id]


class File(FileResponse):
    """A file, read piece by piece as the client takes it; of a range only that, and for HEAD nothing."""

    def __init__(self, path: Path, media_type: str, status: os.stat_result, ranges: bool) -> None:
        headers = {"Cache-Control": "private, max-age=3600"}
        super().__init__(path, headers=headers, media_type=media_type, stat_result=status)
        self._ranges = ranges

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        method = "HEAD" if scope.get("asked") == "HEAD" else scope["method"]
        headers = [pair for pair in scope["headers"] if self._ranges or pair[0] != b"range"]
        await super().__call__({**scope, "method": method, "headers": headers}, receive, send)


def streamed(
    path: Path, media_type: str, status: os.stat_result, header: Callable[[str], str | None]
) -> Response:
    """The file whole, in part, or "not modified", as the request's headers ask (RFC 9110 §13, §14; one range,
    several at once are answered with the whole). It is tagged by its size and the time it was written.
    """
    match = _RANGE.fullmatch(header("range") or "")
    ranges = match is not None and match.groups() != ("", "")
    response = File(path, media_type, status, ranges)
    tag = response.headers["etag"]
    known = [entry.strip().removeprefix("W/") for entry in (header("if-none-match") or "").split(",")]
    if tag in known or "*" in known:
        return Response(
            status_code=304, headers={name: response.headers[name] for name in ("etag", "cache-control")}
        )
    if match is not None and ranges and header("if-range") in (None, tag):
        first, last = match.groups()
        size = status.st_size
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if start > end:
            refusal = problem_response(
                416, f"the range lies outside the {size} bytes there are", "ask from byte 0"
            )
            refusal.headers["Content-Range"] = f"bytes */{size}"
            return refusal
    return response


def people_routes(service: WorkspaceService, access: Access, reads: Calls, writes: Calls) -> Routes:
    """`GET /users`, `GET /users/{id}/history`, `GET /users/{id}/conversations` and `DELETE /users/{id}`."""
    router = Routes("people")

    @router.get("/users", responses=REFUSALS)
    @allow(*READING)
    async def users(response: Response, caller: Me, limit: Limit = 50, offset: Offset = 0) -> list[User]:
        """With a key, people of the tables, then those who came by the page; without keys on this machine,
        people of the tables alone; with a person's token, simulated listeners alone.

        `simulated` must be shown wherever they could be taken for people. The header `X-Total-Count` says how
        many there are.
        """
        whom = "everybody" if caller.role in KEYS and not caller.local else "recorded"
        whom = "simulated" if caller.role == PERSON and not access.open else whom
        rows, total = await reads(lambda: service.users(limit, offset, whom))
        response.headers["X-Total-Count"] = str(total)
        return [User.model_validate(row) for row in rows]

    @router.get("/users/{user_id:path}/history", responses=MISSING)
    @allow(*READING)
    async def history(user_id: str) -> list[PastEvent]:
        """What the user did, oldest first, with the items; events that were undone are left out."""

        def look_up() -> list[PastEvent]:
            events = [PastEvent.model_validate(event) for event in service.history(user_id)]
            items = known_items(service, sorted({event.item_id for event in events}))
            return [event.model_copy(update={"item": items.get(event.item_id)}) for event in events]

        return await reads(look_up)

    @router.get("/users/{user_id:path}/conversations", responses=MISSING)
    @allow(*READING)
    async def conversations(user_id: str) -> list[PastTurn]:
        """What the user said to the assistant, oldest first; empty for none, 404 for somebody erased."""
        return [PastTurn.model_validate(turn) for turn in await reads(lambda: service.talks(user_id))]

    @router.delete("/users/{user_id:path}", responses=MISSING)
    @allow(OPERATOR, PERSON)
    async def forget(user_id: str, caller: Me) -> Forgotten:
        """Erase the person from everything the workspace keeps, for good: their id cannot be used again."""
        forgotten = Forgotten.model_validate(await writes(lambda: service.forget(user_id)))
        rows = sum(part.count for part in forgotten.removed)
        await access.note(caller, "forget", f"one person, {rows} rows and files")
        return forgotten

    return router


def health_routes(service: WorkspaceService, calls: Calls) -> Routes:
    """`GET /health/live`, which touches nothing, and `GET /health/ready`, which asks the service."""
    router = Routes("health", "/health")

    @router.get("/live")
    @allow(public=True)
    async def live() -> Health:
        """The process answers."""
        return Health(ready=True)

    @router.get("/ready", response_model=Health, responses={503: {"model": Health, "description": "not yet"}})
    @allow(public=True)
    async def ready() -> JSONResponse:
        """Slates and events can be stored; 503 with the reason while they cannot."""
        good, reason = await calls(service.writable)
        headers = {"Cache-Control": "no-store"} if good else {"Cache-Control": "no-store", "Retry-After": "2"}
        return JSONResponse({"ready": good, "reason": bare(reason)}, 200 if good else 503, headers)

    return router
