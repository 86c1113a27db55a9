"""What is kept of a slate before it is sent, and the same slate again for a retry."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tastemaker.serving.query import Conflict, Query, Slate
from tastemaker.store import Offer, OfferedRow, Offers
from tastemaker.store.database.offers import Earlier


def earlier(offers: Offers, query: Query) -> Slate | None:
    """The slate that the caller's own request id stands for; None where it is new, or there is none.

    Raises Conflict when it stands for another query.
    """
    if query.request_id is None or not query.logged:
        return None
    known = offers.earlier(query.caller, query.request_id)
    return None if known is None else _same(query, query.digest(), known)


def _same(query: Query, digest: str, known: Earlier) -> Slate:
    name = str(query.request_id)[:80]
    if known.query != digest:
        raise Conflict(f"request_id '{name}' stands for another request; give each request its own id")
    if known.answer is None:
        raise Conflict(f"request_id '{name}' was answered more than a day ago; give the request a new id")
    return Slate.of(known.answer)


def log(offers: Offers, pairs: Sequence[tuple[Query, Slate]]) -> list[Slate | Conflict]:
    """Log slates as offered, in one transaction, before they are sent; each, or the one logged before."""
    logged = [pair for pair in pairs if pair[0].logged and (pair[1].rows or pair[0].request_id is not None)]
    outcome = dict(
        zip((id(slate) for _, slate in logged), offers.add([_offer(*pair) for pair in logged]), strict=True)
    )
    answers: list[Slate | Conflict] = []
    for query, slate in pairs:
        known = outcome.get(id(slate))
        try:
            answers.append(slate if known is None else _same(query, slate.digest, known))
        except Conflict as error:
            answers.append(error)
    return answers


def _offer(query: Query, slate: Slate) -> Offer:
    draw = slate.drawn
    rows = []
    for place, row in enumerate(slate.rows):
        assert draw is not None
        chances = [
            None if column is None else float(column[place])
            for column in (draw.prefix, draw.policy, draw.reference)
        ]
        rows.append(OfferedRow(row.item_id, row.propensity, *chances))
    keyed = query.request_id is not None
    return Offer(
        slate.request_id,
        query.caller,
        slate.timestamp,
        rows,
        slate.policy_id,
        slate.deployment,
        slate.pool,
        _features(slate),
        query.request_id,
        slate.digest if keyed else "",
        slate.to_json() if keyed else "",
        None if draw is None or draw.logits is None else draw.logits.tolist(),
    )


def _features(slate: Slate) -> str | None:
    """JSON of what was known of each item shown; of items from outside the pool nothing is."""
    if not slate.features or not slate.rows:
        return None
    place = {item: row for row, item in enumerate(slate.known)}
    shown = [(place[item], item) for item in (row.item_id for row in slate.rows) if item in place]
    columns = {
        name: [round(float(values[row]), 6) for row, _ in shown] for name, values in slate.features.items()
    }
    return json.dumps({"item_id": [item for _, item in shown]} | columns, separators=(",", ":"))
