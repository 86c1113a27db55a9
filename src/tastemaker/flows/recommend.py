"""A trained pipeline as something that answers: histories and filters in, slates with evidence out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.corpus.pairs import pair_counts
from tastemaker.errors import InputError
from tastemaker.explore import serve_slate
from tastemaker.flows.data import item_texts
from tastemaker.flows.deploy import in_service
from tastemaker.flows.search import Searcher
from tastemaker.retention import Reason, rarity_of, reasons
from tastemaker.retrieve.candidates import Candidates
from tastemaker.store import Database, Workspace


@dataclass(frozen=True)
class Wish:
    """One request in item ids: what is known of the person, what they may be shown, how many."""

    history: tuple[str, ...] = ()
    k: int = 10
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()


class Recommender(Searcher):
    """The active deployment of a workspace as a searcher that also makes and explains slates."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(in_service(workspace).parts())
        self.workspace = workspace

    def version(self, ranker: str = "") -> str:
        """What scores candidates: the model, and the version of what re-ranked them where one did."""
        return "+".join(filter(None, (self.versions["model"], ranker)))

    def slate(
        self,
        request_id: str,
        user_id: str,
        found: Candidates,
        k: int,
        at: datetime | None = None,
        ranker: str = "",
    ) -> tuple[pa.Table, Candidates]:
        """What is shown of the candidates, as the row that is logged and as candidates in the order shown.

        at: when, now if None. ranker: the version of what re-ranked them, part of the policy's name.
        """
        ids = [self.data.item_ids[item] for item in found.items]
        prefixes = self.codes[found.items, 0]
        now, temperature = at or datetime.now(UTC), self.settings.exploration
        slate = serve_slate(
            request_id, user_id, ids, found.scores, k, now, temperature, self.version(ranker), prefixes
        )
        place = {item: row for row, item in enumerate(ids)}
        rows = np.array([place[item] for item in slate["item_id"].to_pylist()], np.int64)
        shown = Candidates(
            found.items[rows], found.scores[rows], tuple(found.source[row] for row in rows), found.reason
        )
        return slate, shown

    @cached_property
    def _evidence(self) -> tuple[dict[str, frozenset[str]], dict[str, float], dict[tuple[int, int], int]]:
        lists = self.data.items["attributes"].to_pylist()
        attributes = {
            item: frozenset(values or ()) for item, values in zip(self.data.item_ids, lists, strict=True)
        }
        rarity = rarity_of(attributes.values())
        pairs, times = pair_counts(self.data.histories)
        counts = {
            (one, other): count for (one, other), count in zip(pairs.tolist(), times.tolist(), strict=True)
        }
        return attributes, rarity, counts

    def evidence(self, item_id: str, history: Sequence[str]) -> list[Reason]:
        """Why this item, from attributes and co-plays alone."""
        attributes, rarity, counts = self._evidence
        index = self.data.index

        def co_plays(one: str, other: str) -> int:
            a, b = index[one], index[other]
            return counts.get((min(a, b), max(a, b)), 0)

        return reasons(item_id, history[-30:], attributes, co_plays, rarity)

    def words(self, reason: Reason) -> str:
        """A reason as a sentence fragment."""
        title = self.title(reason.because_of)
        if reason.kind == "co_played":
            often = "once" if reason.count == 1 else f"{reason.count} times"
            return f"others had it within a few steps of “{title}”, {often}"
        shared = ", ".join(value.partition("=")[2] or value for value in reason.attributes)
        return f"like “{title}”: {shared}"

    def title(self, item_id: str) -> str:
        """The item's title, else its text, else its id."""
        row = self.data.index[item_id]
        return str(self.data.items["title"][row].as_py() or self._texts[row] or item_id)

    @cached_property
    def _texts(self) -> list[str]:
        return item_texts(self.data.items)


def user_history(recommender: Recommender, database: Database, user: str) -> tuple[list[str], list[str]]:
    """What a user liked or played, oldest first (the table's events, then the server's), and what they do not
    want.

    Raises InputError for a user that neither knows.
    """
    data = recommender.data
    row = data.user_row.get(user)
    events = database.history(user)
    if row is None and not events:
        raise InputError(
            f"user '{user}' is not known; pass item ids with --history, or choose a user of the interactions"
            " table"
        )
    past = [data.item_ids[item] for item in data.histories.of(row)] if row is not None else []
    unwanted = set(data.unwanted.get(user, ()))
    for event in events:
        if event.item_id is None or event.item_id not in data.index:
            continue
        sign = data.rules.sign(event.kind, event.value)
        if sign > 0:
            past.append(event.item_id)
            unwanted.discard(event.item_id)
        elif sign < 0:
            past = [item for item in past if item != event.item_id]
            unwanted.add(event.item_id)
    return past, sorted(unwanted)


def recommend_once(
    workspace: Path, user: str | None, history: list[str], k: int, where: list[str], exclude: list[str]
) -> dict[str, Any]:
    """One answer for the command line, ranked by the deployed proxy as the server ranks; logged as a slate
    when for a user.
    """
    if (user is None) == (not history):
        raise InputError("give either --user or --history (repeat it, oldest first)")
    from tastemaker.flows.explore.serve import Explorer
    from tastemaker.flows.retention.live.context import Context
    from tastemaker.flows.retention.live.ranking import Ranking

    opened = Workspace.open(workspace)
    recommender = Recommender(opened)
    database = Database(opened.database)
    ranking = Ranking(opened, Context(opened, recommender.data, database), database)
    past, unwanted = user_history(recommender, database, user) if user is not None else (history, [])
    filters: dict[str, list[str]] = {}
    for one in where:
        name, given, value = one.partition("=")
        if not given:
            raise InputError(f"--where {one}: write it as field=value")
        filters.setdefault(name, []).append(value)
    wish = Wish(tuple(past), k, filters, frozenset(exclude) | frozenset(unwanted))
    found = recommender.answer([wish], None, ranking.spare)[0]
    request_id = secrets.token_hex(8)
    shown = ranking.show(
        Explorer(recommender, database),
        request_id,
        user,
        wish,
        found,
        datetime.now(UTC),
        log=user is not None,
    )
    for row in shown.rows:
        row["reasons"] = [recommender.words(reason) for reason in recommender.evidence(row["item_id"], past)]
        row["text"] = recommender._texts[recommender.data.index[row["item_id"]]]
    database.close()
    told = {
        "request_id": request_id,
        "user_id": user,
        "policy_id": shown.policy_id,
        "rows": shown.rows,
        "reason": shown.reason,
    }
    return told | {"text": _as_text(shown.rows, shown.reason)}


def _as_text(rows: list[dict[str, Any]], reason: str | None) -> str:
    lines = []
    for row in rows:
        lines.append(f"{row['position'] + 1:>2}. {row['text'][:150] or row['item_id']}  [{row['item_id']}]")
        lines += [f"      {why}" for why in row["reasons"]]
        lines += [f"      {row['retention']['text']}"] if row["retention"] else []
    return "\n".join(lines + ([reason] if reason else []))
