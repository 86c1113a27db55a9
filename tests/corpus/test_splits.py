"""Splits against slow versions, golden numbers of a public benchmark, and leaks."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tastemaker.corpus.events import Histories
from tastemaker.corpus.splits import ends_tied, leave_one_out, shuffle_ties, time_split
from tastemaker.errors import InputError

lists = st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=8)


def packed(rows: list[list[int]], times: list[list[float]] | None = None) -> Histories:
    return Histories.of_lists(rows, times=times)


def unpacked(h: Histories) -> list[list[int]]:
    return [h.of(u).tolist() for u in range(len(h))]


@given(lists)
@settings(max_examples=60)
def test_leave_one_out_equals_slicing_each_list(rows: list[list[int]]) -> None:
    h = packed(rows)
    long = [r for r in rows if len(r) >= 3]
    if not long:
        with pytest.raises(InputError, match="none of the"):
            leave_one_out(h)
        return
    split = leave_one_out(h)
    assert unpacked(split.train) == [r[:-2] if len(r) >= 3 else r for r in rows]
    assert unpacked(split.validation.context) == [
        r[:-2] for r in long
    ] and split.validation.target.tolist() == [r[-2] for r in long]
    assert unpacked(split.test.context) == [r[:-1] for r in long] and split.test.target.tolist() == [
        r[-1] for r in long
    ]
    assert split.excluded == len(rows) - len(long)
    assert split.test.context.users.tolist() == [str(i) for i, r in enumerate(rows) if len(r) >= 3]


timed = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=8).map(sorted), min_size=2, max_size=8
)


@given(timed)
@settings(max_examples=80)
def test_time_split_equals_the_slow_version(
    events: list[list[tuple[int, int]]],
) -> None:
    assume(sum(map(len, events)) > 3)
    h = packed([[i for _, i in r] for r in events], [[float(t) for t, _ in r] for r in events])
    try:
        split = time_split(h, validation_share=0.2, test_share=0.3)
    except InputError as error:
        assert "leaves" in str(error)
        return
    start, end = split.cuts
    assert unpacked(split.train) == [
        r for r in ([i for t, i in history if t < start] for history in events) if r
    ]
    for part, low, high in ((split.validation, start, end), (split.test, end, np.inf)):
        expected = []
        for history in events:
            inside = [n for n, (t, _) in enumerate(history) if low <= t < high]
            if inside and (place := inside[-1]) >= 1:
                expected.append(([i for _, i in history[:place]], history[place][1]))
        assert list(zip(unpacked(part.context), part.target.tolist(), strict=True)) == expected


def test_time_split_needs_times() -> None:
    with pytest.raises(InputError, match="timestamp on every event"):
        time_split(packed([[1, 2, 3]]))


def test_time_split_refuses_histories_that_are_not_in_time_order() -> None:
    with pytest.raises(InputError, match="user '1' are not"):
        time_split(packed([[1, 2], [3, 4]], [[5.0, 6.0], [2.0, 1.0]]))


@given(lists, st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_only_events_at_one_time_change_places(rows: list[list[int]], width: int, key: int) -> None:
    items = [[100 * n + place for place in range(len(r))] for n, r in enumerate(rows)]
    times = [[float(place // width) for place in range(len(r))] for r in rows]
    h = packed(items, times)
    after = unpacked(shuffle_ties(h, key))
    for before, now, time in zip(unpacked(h), after, times, strict=True):
        for moment in set(time):
            inside = [place for place, value in enumerate(time) if value == moment]
            assert sorted(now[place] for place in inside) == [before[place] for place in inside]
    tied = [len(time) > 1 and time[-1] == time[-2] for time in times]
    assert ends_tied(h).tolist() == tied
    assert unpacked(shuffle_ties(packed(items), key)) == unpacked(packed(items))  # no times: nothing ties


def test_beauty_golden_numbers(beauty) -> None:
    h, ids = beauty
    split = leave_one_out(h)
    assert (len(h), len(ids), len(h.items), len(split.train.items)) == (22_363, 12_101, 198_502, 153_776)
    assert int((split.train.counts(len(ids)) == 0).sum()) == 33 and split.excluded == 0
    at_test = split.train.counts(len(ids))[split.test.target]
    slices = [
        int(((at_test >= low) & (at_test <= high)).sum())
        for low, high in ((0, 0), (1, 5), (6, 20), (21, 10**9))
    ]
    assert slices == [138, 6_059, 8_328, 7_838]
    assert len(np.unique(split.test.target)) == 7_978


def test_beauty_popularity_as_published(beauty) -> None:
    """Raw order, full ranking, seen removed, ties by item order: R@10 .0115 and N@10 .0055 within .0002."""
    from tastemaker.stats import ndcg_at, recall_at

    h, ids = beauty
    test = leave_one_out(h).test
    order = np.argsort(-leave_one_out(h).train.counts(len(ids)), kind="stable")
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = np.arange(1, len(ids) + 1)
    rows = test.context.user_rows
    above = np.bincount(rows[place[test.context.items] < place[test.target][rows]], minlength=len(test))
    ranks = place[test.target] - above  # no user of Beauty repeats an item, so each seen item is counted once
    assert recall_at(ranks, 10).mean() == pytest.approx(0.0115, abs=0.0002)
    assert ndcg_at(ranks, 10).mean() == pytest.approx(0.0055, abs=0.0002)
