"""Rules: goldens, brute-force orders, and the promises that hold whatever the scores are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recipes.retention.trial import grid_ranks

from tastemaker.errors import InputError
from tastemaker.retention.adjust.apply import adjust, read_requests
from tastemaker.retention.adjust.effects import ablations, compare, gini, rank_effects, tune_weight
from tastemaker.retention.adjust.rules import Capped, Constrained, Hinge, Step, Value, ablation

RULES = (
    Step(),
    Hinge(),
    Value(),
    Constrained(0.1),
    Capped(Step(2.0, 3.0), 1),
    Capped(Value(), 2),
)


def scored(seed: int, sizes: list[int], coarse: bool = False) -> pa.Table:
    """Random candidates; `coarse` scores and probabilities have many ties."""
    rng = np.random.default_rng(seed)
    rows = []
    for request, size in enumerate(sizes):
        for item in rng.permutation(size + 3)[:size]:
            score, p = rng.normal(), rng.beta(2, 1.5)
            if coarse:
                score, p = round(score), round(p * 5) / 5
            tags = [f"t{number}" for number in rng.permutation(5)[: rng.integers(0, 4)]]
            rows.append(
                {
                    "request_id": f"r{request}",
                    "item_id": f"i{item:02d}",
                    "score": float(score),
                    "p_pos": p,
                    "p_neg": (1 - p) * 0.7,
                    "attributes": tags,
                    "user_id": f"u{request // 2}",
                    "creator": f"c{item % 4}",
                }
            )
    return pa.Table.from_pylist(rows)


CASES = st.tuples(st.integers(0, 10**6), st.lists(st.integers(1, 8), min_size=1, max_size=4), st.booleans())


def test_the_step_adds_what_was_published() -> None:
    p = np.array([0.77, 0.76, 0.5, 0.38, 0.18])
    assert Step(1.0, 2.0).term(p, 1 - p) == pytest.approx([1, 0, 0, 0, -0.4])
    assert Hinge(2.0, 1.0, 0.7, 0.4).term(p, 1 - p) == pytest.approx([0.14, 0.12, 0, -0.02, -0.22])
    assert Value(2.0, 0.5).term(p, 1 - p) == pytest.approx(2 * (p - 0.5 * (1 - p)))


def test_every_row_says_by_how_much_and_why() -> None:
    table = pa.table(
        {
            "request_id": ["r"] * 4 + ["flat"] * 3,
            "item_id": ["a", "b", "c", "d", "x", "z", "y"],
            "score": [4.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0],
            "p_pos": [0.5, 0.1, 0.9, 0.5, 0.1, 0.9, 0.9],
        }
    )
    columns = adjust(table, Step(1.0, 2.0)).to_pydict()
    assert columns["rank_before"] == [1, 2, 3, 4, 1, 3, 2]
    assert columns["rank_after"] == [1, 3, 2, 4, 1, 3, 2]
    mad = 1.4826
    assert columns["adjusted_score"][:4] == pytest.approx(
        [1.5 / mad, 0.5 / mad - 0.56, -0.5 / mad + 1, -1.5 / mad]
    )
    assert columns["adjustment"] == pytest.approx([0, -0.56, 1, 0, 0, 0, 0])
    assert columns["reason"][:4] == [
        "unchanged",
        "lowered: unlikely to bring the person back",
        "raised: likely to bring the person back",
        "unchanged",
    ]
    assert set(columns["reason"][4:]) == {"left alone: the scores of this request do not vary"}


@given(CASES, st.sampled_from(RULES))
@settings(max_examples=120, deadline=None)
def test_permuted_rows_give_the_same_ranks(case: tuple[int, list[int], bool], rule: object) -> None:
    table = scored(*case)
    shuffled = table.take(np.random.default_rng(case[0]).permutation(table.num_rows))
    first, two = (adjust(t, rule) for t in (table, shuffled))  # type: ignore[arg-type]
    keys = [("request_id", "ascending"), ("item_id", "ascending")]
    assert (
        first.sort_by(keys)
        .select(["rank_after", "adjusted_score", "reason"])
        .equals(two.sort_by(keys).select(["rank_after", "adjusted_score", "reason"]))
    )
    by_request = first.to_pylist()
    for request in {row["request_id"] for row in by_request}:
        rows = [row for row in by_request if row["request_id"] == request]
        assert sorted(row["rank_after"] for row in rows) == list(range(1, len(rows) + 1))
        base = sorted(rows, key=lambda row: (-row["score"], row["item_id"]))
        assert [row["rank_before"] for row in base] == list(range(1, len(rows) + 1))


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_equal_scores_and_probabilities_follow_item_id(case: tuple[int, list[int], bool]) -> None:
    for rule in (Step(), Hinge(), Value(), Constrained(0.2)):
        rows = adjust(scored(case[0], case[1], True), rule).to_pylist()
        for a, b in itertools.combinations(rows, 2):
            if a["request_id"] == b["request_id"] and a["score"] == b["score"] and a["p_pos"] == b["p_pos"]:
                assert (a["item_id"] < b["item_id"]) == (a["rank_after"] < b["rank_after"])


@given(CASES, st.integers(0, 8), st.sampled_from([Step(3.0, 3.0), Value(5.0), Constrained(1.0)]))
@settings(max_examples=120, deadline=None)
def test_capped_items_stay_near_their_place(
    case: tuple[int, list[int], bool], most: int, rule: object
) -> None:
    table = scored(*case)
    capped = adjust(table, Capped(rule, most))  # type: ignore[arg-type]
    before, after = (np.array(capped[name].to_pylist()) for name in ("rank_before", "rank_after"))
    assert np.abs(before - after).max() <= most
    free = np.array(adjust(table, rule)["rank_after"].to_pylist())  # type: ignore[arg-type]
    if np.abs(before - free).max() <= most:
        assert np.array_equal(after, free)


def test_capping_is_the_greedy_choice_by_brute_force() -> None:
    """Among all orders within the cap, the one whose list of wanted ranks is smallest, position by
    position.
    """
    for seed in range(40):
        table = scored(seed, [6])
        wanted = {row["rank_before"]: row["rank_after"] for row in adjust(table, Value(5.0)).to_pylist()}
        for most in (1, 2, 3):
            feasible = (
                order
                for order in itertools.permutations(range(1, 7))
                if all(abs(rank - place) <= most for place, rank in enumerate(order, start=1))
            )
            best = min(feasible, key=lambda order: [wanted[rank] for rank in order])
            rows = sorted(
                adjust(table, Capped(Value(5.0), most)).to_pylist(), key=lambda row: row["rank_after"]
            )
            assert tuple(row["rank_before"] for row in rows) == best


@given(st.integers(0, 10**6), st.integers(2, 7), st.floats(0, 1), st.booleans())
@example(53107, 6, 1.0, False)
@settings(max_examples=80, deadline=None)
def test_constrained_keeps_eps_and_is_the_brute_force_over_orders(
    seed: int, size: int, eps: float, coarse: bool
) -> None:
    eps = round(eps, 6)  # nearer to 1 than rounding errors are, both orders are right
    table = scored(seed, [size, 3], coarse)
    rule = Constrained(eps, 8.0)
    after = adjust(table, rule)
    requests = read_requests(table)
    new = np.array(after["rank_after"].to_pylist())[requests.rows]
    value = rule.retention(requests.p_pos, requests.p_neg)
    for number in range(2):
        part = slice(requests.offsets[number], requests.offsets[number + 1])
        z, v = requests.z[part], value[part]
        e = 1 / np.log2(1 + np.arange(1, len(z) + 1))
        best, worst = e @ z, e @ z[::-1]
        reached = e @ z[np.argsort(new[part])]
        assert reached >= best - eps * (best - worst) - 1e-9
        if requests.flat[number]:
            continue
        crossings = [
            (z[i] - z[j]) / (v[j] - v[i]) for i, j in itertools.combinations(range(len(z)), 2) if v[i] != v[j]
        ]
        edges = sorted({0.0, 8.0, *(mu for mu in crossings if 0 < mu < 8)})
        orders = [
            np.lexsort((np.arange(len(z)), -(z + mu * v)))
            for mu in [*map(np.mean, itertools.pairwise(edges)), 8.0]
        ]
        fits = [
            order
            for order in [np.arange(len(z)), *orders]
            if e @ z[order] >= best - eps * (best - worst) - 1e-12
        ]
        gain = e @ v[np.argsort(new[part])]
        assert gain == pytest.approx(e @ v[fits[-1]], abs=1e-6) or min(np.diff(edges)) < 1e-6


@given(CASES, st.floats(1e-6, 0.05), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_hinge_and_value_are_lipschitz_in_p(
    case: tuple[int, list[int], bool], change: float, at: int
) -> None:
    table = scored(*case)
    row = at % table.num_rows
    p = np.array(table["p_pos"].to_pylist())
    p[row] = max(0.0, p[row] - change)
    moved = table.set_column(table.column_names.index("p_pos"), "p_pos", pa.array(p))
    for rule, slope in ((Hinge(3.0, 5.0), 5.0), (Value(2.0, 0.5), 2.0)):
        first, two = (np.array(adjust(t, rule)["adjusted_score"].to_pylist()) for t in (table, moved))
        assert np.abs(first - two).max() <= slope * change + 1e-12


@pytest.mark.parametrize("rule", [Step(), Hinge(), Value(), Constrained(0.1), Capped(Value(4.0), 2)])
def test_arrays_and_tables_are_ranked_alike(rule: Capped) -> None:
    rng = np.random.default_rng(0)
    score, p = rng.normal(size=(9, 6)), rng.random((9, 6))
    names = {
        "request_id": [f"r{i}" for i in range(9) for _ in range(6)],
        "item_id": [f"i{i}" for _ in range(9) for i in range(6)],
    }
    table = adjust(
        pa.table({**names, "score": score.ravel(), "p_pos": p.ravel(), "p_neg": (1 - p.ravel()) / 2}), rule
    )
    assert grid_ranks(score, p, (1 - p) / 2, rule).ravel().tolist() == table["rank_after"].to_pylist()


def test_effects_by_hand() -> None:
    table = pa.table(
        {
            "request_id": ["r"] * 4,
            "item_id": ["a", "b", "c", "d"],
            "score": [4.0, 3.0, 2.0, 1.0],
            "p_pos": [0.2, 0.2, 0.9, 0.2],
            "creator": ["x", "x", "y", "y"],
            "attributes": [["p"], ["p"], ["q"], []],
        }
    )
    after = adjust(table, Step(2.0, 0.0))
    assert after["rank_after"].to_pylist() == [2, 3, 1, 4]
    effects = rank_effects(table, after, k=2)
    assert effects.changed.value == 1 and effects.overlap.value == 0.5 and effects.displacement == 2
    assert effects.tau.value == pytest.approx(1 - 2 * 2 / 6)
    first, second = 1.0, 1 / math.log2(3)
    assert effects.proxy_gain.value == pytest.approx((0.9 * first + 0.2 * second) / (first + second) - 0.2)
    assert effects.distance_before == 0 and effects.distance_after == 1
    x = effects.exposure["creator"]
    assert {name: (a, b) for name, a, b in x.moves}["x"] == pytest.approx((1.0, second / (first + second)))
    e = 1 / np.log2(1 + np.arange(1, 5))
    z = np.array([4.0, 3.0, 2.0, 1.0])
    loss = (e @ z - e @ z[[2, 0, 1, 3]]) / (e @ z - e @ z[::-1])
    assert effects.engagement_loss.value == pytest.approx(loss)
    assert gini([1, 1, 1]) == pytest.approx(0) and gini([0, 0, 1]) == pytest.approx(2 / 3)
    assert rank_effects(table, adjust(table, Step(0.0, 0.0)), k=2).changed.value == 0


def test_kendall_agrees_with_scipy() -> None:
    from scipy.stats import kendalltau

    table = scored(11, [6, 9, 9, 1])
    rows = adjust(table, Value(4.0)).to_pylist()
    taus = []
    for request in sorted({row["request_id"] for row in rows}):
        pair = [(row["rank_before"], row["rank_after"]) for row in rows if row["request_id"] == request]
        taus.append(kendalltau(*zip(*pair, strict=True)).statistic if len(pair) > 1 else 1.0)
    assert rank_effects(table, adjust(table, Value(4.0)), 3).tau.value == pytest.approx(np.mean(taus))


def test_ablations_and_tuning() -> None:
    table = scored(5, [12] * 60)
    halves = ablations(table, Step(1.0, 2.0), k=5)
    assert list(halves) == ["both", "boost only", "demote only"]
    assert (
        halves["both"].proxy_gain.value
        >= max(halves[name].proxy_gain.value for name in ("boost only", "demote only")) - 0.02
    )
    assert ablation(Capped(Value(2.0), 3), "boost") == Capped(Value(2.0, part="boost"), 3)
    losses = [compare(table, {"v": Value(w)}, 5)["v"].engagement_loss.value for w in (0.0, 0.5, 1.0, 2.0)]
    assert losses[0] == 0 and losses == sorted(losses)
    rule, loss = tune_weight(table, cap=0.05)
    assert 0.049 < loss <= 0.05 and rule.weight > 0
    again = compare(table, {"v": rule}, 12)["v"]
    assert again.engagement_loss.value == pytest.approx(loss)
    heavier = compare(table, {"v": Value(rule.weight * 1.02)}, 12)["v"]
    assert heavier.engagement_loss.value > 0.05
    assert tune_weight(table, cap=1.0)[0].weight == 10.0


def test_unusable_candidates_name_row_and_column() -> None:
    good = {"request_id": ["r", "r"], "item_id": ["a", "b"], "score": [1.0, 2.0], "p_pos": [0.5, 0.6]}
    for name, values, message in (
        ("score", [1.0, math.inf], "row 2, column 'score' is 'inf'"),
        ("score", [None, 1.0], "row 1, column 'score' is empty"),
        ("p_pos", [0.5, 1.2], "row 2, column 'p_pos' is '1.2'"),
        ("item_id", ["a", "a"], "item 'a' comes twice in request 'r'"),
        ("item_id", ["a", None], "row 2, column 'item_id' is empty"),
        ("p_neg", [0.1, 0.9], "row 2: p_pos and p_neg add to more than 1"),
    ):
        with pytest.raises(InputError, match=message):
            adjust(pa.table({**good, name: values}), Step())
    with pytest.raises(InputError, match="column 'p_pos' is missing"):
        adjust(pa.table(good).drop_columns(["p_pos"]), Step())
    with pytest.raises(InputError, match="no rows"):
        adjust(pa.table(good).slice(0, 0), Step())
    table = pa.table(good)
    with pytest.raises(InputError, match="adjusters never filter"):
        rank_effects(table, adjust(table, Step()).slice(0, 1))
    for column in ("creator", "cohort"):
        twice = table.append_column(column, pa.array(["DE", "de"]))
        with pytest.raises(InputError, match=f"'{column}' holds 'DE' and 'de', two spellings"):
            rank_effects(twice, adjust(twice, Step()))
    for rule in (
        lambda: Step(-1.0),
        lambda: Step(tau_boost=0.2),
        lambda: Constrained(2.0),
        lambda: Capped(Step(), -1),
    ):
        with pytest.raises(InputError):
            rule()
