""" "Quicker than 20 minutes", "lighter than 1 kg", "gluten-free": which way a comparison with a number
points, in the unit of the field, and values that end like a refusal.
"""

from __future__ import annotations

import pytest
from tests.assist.conftest import Talk, tunes
from tests.assist.test_films import films  # noqa: F401
from tests.assist.test_spoken import N, labels, shelf_of

from tastemaker.assist.shelf import Shelf


@pytest.fixture(scope="module")
def shelves(films: Shelf) -> dict[str, Shelf]:  # noqa: F811
    kitchen = {
        "course": tuple(("soup", "tacos")[row % 2] for row in range(N)),
        "diet": tuple(("vegan", "gluten-free", "vegetarian")[row % 3] for row in range(N)),
        "ingredient": tuple(("tofu", "beef")[row // 2 % 2] for row in range(N)),
        "minutes": tuple(float(5 + 3 * row) for row in range(N)),
        "calories": tuple(float(120 + 25 * row) for row in range(N)),
    }
    shop = {
        "attribute": tuple(("boots", "jacket")[row % 2] for row in range(N)),
        "price": tuple(8.0 + 6 * row for row in range(N)),
        "weight_g": tuple(80.0 + 60 * (row * 7 % N) for row in range(N)),
        "rating": tuple(1.5 + row % 8 / 2 for row in range(N)),
    }
    return {
        "films": films,
        "tunes": tunes(),
        "kitchen": shelf_of([f"Plate {row}" for row in range(N)], kitchen),
        "shop": shelf_of([f"Pair {row}" for row in range(N)], shop),
    }


COMPARED = {
    "kitchen: quicker than 20 minutes": {"minutes at most 20"},
    "kitchen: faster than half an hour": {"minutes at most 30"},
    "kitchen: quicker than 20": {"minutes at most 20"},
    "kitchen: slower than an hour": {"minutes at least 60"},
    "kitchen: no slower than 20 minutes": {"minutes at most 20"},
    "kitchen: longer than 20 minutes": {"minutes at least 20"},
    "kitchen: lighter than 300 calories": {"calories at most 300"},
    "kitchen: no lighter than 300 calories": {"calories at least 300"},
    "kitchen: vegan or gluten-free tacos": {"diet vegan or gluten-free", "tacos"},
    "kitchen: gluten-free soup": {"diet gluten-free", "soup"},
    "kitchen: soup, not gluten-free": {"soup", "not diet gluten-free"},
    "kitchen: vegan or nut-free tacos": {"diet vegan", "tacos"},
    "kitchen: tofu-free or vegan": {"not ingredient tofu", "diet vegan"},
    "shop: a jacket lighter than 1 kg": {"jacket", "weight at most 1000"},
    "shop: boots heavier than 1500 grams": {"boots", "weight at least 1500"},
    "shop: boots no heavier than 1.5 kg": {"boots", "weight at most 1500"},
    "shop: lighter than 300": {"weight at most 300"},
    "shop: boots under 100": {"boots", "price at most 100"},
    "shop: boots not under 100": {"boots", "price at least 100"},
    "shop: a jacket at 100": {"jacket", "price 90 to 110"},
    "shop: boots around 200 g": {"boots", "weight 180 to 220"},
    "shop: more expensive than 100": {"price at least 100"},
    "shop: not more expensive than 100, at least 3 stars": {"price at most 100", "rating at least 3"},
    "films: a comedy after 1990 or a thriller before 1960": {
        "Comedy with year at least 1991 or Thriller with year at most 1959"
    },
    "films: thrillers after 2000 and dramas before 1980": {
        "Thriller with year at least 2001 or Drama with year at most 1979"
    },
    "films: a comedy after 1990 or a thriller before 1960 >> only the thriller": {
        "Thriller",
        "year at most 1959",
    },
    "films: a comedy or a drama from the 90s": {"Comedy or Drama", "decade 1990s"},
    "tunes: anything but D major": {"not key D and mode major"},
    "tunes: a jig, not in A minor": {"type jig", "not key A and mode minor"},
}


@pytest.mark.parametrize("line", COMPARED)
def test_a_comparison_with_a_number_points_the_way_it_is_meant(line: str, shelves: dict[str, Shelf]) -> None:
    read = {label.removeprefix("course ") for label in labels(shelves, line)}
    assert read == COMPARED[line]


def test_a_bare_number_that_corrects_nothing_known_is_said_to_be_unread(shelves: dict[str, Shelf]) -> None:
    talk = Talk(shelves["shop"])
    talk.words("boots")
    for message in ("make it 44", "no, I meant 43"):
        assert "I did not read" in talk.words(message)
