"""What people say to change their mind, to ask what there is, and to say less than a number: of four
catalogues.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.assist.conftest import Talk, tunes
from tests.assist.test_films import FILMS, chips, films  # noqa: F401

from tastemaker.assist.shelf import Shelf
from tastemaker.converse.catalogue import Catalogue
from tastemaker.encoders.text import fit_tfidf

N = 40
NOW = datetime.now(UTC).year


def shelf_of(titles: list[str], columns: dict[str, tuple[Any, ...]]) -> Shelf:
    ids, texts = tuple(f"i{row}" for row in range(N)), [f"{title}." for title in titles]
    encoder, vectors = fit_tfidf(texts)
    catalogue = Catalogue(ids, tuple(titles), ((),) * N, (None,) * N, ids, columns, np.zeros(N, np.int64))
    return Shelf.of(catalogue, texts, lambda batch: np.nan_to_num(encoder.transform(batch)), vectors)


def shop() -> Shelf:
    kinds, colours, stuffs = (
        ("Dress", "Jacket"),
        ("red", "blue", "green"),
        ("leather", "silk", "denim", "cotton"),
    )
    kind = [kinds[row % 2] for row in range(N)]
    columns = {
        "attribute": tuple(kind),
        "color": tuple(colours[row % 3] for row in range(N)),
        "material": tuple(stuffs[row // 2 % 4] for row in range(N)),
        "price": tuple(10.0 + 5 * row for row in range(N)),
        "size": tuple(("S", "M", "L", "XL")[row // 4 % 4] for row in range(N)),
    }
    return shelf_of([f"{kind[row]} {row}" for row in range(N)], columns)


def recipes() -> Shelf:
    cuisines = ("Thai", "Indian", "Mexican")
    columns = {
        "cuisine": tuple(cuisines[row % 3] for row in range(N)),
        "ingredients": tuple(
            (("rice", "beans"), ("rice",), ("beans", "egg"), ("egg",))[row % 4] for row in range(N)
        ),
        "prep_time_min": tuple(float(10 + row) for row in range(N)),
        "calories": tuple(float(200 + 10 * row) for row in range(N)),
        "difficulty": tuple(("easy", "medium", "hard")[row // 14] for row in range(N)),
    }
    return shelf_of([f"{cuisines[row % 3]} plate {row}" for row in range(N)], columns)


def pods() -> Shelf:
    columns = {
        "language": tuple(("de", "en", "fr")[row % 3] for row in range(N)),
        "minutes": tuple(float((12, 25, 40, 61)[row % 4]) for row in range(N)),
        "hosts": tuple((("Ana", "Bo"), ("Bo",), ("Ana",), ("Cem",))[row // 2 % 4] for row in range(N)),
    }
    return shelf_of([f"The river {row}" for row in range(N)], columns)


def shoes() -> Shelf:
    columns = {
        "attribute": tuple(("boots", "sneakers")[row % 2] for row in range(N)),
        "colour": tuple(("black", "red", "white", "green")[row // 2 % 4] for row in range(N)),
        "material": tuple("mesh" if row % 8 == 5 else "leather" for row in range(N)),
        "size": tuple(36.0 + row % 9 for row in range(N)),
        "price": tuple(20.0 + 4 * row for row in range(N)),
    }
    return shelf_of([f"Pair {row}" for row in range(N)], columns)


@pytest.fixture(scope="module")
def shelves(films: Shelf) -> dict[str, Shelf]:  # noqa: F811
    assert FILMS
    return {
        "films": films,
        "tunes": tunes(),
        "shop": shop(),
        "recipes": recipes(),
        "pods": pods(),
        "shoes": shoes(),
    }


def last_answer(shelves: dict[str, Shelf], line: str) -> tuple[Talk, str]:
    """The talk after "films: one message >> another", and the words of the last answer."""
    name, _, messages = line.partition(": ")
    talk = Talk(shelves[name])
    for message in messages.split(" >> "):
        words = talk.words(message)
    return talk, words


def labels(shelves: dict[str, Shelf], line: str) -> set[str]:
    name, _, messages = line.partition(": ")
    return chips(Talk(shelves[name]), *messages.split(" >> "))


LET_GO = {
    "films: a comedy from the 90s >> any year": {"Comedy"},
    "films: a comedy before 1980 >> whatever year": {"Comedy"},
    "films: a comedy before 1980 >> I don't care how old it is": {"Comedy"},
    "tunes: a jig under 100 bpm >> any speed": {"type jig"},
    "tunes: a slow jig >> any tempo": {"type jig"},
    "tunes: a jig in D >> I don't mind the key": {"type jig"},
    "tunes: a jig in D >> the key is up to you": {"type jig"},
    "tunes: a jig in D >> key? no matter": {"type jig"},
    "shop: a dress under $50 >> whatever price": {"Dress"},
    "shop: a dress under $50 >> money is no object": {"Dress"},
    "shop: a dress under $50 >> I don't care how much it costs": {"Dress"},
    "recipes: thai under 30 minutes >> however long it takes": {"cuisine Thai"},
    "recipes: thai under 30 minutes >> time doesn't matter": {"cuisine Thai"},
    "films: a comedy and a drama >> only the comedy": {"Comedy"},
    "films: a comedy or a drama >> just the comedy": {"Comedy"},
    "recipes: rice and beans >> only the rice": {"ingredients rice"},
    "shop: a red dress >> forget red": {"Dress"},
    "shop: a red dress >> never mind the red": {"Dress"},
    "tunes: a jig in D >> drop the D": {"type jig"},
    "recipes: rice and beans >> forget the beans": {"ingredients rice"},
    "shop: a red dress >> a blue one >> I take that back": {"color red", "Dress"},
    "shop: a dress >> in red >> undo that >> undo": set(),
    "shop: a dress >> no leather >> undo that": {"Dress"},
    "shop: a dress, no leather >> actually leather is fine": {"Dress"},
    "tunes: a jig, not in D >> D is ok after all": {"type jig"},
    "shop: no leather dresses >> leather is fine after all": set(),
    "shop: a red dress >> blue is fine too": {"color red or blue", "Dress"},
    "tunes: jigs >> not only jigs": set(),
    "films: not just comedies": set(),
    "tunes: not only jigs but also reels": {"type jig or reel"},
    "films: a comedy from the 90s >> I don't really care when it was made": {"Comedy"},
    "films: a comedy from the 90s >> all years": {"Comedy"},
    "films: a comedy and a drama >> drama only": {"Drama"},
    "films: a comedy and a drama >> it doesn't have to be a comedy": {"Drama"},
    "shop: a red dress >> not necessarily red": {"Dress"},
    "shop: a red dress >> scrap the red, blue instead": {"Dress", "color blue"},
    "shop: a dress under $50 >> no price limit": {"Dress"},
    "recipes: thai under 30 min >> longer is fine": {"cuisine Thai"},
    "recipes: rice and beans >> beans are optional": {"ingredients rice"},
    "films: no musicals >> you can include musicals again": set(),
    "films: no musicals >> forget I said no musicals": set(),
    "tunes: jigs in D >> G too": {"type jig", "key D or G"},
    "tunes: jigs in D >> G instead": {"type jig", "key G"},
}


@pytest.mark.parametrize("line", LET_GO)
def test_wishes_and_refusals_are_let_go(shelves: dict[str, Shelf], line: str) -> None:
    assert labels(shelves, line) == LET_GO[line]


def test_what_is_let_go_is_said(shelves: dict[str, Shelf]) -> None:
    assert "No longer counted: color red." in last_answer(shelves, "shop: a red dress >> any colour")[1]
    assert "No longer counted: color red." in last_answer(shelves, "shop: red or blue >> forget the red")[1]
    assert "No longer left out: material silk." in last_answer(shelves, "shop: no silk >> silk is ok")[1]


YEARS = {
    "films: a comedy from the 90s >> actually 70s": {"Comedy", "decade 1970s"},
    "films: from the 70s >> and 90s too": {"decade 1970s or 1990s"},
    "films: a thriller from '99": {"Thriller", "year 1999"},
    "films: 1984": {"year 1984"},
    "films: a comedy, 1984": {"Comedy", "year 1984"},
    "films: from the sixties to the nineties": {"decade 1960s or 1970s or 1980s or 1990s"},
    "films: the last five years": {f"year at least {NOW - 5}"},
    "films: from the past two decades": {f"year at least {NOW - 20}"},
    "films: no more than 20 years old": {f"year at least {NOW - 20}"},
    "films: at least 40 years old": {f"year at most {NOW - 40}"},
    "films: a musical from the 2010s": {"Musical", "year 2010 to 2019"},
    "films: under 2000 dollars": set(),
    "films: something recent": {"year at least 1999 if possible"},
}


@pytest.mark.parametrize("line", YEARS)
def test_years_are_replaced_joined_and_reckoned(shelves: dict[str, Shelf], line: str) -> None:
    assert labels(shelves, line) == YEARS[line]


BOUNDS = {
    "shop: under 2000 dollars": {"price at most 2000"},
    "shop: a dress around 50": {"Dress", "price 45 to 55"},
    "shop: nothing too expensive": {"price at most 155"},
    "shop: a cheap dress": {"Dress", "price at most 60 if possible"},
    "recipes: nothing too long": {"prep time at most 39"},
    "recipes: not too many calories": {"calories at most 490"},
    "recipes: low calorie": {"calories at most 300"},
    "recipes: not too hard": {"not difficulty hard"},
    "recipes: a hard one >> easier": {"difficulty easy or medium"},
    "recipes: ready in half an hour": {"prep time at most 30"},
    "tunes: not too slow": {"not speed slow"},
}


@pytest.mark.parametrize("line", BOUNDS)
def test_less_than_a_number_is_a_bound(shelves: dict[str, Shelf], line: str) -> None:
    assert labels(shelves, line) == BOUNDS[line]


def test_a_comparison_keeps_the_bound_that_was_given(shelves: dict[str, Shelf]) -> None:
    talk, _ = last_answer(shelves, "shop: a dress under $100 >> a bit more expensive")
    assert {c.clause.cmp for c in talk.state.active if c.clause.field == "price"} == {"le", "ge"}
    assert all(talk.shelf.fact(row, "price") <= 100 for row in talk.state.shown)  # type: ignore[operator]
    _, words = last_answer(shelves, "tunes: a reel between 148 and 149 bpm >> more lively")
    assert "no longer counts" in words


@pytest.mark.parametrize(
    "line",
    [
        "tunes: nothing too long",
        "films: less violence",
        "shop: not too spicy",
        "films: the longest",
        "films: a bit quieter",
        "shop: less fancy",
    ],
)
def test_what_no_field_tells_is_said_to_be_unknown(shelves: dict[str, Shelf], line: str) -> None:
    _, words = last_answer(shelves, line)
    assert "Nothing is known here" in words and "did not catch" not in words and "There is no" not in words


LISTS = {
    "shop: what colours do dresses come in?": "Color of what is Dress: red (7), green (7), blue (6).",
    "shop: which materials are jackets made of?": "Material of what is Jacket:",
    "shop: a red one >> which sizes are there?": "Size of what is color red:",
    "shop: how much are jackets?": "Price of what is Jacket: 15 to 205.",
    "tunes: what rhythms are there?": "Type: ",
    "tunes: what keys do jigs come in?": "Key of what is type jig: ",
    "tunes: how many jigs do you have?": "15: type jig.",
    "recipes: a thai one >> how many calories does it have?": "calories ",
    "recipes: what ingredients do thai plates have?": "Ingredients of what is cuisine Thai: ",
    "recipes: what has the fewest calories?": "By calories:",
    "recipes: what's the quickest?": "By prep time:",
    "shop: a dress >> what colours do they come in?": "Color of what is Dress: red (7)",
    "shop: what do you sell?": "There are Dress (20), Jacket (20).",
    "shop: what's the price of a jacket?": "Price of what is Jacket: 15 to 205.",
    "shop: a red dress >> what colours does it come in?": "color red",
    "shop: how many red dresses are there? >> how many are under 50?": (
        "2: color red; Dress; price at most 50."
    ),
    "shop: how many dresses? >> what's the average price?": "On average 105.",
    "shop: dresses >> which is cheaper, the first or the second?": "price ",
    "tunes: a reel >> which key has the most jigs?": "Key of what is type jig: D (5)",
    "tunes: a reel >> who are you?": "I am the assistant",
    "films: who directed Killer Waves?": "I have no such fact about “Killer Waves”.",
    "recipes: fewer calories >> even fewer >> what did I ask for?": "calories at most",
}


@pytest.mark.parametrize("line", LISTS)
def test_questions_about_the_catalogue_are_answered(shelves: dict[str, Shelf], line: str) -> None:
    assert LISTS[line] in last_answer(shelves, line)[1]


REFUSED = {
    "films: nobody likes musicals but I do": {"Musical"},
    "films: I can't watch anything but horror": {"Horror"},
    "shop: I can't wear anything but cotton": {"material cotton"},
    "films: anything but horror": {"not Horror"},
    "films: not my thing: horror": {"not Horror"},
    "films: keep the horror away": {"not Horror"},
    "films: leave the musicals out": {"not Musical"},
    "tunes: I've had enough of reels": {"not type reel"},
    "tunes: no D please, G": {"not key D", "key G"},
    "tunes: not D but G": {"not key D", "key G"},
    "films: spare me the musicals": {"not Musical"},
    "films: no more horror": {"not Horror"},
    "shop: any colour but red": {"not color red"},
    "films: a comedy or a drama >> actually no drama": {"Comedy", "not Drama"},
    "recipes: rice or beans >> beans then": {"ingredients beans"},
    "tunes: so D, G or A": {"key D or G or A"},
    "films: smth funy, plz": {"Comedy"},
    "films: i dont want horror": {"not Horror"},
    "shop: a jacket, not too pricey": {"Jacket", "price at most 155"},
    "shop: 80 max": {"price at most 80"},
    "shop: a jacket for 100-150": {"Jacket", "price 100 to 150"},
    "films: made between 85 and 92": {"year 1985 to 1992"},
    "films: a drama >> funnier": {"Drama", "Comedy if possible"},
    "recipes: thai in 30 minutes >> relax the time": {"cuisine Thai"},
    "films: ok forget everything, a musical": {"Musical"},
    "films: everyone hates musicals but I love them": {"Musical"},
    "films: less horror": {"not Horror"},
    "tunes: not in D, in G": {"not key D", "key G"},
    "tunes: not overly fast": {"not speed fast"},
    "films: around 1990": {"year 1985 to 1995"},
    "films: '94": {"year 1994"},
    "recipes: under 400": {"calories at most 400"},
    "shop: a jacket, size M or L not red around 60": {
        "Jacket",
        "size M or L",
        "not color red",
        "price 54 to 66",
    },
    "shop: dresses without silk under 40": {"Dress", "not material silk", "price at most 40"},
    "tunes: a jig not in D under 100 bpm": {"type jig", "not key D", "tempo at most 100"},
    "tunes: no jigs under 100 bpm": {"not jig with tempo at most 100"},
    "tunes: no fast jigs under 100 bpm": {"not jig with speed fast and tempo at most 100"},
    "shop: no dresses over 50": {"not Dress with price at least 50"},
    "shop: not red and under 50 jackets": {"not color red", "price at most 50", "Jacket"},
    "shop: the price should not exceed 40": {"price at most 40"},
    "shop: a dress that doesn't exceed 40": {"Dress", "price at most 40"},
    "shop: I can't spend more than 40": {"price at most 40"},
    "shop: I don't want to pay more than 40 for a dress": {"price at most 40", "Dress"},
    "shop: I won't pay over 40": {"price at most 40"},
    "shop: there's no way I'm paying more than 40": {"price at most 40"},
    "shop: I'd rather not pay over 40": {"price at most 40"},
    "shop: I've got 40 to spend": {"price at most 40"},
    "shop: dresses: I can't go over 50, no silk": {"Dress", "price at most 50", "not material silk"},
    "shop: dresses: not over 50, with no silk": {"Dress", "price at most 50", "not material silk"},
    "shop: under 100 not leather or silk": {"price at most 100", "not material leather", "not material silk"},
    "shop: under 100 without leather": {"price at most 100", "not material leather"},
    "shop: I only have 40": {"price at most 40"},
    "shop: max budget 40": {"price at most 40"},
    "shop: more than 40 is too much": {"price at most 40"},
    "shop: I want over 40 dollars": {"price at least 40"},
    "shop: my budget is 40": {"price at most 40"},
    "shop: dresses != red, price<=30": {"Dress", "not color red", "price at most 30"},
    "shop: a dress that isn't red or above 50": {"Dress", "not color red", "price at most 50"},
    "shop: I said no silk": {"not material silk"},
    "shop: a dress >> nope, no silk": {"Dress", "not material silk"},
    "recipes: I hate waiting more than 20 minutes": {"prep time at most 20"},
    "recipes: I haven't got an hour": {"prep time at most 60"},
    "recipes: no more than 30 ingredients": set(),
    "shop: any color but red >> I said no red": {"not color red"},
    "shop: a dress >> not the cheapest": {"Dress", "price at least 60"},
    "tunes: no D, G": {"not key D", "key G"},
    "tunes: no D, G or A": {"not key D", "not key G", "not key A"},
    "tunes: D is out, G is in": {"not key D", "key G"},
    "recipes: rice or egg but not both": {"not ingredients rice and egg", "ingredients rice or egg"},
    "recipes: thai in 20 minutes >> I have an hour actually": {"cuisine Thai", "prep time at most 60"},
    "recipes: thai with rice, quick": {
        "cuisine Thai",
        "ingredients rice",
        "prep time at most 20 if possible",
    },
    "pods: something short in German with Ana": {
        "minutes at most 25 if possible",
        "language de",
        "hosts Ana",
    },
    "pods: with Bo but not in French": {"hosts Bo", "not language fr"},
    "pods: en français": {"language fr"},
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused_and_what_only_sounds_so(shelves: dict[str, Shelf], line: str) -> None:
    assert labels(shelves, line) == REFUSED[line]


@pytest.mark.parametrize(
    ("line", "says", "unsaid"),
    [
        ("tunes: a slow reel >> not that slow", "not speed slow", "Left out"),
        ("tunes: give me a good one", ":", "Which one"),
        ("tunes: a reel >> you choose", "fit", "There is no"),
        ("tunes: no jigs >> what does that leave?", "not type jig", "no such fact"),
        ("tunes: a reel >> ok that's it", "Goodbye", "Noted"),
        ("tunes: a reel >> which is slower?", "tempo ", "fit."),
        ("tunes: a tango", "There is no ‘tango’", "did not catch"),
        ("films: Do you have Killer Waves? >> the first looks good, tell me more", "surfers", "fit."),
    ],
)
def test_small_turns_of_a_talk(shelves: dict[str, Shelf], line: str, says: str, unsaid: str) -> None:
    _, words = last_answer(shelves, line)
    assert says in words and unsaid not in words


@pytest.mark.parametrize(
    ("line", "many"),
    [
        ("tunes: Give me 5 reels", 5),
        ("tunes: two jigs in D", 2),
        ("tunes: a reel >> 4 more", 4),
        ("tunes: show me 30 tunes", 10),
        ("tunes: two reels and a jig", 3),
        ("recipes: I have 20 minutes", 3),
    ],
)
def test_as_many_are_shown_as_are_asked_for(shelves: dict[str, Shelf], line: str, many: int) -> None:
    talk, words = last_answer(shelves, line)
    assert len(talk.state.shown) == many and ("I show 10 at once at most" in words) == (many == 10)


def test_a_comparison_goes_on_and_a_likeness_is_let_go(shelves: dict[str, Shelf]) -> None:
    bounds = []
    for line in ("recipes: fewer calories", "recipes: fewer calories >> even fewer"):
        (stands,) = last_answer(shelves, line)[0].state.active
        bounds.append(float(str(stands.clause.value)))
    assert bounds[1] < bounds[0]
    talk, _ = last_answer(shelves, "films: a comedy >> more like that >> less like that")
    assert not talk.state.near
    talk, _ = last_answer(shelves, "films: I've seen Killer Waves and I loved it >> something similar")
    assert talk.state.near == talk.state.liked and not set(talk.state.liked) & set(talk.state.shown)
    talk, _ = last_answer(shelves, "shop: the cheapest dress >> next cheapest")
    assert not talk.state.disliked and talk.state.extreme == "cheaper"


def test_what_was_just_said_is_not_let_go_for_an_older_wish(shelves: dict[str, Shelf]) -> None:
    talk, words = last_answer(shelves, "shop: jackets under 12 >> dresses not over 12")
    assert any(c.clause.cmp == "le" for c in talk.state.active) and "at most 12” no longer" not in words
