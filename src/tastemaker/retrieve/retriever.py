"""One call for every way of finding candidates: requests and filters in, allowed items out, within a
deadline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tastemaker.errors import InputError
from tastemaker.lm import decode
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.allow import Allowed, allow
from tastemaker.retrieve.beam import Advance, beam_search
from tastemaker.retrieve.candidates import MODEL, Candidates, Ints, Within, expand, nothing, with_new_items
from tastemaker.retrieve.evaluation import Lists, Score, batches
from tastemaker.retrieve.trie import Trie

Clock = Callable[[], float]
LATE = "the deadline passed before this request was answered"


@dataclass(frozen=True, eq=False)
class Request:
    """Who asks: `tokens` (C,) is the prompt a language model reads, `history` (H,) the item indices a scorer
    reads.
    """

    tokens: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    history: Ints = field(default_factory=lambda: np.empty(0, np.int64))


class Retriever(Protocol):
    """Anything that finds candidates."""

    def generate(
        self,
        requests: Sequence[Request],
        beam: int,
        k: int,
        filters: Sequence[Allowed],
        deadline: float | None = None,
    ) -> list[Candidates]:
        """Up to `k` allowed items for each request, best first; `filters[r]` says what request r may show.

        `deadline` is a time of the retriever's clock (seconds); requests not answered by then come back
        empty, with the reason. A filter read at the start holds for the whole call.
        """


class SearchContext(Protocol):
    """What a prefill leaves behind: `hidden` (R, d), and `fork()` for a second search over the same
    prefill.
    """

    @property
    def hidden(self) -> Tensor:
        """(R, d) state after each row's last token."""

    def fork(self) -> Any:
        """An independent context sharing the prefill."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A language model as the search needs it.

    Attributes
    ----------
    prefill : (tokens (R, C) int64 padded at the right, lengths (R,)) -> context.
    advance : (context, tokens (R, B) ids, parents (R, B)) -> states (R, B, d).
    heads : per level (K_l, d) output rows.
    token_starts : per level the token id of code 0.
    """

    prefill: Callable[[Tensor, Tensor], SearchContext]
    advance: Callable[[Any, Tensor, Tensor], Tensor]
    heads: Sequence[Tensor]
    token_starts: Sequence[int]

    @classmethod
    def of(cls, model: Any, vocabulary: Vocabulary) -> Decoder:
        """The decoder of a model from `tastemaker.lm`."""
        starts = [vocabulary.sid_slice(level).start for level in range(vocabulary.levels)]

        def prefill(tokens: Tensor, lengths: Tensor) -> decode.Context:
            return decode.prefill(model, tokens, lengths)

        return cls(prefill, decode.advance, decode.level_heads(model, vocabulary), starts)


class _Late(Exception):
    """The deadline passed inside a search."""


@dataclass(frozen=True, eq=False)
class LanguageModelRetriever:
    """Constrained beam search with a language model, optionally with slots kept for new items.

    Attributes
    ----------
    within : how the items of one Semantic ID share its probability (`rows` count the requests of a call);
    None = equally.
    new_items : item indices that count as new; `new_share` of the k slots are kept for them (a second search
    over the
        same prefill, restricted to them).
    normalise : what the model was fine-tuned with, see `beam_search`.
    rows_at_once : requests searched together; they are grouped by length, which changes no result beyond
    rounding.
    """

    decoder: Decoder
    trie: Trie
    within: Within | None = None
    new_items: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    new_share: float = 0.0
    rows_at_once: int = 32
    clock: Clock = time.monotonic
    normalise: str = "level"

    def generate(
        self,
        requests: Sequence[Request],
        beam: int,
        k: int,
        filters: Sequence[Allowed],
        deadline: float | None = None,
    ) -> list[Candidates]:
        """See `Retriever`. Raises InputError for an empty prompt, or as `beam_search` and `expand` do."""
        lengths = np.array([len(one.tokens) for one in requests], dtype=np.int64)
        if len(requests) != len(filters) or (lengths == 0).any():
            raise InputError(
                f"{len(requests)} requests, each with a prompt, need as many filters; got {len(filters)}"
                " filters"
            )
        found = [nothing(one.reason or LATE) for one in filters]
        open_rows = np.flatnonzero([one.reason is None for one in filters])
        open_rows = open_rows[np.argsort(lengths[open_rows], kind="stable")]
        for part in batches(len(open_rows), self.rows_at_once):
            rows = open_rows[part]
            try:
                answers = self._answer(
                    [requests[r] for r in rows], [filters[r] for r in rows], rows, beam, k, deadline
                )
            except _Late:
                break
            for row, answer in zip(rows, answers, strict=True):
                found[row] = answer
        return found

    def _answer(
        self,
        requests: Sequence[Request],
        filters: Sequence[Allowed],
        numbers: Ints,
        beam: int,
        k: int,
        deadline: float | None,
    ) -> list[Candidates]:
        """One batch: prefill once, search, and search again among the new items where slots are kept for
        them.
        """
        self._in_time(deadline)
        lengths = torch.tensor([len(one.tokens) for one in requests])
        tokens = torch.zeros((len(requests), int(lengths.max())), dtype=torch.int64)
        for row, one in enumerate(requests):
            tokens[row, : len(one.tokens)] = torch.from_numpy(np.array(one.tokens, dtype=np.int64))
        context = self.decoder.prefill(tokens, lengths)

        def within(rows: Ints, items: Ints) -> Any:
            return np.zeros(len(items)) if self.within is None else self.within(numbers[rows], items)

        def search(branch: Any, sets: Sequence[Allowed], wanted: int) -> list[Candidates]:
            beams = beam_search(
                branch.hidden,
                self._advance(branch, deadline),
                self.decoder.heads,
                self.trie,
                sets,
                beam,
                self.normalise,
            )
            return expand(beams, self.trie, sets, wanted, within)

        slots = math.ceil(self.new_share * k - 1e-9) if len(self.new_items) else 0
        branch = context.fork() if slots else None
        main = search(context, filters, k)
        if branch is None:
            return main
        fresh = search(branch, [self._only_new(one) for one in filters], k)
        return [with_new_items(a, b, k, self.new_share) for a, b in zip(main, fresh, strict=True)]

    def _only_new(self, one: Allowed) -> Allowed:
        """The new items a request may show."""
        return allow(self.trie, include=np.asarray(self.new_items)[one.allows(self.new_items)])

    def _advance(self, context: Any, deadline: float | None) -> Advance:
        """Codes of a level to token ids, and a look at the clock before every step."""

        def advance(level: int, codes: Tensor, parents: Tensor) -> Tensor:
            self._in_time(deadline)
            return self.decoder.advance(context, codes + self.decoder.token_starts[level], parents)

        return advance

    def _in_time(self, deadline: float | None) -> None:
        if deadline is not None and self.clock() >= deadline:
            raise _Late


@dataclass(frozen=True, eq=False)
class ScoreRetriever:
    """Any `score(contexts) -> (U, N)`, such as a baseline, over the same filters; scores are its own, not
    log-probabilities.
    """

    score: Score
    trie: Trie
    rows_at_once: int = 256
    clock: Clock = time.monotonic

    def generate(
        self,
        requests: Sequence[Request],
        beam: int,
        k: int,
        filters: Sequence[Allowed],
        deadline: float | None = None,
    ) -> list[Candidates]:
        """See `Retriever`; exact, so `beam` is not used."""
        if len(requests) != len(filters):
            raise InputError(f"{len(requests)} requests need as many filters, got {len(filters)}")
        found = [nothing(one.reason or LATE) for one in filters]
        for rows in batches(len(requests), self.rows_at_once):
            if deadline is not None and self.clock() >= deadline:
                break
            scores = self.score(Lists.of([[int(item) for item in requests[r].history] for r in rows]))
            for row, own in zip(rows, scores, strict=True):
                found[row] = _best_of(own, filters[row], k)
        return found


def _best_of(scores: Any, allowed: Allowed, k: int) -> Candidates:
    """The k best allowed items by score, ties by index."""
    if allowed.reason is not None:
        return nothing(allowed.reason)
    items = np.flatnonzero(allowed.allows(np.arange(len(scores))))
    best = items[np.argsort(-np.asarray(scores)[items], kind="stable")][:k].astype(np.int64)
    reason = f"only {allowed.items} items are allowed" if len(best) < k else None
    return Candidates(best, np.asarray(scores, np.float64)[best], (MODEL,) * len(best), reason)
