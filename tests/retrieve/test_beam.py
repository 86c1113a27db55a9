"""Beam search against exhaustive scoring, on catalogues small enough to score whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError, ModelError
from tastemaker.retrieve.allow import Allowed, allow, mask
from tastemaker.retrieve.beam import beam_search
from tastemaker.retrieve.trie import Trie, build_trie

SIZES = (5, 4, 3)


def catalogue(seed: int, n: int = 40, sizes: tuple[int, ...] = SIZES) -> Trie:
    rng = np.random.default_rng(seed)
    return build_trie(np.stack([rng.integers(size, size=n) for size in sizes], axis=1), sizes)


def filters(trie: Trie, rows: int, seed: int) -> list[Allowed]:
    """A mixture of every kind of set, some of them empty, some sharing a mask."""
    rng = np.random.default_rng(seed)
    n = len(trie.items)
    masks = [None, mask(trie, rng.random(n) < 0.5), mask(trie, rng.random(n) < 0.1)]
    drawn = []
    for _ in range(rows):
        base = masks[rng.integers(3)]
        exclude = rng.integers(n, size=rng.integers(n))
        include = rng.integers(n, size=rng.integers(n)) if rng.random() < 0.4 else None
        drawn.append(allow(trie, base, exclude, include))
    return drawn


def leaves_allowed(trie: Trie, subset: Allowed) -> np.ndarray:
    """(S,) by the definition: some item of the leaf may be shown."""
    shown = subset.allows(trie.items.astype(np.int64))
    return np.array([shown[a:b].any() for a, b in zip(trie.item_starts, trie.item_starts[1:], strict=False)])


def found_of(beams: Any, row: int) -> tuple[list[int], np.ndarray]:
    n = int(beams.counts[row])
    assert (beams.leaf[row, n:] == -1).all() and torch.isneginf(beams.score[row, n:]).all()
    return beams.leaf[row, :n].tolist(), beams.score[row, :n].numpy()


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=15, deadline=None)
def test_wide_beam_equals_exhaustive_scoring(toy: Any, seed: int, filtered: bool) -> None:
    trie, model = catalogue(seed), toy(SIZES, 3, seed)
    allowed = filters(trie, 3, seed) if filtered else [allow(trie)] * 3
    beams = beam_search(model.hidden, model.search(), model.heads, trie, allowed, trie.leaves)
    for row, subset in enumerate(allowed):
        truth = model.log_probabilities(row, trie.leaf_codes())
        may = leaves_allowed(trie, subset)
        leaves, scores = found_of(beams, row)
        assert leaves == [leaf for leaf in np.argsort(-truth, kind="stable") if may[leaf]]
        np.testing.assert_allclose(scores, truth[leaves], atol=1e-4)
        assert beams.exact[row]


@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from(["level", "vocab"]))
@settings(max_examples=15, deadline=None)
def test_alone_or_in_a_batch_and_under_a_filter_scores_stay(
    toy: Any, seed: int, beam: int, normalise: str
) -> None:
    trie, model = catalogue(seed, 60), toy(SIZES, 4, seed)
    over = torch.cat(model.heads) if normalise == "vocab" else normalise
    allowed = filters(trie, 4, seed)
    together = beam_search(model.hidden, model.search(), model.heads, trie, allowed, beam, over)
    for row, subset in enumerate(allowed):
        alone = beam_search(model.hidden[[row]], model.search([row]), model.heads, trie, [subset], beam, over)
        (leaves, scores), (again, same) = found_of(alone, 0), found_of(together, row)
        assert leaves == again
        np.testing.assert_allclose(scores, same, atol=1e-4)
        truth = model.log_probabilities(row, trie.leaf_codes(), normalise == "vocab")
        np.testing.assert_allclose(scores, truth[leaves], atol=1e-4)
        assert leaves_allowed(trie, subset)[leaves].all()
        assert len(leaves) >= min(beam, subset.leaves) and bool(leaves) == (subset.items > 0)


def oracle_beam(model: Any, row: int, trie: Trie, subset: Allowed, beam: int) -> list[tuple[int, ...]]:
    """The step as written: live children of all beams, best `beam` by score, then by prefix."""
    codes = [tuple(map(int, sid)) for sid in trie.leaf_codes()[leaves_allowed(trie, subset)]]
    width = len(codes) if len(codes) <= 4 * beam else beam
    beams: list[tuple[int, ...]] = [()]
    for level in range(trie.levels):
        children = sorted({sid[: level + 1] for sid in codes if sid[:level] in beams})
        scores = model.log_probabilities(row, children)
        beams = [children[i] for i in np.argsort(-scores, kind="stable")[:width]]
    return beams


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_narrow_beam_equals_the_step_as_written(toy: Any, seed: int, beam: int) -> None:
    trie, model = catalogue(seed, 60), toy(SIZES, 2, seed)
    allowed = filters(trie, 2, seed)
    beams = beam_search(model.hidden, model.search(), model.heads, trie, allowed, beam)
    for row, subset in enumerate(allowed):
        leaves, _ = found_of(beams, row)
        assert [tuple(map(int, trie.leaf_codes()[leaf])) for leaf in leaves] == oracle_beam(
            model, row, trie, subset, beam
        )


def test_few_allowed_ids_widen_the_beam_until_it_is_exact(toy: Any) -> None:
    trie, model = catalogue(3, 200), toy(SIZES, 1, 3)
    ids = np.unique(trie.node_of_position(trie.levels - 1, trie.position), return_index=True)[1]
    four, more = allow(trie, include=ids[:16]), allow(trie, include=ids[:17])
    beams = beam_search(model.hidden, model.search(), model.heads, trie, [four], 4)
    assert int(beams.counts[0]) == 16 and beams.exact[0]
    beams = beam_search(model.hidden, model.search(), model.heads, trie, [more], 4)
    assert int(beams.counts[0]) == 4 and not beams.exact[0]


def test_equal_scores_keep_trie_order_at_every_level() -> None:
    codes = np.array([(a, b) for a in range(50) for b in range(3)])
    trie = build_trie(codes, (50, 3))
    heads = [torch.zeros(50, 4), torch.zeros(3, 4)]
    hidden = torch.ones(2, 4)
    beams = beam_search(
        hidden, lambda level, c, p: torch.ones(2, c.shape[1], 4), heads, trie, [allow(trie)] * 2, 7
    )
    assert beams.leaf.tolist() == [list(range(7))] * 2


def test_impossible_codes_are_still_items() -> None:
    trie = build_trie(np.array([(0, 0), (1, 0), (1, 1)]), (2, 2))
    heads = [torch.tensor([[0.0], [-torch.inf]]), torch.zeros(2, 1)]
    beams = beam_search(
        torch.ones(1, 1), lambda level, c, p: torch.ones(1, c.shape[1], 1), heads, trie, [allow(trie)], 3
    )
    assert beams.leaf.tolist() == [[0, 1, 2]] and int(beams.counts[0]) == 3


def test_empty_sets_get_no_beam_beside_others(toy: Any) -> None:
    trie, model = catalogue(5), toy(SIZES, 2, 5)
    none, everything = allow(trie, include=[]), allow(trie)
    beams = beam_search(model.hidden, model.search(), model.heads, trie, [none, everything], 4)
    assert beams.counts.tolist() == [0, 4]
    beams = beam_search(model.hidden, model.search(), model.heads, trie, [none, none], 4)
    assert beams.counts.tolist() == [0, 0] and beams.leaf.shape == (2, 0)


def test_refuses_what_would_fail_silently(toy: Any) -> None:
    trie, model = catalogue(5), toy(SIZES, 2, 5)
    ok = [allow(trie)] * 2
    with pytest.raises(InputError, match="other codebooks"):
        beam_search(model.hidden, model.search(), model.heads[:2], trie, ok, 4)
    with pytest.raises(ModelError, match="not numbers"):
        beam_search(model.hidden * torch.nan, model.search(), model.heads, trie, ok, 4)
