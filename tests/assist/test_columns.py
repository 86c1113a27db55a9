"""Sorts of columns: days, sums with two ends, lists that are counted, titles that say what a thing is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tests.assist.conftest import Talk, rows_of

from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import dump, load
from tastemaker.converse.catalogue import Catalogue, Day
from tastemaker.encoders.text import fit_tfidf

N = 120
TODAY = datetime.now(UTC).date()
LEVELS, TRADES = ("Senior", "Junior", "Lead", "Night"), ("Nurse", "Pastry Chef", "Welder")
PERKS = ("car", "meals", "gym", "phone", "bike", "bonus")
COURSES = ("Weaving", "Sailing", "Algebra")


def shelf_of(titles: tuple[str, ...], columns: dict[str, list[Any]]) -> Shelf:
    encoder, vectors = fit_tfidf(titles)
    ids = tuple(f"i{row}" for row in range(N))
    cells = {name: tuple(column) for name, column in columns.items()}
    catalogue = Catalogue(ids, titles, ((),) * N, (None,) * N, ids, cells, np.zeros(N, np.int64))
    return Shelf.of(catalogue, titles, lambda batch: np.nan_to_num(encoder.transform(batch)), vectors)


@pytest.fixture(scope="module")
def posts() -> Shelf:
    """Vacancies of the last 240 days: row r was posted 2 r days ago."""
    titles = tuple(f"{LEVELS[row % 4]} {TRADES[row % 3]}" for row in range(N))
    return shelf_of(
        titles,
        {
            "town": [("Paris", "Turin", "Graz", "Cork", "Bergen")[row % 5] for row in range(N)],
            "salary_min": [float(20000 + 500 * row) for row in range(N)],
            "salary_max": [float(24000 + 600 * row) for row in range(N)],
            "perks": [
                tuple(("car", "meals", "gym", "phone", "bike", "bonus")[: row % 6 + 1]) for row in range(N)
            ],
            "posted": [Day((TODAY - timedelta(2 * row)).toordinal()) for row in range(N)],
        },
    )


@pytest.fixture(scope="module")
def archive() -> Shelf:
    """Two years of pieces: row r appeared on day 6 r of 2021 and 2022."""
    days = [date(2021, 1, 1) + timedelta(6 * row) for row in range(N)]
    return shelf_of(
        tuple(f"{COURSES[row % 3]} {row}" for row in range(N)),
        {
            "writer": [("Ada Voss", "Bram Holt", "Cleo Marsh")[row % 3] for row in range(N)],
            "fee": [float(row % 4 * 10) for row in range(N)],
            "year": [float(day.year) for day in days],
            "published": [Day(day.toordinal()) for day in days],
        },
    )


def _day(shelf: Shelf, row: int) -> date:
    return date.fromordinal(int(shelf.catalogue.columns["published"][row]))  # type: ignore[arg-type]


SPANS: dict[str, Callable[[date], bool]] = {
    "published before March 2022": lambda day: day < date(2022, 3, 1),
    "after June 2021": lambda day: day > date(2021, 6, 30),
    "since 5 May 2022": lambda day: day >= date(2022, 5, 5),
    "not before May 2022": lambda day: day >= date(2022, 5, 1),
    "nothing after 1 February 2021": lambda day: day <= date(2021, 2, 1),
    "in April 2021": lambda day: (day.year, day.month) == (2021, 4),
    "in August": lambda day: (day.year, day.month) == (2022, 8),
    "not in April 2021": lambda day: (day.year, day.month) != (2021, 4),
    "between March and May 2022": lambda day: date(2022, 3, 1) <= day <= date(2022, 5, 31),
    "between 10 and 20 December 2021": lambda day: date(2021, 12, 10) <= day <= date(2021, 12, 20),
    "from 2021-02-01 to 2021-03-15": lambda day: date(2021, 2, 1) <= day <= date(2021, 3, 15),
    "3.9.2022 or later": lambda day: day >= date(2022, 9, 3),
    "before 2022": lambda day: day.year < 2022,
    "im Dezember 2021": lambda day: (day.year, day.month) == (2021, 12),
}


@pytest.mark.parametrize("message", SPANS)
def test_days_are_read_as_bounds_and_spans(archive: Shelf, message: str) -> None:
    talk = Talk(archive)
    talk.say(message)
    fits = np.flatnonzero(talk.desk.holds).tolist()
    assert fits == [row for row in range(N) if SPANS[message](_day(archive, row))]


@pytest.mark.parametrize("message", ["latest", "newest first", "the most recent"])
def test_the_latest_is_so_by_day(archive: Shelf, message: str) -> None:
    assert Talk(archive).rows(message) == [N - 1, N - 2, N - 3]


def test_later_than_one_that_was_shown(archive: Shelf) -> None:
    talk = Talk(archive)
    first = talk.rows("in April 2021")[0]
    talk.say("any date, but later than that")
    assert all(_day(archive, row) > _day(archive, first) for row in np.flatnonzero(talk.desk.holds))


def test_a_day_is_told_and_kept_as_a_day(archive: Shelf) -> None:
    talk = Talk(archive)
    row = talk.rows("since 5 May 2022")[0]
    assert str(_day(archive, row)) in talk.words("when was the first published?")
    state = load(dump(talk.state, archive.catalogue.item_ids), "c", None, archive.catalogue)
    assert state.active == talk.state.active and "2022-05-05" in str(talk.desk.understood().chips)


@pytest.mark.parametrize(
    ("message", "days"), [("posted in the last 30 days", 30), ("from the past two weeks", 14)]
)
def test_days_back_from_today(posts: Shelf, message: str, days: int) -> None:
    talk = Talk(posts)
    talk.say(message)
    assert np.flatnonzero(talk.desk.holds).tolist() == list(range(days // 2 + 1))


SALARIES: dict[str, Callable[[float, float], bool]] = {
    "salary above 60k": lambda low, high: low >= 60000,
    "paying at least 45,000 euros": lambda low, high: low >= 45000,
    "a salary under 40k": lambda low, high: high <= 40000,
    "salary between 40k and 60k": lambda low, high: low >= 40000 and high <= 60000,
    "salary not below 70k": lambda low, high: low >= 70000,
    "salary exactly 50000": lambda low, high: low <= 50000 <= high,
}


@pytest.mark.parametrize("message", SALARIES)
def test_a_sum_with_two_ends_is_read_by_both(posts: Shelf, message: str) -> None:
    talk = Talk(posts)
    talk.say(message)
    ends = zip(posts.catalogue.columns["salary_min"], posts.catalogue.columns["salary_max"], strict=True)
    right = [row for row, (low, high) in enumerate(ends) if SALARIES[message](low, high)]  # type: ignore[arg-type]
    assert np.flatnonzero(talk.desk.holds).tolist() == right


def test_the_highest_salary_goes_by_its_upper_end(posts: Shelf) -> None:
    assert Talk(posts).rows("highest salary")[0] == N - 1
    assert Talk(posts).rows("the best paid nurse")[0] == max(row for row in range(N) if row % 3 == 0)


COUNTS: dict[str, Callable[[int], bool]] = {
    "at most 2 perks": lambda n: n <= 2,
    "with at least 5 perks": lambda n: n >= 5,
    "exactly 3 perks": lambda n: n == 3,
    "few perks": lambda n: n <= 2,
    "4 or 5 perks": lambda n: n in (4, 5),
    "not many perks": lambda n: n <= 5,
}


@pytest.mark.parametrize("message", COUNTS)
def test_lists_are_counted(posts: Shelf, message: str) -> None:
    talk = Talk(posts)
    rows = talk.rows(message)
    fits = np.flatnonzero(talk.desk.holds)
    assert rows and len(fits) < N and all(COUNTS[message](row % 6 + 1) for row in fits.tolist())


def test_how_many_values_one_has_is_answered_with_their_number(posts: Shelf) -> None:
    talk = Talk(posts)
    row = talk.rows("in Graz")[0]
    assert f"number of perks {row % 6 + 1}." in talk.words("how many perks does the first have?")


TITLED: dict[str, Callable[[int], bool]] = {
    "nurse in Paris": lambda row: row % 3 == 0 and row % 5 == 0,
    "pastrry chef in Turin": lambda row: row % 3 == 1 and row % 5 == 1,
    "no welders, in Graz": lambda row: row % 3 != 2 and row % 5 == 2,
    "I am looking for a job as a welder": lambda row: row % 3 == 2,
    "anywhere but Paris": lambda row: row % 5 != 0,
}


@pytest.mark.parametrize("message", TITLED)
def test_titles_say_what_a_thing_is(posts: Shelf, message: str) -> None:
    talk = Talk(posts)
    talk.say(message)
    assert np.flatnonzero(talk.desk.holds).tolist() == [row for row in range(N) if TITLED[message](row)]


@pytest.mark.parametrize("message", ["jobs", "find me a job", "articles", "what events are there"])
def test_the_noun_of_a_catalogue_is_no_wish(posts: Shelf, message: str) -> None:
    assert "There is no" not in Talk(posts).words(message)


def test_free_is_a_price_of_nothing_and_that_writer_the_one_shown(archive: Shelf) -> None:
    talk = Talk(archive)
    rows = talk.rows("free ones by Ada Voss")
    assert rows and np.flatnonzero(talk.desk.holds).tolist() == [
        r for r in range(N) if r % 4 == 0 and r % 3 == 0
    ]
    talk = Talk(archive)
    first = talk.rows("in April 2021")[0]
    assert all(row % 3 != first % 3 for row in rows_of(archive, talk.say("not that writer")))


@pytest.fixture(scope="module")
def cellar() -> Shelf:
    """Bottles: numbers in units that cells had, years that no name tells, points of critics."""
    titles = tuple(f"{('Quinta', 'Weingut', 'Domaine')[row % 3]} {row}" for row in range(N))
    return shelf_of(
        titles,
        {
            "land": [("Portugal", "Austria", "Spain")[row % 3] for row in range(N)],
            "vintage": [float(1990 + row * 7 % 35) for row in range(N)],
            "cost": [float(5 + row * 11 % N) for row in range(N)],
            "alcohol_percent": [float(row * 13 % N) / 20 + 9 for row in range(N)],
            "critic_score": [float(70 + row * 17 % 30) for row in range(N)],
            "bottle_cl": [(37.5, 75.0, 150.0)[row * 5 % 3] for row in range(N)],
        },
    )


BOUNDS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "under 12% alcohol": ("alcohol_percent", lambda n: n <= 12),
    "alcohol under 12%": ("alcohol_percent", lambda n: n <= 12),
    "at least 13.5 percent": ("alcohol_percent", lambda n: n >= 13.5),
    "not over 11.5 %": ("alcohol_percent", lambda n: n <= 11.5),
    "above 90 points": ("critic_score", lambda n: n >= 90),
    "95+ points": ("critic_score", lambda n: n >= 95),
    "at least 75 cl": ("bottle_cl", lambda n: n >= 75),
}


@pytest.mark.parametrize("message", BOUNDS)
def test_a_number_is_known_by_its_unit_and_by_its_name_without_it(cellar: Shelf, message: str) -> None:
    name, right = BOUNDS[message]
    talk = Talk(cellar)
    talk.say(message)
    cells = cellar.catalogue.columns[name]
    assert np.flatnonzero(talk.desk.holds).tolist() == [row for row in range(N) if right(cells[row])]  # type: ignore[arg-type]


def test_a_share_of_something_else_is_no_number_of_an_item(cellar: Shelf) -> None:
    talk = Talk(cellar)
    talk.say("from Spain, 12% cheaper")
    assert all(constraint.clause.field != "alcohol_percent" for constraint in talk.state.active)


ORDERS: dict[str, tuple[str, bool]] = {
    "sort by alcohol": ("alcohol_percent", False),
    "order them by critic score": ("critic_score", True),
    "sorted by cost, high to low": ("cost", True),
    "by cost": ("cost", False),
    "sort by vintage": ("vintage", True),
    "rank by vintage, oldest first": ("vintage", False),
    "the oldest": ("vintage", False),
    "newest first": ("vintage", True),
}


@pytest.mark.parametrize("message", ORDERS)
def test_an_order_begins_at_the_end_that_was_asked_for_among_what_fits(cellar: Shelf, message: str) -> None:
    name, down = ORDERS[message]
    talk = Talk(cellar)
    talk.say("from Spain")
    rows = talk.rows(message)
    cells = [cellar.catalogue.columns[name][row] for row in range(2, N, 3)]
    assert [cellar.catalogue.columns[name][row] for row in rows] == sorted(cells, reverse=down)[: len(rows)]  # type: ignore[type-var]
    assert len(rows) >= 3 and all(row % 3 == 2 for row in rows)
