"""The operator's page: what the service and the server say of themselves as JSON, and one-click rollback."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query
from fastapi.responses import FileResponse, JSONResponse
from pydantic import Field

from tastemaker.server.access import OPERATOR, Access, Me, Routes, allow
from tastemaker.server.admission import Calls, Lane
from tastemaker.server.models import In
from tastemaker.server.observe import Meters
from tastemaker.server.recommendations import REFUSALS
from tastemaker.server.web import Problem

LOAD = "load"
PARTS = (
    "watches",
    "data",
    "deployments",
    "catalogue",
    "ledger",
    "experiment",
    "surveys",
    "conversations",
    "cost",
)

if TYPE_CHECKING:
    from tastemaker.serving.service import WorkspaceService
PAGE = Path(__file__).parent / "static" / "operator.html"


class RollBack(In):
    """What is rolled back: the deployment that serves, so that a second click does nothing."""

    serving: str = Field(min_length=1, max_length=80, examples=["d-8906e24cff9b"])


def load(meters: Meters, lanes: Sequence[Lane[Any, Any]]) -> dict[str, Any]:
    """Requests and failures since the start by route, with latencies, and the lanes as they are."""
    counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    buckets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    errors = []
    for family in meters.collect():
        for sample in family.samples:
            if sample.name == "tastemaker_requests_total":
                status = f"{sample.labels['status'][0]}xx"
                counts[sample.labels["route"]][status] += sample.value
            elif sample.name == "tastemaker_request_seconds_bucket":
                buckets[sample.labels["route"]].append((float(sample.labels["le"]), sample.value))
            elif sample.name == "tastemaker_errors_total":
                errors.append({"kind": sample.labels["kind"], "count": int(sample.value)})
    rows = [
        {"route": route, "requests": int(sum(known.values()))}
        | {status: int(known[status]) for status in ("4xx", "5xx")}
        | {f"p{share}_ms": below(buckets[route], share / 100) for share in (50, 99)}
        for route, known in sorted(counts.items())
    ]
    shown = [
        {"lane": lane.settings.name, "waiting": lane.load[0], "busy": lane.load[1]}
        | {"capacity": lane.settings.waiting, "workers": lane.settings.workers}
        for lane in lanes
    ]
    return {"rows": rows, "lanes": shown, "errors": errors}


def below(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """The milliseconds below which that share of the requests ended, read off a histogram's buckets."""
    wanted, before = share * buckets[-1][1], (0.0, 0.0)
    for edge, count in buckets:
        if count >= wanted and count > before[1]:
            if math.isinf(edge):
                return None
            return round(
                1000 * (before[0] + (edge - before[0]) * (wanted - before[1]) / (count - before[1])), 1
            )
        before = edge, count
    return None


def operator_routes(
    service: WorkspaceService, access: Access, calls: Calls, meters: Meters, lanes: Sequence[Lane[Any, Any]]
) -> Routes:
    """`/operator`, `/operator.json` and `POST /operator/rollback`."""
    router = Routes("operator")

    @router.get("/operator", response_class=FileResponse)
    @allow(public=True)
    async def page() -> FileResponse:
        """The page; its figures need an operator key."""
        return FileResponse(PAGE, headers={"Cache-Control": "no-cache"})

    @router.get(
        "/operator.json", responses={**REFUSALS, 404: REFUSALS[400] | {"description": "no such part"}}
    )
    @allow(OPERATOR)
    async def figures(part: Annotated[list[str] | None, Query(max_length=20)] = None) -> JSONResponse:
        """Every figure of the page, or only the parts named."""
        content: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds")}
        wrong = [name for name in part or () if name not in (LOAD, *PARTS)]
        if wrong:
            raise Problem(404, f"'{wrong[0]}' is no part", f"choose of {', '.join((LOAD, *PARTS))}")
        for name in part or (LOAD, *PARTS):
            if name == LOAD:
                content[name] = load(meters, lanes)
            else:
                content[name] = await calls(partial(service.overview, name))
        return JSONResponse(content, headers={"Cache-Control": "no-store"})

    @router.post("/operator/rollback", responses=REFUSALS)
    @allow(OPERATOR)
    async def rollback(body: RollBack, caller: Me) -> JSONResponse:
        """Serve what was served before the deployment that serves."""
        result = await calls(lambda: service.roll_back(body.serving))
        await access.note(caller, "rollback asked for", result["deployment"]["name"])
        return JSONResponse(result)

    return router
