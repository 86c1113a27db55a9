"""The fold that answers: search -> rerank -> draw -> explain -> log, each from (query, slate) to slate.

The server (batch by batch), the command line, Python and batch jobs call `serve`; so they answer alike.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tastemaker.errors import InputError, TastemakerError
from tastemaker.flows.data import numbers_of, passing
from tastemaker.flows.search import Searcher
from tastemaker.schema import check_person
from tastemaker.serving.draw import Drawer
from tastemaker.serving.explain import Explainer
from tastemaker.serving.history import People, Profile
from tastemaker.serving.log import earlier, log
from tastemaker.serving.query import Query, Slate
from tastemaker.serving.rerank import Reranker, plugged
from tastemaker.store import Offers

Request = tuple[Query, Slate]
STRANGER = (
    "nobody knows '{}' yet, so this list is for anybody; send events for them, or a history, and it becomes"
    " theirs"
)
ERASED = "'{}' was erased, so this list is for anybody, and is nobody's; go on under another id"
REMOVED = "{} of these {} items were taken out of the catalogue since, and are left out"
SEARCHING = threading.Lock()  # one search at a time: it uses all the cores it may


@dataclass(frozen=True, eq=False)
class Parts:
    """What one deployment answers with; a swap replaces it, and what is in hand finishes here."""

    deployment: str
    searcher: Searcher
    people: People
    reranker: Reranker
    drawer: Drawer
    explainer: Explainer
    offers: Offers
    clock: Callable[[], datetime]


def serve(
    queries: Sequence[Query], parts: Parts, free: Callable[[], None] = lambda: None
) -> list[Slate | TastemakerError]:
    """For each query, in order, its slate, logged as offered; or the error that it met. free: called before
    the log is written.

    Mark a slate as shown with `Offers.delivered` once it has reached whoever asked.
    """
    answers: list[Slate | TastemakerError] = [InputError("unanswered")] * len(queries)
    waiting: dict[int, Request] = {}
    for place, query in enumerate(queries):
        try:
            known = earlier(parts.offers, query)
            if known is None:
                waiting[place] = begin(query, parts)
            else:
                answers[place] = still_there(known, parts.searcher)
        except TastemakerError as error:
            answers[place] = error
    if not waiting:
        return answers
    rerank, draw = parts.reranker.now(), parts.drawer.now()
    slates = search(list(waiting.values()), parts, rerank.spare)
    ready: dict[int, Request] = {}
    for place, slate in zip(waiting, slates, strict=True):
        query = waiting[place][0]
        try:
            for step in (rerank, plugged, draw, parts.explainer):
                slate = step(query, slate)
            ready[place] = query, slate
        except TastemakerError as error:
            answers[place] = error
    free()
    for place, answer in zip(ready, log(parts.offers, list(ready.values())), strict=True):
        answers[place] = answer
    return answers


def begin(query: Query, parts: Parts) -> Request:
    """The query with what is known of who asks, and an empty slate with an id of the server's own.

    Raises InputError on an unknown item, field or value, before the search that others share.
    """
    searcher, notice, digest = parts.searcher, None, query.digest()
    profile = Profile(query.history)
    if query.user_id is not None:
        check_person(query.user_id)
        profile, name = parts.people.profile(query.user_id), query.user_id[:80]
        notice = None if profile.known else STRANGER.format(name)
        if parts.people.forgotten(query.user_id):  # nothing is kept about them again
            query, notice = replace(query, user_id=None, asker=None), ERASED.format(name)
    exclude = frozenset(item for item in query.exclude if item in searcher.data.index)
    query = replace(query, history=profile.history, marks=profile.marks, exclude=exclude | profile.unwanted)
    _check_filters(query, searcher)
    searcher.index_of(query.history)
    searcher.mask(query.filters)
    slate = Slate(
        f"s-{secrets.token_hex(12)}",
        parts.clock(),
        digest,
        parts.deployment,
        searcher.versions,
        notice=notice,
        profile=profile,
    )
    return query, slate


def still_there(slate: Slate, searcher: Searcher) -> Slate:
    """The slate of an earlier answer without the items that were taken out of the catalogue since."""
    rows = tuple(row for row in slate.rows if row.item_id in searcher.data.index)
    removed = len(slate.rows) - len(rows)
    return replace(slate, rows=rows, notice=REMOVED.format(removed, len(slate.rows))) if removed else slate


def _check_filters(query: Query, searcher: Searcher) -> None:
    """Refuse a value that no item has: a list that nothing can pass is a slip, not a wish."""
    for name, values in query.filters.items():
        known = searcher.field(name)
        if known is None:
            continue  # `mask` refuses the field and names those there are
        for value in values:
            if not len(passing(known, value)):
                if numbers := numbers_of(known).values():
                    ends = f"{min(numbers):g} to {max(numbers):g}"
                    raise InputError(
                        f"no item has {name} '{value}'; it runs from {ends}: name a value or 20..50"
                    )
                examples = ", ".join(sorted(known, key=lambda choice: (-len(known[choice]), choice))[:20])
                suffix = f" and {len(known) - 20} more, see /fields" if len(known) > 20 else ""
                raise InputError(f"no item has {name} '{value}'; the values are {examples}{suffix}")


def search(requests: Sequence[Request], parts: Parts, spare: int) -> list[Slate]:
    """Each slate with its candidates: one constrained beam search for all of them."""
    queries = [query for query, _ in requests]
    deadlines = [query.deadline for query in queries if query.deadline is not None]
    last = max(deadlines) if len(deadlines) == len(queries) else None
    with SEARCHING:
        answers = parts.searcher.answer(queries, last, spare)
    ids = parts.searcher.data.item_ids
    return [
        replace(
            slate,
            candidates=candidates,
            pool=tuple(ids[item] for item in candidates.items),
            scores=dict(zip(candidates.items.tolist(), candidates.scores.tolist(), strict=True)),
            reason=candidates.reason if len(candidates) < query.k else None,  # others may have asked for more
        )
        for (query, slate), candidates in zip(requests, answers, strict=True)
    ]
