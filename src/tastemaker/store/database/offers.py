"""Slates as they are offered to a caller, and what becomes of them: shown once delivered, or never."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tastemaker.schema import ANONYMOUS
from tastemaker.store.database.database import Database, insert
from tastemaker.store.database.events import micros
from tastemaker.store.database.integrity import fetch, intact
from tastemaker.store.database.sqlite import Connection

LIFETIME = timedelta(days=1)  # how long a caller's request id stands for its answer
ROW = (
    "request_id",
    "user_id",
    "timestamp",
    "position",
    "item_id",
    "propensity",
    "prefix_propensity",
    "policy_id",
    "policy_propensity",
    "reference_propensity",
)


@dataclass(frozen=True)
class OfferedRow:
    """One place of an offered slate, with the probabilities it was drawn with (see schema.SLATES)."""

    item_id: str
    propensity: float
    prefix_propensity: float | None = None
    policy_propensity: float | None = None
    reference_propensity: float | None = None


@dataclass(frozen=True)
class Offer:
    """A slate as it is logged before the answer is sent.

    request_id: the server's own. user_id: of the person, or `schema.ANONYMOUS`. pool: items that the policy
    could have shown in this request, None where that is not known; logits: of each the log-probability that
    pi0 gives it to be drawn first, up to a constant, None where nothing is drawn. features: JSON of what the
    ranker knew of each row. request_key: the caller's own id for the request, which stands for `query` and
    its `answer` for a day.
    """

    request_id: str
    user_id: str
    timestamp: datetime
    rows: Sequence[OfferedRow]
    policy_id: str
    deployment: str = ""
    pool: Sequence[str] | None = None
    features: str | None = None
    request_key: str | None = None
    query: str = ""
    answer: str = ""
    logits: Sequence[float] | None = None


@dataclass(frozen=True)
class Earlier:
    """What a caller's request id stands for already; `answer` is None once it is older than a day."""

    query: str
    answer: str | None


class Offers:
    """The serving side of a `Database`; every call is one durable transaction. Raises as `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, offers: Sequence[Offer]) -> list[Earlier | None]:
        """Log slates as offered: None for each one logged, else what its caller's request id stands for."""
        with self._database.transaction() as connection:
            return [_add(connection, offer) for offer in offers]

    def earlier(self, caller: str, request_key: str) -> Earlier | None:
        """What the caller's request id stands for; None when it is new."""
        with self._database.transaction(write=False) as connection:
            return _earlier(connection, caller, request_key)

    def delivered(self, request_ids: Iterable[str], at: datetime, confirms: bool = False) -> None:
        """These slates were sent, and count as shown; where the client `confirms` what it showed, once it has
        done so. The first time counts, and an empty slate shows nothing.
        """
        sql = DELIVER if confirms else SHOWN
        with self._database.transaction() as connection:
            connection.executemany(sql, [(micros(at), name) for name in request_ids])

    def shown(self, user_id: str | None, request_ids: Iterable[str], at: datetime) -> int:
        """Somebody (None for whoever asked by a bare history) confirms these slates, or answers them with
        events; returns how many of them were theirs.

        So count as shown their earlier slates that were sent, too: who chose which of their draws count could
        make the logged propensities false. A slate made for a bare history belongs from then on to the first
        who answers it.
        """
        with self._database.transaction() as connection:
            return sum(_shown(connection, user_id, name, micros(at)) for name in set(request_ids))

    def server_id(self, user_id: str, request_id: str) -> str | None:
        """The server's id of the slate that a person's client calls `request_id`: itself, or the client's own
        id for the request; None for another person's slate.
        """
        query = "SELECT request_id FROM offers WHERE caller = ? AND request_key = ?"
        if row := self._database.first(query, user_id, request_id):
            return str(row[0])
        owner = self._database.first("SELECT user_id FROM offers WHERE request_id = ?", request_id)
        return request_id if owner is None or owner[0] in (user_id, ANONYMOUS) else None

    def pools(self) -> dict[str, dict[str, float | None]]:
        """Of each slate shown, by its request id, the items that its policy could have shown, each with the
        logit that pi0 gave it; slates of version 0.1 logged neither, slates before logits were kept none.
        """
        known = "WHERE shown_at IS NOT NULL AND pool IS NOT NULL"
        rows = self._database.select("offers", ("request_id", "pool"), known)
        return {name: _pool(json.loads(pool)) for name, pool in rows}


def _pool(stored: list[str] | dict[str, list[Any]]) -> dict[str, float | None]:
    if isinstance(stored, dict):
        return dict(zip(stored["items"], stored["logits"], strict=True))
    return dict.fromkeys(stored)


SHOWN = (
    "UPDATE offers SET shown_at = ? WHERE request_id = ? AND shown_at IS NULL"
    " AND EXISTS (SELECT 1 FROM slates WHERE slates.request_id = offers.request_id)"
)

DELIVER = (
    "UPDATE offers SET delivered_at = ? WHERE request_id = ? AND delivered_at IS NULL AND shown_at IS NULL"
)
EARLIER = (
    "UPDATE offers SET shown_at = delivered_at WHERE user_id = ? AND shown_at IS NULL AND delivered_at IS NOT"
    " NULL AND timestamp <= ? AND EXISTS (SELECT 1 FROM slates WHERE slates.request_id = offers.request_id)"
)


def _shown(connection: Connection, user_id: str | None, name: str, at: int) -> bool:
    sql = "SELECT user_id, timestamp FROM offers WHERE request_id = ?"
    owner, timestamp = connection.execute(sql, (name,)).fetchone() or (None, 0)
    if owner is None or owner not in (user_id, ANONYMOUS):
        return False
    connection.execute(SHOWN, (at, name))
    if owner != ANONYMOUS:
        connection.execute(EARLIER, (owner, timestamp))
    elif user_id is not None:
        for table in ("offers", "slates", "impressions"):
            connection.execute(f"UPDATE {table} SET user_id = ? WHERE request_id = ?", (user_id, name))
    return True


def _add(connection: Connection, offer: Offer) -> Earlier | None:
    at = micros(offer.timestamp)
    if offer.request_key is not None:
        earlier = _earlier(connection, offer.user_id, offer.request_key)
        if earlier is not None:
            return earlier
        connection.execute(
            "UPDATE offers SET answer = NULL WHERE answer IS NOT NULL AND timestamp < ?",
            (micros(offer.timestamp - LIFETIME),),
        )
    keyed = offer.request_key is not None
    pool: Any = None if offer.pool is None else list(offer.pool)
    if pool and offer.logits is not None:
        pool = {"items": pool, "logits": [round(float(value), 4) for value in offer.logits]}
    pool = None if pool is None else json.dumps(pool, separators=(",", ":"))
    about: dict[str, Any] = {"request_id": offer.request_id, "user_id": offer.user_id, "timestamp": at}
    insert(
        connection,
        "offers",
        **about,
        deployment=offer.deployment,
        pool=pool,
        caller=offer.user_id,
        request_key=offer.request_key,
        query=offer.query if keyed else None,
        answer=offer.answer if keyed else None,
    )
    connection.executemany(
        f"INSERT INTO slates ({', '.join(ROW)}) VALUES ({', '.join('?' * len(ROW))})",
        [
            (
                *(offer.request_id, offer.user_id, at, place),
                *(row.item_id, row.propensity, row.prefix_propensity),
                *(offer.policy_id, row.policy_propensity, row.reference_propensity),
            )
            for place, row in enumerate(offer.rows)
        ],
    )
    if offer.features is not None:
        insert(connection, "impressions", **about, features=offer.features)
    return None


def _earlier(connection: Connection, caller: str, request_key: str) -> Earlier | None:
    sql = f"SELECT query, answer, {intact('offers')} FROM offers WHERE caller = ? AND request_key = ?"
    rows = fetch(connection, sql, (caller, request_key))
    return Earlier(str(rows[0][0]), rows[0][1]) if rows else None
