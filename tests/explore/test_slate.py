from datetime import UTC, datetime

from tastemaker.explore import greedy_slate
from tastemaker.schema import SLATES


def test_a_greedy_slate_carries_certain_propensities() -> None:
    slate = greedy_slate("r1", "u1", ["b", "a"], datetime(2026, 1, 1, tzinfo=UTC))
    assert slate.schema == SLATES
    assert slate["position"].to_pylist() == [0, 1]
    assert slate["item_id"].to_pylist() == ["b", "a"]
    assert slate["propensity"].to_pylist() == [1.0, 1.0]


def test_an_empty_slate_has_the_schema_too() -> None:
    assert greedy_slate("r1", "u1", [], datetime(2026, 1, 1, tzinfo=UTC)).schema == SLATES
