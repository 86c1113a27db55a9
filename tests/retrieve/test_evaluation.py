"""Ranks, slices and alarms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus.events import Histories
from tastemaker.errors import InputError
from tastemaker.retrieve.evaluation import (
    Lists,
    breadth,
    item_counts,
    last_events,
    rank_in_lists,
    rank_of_target,
    ranks_of_targets,
    slices,
    swapped,
    take,
    top_items,
)

rows_of_items = st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=12)


@given(rows_of_items, st.integers(0, 10**6), st.booleans())
@settings(max_examples=50, deadline=None)
def test_ranks_equal_sorting(rows: list[list[int]], seed: int, remove: bool) -> None:
    rng = np.random.default_rng(seed)
    contexts, targets = Histories.of_lists(rows), rng.integers(7, size=len(rows))
    table = rng.integers(4, size=(len(rows), 7)).astype(np.float32)

    def score(part: Lists) -> np.ndarray:
        # Called for a block of users at a time: `done` says where the block starts.
        start = done[0]
        done[0] += len(part.offsets) - 1
        return table[start : done[0]]

    done = [0]
    ranks = ranks_of_targets(score, contexts, targets, "remove" if remove else "keep", batch=5)
    done = [0]
    lists = top_items(score, contexts, 7, "remove" if remove else "keep", batch=5)
    for user, row in enumerate(rows):
        order = sorted((i for i in range(7) if not (remove and i in row)), key=lambda i: (-table[user, i], i))
        assert lists[user].tolist() == order
        assert ranks[user] == (order.index(targets[user]) + 1 if targets[user] in order else 0)
    assert np.array_equal(rank_in_lists(lists, targets), ranks)


def test_scores_are_left_as_they_were_and_nan_is_refused() -> None:
    scores = np.array([[1.0, 2.0]])
    assert rank_of_target(scores, np.array([0]), Histories.of_lists([[1]])).tolist() == [1]
    assert scores.tolist() == [[1.0, 2.0]]
    with pytest.raises(InputError, match="row 0 holds NaN"):
        rank_of_target(np.array([[np.nan, 1.0]]), np.array([1]))


@given(rows_of_items, st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_ragged_arrays_are_lists_of_lists(rows: list[list[int]], length: int) -> None:
    packed = Histories.of_lists(rows)

    def unpack(lists: Lists) -> list[list[int]]:
        return [lists.items[a:b].tolist() for a, b in zip(lists.offsets, lists.offsets[1:], strict=False)]

    assert unpack(last_events(packed, length)) == [row[-length:] for row in rows]
    order = np.arange(len(rows))[::-1]
    assert unpack(take(packed, order)) == rows[::-1]
    assert sorted(unpack(swapped(packed, 3))) == sorted(rows)


def test_swapping_gives_nobody_their_own_history() -> None:
    rows = [[user] for user in range(50)]
    assert all(a != b for a, b in zip(swapped(Histories.of_lists(rows), 1).items, range(50), strict=True))


def test_slices_cover_every_user_once_in_each_family() -> None:
    masks = slices(np.array([0, 1, 2, 3, 4, 0]), np.array([0, 1, 5, 6, 21]), np.array([1, 5, 6, 10, 20, 21]))
    assert {name: int(m.sum()) for name, m in masks.items()} == {
        "target count 0": 2,
        "target count 1-5": 2,
        "target count 6-20": 1,
        "target count >20": 1,
        "history 0-5": 2,
        "history 6-10": 2,
        "history 11-20": 1,
        "history >20": 1,
    }


def test_alarms_ring_for_a_collapsed_and_for_a_blind_recommender() -> None:
    healthy = [np.arange(10) + 10 * user for user in range(30)]
    report = breadth(healthy, 1000, healthy[1:] + healthy[:1])
    assert (
        report.alarms == () and report.distinct == 300 and report.effective == 285 and report.unchanged == 0
    )
    blind = [np.arange(10)] * 30
    report = breadth(blind, 2000, blind)
    assert report.unchanged == 1 and len(report.alarms) == 2
    assert report.alarms[0] == "collapsed: all lists together hold 10 of 2000 items"
    assert "ignores the user" in report.alarms[1]
    assert np.isnan(breadth(healthy, 1000).unchanged)
    assert item_counts([np.array([2, 0]), np.array([2])], 4).tolist() == [1, 0, 2, 0]
