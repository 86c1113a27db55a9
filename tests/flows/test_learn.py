"""From stored conversations to what a model learns: no thought, label, goal or constraint, and labels that
can be swapped.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from recipes.converse.turns.dialogues import as_dialogue, relabelled
from recipes.converse.turns.rankers import words_of
from recipes.converse.turns.sequences import Dialogue, Exchange
from recipes.converse.turns.settings import LearnSettings

from tastemaker.converse.record import (
    MOVES,
    STAYS,
    Attachment,
    Conversation,
    Goal,
    Profile,
    Progress,
    ToolCall,
    Turn,
)
from tastemaker.errors import InputError

SECRET = "SECRET"


def turn(number: int, item: str | None) -> Turn:
    return Turn(
        turn=number,
        message=f"ask {number}",
        delta=(),
        media=(Attachment("image", "ab"),),
        handle=f"T{number}",
        item_id=item,
        nothing_fits=item is None,
        relaxations=((SECRET, 3),),
        candidates=(),
        candidates_hash=SECRET,
        n_fit=2,
        reply=f"answer {number}",
        listener_thought=SECRET,
        recommender_thought=SECRET,
        tool=ToolCall(SECRET, (), (), 0),
    )


TALK = Conversation(
    "c1",
    "U1",
    Profile(age_group="20s"),
    Goal("A", "LL", SECRET, SECRET, 5),
    (turn(1, "a"), turn(2, "b"), turn(3, None)),
    (Progress(1, MOVES), Progress(2, STAYS)),
    (),
    "h",
)


def test_a_dialogue_holds_words_items_and_nothing_secret() -> None:
    dialogue = as_dialogue(TALK, {"a": 4, "b": 5}, lambda kind, sha: 7 if sha == "ab" else None)
    assert SECRET not in repr(dialogue)
    assert [exchange.item for exchange in dialogue.exchanges] == [4, 5, None]
    assert [exchange.accepted for exchange in dialogue.exchanges] == [True, False, False]
    assert dialogue.exchanges[0].media == (7,) and dialogue.profile == "age_group: 20s" and dialogue.seed == 5


def test_words_before_an_answer_hold_neither_it_nor_what_follows() -> None:
    dialogue = as_dialogue(TALK, {"a": 4, "b": 5}, lambda kind, sha: None)
    words = words_of(dialogue, 2)
    assert words.whole == "ask 2 answer 1 ask 1" and words.last == "ask 2"


def test_shuffled_labels_keep_their_number() -> None:
    talks = tuple(
        Dialogue(f"U{n}", n, "", tuple(Exchange("m", (), row, row % 3 == 0, "r") for row in range(6)))
        for n in range(10)
    )
    counts = {
        name: sum(e.accepted for talk in relabelled(talks, name, 0) for e in talk.exchanges)
        for name in ("checked", "raw", "shuffled")
    }
    assert counts == {"checked": 20, "raw": 60, "shuffled": 20}
    assert relabelled(talks, "shuffled", 0) != list(talks)
    silent = replace(talks[0], exchanges=(Exchange("m", (), None, False, "r"),))
    assert relabelled((silent,), "raw", 0) == [silent]


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match="labels 'best'"):
        LearnSettings(labels="best")
    with pytest.raises(InputError, match=r"at least \.1"):
        LearnSettings(behaviour=0.8, metadata=0.2)
