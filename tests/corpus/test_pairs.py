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
    for history in rows:
        for i in range(len(history)):
            for j in range(i + 1, min(i + window, len(history) - 1) + 1):
                if history[i] != history[j]:
                    seen[min(history[i], history[j]), max(history[i], history[j])] += 1
    whose = {
        (min(history[i], history[j]), max(history[i], history[j]), row)
        for row, history in enumerate(rows)
        for i in range(len(history))
        for j in range(i + 1, min(i + window, len(history) - 1) + 1)
        if history[i] != history[j]
    }
    people = Counter((low, high) for low, high, _ in whose)
    result = pair_people(Histories.of_lists(rows), window)
    assert {tuple(pair): n for pair, n in zip(result[0].tolist(), result[1].tolist(), strict=True)} == people
    near: Counter[tuple[int, int]] = Counter()
    for history in rows:
        for i in range(len(history)):
            for j in range(i + 1, min(i + window, len(history) - 1) + 1):
                if history[i] != history[j]:
                    near[min(history[i], history[j]), max(history[i], history[j])] += 1 / (j - i)
    assert near_pairs(Histories.of_lists(rows), window)[1].tolist() == pytest.approx(
        [near[p] for p in sorted(near)]
    )
    counts = Counter(item for history in rows for item in history)
    pairs, weights = cooccurring_pairs(Histories.of_lists(rows), window)
    assert [tuple(p) for p in pairs.tolist()] == sorted(seen)
    assert pair_counts(Histories.of_lists(rows), window)[1].tolist() == [seen[p] for p in sorted(seen)]
    assert weights.tolist() == pytest.approx(
        [seen[p] * (counts[p[0]] * counts[p[1]]) ** -0.5 for p in sorted(seen)]
    )
