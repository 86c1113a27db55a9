"""Wishes into words and back: every phrase is read as what it says, whatever comes around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.converse.constraints import Change, Clause, Constraint, merge
from tastemaker.converse.goals.draw import clause_about
from tastemaker.converse.language.parse import Mention, Utterance, read
from tastemaker.converse.language.phrases import listed, phrase, sentence

if TYPE_CHECKING:
    from tests.converse.conftest import Small


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_said_is_what_is_read(small: Small, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [name for name, field in small.catalogue.fields.items()]
    constraints = []
    for place in rng.permutation(len(names))[: int(rng.integers(1, 6))]:
        clause = clause_about(
            small.catalogue, names[int(place)], int(rng.integers(len(small.catalogue))), rng
        )
        if clause is not None:
            kind = "must_not" if clause.cmp == "eq" and rng.random() < 0.3 else "must"
            constraints.append(Constraint(kind, clause))
    granted = [
        phrase(constraint, small.lexicon, rng, {}) for constraint in constraints if constraint.kind == "must"
    ]
    refused = [
        phrase(constraint, small.lexicon, rng, {})
        for constraint in constraints
        if constraint.kind == "must_not"
    ]
    text = f"I am looking for something {listed(granted, refused)}."
    found = read([Utterance(text)], small.lexicon)
    assert {(one.kind, one.clause) for one in found} == {(one.kind, one.clause) for one in constraints}, text


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_changes_turn_by_turn_are_read_as_they_merge(small: Small, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names, standing, said = list(small.catalogue.fields), (), []
    for _ in range(5):
        name = names[int(rng.integers(len(names)))]
        clause = clause_about(small.catalogue, name, int(rng.integers(len(small.catalogue))), rng)
        taken = {constraint.clause.field for constraint in standing}
        if clause is None:
            continue
        change = Change("replace" if name in taken else "add", "must", clause)
        if name in taken and rng.random() < 0.4:
            change = Change("drop", "must", Clause(name, "eq", ""))
        standing = merge(standing, [change])
        said.append(Utterance(sentence(change, small.lexicon, rng, {})))
        assert {one.clause for one in read(said, small.lexicon)} == {one.clause for one in standing}, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anything but a jig, please", ("must_not", "tune_type", "jig")),
        ("I'd like a lively jig in the key of D", ("must", "tune_type", "jig")),
        ("something in D major", ("must", "key", "D")),
        ("ideally in the key of G", ("prefer", "key", "G")),
        ("no more than 100 beats a minute", ("must", "tempo_bpm", 100.0)),
        ("at least 120 bpm, not a reel", ("must_not", "tune_type", "reel")),
        ("not at a slow pace but in a minor mode", ("must", "mode", "minor")),
        ("reels or jigs would do", ("must", "tune_type", ("reel", "jig"))),
    ],
)
def test_people_say_it_in_other_words(small: Small, text: str, expected: tuple[str, str, object]) -> None:
    found = read([Utterance(text)], small.lexicon)
    assert expected in [(one.kind, one.clause.field, one.clause.value) for one in found]


def test_a_played_title_is_no_wish_and_can_be_referred_to(small: Small) -> None:
    played = (Mention("T3", "item-3", ("The Slow Reel of Amber",)), Mention("T9", "item-9", ("Kitty's Jig",)))
    found = read(
        [Utterance("“The Slow Reel of Amber” was fine. Now the same key as that last one.", played)],
        small.lexicon,
    )
    assert [(one.clause.cmp, one.clause.value, one.reference) for one in found] == [
        ("same_group", "item-9", "T9")
    ]
    found = read(
        [Utterance("Please, something with the same mode as “The Slow Reel of Amber”.", played)],
        small.lexicon,
    )
    assert [(one.clause.field, one.clause.value) for one in found] == [("mode", "item-3")]
