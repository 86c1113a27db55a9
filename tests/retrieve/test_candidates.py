"""Items out of Semantic IDs: probabilities that add up, filters that never reorder, reserved slots,
fusion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.retrieve.allow import allow, mask
from tastemaker.retrieve.beam import Beams, beam_search
from tastemaker.retrieve.candidates import (
    Candidates,
    by_count,
    by_vector,
    choose_weight,
    expand,
    fuse,
    with_new_items,
)
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
    trie, counts = build_trie(codes, SIZES), rng.integers(20, size=30)
    shown = rng.random(30) < 0.5
    shown[rng.integers(30)] = True
    everything, some = allow(trie), allow(trie, mask(trie, shown))
    beams = search(toy, seed, [everything, some], trie, trie.leaves)
    whole, part = expand(beams, trie, [everything, some], 30, by_count(counts))
    # The items of an ID share exactly its mass.
    model_scores = dict(zip(beams.leaf[0].tolist(), beams.score[0].tolist(), strict=True))
    for leaf, score in model_scores.items():
        group = trie.items[trie.item_starts[leaf] : trie.item_starts[leaf + 1]]
        of = {int(i): s for i, s in zip(whole.items, whole.scores, strict=True)}
        for item in group:
            share = (counts[item] + 1) / (counts[group] + 1).sum()
            assert of[int(item)] == pytest.approx(score + np.log(share), abs=1e-5)
    assert sorted(whole.items) == list(range(30)) and (np.diff(whole.scores) <= 0).all()
    kept = [int(i) for i in whole.items if shown[i]]
    assert part.items.tolist() == kept
    assert expand(beams, trie, [everything, some], k, by_count(counts))[1].items.tolist() == kept[:k]


def test_fewer_items_come_with_a_reason(toy: Any) -> None:
    codes = np.array([(a, b, c) for a in range(3) for b in range(3) for c in range(2)])
    trie = build_trie(codes, SIZES)
    sets = [allow(trie, include=[1, 2]), allow(trie), allow(trie, include=[])]
    three, narrow, none = expand(search(toy, 0, sets, trie, 2), trie, sets, 5)
    assert sorted(three.items) == [1, 2] and three.reason == "only 2 items are allowed"
    assert len(narrow) == 2 and narrow.reason == "the beam reached 2 items; widen it to get 5"
    assert len(none) == 0 and str(none.reason).startswith("nothing can be shown")
    with pytest.raises(InputError, match="at least one item"):
        expand(search(toy, 0, sets, trie, 2), trie, sets, 0)


def test_ties_inside_an_id_go_by_index_and_a_vector_can_break_them() -> None:
    trie = build_trie(np.zeros((4, 1), int), (1,))
    beams = Beams(
        torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1), torch.tensor([1]), torch.tensor([True])
    )
    plain = expand(beams, trie, [allow(trie)], 4)[0]
    assert plain.items.tolist() == [0, 1, 2, 3] and plain.scores == pytest.approx(np.log(0.25))
    items = np.array([[0.0], [2.0], [1.0], [3.0]])
    dense = expand(beams, trie, [allow(trie)], 4, by_vector(np.array([[1.0]]), items, 0.5))[0]
    assert dense.items.tolist() == [3, 1, 2, 0]
    assert dense.scores == pytest.approx(np.array([6, 4, 2, 0]) - np.log(np.exp([6, 4, 2, 0]).sum()))
    with pytest.raises(InputError, match="smoothing"):
        by_count(np.ones(3, int), 0)


def listed(items: list[int]) -> Candidates:
    return Candidates(
        np.array(items, np.int64), -np.arange(len(items), dtype=float), ("model",) * len(items), None
    )


def test_new_items_get_their_slots_and_no_more() -> None:
    main, fresh = listed(list(range(10))), listed([20, 3, 21])
    one = with_new_items(main, fresh, 10, 0.1)
    assert one.items.tolist() == [*range(9), 20] and one.source == ("model",) * 9 + ("new",)
    three = with_new_items(main, fresh, 10, 0.3)
    assert three.items.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 20, 21] and three.source.count("new") == 2
    assert with_new_items(main, fresh, 10, 0).items.tolist() == list(range(10))
    assert with_new_items(listed([]), fresh, 2, 1).source == ("new", "new")
    # .07 * 100 is 7.000000000000001 in floating point, which must not make it 8.
    assert (
        with_new_items(listed(list(range(100))), listed(list(range(100, 120))), 100, 0.07).source.count("new")
        == 7
    )
    with pytest.raises(InputError, match="share of new items"):
        with_new_items(main, fresh, 10, 1.1)


def test_an_item_is_listed_once_whichever_way_it_came() -> None:
    both = with_new_items(listed([5, 6, 7, 8]), listed([7, 8, 9]), 4, 0.5)
    assert both.items.tolist() == [5, 6, 7, 8] and both.source == ("model", "model", "new", "new")


def test_fusion_goes_from_one_ranking_to_the_other() -> None:
    main, cosine = listed([4, 5, 6]), np.array([0.1, 0.3, 0.2])
    assert fuse(main, cosine, 1).items.tolist() == [4, 5, 6]
    assert fuse(main, cosine, 0).items.tolist() == [5, 6, 4]
    assert fuse(main, cosine, 0.5, 0.1).scores == pytest.approx([-0.5 + 1.5, 0.0 + 0.5, -1.0 + 1.0])
    best, table = choose_weight([main, main], [cosine, cosine], np.array([5, 5]), 0.1)
    assert best < 1 and table[best] == 1.0 and table[1.0] < 1
    with pytest.raises(InputError, match="fusion weight"):
        fuse(main, cosine, 2)
