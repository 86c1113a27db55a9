"""Tokens for one person, and the page's own session."""

from __future__ import annotations

from pydantic import Field

from tastemaker.server.models.base import Identifier, In, Out


class TokenRequest(In):
    """For whom, and for how long."""

    user_id: Identifier
    hours: float = Field(default=1.0, gt=0, le=24 * 365, strict=True)


class Token(Out):
    """Send it as `Authorization: Bearer ...`."""

    user_id: str
    token: str
    hours: float


class SessionRequest(In):
    """Nothing, or somebody to look on as."""

    user_id: Identifier | None = None


class Session(Out):
    """Who the page acts for; `known` says whether anything is kept about them. `token` only where it is asked
    for by name: the visitor's own is in the cookie.
    """

    user_id: str
    known: bool
    token: str | None = None
