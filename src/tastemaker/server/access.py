"""Who may call what. Every route declares it with `allow`, and is reached by nobody else.

Without any key in the workspace, whoever is on this machine is the operator, and nobody else is heard.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import jwt
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from tastemaker.errors import BusyError
from tastemaker.server.admission import Refused
from tastemaker.server.web import Problem
from tastemaker.store.database import Key, Keys

OPERATOR, APP, READER, PERSON, NOBODY = "operator", "app", "read", "person", "nobody"
KEYS = (OPERATOR, APP, READER)  # callers with a key
READING = (*KEYS, PERSON)
SERVING = (OPERATOR, APP, PERSON)
PAGE, OPEN = "page", "open"  # issuers of tokens beside the keys: the page's own, and of a server without keys
VISITOR = "visitor-"
SECONDS = 10.0  # how much of a rate may come at once
MANY = 10_000  # names whose rates are remembered: those that called last
FRESH = 0.5  # seconds after which keys are read anew: so late does a revoked one stop
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Caller:
    """Who calls: the role; the name of their key; the person whom their token stands for, and its issuer.

    local: a program on this machine while there are no keys.
    """

    role: str = NOBODY
    name: str = ""
    person: str | None = None
    issuer: str = ""
    token: str = ""
    local: bool = False

    @property
    def bucket(self) -> str:
        """Under which name their calls are counted."""
        return f"person {self.person}" if self.role == PERSON else f"key {self.name}"


@dataclass(frozen=True)
class Rule:
    """roles: who may call. self_only: a person may name nobody but themselves, as `user_id` in the path, the
    query or anywhere in the body. public: credentials are not looked at. lenient: a bad cookie is none, and
    so is, while this machine is trusted, a key that is not of our making: a visitor's cookie beside it
    still says who calls.
    """

    roles: frozenset[str]
    self_only: bool = True
    public: bool = False
    lenient: bool = False


def allow(
    *roles: str, self_only: bool = True, public: bool = False, lenient: bool = False
) -> Callable[[Endpoint], Endpoint]:
    """Declare who may call an endpoint of `Routes`; see `Rule`."""

    def declared(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["rule"] = Rule(frozenset(roles), self_only, public, lenient)
        return endpoint

    return declared


class GuardedRoute(APIRoute):
    """A route that asks `Access` before the request's body is understood."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not isinstance(getattr(endpoint, "rule", None), Rule):
            raise TypeError(f"{path}: say who may call {endpoint.__name__} with @allow(...) below the route")
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the rule of its endpoint."""
        handler, rule = super().get_route_handler(), self.endpoint.__dict__["rule"]
        known = {parameter.alias for parameter in self.dependant.query_params}

        async def guarded(request: Request) -> Response:
            access: Access = request.app.state.access
            seen = request.scope.get("seen", {})
            seen["route"] = self.path_format
            request.state.caller = await access.admit(request, rule)
            seen["caller"] = request.state.caller.role
            response = await handler(request)
            unread = sorted(quote(name[:40]) for name in set(request.query_params) - known)
            if unread:  # a misspelt one would go unseen; refused, it would break who sends more than is read
                response.headers["X-Ignored-Parameters"] = ", ".join(unread[:8])
            return response

        return guarded


class Routes(APIRouter):
    """A router whose routes all declare who may call them."""

    def __init__(self, tag: str, prefix: str = "") -> None:
        super().__init__(prefix=prefix, tags=[tag], route_class=GuardedRoute)


async def _caller(request: Request) -> Caller:  # a plain function would wait for a thread of its own
    caller: Caller = request.state.caller
    return caller


Me = Annotated[Caller, Depends(_caller)]


@dataclass(frozen=True)
class AccessSettings:
    """visitors: the page gives everybody who comes a name and a token, also when there are keys.

    local: only this machine reaches the server. per_person, per_key: requests a second that one may go on
    with, 0 for any number; ten seconds' worth may come at once. fresh: seconds that keys are taken as read.
    """

    visitors: bool = False
    local: bool = True
    per_person: float = 20.0
    per_key: float = 200.0
    fresh: float = FRESH


class Rates:
    """So many calls a second of each name as the settings say, `SECONDS` worth of them at once."""

    def __init__(self, settings: AccessSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = {True: settings.per_key, False: settings.per_person}, clock
        self._guard = threading.Lock()
        # calls left, and when that was
        self._buckets = {keyed: OrderedDict[str, tuple[float, float]]() for keyed in self._rate}

    def take(self, keyed: bool, name: str) -> int:
        """0 when the call, by a key or not, may go on; else whole seconds until the next one may."""
        rate, buckets = self._rate[keyed], self._buckets[keyed]
        if not rate:
            return 0
        with self._guard:
            now, full = self._clock(), max(1.0, rate * SECONDS)
            tokens, since = buckets.pop(name, (full, now))
            tokens = min(full, tokens + (now - since) * rate)
            buckets[name] = tokens - (tokens >= 1), now
            if len(buckets) > MANY:
                buckets.popitem(last=False)
        return 0 if tokens >= 1 else max(1, math.ceil((1 - tokens) / rate))


class Access:
    """Tells callers by their keys and tokens, and whether they may.

    Keys come as `Authorization: Bearer tm-...`; tokens the same way, or, to the page, in a cookie.
    """

    def __init__(
        self,
        keys: Keys,
        settings: AccessSettings,
        clock: Callable[[], float] = time.monotonic,
        rates: Rates | None = None,
    ) -> None:
        self.keys, self.settings, self._clock = keys, settings, clock
        self._rates = rates or Rates(settings, clock)
        self._secret = keys.signing()
        self.cookie = f"tastemaker-{sha256(self._secret.encode()).hexdigest()[:8]}"
        self._known: dict[str, Key] = {}
        self._read_at = -float("inf")

    @property
    def open(self) -> bool:
        """Whether this machine is trusted, for want of any key."""
        return self.settings.local and not self._known

    async def admit(self, request: Request, rule: Rule) -> Caller:
        """The caller of a request that `rule` lets through.

        Raises Problem: 401 without a valid key or token, 403 where theirs is not enough, 422 for a body with
        a name twice; Refused: 429 above their rate.
        """
        if rule.public:
            return Caller()
        if self._clock() - self._read_at >= self.settings.fresh:
            await asyncio.to_thread(self._refresh)
        caller = self._caller(request, rule.lenient)
        body = _json(await request.body()) if request.method not in ("GET", "DELETE", "HEAD") else None
        self._count(caller, request)
        if caller.role not in rule.roles and not (caller.local and NOBODY in rule.roles):
            raise _stranger() if caller.role == NOBODY else _forbidden(caller, "this call")
        if caller.role == PERSON and rule.self_only:
            people = {*request.query_params.getlist("user_id"), *_people_in(body)}
            people |= {request.path_params["user_id"]} if "user_id" in request.path_params else set()
            if people - {caller.person}:
                raise _forbidden(caller, "anything of another person")
        return caller

    def mint(self, person: str, issuer: str, seconds: float) -> str:
        """A token for one person."""
        now = datetime.now(UTC)
        claims = {"sub": person, "iss": issuer, "iat": now, "exp": now + timedelta(seconds=seconds)}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    async def note(self, caller: Caller, action: str, detail: str = "") -> None:
        """Log an action where an operator did it."""
        if caller.role == OPERATOR:
            actor = caller.name or "this machine, without a key"
            await asyncio.to_thread(self.keys.note, actor, action, detail)

    def _refresh(self) -> None:
        try:
            self._known = {key.key_id: key for key in self.keys.all()}
        except BusyError:  # a database that is away: those that were read hold until it is back
            if self._read_at == -float("inf"):
                raise
        self._read_at = self._clock()

    def _caller(self, request: Request, lenient: bool) -> Caller:
        header = request.headers.get("authorization")
        scheme, _, credentials = (header or "").partition(" ")
        bearer = scheme.lower() == "bearer" and bool(credentials)
        if lenient and self.open and bearer and not credentials.startswith("tm-"):
            header = header if credentials.count(".") == 2 else None  # OpenAI's clients must send something
        if header is None:
            cookie = request.cookies.get(self.cookie)
            if cookie is not None:
                try:
                    return self._person(cookie)
                except Problem:
                    if not lenient:
                        raise
            return Caller(OPERATOR, local=True) if self.open else Caller()
        if not bearer:
            raise _refused("the Authorization header is not 'Bearer' and a key or token")
        return self._keyholder(credentials) if credentials.startswith("tm-") else self._person(credentials)

    def _keyholder(self, credentials: str) -> Caller:
        _, _, pair = credentials.partition("-")
        key_id, _, secret = pair.partition("-")
        key = self._known.get(key_id)
        if key is None or not key.opens(secret):
            raise _refused("this key is not one of the server's, or was revoked")
        return Caller(key.role, key.name)

    def _person(self, token: str) -> Caller:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                options={"require": ["sub", "iss", "iat", "exp"], "verify_iat": False},  # clocks jump back
            )
        except jwt.ExpiredSignatureError:
            raise _refused("this token has expired") from None
        except (jwt.InvalidTokenError, ValueError):
            raise _refused("this token is not one of the server's") from None
        person, issuer = claims["sub"], claims["iss"]
        key = self._known.get(issuer)
        valid = {PAGE: self.open or self.settings.visitors, OPEN: self.open}
        if not valid.get(issuer, key is not None and key.revoked is None and key.role in (APP, OPERATOR)):
            raise _refused("this token's issuer is no longer in force")
        return Caller(PERSON, person=person, issuer=issuer, token=token)

    def issuer(self, caller: Caller) -> str:
        """Under whose name the caller mints tokens."""
        return next((key.key_id for key in self._known.values() if key.name == caller.name), OPEN)

    def _count(self, caller: Caller, request: Request) -> None:
        if caller.local:
            return
        keyed = caller.role in KEYS
        bucket = caller.bucket
        if caller.role == NOBODY:
            bucket = f"address {request.client.host if request.client else ''}"
        wait = self._rates.take(keyed, bucket)
        if wait:
            rate = self.settings.per_key if keyed else self.settings.per_person
            what = "key" if keyed else "person" if caller.role == PERSON else "address"
            raise Refused(f"more than {rate:g} requests a second from one {what}", wait, 429)


def _json(body: bytes) -> Any:
    """What the body says; None for what is not JSON, which the route itself refuses. A name that stands twice
    in one object would mean one thing here and another elsewhere.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise Problem(422, f"body: '{twice[:80]}' stands twice in one object", "give each name once")
        return mapping

    try:
        return json.loads(body, object_pairs_hook=once) if body else None
    except (ValueError, RecursionError):
        return None


def _people_in(value: Any) -> Iterator[str]:
    """Every `user_id` anywhere in a JSON value."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping):
            if isinstance(current.get("user_id"), str):
                yield current["user_id"]
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current


def _refused(why: str) -> Problem:
    remedy = "ask whoever runs the server for another"
    return Problem(401, why, remedy, {"WWW-Authenticate": "Bearer"})


def _stranger() -> Problem:
    return Problem(
        401,
        "this server answers only who has a key or a token",
        "send it as 'Authorization: Bearer ...'; whoever runs the server makes one with `tastemaker admin"
        " keys add`",
        {"WWW-Authenticate": "Bearer"},
    )


def _forbidden(caller: Caller, what: str) -> Problem:
    whose = "a person's token" if caller.role == PERSON else f"a key of the role '{caller.role}'"
    return Problem(403, f"{whose} does not allow {what}", "use a key whose role does; see docs/api.md")
