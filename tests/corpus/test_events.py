"""Packing interactions: order, ties, duplicates, and what is refused."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus.events import histories, taste
from tastemaker.errors import InputError
from tastemaker.schema import EventRules

IDS = ["a", "b", "c", "d"]
DAY = datetime(2020, 1, 1, tzinfo=UTC)

rows = st.lists(
    st.tuples(st.sampled_from(["u", "v", "w"]), st.sampled_from(IDS), st.integers(0, 6)), max_size=25
)


def table(events: list[tuple[str, str, int]]) -> pa.Table:
    values = pa.array([e[2] for e in events], pa.int64())
    users, items = (pa.array([e[i] for e in events], pa.string()) for i in (0, 1))
    return pa.table({"user_id": users, "item_id": items, "position": values})


@given(rows)
@settings(max_examples=60, deadline=None)
def test_packing_equals_sorting_each_user(events: list[tuple[str, str, int]]) -> None:
    h = histories(table(events), IDS)
    assert h.users.tolist() == sorted({e[0] for e in events})
    for row, user in enumerate(h.users):
        expected = sorted(
            (e for e in events if e[0] == user), key=lambda e: e[2]
        )  # stable: ties keep the order of rows
        assert [IDS[i] for i in h.of(row)] == [e[1] for e in expected]
    assert h.times is None
    assert h.counts(4).sum() == len(events)


def test_duplicates_are_kept_and_times_ride_along() -> None:
    t = table([("u", "a", 0), ("u", "a", 0)]).append_column(
        "timestamp", pa.array([DAY, None], pa.timestamp("us", tz="UTC"))
    )
    h = histories(t, IDS)
    assert h.items.tolist() == [0, 0]
    assert h.times is not None and h.times[0] == DAY.timestamp() and np.isnan(h.times[1])


@given(rows, st.lists(st.booleans(), min_size=25, max_size=25))
@settings(max_examples=40)
def test_keeping_events_and_users_equals_the_slow_version(
    events: list[tuple[str, str, int]], marks: list[bool]
) -> None:
    h = histories(table(events), IDS)
    keep = np.array(marks[: len(h.items)], dtype=bool)
    remaining = h.keep_events(keep)
    flat = [
        [int(i) for i, k in zip(h.of(u), keep[h.offsets[u] : h.offsets[u + 1]], strict=True) if k]
        for u in range(len(h))
    ]
    assert [remaining.of(u).tolist() for u in range(len(h))] == flat
    users = np.array(marks[: len(h)], dtype=bool)
    assert [r.tolist() for r in map(h.keep_users(users).of, range(int(users.sum())))] == [
        h.of(u).tolist() for u in range(len(h)) if users[u]
    ]
    assert h.from_end.tolist() == [n - 1 - i for n in h.lengths for i in range(n)]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (
            [("u", "a", 0), ("u", "x", 1)],
            "interactions: row 2, column 'item_id': 'x' is not in the item table",
        ),
        ([("u", "a", 0), (None, "a", 1)], "row 2, column 'user_id' is empty"),
        ([("u", "a", None)], "row 1, column 'position' is empty"),
    ],
)
def test_bad_tables_are_refused_naming_the_row(events, words: str) -> None:
    with pytest.raises(InputError, match=words):
        histories(table(events), IDS)


def test_an_empty_table_packs_to_nothing() -> None:
    h = histories(table([]), IDS)
    assert len(h) == 0 and len(h.items) == 0


def slow_taste(rows: list[tuple[str, str, str]]) -> tuple[list[int], list[int]]:
    """One event after the other, as a person would keep the two lists."""
    wanted: list[int] = []
    unwanted: list[int] = []
    back: set[int] = set()
    for row, (user, item, kind) in enumerate(rows):
        if kind == "undo":
            before = [
                other for other in range(row) if rows[other][:2] == (user, item) and rows[other][2] != "undo"
            ]
            back |= set([other for other in before if other not in back][-1:])
    for row, (user, item, kind) in enumerate(rows):
        if row in back:
            continue
        same = {other for other, (who, what, _) in enumerate(rows) if (who, what) == (user, item)}
        sign = EventRules().sign(kind)
        if sign > 0:
            wanted.append(row)
            unwanted = [other for other in unwanted if other not in same]
        elif sign < 0:
            wanted = [other for other in wanted if other not in same]
            unwanted.append(row)
    return wanted, unwanted


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("uv"),
            st.sampled_from("abc"),
            st.sampled_from(["like", "dislike", "view", "SKIP", "undo"]),
        )
    )
)
def test_taste_equals_keeping_two_lists(rows: list[tuple[str, str, str]]) -> None:
    columns = {name: [row[at] for row in rows] for at, name in enumerate(("user_id", "item_id", "kind"))}
    types = [pa.field(name, pa.string()) for name in columns]
    table = pa.table(columns, schema=pa.schema(types))
    table = table.append_column("position", pa.array(range(len(rows)), pa.int64()))
    wanted, unwanted = taste(table, EventRules())
    assert (wanted["position"].to_pylist(), unwanted["position"].to_pylist()) == slow_taste(rows)
