"""Tables as shops, trackers, spreadsheets and personal exports write them, by the command."""

from __future__ import annotations

import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.store.tables import read_source
from tastemaker.store.workspace import Workspace

N = 12
ITEMS = "item_id,title\n" + "".join(f"i{n},Title {n}\n" for n in range(N))


def ingest(tmp_path: Path, events: Any, *options: str, name: str = "e.csv", items: Any = ITEMS) -> Any:
    """Events of `tastemaker ingest` (a frame) and the report. events: text, bytes, or an Arrow table."""
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    command = ["ingest", "-w", str(tmp_path / "w"), *options, "--json"]
    for option, file, content in (("--items", "items.csv", items), ("--interactions", name, events)):
        if content is None:
            continue
        if isinstance(content, pa.Table):
            pq.write_table(content, tmp_path / file)
        else:
            (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        command += [option, str(tmp_path / file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code in (0, 1) and result.stdout, (result.output, result.exception)
    frame = pl.from_arrow(Workspace.open(tmp_path / "w").table("interactions"))
    return frame, json.loads(result.stdout)


def catalogue(tmp_path: Path) -> dict[str, dict[str, Any]]:
    rows = Workspace.open(tmp_path / "w").table("items").to_pylist()
    return {row["item_id"]: row for row in rows}


def counts(report: dict[str, Any]) -> dict[str, dict[str | None, int]]:
    kinds = report["interactions"]["understood"]["kinds"]
    return {
        sign: {entry["kind"]: entry["events"] for entry in listed} for sign, listed in kinds.items() if listed
    }


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# ---- lists, maps and matrices


@pytest.mark.parametrize("form", ["commas", "json"])
def test_columns_of_liked_and_disliked_items_are_wishes_and_refusals(tmp_path: Path, form: str) -> None:
    rows = [
        {"user_id": f"u{n}", "liked_items": [f"i{n}", f"i{n + 1}"], "disliked_items": [f"i{n + 2}"]}
        for n in range(8)
    ]
    text = lines(rows)
    if form == "commas":
        text = "user_id,liked_items,disliked_items\n" + "".join(
            f'{r["user_id"]},"{",".join(r["liked_items"])}","{",".join(r["disliked_items"])}"\n' for r in rows
        )
    frame, report = ingest(tmp_path, text, name="e.csv" if form == "commas" else "e.jsonl")
    assert counts(report) == {"wanted": {"like": 16}, "unwanted": {"dislike": 8}}
    first = frame.filter(pl.col("user_id") == "u3").select("item_id", "kind").rows()
    assert first == [("i3", "like"), ("i4", "like"), ("i5", "dislike")]


def test_maps_of_parquet_are_read(tmp_path: Path) -> None:
    kind = pa.map_(pa.string(), pa.float64())
    ratings = pa.array([[("i1", 4.0), ("i2", 1.0)], [("i3", 5.0)], []], kind)
    frame, _ = ingest(
        tmp_path, pa.table({"user_id": ["u1", "u2", "u3"], "ratings": ratings}), name="e.parquet"
    )
    assert frame.select("user_id", "item_id", "value").rows() == [
        ("u1", "i1", 4.0),
        ("u1", "i2", 1.0),
        ("u2", "i3", 5.0),
    ]


def test_a_map_beside_the_item_tells_of_the_event(tmp_path: Path) -> None:
    properties = pa.array(
        [[("event_type", "dislike")], [("event_type", "purchase")]], pa.map_(pa.string(), pa.string())
    )
    table = pa.table({"user_id": ["u1", "u2"], "item_id": ["i1", "i2"], "properties": properties})
    _, report = ingest(tmp_path, table, name="e.parquet")
    assert counts(report) == {"wanted": {"purchase": 1}, "unwanted": {"dislike": 1}}


@pytest.mark.parametrize("form", ["matrix", "rows"])
def test_a_number_far_from_all_others_is_no_rating(tmp_path: Path, form: str) -> None:
    """Jester writes 99 where nobody rated, on a scale of -10 to 10."""
    cells = [[99.0 if (n + u) % 2 else (n * 5 + u) % 20 - 9.5 for n in range(N)] for u in range(10)]
    text = "user," + ",".join(f"i{n}" for n in range(N)) + "\n"
    text += "".join(f"u{u}," + ",".join(map(str, row)) + "\n" for u, row in enumerate(cells))
    if form == "rows":
        text = "user,item,rating\n" + "".join(
            f"u{u},i{n},{value}\n" for u, row in enumerate(cells) for n, value in enumerate(row)
        )
    frame, report = ingest(tmp_path, text)
    assert report["interactions"]["understood"]["ratings"]["scale"] == [-10.0, 10.0]
    assert frame["value"].max() < 10 and frame["value"].drop_nulls().len() == 60  # type: ignore[operator]
    assert any("99" in note for note in report["interactions"]["notes"])


def test_ratings_outside_the_scale_that_was_given_are_none(tmp_path: Path) -> None:
    frame, report = ingest(tmp_path, "user,item,rating\nu,i1,0\nu,i2,1\nu,i3,5\nu,i4,11\n", "--scale", "1,5")
    assert frame["value"].to_list() == [None, 1.0, 5.0, None]
    assert any(
        "2 ratings in 'rating' are outside the scale" in note for note in report["interactions"]["notes"]
    )


def test_numbered_columns_of_items_are_a_list(tmp_path: Path) -> None:
    text = "Order ID,Order Date,Customer User,Item #1 SKU,Item #1 Name,Item #2 SKU,Item #2 Name\n"
    text += "".join(
        f"{n},2023-05-{n + 10} 10:00,c{n % 3},i{n},A,{f'i{n + 1}' if n % 2 else ''},B\n" for n in range(10)
    )
    frame, _ = ingest(tmp_path, text)
    assert len(frame) == 15 and frame["timestamp"].null_count() == 0
    assert frame.filter(pl.col("user_id") == "c1")["item_id"].sort().to_list()[:2] == ["i1", "i2"]


# ---- JSON


def test_comments_and_commas_before_a_bracket_are_left_out(tmp_path: Path) -> None:
    text = '[ // all\n {"user_id": "u//1", "item_id": "i1", /* two\nlines */ },\n'
    text += '{"user_id": "u,]", "item_id": "i2"},\n]'
    frame, report = ingest(tmp_path, text, name="e.json")
    assert sorted(frame.select("user_id", "item_id").rows()) == [("u,]", "i2"), ("u//1", "i1")]
    assert any("comments" in note for note in report["interactions"]["notes"])


def test_events_without_records_stay_beside_those_with_several(tmp_path: Path) -> None:
    """Segment: one product in the properties of a view, several in those of an order."""
    rows = []
    for n in range(12):
        order = n % 3 == 2
        properties = (
            {"products": [{"product_id": f"i{n}"}, {"product_id": "i0"}]}
            if order
            else {"product_id": f"i{n}"}
        )
        rows.append(
            {
                "userId": f"u{n % 4}",
                "event": "Order Completed" if order else "Product Viewed",
                "properties": properties,
            }
        )
    _, report = ingest(tmp_path, lines(rows), name="e.jsonl")
    assert counts(report) == {"wanted": {"purchase": 8}, "ignored": {"view": 8}}


def test_one_record_without_an_item_is_no_row(tmp_path: Path) -> None:
    """YouTube: a removed video has no channel, and was watched all the same."""
    rows = [
        {"titleUrl": f"https://y/{n % 5}", "title": f"V {n % 5}", "time": f"2023-05-{n + 10}T10:00:00Z"}
        | ({"subtitles": [{"name": f"C{n % 5}", "url": "https://y/c"}]} if n % 4 else {})
        for n in range(12)
    ]
    frame, _ = ingest(tmp_path, json.dumps(rows), "--column", "user_id=", name="e.json", items=None)
    assert len(frame) == 12


# ---- people


def test_people_without_an_id_are_known_by_another(tmp_path: Path) -> None:
    text = (
        "userId,anonymousId,item_id\nNULL,a1,i1\nu1,a1,i2\n,a2,i3\n,a2,i4\nu2,a3,i5\nu3,a3,i6\n,a3,i7\n,,i8\n"
    )
    frame, report = ingest(tmp_path, text)
    of = dict(frame.select("item_id", "user_id").rows())
    assert of["i1"] == "u1" and of["i3"] == of["i4"] == "a2"  # who signed in later; who never did
    assert of["i7"] == "a3"  # of two people's machine it is not said whose
    assert report["interactions"]["refused"] == 1
    assert any("4 rows without 'userId'" in note for note in report["interactions"]["notes"])


def test_lines_of_an_order_are_of_who_ordered(tmp_path: Path) -> None:
    """Shopify names the buyer in the first line of an order, and what a product is in its first variant."""
    text = "Name,Email,Paid at,Lineitem sku,Created at\n"
    text += "".join(
        f"#{n // 2},{'' if n % 2 else f'b{n // 4}@x'},{'' if n % 2 else '2023-05-02'},i{n},2023-05-01\n"
        for n in range(12)
    )
    goods = "Handle,Title,Vendor,Variant SKU\n"
    goods += "".join(
        f"h{n // 2},{'' if n % 2 else f'Shirt {n // 2}'},{'' if n % 2 else 'Acme'},i{n}\n" for n in range(12)
    )
    frame, report = ingest(tmp_path, text, items=goods)
    assert report["interactions"]["accepted"] == 12
    assert frame.filter(pl.col("item_id") == "i5")["user_id"].to_list() == ["b1@x"]
    assert catalogue(tmp_path)["i5"]["title"] == "Shirt 2"


# ---- kinds and ratings


def test_weights_and_counts_of_nothing_or_less_are_no_wishes(tmp_path: Path) -> None:
    rows = "".join(f"u{n},i{n},{n - 3}\n" for n in range(8))
    _, report = ingest(tmp_path, "user,item,weight\n" + rows)
    assert counts(report) == {"wanted": {None: 4}, "unwanted": {"dislike": 3}, "ignored": {"view": 1}}


def test_what_was_sent_back_is_taken_back(tmp_path: Path) -> None:
    text = "CustomerID,StockCode,Quantity,InvoiceDate\n"
    text += "c1,i1,6,2010-12-01\nc1,i2,2,2010-12-01\nc1,i1,-6,2010-12-02\n"
    _, report = ingest(tmp_path, text)
    assert counts(report) == {"wanted": {None: 2}, "ignored": {"undo": 1}}


def test_a_play_that_carries_a_rating_is_one(tmp_path: Path) -> None:
    _, report = ingest(tmp_path, "user,item,event,rating\nu,i1,watched,1\nu,i2,watched,5\nu,i3,watched,\n")
    assert counts(report) == {"wanted": {"rating": 1, "play": 1}, "unwanted": {"rating": 1}}


def test_milliseconds_of_a_play_tell_skips(tmp_path: Path) -> None:
    rows = [
        {"endTime": f"2023-05-{n + 10} 10:20", "artistName": "B", "trackName": f"S {n % 4}", "msPlayed": ms}
        for n, ms in enumerate([1200, 200_000, 0, 20_000, 200_000, 2000, 180_000, 40_000])
    ]
    frame, report = ingest(tmp_path, json.dumps(rows), "--column", "user_id=", name="e.json", items=None)
    assert frame["value"].round(3).to_list() == [0.006, 1.0, 0.0, 0.5, 1.0, 0.01, 1.0, 1.0]
    assert counts(report) == {"wanted": {"play": 5}, "ignored": {"play": 3}}


def test_ones_own_rating_goes_before_everybodys(tmp_path: Path) -> None:
    text = "Const,Your Rating,Date Rated,Title,IMDb Rating\n"
    text += "".join(f"tt{n},{n + 1},2023-01-{n + 10},Film {n},7.{n}\n" for n in range(10))
    frame, _ = ingest(tmp_path, text, "--column", "user_id=", items=None)
    assert frame["value"].to_list() == [float(n + 1) for n in range(10)]


# ---- personal exports


def test_films_that_one_person_rated_once_each_are_items(tmp_path: Path) -> None:
    text = "Date,Name,Year,Letterboxd URI,Rating\n"
    text += "".join(
        f"2023-01-{n + 10},Film {n // 2},{1990 + n},https://b/{n},{n / 2}\n" for n in range(1, 11)
    )
    ingest(tmp_path, text, "--column", "user_id=", items=None)
    assert "Film 1 (1992)" in catalogue(tmp_path) and "Film 1 (1993)" in catalogue(tmp_path)  # of one name
    assert len(catalogue(tmp_path)) == 10


def test_a_header_behind_lines_about_the_file(tmp_path: Path) -> None:
    text = "Letterboxd list export v7\nDate,Name,Tags,URL,Description\n2024-01-01,Best,,https://b/x,\n\n"
    text += "Position,Name,Year,URL,Description\n" + "".join(
        f"{n},Film {n},{1990 + n},https://b/{n},\n" for n in range(9)
    )
    frame, _ = ingest(tmp_path, text, "--column", "user_id=", items=None)
    assert frame["position"].to_list() == list(range(9))


@pytest.mark.parametrize(
    "time",
    [
        "10 May 2023, 11:20",
        "10 May 2023 11:20",
        "May 10, 2023 at 11:20AM",
        "May 10, 2023, 11:20:00\u202fAM",
        "20230510T112000Z",
        "10/May/2023:11:20:00 +0000",
        "2023/05/10 11:20:00 UTC",
        "2023-05-10 13:20:00+02",
        "2023-05-10 11:20:00 +0000 UTC",
        "2023-05-10 11:20:00,000",
        "2023-05-10 04:20:00 PDT",
        "2023-05-10 13:20 CEST",
        "2023-05-10 13:20:00 GMT+2",
        "2023-05-10 05:50:00 UTC-05:30",
        "2023-05-10 16:50:00 GMT+5:30",
        "2023-05-10 13:20:00 GMT+02",
        "Wed May 10 2023 13:20:00 GMT+0200 (Central European Summer Time)",
        "10.05.2023 11.20",
        "10-MAY-23 11.20.00.000000 AM",
        "2023-05-10-11.20.00.123456",
        "2023-05-10_11:20:00",
        "2023.05.10 11:20:00",
        "20230510 11:20:00",
        "202305101120",
        "2023年5月10日 11:20:00",
        "2023년 5월 10일 11:20:00",
        "10. May 2023 11:20",
        "5/10/2023 11:20 a.m.",
        "/Date(1683717600000)/",
        "/Date(1683717600000+0200)/",
    ],
)
def test_times_of_exports_and_databases(tmp_path: Path, time: str) -> None:
    order = ["--time-unit", "month/day/year"] if time.startswith("5/10") else []
    frame, _ = ingest(tmp_path, f'user,item,time\nu1,i1,"{time}"\nu2,i2,"{time}"\n', *order)
    assert frame["timestamp"].dt.strftime("%Y-%m-%d %H:%M").to_list() == ["2023-05-10 11:20"] * 2


@pytest.mark.parametrize("none", ["0", "-1", "1970-01-01 00:00:00", "9999-12-31", "2999-12-31T00:00:00Z"])
def test_what_stands_for_no_time_is_none(tmp_path: Path, none: str) -> None:
    times = ["1700000000", none, "1700000001", "1700000002"]
    text = "user,item,time\n" + "".join(f"u,i{n},{time}\n" for n, time in enumerate(times))
    frame, report = ingest(tmp_path, text)
    assert frame["item_id"].to_list() == ["i0", "i2", "i3"]
    assert "1970-01-01, or a year from 2100 on" in str(report)


@pytest.mark.parametrize(
    "header",
    [
        "Benutzer,Artikel,Bewertung,Datum",
        "id_utilisateur,produit,puntuación,horodatage",
        "usuario,id_producto,calificacion,fecha",
        "пользователь,товар,оценка,время",
        "用户ID,商品ID,评分,时间戳",
        "ユーザーID,アイテム,評価,日時",
    ],
)
def test_headers_in_other_languages(tmp_path: Path, header: str) -> None:
    rows = "".join(f"u{n % 4},i{n},{1 + n % 5},{1_700_000_000 + n}\n" for n in range(N))
    frame, report = ingest(tmp_path, f"{header}\n{rows}", items=None)
    assert len(frame) == N and frame["value"].max() == 5 and frame["timestamp"].is_not_null().all()
    assert counts(report)["unwanted"] == {"rating": 6}


@pytest.mark.parametrize(
    ("ids", "warned"),
    [
        (("Bob@x.org", "bob@x.org"), True),
        (("Jos\u00e9", "Jose\u0301"), True),
        (("u1", "\u202au1\u202c"), False),
        (("u1", "u2"), False),
    ],
)
def test_ids_of_people_that_look_alike_are_told(tmp_path: Path, ids: tuple[str, str], warned: bool) -> None:
    frame, report = ingest(tmp_path, "user,item\n" + "".join(f"{user},i{n}\n" for n, user in enumerate(ids)))
    assert frame["user_id"].n_unique() == (1 if "\u202a" in ids[1] else 2)
    assert ("differ in case or Unicode form alone" in str(report)) is warned


# ---- spreadsheets and texts


@pytest.mark.parametrize(
    ("catalogue", "log"),
    [
        ('"=""00{}"""', "00{}"),
        ("'00{}", "00{}"),
        ("m {}", "m%20{}"),
        ("m{}", "m{}\u200b"),
    ],
    ids=["formula", "apostrophe", "address", "unseen"],
)
def test_ids_that_a_spreadsheet_or_an_address_wrote(tmp_path: Path, catalogue: str, log: str) -> None:
    items = "item_id,title\n" + "".join(f"{catalogue.format(n)},Title {n}\n" for n in range(9))
    text = "user_id,item_id\n" + "".join(f"u{n % 3},{log.format(n)}\n" for n in range(9))
    _, report = ingest(tmp_path, text, items=items)
    assert report["interactions"]["accepted"] == 9


def test_ids_that_a_spreadsheet_shortened_are_refused_with_the_reason(tmp_path: Path) -> None:
    items = "item_id,title\n9.78164E+12,A\n9.78164E+12,B\n9781638491576,C\n"
    frame, report = ingest(tmp_path, "user_id,item_id\nu,9.78164E+12\nu,9781638491576\n", items=items)
    assert frame["item_id"].to_list() == ["9781638491576"]
    assert "shortened" in report["items"]["reasons"][0]["reason"]


def test_marks_inside_quotes_part_nothing(tmp_path: Path) -> None:
    """Each row has a comma in quotes, and as many blanks as the header."""
    text = "User Id,Item Id,Tags\n" + "".join(f'u{n % 4},i{n},"at home, on tv"\n' for n in range(12))
    frame, report = ingest(tmp_path, text)
    assert report["interactions"]["understood"]["file"]["delimiter"] == "," and len(frame) == 12


def test_blank_lines_and_marks_of_order_before_a_header(tmp_path: Path) -> None:
    part = "user_id,item_id\n" + "".join(f"u{n % 4},i{n}\n" for n in range(6))
    frame, report = ingest(tmp_path, f"\n\n{part}\ufeff{part}", items=None)
    assert len(frame) == 12 and frame["item_id"].n_unique() == 6
    assert report["interactions"]["reasons"][0]["reason"].startswith("the first line again")


def test_html_in_descriptions_is_plain_text(tmp_path: Path) -> None:
    items = "item_id,title,description\n" + "".join(
        f'i{n},T <3 {n},"<p class=""x"">Soft &amp; <b>warm</b><br/>a < b > c {n}</p>"\n' for n in range(9)
    )
    ingest(tmp_path, "user_id,item_id\nu,i1\n", items=items)
    assert catalogue(tmp_path)["i1"]["text"] == "Soft & warm a < b > c 1"
    assert catalogue(tmp_path)["i1"]["title"] == "T <3 1"
    ingest(tmp_path, "user_id,item_id\nu,i1\n", items="item_id,title\ni1,a<b & b>c\n")
    assert catalogue(tmp_path)["i1"]["title"] == "a<b & b>c"


def test_a_folder_of_text_tables_is_one(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    for part in range(2):
        text = "user_id,item_id\n" + "".join(f"u{n},i{n + 6 * part}\n" for n in range(6))
        (tmp_path / "log" / f"p{part}.csv").write_text(text)
    (tmp_path / "items.csv").write_text(ITEMS)
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    files = ["--items", str(tmp_path / "items.csv"), "--interactions", str(tmp_path / "log")]
    assert CliRunner().invoke(app, ["ingest", "-w", str(tmp_path / "w"), *files]).exit_code == 0
    assert Workspace.open(tmp_path / "w").table("interactions").num_rows == 12


# ---- more of what people give


def test_lists_that_stood_beside_an_item_are_no_events(tmp_path: Path) -> None:
    """Trivago: what was clicked out, and what else was shown."""
    text = "user_id,timestamp,action,reference,impressions\n"
    text += "".join(
        f"U{n % 4},{1541037460 + n},click,i{n % 9},{'i1|i2|i3' if n % 2 else ''}\n" for n in range(20)
    )
    frame, report = ingest(tmp_path, text)
    assert len(frame) == 20 and counts(report) == {"wanted": {"click": 20}}


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("user_id,item_id,timestamp\n", "u{n},i{n},{t},\n"),
        ("user_id,item_id,timestamp,\n", "u{n},i{n},{t}\n"),
        ('"user_id","item_id","timestamp"\n', '"{r}","u{n}","i{n}",{t}\n'),
        ("| user_id | item_id | timestamp |\n", "| u{n} | i{n} | {t} |\n"),
        ("[user_id],[item_id],[timestamp]\n", "u{n},i{n},{t}\n"),
        ("User ID *,Item ID (required),Timestamp (s)\n", "u{n},i{n},{t}\n"),
    ],
    ids=["mark behind rows", "mark behind header", "R", "table of marks", "brackets", "stars"],
)
def test_headers_with_a_cell_more_or_less_or_other_marks(tmp_path: Path, head: str, row: str) -> None:
    text = head + "".join(row.format(n=n, r=n + 1, t=1_700_000_000 + n) for n in range(10))
    frame, report = ingest(tmp_path, text)
    assert report["interactions"]["refused"] == 0
    assert (
        frame.select("user_id", "item_id").rows()[3] == ("u3", "i3")
        and frame["timestamp"].is_not_null().all()
    )


def test_a_table_that_a_database_drew(tmp_path: Path) -> None:
    rule = "+---------+---------+\n"
    text = (
        rule
        + "| user_id | item_id |\n"
        + rule
        + "".join(f"| u{n}      | i{n}      |\n" for n in range(9))
        + rule
    )
    _, report = ingest(tmp_path, text, name="e.txt")
    assert report["interactions"]["accepted"] == 9 and report["interactions"]["refused"] == 1


def test_types_of_dynamodb_are_read_bare(tmp_path: Path) -> None:
    rows = [
        {"Item": {"user_id": {"S": f"u{n}"}, "item_id": {"S": f"i{n}"}, "ts": {"N": "1700000000"}}}
        for n in range(5)
    ]
    frame, _ = ingest(tmp_path, lines(rows), name="e.jsonl")
    assert frame.select("user_id", "item_id").rows()[2] == ("u2", "i2")


def test_ratings_in_words_are_kinds(tmp_path: Path) -> None:
    words = ["thumbs up", "down", "OK", "Loved it"]
    _, report = ingest(
        tmp_path, "user,item,rating\n" + "".join(f"u,i{n},{word}\n" for n, word in enumerate(words))
    )
    assert counts(report) == {"wanted": {"like": 2}, "unwanted": {"dislike": 1}, "ignored": {"OK": 1}}


def test_a_person_is_one_however_the_id_is_written(tmp_path: Path) -> None:
    """JSON may have 12 as a number, a float and text; and characters that nobody sees."""
    rows = [{"user_id": user, "item_id": f"i{n}"} for n, user in enumerate([12, 12.0, "12", "12\u200b"])]
    frame, report = ingest(tmp_path, lines(rows[:3]), name="e.jsonl")
    assert frame["user_id"].unique().to_list() == ["12"]
    frame, report = ingest(tmp_path, lines(rows[2:]), name="f.jsonl")
    assert frame["user_id"].unique().to_list() == ["12"]
    assert any("characters nobody sees" in note for note in report["interactions"]["notes"])


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", '<?xml version="1.0"?>\n<a/>\n']
)
def test_a_page_instead_of_a_table_is_named_as_no_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.csv").write_text(text)
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    result = CliRunner().invoke(
        app, ["ingest", "-w", str(tmp_path / "w"), "--interactions", str(tmp_path / "e.csv")]
    )
    assert "this format is not read" in str(result.exception)


def test_a_rating_of_yes_or_no_is_a_wish_or_a_refusal(tmp_path: Path) -> None:
    rows = [("yes", "no", "Yes")[n % 3] for n in range(N)]
    _, report = ingest(
        tmp_path, "user,item,rating\n" + "".join(f"u,i{n},{rating}\n" for n, rating in enumerate(rows))
    )
    assert counts(report) == {"wanted": {"rating": 8}, "unwanted": {"rating": 4}}


@pytest.mark.parametrize("nested", [True, False])
def test_a_place_on_a_page_is_no_order_of_events(tmp_path: Path, nested: bool) -> None:
    rows: list[dict[str, Any]] = []
    for n in range(20):
        properties = {"item_id": f"i{n % 9}", "position": n % 3}
        rows.append(
            {"user_id": f"u{n % 4}", "timestamp": 1_700_000_000 - n}
            | ({"properties": properties} if nested else properties)
        )
    frame, report = ingest(tmp_path, lines(rows), name="e.jsonl")
    assert len(frame) == 20 and report["interactions"]["understood"]["times"]["order"] == "time"
    assert frame.filter(pl.col("user_id") == "u3")["item_id"].to_list() == ["i1", "i6", "i2", "i7", "i3"]


def test_short_descriptions_without_titles_are_titles(tmp_path: Path) -> None:
    text = "CustomerID,StockCode,Description,InvoiceDate\n"
    text += "".join(f"c{n % 4},85{n % 9}A,WHITE LANTERN {n % 9},12/{n + 1}/2010 8:26\n" for n in range(20))
    ingest(tmp_path, text, items=None)
    assert catalogue(tmp_path)["852A"]["title"] == "WHITE LANTERN 2"


def test_a_title_in_several_languages_is_read_in_one(tmp_path: Path) -> None:
    items = (
        "item_id,title\n" + """i1,"{""de"": ""Hitze"", ""en"": ""Heat""}"\ni2,"{""de"": ""Hai""}"\ni3,{x}\n"""
    )
    ingest(tmp_path, "user_id,item_id\nu,i1\n", items=items)
    assert [catalogue(tmp_path)[f"i{n}"]["title"] for n in (1, 2, 3)] == ["Heat", "Hai", "{x}"]


@pytest.mark.parametrize(("theirs", "ours"), [("{AB-%d}", "ab-%d"), ("A&amp;B%d", "A&B%d")])
def test_ids_in_braces_and_with_escapes_match(tmp_path: Path, theirs: str, ours: str) -> None:
    items = "item_id,title\n" + "".join(f"{theirs % n},T {n}\n" for n in range(9))
    _, report = ingest(
        tmp_path, "user_id,item_id\n" + "".join(f"u,{ours % n}\n" for n in range(9)), items=items
    )
    assert report["interactions"]["accepted"] == 9


# ---- files


def test_files_given_twice_changed_while_read_or_through_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "user_id,item_id\n" + "".join(f"u{n},i{n}\n" for n in range(9))
    ingest(tmp_path, text)
    command = ["ingest", "-w", str(tmp_path / "w"), "--interactions", str(tmp_path / "e.csv")]
    twice = CliRunner().invoke(app, [*command, "--interactions", str(tmp_path / "e.csv")])
    assert "--interactions was given twice" in str(twice.exception)

    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        wrote = pool.submit((tmp_path / "pipe").write_text, text + "u9,i9\n")
        command[-1] = str(tmp_path / "pipe")
        assert CliRunner().invoke(app, command).exit_code == 0
        assert wrote.result() > 0
    assert Workspace.open(tmp_path / "w").table("interactions").num_rows == 10

    def growing(path: Path, *rest: Any) -> Any:
        source = read_source(path, *rest)
        if path.name == "e.csv":
            path.write_text(text + "u9,i9\nu8,")
        return source

    (tmp_path / "e.csv").write_text(text + "u7,i8\n")
    monkeypatch.setattr("tastemaker.store.ingest.commit.read_source", growing)
    command[-1] = str(tmp_path / "e.csv")
    assert "was written to while it was read" in str(CliRunner().invoke(app, command).exception)


def test_a_folder_of_several_tables_is_none(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "movies.csv").write_text("item_id,title\ni1,T\ni1,U\n")
    (tmp_path / "log" / "ratings.csv").write_text("user_id,item_id\n" + "u,i1\n" * 3)
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    result = CliRunner().invoke(
        app, ["ingest", "-w", str(tmp_path / "w"), "--interactions", str(tmp_path / "log")]
    )
    assert "has other columns than" in str(result.exception)


@pytest.mark.parametrize(("clock", "day"), [("{h:02d}:20:00", "2023-05-13"), ("{h}:20 AM", "5/13/2023")])
def test_days_and_times_of_day_in_two_columns_are_one(tmp_path: Path, clock: str, day: str) -> None:
    text = "user_id,item_id,Order Time,Order Date\n"
    text += "".join(f"u,i{9 - h},{clock.format(h=h)},{day}\n" for h in range(9, 0, -1))
    frame, report = ingest(tmp_path, text)
    assert frame["timestamp"].dt.hour().to_list() == list(range(1, 10))
    assert any("times of day" in note for note in report["interactions"]["notes"])


def test_the_end_of_a_usual_scale_is_a_rating(tmp_path: Path) -> None:
    text = "user,item,rating\n" + "".join(f"u{n},i{n % N},{[1, 2, 10][n % 3]}\n" for n in range(60))
    _, report = ingest(tmp_path, text)
    assert counts(report) == {"wanted": {"rating": 20}, "unwanted": {"rating": 40}}


# ---- other layouts, types and folders

LOG = [(f"u{n % 4}", f"i{n % N}", 1_700_000_000 + 3600 * n) for n in range(24)]
ROWS = [dict(zip(("user_id", "item_id", "timestamp"), row, strict=True)) for row in LOG]
SPELT = [
    row if n % 3 else {name.replace("user_id", "userId"): cell for name, cell in row.items()}
    for n, row in enumerate(ROWS)
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.csv", "'user_id','item_id','timestamp'\n" + "".join(f"'{u}','{i}','{t}'\n" for u, i, t in LOG)),
        ("e.txt", "user_id   item_id   timestamp\n" + "".join(f"{u:<10}{i:<10}{t}\n" for u, i, t in LOG)),
        ("e.txt", "  user_id item_id  timestamp\n" + "".join(f"{u:>9}{i:>8}{t:>11}\n" for u, i, t in LOG)),
        (
            "e.md",
            "| user_id | item_id | timestamp |\n|---|:--:|---|\n"
            + "".join(f"| {u} | {i} | {t} |\n" for u, i, t in LOG),
        ),
        ("e.json", "\n".join(json.dumps(row, indent=1) for row in ROWS)),
        ("e.json", "".join(map(json.dumps, ROWS))),
        ("e.json", ",\n".join(map(json.dumps, ROWS)) + ",\n"),
        ("e.json", "".join(f"\x1e{json.dumps(row)}\n" for row in ROWS)),
        (
            "e.jsonl",
            lines(
                [
                    row if row["item_id"] > "i4" else {"userId": row.pop("user_id")} | row
                    for row in map(dict, ROWS)
                ]
            ),
        ),
    ],
)
def test_tables_laid_out_in_other_ways_are_read_whole(tmp_path: Path, name: str, text: str) -> None:
    frame, report = ingest(tmp_path, text, name=name)
    assert report["interactions"]["refused"] == 0
    rows = frame.select("user_id", "item_id", pl.col("timestamp").dt.epoch("s")).rows()
    assert sorted(rows) == sorted(LOG)


def test_apostrophes_in_cells_quoted_by_them_stay(tmp_path: Path) -> None:
    items = "'item_id','title'\n" + "".join(f"'i{n}','It''s, no. {n}'\n" for n in range(N))
    ingest(tmp_path, "user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i, _ in LOG), items=items)
    assert catalogue(tmp_path)["i3"]["title"] == "It's, no. 3"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_below_their_item_are_of_it(tmp_path: Path, end: str) -> None:
    text = "".join(
        f"{item}:{end}" + "".join(f"{user},{1 + user % 5},2005-09-{item:02d}{end}" for user in range(6, 12))
        for item in range(1, 9)
    )
    frame, _ = ingest(tmp_path, text, name="combined_data_1.txt", items=None)
    assert len(frame) == 48
    seven = frame.filter(user_id="7").select("item_id", "value", pl.col("timestamp").cast(str).str.head(10))
    assert seven.rows() == [(str(item), 3.0, f"2005-09-{item:02d}") for item in range(1, 9)]


def test_people_with_their_items_in_one_object(tmp_path: Path) -> None:
    histories = {str(n): [f"i{(n + k) % N}" for k in range(3 + n % 2)] for n in range(6)}
    frame, _ = ingest(tmp_path, json.dumps(histories), name="shop.inter.json")
    rows = frame.sort("user_id", "position").group_by("user_id", maintain_order=True).agg("item_id").rows()
    assert dict(rows) == histories


def folder(tmp_path: Path, files: dict[str, Any], *options: str) -> Any:
    for name, content in files.items():
        path = tmp_path / "log" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_text(content)
    (tmp_path / "items.csv").write_text(ITEMS)
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    given = ["--items", str(tmp_path / "items.csv"), "--interactions", str(tmp_path / "log"), "--json"]
    result = CliRunner().invoke(app, ["ingest", "-w", str(tmp_path / "w"), *given, *options])
    assert result.exit_code == 0, result.output
    return pl.from_arrow(Workspace.open(tmp_path / "w").table("interactions")), json.loads(result.stdout)


def test_the_names_of_folders_say_what_all_rows_below_them_have(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["u1", "u2"], "item_id": ["i1", "i2"]})
    names = ["event_type=purchase/year=2023/month=5/day=7", "event_type=dislike/year=2023/month=11/day=30"]
    frame, report = folder(tmp_path, {f"{name}/part-0.parquet": table for name in names} | {"_SUCCESS": ""})
    rows = frame.select("user_id", "kind", pl.col("timestamp").cast(str).str.head(10)).rows()
    assert rows == [
        (u, kind, day)
        for u in ("u1", "u2")
        for kind, day in (("purchase", "2023-05-07"), ("dislike", "2023-11-30"))
    ]
    assert "the names of folders were read as columns" in str(report)


def test_files_of_a_folder_may_spell_and_type_their_columns_otherwise(tmp_path: Path) -> None:
    numbers = pa.table({"user_id": [1, 2], "item_id": ["i1", "i2"], "timestamp": [10**9, 10**9 + 1]})
    texts = pa.table(
        {
            "UserId": ["3", "x"],
            "ItemID": ["i1", "i3"],
            "timestamp": pa.array([10**9, 10**9], pa.timestamp("s")),
        }
    )
    frame, _ = folder(tmp_path, {"a.parquet": numbers, "b.parquet": texts})
    assert frame.select("user_id", "item_id").rows() == [("1", "i1"), ("2", "i2"), ("3", "i1"), ("x", "i3")]
    assert frame["timestamp"].dt.epoch("s").to_list() == [10**9, 10**9 + 1, 10**9, 10**9]


def test_empty_files_of_a_folder_are_counted(tmp_path: Path) -> None:
    text = "user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i, _ in LOG)
    frame, report = folder(tmp_path, {"a.csv": text, "b.csv": "", "c.csv": "user_id,item_id\n"})
    assert len(frame) == len(LOG) and "files of the folder that are empty: 1" in str(report)


@pytest.mark.parametrize(
    ("ids", "first"),
    [
        (pa.array([Decimal(9007199254740993), Decimal(5)], pa.decimal128(20, 0)), "9007199254740993"),
        (pa.array([Decimal("9007199254740993.00"), Decimal(5)], pa.decimal128(30, 2)), "9007199254740993"),
        (pa.array([UUID(int=7).bytes, UUID(int=8).bytes], pa.uuid()), str(UUID(int=7))),
        (pa.array([UUID(int=7).bytes, UUID(int=8).bytes], pa.binary(16)), str(UUID(int=7))),
        (pa.array(["a", "b"]).cast(pa.string_view()), "a"),
        (pa.array([2.0**53 - 1, 5]), "9007199254740991"),
    ],
)
def test_ids_of_every_type_stay_exact(tmp_path: Path, ids: pa.Array, first: str) -> None:
    frame, _ = ingest(tmp_path, pa.table({"user_id": ids, "item_id": ["i1", "i2"]}), name="e.csv")
    assert frame.filter(item_id="i1")["user_id"].to_list() == [first] and len(frame) == 2


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_ids_that_floats_rounded_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    ids = pa.array([2**53 + 2.0, 2**53 + 4.0, 5.0]).cast(kind)
    frame, report = ingest(tmp_path, pa.table({"user_id": ids, "item_id": ["i1", "i2", "i3"]}))
    assert frame["user_id"].to_list() == ["5"] and report["interactions"]["refused"] == 2
    assert "too large for a column of floats, which rounds it" in str(report)


def test_a_time_of_day_alone_is_no_time_of_an_event(tmp_path: Path) -> None:
    clock = pa.array(range(3), pa.time64("us"))
    frame, report = ingest(
        tmp_path, pa.table({"user_id": ["a"] * 3, "item_id": ["i1", "i2", "i3"], "time": clock})
    )
    assert len(frame) == 3 and "column 'time' was not taken as timestamp" in str(report)


def test_parts_of_a_folder_need_no_ending(tmp_path: Path) -> None:
    text = "user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i, _ in LOG)
    frame, _ = folder(tmp_path, {"part-00000": text, "part-00001": text, "_SUCCESS": ""})
    assert len(frame) == 2 * len(LOG)


def test_what_cannot_be_read_as_a_whole_is_named_with_its_file(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "twice.csv.gz").write_bytes(gzip.compress(gzip.compress(b"user_id,item_id\nu1,i1\n")))
    spans = pa.array([1, 2], pa.duration("s"))
    table = pa.table({"user_id": ["a", "b"], "item_id": ["i1", "i2"], "timestamp": spans})
    pq.write_table(table, tmp_path / "e.pq")
    given = ["ingest", "-w", str(tmp_path / "w"), "--items", str(tmp_path / "items.csv"), "--interactions"]
    for name, message in (
        ("twice.csv.gz", "was packed twice"),
        ("e.pq", "column 'timestamp' holds duration[s]"),
    ):
        result = CliRunner().invoke(app, [*given, str(tmp_path / name)])
        assert isinstance(result.exception, InputError) and f"{name}: {message}" in str(result.exception)


def test_lists_that_hold_nothing_need_no_word(tmp_path: Path) -> None:
    items = lines(
        [{"item_id": f"i{n}", "title": f"T{n}", "description": [], "categories": []} for n in range(N)]
    )
    _, report = ingest(tmp_path, "user_id,item_id\nu1,i1\n", items=items)
    assert "cannot be read" not in str(report)
