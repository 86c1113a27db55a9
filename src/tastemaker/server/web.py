"""The HTTP edge of every route: one shape of error, a limit on bodies, headers that protect the page."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tastemaker.errors import BusyError, FullError, InputError, TastemakerError
from tastemaker.server.admission import Refused
from tastemaker.serving.query import Conflict, Unknown

log = logging.getLogger("tastemaker.server")

# Everything the page needs is its own: no inline script, no frame, no form target, no foreign origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_FOLDERS = re.compile(r"(?<![\w./])/(?:[^/\s:'\"]+/)+")
_COMPARE = "compare the request with the examples of /openapi.json"
_PORT = re.compile(r":(80|443)$")  # what an origin leaves out
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

STATUS: dict[type[TastemakerError], int] = {
    Unknown: 404,
    Conflict: 409,
    InputError: 400,
    BusyError: 503,
    FullError: 507,
}


class Problem(Exception):
    """A refusal with its status, what is wrong, and what to do."""

    def __init__(
        self, status: int, error: str, remedy: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.remedy, self.headers = status, error, remedy, dict(headers or {})


def unknown(what: str, name: str) -> Problem:
    """The 404 for an item or user that is not there."""
    where = "/items?query=..." if what == "item" else "/users"
    return Problem(404, f"{what} '{name[:80]}' is unknown", f"find the ones there are with GET {where}")


def problem_response(status: int, error: str, remedy: str, retry_after: int | None = None) -> JSONResponse:
    """The JSON of a refusal, on one line."""
    headers = {**HEADERS, "Cache-Control": "no-store"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return JSONResponse({"error": _line(error), "remedy": _line(remedy)}, status, headers)


def _line(text: str) -> str:
    """On one line, without the halves of characters that no encoding can hold."""
    return " ".join(text.split()).encode("utf-8", "replace").decode()


def bare(text: str) -> str:
    """A message without the folders of the files it names, which are no caller's business."""
    return _FOLDERS.sub("", text)


def _split(message: str) -> tuple[str, str]:
    """Our errors end in "; " and the remedy."""
    error, _, remedy = message.rpartition("; ")
    return (error, remedy) if error else (message, _COMPARE)


def _unread(request: Request) -> str:
    """What to do about a body whose headers say that it is no plain JSON; nothing where they say it is."""
    packed = request.headers.get("content-encoding", "identity")
    if packed != "identity":
        return f"send the body as it is: content-encoding '{packed[:40]}' is not read"
    kind = request.headers.get("content-type", "")
    if request.method in ("POST", "PUT", "PATCH") and "json" not in kind.lower():
        return f"send JSON, and say so: content-type: application/json (it is '{kind[:60]}')"
    return ""


def _readable(error: RequestValidationError) -> str:
    """Each fault with its place, such as `body.events.0.kind: Input should be ...`."""
    parts = []
    for fault in error.errors()[:5]:
        place = ".".join(str(part) for part in fault["loc"])
        parts.append(f"{place}: {str(fault['msg']).removeprefix('Value error, ')}")
    return " | ".join(parts)


async def _half(_: Request, error: Exception) -> JSONResponse:
    """JSON can name half of a character ("\\ud800"), which no text can hold, whichever field it stands in."""
    if not isinstance(error, UnicodeEncodeError) or error.reason != "surrogates not allowed":
        raise error
    what = f"a text holds half of a character (\\u{ord(error.object[error.start]):x})"
    return problem_response(422, what, "send both halves, or the character itself")


def methods_at(app: FastAPI, path: str) -> set[str]:
    """The methods of the first route at a path, and of those that share its address."""
    routes = [route for router in app.state.routers for route in router.routes]
    first = next((route.path for route in routes if route.path_regex.match(path)), None)
    known = {method for route in routes if route.path == first for method in route.methods}
    return known | {"HEAD"} if "GET" in known else known


def _way_out(app: FastAPI, request: Request, status: int) -> str:
    """What to do about a refusal of the framework."""
    path = request.url.path.rstrip("/")
    if path != request.url.path and request.method in methods_at(app, path):
        return "leave out the slash at the end"
    known = {
        404: "the addresses there are stand in /openapi.json",
        405: "use one of the methods that `Allow` names",
        408: "send it in one go",
        413: "send it in smaller parts",
    }
    return known.get(status) or _unread(request) or _COMPARE


def add_handlers(app: FastAPI, count: Callable[[str], None] = lambda _: None) -> None:
    """Turn every way a request can fail into `{error, remedy}`; no traceback leaves the server. `count` gets
    the kind of each failure that is the server's own.
    """

    app.add_exception_handler(UnicodeEncodeError, _half)

    @app.exception_handler(Problem)
    async def refused_by_us(_: Request, error: Problem) -> JSONResponse:
        response = problem_response(error.status, error.error, error.remedy)
        response.headers.update(error.headers)
        return response

    @app.exception_handler(Refused)
    async def overloaded(_: Request, error: Refused) -> JSONResponse:
        return problem_response(
            error.status, str(error), f"try again in {error.retry_after} s", error.retry_after
        )

    @app.exception_handler(TastemakerError)
    async def mistaken(_: Request, error: TastemakerError) -> JSONResponse:
        # Anything but the caller's input is the server's own trouble: a damaged artifact, a model that will
        # not load. What another process holds is free again soon.
        busy = isinstance(error, BusyError)
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
        message = str(error)
        if status >= 500:
            count(type(error).__name__)
            log.error("%s", message)
            message = bare(message)
        return problem_response(status, *_split(message), 2 if busy else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(422, _readable(error), _unread(request) or _COMPARE)

    @app.exception_handler(HTTPException)
    async def by_framework(request: Request, error: HTTPException) -> JSONResponse:
        status, headers = error.status_code, dict(error.headers or {})
        known = methods_at(app, request.url.path)
        if status == 404 and known and request.method not in known:
            status, error.detail = 405, "Method Not Allowed"  # the page's files, asked last, know none
        if status == 405:
            headers["Allow"] = ", ".join(sorted(known or {"GET", "HEAD"}))
        detail = f"{request.method} {request.url.path[:120]}: {error.detail}"
        response = problem_response(status, detail, _way_out(app, request, status))
        response.headers.update(headers)
        return response

    @app.exception_handler(ClientDisconnect)
    async def disconnected(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # which nobody reads: they left before their request was whole

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        count(type(error).__name__)
        log.error("%s %s failed: %r", request.method, request.url.path, error)
        response = problem_response(
            500, "the server failed on this request", "the server's log names the cause; report it"
        )
        response.headers["X-Request-Id"] = request.scope["seen"]["name"]
        return response


@dataclass(frozen=True)
class EdgeSettings:
    """`body` bytes at most in a request. `names` it may be addressed by, beside those of this machine and,
    with `anywhere`, any IP address. `origins`: of pages elsewhere that may call. `patience`:
    seconds that the next part of a body may take.
    """

    body: int = 256 * 1024
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    anywhere: bool = False
    patience: float = 15.0


class Edge:
    """Refuses large bodies, unknown host names and writes from other sites; adds the protecting headers.

    A page elsewhere could point its own name at this machine and read what is served here (DNS rebinding);
    checking the Host header ends that. Writes that a browser marks as coming from another site are refused
    likewise, and where it marks nothing, those whose Origin is not the host they call.
    """

    def __init__(self, app: ASGIApp, settings: EdgeSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        send = _with_headers(send)
        if scope["method"] == "HEAD":  # what GET would say, without the body, which the server leaves out
            scope = {**scope, "method": "GET", "asked": "HEAD"}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._limited(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._ours(host):
            return problem_response(
                400,
                f"host '{host.rpartition(':')[0][:80] or host[:80]}' is not served here",
                "use the address that was printed at start, or name this one under `names` in"
                " tastemaker.toml",
            )
        if self._elsewhere(headers) and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            return problem_response(
                403, "a page of another site sent this", "call from this server's own page or a program"
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return problem_response(400, "content-length is not a number", "send the body's length in bytes")
        return self._too_large() if int(length) > self.settings.body else None

    def _elsewhere(self, headers: Headers) -> bool:
        """Whether a page of another site sent this: as the browser says, or, where it says nothing (old ones,
        and plain http between machines), as the page's origin tells against the host that was called.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin in self.settings.origins:
            return False
        if site is not None or origin is None:
            return site in ("cross-site", "same-site")
        called, page = (_PORT.sub("", text.lower()) for text in (headers.get("host", ""), origin))
        return page.rpartition("://")[2] != called

    def _ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        if name in LOOPBACK or name in self.settings.names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return self.settings.anywhere and name == socket.gethostname().lower()
        return self.settings.anywhere  # nobody's page can point an address elsewhere, as it can a name

    def _too_large(self) -> JSONResponse:
        return problem_response(
            413, f"the body is larger than {self.settings.body:,} bytes", "send it in smaller parts"
        )

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the bytes too: a chunked body announces no length."""
        size, complete = 0, False

        async def counted() -> Message:
            nonlocal size, complete
            try:
                message = await asyncio.wait_for(receive(), None if complete else self.settings.patience)
            except TimeoutError:
                raise HTTPException(
                    408, f"the body did not come within {self.settings.patience:g} s"
                ) from None
            complete = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self.settings.body:
                raise HTTPException(413, f"the body is larger than {self.settings.body:,} bytes")
            return message

        await self.app(scope, counted, send)


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
