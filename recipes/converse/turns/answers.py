"""Trie-constrained search with one more leaf: the model may say that nothing fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tastemaker.errors import InputError
from tastemaker.lm import decode
from tastemaker.lm.training.losses import head_weight
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.allow import Allowed
from tastemaker.retrieve.beam import beam_search
from tastemaker.retrieve.candidates import Candidates, expand
from tastemaker.retrieve.evaluation import batches
from tastemaker.retrieve.trie import Trie

ROWS_AT_ONCE = 16


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
    width: tuple[int, int],
    done: Callable[[int], None] = lambda number: None,
) -> list[Answer]:
    """The best allowed items after each prompt (up to the listener's message), and how likely `none` is.

    The next token is `none` or `item`, one softmax over the two; after `item` the codes are searched among
    those that exist. width: (beam, how many items); exact when at most 4 x beam items are allowed.

    Raises
    ------
    ModelError
        for a prompt longer than the model's context, or outputs that are not numbers.
    """
    answers: dict[int, Answer] = {}
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    for part in batches(len(prompts), ROWS_AT_ONCE):
        rows = order[part].tolist()
        batch = ([prompts[row] for row in rows], [allowed[row] for row in rows])
        answers |= dict(zip(rows, _answer(model, vocabulary, trie, batch, width), strict=True))
        done(len(answers))
    return [answers[row] for row in range(len(prompts))]


def _answer(
    model: Any,
    vocabulary: Vocabulary,
    trie: Trie,
    batch: tuple[Sequence[Sequence[int]], Sequence[Allowed]],
    width: tuple[int, int],
) -> list[Answer]:
    prompts, allowed = batch
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    tokens = torch.zeros((len(prompts), int(lengths.max())), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(list(prompt))
    context = decode.prefill(model, tokens, lengths)
    item, none = vocabulary.special("item"), vocabulary.special("none")
    either = (context.hidden @ head_weight(model)[[item, none]].T).float().log_softmax(-1).cpu().numpy()
    root = torch.zeros((len(prompts), 1), dtype=torch.int64, device=context.hidden.device)
    hidden = decode.advance(context, root + item, root)[:, 0]
    starts = vocabulary.sid_starts

    def advance(level: int, codes: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        return decode.advance(context, codes + starts[level], parents)

    heads = decode.level_heads(model, vocabulary)
    beams = beam_search(hidden, advance, heads, trie, allowed, width[0], "siblings")
    return [
        Answer(Candidates(best.items, best.scores + odds[0], best.source, best.reason), float(odds[1]))
        for best, odds in zip(expand(beams, trie, allowed, width[1]), either, strict=True)
    ]


def fuse_ranks(
    lists: Sequence[Sequence[int]], k: int, weights: Sequence[float] | None = None, damping: float = 60.0
) -> list[int]:
    """The `k` items of largest sum of w / (60 + rank) over the lists (reciprocal rank fusion, Cormack et al.
    2009); ties by item.

    Raises InputError for other numbers of lists and weights.
    """
    weights = [1.0] * len(lists) if weights is None else weights
    if len(weights) != len(lists):
        raise InputError(f"{len(lists)} rankings but {len(weights)} weights; give one a ranking")
    score: dict[int, float] = {}
    for items, weight in zip(lists, weights, strict=True):
        for rank, item in enumerate(items, start=1):
            score[item] = score.get(item, 0.0) + weight / (damping + rank)
    return sorted(score, key=lambda item: (-score[item], item))[:k]
