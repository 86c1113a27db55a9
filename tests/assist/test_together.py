"""Wishes that belong together, wishes in a second place, questions that compare what is shown, subjects, and
messages that ask for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.assist import test_films, test_spoken
from tests.assist.conftest import Talk
from tests.assist.test_spoken import labels, last_answer

import tastemaker.assist.absent as absent
from tastemaker.assist.desk import Desk
from tastemaker.assist.gate import Gate
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State, dump, load
from tastemaker.assist.tools import Toolbox
from tastemaker.assist.understand import READ

films, shelves = test_films.films, test_spoken.shelves
STANDS = {
    # what is refused only where it meets
    "tunes: can't stand fast ones over 110": {"not speed fast and tempo at least 110"},
    "tunes: no reel over 120": {"not reel with tempo at least 120"},
    "tunes: no jigs, under 100": {"not type jig", "tempo at most 100"},
    "films: no comedies before 1990": {"not Comedy with year at most 1989"},
    "films: no comedies made before 1990": {"not Comedy with year at most 1989"},
    "films: not a comedy from the 80s": {"not Comedy with decade 1980s"},
    "films: no comedies from the 80s or 90s": {"not Comedy with decade 1980s or Comedy with decade 1990s"},
    "films: no comedies, from the 90s": {"not Comedy", "decade 1990s"},
    "films: a comedy, nothing before 1980": {"Comedy", "year at least 1980"},
    "shop: no dress over 60": {"not Dress with price at least 60"},
    "shop: no leather under 60": {"not material leather", "price at most 60"},
    "recipes: no beans under 20 minutes": {"not ingredients beans", "prep time at most 20"},
    # what is wished where there is none of the first
    "shop: a red dress, but if none then blue": {"color red or blue", "color red if possible", "Dress"},
    "shop: a red dress. If you don't have it, a green one": {
        "color red or green",
        "color red if possible",
        "Dress",
    },
    "shop: if there is no red, blue": {"color red or blue", "color red if possible"},
    "shop: silk or else denim": {"material silk or denim", "material silk if possible"},
    "shop: a red dress, if not then a silk one": {"red or silk", "color red if possible", "Dress"},
    "shop: under 30, otherwise under 60": {
        "price at most 30 or price at most 60",
        "price at most 30 if possible",
    },
    "shop: under 30, otherwise under 30": {"price at most 30"},
    "tunes: jigs or reels, fast or slow": {"type jig or reel", "speed fast or slow"},
    "tunes: a jig in D, failing that a reel in G": {
        "jig with key D or reel with key G",
        "type jig if possible",
        "key D if possible",
    },
    "shop: not a red dress, otherwise anything": {"not Dress with color red"},
    "shop: a red dress, but if none then blue >> actually green": {"Dress", "color green"},
    # either of several fields
    "recipes: not more than 300 calories or less than 20 minutes": {
        "calories at most 300 or prep time at most 20"
    },
    "recipes: under 300 calories and under 20 minutes": {"calories at most 300", "prep time at most 20"},
    "recipes: nothing over 300 calories or over 20 minutes": {
        "calories at most 300",
        "prep time at most 20",
    },
    "recipes: thai or under 20 minutes": {"Thai or prep time at most 20"},
    "shop: a red or silk dress": {"red or silk", "Dress"},
    "shop: a red dress or a silk one": {"red or silk", "Dress"},
    "shop: a red dress or anything in silk": {"Dress with color red or silk"},
    "films: a comedy or something from the 70s": {"Comedy or 1970s"},
    "tunes: a jig in D or a fast reel": {"jig with key D or reel with speed fast"},
    "tunes: jigs or anything in D": {"jig or D"},
    "pods: Ana and Bo >> Ana or Bo": {"hosts Ana or Bo"},
    "recipes: rice >> rice or beans": {"ingredients rice or beans"},
    "tunes: a jig in G or something in D minor": {"jig with key G or key D and mode minor"},
    "tunes: a jig in G or D minor": {"type jig", "key G or D", "mode minor"},
    # what is refused of a number that is said of a thing
    "shop: nothing over 60 that's silk": {"not price at least 60 and material silk"},
    "shop: nothing over 60 in silk": {"price at most 60", "not material silk"},
    # whole numbers without a unit are those; around them is the next
    "shoes: size 39": {"size 39"},
    "shoes: boots, size 41 or 42": {"boots", "size 41 or size 42"},
    "shoes: boots in 40ish": {"boots"},
    "shoes: boots around size 40": {"boots", "size 39 to 41"},
    "shoes: boots under 80 quid": {"boots", "price at most 80"},
    "shoes: price 80": {"price 72 to 88"},
    # softly, or not
    "tunes: slowish jigs": {"type jig", "speed slow if possible"},
    "shop: something reddish": {"color red if possible"},
    "tunes: maybe a reel, but under 115": {"type reel if possible", "tempo at most 115"},
    "tunes: jigs >> hmm, or reels": {"type jig or reel"},
    # the kind of thing is not let go for another wish
    "shoes: sneakers, no mesh >> actually make it white": {"sneakers", "not material mesh", "colour white"},
    # numbers that are said by the one before
    "shop: a dress under 40 >> double that": {"Dress", "price at most 80"},
    "shop: a dress over 40 >> half that": {"Dress", "price at least 20"},
    # words that items are to say, or not
    "films: films about zombies": {"about ‘zombies’"},
    "films: a movie about zombies or trains": {"about ‘zombies or trains’"},
    "films: something with zombies, not from this century": {"about ‘zombies’", "year at most 1999"},
    "films: a drama set in the fog": {"Drama"},
    "films: a thriller set in the fog": {"Thriller", "about ‘fog’"},
    "films: not from the last century": {"year at least 2000"},
    "films: films about zombies >> nothing about shops": {"about ‘zombies’", "without ‘shops’"},
    "films: a film about zombies >> a comedy >> undo": {"about ‘zombies’"},
    "films: a film about zombies >> undo": set(),
    "films: a film about zombies >> start over": set(),
    "tunes: a jig >> none of these >> undo": {"type jig"},
    "tunes: a jig >> in D >> I love the first >> undo >> undo": {"type jig"},
    "shop: a dress under 40 >> half that price": {"Dress", "price at most 20"},
    "tunes: a jig at 60 >> double that tempo": {"type jig", "tempo 108 to 132"},
    "films: a comedy about dogs": {"Comedy"},
}


@pytest.mark.parametrize("line", STANDS)
def test_what_stands(shelves: dict[str, Shelf], line: str) -> None:
    assert labels(shelves, line) == STANDS[line]


SAYS = {
    "tunes: a jig >> is the first faster than the second?": "No. “The Star of Cork”: tempo 78; ",
    "tunes: a jig >> is the second faster than the first?": "Yes. “The Road of Sligo”: tempo 126; ",
    "tunes: a jig >> is it slower than the third?": "Yes. “The Star of Cork”: tempo 78; ",
    "shop: dresses >> is the second cheaper?": "No. “Dress 2”: price 20; “Dress 0”: price 10; ",
    "shop: dresses >> is the first under 15?": "Yes: “Dress 0”: price 10.",
    "shop: dresses >> is the second under 15?": "No: “Dress 2”: price 20.",
    "shop: dresses >> which of them are under 25?": "“Dress 0”: price 10; “Dress 2”: price 20.",
    "tunes: a jig >> which of these is in D?": "None of these.",
    "shop: dresses >> the second": "“Dress 2”: attribute Dress; ",
    "shop: dresses >> double that": "did not read ‘double that’",
    "shop: dresses >> neither": "Left out from now on: “Dress 0”, “Dress 2”, “Dress 4”.",
    "shop: dresses >> none of these": "Left out from now on: “Dress 0”, “Dress 2”, “Dress 4”.",
    "shop: dresses >> neither of those two": "Left out from now on: “Dress 0”, “Dress 2”, “Dress 4”.",
    "tunes: a jig >> I love the first >> undo": "Taken back: what you said of “The Star of Cork”.",
    "tunes: undo": "There is nothing to take back.",
    "tunes: a jig >> undo >> undo": "There is nothing to take back.",
    "recipes: thai, not spicy, under 30 minutes": "No words here say ‘spicy’",
    "shop: a red dress, not itchy": "No words here say ‘itchy’",
    "films: a comedy, not with zombies": "Left out: 1 whose words say ‘zombies’.",
    "films: a drama, not killer": "Left out: 2 whose words say ‘killer’.",
    "tunes: play the shortest jig": "Nothing is known here by which something is ‘shortest’.",
    "tunes: a polka. no wait. a barndance. no, polka was right": "There is no ‘polka’ here",
    "tunes: a jig >> I'll take the second": "Noted: you like “The Road of Sligo”.",
    "tunes: a jig >> what's the tempo of the first? >> and the key": "“The Star of Cork”: key A.",
    "shop: dresses >> the second one, what's it made of": "“Dress 2”: material silk.",
    "films: films about zombies >> a drama": "Nothing that fits is also about ‘zombies’.",
    "shoes: it needs to be leather": "material leather: ",
    "films: nothing too long, a drama": "Nothing is known here by which something is ‘too long’.",
    "films: I've seen Toy Parade. another comedy from the nineties": "Not shown again: “Toy Parade”.",
    "films: films about dogs": "No words here say ‘dogs’",
    "films: a musical about trains": "Nothing that fits says ‘trains’",
}


@pytest.mark.parametrize("line", SAYS)
def test_what_is_said(shelves: dict[str, Shelf], line: str) -> None:
    _, words = last_answer(shelves, line)
    assert SAYS[line] in words
    if line.endswith(("?", "undo", "second", "that")):
        assert "fit" not in words and "Some more" not in words


def test_a_first_choice_comes_before_what_the_words_are_nearer_to(shelves: dict[str, Shelf]) -> None:
    talk, _ = last_answer(shelves, "tunes: a jig in A, or if there is none in D then, jigs, D jigs, jig in D")
    assert {talk.shelf.fact(row, "key") for row in talk.state.shown} == {"A"}


def test_what_was_seen_is_not_shown(shelves: dict[str, Shelf]) -> None:
    talk, words = last_answer(shelves, "films: we've already seen Toy Parade, a comedy from the nineties")
    assert [talk.shelf.title(row) for row in talk.state.shown] == [
        "Toy Parade Returns"
    ] and not talk.state.disliked
    assert "misses" not in words


def test_the_first_choice_comes_first(shelves: dict[str, Shelf]) -> None:
    talk, _ = last_answer(shelves, "shop: a red silk dress, failing that a blue one")
    colours = [talk.shelf.fact(row, "color") for row in talk.state.shown]
    assert colours == ["red", "blue", "blue"]


def test_small_words_are_no_things_that_are_missing(shelves: dict[str, Shelf]) -> None:
    for how in ("which is goes", "that goes", "which sounds", "that is going", "that comes", "that works"):
        assert "There is no" not in last_answer(shelves, f"tunes: a jig {how} in D")[1]
        assert "There is no" not in last_answer(shelves, f"tunes: find me something {how} well in D")[1]


def test_a_word_that_ends_in_two_letters_s_is_no_plural() -> None:
    shelf = test_spoken.shelf_of([f"Che {row}" for row in range(test_spoken.N)], {})
    assert shelf.saying(("ches",)).all() and not shelf.saying(("chess",)).any()


def test_words_of_a_conversation_outlive_the_process(shelves: dict[str, Shelf]) -> None:
    talk, _ = last_answer(shelves, "films: a film about zombies >> nothing with trains")
    ids = talk.shelf.catalogue.item_ids
    assert load(dump(talk.state, ids), "c", None, talk.shelf.catalogue).words == talk.state.words
    older = dump(talk.state, ids).replace(
        '"words": ["about:zombies", "without:trains"]', '"without": ["trains"]'
    )
    assert load(older, "c", None, talk.shelf.catalogue).words == ("without:trains",)


def test_a_wish_that_speaks_of_a_field_that_is_gone_is_left_out(shelves: dict[str, Shelf]) -> None:
    talk, _ = last_answer(shelves, "shop: a red dress or anything in silk >> under 60")
    catalogue = talk.shelf.catalogue
    left = {name: column for name, column in catalogue.columns.items() if name != "material"}
    without = replace(catalogue, columns=left)
    again = load(dump(talk.state, catalogue.item_ids), "c", None, without)
    assert [constraint.clause.field for constraint in again.active] == ["price"]
    shelf = replace(talk.shelf, catalogue=without)
    assert shelf.adherence(again.active).holds.any()


def test_a_long_message_costs_what_its_beginning_costs(
    talk: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    negated = absent.negated
    monkeypatch.setattr(absent, "negated", lambda text, at: calls.append(at) or negated(text, at))
    counts = []
    for letters in (READ, 4 * READ):
        calls.clear()
        words = talk().words(("no jig or reel in D and " * 400)[:letters])
        counts.append(len(calls))
        assert (f"I read the first {READ:,} letters" in words) == (letters > READ)
    assert counts[0] == counts[1] < READ / 2


def test_a_model_shows_as_many_as_were_asked_for(shelf: Shelf, talk: Callable[..., Talk]) -> None:
    def shown(many: int, handles: int) -> int:
        desk = Desk(shelf, talk().ranker, talk().crowd, state := State(), Gate(shelf, state))
        box = Toolbox(desk, [], many=many)
        hits: list[Any] = box.call("search_items", {"words": "jig"})["items"]
        if handles:
            box.call("show", {"handles": [item["handle"] for item in hits[:handles]]})
        box.finish(wants=True)
        return len(desk.state.shown)

    assert [shown(0, 0), shown(7, 0), shown(7, 3), shown(0, 2), shown(2, 4), shown(50, 1)] == [
        3,
        7,
        7,
        2,
        2,
        10,
    ]


@pytest.mark.parametrize(
    ("wish", "wrong"),
    [
        ({"field": "tune_type", "value": []}, "no value"),
        ({"field": "tempo_bpm", "value": []}, "no value"),
        ({"field": "tempo_bpm", "value": "nan"}, "numbers from"),
        ({"field": "tempo_bpm", "value": ["-inf", "inf"]}, "numbers from"),
        ({"field": "tempo_bpm", "value": [80, 90, 100], "cmp": "in"}, "numbers from"),
        ({"field": "tempo_bpm", "value": "fast"}, "numbers from"),
    ],
)
def test_a_wish_that_says_nothing_is_named_and_changes_nothing(
    shelf: Shelf, talk: Callable[..., Talk], wish: dict[str, Any], wrong: str
) -> None:
    desk = Desk(shelf, talk().ranker, talk().crowd, state := State(), Gate(shelf, state))
    box = Toolbox(desk, [])
    assert wrong in box.call("search_items", {"wishes": [wish]})["error"]
    assert not desk.state.active
