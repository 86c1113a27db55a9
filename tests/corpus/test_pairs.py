"""Co-occurring pairs against a double loop."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus.events import Histories
from tastemaker.corpus.pairs import cooccurring_pairs, near_pairs, pair_counts, pair_people

lists = st.lists(st.lists(st.integers(0, 6), max_size=8), max_size=6)


@given(lists, st.integers(1, 4))
@settings(max_examples=60)
def test_pairs_equal_the_double_loop(rows: list[list[int]], window: int) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    for one in rows:
        for i in range(len(one)):
            for j in range(i + 1, min(i + window, len(one) - 1) + 1):
                if one[i] != one[j]:
                    seen[min(one[i], one[j]), max(one[i], one[j])] += 1
    whose = {
        (min(one[i], one[j]), max(one[i], one[j]), row)
        for row, one in enumerate(rows)
        for i in range(len(one))
        for j in range(i + 1, min(i + window, len(one) - 1) + 1)
        if one[i] != one[j]
    }
    people = Counter((low, high) for low, high, _ in whose)
    told = pair_people(Histories.of_lists(rows), window)
    assert {tuple(pair): n for pair, n in zip(told[0].tolist(), told[1].tolist(), strict=True)} == people
    near: Counter[tuple[int, int]] = Counter()
    for one in rows:
        for i in range(len(one)):
            for j in range(i + 1, min(i + window, len(one) - 1) + 1):
                if one[i] != one[j]:
                    near[min(one[i], one[j]), max(one[i], one[j])] += 1 / (j - i)
    assert near_pairs(Histories.of_lists(rows), window)[1].tolist() == pytest.approx(
        [near[p] for p in sorted(near)]
    )
    counts = Counter(item for one in rows for item in one)
    pairs, weights = cooccurring_pairs(Histories.of_lists(rows), window)
    assert [tuple(p) for p in pairs.tolist()] == sorted(seen)
    assert pair_counts(Histories.of_lists(rows), window)[1].tolist() == [seen[p] for p in sorted(seen)]
    assert weights.tolist() == pytest.approx(
        [seen[p] * (counts[p[0]] * counts[p[1]]) ** -0.5 for p in sorted(seen)]
    )
