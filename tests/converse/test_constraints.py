"""Executable requests: goldens of the specification, merging, three-valued matching against a slow oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes.converse.turns.scores import ceiling, fit_ndcg

from tastemaker.converse.constraints import (
    Change,
    Clause,
    Constraint,
    adhere,
    feasible,
    fit_set,
    merge,
    relaxations,
)
from tastemaker.errors import InputError
from tastemaker.retrieve.facts import Matcher

COLOURS, SIZES = ("red", "blue", None), (1.0, 2.0, None)
IDS = tuple(f"i{row}" for row in range(9))
COLUMNS = {
    "colour": tuple(COLOURS[row % 3] for row in range(9)),
    "size": tuple(SIZES[row // 3] for row in range(9)),
    "tags": tuple(("a", "b")[: row % 3] or None for row in range(9)),
}
MATCH = Matcher(IDS, COLUMNS, lambda field, row: None if row == 8 else np.arange(9) <= row)


def test_ceilings_are_those_of_the_specification() -> None:
    assert [round(ceiling(n), 4) for n in (1, 2, 5, 10, 20, 50, 100)] == [
        1,
        0.8155,
        0.5897,
        0.4544,
        0.3520,
        0.1408,
        0.0704,
    ]
    assert ceiling(0) == 0.0
    with pytest.raises(InputError, match="k >= 1"):
        ceiling(3, 0)


def test_the_ceiling_is_what_a_perfect_ranking_of_the_fits_reaches_on_average() -> None:
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, 31, size=200_000)
    gains = np.where(ranks <= 20, 1 / np.log2(1 + ranks), 0.0)
    assert gains.mean() == pytest.approx(ceiling(30), abs=4 * gains.std() / np.sqrt(len(gains)))


def test_fit_ndcg_takes_every_fit_as_relevant() -> None:
    assert fit_ndcg([1, 2, 3], {1, 2, 3}) == 1.0
    assert fit_ndcg([9, 1], {1, 2}) == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert fit_ndcg([1], set()) == 0.0


def test_merge_adds_replaces_and_drops() -> None:
    red, blue = Clause("colour", "eq", "red"), Clause("colour", "eq", "blue")
    big = Clause("size", "ge", 2.0)
    first = merge((), [Change("add", "must", red), Change("add", "prefer", big), Change("add", "must", red)])
    assert [constraint.clause for constraint in first] == [red, big]
    assert [constraint.clause for constraint in merge(first, [Change("replace", "must", blue)])] == [
        big,
        blue,
    ]
    assert [
        constraint.clause for constraint in merge(first, [Change("drop", "must", Clause("colour", "eq", ""))])
    ] == [big]


def test_unknown_grants_nothing_and_is_counted_apart() -> None:
    red = Constraint("must", Clause("colour", "eq", "red"))
    not_red = Constraint("must_not", Clause("colour", "eq", "red"))
    wanted, refused = adhere([red], MATCH, 9), adhere([not_red], MATCH, 9)
    assert np.flatnonzero(wanted.holds).tolist() == [0, 3, 6]
    assert np.flatnonzero(refused.holds).tolist() == [1, 4, 7]
    assert np.flatnonzero(wanted.unknown).tolist() == np.flatnonzero(refused.unknown).tolist() == [2, 5, 8]
    assert adhere([Constraint("prefer", Clause("colour", "eq", "red"))], MATCH, 9).holds.all()


def test_fits_leave_out_played_families_and_relaxations_count_them() -> None:
    constraints = [
        Constraint("must", Clause("colour", "eq", "red")),
        Constraint("must", Clause("size", "ge", 2.0)),
    ]
    families = np.arange(9) // 2
    assert fit_set(adhere(constraints, MATCH, 9).holds, families, ()).tolist() == [3]
    assert fit_set(adhere(constraints, MATCH, 9).holds, families, {1}).tolist() == []
    counts = {constraint.clause.field: n for constraint, n in relaxations(constraints, MATCH, families, {1})}
    assert counts == {"colour": 2, "size": 2}  # without colour rows 4, 5; without size rows 0, 6


def test_letters_ask_for_few_or_many() -> None:
    assert [feasible("HL", n) for n in (19, 20)] == [False, True]
    assert [feasible("LH", n) for n in (0, 1, 3, 4)] == [False, True, True, False]


CLAUSES = st.one_of(
    st.builds(
        Clause, st.just("colour"), st.sampled_from(["eq", "same_group"]), st.sampled_from(["red", "green"])
    ),
    st.builds(lambda v: Clause("colour", "in", v), st.sampled_from([("red", "blue"), ("green",)])),
    st.builds(Clause, st.just("size"), st.sampled_from(["le", "ge"]), st.sampled_from([0.0, 1.0, 1.5, 3.0])),
    st.builds(lambda low: Clause("size", "between", (low, low + 1)), st.sampled_from([0.0, 1.0])),
    st.builds(Clause, st.just("tags"), st.just("contains"), st.sampled_from(["a", "b", "c"])),
    st.builds(Clause, st.just("text"), st.just("similar_to"), st.sampled_from(["i0", "i4", "i8"])),
).map(lambda c: Clause(c.field, c.cmp, "i1") if c.cmp == "same_group" else c)


def slow(clause: Clause, row: int) -> int:
    """One item, one clause, by the definition."""
    if clause.cmp == "similar_to":
        other = IDS.index(str(clause.value))
        return -1 if other == 8 else int(row <= other)
    value = COLUMNS[clause.field][row]
    wanted = (
        COLUMNS[clause.field][IDS.index(str(clause.value))] if clause.cmp == "same_group" else clause.value
    )
    if value is None or wanted is None:
        return -1
    if clause.cmp in ("le", "ge", "between"):
        low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        return int((clause.cmp == "le" or value >= low) and (clause.cmp == "ge" or value <= high))
    if clause.cmp == "contains":
        return int(wanted in value)
    return int(value in (wanted if isinstance(wanted, tuple) else (wanted,)))


@settings(max_examples=80, deadline=None)
@given(st.lists(CLAUSES, max_size=4))
def test_matching_is_kleenes_and(clauses: list[Clause]) -> None:
    for row, truth in enumerate(MATCH(clauses)):
        values = [slow(clause, row) for clause in clauses]
        assert truth == (0 if 0 in values else -1 if -1 in values else 1)


def test_wrong_fields_and_values_are_named() -> None:
    with pytest.raises(InputError, match=r"field 'shape' is not known; the catalogue has colour"):
        MATCH([Clause("shape", "eq", "x")])
    with pytest.raises(InputError, match="holds words"):
        MATCH([Clause("colour", "ge", 1.0)])
    with pytest.raises(InputError, match="item 'i99' is not in the catalogue"):
        MATCH([Clause("colour", "same_group", "i99")])
    with pytest.raises(InputError, match="needs a number"):
        Clause("size", "ge", "big")
