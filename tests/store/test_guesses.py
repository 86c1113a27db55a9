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
    assert json.loads(ingest(tmp_path, few).stdout)["interactions"]["refused"] == 2


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


@pytest.mark.parametrize(
    ("head", "row", "counts"),
    [
        ("like,dislike", "{odd},{yes}", [0, 24, 24]),
        ("liked,plays", "{yes},3", [24, 0, 24]),
        ("liked", "{yes}", [24, 0, 24]),
    ],
)
def test_several_columns_of_yes_and_no_are_read_together(
    tmp_path: Path, head: str, row: str, counts: list[int]
) -> None:
    row = row.replace("{odd}", "0") if "dislike" in head else row
    text = lines(f"user_id,item_id,{head}\n", "{user},i{item}," + row)
    assert signs(understood(tmp_path, text)) == counts
    if head == "liked":  # no answer is none
        assert signs(understood(tmp_path, text.replace("False", ""))) == [24, 0, 24]
        told = ingest(tmp_path, text.replace("False", "perhaps", 3)).stdout
        assert "'liked' was not read: it holds other words" in told


@pytest.mark.parametrize(
    ("head", "row", "refused"),
    [
        ("user_id,thing,quantity\n", "{user},i{item},{rating}", ""),
        ("user_id,a,b\n", "{user},i{item},i{item}", "no column for 'item_id'"),
        ("device,email,item_id\n", "{odd},{n}@x,i{item}", "no column for 'user_id'"),
    ],
)
def test_columns_that_could_be_anything_are_not_guessed(
    tmp_path: Path, head: str, row: str, refused: str
) -> None:
    items = ITEMS + "".join(f"{n},Number {n}\n" for n in range(1, 6))
    result = ingest(tmp_path, lines(head, row), items=items)
    if refused:
        assert refused in refusal(result)
    else:
        assert json.loads(result.stdout)["interactions"]["columns"]["item_id"] == "thing"


def test_lines_of_data_that_begin_with_a_hash_are_data(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("#A,Alpha\n#B,Beta\nC,Gamma\n")
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    command = ["ingest", "-w", str(tmp_path / "w"), "--items", str(tmp_path / "c.csv"), "--json"]
    told = ["--column", "items.item_id=1", "--column", "items.title=2"]
    assert json.loads(CliRunner().invoke(app, [*command, *told]).stdout)["items"]["accepted"] == 3


def test_numbers_in_the_first_row_are_not_taken_for_the_header(tmp_path: Path) -> None:
    text = "2,i1,1\n3,i7,4\n3,i9,1\n4,i7,2\n"
    report = json.loads(ingest(tmp_path, text, "--column", "user_id=1", "--column", "item_id=2").stdout)
    assert report["interactions"]["accepted"] == 4
    pandas = "0,1,2\nu,i1,5\n"
    report = json.loads(ingest(tmp_path, pandas, "--column", "user_id=0", "--column", "item_id=1").stdout)
    assert report["interactions"]["accepted"] == 1


def test_a_rating_is_one_whatever_its_column_is_called(tmp_path: Path) -> None:
    text = lines("", "{user}\ti{item}\t{rating}\t{time}")
    told = [
        word for part in ("user_id=1", "item_id=2", "value=3", "timestamp=4") for word in ("--column", part)
    ]
    by_name = understood(tmp_path, "user_id\titem_id\trating\ttimestamp\n" + text)
    assert signs(understood(tmp_path, text, *told)) == signs(by_name) != [48, 0, 0]


@pytest.mark.parametrize("cell", ["", "-1", "NULL"])
def test_a_rating_not_given_is_an_event(tmp_path: Path, cell: str) -> None:
    text = "".join(f"{u},i{i},{cell if n % 2 else 2 * r}\n" for n, (u, i, _, r) in enumerate(EVENTS))
    _, unwanted, ignored = signs(understood(tmp_path, "user_id,item_id,rating\n" + text))
    assert unwanted == sum(2 * r <= 4.6 for n, (_, _, _, r) in enumerate(EVENTS) if not n % 2)
    assert ignored == sum(4.6 < 2 * r < 6.4 for n, (_, _, _, r) in enumerate(EVENTS) if not n % 2)


def test_parts_of_different_wholes_are_compared(tmp_path: Path) -> None:
    cells = ("4/5", "8/10", "80%", "1/5")
    text = "".join(f"{u},i{i},{cells[n % 4]}\n" for n, (u, i, _, _) in enumerate(EVENTS))
    assert signs(understood(tmp_path, "user_id,item_id,rating\n" + text)) == [36, 12, 0]


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
    wrong = ["{'a': __import__('os')}", "{'asin': 'i1', 2: 'x'}", "{'asin': b'i1'}", "{'asin': {'i1'}}"]
    result = ingest(tmp_path, "\n".join([*rows, *wrong]), name="reviews.json")
    assert json.loads(result.stdout)["interactions"]["refused"] == 4


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
