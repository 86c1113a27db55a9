"""Model, trie, memory and catalogue of one deployment as something that searches; no file is read here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.behaviour import Words, context_tokens
from tastemaker.corpus.events import Histories
from tastemaker.corpus.splits import Targets
from tastemaker.errors import InputError
from tastemaker.flows.data import BARE, Data, Names, passing, rows_by_field
from tastemaker.flows.stages.tokens import codes_in
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.allow import Allowed, Mask, allow, mask
from tastemaker.retrieve.candidates import LATE, Candidates, best_of, first, nothing
from tastemaker.retrieve.evaluation import Score, rank_in_lists, rank_of_target
from tastemaker.retrieve.memory import Memory, weighed
from tastemaker.retrieve.new_items import NewItems
from tastemaker.retrieve.trie import build_trie
from tastemaker.store.settings import Settings

if TYPE_CHECKING:
    from tastemaker.retrieve.items import Averaged, ItemScorer

Ints = npt.NDArray[np.int64]
EMPTY = np.empty(0, np.int64)
BLOCK, SCORES = 2048, 4_000_000  # histories, and scores of theirs, held at once
ASKERS, CACHED = 32, 8_000_000  # histories that are people who ask; scores of theirs that are kept
MEMBER = "member-"  # subfolders of a small model that is averaged with others
Filters = tuple[tuple[str, tuple[str, ...]], ...]


class Constrained(Protocol):
    """A request in item ids: what is known of the person, what they may be shown, how many."""

    @property
    def history(self) -> Sequence[str]: ...
    @property
    def marks(self) -> Sequence[int]: ...
    @property
    def k(self) -> int: ...
    @property
    def filters(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def exclude(self) -> frozenset[str]: ...


@dataclass(frozen=True, eq=False)
class Parts:
    """What a searcher is made of, loaded and matching.

    codes: (N, L) Semantic IDs in item order, of level sizes `sizes`. score: how well each item fits a
    history; where it is None, `language`, model and vocabulary, is searched, `words` beside the Semantic IDs.
    memory, weight: transitions beside the model and how much they weigh. new: items that came after training,
    None without any. versions: what the parts are called in answers.
    """

    data: Data
    settings: Settings
    codes: npt.NDArray[np.int32]
    sizes: tuple[int, ...]
    language: tuple[Any, Vocabulary] | None = None
    words: Words | None = None
    score: Score | None = None
    memory: Memory | None = None
    weight: float = 0.0
    new: NewItems | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def with_model(parts: Parts, folder: Path) -> Parts:
    """The parts with the model of a folder: the small one, or a causal language model with a token a code.

    Raises ModelError naming the file when it is damaged or belongs to another catalogue.
    """
    from tastemaker.lm.base import device_of, load
    from tastemaker.lm.items import FILE

    device = device_of(parts.settings.device)
    if (folder / FILE).exists():
        scorer = item_scorer(folder, parts.data.item_ids, parts.codes, parts.sizes, device)
        if parts.new is not None and parts.new.vectors.size:
            scorer.place(parts.new.rows, parts.new.vectors)
        return replace(parts, score=scorer)
    network, vocabulary = load(folder)
    assert vocabulary is not None
    words = words_of(parts.settings, parts.data.items, vocabulary, folder)
    return replace(parts, language=(network.to(device), vocabulary), words=words)


def item_scorer(
    folder: Path, item_ids: Sequence[str], codes: npt.NDArray[Any], sizes: Sequence[int], device: Any = "cpu"
) -> ItemScorer | Averaged:
    """The small model of a folder, items having `codes` (N, L); averaged with others where there are some,
    in subfolders with Semantic IDs of their own.

    Raises ModelError naming the file when one is damaged or belongs to another catalogue.
    """
    from tastemaker.lm.items import load_items
    from tastemaker.retrieve.items import Averaged, ItemScorer

    scorers = [ItemScorer(load_items(folder, device), item_ids, codes, sizes)]
    strangers = np.zeros(len(item_ids), bool)
    for place in sorted(folder.glob(f"{MEMBER}*")):
        ids, trained_codes, sizes = codes_in(place)
        row = {item: number for number, item in enumerate(ids)}
        rows = np.array([row.get(item, -1) for item in item_ids])
        strangers |= rows < 0
        # An item that came later has no code here: one that follows from its own is as good as any.
        spare = np.resize(codes.T, (trained_codes.shape[1], len(codes))).T % np.array(sizes)
        member_codes = np.where(rows[:, None] >= 0, trained_codes[rows], spare)
        scorers.append(ItemScorer(load_items(place / "model", device), item_ids, member_codes, sizes))
    return Averaged(scorers, strangers) if len(scorers) > 1 else scorers[0]


def words_of(settings: Settings, items: pa.Table, vocabulary: Vocabulary, folder: Path) -> Words | None:
    """What the settings let a pretrained base, its tokenizer in `folder`, read beside Semantic IDs."""
    from tastemaker.lm.base import load_tokenizer, text_functions

    if vocabulary.kind == "bytes" or not (settings.prompt_titles or settings.prompt_line):
        return None
    encode, _ = text_functions(vocabulary, load_tokenizer(folder))
    return Words.of(settings.prompt_line, items["title"].to_pylist(), settings.prompt_titles, encode)


class Searcher:
    """Finds candidates for histories under constraints; one thread at a time."""

    def __init__(self, parts: Parts) -> None:
        import torch

        from tastemaker.retrieve.retriever import Decoder, LanguageModelRetriever

        self.data, self.settings, self.codes = parts.data, parts.settings, parts.codes
        self.memory, self.weight = parts.memory, parts.weight
        self.new = parts.new if parts.settings.new_share else None
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.trie = build_trie(parts.codes, parts.sizes)
        self.vocabulary: Vocabulary | None = None
        self.words = parts.words
        self.retriever: LanguageModelRetriever | None = None
        self.score = parts.score
        if parts.language is not None and parts.score is None:
            model, self.vocabulary = parts.language
            decoder = Decoder.of(model, self.vocabulary)
            self.retriever = LanguageModelRetriever(decoder, self.trie, normalise="siblings")
        self.versions = {**parts.versions, "trie": self.trie.fingerprint[:12]}
        self._cache: dict[bytes, npt.NDArray[np.float32]] = {}
        self._guard = threading.Lock()
        self._mask = lru_cache(maxsize=256)(self._build_mask)

    @classmethod
    def of(cls, deployment: Any) -> Searcher:
        """The searcher of a `flows.deployment.Deployment`, its files read and checked."""
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
        """Items a query may be answered with: passing filters, not excluded, not seen where so set."""
        removed = self.index_of(sorted(query.exclude))
        if self.settings.remove_seen:
            removed += self.index_of(query.history)
        return allow(self.trie, self.mask(query.filters), np.array(removed, np.int64))

    def mask(self, filters: Mapping[str, Sequence[str]]) -> Mask | None:
        """The items that pass every filter; None where there is none. InputError on an unknown field."""
        chosen = sorted((name, tuple(sorted(values))) for name, values in filters.items() if values)
        return self._mask(tuple(chosen)) if chosen else None

    def _build_mask(self, filters: Filters) -> Mask:
        keep = np.ones(len(self.data.item_ids), bool)
        for name, values in filters:
            if (field := self.field(name)) is None:
                known = ", ".join(self.fields) or "none"
                raise InputError(f"there is no field '{name}' to filter on; the catalogue has: {known}")
            rows = [passing(field, value) for value in values]
            allowed = np.zeros(len(keep), bool)
            allowed[np.concatenate(rows)] = True
            keep &= allowed
        return mask(
            self.trie, keep, " and ".join(f"{name} is {' or '.join(values)}" for name, values in filters)
        )

    @cached_property
    def fields(self) -> dict[str, dict[str, Ints]]:
        """Filterable fields: name -> value -> item indices."""
        return self.data.fields

    def field(self, name: str) -> dict[str, Ints] | None:
        """A filterable field: value -> item indices, or None. `BARE` is what this name was before columns."""
        return self._bare if name == BARE and self.data.names.bare != BARE else self.fields.get(name)

    @cached_property
    def _bare(self) -> dict[str, Ints] | None:
        return rows_by_field(self.data.items.select(["attributes"]), Names()).get(BARE)

    def search(
        self,
        histories: Histories,
        allowed: Sequence[Allowed],
        width: int,
        weights: Sequence[float],
        deadline: float | None = None,
    ) -> list[list[Candidates]]:
        """For each weight of the memory, the `width` best allowed items of every history.

        The small model scores all items exactly, and what the memory adds is added to all. A language model
        with a token a code proposes what one constrained beam search finds, and the memory orders that.
        """
        if self.score is not None:
            if deadline is not None and time.monotonic() >= deadline:
                return [[nothing(filter_.reason or LATE) for filter_ in allowed] for _ in weights]
            return [
                self._best(table, histories, allowed, width) for table in self._tables(histories, weights)
            ]
        assert self.retriever is not None
        prompts = self._prompts(histories)
        plain = self.retriever.generate(prompts, width, width, allowed, deadline)
        if self.new is not None:
            new_rows = self.new.rows
            only = [allow(self.trie, None, (), new_rows[filter_.allows(new_rows)]) for filter_ in allowed]
            proposals = self.retriever.generate(prompts, width, width, only, deadline)
            fused = self.new.fused(proposals, histories)
            plain = [replace(answer, reserved=new) for answer, new in zip(plain, fused, strict=True)]
        if self.memory is None:
            return [plain for _ in weights]
        pairs = list(zip(plain, self.memory.score(histories), strict=True))
        return [
            [weighed(answer, scores[answer.items], weight) for answer, scores in pairs] for weight in weights
        ]

    def _prompts(self, histories: Histories) -> list[Ints]:
        """What a language model reads of each history."""
        assert self.vocabulary is not None
        longest = self.settings.max_items
        tokens, lengths = context_tokens(histories, self.codes, self.vocabulary, longest, self.words)
        return [tokens[row, : lengths[row]] for row in range(len(histories))]

    def read_outs(self, histories: Histories) -> list[tuple[Candidates, npt.NDArray[np.float64]]]:
        """`LanguageModelRetriever.read_outs` of histories, seen items as the workspace says."""
        assert self.retriever is not None
        return [
            pair
            for part in self.blocks(histories)
            for pair in self.retriever.read_outs(self._prompts(part), self.settings.beam, self._unseen(part))
        ]

    def _unseen(self, part: Histories) -> list[Allowed]:
        """What each person may be shown where nothing but the workspace's rule of seen items is asked."""
        seen = [part.of(row) if self.settings.remove_seen else EMPTY for row in range(len(part))]
        return [allow(self.trie, None, items) for items in seen]

    def _best(
        self, table: npt.NDArray[np.float32], histories: Histories, allowed: Sequence[Allowed], width: int
    ) -> list[Candidates]:
        """The `width` best allowed items by scores of all (U, N), and of the new ones for the places kept."""
        best = [best_of(scores, filter_, width) for scores, filter_ in zip(table, allowed, strict=True)]
        if self.new is None:
            return best
        new = self.new.best(table, histories, allowed, width)
        return [replace(answer, reserved=reserved) for answer, reserved in zip(best, new, strict=True)]

    def scores(self, histories: Histories) -> npt.NDArray[np.float32] | None:
        """(U, N) what `candidates` orders items by, allowed or not; None where a beam search proposes."""
        return None if self.score is None else self._tables(histories, (self.weight,))[0]

    def _tables(self, histories: Histories, weights: Sequence[float]) -> list[npt.NDArray[np.float32]]:
        """(U, N) scores of all items by weight of the memory; of the last histories they are kept."""
        assert self.score is not None
        if len(histories) > ASKERS or tuple(weights) != (self.weight,):
            scores, known = self.score(histories), self._remembered(histories, weights)
            return [scores + weight * known for weight in weights]
        items, marks = histories.items, histories.marks
        events = np.stack([items, np.zeros_like(items) if marks is None else marks], axis=1)
        keys = [events[start:stop].tobytes() for start, stop in pairwise(histories.offsets.tolist())]
        with self._guard:  # the assistant's turns ask beside the lists
            tables = {key: self._cache[key] for key in keys if key in self._cache}
        new = np.array([key not in tables and keys.index(key) == row for row, key in enumerate(keys)])
        if new.any():
            part = histories.keep_users(new)
            rows = self.score(part) + self.weight * self._remembered(part, weights)
            tables |= {keys[row]: table.copy() for row, table in zip(np.flatnonzero(new), rows, strict=True)}
        table = np.stack([tables[key] for key in keys])
        with self._guard:
            for key, row in tables.items():
                self._cache.pop(key, None)
                self._cache[key] = row  # the last now
            for key in list(self._cache)[: max(0, len(self._cache) - CACHED // len(self.data.item_ids))]:
                del self._cache[key]
        return [table]

    def _remembered(self, histories: Histories, weights: Sequence[float]) -> npt.NDArray[np.float32]:
        """(U, N) what the memory adds for a weight of 1; zeros (1, 1) where it adds nothing."""
        if self.memory is None or not any(weights):
            return np.zeros((1, 1), np.float32)
        return self.memory.evidence(histories)

    def candidates(
        self, histories: Histories, allowed: Sequence[Allowed], k: int, deadline: float | None = None
    ) -> list[Candidates]:
        """The `k` best allowed items for each history."""
        width = k if self.score is not None else max(self.settings.beam, k)
        (answers,) = self.search(histories, allowed, width, (self.weight,), deadline)
        return [first(answer, k) for answer in answers]

    def search_all(
        self,
        contexts: Histories,
        tick: Callable[[int], None] = lambda count: None,
        weights: Sequence[float] | None = None,
    ) -> list[list[Candidates]]:
        """`search`, `beam` wide, for any number of histories, in blocks so that memory stays flat; seen items
        as the workspace says. weights: of the memory, by default the one it has.
        """
        chosen = (self.weight,) if weights is None else tuple(weights)
        searched: list[list[Candidates]] = [[] for _ in chosen]
        for part in self.blocks(contexts):
            by_weight = self.search(part, self._unseen(part), self.settings.beam, chosen)
            for answers, new in zip(searched, by_weight, strict=True):
                answers += new
            tick(len(searched[0]))
        return searched

    def ranks(
        self,
        targets: Targets,
        weights: Sequence[float],
        tick: Callable[[int], None] = lambda count: None,
        extras: Sequence[tuple[float, float]] = ((0.0, 0.0),),
    ) -> npt.NDArray[np.int64]:
        """(W * M, T) the rank of each target under each weight of the memory and, within it, each likeness
        and habit that is added to its own; 0 for one that is not found. A beam search knows neither.
        """
        if self.score is None:
            by_weight = self.search_all(targets.context, tick, weights)
            lists = ([answer.items for answer in answers] for answers in by_weight)
            return np.stack([rank_in_lists(items, targets.target) for items in lists])
        parts, start = [], 0
        for part in self.blocks(targets.context):
            wanted = targets.target[start : start + len(part)]
            scores, known = self.score(part), self._remembered(part, weights)
            like = habits = np.zeros((1, 1), np.float32)
            if self.memory is not None:
                like = self.memory.likeness(part) if any(ratio for ratio, _ in extras) else like
                habits = self.memory.habits(part) if any(habit for _, habit in extras) else habits
            seen = part if self.settings.remove_seen else None
            tables = (
                scores + weight * (known + ratio * like + habit * habits)
                for weight, (ratio, habit) in product(weights, extras)
            )
            parts.append([rank_of_target(table, wanted, seen) for table in tables])
            start += len(part)
            tick(start)
        return np.concatenate(parts, axis=1)

    def blocks(self, contexts: Histories) -> Iterator[Histories]:
        """The histories, so many at a time that their scores fit in memory."""
        size = max(1, min(BLOCK, SCORES // len(self.data.item_ids)))
        for start in range(0, len(contexts), size):
            keep = np.zeros(len(contexts), bool)
            keep[start : start + size] = True
            yield contexts.keep_users(keep)

    def answer(
        self, queries: Sequence[Constrained], deadline: float | None = None, spare: int = 0
    ) -> list[Candidates]:
        """Candidates for each query, in order; `spare` more for a later step to choose among."""
        marks = [query.marks or (0,) * len(query.history) for query in queries]
        histories = Histories.of_lists([self.index_of(query.history) for query in queries], marks=marks)
        deepest = max(query.k for query in queries) + spare
        allowed = [self.allowed(query) for query in queries]
        answers = self.candidates(histories, allowed, self.depth(deepest), deadline=deadline)
        depths = [self.depth(query.k + spare) for query in queries]
        return [first(answer, depth) for answer, depth in zip(answers, depths, strict=True)]

    def depth(self, k: int) -> int:
        """Candidates a slate of k is made from: a draw needs all that the beam found."""
        return max(int(self.settings.beam), k) if self.settings.exploration else k
