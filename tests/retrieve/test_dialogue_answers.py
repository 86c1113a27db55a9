"""The search with the leaf `none`: one distribution, filters that reorder nothing, and fused ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recipes.converse.turns.answers import answer, fuse_ranks
from recipes.small import Shape, build_small, small

from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import SPECIALS
from tastemaker.retrieve.allow import allow
from tastemaker.retrieve.trie import build_trie

CODES = np.array([[a, b] for a in range(4) for b in range(5)])


def test_items_and_none_share_one_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipes.converse.turns.answers.ROWS_AT_ONCE", 2)
    torch.set_num_threads(1)
    vocabulary = build_small((4, 5), specials=(*SPECIALS, "none", "media"))
    model = small(vocabulary, Shape(layers=2, width=32, heads=1, context=64), seed=3)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(20)
    trie = build_trie(CODES, (4, 5))
    prompts = [[1, 2, 3], [4, 5, 6, 7, 8], [9]]
    free = answer(model, vocabulary, trie, prompts, [allow(trie)] * 3, (10, 20))
    for reply in free:
        assert np.exp(reply.items.scores).sum() + np.exp(reply.none) == pytest.approx(1, abs=1e-4)
    # The oracle: every item's log-probability by plain forward passes.
    for prompt, reply in zip(prompts, free, strict=True):
        item, none = vocabulary.special("item"), vocabulary.special("none")
        first = model(torch.tensor([prompt])).logits[0, -1]
        either = first[[item, none]].log_softmax(-1)
        scores = []
        for codes in CODES:
            sids = vocabulary.sid_tokens(codes)
            logits = model(torch.tensor([[*prompt, item, *sids]])).logits[0]
            parts = [
                logits[len(prompt) + level, vocabulary.sid_slice(level)].log_softmax(-1)[codes[level]]
                for level in (0, 1)
            ]
            scores.append(float((either[0] + sum(parts)).detach()))
        by_row = dict(zip(reply.items.items.tolist(), reply.items.scores.tolist(), strict=True))
        np.testing.assert_allclose([by_row[row] for row in range(20)], scores, atol=2e-3)
        assert reply.none == pytest.approx(float(either[1].detach()), abs=1e-4)
    fewer = answer(model, vocabulary, trie, prompts, [allow(trie, exclude=[0, 7])] * 3, (10, 20))
    for whole, part in zip(free, fewer, strict=True):
        expected = [row for row in whole.items.items.tolist() if row not in (0, 7)]
        assert part.items.items.tolist() == expected


def test_fused_ranks_by_hand() -> None:
    assert fuse_ranks([[1, 2, 3], [3, 1]], 3) == [1, 3, 2]
    assert fuse_ranks([[1, 2], [2, 1]], 2) == [1, 2]
    assert fuse_ranks([[1, 2], [2, 1]], 1, weights=(0.5, 1.0)) == [2]
    with pytest.raises(InputError, match="one a ranking"):
        fuse_ranks([[1]], 1, weights=(1.0, 2.0))
