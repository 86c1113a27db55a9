"""A shop of several departments: each product's demands are its own, and an answer is of what was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.assist.conftest import Talk
from tests.assist.test_films import chips, films  # noqa: F401

from tastemaker.assist.parts import Item
from tastemaker.assist.shelf import Shelf
from tastemaker.converse.catalogue import Catalogue
from tastemaker.encoders.text import fit_tfidf

KINDS = {  # subcategory: category, sizes, cheapest
    "Dress": ("apparel", ("2", "4", "6"), 40.0),
    "Blouse": ("apparel", ("S", "M"), 45.0),
    "Boots": ("footwear", ("6", "7", "8"), 90.0),
    "Heels": ("footwear", ("6", "7"), 60.0),
    "Tote bag": ("bags", ("onesize",), 50.0),
}
COLOURS = {
    "Dress": ("black", "red", "beige", "navy"),
    "Blouse": ("white", "black"),
    "Boots": ("black", "brown"),
}


@pytest.fixture(scope="module")
def shop() -> Shelf:
    """Eight of each kind; the n-th costs 10 n more than the cheapest."""
    rows = [(kind, n) for kind in KINDS for n in range(8)]
    columns: dict[str, tuple[Any, ...]] = {
        "category": tuple(KINDS[kind][0] for kind, _ in rows),
        "subcategory": tuple(kind for kind, _ in rows),
        "size": tuple(KINDS[kind][1] for kind, _ in rows),
        "price": tuple(KINDS[kind][2] + 10 * n for kind, n in rows),
        "rating": tuple(3.0 + n / 5 for _, n in rows),
    }
    columns["colour"] = tuple(
        COLOURS.get(kind, ("red", "black"))[n % len(COLOURS.get(kind, (0, 0)))] for kind, n in rows
    )
    titles = tuple(
        f"{word} {kind}" for kind, n in rows for word in [("Ash", "Elm", "Oak", "Fir")[n % 4] + str(n)]
    )
    texts = [f"{title}: {kind} {KINDS[kind][0]}" for title, (kind, _) in zip(titles, rows, strict=True)]
    encoder, vectors = fit_tfidf(texts)
    ids = tuple(f"p{row}" for row in range(len(rows)))
    catalogue = Catalogue(
        ids, titles, ((),) * len(ids), (None,) * len(ids), ids, columns, np.zeros(len(ids), np.int64)
    )
    return Shelf.of(catalogue, texts, lambda batch: np.nan_to_num(encoder.transform(batch)), vectors)


PARTS = {
    "need a dress in size 2 and heels": ["Dress with size 2 or Heels"],
    "a dress in size 2 and shoes": ["Dress with size 2 or footwear"],
    "black boots in size 8 and a white blouse": [
        "Boots with colour black and size 8 or Blouse with colour white"
    ],
    "a dress in size 2, heels in size 7 and a bag": ["Dress with size 2 or Heels with size 7 or bags"],
    "a dress, shoes and a bag under 100": ["Dress or footwear or bags", "price at most 100"],
    "a bag": ["category bags"],
    "shoes under 100": ["category footwear", "price at most 100"],
    "a dress under 20": ["subcategory Dress", "price at most 20"],
    "a dress or a blouse in size 2": ["subcategory Dress or Blouse", "size 2"],
}


@pytest.mark.parametrize(("message", "labels"), PARTS.items())
def test_demands_are_of_the_product_they_were_said_of(shop: Shelf, message: str, labels: list[str]) -> None:
    assert chips(Talk(shop), message) == set(labels)


def prices(talk: Talk, message: str) -> list[float]:
    return [float(part.facts["price"]) for part in talk.say(message) if isinstance(part, Item)]


@pytest.mark.parametrize(
    ("message", "nearest"),
    {
        "anything for $5 to $10": [40.0, 45.0, 50.0],
        "boots for $10 to $20": [90.0, 100.0, 110.0],
        "boots over 500": [160.0, 150.0, 140.0],
        "a dress under 20": [40.0, 50.0, 60.0],
    }.items(),
)
def test_the_closest_of_what_nothing_is_are_the_closest(
    shop: Shelf, message: str, nearest: list[float]
) -> None:
    assert prices(Talk(shop), message) == nearest


def test_the_end_of_a_scale_is_of_the_things_that_were_named(shop: Shelf) -> None:
    assert prices(Talk(shop), "what is your cheapest bag?") == [50.0, 60.0, 70.0]
    assert prices(Talk(shop), "what's the most expensive thing you have?")[0] == 160.0
    assert "Price: 40 to 160." in Talk(shop).words("what is your price range?")


def test_of_several_things_those_that_nothing_fits_are_named(shop: Shelf) -> None:
    assert "Nothing that fits is subcategory Boots." in Talk(shop).words("a red dress and boots")
    assert "Nothing that fits" not in Talk(shop).words("a black dress and boots")
    assert "‘teal’" in Talk(shop).words("only teal, nothing else")


def test_the_black_one_is_the_one_of_the_list_that_is_black(shop: Shelf) -> None:
    talk = Talk(shop)
    rows = talk.rows("four dresses under 80")
    colours = {str(shop.fact(row, "colour")): row for row in rows}
    assert sorted(colours) == ["beige", "black", "navy", "red"]
    assert shop.title(colours["black"]) in talk.words("the black one")
    assert f"{shop.title(colours['black'])}”: price 40." in talk.words("what does it cost?")
    assert f"{shop.title(colours['navy'])}”: price 70." in talk.words("how much is the navy one?")
    assert "price" in talk.words("how much is the second in size 6?")
    answered = talk.words("what colours are they?")
    assert all(shop.title(row) in answered for row in rows)
    talk.say("I like the red one")
    assert talk.state.liked == (colours["red"],)


def test_most_popular_is_what_most_people_had(shop: Shelf) -> None:
    """Whatever else speaks for an item: here that its maker made many."""
    n = len(shop)
    played, makers = 100 + np.arange(n), tuple("Ann" if row < 9 else f"maker {row}" for row in range(n))
    columns = {**shop.catalogue.columns, "popularity": ("little known",) + ("well known",) * (n - 1)}
    catalogue = replace(shop.catalogue, columns=columns, played=played, creators=makers)
    talk = Talk(Shelf.of(catalogue, shop.texts, shop.embed, shop.vectors))
    assert talk.rows("what's your most popular thing?") == [n - 1, n - 2, n - 3]


def test_either_of_two_genres_stays_either_behind_an_adjective(films: Shelf) -> None:  # noqa: F811
    assert chips(Talk(films), "a comedy or a gentle musical") == {"Comedy or Musical"}
