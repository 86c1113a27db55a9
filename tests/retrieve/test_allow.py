"""Per-request sets against Python sets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.retrieve.allow import allow, mask
from tastemaker.retrieve.trie import build_trie

CODES = np.random.default_rng(1).integers(3, size=(30, 3))
TRIE = build_trie(CODES, (3, 3, 3))
items = st.lists(st.integers(0, 29), max_size=40)


@given(st.none() | st.lists(st.booleans(), min_size=30, max_size=30), items, st.none() | items)
@settings(max_examples=80, deadline=None)
def test_equals_sets(base: list[bool] | None, exclude: list[int], include: list[int] | None) -> None:
    shared = None if base is None else mask(TRIE, np.array(base))
    allowed = allow(TRIE, shared, exclude, include)
    truth = {
        i
        for i in range(30)
        if (base is None or base[i]) and i not in exclude and (include is None or i in include)
    }
    assert allowed.items == len(truth)
    assert allowed.leaves == len({tuple(CODES[i]) for i in truth})
    assert (allowed.reason is None) == bool(truth)
    assert {int(i) for i in np.flatnonzero(allowed.allows(np.arange(30)))} == truth
    for bounds in TRIE.bounds:
        owned = [{int(i) for i in TRIE.items[a:b]} for a, b in pairwise(bounds)]
        assert list(allowed.count(bounds[:-1], bounds[1:])) == [len(own & truth) for own in owned]


def test_reasons_name_what_is_left() -> None:
    nobody = mask(TRIE, np.zeros(30, bool), "in stock")
    assert (
        allow(TRIE, nobody).reason
        == "nothing can be shown: the whole catalogue was asked for, 'in stock' allows 0 items, 0 are"
        " excluded"
    )
    assert "2 items were asked for" in str(allow(TRIE, exclude=[1, 2], include=[1, 2]).reason)
    assert "no item was asked for" in str(allow(TRIE, include=[]).reason)


def test_changing_the_callers_array_changes_nothing() -> None:
    stock, seen = np.ones(30, bool), np.array([4, 5])
    allowed = allow(TRIE, mask(TRIE, stock), seen)
    stock[:], seen[:] = False, 9
    assert allowed.items == 28 and not allowed.allows(np.array([4]))[0] and allowed.allows(np.array([9]))[0]


def test_refuses_unknown_items_and_foreign_masks() -> None:
    with pytest.raises(InputError, match="exclude: item 30 is not in the catalogue of 30"):
        allow(TRIE, exclude=[3, 30])
    with pytest.raises(InputError, match="include: item -1"):
        allow(TRIE, include=[-1])
    other = build_trie(CODES[:20], (3, 3, 3))
    with pytest.raises(InputError, match="make the mask again"):
        allow(TRIE, mask(other, np.ones(20, bool)))
