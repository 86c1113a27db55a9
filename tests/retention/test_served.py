"""Features of a served list against a slow oracle, one request re-ranked, and results from logs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.experiment import assign
from tastemaker.experiment.readout.logs import cut_of, unit_table
from tastemaker.retention.adjust.apply import adjust
from tastemaker.retention.adjust.rules import Capped, Constrained, Value
from tastemaker.retention.features import (
    Known,
    Person,
    features,
    history_features,
    known_items,
    matrix,
    rerank,
    sentence,
)

ATTRIBUTES = [["c=red", "k=D"], ["c=red"], ["c=blue", "k=D"], [], ["c=blue", "k=G"], ["c=red", "k=G"]]
PAIRS = {(0, 1): 3, (2, 4): 1, (0, 5): 2}


def known() -> Known:
    kinds = ["like", "play", "play", "skip", "like", None]
    liked, refused = ([kind == name for kind in kinds] for name in ("like", "skip"))
    return known_items([5, 3, 2, 0, 1, 4], ATTRIBUTES, [0, 0, 1, 1, 2, 5], liked, refused, PAIRS)


def slowly(items: list[int], scores: list[float], history: list[int]) -> dict[str, list[float]]:
    """The same numbers, one item at a time."""
    pair = {**PAIRS, **{(b, a): count for (a, b), count in PAIRS.items()}}
    out: dict[str, list[float]] = {"familiar": [], "co_played": [], "lead": [], "place": []}
    for place, (item, score) in enumerate(zip(items, scores, strict=True)):
        own = ATTRIBUTES[item]
        shares = [sum(value in ATTRIBUTES[past] for past in history) / max(1, len(history)) for value in own]
        out["familiar"].append(sum(shares) / max(1, len(own)))
        out["co_played"].append(float(np.log1p(sum(pair.get((item, past), 0) for past in history))))
        out["lead"].append(score - max(scores))
        out["place"].append(float(np.log2(2 + place)))
    return out


@given(st.permutations(range(6)), st.integers(1, 6), st.lists(st.integers(0, 5), max_size=8))
@settings(max_examples=60, deadline=None)
def test_features_equal_the_loop(order: list[int], n: int, history: list[int]) -> None:
    items, scores = order[:n], sorted(np.linspace(-4, -1, n).tolist(), reverse=True)
    facts = known()
    columns = features(facts, Person(tuple(history), 2, 1, 10), items, scores)
    assert tuple(columns) == facts.names and all(len(column) == n for column in columns.values())
    for name, expected in slowly(items, scores, history).items():
        np.testing.assert_allclose(columns[name], expected, atol=1e-12)
    common = (2 + 10 * 0.1) / (6 + 10)
    assert columns["user_likes"][0] == pytest.approx((2 + 10 * common) / 20)
    red = columns.get("is c=red")
    assert red is None or red.tolist() == ["c=red" in ATTRIBUTES[item] for item in items]


def test_a_history_is_seen_from_before_each_event() -> None:
    facts, history = known(), [0, 1, 5, 2]
    columns = history_features(facts, Person(tuple(history), 1, 0, 4))
    for place, item in enumerate(history):
        alone = features(facts, Person(tuple(history[:place]), 1, 0, 4), [item], [0.0])
        assert {name: column[place] for name, column in columns.items()} == {
            name: alone[name][0] for name in columns
        }
    assert "score" not in columns and not history_features(facts, Person())["popularity"].size


def test_a_matrix_follows_the_proxys_order_and_refuses_what_it_does_not_know() -> None:
    columns = features(known(), Person((0,)), [1, 2], [-1.0, -2.0])
    x = matrix(columns, ("place", "is gone=1", "score"), 2)
    assert x[:, 2].tolist() == [-1.0, -2.0] and x[:, 1].tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match="feature 'weather' is not known here"):
        matrix(columns, ("weather",), 2)


@given(st.integers(2, 9), st.integers(0, 10_000), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_one_request_is_reranked_as_the_table_says(n: int, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    score, p_pos = np.sort(rng.normal(size=n))[::-1], rng.uniform(0, 0.6, n)
    p_neg = rng.uniform(0, 0.4, n)
    rule = Capped(Constrained() if seed % 2 else Value(), most)
    done = rerank(score, p_pos, p_neg, rule)
    names = [f"i{row}" for row in range(n)]
    table = pa.table(
        {"request_id": ["r"] * n, "item_id": names, "score": score, "p_pos": p_pos, "p_neg": p_neg}
    )
    expected = adjust(table, rule)
    assert (done.after + 1).tolist() == expected["rank_after"].to_pylist()
    assert done.order[done.after].tolist() == list(range(n))
    np.testing.assert_allclose(done.term, expected["adjustment"].to_numpy())
    assert max(abs(done.after - np.arange(n))) <= most


def test_words_say_direction_shares_and_source() -> None:
    up = sentence(2, 0.684, 0.09, 0.4, False, "412 survey answers")
    assert (
        up.startswith("Moved up 2 places: of people asked")
        and "68%" in up
        and "9%" in up
        and up.endswith("412 survey answers.")
    )
    assert sentence(-1, 0.5, 0.2, 0.1, False, "x").startswith("Moved down 1 place as others around it moved:")
    assert sentence(0, 0.5, 0.2, 0.0, False, "x").startswith("Kept its place: of people")
    assert "do not vary" in sentence(0, 0.5, 0.2, 0.0, True, "x")


def test_results_of_a_test_from_its_logs() -> None:
    start, shares = datetime(2026, 1, 5, 20, tzinfo=UTC), {"control": 0.5, "treatment": 0.5}
    arm = dict(zip(["a", "b"], assign(["a", "b"], "e1", shares)["arm"].to_pylist(), strict=True))
    times = pa.timestamp("us", tz="UTC")

    def log(rows: list[dict[str, object]], column: str) -> pa.Table:
        names = ("user_id", column)
        columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in names}
        return pa.table(columns | {"timestamp": pa.array([row["timestamp"] for row in rows], times)})

    def at(hours: float, **more: object) -> dict[str, object]:
        return {"timestamp": start + timedelta(hours=hours), **more}

    exposures = pa.table(
        {
            "experiment": ["e1"] * 2,
            "unit": ["a", "b"],
            "arm": [arm["a"], arm["b"]],
            "timestamp": pa.array([start] * 2, times),
        }
    )
    acts = [
        at(-9, user_id="a", kind="like"),
        at(1, user_id="a", kind="play"),
        at(5, user_id="a", kind="like"),
        at(30, user_id="b", kind="not_interested"),
        at(24 * 20, user_id="b", kind="like"),
    ]
    shown = [
        at(0, user_id="a", request_id="r1"),
        at(0, user_id="b", request_id="r2"),
        at(30, user_id="b", request_id="r3"),
    ]
    by_user = {
        row["user_id"]: row
        for row in unit_table(
            exposures, log(acts, "kind"), log(shown, "request_id"), "e1", shares
        ).to_pylist()
    }
    counts = {
        name: [by_user[user][name] for user in ("a", "b")]
        for name in by_user["a"]
        if name not in ("user_id", "arm", "exposed_at")
    }
    assert counts == {
        "lists": [1, 2],
        "plays": [1, 0],
        "likes": [1, 0],
        "skips": [0, 1],
        "returned": [0, 1],  # five hours later, after midnight, is no return
        "days_active": [0, 1],
        "before": [1, 0],
    }
    late = exposures.set_column(3, "timestamp", pa.array([start, start + timedelta(days=19)], times))
    late_units = unit_table(late, log(acts, "kind"), log(shown, "request_id"), "e1", shares)
    assert (
        late_units["user_id"].to_pylist() == ["a"] and cut_of(late_units) == 1
    )  # the log holds one day of b's fourteen
    short = [
        table.filter(pc.less(table["timestamp"], start + timedelta(hours=40)))
        for table in (log(acts, "kind"), log(shown, "request_id"))
    ]
    with pytest.raises(InputError, match=r"nobody's 14 days are in the log in full.*export later"):
        unit_table(exposures, *short, "e1", shares)
    with pytest.raises(InputError, match="nobody was exposed"):
        unit_table(exposures.slice(0, 0), log(acts, "kind"), log(shown, "request_id"), "e1", shares)
