"""Trie-constrained search with one more leaf: the model may say that nothing fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tastemaker.lm import decode
from tastemaker.lm.training.losses import head_weight
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.allow import Allowed
from tastemaker.retrieve.beam import beam_search
from tastemaker.retrieve.candidates import Candidates, expand
from tastemaker.retrieve.evaluation import batches
from tastemaker.retrieve.trie import Trie


@dataclass(frozen=True, eq=False)
class Answer:
    """Items best first with log-probabilities, and `none`, the log-probability of saying that nothing fits.

    All leaves together, `none` among them, have probability 1 over the whole catalogue; a filter takes items
    away.
    """

    items: Candidates
    none: float

    @property
    def nothing_fits(self) -> bool:
        """Whether nothing is likelier than something."""
        return bool(self.none > np.log(0.5))


@torch.inference_mode()
def answer(
    model: Any,
    vocabulary: Vocabulary,
    trie: Trie,
    prompts: Sequence[Sequence[int]],
    allowed: Sequence[Allowed],
    beam: int,
    k: int,
    rows_at_once: int = 16,
    done: Callable[[int], None] | None = None,
) -> list[Answer]:
    """The `k` best allowed items after each prompt (up to the listener's message), and how likely `none` is.

    The next token is `none` or `item`, one softmax over the two; after `item` the codes are searched among
    those that exist. Exact when at most 4 x `beam` items are allowed.

    Raises
    ------
    ModelError
        for a prompt longer than the model's context, or outputs that are not numbers.
    """
    found: list[Answer | None] = [None] * len(prompts)
    order = np.argsort([len(one) for one in prompts], kind="stable")
    finished = 0
    for part in batches(len(prompts), rows_at_once):
        rows = order[part]
        some = _answer(
            model, vocabulary, trie, [prompts[r] for r in rows], [allowed[r] for r in rows], beam, k
        )
        for row, one in zip(rows, some, strict=True):
            found[row] = one
        finished += len(rows)
        if done is not None:
            done(finished)
    return [one for one in found if one is not None]


def _answer(
    model: Any,
    vocabulary: Vocabulary,
    trie: Trie,
    prompts: Sequence[Sequence[int]],
    allowed: Sequence[Allowed],
    beam: int,
    k: int,
) -> list[Answer]:
    lengths = torch.tensor([len(one) for one in prompts])
    tokens = torch.zeros((len(prompts), int(lengths.max())), dtype=torch.int64)
    for row, one in enumerate(prompts):
        tokens[row, : len(one)] = torch.tensor(list(one))
    context = decode.prefill(model, tokens, lengths)
    item, none = vocabulary.special("item"), vocabulary.special("none")
    either = (context.hidden @ head_weight(model)[[item, none]].T).float().log_softmax(-1).cpu().numpy()
    root = torch.zeros((len(prompts), 1), dtype=torch.int64)
    hidden = decode.advance(context, root + item, root)[:, 0]
    starts = vocabulary.sid_starts

    def advance(level: int, codes: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        return decode.advance(context, codes + starts[level], parents)

    beams = beam_search(
        hidden, advance, decode.level_heads(model, vocabulary), trie, allowed, beam, "siblings"
    )
    lists = expand(beams, trie, allowed, k)
    return [
        Answer(Candidates(one.items, one.scores + odds[0], one.source, one.reason), float(odds[1]))
        for one, odds in zip(lists, either, strict=True)
    ]
