"""Model, trie, memory and catalogue of one deployment as something that searches; no file is read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.behaviour import context_tokens
from tastemaker.corpus.events import Histories
from tastemaker.errors import InputError
from tastemaker.flows.data import Data, attribute_words
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.allow import Allowed, Mask, allow, mask
from tastemaker.retrieve.candidates import Candidates, best_of, first
from tastemaker.retrieve.evaluation import Score
from tastemaker.retrieve.memory import Memory, weighed
from tastemaker.retrieve.trie import build_trie
from tastemaker.store.settings import Settings

Ints = npt.NDArray[np.int64]
EMPTY = np.empty(0, np.int64)
BLOCK = 2048
Filters = tuple[tuple[str, tuple[str, ...]], ...]


class Constrained(Protocol):
    """A request in item ids: what is known of the person, what they may be shown, how many."""

    @property
    def history(self) -> Sequence[str]: ...
    @property
    def k(self) -> int: ...
    @property
    def filters(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def exclude(self) -> frozenset[str]: ...


@dataclass(frozen=True, eq=False)
class Parts:
    """What a searcher is made of, loaded and matching.

    codes: (N, L) Semantic IDs in item order, of level sizes `sizes`. language: model and vocabulary; where it
    is None, `score` says how well each item fits a history. memory, weight: transitions beside the model and
    how much they weigh. versions: what the parts are called in answers.
    """

    data: Data
    settings: Settings
    codes: npt.NDArray[np.int32]
    sizes: tuple[int, ...]
    language: tuple[Any, Vocabulary] | None = None
    score: Score | None = None
    memory: Memory | None = None
    weight: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)


class Deployed(Protocol):
    """Something that has the parts of a searcher: `flows.deploy.Deployment`."""

    def parts(self) -> Parts: ...


class Searcher:
    """Finds candidates for histories under constraints; one thread at a time."""

    def __init__(self, parts: Parts) -> None:
        import torch

        from tastemaker.retrieve.retriever import Decoder, LanguageModelRetriever

        self.data, self.settings, self.codes = parts.data, parts.settings, parts.codes
        self.memory, self.weight = parts.memory, parts.weight
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.trie = build_trie(parts.codes, parts.sizes)
        self.vocabulary: Vocabulary | None = None
        self.retriever: LanguageModelRetriever | None = None
        self.score = parts.score
        if parts.language is not None:
            model, self.vocabulary = parts.language
            decoder = Decoder.of(model, self.vocabulary)
            self.retriever = LanguageModelRetriever(decoder, self.trie, normalise="siblings")
        self.versions = {**parts.versions, "trie": self.trie.fingerprint[:12]}
        self._mask = lru_cache(maxsize=256)(self._build_mask)

    @classmethod
    def of(cls, deployment: Deployed) -> Searcher:
        """The searcher of a deployment, its files read and checked."""
        return cls(deployment.parts())

    def index_of(self, item_ids: Sequence[str]) -> list[int]:
        """Item indices; InputError naming the first unknown id."""
        for item in item_ids:
            if item not in self.data.index:
                raise InputError(
                    f"item '{item}' is not in the catalogue; look its id up with /items?query= or in the"
                    " items file"
                )
        return [self.data.index[item] for item in item_ids]

    def allowed(self, query: Constrained) -> Allowed:
        """The items a query may be answered with: passing every filter, not excluded, not seen if the
        workspace says so.
        """
        filters: Filters = tuple(
            sorted((name, tuple(sorted(values))) for name, values in query.filters.items() if values)
        )
        removed = self.index_of(sorted(query.exclude))
        if self.settings.remove_seen:
            removed += self.index_of(query.history)
        return allow(self.trie, self._mask(filters) if filters else None, np.array(removed, np.int64))

    def _build_mask(self, filters: Filters) -> Mask:
        keep = np.ones(len(self.data.item_ids), bool)
        for name, values in filters:
            if name not in self.fields:
                known = ", ".join(self.fields) or "none"
                raise InputError(f"there is no field '{name}' to filter on; the catalogue has: {known}")
            rows = [self.fields[name].get(value, EMPTY) for value in values]
            passing = np.zeros(len(keep), bool)
            passing[np.concatenate(rows)] = True
            keep &= passing
        return mask(
            self.trie, keep, " and ".join(f"{name} is {' or '.join(values)}" for name, values in filters)
        )

    @cached_property
    def fields(self) -> dict[str, dict[str, Ints]]:
        """Filterable fields: name -> value -> item indices."""
        rows_of: dict[str, dict[str, list[int]]] = {}
        for row, attributes in enumerate(self.data.items["attributes"].to_pylist()):
            for name, values in attribute_words(attributes).items():
                for value in values:
                    rows_of.setdefault(name, {}).setdefault(value, []).append(row)
        return {
            name: {value: np.array(rows, np.int64) for value, rows in values.items()}
            for name, values in rows_of.items()
        }

    def search(
        self, histories: Histories, allowed: Sequence[Allowed], beam: int, deadline: float | None = None
    ) -> list[Candidates]:
        """What is found without the memory: one constrained beam search for all, `beam` wide."""
        if self.retriever is None or self.vocabulary is None:
            assert self.score is not None
            scores = self.score(histories)
            return [best_of(own, filter_, beam) for own, filter_ in zip(scores, allowed, strict=True)]
        tokens, lengths = context_tokens(histories, self.codes, self.vocabulary, self.settings.max_items)
        prompts = [tokens[row, : lengths[row]] for row in range(len(histories))]
        return self.retriever.generate(prompts, beam, beam, allowed, deadline)

    def remember(self, histories: Histories, candidates: Sequence[Candidates]) -> list[Candidates]:
        """Candidates with the evidence of the memory of transitions added."""
        if self.memory is None:
            return list(candidates)
        counts = (self.memory.counts(histories.of(row), one.items) for row, one in enumerate(candidates))
        return [weighed(one, part, self.weight) for one, part in zip(candidates, counts, strict=True)]

    def candidates(
        self, histories: Histories, allowed: Sequence[Allowed], k: int, deadline: float | None = None
    ) -> list[Candidates]:
        """The `k` best allowed items for each history."""
        searched = self.search(histories, allowed, max(self.settings.beam, k), deadline)
        return [first(one, k) for one in self.remember(histories, searched)]

    def search_all(
        self, contexts: Histories, tick: Callable[[int], None] = lambda done: None
    ) -> list[Candidates]:
        """`search` for any number of histories, in blocks so that memory stays flat; seen items as the
        workspace says.
        """
        searched: list[Candidates] = []
        for start in range(0, len(contexts), BLOCK):
            keep = np.zeros(len(contexts), bool)
            keep[start : start + BLOCK] = True
            part = contexts.keep_users(keep)
            seen = [part.of(row) if self.settings.remove_seen else EMPTY for row in range(len(part))]
            searched += self.search(part, [allow(self.trie, None, one) for one in seen], self.settings.beam)
            tick(len(searched))
        return searched

    def answer(
        self, queries: Sequence[Constrained], deadline: float | None = None, spare: int = 0
    ) -> list[Candidates]:
        """Candidates for each query, in order; `spare` more than it asks for, where a later step chooses
        among them.
        """
        histories = Histories.of_lists([self.index_of(query.history) for query in queries])
        deepest = max(query.k for query in queries) + spare
        allowed = [self.allowed(query) for query in queries]
        answers = self.candidates(histories, allowed, self.depth(deepest), deadline=deadline)
        return [first(one, self.depth(query.k + spare)) for one, query in zip(answers, queries, strict=True)]

    def depth(self, k: int) -> int:
        """Candidates a slate of k is made from: a draw needs all that the beam found."""
        return max(int(self.settings.beam), k) if self.settings.exploration else k
