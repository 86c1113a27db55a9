"""What listeners say: read back as it was meant, in words that differ, by readers that share no pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tastemaker.converse.constraints import Change, Clause, Constraint
from tastemaker.converse.goals.draw import clause_about
from tastemaker.converse.language.lexicon import phrase
from tastemaker.converse.language.readers import Mention, Readers, Utterance, evident
from tastemaker.converse.language.speech import grammar, say
from tastemaker.converse.quality import openings, pursuit, self_bleu, speech, tokens

if TYPE_CHECKING:
    from tests.converse.conftest import Small

    from tastemaker.converse.record import Conversation


def test_every_rule_of_the_grammar_draws_out_to_plain_words() -> None:
    slots = {"x": "in D", "noun": "key", "title": "The Hare", "has": "key", "lack": "mode"} | {
        "praise": "good",
        "ways": "none",
        "it": "something",
    }
    for name in grammar():
        for seed in range(40):
            text = say(name, np.random.default_rng(seed), {}, slots)
            assert not set("[]{}<>|") & set(text), (name, text)


def test_every_phrase_is_evident_and_its_opposite_is_not(small: Small) -> None:
    rng = np.random.default_rng(0)
    for name in small.catalogue.fields:
        clause = clause_about(small.catalogue, name, 3, rng)
        if clause is None:
            continue
        utterance = Utterance(
            f"I would like something {phrase(Constraint('must', clause), small.lexicon, rng, {})}."
        )
        assert evident(Change("add", "must", clause), utterance, small.lexicon), utterance
        if clause.cmp == "eq":
            assert not evident(Change("add", "must_not", clause), utterance, small.lexicon), utterance
            other = next(v for v in small.catalogue.fields[name].values if v != clause.value)
            assert not evident(Change("add", "must", Clause(name, "eq", other)), utterance, small.lexicon)


def _wish(field: str, value: object, cmp: str = "eq", kind: str = "must", op: str = "add") -> Change:
    return Change(op, kind, Clause(field, cmp, value))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("I'd love something in D, please.", [_wish("key", "D")]),
        ("Something fast-paced, please.", [_wish("speed", "fast")]),
        ("No faster than 132 bpm.", [_wish("tempo_bpm", 132.0, "le")]),
        ("around 72 to 96 bpm would be fine", [_wish("tempo_bpm", (72.0, 96.0), "between")]),
        ("Anything but a jig.", [_wish("tune_type", "jig", kind="must_not")]),
        ("Don't worry about the key any more.", [_wish("key", "", op="drop")]),
        ("Now something in G instead.", [_wish("key", "G", op="replace")]),
        ("My fiddle begs for a reel tonight.", [_wish("tune_type", "reel")]),
        ("I mean key D; tempo 72 to 96.", [_wish("key", "D"), _wish("tempo_bpm", (72.0, 96.0), "between")]),
    ],
)
def test_natural_words_are_accepted(small: Small, text: str, meant: list[Change]) -> None:
    before = (Constraint("must", Clause("key", "eq", "A")),) if meant[0].op in ("drop", "replace") else ()
    assert Readers(small.lexicon).misread(Utterance(text), meant, before) == ([], [])


@pytest.mark.parametrize(
    ("text", "meant", "missing", "extra"),
    [
        ("Something nice for the evening.", [_wish("key", "D")], 1, 0),
        ("Not in the key of D, please.", [_wish("key", "D")], 1, 1),
        ("In the key of D, and a jig.", [_wish("key", "D")], 0, 1),
        ("Any key will do.", [], 0, 1),
        ("No more than 90 bpm.", [_wish("tempo_bpm", 132.0, "le")], 1, 0),
    ],
)
def test_what_was_not_meant_is_noticed(
    small: Small, text: str, meant: list[Change], missing: int, extra: int
) -> None:
    before = (Constraint("must", Clause("key", "eq", "A")),) if not meant else ()
    misread = Readers(small.lexicon).misread(Utterance(text), meant, before)
    assert (len(misread[0]), len(misread[1])) == (missing, extra), misread


def test_a_played_title_is_no_wish(small: Small) -> None:
    played = (Mention("T3", "item-3", ("The Slow Reel of Amber",)),)
    utterance = Utterance("“The Slow Reel of Amber” was fine. In the key of D, please.", played)
    assert Readers(small.lexicon).misread(utterance, [_wish("key", "D")], ()) == ([], [])


def test_goals_are_pursued(small: Small, played: list[Conversation]) -> None:
    figures = pursuit(played, small.catalogue, small.match)
    assert figures is not None
    assert figures.gap >= 0.6
    assert figures.afresh < 0.05
    late = np.mean([figures.inside[turn] for turn in (6, 7, 8)])
    assert late > figures.inside[1] + 0.15
    assert "difference" in figures.text


def test_listeners_do_not_repeat_themselves(small: Small, played: list[Conversation]) -> None:
    figures = speech([turn.message for talk in played for turn in talk.turns], small.catalogue)
    assert figures.distinct[1] > 0.35
    assert figures.repeats < 0.02
    assert figures.words > 300
    assert openings(played) >= 12


def test_self_bleu_is_one_for_copies_and_small_for_strangers() -> None:
    same = [tokens("one two three four five six")] * 4
    assert self_bleu(same) == pytest.approx(1.0)
    assert self_bleu([tokens("a b c d e f"), tokens("g h i j k l"), tokens("m n o p q r")]) < 0.01
