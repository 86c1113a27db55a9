"""What conversations leave in the database: lists as offers that count once they are out, likes that answer
them, and likes that are taken back.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tastemaker as tm
from tastemaker.assist.assistant import Assistant
from tastemaker.assist.desk import Drawing
from tastemaker.assist.tools import Rooms
from tastemaker.errors import InputError
from tastemaker.explore.slate import plackett_luce
from tastemaker.serving.query import Unknown


@pytest.fixture
def assistant(tiny_workspace: Path) -> Iterator[Assistant]:
    opened = tm.Assistant.open(tiny_workspace)
    yield opened
    opened.close()


def query(assistant: Assistant, sql: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(assistant.service.workspace.database)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def turn(assistant: Assistant, message: str, conversation: str | None, user: str | None) -> list[Any]:
    return list(assistant.respond(message, conversation, user))


def items(parts: list[Any]) -> list[Any]:
    return [part for part in parts if part.kind == "item"]


SLATE = "SELECT item_id, propensity, policy_id FROM slates WHERE request_id = ? ORDER BY position"
SHOWN = "SELECT user_id, shown_at IS NOT NULL, pool FROM offers WHERE request_id = ?"


def test_a_list_is_offered_and_shown_and_a_like_answers_it(assistant: Assistant) -> None:
    parts = turn(assistant, "a reel", None, "kept-ann")
    shown, name = items(parts), parts[-1].conversation_id
    (request,) = {item.request_id for item in shown}
    logged = query(assistant, SLATE, request)
    assert [row[0] for row in logged] == [item.item_id for item in shown]
    assert all(row[1:] == (1.0, "talk-greedy") for row in logged)
    ((owner, counts, pool),) = query(assistant, SHOWN, request)
    assert (owner, counts) == ("kept-ann", 1) and all(item.item_id in pool for item in shown)
    turn(assistant, "more", name, "kept-ann")
    turn(assistant, "a waltz", name, "kept-ann")
    second = items(turn(assistant, "a jig", name, "kept-ann"))
    turn(assistant, "I like the second", name, "kept-ann")
    stored = query(assistant, "SELECT item_id, kind, request_id FROM events WHERE user_id = 'kept-ann'")
    assert stored == [(second[1].item_id, "like", second[1].request_id)]


def test_what_nobody_took_is_offered_but_not_shown(assistant: Assistant) -> None:
    for part in (parts := assistant.respond("a polka", None, "kept-bo")):
        if part.kind == "item":
            request = part.request_id  # type: ignore[attr-defined]
            break
    parts.close()  # type: ignore[attr-defined]
    assert query(assistant, SHOWN, request)[0][:2] == ("kept-bo", 0)


def test_who_reads_slowly_keeps_nobody_waiting(assistant: Assistant) -> None:
    """Rules answer one turn at a time, but not while a part is out."""
    first = assistant.respond("a reel")
    next(first)
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(turn, assistant, "a jig", None, None) for _ in range(4)]
        assert all(items(other.result(timeout=120)) for other in others)
    assert items(list(first))


def test_a_turn_that_is_kept_already_is_not_logged_again(assistant: Assistant) -> None:
    before = query(assistant, "SELECT count(*) FROM offers")
    assert items(list(assistant.respond("a reel in D", stored=True)))
    assert query(assistant, "SELECT count(*) FROM offers") == before


@pytest.mark.parametrize(
    "words", ["Forget that I liked “{}”", "forget that i liked the first", "Remove my like of “{}” please"]
)
def test_taking_back_a_like_undoes_it(assistant: Assistant, words: str) -> None:
    user = "kept-" + secrets.token_hex(4)
    first = turn(assistant, "a polka in G", None, user)
    name, item = first[-1].conversation_id, items(first)[0]
    turn(assistant, "I love the first", name, user)
    assert assistant.service.parts.people.profile(user).history == (item.item_id,)
    answer = turn(assistant, words.format(item.title), name, user)
    assert "Taken back" in answer[0].text and "Noted" not in answer[0].text
    stored = query(
        assistant, "SELECT event_id, kind, refers_to FROM events WHERE user_id = ? ORDER BY timestamp", user
    )
    assert [kind for _, kind, _ in stored] == ["like", "undo"] and stored[1][2] == stored[0][0]
    profile = assistant.service.parts.people.profile(user)
    assert profile.history == () and not profile.unwanted
    again = items(turn(assistant, "a polka in G", None, user))
    assert item.item_id in {part.item_id for part in again}


def test_a_like_that_was_imported_is_left_out(assistant: Assistant) -> None:
    people = assistant.service.parts.people
    user = next(user for user in people.ids if people.profile(user).history)
    item = people.profile(user).history[-1]
    title = str(assistant.service.parts.explainer.items[item]["title"])
    answer = " ".join(
        part.text
        for part in turn(assistant, f"forget that I liked “{title}”", None, user)
        if part.kind == "text"
    )
    assert "imported" in answer and item not in people.profile(user).history


def test_a_name_that_stands_for_nobody_is_refused(assistant: Assistant) -> None:
    from tastemaker.schema import ANONYMOUS

    with pytest.raises(InputError):
        turn(assistant, "a reel", None, ANONYMOUS)


def test_lists_are_drawn_with_the_chances_that_are_logged() -> None:
    ranked = list(range(100, 106))
    counts = np.zeros((6, 6))
    n = 1200
    for number in range(n):
        choice = Drawing(1.0, "m", f"key {number}").choose(ranked, 2, first=(7,))
        assert choice.rows[0] == 7 and choice.draw.propensity[0] == 1.0 and len(choice.rows) == 2
        assert choice.draw.policy_id == "talk-plackett-luce-1-m"
        second = Drawing(1.0, "m", f"key {number}").choose(ranked, 2)
        order = [row - 100 for row in second.rows]
        counts[order[0], order[1]] += 1
        expected = np.exp(plackett_luce(-np.arange(6.0), order))
        assert np.allclose(second.draw.propensity, expected)
    top = np.exp(-np.arange(6.0)) / np.exp(-np.arange(6.0)).sum()
    assert np.abs(counts.sum(axis=1) / n - top).max() < 5 * 0.5 / np.sqrt(n)


def test_conversations_of_people_outlive_the_server_and_are_forgotten(
    untouched_workspace: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(untouched_workspace, folder)
    first = tm.Assistant.open(folder)
    parts = turn(first, "a slow reel", None, "kept-dee")
    name, shown = parts[-1].conversation_id, items(parts)
    nobody = turn(first, "a slow reel", None, None)[-1].conversation_id
    first.close()
    again = tm.Assistant.open(folder)
    try:
        chips = next(
            part.chips for part in turn(again, "more", name, "kept-dee") if part.kind == "understood"
        )
        assert {chip["label"] for chip in chips} >= {"type reel"}
        assert not set(again.state(name).shown) & {
            again.library().shelf.catalogue.row[item.item_id] for item in shown
        }
        turns = again.service.talks("kept-dee")
        assert [(row["turn"], row["message"]) for row in turns] == [(0, "a slow reel"), (1, "more")]
        assert turns[0]["shown"] == [item.item_id for item in shown]
        with pytest.raises(InputError, match="another person"):
            turn(again, "more", name, "kept-eve")
        assert not query(again, "SELECT 1 FROM talks WHERE conversation_id = ?", nobody)
        turn(again, "forget everything about me", name, "kept-dee")
        turn(again, "yes", name, "kept-dee")
        assert not query(again, "SELECT 1 FROM talks")
        with pytest.raises(Unknown):
            again.service.talks("kept-dee")
    finally:
        again.close()


def test_lists_over_mcp_are_logged_as_slates(assistant: Assistant) -> None:
    rooms = Rooms(assistant, "kept-moe")
    results = rooms.call("search_items", "c", {"words": "reel", "k": 2})
    rooms.call("log_feedback", "c", {"handle": results["items"][1]["handle"], "kind": "like"})
    ((request, item),) = query(assistant, "SELECT request_id, item_id FROM events WHERE user_id = 'kept-moe'")
    logged = query(assistant, SLATE, request)
    assert len(logged) == 2 and logged[1][0] == item and logged[1][1:] == (1.0, "talk-model")
    assert query(assistant, SHOWN, request)[0][:2] == ("kept-moe", 1)


@pytest.mark.parametrize(
    ("words", "kinds"), [("I love the first", ["like"]), ("none of these", ["skip"] * 3)]
)
def test_undo_after_an_opinion_undoes_it(assistant: Assistant, words: str, kinds: list[str]) -> None:
    user = "kept-" + secrets.token_hex(4)
    name = turn(assistant, "a polka in G", None, user)[-1].conversation_id
    turn(assistant, words, name, user)
    assert "Taken back" in turn(assistant, "undo", name, user)[1].text
    stored = query(assistant, "SELECT kind FROM events WHERE user_id = ? ORDER BY timestamp", user)
    assert sorted(kind for (kind,) in stored) == sorted([*kinds, *["undo"] * len(kinds)])
    profile = assistant.service.parts.people.profile(user)
    assert profile.history == () and not profile.unwanted
