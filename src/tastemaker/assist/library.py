"""What the assistant knows of one deployment: its shelf and people, and where what they do is kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tastemaker.assist.desk import Choice, Drawing
from tastemaker.assist.ranking import Ranker
from tastemaker.assist.shelf import Floats, Shelf, encoder
from tastemaker.converse.catalogue import Catalogue
from tastemaker.corpus.events import Histories
from tastemaker.errors import InputError
from tastemaker.flows.converse.catalogue import build_catalogue
from tastemaker.flows.data import item_texts
from tastemaker.retrieve.allow import allow, mask
from tastemaker.serving.log import log as keep_slates
from tastemaker.serving.query import Evidence, Happened, Query, Row, Slate, Unknown
from tastemaker.serving.serve import SEARCHING
from tastemaker.stats.ranking import best_places
from tastemaker.store import Workspace

if TYPE_CHECKING:
    from tastemaker.serving.service import WorkspaceService

BEAM = 50  # candidates of the model that a person's past speaks for
DEPTH = 15.0  # ranks after which their voice has faded to a third


class Library:
    """What one deployment knows: the shelf, its ranker, and its people."""

    def __init__(self, workspace: Workspace, service: WorkspaceService) -> None:
        self.service, self.parts = service, service.parts
        data = self.parts.searcher.data
        try:
            catalogue = build_catalogue(workspace, data, days=True)
        except InputError:  # titles and texts alone: it works by words
            titles = tuple(
                title or f"item {item}"
                for item, title in zip(data.item_ids, data.items["title"].to_pylist(), strict=True)
            )
            ids, counts = tuple(data.item_ids), np.asarray(data.training_counts, np.int64)
            creators = tuple(data.items["creator"].to_pylist())
            catalogue = Catalogue(ids, titles, ((),) * len(ids), creators, ids, {}, counts)
        texts = item_texts(data.items)
        embed, vectors = encoder(workspace, texts)
        self.shelf = Shelf.of(catalogue, texts, embed, vectors)
        self.ranker = Ranker(self.shelf)
        self._people = data.histories.people(len(data.item_ids))
        self._scores = lru_cache(maxsize=64)(self._scored)

    def warm(self) -> None:
        """Build what the first message would wait for."""
        for part in ("claims", "lexical", "makers", "priors", "stems", "values", "wishes"):
            getattr(self.shelf, part)
        self.shelf.embed(["hello"])

    def history(self, user_id: str | None) -> tuple[tuple[int, ...], frozenset[int]]:
        if user_id is None:
            return (), frozenset()
        profile, index = self.parts.people.profile(user_id), self.parts.searcher.data.index
        wanted = tuple(index[item] for item in profile.history if item in index)
        return wanted, frozenset(index[item] for item in profile.unwanted if item in index)

    def past(self, rows: Sequence[int], keep: np.ndarray[Any, np.dtype[np.bool_]]) -> Floats | None:
        """From 1 for the item that the model puts first after these, falling with its rank."""
        pool = np.flatnonzero(keep)
        if not len(pool):
            return None
        depth = min(BEAM, len(pool))
        scored = self._scores(tuple(rows))
        if scored is None:
            searcher = self.parts.searcher
            allowed = allow(searcher.trie, mask(searcher.trie, keep))
            with SEARCHING:
                best = searcher.candidates(Histories.of_lists([list(rows)]), [allowed], depth)[0].items
        else:
            best = pool[best_places(scored[pool], depth)]
        scores = np.zeros(len(self.shelf), np.float32)
        scores[best] = np.exp(-np.arange(len(best)) / DEPTH)
        return scores

    def _scored(self, rows: tuple[int, ...]) -> Floats | None:
        """(N,) the model's scores after these items: once for each history, not for each turn."""
        with SEARCHING:
            scores = self.parts.searcher.scores(Histories.of_lists([list(rows)]))
        return None if scores is None else scores[0]

    def reasons(self, row: int, history: Sequence[int]) -> Sequence[Evidence]:
        ids = self.shelf.catalogue.item_ids
        return self.parts.explainer.evidence([ids[row]], [ids[other] for other in history])[0]

    def chosen(self, row: int) -> int:
        return int(self._people[row])

    def happened(self, user_id: str, row: int, kind: str, request_id: str | None) -> None:
        value, item = 1.0 if kind == "play" else None, self.shelf.catalogue.item_ids[row]
        self.service.add_events(
            [Happened(event_name(), user_id, kind, item, value=value, request_id=request_id)]
        )

    def take_back(self, user_id: str, row: int, sign: int = 1) -> bool:
        item, rules = self.shelf.catalogue.item_ids[row], self.parts.searcher.data.rules
        standing = [
            event.event_id
            for event in self.service.database.history(user_id)
            if event.item_id == item and rules.sign(event.kind, event.value) * sign > 0
        ]
        self.service.add_events(
            [Happened(event_name(), user_id, "undo", target=target) for target in standing]
        )
        return item not in self.parts.people.profile(user_id).history

    def choose(self, ranked: Sequence[int], k: int, first: Sequence[int] = ()) -> Choice:
        searcher, drawer = self.parts.searcher, self.parts.drawer
        drawing = Drawing(
            searcher.settings.exploration, searcher.versions["model"], drawer.key, drawer.prefixes
        )
        return drawing.choose(ranked, k, first)

    def offered(self, user_id: str | None, choices: Sequence[Choice]) -> None:
        """Log lists as every slate is."""
        erased = user_id is not None and self.parts.people.forgotten(user_id)
        who = None if erased else user_id
        asked = [(Query(who, k=len(choice.rows)), self._slate(choice)) for choice in choices]
        keep_slates(self.parts.offers, asked)

    def _slate(self, choice: Choice) -> Slate:
        ids, draw = self.shelf.catalogue.item_ids, choice.draw
        rows = tuple(
            Row(ids[row], place, None, float(draw.propensity[place]), "talk")
            for place, row in enumerate(choice.rows)
        )
        return Slate(
            choice.request_id,
            self.parts.clock(),
            deployment=self.parts.deployment,
            policy_id=draw.policy_id,
            rows=rows,
            pool=tuple(ids[row] for row in choice.pool),
            drawn=draw,
        )

    def item(self, row: int) -> Mapping[str, Any]:
        return dict(self.parts.explainer.items[self.shelf.catalogue.item_ids[row]])

    def known(self, user_id: str) -> list[dict[str, Any]]:
        with suppress(Unknown):
            return self.service.history(user_id)
        return []

    def forget(self, user_id: str) -> None:
        self.service.forget(user_id)


def event_name() -> str:
    """An id for an event of the assistant."""
    return "a-" + secrets.token_hex(8)
