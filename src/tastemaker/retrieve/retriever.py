"""Candidates from a language model: prompts and allowed sets in, allowed items out, within a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tastemaker.errors import InputError
from tastemaker.lm import decode
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.allow import Allowed
from tastemaker.retrieve.beam import Advance, beam_search
from tastemaker.retrieve.candidates import Candidates, Ints, expand, nothing
from tastemaker.retrieve.evaluation import batches
from tastemaker.retrieve.trie import Trie

Clock = Callable[[], float]
LATE = "the deadline passed before this request was answered"


@dataclass(frozen=True, eq=False)
class Decoder:
    """A language model as the search needs it.

    Attributes
    ----------
    prefill : (tokens (R, C) int64 padded at the right, lengths (R,)) -> context, whose `hidden` is (R, d).
    advance : (context, tokens (R, B) ids, parents (R, B)) -> states (R, B, d).
    heads : per level (K_l, d) output rows.
    token_starts : per level the token id of code 0.
    """

    prefill: Callable[[Tensor, Tensor], decode.Context]
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
    """Constrained beam search with a language model.

    Attributes
    ----------
    normalise : what the model was fine-tuned with, see `beam_search`.
    rows_at_once : requests searched together; they are grouped by length, which changes no result beyond
        rounding.
    """

    decoder: Decoder
    trie: Trie
    rows_at_once: int = 32
    clock: Clock = time.monotonic
    normalise: str = "level"

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
        empty, with the reason. Raises InputError for an empty prompt, or as `beam_search` and `expand` do.
        """
        lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        if len(prompts) != len(allowed) or (lengths == 0).any():
            raise InputError(
                f"{len(prompts)} requests, each with a prompt, need as many allowed sets; got {len(allowed)}"
            )
        answers = [nothing(own.reason or LATE) for own in allowed]
        open_rows = np.flatnonzero([own.reason is None for own in allowed])
        open_rows = open_rows[np.argsort(lengths[open_rows], kind="stable")]
        for part in batches(len(open_rows), self.rows_at_once):
            rows = open_rows[part]
            try:
                found = self._answer(
                    [prompts[r] for r in rows], [allowed[r] for r in rows], beam, k, deadline
                )
            except _Late:
                break
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
        return answers

    def _answer(
        self,
        prompts: Sequence[Ints],
        allowed: Sequence[Allowed],
        beam: int,
        k: int,
        deadline: float | None,
    ) -> list[Candidates]:
        """One batch: prefill once, then search."""
        self._in_time(deadline)
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        tokens = torch.zeros((len(prompts), int(lengths.max())), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.from_numpy(np.array(prompt, dtype=np.int64))
        context = self.decoder.prefill(tokens, lengths)
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
