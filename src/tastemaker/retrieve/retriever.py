"""Candidates from a language model: prompts and allowed sets in, allowed items out, within a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tastemaker.lm import decode
from tastemaker.lm.training.siblings import leaf_vectors
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.allow import Allowed, allow
from tastemaker.retrieve.beam import Advance, beam_search
from tastemaker.retrieve.candidates import LATE, Candidates, Ints, best_of, expand, nothing
from tastemaker.retrieve.evaluation import batches
from tastemaker.retrieve.trie import Trie

SHARE = "dense_share"  # in a model's config: what the held-out part chose
Floats = npt.NDArray[np.float64]
Clock = Callable[[], float]


@dataclass(frozen=True, eq=False)
class Decoder:
    """A language model as the search needs it.

    prefill: (tokens (R, C) int64 padded at the right, lengths (R,)) -> context, whose `hidden` is (R, d).
    advance: (context, tokens (R, B) ids, parents (R, B)) -> states (R, B, d).
    heads: per level (K_l, d) output rows.
    token_starts: per level the token id of code 0.
    share: weight of the dense read-out in a score, from 0 to 1.
    """

    prefill: Callable[[Tensor, Tensor], decode.Context]
    advance: Callable[[Any, Tensor, Tensor], Tensor]
    heads: Sequence[Tensor]
    token_starts: Sequence[int]
    share: float = 0.0

    @classmethod
    def of(cls, model: Any, vocabulary: Vocabulary) -> Decoder:
        """The decoder of a model from `tastemaker.lm`."""
        starts = [vocabulary.sid_slice(level).start for level in range(vocabulary.levels)]

        def prefill(tokens: Tensor, lengths: Tensor) -> decode.Context:
            return decode.prefill(model, tokens, lengths)

        share = getattr(model.config, SHARE, 0.0)
        return cls(prefill, decode.advance, decode.level_heads(model, vocabulary), starts, share)


def blended(candidates: Candidates, dense: Floats, share: float, k: int) -> Candidates:
    """The `k` best candidates by the geometric mixture of both read-outs, ties as they were."""
    best = candidates.by((1 - share) * candidates.scores + share * dense, k)
    return replace(best, reason=best.reason if len(best) < k else None)


def _joined(candidates: Candidates, additions: Candidates) -> Candidates:
    """Both; they share no item."""
    parts = zip((candidates.items, candidates.scores), (additions.items, additions.scores), strict=True)
    items, scores = (np.concatenate(pair) for pair in parts)
    return Candidates(items, scores, candidates.source + additions.source, candidates.reason)


class _Late(Exception):
    """The deadline passed inside a search."""


@dataclass(frozen=True, eq=False)
class LanguageModelRetriever:
    """Constrained beam search with a language model.

    normalise: what the model was fine-tuned with, see `beam_search`.
    rows_at_once: requests searched together; they are grouped by length, which changes no result beyond
        rounding.
    """

    decoder: Decoder
    trie: Trie
    rows_at_once: int = 32
    clock: Clock = time.monotonic
    normalise: str = "level"
    cache: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def generate(
        self,
        prompts: Sequence[Ints],
        beam: int,
        k: int,
        allowed: Sequence[Allowed],
        deadline: float | None = None,
    ) -> list[Candidates]:
        """Up to `k` allowed items after each prompt (C,) of token ids, best first; `allowed[r]` says what
        request r may show.

        `deadline` is a time of the retriever's clock (seconds); requests not answered by then come back
        empty, with the reason. Raises as `beam_search`.
        """
        lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        answers = [nothing(filter_.reason or LATE) for filter_ in allowed]
        open_rows = np.flatnonzero([filter_.reason is None for filter_ in allowed])
        open_rows = open_rows[np.argsort(lengths[open_rows], kind="stable")]
        for part in batches(len(open_rows), self.rows_at_once):
            rows = open_rows[part]
            try:
                batch = self._answer(
                    [prompts[r] for r in rows], [allowed[r] for r in rows], beam, k, deadline
                )
            except _Late:
                break
            for row, answer in zip(rows, batch, strict=True):
                answers[row] = answer
        return answers

    def read_outs(
        self, prompts: Sequence[Ints], beam: int, allowed: Sequence[Allowed], deadline: float | None = None
    ) -> list[tuple[Candidates, Floats]]:
        """What the search finds and the `beam` best by the dense read-out, each with its exact
        log-probability by Semantic ID, and beside it that by the dense read-out.
        """
        context = self._prefilled(prompts, deadline)
        dense = self._dense(context.hidden)
        answers = self._searched(context, allowed, beam, beam, deadline)
        best = [best_of(scores, filter_, beam).items for scores, filter_ in zip(dense, allowed, strict=True)]
        new_items = [np.setdiff1d(new, old.items) for new, old in zip(best, answers, strict=True)]
        new_allowed = [allow(self.trie, None, (), new) for new in new_items]
        most = max(len(new) for new in new_items)
        if most:
            context = self._prefilled(prompts, deadline)
            additions = self._searched(context, new_allowed, most, most, deadline)
            answers = [_joined(answer, new) for answer, new in zip(answers, additions, strict=True)]
        pairs = zip(answers, dense, strict=True)
        return [(answer, scores[answer.items].astype(np.float64)) for answer, scores in pairs]

    @torch.inference_mode()
    def _dense(self, hidden: Tensor) -> npt.NDArray[np.float32]:
        """(R, N) log-probability of every item by the dense read-out; those of one ID share it equally."""
        if "vectors" not in self.cache:
            self.cache["vectors"] = leaf_vectors(self.trie.leaf_codes(), self.decoder.heads)
        logits = (hidden @ self.cache["vectors"].T.to(hidden.dtype)).float().log_softmax(1).cpu().numpy()
        leaf = self.trie.node_of_position(self.trie.levels - 1, self.trie.position)
        return np.asarray((logits - np.log(np.diff(self.trie.item_starts)))[:, leaf], np.float32)

    def _answer(
        self,
        prompts: Sequence[Ints],
        allowed: Sequence[Allowed],
        beam: int,
        k: int,
        deadline: float | None,
    ) -> list[Candidates]:
        """One batch: prefill once, then search; where the dense read-out counts, its best are in it."""
        if not self.decoder.share:
            return self._searched(self._prefilled(prompts, deadline), allowed, beam, k, deadline)
        pairs = self.read_outs(prompts, max(beam, k), allowed, deadline)
        return [blended(answer, dense, self.decoder.share, k) for answer, dense in pairs]

    def _prefilled(self, prompts: Sequence[Ints], deadline: float | None) -> decode.Context:
        self._in_time(deadline)
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        tokens = torch.zeros((len(prompts), int(lengths.max())), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.from_numpy(np.array(prompt, dtype=np.int64))
        return self.decoder.prefill(tokens, lengths)

    def _searched(
        self, context: decode.Context, allowed: Sequence[Allowed], beam: int, k: int, deadline: float | None
    ) -> list[Candidates]:
        advance, heads = self._advance(context, deadline), self.decoder.heads
        beams = beam_search(context.hidden, advance, heads, self.trie, allowed, beam, self.normalise)
        return expand(beams, self.trie, allowed, k)

    def _advance(self, context: Any, deadline: float | None) -> Advance:
        """Codes of a level to token ids, and a look at the clock before every step."""

        def advance(level: int, codes: Tensor, parents: Tensor) -> Tensor:
            self._in_time(deadline)
            return self.decoder.advance(context, codes + self.decoder.token_starts[level], parents)

        return advance

    def _in_time(self, deadline: float | None) -> None:
        if deadline is not None and self.clock() >= deadline:
            raise _Late
