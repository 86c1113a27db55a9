"""Items out of Semantic IDs: probabilities that add up, filters that never reorder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.retrieve.allow import allow, mask
from tastemaker.retrieve.beam import Beams, beam_search
from tastemaker.retrieve.candidates import expand
from tastemaker.retrieve.trie import build_trie

SIZES = (3, 3, 2)


def search(toy: Any, seed: int, allowed: Any, trie: Any, beam: int) -> Beams:
    model, same = toy(SIZES, 1, seed), [0] * len(allowed)
    return beam_search(model.hidden[same], model.search(same), model.heads, trie, allowed, beam)


@given(st.integers(0, 10**6), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_probabilities_are_the_ids_shared_out_and_filters_never_reorder(toy: Any, seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(size, size=30) for size in SIZES], axis=1)
    trie = build_trie(codes, SIZES)
    shown = rng.random(30) < 0.5
    shown[rng.integers(30)] = True
    everything, subset = allow(trie), allow(trie, mask(trie, shown))
    beams = search(toy, seed, [everything, subset], trie, trie.leaves)
    whole, part = expand(beams, trie, [everything, subset], 30)
    # The items of an ID share exactly its mass.
    model_scores = dict(zip(beams.leaf[0].tolist(), beams.score[0].tolist(), strict=True))
    for leaf, score in model_scores.items():
        group = trie.items[trie.item_starts[leaf] : trie.item_starts[leaf + 1]]
        of = {int(i): s for i, s in zip(whole.items, whole.scores, strict=True)}
        for item in group:
            assert of[int(item)] == pytest.approx(score - np.log(len(group)), abs=1e-5)
    assert sorted(whole.items) == list(range(30)) and (np.diff(whole.scores) <= 0).all()
    expected = [int(i) for i in whole.items if shown[i]]
    assert part.items.tolist() == expected
    assert expand(beams, trie, [everything, subset], k)[1].items.tolist() == expected[:k]


def test_fewer_items_come_with_a_reason(toy: Any) -> None:
    codes = np.array([(a, b, c) for a in range(3) for b in range(3) for c in range(2)])
    trie = build_trie(codes, SIZES)
    sets = [allow(trie, include=[1, 2]), allow(trie), allow(trie, include=[])]
    three, narrow, none = expand(search(toy, 0, sets, trie, 2), trie, sets, 5)
    assert sorted(three.items) == [1, 2] and three.reason == "only 2 items are allowed"
    assert len(narrow) == 2 and narrow.reason == "the beam reached 2 items; widen it to get 5"
    assert len(none) == 0 and str(none.reason).startswith("nothing can be shown")


def test_ties_inside_an_id_go_by_index() -> None:
    trie = build_trie(np.zeros((4, 1), int), (1,))
    beams = Beams(
        torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1), torch.tensor([1]), torch.tensor([True])
    )
    plain = expand(beams, trie, [allow(trie)], 4)[0]
    assert plain.items.tolist() == [0, 1, 2, 3] and plain.scores == pytest.approx(np.log(0.25))
