"""What people say in a bookshop, of second-hand cars and in a shop whose columns are awkward."""

from __future__ import annotations

from typing import Any

import pytest
from tests.assist.conftest import Talk, rows_of
from tests.assist.test_unread import N, last_answer, recipes, shelf_of

from tastemaker.assist.shelf import Shelf


def books() -> Shelf:
    columns: dict[str, list[Any]] = {
        "genre": [("Crime", "Science Fiction", "Children's", "Cookery")[row % 4] for row in range(N)],
        "format": [("Hardback", "Paperback", "E-book")[row // 4 % 3] for row in range(N)],
        "pages": [float(60 + 14 * row) for row in range(N)],
        "price": [round(3 + 0.5 * row, 2) for row in range(N)],
        "rating": [round(2 + row / 20, 1) for row in range(N)],
        "year": [float(1955 + row) for row in range(N)],
    }
    return shelf_of(
        columns,
        ("Long", "Quiet", "Last", "Paper", "Hidden", "Silver"),
        ("Winter", "Letter", "Station", "Garden", "Bridge"),
    )


def cars() -> Shelf:
    columns: dict[str, list[Any]] = {
        "brand": [("Toyota", "Fiat", "Volkswagen")[row % 3] for row in range(N)],
        "model": [
            (("Yaris", "500", "Golf"), ("RAV4", "Panda", "Polo"))[row // 3 % 2][row % 3] for row in range(N)
        ],
        "mileage_km": [float(4000 * (row + 1)) for row in range(N)],
        "price_eur": [float(1000 * (1 + row * 7 % N)) for row in range(N)],
        "doors": [float((3, 5)[row // 6 % 2]) for row in range(N)],
        "seats": [float((4, 5, 7)[row // 4 % 3]) for row in range(N)],
        "year": [float(2005 + row % 20) for row in range(N)],
    }
    return shelf_of(
        columns, ("Sun", "Sky", "Wind", "Rain", "Snow", "Fog"), ("one", "two", "three", "four", "five")
    )


def furniture() -> Shelf:
    columns: dict[str, list[Any]] = {
        "product_type": [("Chair", "Lamp", "Other")[row % 3] for row in range(N)],
        "made_in": [("Sweden", "Italy", "Other")[row // 3 % 3] for row in range(N)],
        "frame_colour": [("Black", "White", "Oak")[row // 9 % 3] for row in range(N)],
        "seat_colour": [("Black", "White", "Red")[row // 2 % 3] for row in range(N)],
        "assembly": [("Required", "Not required")[row // 5 % 2] for row in range(N)],
        "height_cm": [float(30 + 3 * row) for row in range(N)],
        "warranty_year": [float((1, 2, 5)[row // 4 % 3]) for row in range(N)],
    }
    return shelf_of(columns, ("Nora", "Lund", "Vega", "Sol", "Tova", "Ebba"), ("A", "B", "C", "D", "E"))


def buecher() -> Shelf:
    columns: dict[str, list[Any]] = {
        "genre": [("Krimi", "Fantasy", "Lyrik")[row % 3] for row in range(N)],
        "sprache": [("de", "en", "fr")[row // 3 % 3] for row in range(N)],
        "preis": [round(3 + 0.5 * row, 2) for row in range(N)],
        "seiten": [float(60 + 14 * row) for row in range(N)],
    }
    return shelf_of(
        columns, ("Nora", "Lund", "Vega", "Sol", "Tova", "Ebba"), ("eins", "zwei", "drei", "vier", "elf")
    )


def meals() -> Shelf:
    diets = (("vegan", "gluten-free"), ("vegan",), ("gluten-free",), ("halal",))
    columns: dict[str, list[Any]] = {
        "diet": [diets[row % 4] for row in range(N)],
        "difficulty": [("easy", "hard")[row // 4 % 2] for row in range(N)],
    }
    return shelf_of(
        columns,
        ("Lemon", "Garlic", "Coconut", "Basil", "Chili", "Honey"),
        ("rice", "beans", "chicken", "tofu", "noodles"),
    )


@pytest.fixture(scope="module")
def shelves() -> dict[str, Shelf]:
    made = {"books": books(), "cars": cars(), "furniture": furniture(), "recipes": recipes()}
    return {**made, "buecher": buecher(), "meals": meals()}


READ = {
    "books: three short books": {"pages at most 270 if possible"},
    "books: rating 6 or 7": {"rating 6 to 6.99 or rating 7 to 7.99"},
    "books: rated 4": {"rating 4 to 4.99"},
    "books: childrens": {"genre Children's"},
    "books: chidren's books": {"genre Children's"},
    "books: a sci-fi ebook": {"genre Science Fiction", "format E-book"},
    "books: hard cover cookbooks": {"genre Cookery", "format Hardback"},
    "books: crime under a tenner": {"genre Crime", "price at most 10"},
    "books: 500+ pages": {"pages at least 500"},
    "books: 500 or more pages": {"pages at least 500"},
    "books: older than 1960 or newer than 2010": {"year at most 1959 or year at least 2011"},
    "books: published in 1987": {"year 1987"},
    "books: crime for my 5 year old": {"genre Crime"},
    "books: crime as long as it's a paperback": {"genre Crime", "format Paperback"},
    "books: the cheapest crime >> twice the price of the third": {"genre Crime", "price 12.6 to 15.4"},
    "cars: a red one under 10 grand": {"price at most 10000"},
    "cars: between 5 and 10 thousand euros": {"price 5000 to 10000"},
    "cars: twenty thousand euros max": {"price at most 20000"},
    "cars: 20 000 euro max": {"price at most 20000"},
    "cars: under €12.000": {"price at most 12000"},
    "cars: five doors": {"doors 5"},
    "cars: a 3 door golf": {"doors 3", "model Golf"},
    "cars: seven seater": {"seats 7"},
    "cars: less than 50000 miles": {"mileage at most 80467"},
    "cars: fiat 500": {"brand Fiat", "model 500"},
    "cars: toyata": {"brand Toyota"},
    "cars: 2019 onwards": {"year at least 2019"},
    "furniture: black frame and red seat": {"frame colour Black", "seat colour Red"},
    "furniture: white seat, not white frame": {"seat colour White", "not frame colour White"},
    "furniture: a chair with no assembly": {"type Chair", "assembly Not required"},
    "furniture: assembly not required": {"assembly Not required"},
    "furniture: assembly required": {"assembly Required"},
    "furniture: taller than a metre": {"height at least 100"},
    "furniture: at most 1.5 m high": {"height at most 150"},
    "furniture: at least two years warranty": {"warranty at least 2"},
    "recipes: dinner for six": {"servings 6"},
    "recipes: for a party of eight": {"servings 8"},
    "recipes: three quarters of an hour at most": {"prep time at most 45"},
    "recipes: an hour and a half or less": {"prep time at most 90"},
    "recipes: between three and five hundred calories": {"calories 300 to 500"},
    "recipes: two hundred and fifty calories at most": {"calories at most 250"},
    "recipes: between ninety and one hundred and twenty calories": {"calories 90 to 120"},
    "buecher: a Krimi in German under 10 euro": {"genre Krimi", "language de", "price at most 10"},
    "buecher: Ein Krimi unter 10 Euro": {"genre Krimi", "price at most 10"},
    "buecher: mehr als 500 Seiten": {"pages at least 500"},
    "buecher: Lyrik with fewer than 200 pages": {"genre Lyrik", "pages at most 200"},
    "meals: vegan, gluten-free and easy": {"diet vegan", "diet gluten-free", "difficulty easy"},
    "meals: something vegan, gluten-free": {"diet vegan", "diet gluten-free"},
    "meals: vegan, halal or gluten-free": {"diet vegan or halal or gluten-free"},
}


@pytest.mark.parametrize(("line", "labels"), READ.items())
def test_what_people_say_is_read(shelves: dict[str, Shelf], line: str, labels: set[str]) -> None:
    assert last_answer(shelves, line)[0] == labels


TOLD = {
    "books: what does the first cost?": "Nothing was shown yet",
    "books: give me the third one": "Nothing was shown yet",
    "books: crime >> give me the third one": "genre Crime",
    "books: how many crime books are there? >> and in paperback?": "5: genre Crime; format Paperback.",
    "books: you are stupid": "I am sorry",
    "books: crime for a birthday": "No words here say ‘birthday’",
    "cars: under 300 horsepower": "‘under 300’",
    "cars: what's the most popular brand?": "Brand: Toyota (20), Fiat (20)",
    "cars: golf >> which is the second cheapest of these?": "price",
    "furniture: a chair made in Italy >> is it made in Sweden?": "No: ",
    "furniture: what products do you have": "Chair (20)",
    "recipes: a quick italian dinner": "No words here say ‘dinner’",
    "recipes: recommend me something": "For you:",
    "recipes: what should I cook tonight?": "For you:",
    "recipes: recommend me something for dinner": "No words here say ‘dinner’",
    "books: an oak table": "There is no ‘oak table’ here",
    "buecher: a book in Spanish": "There is no ‘Spanish’ here",
    "recipes: a Mexican cocktail": "There is no ‘cocktail’ here",
    "books: a crime audiobook with 300 pages": "There is no ‘audiobook’ here",
}


@pytest.mark.parametrize(("line", "words"), TOLD.items())
def test_what_cannot_be_used_is_told_and_questions_are_answered(
    shelves: dict[str, Shelf], line: str, words: str
) -> None:
    talk = Talk(shelves[line.partition(": ")[0]])
    answers = [talk.words(message) for message in line.partition(": ")[2].split(" >> ")]
    assert words in answers[-1]


@pytest.mark.parametrize(
    ("message", "prices"),
    {
        "the second cheapest book": [3.5, 4.0, 4.5],
        "the third most expensive": [31.5, 31.0, 30.5],
        "the cheapest crime but one": [5.0, 7.0, 9.0],
        "the 41st cheapest": [23.0, 23.5, 24.0],
    }.items(),
)
def test_the_second_from_the_end_of_a_scale_comes_first(
    shelves: dict[str, Shelf], message: str, prices: list[float]
) -> None:
    shelf = shelves["books"]
    assert [shelf.fact(row, "price") for row in rows_of(shelf, Talk(shelf).say(message))] == prices


def test_what_was_counted_is_shown_when_asked_for(shelves: dict[str, Shelf]) -> None:
    talk = Talk(shelves["books"])
    talk.say("how many cookery books do you have?")
    rows = talk.rows("show me them")
    assert rows and {talk.shelf.fact(row, "genre") for row in rows} == {"Cookery"}


def test_large_numbers_are_told_in_full(shelves: dict[str, Shelf]) -> None:
    assert "1000 to 60000. On average 30500." in Talk(shelves["cars"]).words("what is the average price?")


def test_whoever_asks_for_a_recommendation_alone_gets_one(shelves: dict[str, Shelf]) -> None:
    for message in ("recommend me something", "suggest a recipe for dinner", "What should I eat?"):
        talk = Talk(shelves["recipes"])
        assert talk.rows(message) and "did not catch" not in talk.words(message)
