"""Exports and importers: row order, label shift, official metrics by their definitions, and every refusal."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from recipes.converse.turns.scores import ceiling

from tastemaker.converse.exports import crs, talkplay, training
from tastemaker.converse.record import Conversation
from tastemaker.errors import InputError
from tastemaker.stats.ranking import ndcg_at

if TYPE_CHECKING:
    from tests.converse.conftest import Small


@pytest.fixture(scope="module")
def whole(played: list[Conversation]) -> Conversation:
    """A conversation that played something at every turn."""
    return next(talk for talk in played if all(turn.item_id is not None for turn in talk.turns))


def test_a_talkplay_row_has_24_lines_in_order(whole: Conversation) -> None:
    row = talkplay.to_row(whole, "key")
    lines = row["conversations"]
    assert [line["role"] for line in lines] == ["user", "music", "assistant"] * 8
    assert [line["turn_number"] for line in lines] == [turn for turn in range(1, 9) for _ in range(3)]
    assert [line["content"] for line in lines[1::3]] == [turn.item_id for turn in whole.turns]
    assert lines[1]["thought"] == whole.turns[0].recommender_thought
    assert row["session_date"] is None
    assert whole.user_id not in str(row)
    assert whole.conversation_id not in str(row)


def test_labels_are_stored_one_turn_later(whole: Conversation) -> None:
    stored = [
        line["goal_progress_assessment"]
        for line in talkplay.to_row(whole, "key")["goal_progress_assessments"]
    ]
    assert stored[0] is None
    assert stored[1:] == [whole.label(turn) for turn in range(1, 8)]


def test_conversations_with_an_itemless_turn_do_not_fit(played: list[Conversation]) -> None:
    itemless = [any(turn.item_id is None for turn in talk.turns) for talk in played]
    assert any(itemless)
    assert [talkplay.fits(talk) for talk in played] == [not missing for missing in itemless]
    rows = [talkplay.to_row(talk, "key") for talk in played]  # with --extended they stay, their item empty
    assert sum(line["content"] == "" for row in rows for line in row["conversations"]) >= sum(itemless)


def _targets(items: dict[tuple[str, int], str]) -> list[crs.Target]:
    return [crs.Target(session, "u", turn, item) for (session, turn), item in items.items()]


def test_means_go_over_sessions_then_turns() -> None:
    ranks = [(1, 1), (1, 2), (1, 12), (2, 3), (2, 0)]
    turns = [turn for turn, _ in ranks]
    means = [round(crs.by_turn(turns, ndcg_at([rank for _, rank in ranks], k)), 4) for k in (1, 10, 20)]
    assert means == [0.1667, 0.3968, 0.4419]


def test_the_other_official_numbers() -> None:
    assert crs.distinct_two(["Try this reel , try this reel", "A slow Air", "a slow air", "one"]) == 6 / 10
    assert crs.distinct_two(["one", ""]) == 0.0
    assert crs.catalogue_diversity(
        [[f"i{turn * 20 + place}" for place in range(20)] for turn in range(80)], 47_071
    ) == pytest.approx(0.0340, abs=5e-5)
    assert ceiling(47_071, 20) == pytest.approx(1.496e-4, abs=5e-8)
    assert [ceiling(4_248, k) for k in (1, 10, 20)] == pytest.approx(
        [2.354e-4, 1.0696e-3, 1.6573e-3], rel=1e-4
    )


def test_the_evaluator_equals_its_definition_written_out() -> None:
    rng = np.random.default_rng(3)
    items = [f"i{row}" for row in range(60)]
    wanted, rows = [], []
    for session in range(25):
        for turn in range(1, int(rng.integers(2, 9))):
            wanted.append(crs.Target(f"s{session}", "u", turn, items[int(rng.integers(60))]))
            chosen = [items[int(place)] for place in rng.permutation(60)[: int(rng.integers(0, 21))]]
            reply = " ".join(["Try", "this", items[int(rng.integers(9))], "now"][: int(rng.integers(0, 5))])
            rows.append(asdict(crs.Prediction(f"s{session}", "u", turn, tuple(chosen), reply)))
    order = rng.permutation(len(rows))
    predictions = crs.read_predictions([rows[int(at)] for at in order], "p.json", wanted, frozenset(items))
    scores = crs.evaluate(wanted, predictions, 60)
    for k in (1, 10, 20):
        means = []
        for turn in sorted({goal.turn_number for goal in wanted}):
            gains = []
            for target, row in zip(wanted, rows, strict=True):
                if target.turn_number == turn:
                    top = row["predicted_track_ids"][:k]
                    gains.append(
                        sum(1 / math.log2(2 + at) for at, item in enumerate(top) if item == target.item_id)
                    )
            means.append(sum(gains) / len(gains))
        assert scores[f"ndcg@{k}"] == pytest.approx(sum(means) / len(means), abs=1e-12)
    words = [row["predicted_response"].lower().split() for row in rows]
    pairs = [pair for sentence in words for pair in pairwise(sentence)]
    assert scores["lexical_diversity"] == pytest.approx(len(set(pairs)) / len(pairs), abs=1e-12)
    assert (
        scores["catalogue_diversity"]
        == len({item for row in rows for item in row["predicted_track_ids"]}) / 60
    )


def test_bad_predictions_are_named() -> None:
    wanted = _targets({("s1", 1): "a", ("s1", 2): "b"})
    good = [asdict(crs.Prediction("s1", "u", turn, ("a", "b"), "Here.")) for turn in (1, 2)]
    everything = frozenset("ab") | {f"i{row}" for row in range(30)}
    assert len(crs.read_predictions(good, "p.json", wanted, everything, blind=True)) == 2
    for rows, message in [
        (
            [good[0], {**good[1], "predicted_track_ids": ["a", "a"]}],
            r"record 2: item 'a' is predicted twice; name each item once",
        ),
        ([good[0]], r"session s1 turn 2 has no prediction .*answer every turn"),
        (
            [good[0], {**good[1], "predicted_track_ids": ["zz"]}],
            r"record 2: item 'zz' is not in the catalogue",
        ),
        (
            [{**good[0], "predicted_track_ids": [f"i{row}" for row in range(21)]}, good[1]],
            r"record 1: 21 items .*at most 20",
        ),
        ([{**good[0], "predicted_response": " "}, good[1]], r"record 1: the reply is empty"),
        ([*good, good[0]], r"record 3: session s1 turn 1 is answered twice"),
        ([*good, {**good[0], "session_id": "s9"}], r"record 3: session s9 turn 1 was not asked for"),
        ([{k: v for k, v in good[0].items() if k != "user_id"}], r"record 1: field 'user_id' is missing"),
    ]:
        with pytest.raises(InputError, match=rf"p.json.*{message}"):
            crs.read_predictions(rows, "p.json", wanted, everything, blind=True)


@pytest.fixture(scope="module")
def about(small: Small) -> training.Exporting:
    """What exports need of the small world."""
    return training.Exporting("key", small.catalogue, small.lexicon)


def test_chat_rows_are_plain_text_and_hold_no_secret(
    about: training.Exporting, played: list[Conversation]
) -> None:
    rows = list(training.chat(played, about))
    assert len(rows) == len(played)
    for row, talk in zip(rows, played, strict=True):
        assert talk.goal.text not in str(row) and talk.turns[0].recommender_thought not in str(row)
        texts = [text for turn in talk.turns for text in (turn.message, turn.reply)]
        assert [message["content"] for message in row["messages"]] == texts
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * len(talk.turns)
        assert all(set(message) == {"role", "content"} for message in row["messages"])
        assert row["items"] == [turn.item_id for turn in talk.turns]


def test_pairs_are_two_answers_to_one_prompt(
    about: training.Exporting, small: Small, played: list[Conversation]
) -> None:
    rows = list(training.preference(played, about))
    assert len(rows) > 50
    for row in rows:
        assert [message["role"] for message in row["prompt"]] == ["user", "assistant"] * (row["turn"] - 1) + [
            "user"
        ]
        (chosen,), (rejected,) = row["chosen"], row["rejected"]
        assert chosen["role"] == rejected["role"] == "assistant" and chosen != rejected
        for answer, item in ((chosen, row["chosen_item"]), (rejected, row["rejected_item"])):
            assert small.catalogue.titles[small.catalogue.row[item]] in answer["content"]
    hard = list(training.retrieval(played, about))
    assert not any(row["positive"] in row["negatives"] for row in hard)


def test_tool_calls_are_those_of_openai_with_ids_of_the_catalogue(
    about: training.Exporting, small: Small, played: list[Conversation]
) -> None:
    rows = list(training.tools(played, about))
    assert len(rows) == len(played)
    for row, talk in zip(rows, played, strict=True):
        names = {tool["function"]["name"] for tool in json.loads(row["tools"])}
        asked: dict[str, Any] = {}
        for message in row["messages"]:
            for call in message.get("tool_calls", ()):
                asked[call["id"]] = json.loads(call["function"]["arguments"])
                assert call["type"] == "function" and call["function"]["name"] in names
            if message["role"] == "tool":
                assert message["tool_call_id"] in asked and json.loads(message["content"])
        plays = [arguments["item_id"] for arguments in asked.values() if "item_id" in arguments]
        assert plays == [turn.item_id for turn in talk.turns if turn.item_id is not None]
        for arguments in asked.values():
            for clause in arguments.get("clauses", ()):
                if clause["cmp"] in ("same_group", "similar_to"):
                    assert clause["value"] in small.catalogue.row
        assert not re.search(r'"T\d+"', str(row))


def test_a_missing_label_is_no_pair(about: training.Exporting, whole: Conversation) -> None:
    assert list(training.preference([replace(whole, progress=())], about)) == []
