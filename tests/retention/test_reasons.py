import math

from tastemaker.retention.reasons import Reason, rarity_of, reasons

ATTRIBUTES = {
    "new": frozenset({"type=reel", "mode=dorian", "book=ryan"}),
    "old_reel": frozenset({"type=reel", "book=ryan"}),
    "old_dorian": frozenset({"mode=dorian"}),
    "stranger": frozenset({"type=waltz"}),
}
RARITY = {"type=reel": 1.0, "mode=dorian": 3.0, "book=ryan": 0.5, "type=waltz": 2.0}


def test_the_rarest_shared_attribute_and_the_most_co_played_item_are_named() -> None:
    counts = {("new", "old_reel"): 6, ("new", "stranger"): 9}
    explanations = reasons(
        "new", ["stranger", "old_reel", "old_dorian"], ATTRIBUTES, lambda a, b: counts.get((a, b), 0), RARITY
    )
    assert explanations == [
        Reason("co_played", "stranger", count=9),
        Reason("shared_attributes", "old_dorian", ("mode=dorian",)),
    ]


def test_without_evidence_nothing_is_said() -> None:
    assert reasons("new", ["stranger"], ATTRIBUTES, lambda a, b: 0, RARITY) == []
    # What few people did is told to nobody.
    assert reasons("new", ["stranger"], ATTRIBUTES, lambda a, b: 4, RARITY) == []
    assert reasons("new", ["stranger"], ATTRIBUTES, lambda a, b: 5, RARITY)[0].count == 5
    assert reasons("new", ["new"], ATTRIBUTES, lambda a, b: 5, RARITY) == []


def test_equal_evidence_names_the_more_recent_item() -> None:
    twins = ATTRIBUTES | {"older": frozenset({"mode=dorian"})}
    assert (
        reasons("new", ["older", "old_dorian"], twins, lambda a, b: 0, RARITY)[0].because_of == "old_dorian"
    )


def test_rarity_is_the_inverse_document_frequency() -> None:
    rarity = rarity_of([["a", "a", "b"], ["a"], ["a", "c"], ["a"]])
    assert rarity["a"] == 0
    assert rarity["b"] == rarity["c"] == math.log(4)
