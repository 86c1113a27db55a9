"""Columns of items that play no part of their own become facts: what a shop's export says of its goods."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tastemaker.store.ingest.facts as facts
from tastemaker.flows.ingest import ingest_files
from tastemaker.store import IngestSettings, Workspace

N = 60
PRIVATE = [
    "website",
    "phone_number",
    "ip",
    "ipAddress",
    "password",
    "ssn",
    "session_token",
    "owner",
    "barcode",
    "email",
    "customerEmail",
    "iban",
    "card",
    "cardNumber",
    "mobile",
    "fax",
    "homepage",
    "street",
    "secret",
]
LEAKS = (
    "https://example.org/1",
    "www.example.org/1",
    "ann@example.org",
    "10.0.0.1",
    "2001:db8::1",
    "123e4567-e89b-12d3-a456-426614174000",
    "0123456789abcdef",
    "+1 555-010-1234",
    "(555) 010-1234",
    "123-45-6789",
    "4111 1111 1111 1111",
)


def taken(
    tmp_path: Path, columns: dict[str, Sequence[Any]], **options: Any
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The facts that were understood, and the items as they are kept, by id."""
    file = tmp_path / "items.csv"
    names = ["item_id", "title", *columns]
    lines = [
        [
            f"i{row}",
            f"Thing {row}",
            *("" if column[row] is None else str(column[row]) for column in columns.values()),
        ]
        for row in range(N)
    ]
    file.write_text("\n".join(",".join(f'"{cell}"' for cell in line) for line in [names, *lines]) + "\n")
    workspace = Workspace.create(tmp_path / "shop").root
    result = ingest_files(workspace, file, None, **options)
    items = sorted(
        Workspace.open(workspace).table("items").to_pylist(), key=lambda item: int(item["item_id"][1:])
    )
    return dict(result["items"]["understood"]["facts"]), items


def test_a_shops_columns_are_facts(tmp_path: Path) -> None:
    columns = {
        "Color": [("red", "blue", "green")[row % 3] for row in range(N)],
        "Unit Price": [f"${10 + row / 4:.2f}" for row in range(N)],
        "pages": [100 + 7 * (row * 13 % 50) if row % 4 else None for row in range(N)],
        "prep time": [f"{5 + row % 7} min" for row in range(N)],
        "is_vegan": [("yes", "no")[row % 2] for row in range(N)],
        "materials": [("wool|silk", "linen", "wool")[row % 3] for row in range(N)],
        "languages": [("English, German", "German", None)[row % 3] for row in range(N)],
    }
    kinds, items = taken(tmp_path, columns)
    assert kinds == {
        "Color": "word",
        "Unit Price": "number",
        "pages": "number",
        "prep time": "number",
        "is_vegan": "flag",
        "materials": "words",
        "languages": "words",
    }
    assert items[0]["attributes"] == [
        "color=red",
        "unit_price=10",
        "prep_time_min=5",
        "is vegan",
        "materials=wool",
        "materials=silk",
        "languages=English",
        "languages=German",
    ]
    assert items[1]["attributes"] == [
        "color=blue",
        "unit_price=10.25",
        "pages=191",
        "prep_time_min=6",
        "materials=linen",
        "languages=German",
    ]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("row", list(range(N))),
        ("place", list(range(1, N + 1))),  # a numbering
        ("barcode_id", [row % 5 for row in range(N)]),
        ("imageUrl", ["https://example.org/a.png"] * (N - 1) + ["https://example.org/b.png"]),
        ("remark", [f"the {row}th of them, as it was written down by hand" for row in range(N)]),
        ("maker_no", [f"m{row}" for row in range(N)]),  # every item another
        ("only", ["x"] * N),
        ("rare", ["a", "b"] + [None] * (N - 2)),
        ("12", ["a", "b"] * (N // 2)),
        ("nothing", [None] * N),
        ("offer", ["{'amount': 5}", "{'amount': 7}"] * (N // 2)),  # objects
        ("who", ["ann", "bob", "ann|b@example.org"] * (N // 3)),
        ("cover_image", ["a/b.png", "a/c.png"] * (N // 2)),
        ("photo", ["a.tiff", "b.tiff"] * (N // 2)),
        ("zone", [f"{row:05}" for row in range(N)]),  # codes, none of which repeats
        ("number", [1505961605123 + 7 * (row % 9) for row in range(N)]),  # codes alike in length
        ("huge", [10**17 + row * row for row in range(N)]),
    ],
)
def test_what_tells_nothing_is_no_fact(tmp_path: Path, name: str, cells: list[Any]) -> None:
    kinds, items = taken(tmp_path, {name: cells})
    assert kinds == {} and items[0]["attributes"] is None


def test_a_column_that_was_named_stands_alone(tmp_path: Path) -> None:

    columns = {"kind": ["a", "b"] * (N // 2), "color": ["red", "blue"] * (N // 2)}
    kinds, items = taken(tmp_path, columns, settings=IngestSettings(columns={"attributes": "kind"}))
    assert kinds == {} and items[0]["attributes"] == ["a"]


def test_facts_stand_beside_the_column_of_attributes(tmp_path: Path) -> None:
    columns = {"genres": ["x|y", ""] * (N // 2), "color": ["red", "blue"] * (N // 2)}
    kinds, items = taken(tmp_path, columns)
    assert kinds == {"color": "word"}
    assert [item["attributes"] for item in items[:2]] == [["x", "y", "color=red"], ["color=blue"]]


def test_lists_of_parquet_are_facts(tmp_path: Path) -> None:
    file = tmp_path / "items.parquet"
    tags = [["a", "b"], ["b"], [], None] * (N // 4)
    pq.write_table(
        pa.table({"item_id": [f"i{row}" for row in range(N)], "title": ["t"] * N, "moods": tags}), file
    )
    workspace = Workspace.create(tmp_path / "shop").root
    result = ingest_files(workspace, file, None)
    assert result["items"]["understood"]["facts"] == {"moods": "words"}
    assert "facts: 'moods' (words)" in result["text"]


def test_very_many_numbers_are_kept_with_three_digits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(facts, "EXACT", 50)
    _, items = taken(tmp_path, {"price": [f"{10 + row * 1.2345:.4f}" for row in range(N)]})
    assert items[1]["attributes"] == ["price=11.2"]


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("zip", ["02134", "90210"], "zip=02134"),
        ("area", ["02134", "90210"], "area=02134"),
        ("votes", [1505961605123, 7], "votes=1505961605123"),
        ("budget", [10_000_000, 25_000_000], "budget=10000000"),
        ("share", [0.00001, 0.5], "share=0.00001"),
        ("musical_key", ["C", "Am"], "musical_key=C"),
        ("version", ["1.0", "b"], "version=1.0"),
        ("photo", ["yes, one", "none at all"], "photo=yes, one"),
        ("picture", ["square", "wide"], "picture=square"),
        ("file", ["pdf", "epub"], "file=pdf"),
        ("dolby", ["1.0", "0.0"], "dolby"),
        ("dolby", ["1", None], "dolby"),
        ("shade", ["Red", "Blue", "Red", "red", "BLUE", "Blue"], "shade=Red"),
        ("shade", ["red", "Blue", "Red", "Red", "BLUE", "Blue"], "shade=Red"),
        ("moods", ["calm|Sad", "sad", "Sad", "Calm", "calm", "calm"], "moods=calm"),
        ("moods", ["Drama, Comedy", *["Drama", "Comedy", "War"] * 3], "moods=Drama"),
        ("moods", ["Drama,Comedy", "Drama"], "moods=Drama"),
    ],
)
def test_what_is_told_is_kept_as_it_is(tmp_path: Path, name: str, cells: list[Any], expected: str) -> None:
    kinds, items = taken(tmp_path, {name: [cells[row % len(cells)] for row in range(N)]})
    assert list(kinds) == [name] and items[0]["attributes"][0] == expected


def test_numbers_that_follow_each_other_count_rows_unless_their_name_says_more(tmp_path: Path) -> None:
    columns = {"pages": range(N), "nth": range(5, 5 + N), "wide": [3 * row for row in range(N)]}
    assert list(taken(tmp_path, columns)[0]) == ["pages", "wide"]


def test_flags_do_not_count_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    columns: dict[str, Sequence[Any]] = {f"is_{n}": ["1", "0"] * (N // 2) for n in range(40)}
    columns |= {f"word{n}": ["a", "b"] * (N // 2) for n in range(facts.MOST + 2)}
    columns |= {"Word0": ["c", "d"] * (N // 2)}
    kinds, _ = taken(tmp_path, columns)
    assert list(kinds) == list(columns)[: 40 + facts.MOST]
    notes = ingest_files(tmp_path / "shop", tmp_path / "items.csv", None)["items"]["notes"]
    assert any(f"'word{facts.MOST}', 'word{facts.MOST + 1}' left out" in note for note in notes)
    assert any("'Word0'" in note and "'word0' has the same name" in note for note in notes)


def test_a_second_column_of_lists_is_split_as_the_first(tmp_path: Path) -> None:
    columns = {"tags": ["x, y", "x"] * (N // 2), "genres": ["Drama, Comedy", "Drama", "War"] * (N // 3)}
    kinds, items = taken(tmp_path, columns)
    assert len(kinds) == 1
    assert [item["attributes"] for item in items[:1]] == [["x", "y", "genres=Drama", "genres=Comedy"]]


def test_what_tells_of_people_machines_and_accounts_is_no_fact(tmp_path: Path) -> None:
    columns: dict[str, Sequence[Any]] = {name: ["ab", "cd", "ef"] * (N // 3) for name in PRIVATE}
    columns |= {f"made_{n}": [cell, f"{cell[:-1]}3"] * (N // 2) for n, cell in enumerate(LEAKS)}
    kinds, items = taken(tmp_path, columns | {"shade": ["red", "blue"] * (N // 2)})
    assert kinds == {"shade": "word"} and items[0]["attributes"] == ["shade=red"]


def test_a_name_is_private_by_what_it_is_of(tmp_path: Path) -> None:
    """A phone's model and a protection rating are of the thing; a phone's number is of a person."""
    columns = {
        "phone_model": [("Pixel", "Fairphone")[row % 2] for row in range(N)],
        "ip_rating": [("IP67", "IP68")[row % 2] for row in range(N)],
        "street_style": [("boho", "skate")[row % 2] for row in range(N)],
        "session_length": [row % 7 for row in range(N)],
        "phone_home": [f"desk {row % 3}" for row in range(N)],
        "mobile_no": [f"line {row % 3}" for row in range(N)],
        "street_name": [("Elm", "Oak")[row % 2] for row in range(N)],
    }
    assert set(taken(tmp_path, columns)[0]) == {"phone_model", "ip_rating", "street_style", "session_length"}


def test_commas_part_a_list_only_where_its_parts_recur_alone(tmp_path: Path) -> None:
    columns = {
        "place": [("Portland, Oregon", "Salem, Oregon", "Austin, Texas")[row % 3] for row in range(N)],
        "flavours": [("mint, lime", "lime, rum", "rum, mint")[row % 3] for row in range(N)],
        "uses": [("camping", "camping, travel", "travel")[row % 3] for row in range(N)],
    }
    kinds, items = taken(tmp_path, columns)
    assert kinds == {"place": "word", "flavours": "words", "uses": "words"}
    assert {"place=Salem, Oregon", "flavours=lime", "uses=travel"} <= set(items[1]["attributes"])


@pytest.mark.parametrize(
    "form", ["{y}-03-{d:02d}", "{d}/3/{y}", "{d} Mar {y}", "Mar {d}, {y}", "{y}-03-{d:02d} 10:00:00"]
)
def test_days_and_their_years_are_facts(tmp_path: Path, form: str) -> None:
    cells = [form.format(y=2000 + row % 5, d=1 + row % 28) for row in range(N)]
    kinds, items = taken(tmp_path, {"aired_on": cells, "short": [f"3/{1 + row % 9}/21" for row in range(N)]})
    assert kinds["aired_on"] == "date"
    assert items[7]["attributes"][:2] == ["aired_year=2002", "aired=2002-03-08"]


def test_what_leaks_from_guessed_attributes_is_left_out(tmp_path: Path) -> None:
    cells = [f"jazz|{LEAKS[row % len(LEAKS)]}" for row in range(N)]
    (tmp_path / "many").mkdir()
    items = taken(tmp_path / "many", {"tags": cells})[1]
    assert all(item["attributes"] is None for item in items)
    few = ["jazz|ann@example.org" if row == 5 else "jazz|vocal" for row in range(N)]
    (tmp_path / "few").mkdir()
    items = taken(tmp_path / "few", {"tags": few})[1]
    assert items[5]["attributes"] == ["jazz"] and items[6]["attributes"] == ["jazz", "vocal"]
    (tmp_path / "told").mkdir()
    rows = taken(tmp_path / "told", {"tags": cells}, settings=IngestSettings(columns={"attributes": "tags"}))[
        1
    ]
    assert rows[2]["attributes"] == ["jazz", "ann@example.org"]


def test_ids_of_people_are_no_facts(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "shop")
    items = "item_id,watched_by,seller,colour,shelf\n" + "\n".join(
        f"i{row},u{row % 3}|u{row % 5},u{row % 4},{('red', 'blue')[row % 2]},{row % 5}" for row in range(40)
    )
    events = "user_id,item_id,timestamp\n" + "\n".join(
        f"u{row % 6},i{row % 40},{1_600_000_000 + row}" for row in range(60)
    )
    (tmp_path / "items.csv").write_text(items)
    (tmp_path / "events.csv").write_text(events)
    result = ingest_files(workspace.root, tmp_path / "items.csv", tmp_path / "events.csv", IngestSettings())
    assert set(result["items"]["understood"]["facts"]) == {"colour", "shelf"}
    assert any("'seller', 'watched_by': ids of people" in note for note in result["items"]["notes"])
    words = {word for own in workspace.table("items")["attributes"].to_pylist() for word in own or ()}
    assert words and not any(word.startswith(("seller", "watched_by")) for word in words)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (("1.000,50 €", "12,90 €", "999,00 €"), ("1000.5", "12.9", "999")),
        (("1.200 €", "2.300 €", "999 €"), ("1200", "2300", "999")),
        (("1\u202f234,50 €", "12,90 €", "7 €"), ("1234.5", "12.9", "7")),
        (("EUR 12.50", "EUR 7", "EUR 1,300.25"), ("12.5", "7", "1300.25")),
        (("CHF 1'250.00", "CHF 7.5", "CHF 3"), ("1250", "7.5", "3")),
        (("$1.125", "$1.25", "$7"), ("1.125", "1.25", "7")),
        (("₹ 1,25,000", "₹ 500", "₹ 7"), None),
    ],
)
def test_sums_of_money_as_people_write_them(
    tmp_path: Path, cells: tuple[str, ...], numbers: tuple[str, ...] | None
) -> None:
    kinds, items = taken(tmp_path, {"price": [cells[row % 3] for row in range(N)]})
    if numbers is None:  # not read, rather than read as 1.25
        assert kinds.get("price") != "number"
    else:
        assert [item["attributes"] for item in items[:3]] == [[f"price={number}"] for number in numbers]


def test_a_year_before_christ_is_no_moment_of_1969(tmp_path: Path) -> None:
    kinds, items = taken(tmp_path, {"year": [-500 + row % 7 for row in range(N)]})
    assert kinds == {"year": "number"} and items[0]["attributes"] == ["year=-500"]
    assert items[0]["created_at"] is None


def test_sums_in_several_currencies_are_told(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    sums = ("12,99 €", "$8.50", "£7.00", "129 kr", "EUR 5")
    rows = "".join(f'i{n},Thing {n},"{sums[n % 5]}"\n' for n in range(N))
    file.write_text("item_id,title,price\n" + rows)
    report = ingest_files(Workspace.create(tmp_path / "shop").root, file, None)["items"]
    assert any("several currencies (€, " in note for note in report["notes"])
    content = "item_id,title,price\n" + "".join(f"i{n},Thing {n},{n % 7}.50 €\n" for n in range(N))
    file.write_text(content)
    report = ingest_files(Workspace.create(tmp_path / "other").root, file, None)["items"]
    assert report["understood"]["facts"] == {"price": "number"}
    assert not any("currenc" in note for note in report["notes"])


def test_what_says_little_by_itself_is_named_after_the_record_that_holds_it(tmp_path: Path) -> None:
    pay = [{"min": 20000 + 700 * row, "max": 30000 + 900 * row} for row in range(N)]
    kinds, items = taken(tmp_path, {"salary": [json.dumps(each).replace('"', '""') for each in pay]})
    assert kinds == {"salary_min": "number", "salary_max": "number"}
    assert {"salary_min=20700", "salary_max=30900"} <= set(items[1]["attributes"])
