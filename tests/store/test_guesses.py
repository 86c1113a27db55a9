"""Tables as other people's projects publish them, by the command: what is read, what was guessed, and what a
refusal says to do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError

N = 12
EVENTS = [(f"u{n % 6}", n * 5 % N, 1_500_000_000 + 997 * n, n % 5 + 1) for n in range(48)]
ITEMS = "item_id,title\n" + "".join(f"i{n},Title {n}\n" for n in range(N))


def lines(head: str, row: str) -> str:
    """A table of `EVENTS`: `row` is written with user, item, time, rating and the number of the event."""
    rows = (
        row.format(user=user, item=item, time=time, rating=rating, n=n, odd=n % 2, yes=str(n % 2 == 0))
        for n, (user, item, time, rating) in enumerate(EVENTS)
    )
    return head + "".join(f"{text}\n" for text in rows)


def ingest(tmp_path: Path, content: str, *options: str, name: str = "e.csv", items: str = ITEMS) -> Any:
    (tmp_path / "items.csv").write_text(items)
    (tmp_path / name).write_text(content)
    shop, files = tmp_path / "w", [tmp_path / "items.csv", tmp_path / name]
    CliRunner().invoke(app, ["init", str(shop)])
    command = ["ingest", "-w", str(shop), "--items", str(files[0]), "--interactions", str(files[1]), *options]
    return CliRunner().invoke(app, [*command, "--json"])


def refusal(result: Any) -> str:
    """The one line that the command ends with."""
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def understood(tmp_path: Path, content: str, *options: str, **files: str) -> dict[str, Any]:
    result = ingest(tmp_path, content, *options, **files)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)["interactions"]
    assert report["accepted"] == report["rows"] == len(EVENTS), report
    return report


def signs(report: dict[str, Any]) -> list[int]:
    """How many events are wanted, unwanted, ignored."""
    kinds = report["understood"]["kinds"].values()
    return [sum(entry["events"] for entry in listed) for listed in kinds]


@pytest.mark.parametrize(
    ("head", "row", "columns", "note"),
    [
        ('"User-ID";"ISBN"\n', '"{user}";"i{item}"', {"item_id": "ISBN"}, "'ISBN' was taken, as 100%"),
        ("user-id,game-title,hours\n", "{user},i{item},3", {"item_id": "game-title"}, "'game-title'"),
        ("playlist_id,track,pos\n", "{user},i{item},{n}", {"user_id": "playlist_id"}, "'playlist_id'"),
        ("user_id,movie_id,show\n", "{user},{n},i{item}", {"item_id": "show"}, "0% of 'movie_id'"),
        ("# by me\n# 2024\nuser_id,item_id\n", "{user},i{item}", {}, "before the header"),
        ("# user_id,item_id,time\n", "{user},i{item},{time}", {"item_id": "item_id"}, ""),
        ("sep=;\nuser_id;item_id\n", "{user};i{item}", {}, "before the header"),
        ("user_id,item_id\n", "{user},I{item}", {}, "'I0' was read as 'i0'"),
    ],
)
def test_columns_and_ids_are_found_by_what_they_hold(
    tmp_path: Path, head: str, row: str, columns: dict[str, str], note: str
) -> None:
    report = understood(tmp_path, lines(head, row))
    assert columns.items() <= {part: name.lstrip("# ") for part, name in report["columns"].items()}.items()
    assert any(note in text for text in report["notes"]) or not note


@pytest.mark.parametrize(
    ("items", "events"),
    [("{n:04d}", "{item}"), ("{n}", "{item:03d}"), ("e\u0301{n}", "é{item}"), ("{n}.0", "{item}")],
)
def test_ids_that_two_files_write_differently_are_matched_and_told(
    tmp_path: Path, items: str, events: str
) -> None:
    catalogue = "item_id,title\n" + "".join(f"{items.format(n=n)},T{n}\n" for n in range(N))
    report = understood(tmp_path, lines("user_id,item_id\n", "{user}," + events), items=catalogue)
    assert report["understood"]["columns"]["item_id"]["matches"] == 1


def test_an_id_that_fits_two_items_or_few_ids_are_not_guessed(tmp_path: Path) -> None:
    twice = "item_id,title\n" + "".join(f"i{n},A\nI{n},B\n" for n in range(N))
    text = lines("user_id,item_id\n", "{user},i{item}") + "u1,İ3\n"
    result = ingest(tmp_path, text, items=twice)
    assert json.loads(result.stdout)["interactions"]["refused"] == 1
    few = lines("user_id,item_id\n", "{user},i{item}") + "u1,I3\nu1,gone\nu1,other\n"
    assert json.loads(ingest(tmp_path, few).stdout)["interactions"]["refused"] == 3


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("liked", "{yes}", {"wanted": "like", "ignored": "view"}),
        ("is_click", "{odd}", {"wanted": "click", "ignored": "view"}),
        ("label", "{odd}", {"wanted": None, "ignored": "view"}),
        ("skipped", "{yes}", {"wanted": None, "unwanted": "skip"}),
    ],
)
def test_a_column_of_yes_and_no_is_a_kind(
    tmp_path: Path, column: str, cell: str, expected: dict[str, str | None]
) -> None:
    report = understood(tmp_path, lines(f"user_id,item_id,{column}\n", "{user},i{item}," + cell))
    kinds = report["understood"]["kinds"]
    assert {name: listed[0]["kind"] for name, listed in kinds.items() if listed} == expected
    assert any("yes or no" in note for note in report["notes"])


def test_zeros_for_not_rated_are_no_refusals(tmp_path: Path) -> None:
    text = "".join(
        f"{user};i{item};{2 * rating if n % 2 else 0}\n" for n, (user, item, _, rating) in enumerate(EVENTS)
    )
    report = understood(tmp_path, "User-ID;item;Book-Rating\n" + text)
    assert any("24 ratings" in note and "are 0" in note for note in report["notes"])
    low = sum(2 * rating <= 4.6 for n, (_, _, _, rating) in enumerate(EVENTS) if n % 2)
    assert report["understood"]["ratings"]["scale"] == [1, 10] and signs(report)[1] == low
    (tmp_path / "again").mkdir()
    assert (
        signs(understood(tmp_path / "again", "User-ID;item;Book-Rating\n" + text, "--scale", "0,10"))[1] > 24
    )


@pytest.mark.parametrize("name", ["u.data", "ratings.dat", "ratings"])
def test_a_file_of_any_name_without_a_header_is_read_by_numbers(tmp_path: Path, name: str) -> None:
    text = lines("", "{user}\ti{item}\t{rating}\t{time}")
    assert "--column user_id=1" in refusal(ingest(tmp_path, text, name=name))
    options = [("user_id", 1), ("item_id", 2), ("value", 3), ("timestamp", 4)]
    told = [text for part, place in options for text in ("--column", f"{part}={place}")]
    report = understood(tmp_path, text, *told, name=name)
    assert report["understood"]["times"]["unit"] == "seconds since 1970"


def test_python_text_is_read_as_json_is(tmp_path: Path) -> None:
    rows = [
        str({"reviewerID": u, "asin": f"i{i}", "overall": float(r), "unixReviewTime": t})
        for u, i, t, r in EVENTS
    ]
    report = understood(tmp_path, "\n".join(rows), name="reviews.json")
    assert report["columns"]["item_id"] == "asin" and sum(signs(report)) == len(EVENTS)
    bad = "\n".join([*rows, "{'a': __import__('os')}"])
    result = ingest(tmp_path, bad, name="reviews.json")
    assert json.loads(result.stdout)["interactions"]["refused"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user," + ",".join(f"i{n}" for n in range(N)) + "\nu1" + ",1" * N + "\n", "matrix"),
        ("user_id,history\nu1,i1 i2 i3\nu2,i4 i5\n", "many items in a cell"),
    ],
)
def test_tables_of_another_shape_are_told_what_to_do(tmp_path: Path, text: str, says: str) -> None:
    message = refusal(ingest(tmp_path, text))
    assert says in message and "a row for each person and item" in message


def test_bytes_that_are_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(ITEMS)
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    for name, content in (
        ("a.zip", b"PK\x03\x04"),
        ("a", b"SQLite format 3\x00"),
        ("a.feather", b"ARROW1\x00\x00"),
    ):
        (tmp_path / name).write_bytes(content)
        command = ["ingest", "-w", str(tmp_path / "w"), "--items", str(tmp_path / name)]
        assert "format is not read" in refusal(CliRunner().invoke(app, command))
