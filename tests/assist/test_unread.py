"""What is said and nothing reads is told, and numbers are read as people say them: of shoes, recipes and
films.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.assist.conftest import Talk
from tests.assist.test_films import chips

from tastemaker.assist.shelf import Shelf
from tastemaker.converse.catalogue import Catalogue
from tastemaker.encoders.text import fit_tfidf

N = 60


def shelf_of(columns: dict[str, list[Any]], first: tuple[str, ...], second: tuple[str, ...]) -> Shelf:
    titles = tuple(f"{first[row % 6]} {second[row // 6 % 5]}" for row in range(N))
    encoder, vectors = fit_tfidf(titles)
    ids = tuple(f"i{row}" for row in range(N))
    cells = {name: tuple(column) for name, column in columns.items()}
    catalogue = Catalogue(ids, titles, ((),) * N, (None,) * N, ids, cells, np.zeros(N, np.int64))
    return Shelf.of(catalogue, titles, lambda batch: np.nan_to_num(encoder.transform(batch)), vectors)


def shoes() -> Shelf:
    columns: dict[str, list[Any]] = {
        "category": [("boots", "sneakers", "sandals")[row % 3] for row in range(N)],
        "colour": [("black", "white", "brown", "red")[row // 3 % 4] for row in range(N)],
        "brand": [("Halden", "Corvo", "Pell")[row // 5 % 3] for row in range(N)],
        "size": [float(36 + row % 11) for row in range(N)],
        "price": [float(20 + 3 * row) for row in range(N)],
    }
    return shelf_of(
        columns,
        ("Trail", "City", "Harbour", "Summit", "Meadow", "River"),
        ("Runner", "Walker", "Strider", "Pacer", "Ranger"),
    )


def recipes() -> Shelf:
    columns: dict[str, list[Any]] = {
        "cuisine": [("Italian", "Thai", "Mexican")[row % 3] for row in range(N)],
        "course": [("starter", "main", "dessert")[row // 3 % 3] for row in range(N)],
        "calories": [float(150 + 12 * row) for row in range(N)],
        "prep_time_min": [float(10 + row) for row in range(N)],
        "servings": [float(1 + row % 8) for row in range(N)],
    }
    return shelf_of(
        columns,
        ("Lemon", "Garlic", "Coconut", "Basil", "Chili", "Honey"),
        ("rice", "beans", "chicken", "tofu", "noodles"),
    )


def films(*more: str) -> Shelf:
    columns: dict[str, list[Any]] = {
        "genre": [("Drama", "War", "Comedy", "Horror")[row % 4] for row in range(N)],
        "year": [float(1950 + row) for row in range(N)],
        "look": [("black and white", "colour")[row % 2] for row in range(N)],
    }
    if more:
        columns |= {"runtime": [float(80 + 2 * row) for row in range(N)]}
        columns |= {"rating": [round(3 + row / 10, 1) for row in range(N)]}
    return shelf_of(
        columns,
        ("Long", "Quiet", "Last", "Paper", "Hidden", "Silver"),
        ("Winter", "Letter", "Station", "Garden", "Bridge"),
    )


@pytest.fixture(scope="module")
def shelves() -> dict[str, Shelf]:
    return {"shoes": shoes(), "recipes": recipes(), "films": films(), "long films": films("more")}


def last_answer(shelves: dict[str, Shelf], line: str) -> tuple[set[str], str]:
    """The labels that stand after "shoes: one message >> another", and the words of the last answer."""
    name, _, messages = line.partition(": ")
    talk = Talk(shelves[name])
    *before, last = messages.split(" >> ")
    for message in before:
        talk.say(message)
    words = talk.words(last)
    again = Talk(shelves[name])
    return chips(again, *before, last), words


READ = {
    "shoes: a boot under 60": {"category boots", "price at most 60"},
    "shoes: a red sandal in size 39": {"category sandals", "colour red", "size 39"},
    "shoes: a boot that isn't black": {"category boots", "not colour black"},
    "shoes: something in 42, not red": {"size 42", "not colour red"},
    "shoes: a pair for my mum, she takes a 38": {"size 38"},
    "shoes: boots size 41 and a half": {"category boots", "size 41.5"},
    "shoes: black and white sneakers": {"category sneakers", "colour black or white"},
    "shoes: size 42 >> make it 44": {"size 44"},
    "shoes: size 42 boots >> make that 44": {"category boots", "size 44"},
    "shoes: size 42 boots >> 43 instead": {"category boots", "size 43"},
    "shoes: boots under 100 >> no, 80": {"category boots", "price at most 80"},
    "shoes: under 100 in 42 >> make it 44": {"price at most 100", "size 44"},
    "shoes: under 100 in 42 >> make it 80": {"price at most 80", "size 42"},
    "shoes: under 50 >> not under 50": {"price at least 50"},
    "shoes: 40 to 45 >> of price": {"price 40 to 45"},
    "shoes: boots 50 to 80": {"category boots", "price 50 to 80"},
    "shoes: a hundred tops": {"price at most 100"},
    "shoes: size 42 >> and 43": {"size 42 or size 43"},
    "shoes: size 42 >> not 42 but 43": {"size 43"},
    "shoes: boots under 100 >> better 60 to 90": {"category boots", "price 60 to 90"},
    "shoes: boots under 100 >> 120 is ok too": {"category boots", "price at most 120"},
    "shoes: 42 >> size": {"size 42"},
    "shoes: a boot under 100 in red or a sneaker in white": {
        "boots with price at most 100 and colour red or sneakers with colour white"
    },
    "recipes: dinner for 6 people": {"servings 6"},
    "recipes: a Thai main that serves four": {"cuisine Thai", "course main", "servings 4"},
    "recipes: enough for 8": {"servings 8"},
    "recipes: serves at least 4": {"servings at least 4"},
    "recipes: for two people, under 30 minutes": {"servings 2", "prep time at most 30"},
    "recipes: Thai for 4 >> make it 6": {"cuisine Thai", "servings 6"},
    "recipes: under 300 calories >> twice the calories": {"calories at most 600"},
    "films: 1980 or 1990": {"year 1980 or year 1990"},
    "long films: 7 and up": {"rating at least 7"},
    "long films: a comedy after 1990 >> no, 1980": {"genre Comedy", "year at least 1980"},
    "films: under 1990 >> not under 1990": {"year at least 1990"},
    "films: a war film at 1995": {"genre War", "year 1995"},
    "films: a war film around 1995": {"genre War", "year 1990 to 2000"},
    "long films: under 1990 >> not under 1990": {"year at least 1990"},
    "long films: a war film at 1995": {"genre War", "year 1995"},
    "long films: a war film around 1995": {"genre War", "year 1990 to 2000"},
    "long films: in black and white": {"look black and white"},
    "long films: a comedy, 1980": {"genre Comedy", "year 1980"},
    "long films: under two hours": {"runtime at most 120"},
    "long films: shorter than 1h40": {"runtime at most 100"},
    "long films: 1h30 comedy": {"runtime 81 to 99", "genre Comedy"},
    "long films: two and a half hours": {"runtime 135 to 165"},
    "films: a comedy before 1980 but since 1962": {"genre Comedy", "year at most 1979", "year at least 1962"},
    "long films: as short as possible": {"shorter first"},
    "long films: 90 >> minutes": {"runtime 81 to 99"},
}


@pytest.mark.parametrize(("line", "labels"), READ.items())
def test_numbers_are_read_as_they_are_said(shelves: dict[str, Shelf], line: str, labels: set[str]) -> None:
    standing, words = last_answer(shelves, line)
    assert standing == labels
    assert "did not read" not in words and "There is no" not in words


UNREAD = {
    "shoes: half the price of the first": "‘half the price of the first’",
    "shoes: boots 42": "‘42’",
    "shoes: sneakers for 50": "‘for 50’",
    "shoes: 40 to 45": "‘40 to 45’",
    "shoes: exactly 45": "‘45’",
    "shoes: sandals with a heel": "no ‘heel’",
    "shoes: a boot for hiking under 60": "‘hiking’",
    "shoes: boots for men": "‘men’",
    "recipes: twice the calories": "‘twice the calories’",
    "recipes: 2 desserts and 1 main": "‘2’",
    "recipes: no more than 5 ingredients": "‘no more than 5’",
    "films: dinner for 6 people": "‘for 6 people’",
    "long films: something twice as old": "‘twice as old’",
    "long films: a film as long as the first": "‘as long as the first’",
    "long films: half as long": "‘half as long’",
    "long films: a comedy >> 20 years older": "‘20 years older’",
    "long films: a film with a 7 in the title": "‘with a 7’",
}


@pytest.mark.parametrize(("line", "expected"), UNREAD.items())
def test_what_is_not_read_is_said(shelves: dict[str, Shelf], line: str, expected: str) -> None:
    _, words = last_answer(shelves, line)
    assert expected in words and ("did not read" in words or "here" in words)


@pytest.mark.parametrize(
    "line",
    [
        "shoes: brand Corvo or Pell, no Halden",
        "shoes: any colour but red",
        "shoes: show me 4 boots",
        "shoes: boots >> 2 more",
        "shoes: boots >> like the 2nd but cheaper",
        "shoes: boots >> number 2",
        "shoes: boots for a change",
        "recipes: 100% Thai",
        "long films: top 10 horror films",
    ],
)
def test_what_is_used_is_not_said_to_be_unread(shelves: dict[str, Shelf], line: str) -> None:
    name, _, messages = line.partition(": ")
    talk = Talk(shelves[name])
    for message in messages.split(" >> "):
        words = talk.words(message)
    assert "did not read" not in words and "There is no" not in words
