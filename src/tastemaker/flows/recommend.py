"""A trained chain as something that answers: histories and filters in, slates with evidence out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.behaviour import BehaviourSettings, context_tokens
from tastemaker.corpus.events import Histories
from tastemaker.corpus.pairs import pair_counts
from tastemaker.errors import InputError
from tastemaker.explore import serve_slate
from tastemaker.flows.chain import Chain
from tastemaker.flows.data import attribute_words, item_texts
from tastemaker.flows.stages.memory import load_memory
from tastemaker.flows.stages.tokens import load_codes
from tastemaker.retention import Reason, rarity_of, reasons
from tastemaker.retrieve.allow import Allowed, Mask, allow, mask
from tastemaker.retrieve.candidates import Candidates, first
from tastemaker.retrieve.memory import weighed
from tastemaker.retrieve.trie import build_trie
from tastemaker.store import Database, Workspace

Ints = npt.NDArray[np.int64]
EMPTY = np.empty(0, np.int64)
BLOCK = 2048
Filters = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Wish:
    """One request in item ids: what is known of the person, what they may be shown, how many."""

    history: tuple[str, ...] = ()
    k: int = 10
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()


class Recommender:
    """The fine-tuned model of a workspace with its trie and memory, ready to answer; one thread at a time.

    `remember=False` leaves the memory out: the language model alone.
    """

    def __init__(self, chain: Chain, remember: bool = True) -> None:
        import torch

        from tastemaker.lm.base import load
        from tastemaker.retrieve.retriever import Decoder, LanguageModelRetriever

        self.chain, self.data, self.settings = chain, chain.data, chain.workspace.settings
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        model, vocabulary = load(chain.path("sft") / "model")
        assert vocabulary is not None
        self.vocabulary = vocabulary
        self.codes, sizes = load_codes(chain)
        self.trie = build_trie(self.codes, sizes)
        self.retriever = LanguageModelRetriever(
            Decoder.of(model, vocabulary), self.trie, normalise="siblings"
        )
        self.prompt = BehaviourSettings(max_items=self.settings.max_items)
        self.versions = {name: chain.fingerprint(name)[:12] for name in ("tokens", "sft")} | {
            "trie": self.trie.fingerprint[:12]
        }
        self.memory, self.weight = load_memory(chain) if remember else (None, 0.0)
        self._mask = lru_cache(maxsize=256)(self._build_mask)

    def index_of(self, item_ids: Sequence[str]) -> list[int]:
        """Item indices; InputError naming the first unknown id."""
        for item in item_ids:
            if item not in self.data.index:
                raise InputError(
                    f"item '{item}' is not in the catalogue; look its id up with /items?query= or in the"
                    " items file"
                )
        return [self.data.index[item] for item in item_ids]

    def allowed(self, wish: Wish) -> Allowed:
        """The items a wish may be answered with: passing every filter, not excluded, not seen if the
        workspace says so.
        """
        filters: Filters = tuple(
            sorted((name, tuple(sorted(values))) for name, values in wish.filters.items() if values)
        )
        removed = self.index_of(sorted(wish.exclude))
        if self.settings.remove_seen:
            removed += self.index_of(wish.history)
        return allow(self.trie, self._mask(filters) if filters else None, np.array(removed, np.int64))

    def _build_mask(self, filters: Filters) -> Mask:
        keep = np.ones(len(self.data.item_ids), bool)
        for name, values in filters:
            if name not in self.fields:
                known = ", ".join(self.fields) or "none"
                raise InputError(f"there is no field '{name}' to filter on; the catalogue has: {known}")
            rows = [self.fields[name].get(value, np.empty(0, np.int64)) for value in values]
            one = np.zeros(len(keep), bool)
            one[np.concatenate(rows)] = True
            keep &= one
        return mask(
            self.trie, keep, " and ".join(f"{name} is {' or '.join(values)}" for name, values in filters)
        )

    @cached_property
    def fields(self) -> dict[str, dict[str, Ints]]:
        """Filterable fields: name -> value -> item indices."""
        found: dict[str, dict[str, list[int]]] = {}
        for row, attributes in enumerate(self.data.items["attributes"].to_pylist()):
            for name, values in attribute_words(attributes).items():
                for value in values:
                    found.setdefault(name, {}).setdefault(value, []).append(row)
        return {
            name: {value: np.array(rows, np.int64) for value, rows in values.items()}
            for name, values in found.items()
        }

    def search(
        self, histories: Histories, allowed: Sequence[Allowed], beam: int, deadline: float | None = None
    ) -> list[Candidates]:
        """What the language model alone finds: one constrained beam search for all, `beam` wide."""
        from tastemaker.retrieve.retriever import Request

        tokens, lengths = context_tokens(histories, self.codes, self.vocabulary, self.prompt)
        requests = [Request(tokens[row, : lengths[row]], histories.of(row)) for row in range(len(histories))]
        return self.retriever.generate(requests, beam, beam, allowed, deadline)

    def remember(self, histories: Histories, found: Sequence[Candidates]) -> list[Candidates]:
        """Candidates with the evidence of the memory of transitions added."""
        if self.memory is None:
            return list(found)
        known = (self.memory.counts(histories.of(row), one.items) for row, one in enumerate(found))
        return [weighed(one, part, self.weight) for one, part in zip(found, known, strict=True)]

    def candidates(
        self, histories: Histories, allowed: Sequence[Allowed], k: int, deadline: float | None = None
    ) -> list[Candidates]:
        """The `k` best allowed items for each history."""
        found = self.search(histories, allowed, max(self.settings.beam, k), deadline)
        return [first(one, k) for one in self.remember(histories, found)]

    def search_all(
        self, contexts: Histories, tick: Callable[[int], None] = lambda done: None
    ) -> list[Candidates]:
        """`search` for any number of histories, in blocks so that memory stays flat; seen items as the
        workspace says.
        """
        found: list[Candidates] = []
        for start in range(0, len(contexts), BLOCK):
            keep = np.zeros(len(contexts), bool)
            keep[start : start + BLOCK] = True
            part = contexts.keep_users(keep)
            seen = [part.of(row) if self.settings.remove_seen else EMPTY for row in range(len(part))]
            found += self.search(part, [allow(self.trie, None, one) for one in seen], self.settings.beam)
            tick(len(found))
        return found

    def answer(
        self, wishes: Sequence[Wish], deadline: float | None = None, spare: int = 0
    ) -> list[Candidates]:
        """Candidates for each wish, in order; `spare` more than it asks for, where a later step chooses among
        them.
        """
        rows = [np.array(self.index_of(wish.history), np.int64) for wish in wishes]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        packed = Histories(
            np.array([str(i) for i in range(len(rows))]),
            offsets,
            np.concatenate([np.empty(0, np.int64), *rows]),
        )
        deepest = max(wish.k for wish in wishes) + spare
        found = self.candidates(
            packed, [self.allowed(wish) for wish in wishes], self.depth(deepest), deadline=deadline
        )
        return [first(one, self.depth(wish.k + spare)) for one, wish in zip(found, wishes, strict=True)]

    def depth(self, k: int) -> int:
        """Candidates a slate of k is made from: a draw needs all that the beam found."""
        return max(int(self.settings.beam), k) if self.settings.exploration else k

    def version(self, ranker: str = "") -> str:
        """What scores candidates: the model, and the version of what re-ranked them where one did."""
        return "+".join(filter(None, (self.versions["sft"], ranker)))

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
        pairs, times = pair_counts(self.data.split.train)
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
    recommender = Recommender(Chain(opened, lambda *_: None))
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
