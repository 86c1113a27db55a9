"""How a page or a client comes to a token for one person."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from fastapi import Request as HttpRequest
from fastapi import Response

from tastemaker.schema import check_person
from tastemaker.server.access import (
    APP,
    NOBODY,
    OPEN,
    OPERATOR,
    PAGE,
    PERSON,
    VISITOR,
    Access,
    Me,
    Routes,
    allow,
)
from tastemaker.server.admission import Calls
from tastemaker.server.models import Session, SessionRequest, Token, TokenRequest
from tastemaker.server.recommendations import REFUSALS
from tastemaker.server.web import Problem
from tastemaker.serving.query import Standing

if TYPE_CHECKING:
    from tastemaker.serving.service import WorkspaceService

KEPT_DAYS = 180  # a returning visitor is known for so long


def session_routes(service: WorkspaceService, access: Access, calls: Calls) -> Routes:
    """`POST /tokens` for a backend, and `POST /session` for the page."""
    routes = Routes("access")

    async def _standing(user_id: str) -> Standing:
        return await calls(lambda: service.standing(user_id))

    @routes.post("/tokens", responses=REFUSALS)
    @allow(OPERATOR, APP)
    async def tokens(body: TokenRequest, caller: Me) -> Token:
        """A token with which a client reads and writes one person alone, until it expires."""
        check_person(body.user_id)
        if (await _standing(body.user_id)).erased:
            raise Problem(409, f"user '{body.user_id[:80]}' was erased", "go on under another id")
        token = access.mint(body.user_id, access.issuer(caller), body.hours * 3600)
        return Token(user_id=body.user_id, token=token, hours=body.hours)

    @routes.post("/session", responses=REFUSALS)
    @allow(PERSON, NOBODY, self_only=False, lenient=True)
    async def session(body: SessionRequest, caller: Me, http: HttpRequest, response: Response) -> Session:
        """Who the page's visitor is: the person of the token or cookie sent along, else somebody new with a
        name of their own, whom a cookie brings back.

        With `user_id` a token to look on as somebody who is no visitor: a simulated listener, or, without
        keys on this machine, anybody of the tables.
        """
        if body.user_id is not None:
            return await _borrowed(body.user_id)
        person, token, known = caller.person, caller.token, False
        if person is not None:
            standing = await _standing(person)
            known, person = standing.known, None if standing.erased else person
        if person is None:
            if not (access.open or access.settings.visitors):
                raise Problem(
                    401,
                    "this page opens with a token alone",
                    "follow the link of the app that you came from",
                    {"WWW-Authenticate": "Bearer"},
                )
            person, known = f"{VISITOR}{secrets.token_hex(12)}", False
        if person.startswith(VISITOR):
            token = access.mint(person, PAGE, KEPT_DAYS * 86400)  # anew, so that whoever returns is known on
        https = http.url.scheme == "https"
        response.set_cookie(
            access.cookie, token, KEPT_DAYS * 86400, secure=https, httponly=True, samesite="strict"
        )
        return Session(user_id=person, known=known)

    async def _borrowed(user_id: str) -> Session:
        standing = await _standing(user_id)
        if not standing.recorded or not (standing.simulated or access.open):
            raise Problem(
                403, f"'{user_id[:80]}' is nobody to look on as", "see GET /users for those who are"
            )
        issuer = PAGE if standing.simulated else OPEN
        return Session(user_id=user_id, known=True, token=access.mint(user_id, issuer, 86400))

    return routes
