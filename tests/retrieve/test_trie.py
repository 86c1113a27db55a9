"""The packed trie against a dictionary of prefixes, its storage, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.retrieve.trie import build_trie

EXAMPLE = np.array([(0, 1, 0), (0, 1, 1), (0, 1, 1), (0, 2, 0), (1, 0, 1)])


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    sizes = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return np.stack([rng.integers(size, size=n) for size in sizes], axis=1), sizes


def test_example_of_the_specification() -> None:
    trie = build_trie(EXAMPLE, (2, 3, 2))
    assert [list(t) for t in trie.tokens] == [[0, 1], [1, 2, 0], [0, 1, 0, 1]]
    assert [list(s) for s in trie.starts] == [[0, 2], [0, 2, 3], [0, 2, 3, 4]]
    assert list(trie.item_starts) == [0, 1, 3, 4, 5]
    assert all(t.dtype == np.int16 for t in trie.tokens) and all(s.dtype == np.int32 for s in trie.starts)


@given(catalogues())
@settings(max_examples=60, deadline=None)
def test_equals_a_dictionary_of_prefixes(catalogue: tuple[np.ndarray, tuple[int, ...]]) -> None:
    codes, sizes = catalogue
    trie = build_trie(codes, sizes)
    prefixes: list[tuple[int, ...]] = [()]
    for level in range(len(sizes)):
        below = sorted({tuple(map(int, row[: level + 1])) for row in codes})
        for node, prefix in enumerate(prefixes):
            edges = range(trie.starts[level][node], trie.starts[level][node + 1])
            assert [(*prefix, int(trie.tokens[level][e])) for e in edges] == [
                p for p in below if p[:level] == prefix
            ]
        for node, prefix in enumerate(below):
            owned = trie.items[trie.bounds[level][node] : trie.bounds[level][node + 1]]
            assert sorted(owned) == [
                i for i, row in enumerate(codes) if tuple(map(int, row[: level + 1])) == prefix
            ]
        prefixes = below
    of_position = np.repeat(trie.leaf_codes(), np.diff(trie.item_starts), axis=0)
    assert np.array_equal(of_position[trie.position], codes)
    assert [tuple(map(int, row)) for row in trie.leaf_codes()] == prefixes
    assert np.array_equal(trie.items[trie.position], np.arange(len(codes)))


def test_items_with_one_id_stand_in_index_order_and_wide_levels_use_int32() -> None:
    assert list(build_trie(np.zeros((5, 2), int), (1, 1)).items) == [0, 1, 2, 3, 4]
    wide = build_trie(np.array([[40_000], [3]]), (50_000,))
    assert wide.tokens[0].dtype == np.int32 and list(wide.tokens[0]) == [3, 40_000]


def test_addresses_beyond_64_bits_sort_the_same() -> None:
    codes = np.random.default_rng(0).integers(3, size=(200, 6))
    narrow, wide = build_trie(codes, (3,) * 6), build_trie(codes, (2048,) * 6)
    assert np.array_equal(narrow.items, wide.items)
    assert all(np.array_equal(a, b) for a, b in zip(narrow.starts, wide.starts, strict=True))


@pytest.mark.parametrize(
    ("codes", "sizes", "words"),
    [
        (np.array([[0, 3, 0]]), (2, 3, 2), "row 0, level 1: code 3"),
        (np.array([[0, 0, 0], [-1, 0, 0]]), (2, 3, 2), "row 1, level 0: code -1"),
        (np.zeros((0, 3), int), (2, 3, 2), "0 items"),
        (np.zeros((2, 2), int), (2, 3, 2), "expected integers of shape"),
        (np.zeros((2, 3)), (2, 3, 2), "float64"),
    ],
)
def test_refuses_codes_that_do_not_fit(codes: np.ndarray, sizes: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_trie(codes, sizes)
