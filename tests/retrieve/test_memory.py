"""The memory of transitions: counts by hand, and evidence that filters cannot reorder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus.events import Histories
from tastemaker.errors import ArtifactError
from tastemaker.retrieve.candidates import Candidates
from tastemaker.retrieve.memory import Memory, choose_weight, fit_memory, weighed

TRAIN = Histories.of_lists([[0, 1, 2], [0, 1], [3, 3, 0]])


def _candidates(items: list[int], probabilities: list[float]) -> Candidates:
    return Candidates(np.array(items), np.log(probabilities), ("model",) * len(items), None)


def test_counts_go_forward_by_one_over_distance() -> None:
    table = fit_memory(TRAIN, 4, window=2).table.toarray()
    expected = np.zeros((4, 4))
    expected[0, 1], expected[1, 2], expected[0, 2], expected[3, 0] = 2, 1, 0.5, 1.5
    np.testing.assert_allclose(table, expected)


@given(
    st.lists(st.lists(st.integers(0, 7), max_size=6), min_size=1, max_size=6),
    st.lists(st.integers(0, 7), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_counts_equal_the_dense_formula(train: list[list[int]], history: list[int]) -> None:
    memory = fit_memory(Histories.of_lists(train), 8, window=3, decay=0.5)
    dense = memory.table.toarray()
    expected = sum((0.5**age * dense[item] for age, item in enumerate(reversed(history))), np.zeros(8))
    np.testing.assert_allclose(
        memory.score(Histories.of_lists([history, []])), [expected, np.zeros(8)], atol=1e-6
    )


def test_evidence_is_what_the_formula_says_and_a_filter_reorders_nothing() -> None:
    known = np.array([0.0, 0.5, 0.05])
    ranked = weighed(_candidates([4, 2, 9], [0.5, 0.3, 0.1]), known, 2.0)
    assert ranked.items.tolist() == [2, 4, 9]
    np.testing.assert_allclose(
        ranked.scores, [np.log(0.3) + 2 * np.log(11), np.log(0.5), np.log(0.1) + 2 * np.log(2)]
    )
    part = weighed(_candidates([4, 9], [0.5, 0.1]), known[[0, 2]], 2.0)
    assert part.items.tolist() == [4, 9]
    assert len(weighed(_candidates([], []), np.zeros(0), 1.0)) == 0


def test_the_weight_is_chosen_on_ranks_the_smallest_of_equals() -> None:
    ranks = np.array([[3, 1, 0], [1, 2, 1], [2, 1, 1]])
    weight, by_weight = choose_weight(ranks, (0.0, 0.5, 1.0))
    assert weight == 0.5 and list(by_weight) == [0.0, 0.5, 1.0]
    assert by_weight[0.5] == by_weight[1.0] == pytest.approx((2 + np.log(2) / np.log(3)) / 3)
    assert choose_weight(np.array([[1], [1]]), (0.0, 2.0))[0] == 0


def test_it_comes_back_from_its_arrays_and_refuses_another_catalogue() -> None:
    memory = fit_memory(TRAIN, 4)
    again = Memory.load(memory.arrays(), memory.decay, 4)
    np.testing.assert_array_equal(again.table.toarray(), memory.table.toarray())
    with pytest.raises(ArtifactError, match="4 items, the catalogue has 5"):
        Memory.load(memory.arrays(), memory.decay, 5)
