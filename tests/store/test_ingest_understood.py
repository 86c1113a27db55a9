"""What ingest says it understood, through `tastemaker ingest`: columns, ids, kinds, ratings, times, lists,
refusals.
"""

import gzip
import json
import random
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tastemaker.store.ingest.rules as rules
from tastemaker.cli.main import main
from tastemaker.corpus.events import Histories
from tastemaker.corpus.splits import Targets
from tastemaker.errors import InputError
from tastemaker.flows.data import load_data
from tastemaker.flows.evaluation.sections import had_before
from tastemaker.flows.ingest import ingest_files, read_options
from tastemaker.schema import EventRules
from tastemaker.store import IngestSettings, Workspace, ingest_items

ITEMS = "item_id,title\n" + "".join(f"i{n},Thing {n}\n" for n in range(20))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return Workspace.create(tmp_path / "shop").root


def taken(
    shop: Path, interactions: str | bytes, items: str | bytes = ITEMS, **options: Any
) -> dict[str, Any]:
    """Ingest two files of text; names may be given as `suffix` and `items_suffix`."""
    files = []
    for name, content, suffix in (
        ("items", items, options.pop("items_suffix", ".csv")),
        ("log", interactions, options.pop("suffix", ".csv")),
    ):
        files.append(shop.parent / f"{name}{suffix}")
        files[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
    return ingest_files(shop, *files, IngestSettings(**options))


def log_of(rows: list[tuple[Any, ...]], *names: str) -> str:
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"


def kinds_of(result: dict[str, Any]) -> dict[str, dict[str, int]]:
    kinds = result["interactions"]["understood"]["kinds"]
    return {name: {one["kind"]: one["events"] for one in listed} for name, listed in kinds.items()}


# ---- columns and ids


def test_columns_that_play_no_part_are_named(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a column of kinds under another name goes unseen, and what people threw away counts as wanted."""
    log = log_of([("u", f"i{n}", "thumbs_down", n) for n in range(5)], "customer", "product", "what", "hour")
    taken(shop, log)
    files = ["--items", str(shop.parent / "items.csv"), "--interactions", str(shop.parent / "log.csv")]
    monkeypatch.setattr("sys.argv", ["tastemaker", "ingest", "-w", str(shop), *files])
    with suppress(SystemExit):
        main()
    assert "not used: 'what', 'hour'" in capsys.readouterr().out
    read = taken(shop, log, columns={"kind": "what"})["interactions"]["understood"]
    assert read["unused"] == ["hour"] and read["kinds"]["unwanted"][0]["kind"] == "dislike"


@pytest.mark.parametrize("swap", [False, True])
def test_the_item_column_that_matches_most_is_taken_and_the_other_named(shop: Path, swap: bool) -> None:
    names = ("parent_asin", "asin") if swap else ("asin", "parent_asin")
    rows = [("u", f"v{n}" if n % 2 else f"i{n}", f"i{n}", n) for n in range(20)]
    result = taken(
        shop, log_of([(u, b, a, t) if swap else (u, a, b, t) for u, a, b, t in rows], "user", *names, "ts")
    )
    role = result["interactions"]["understood"]["columns"]["item_id"]
    assert role == {"column": "parent_asin", "runner_up": "asin", "matches": 1.0, "runner_up_matches": 0.5}
    assert "item_id = 'parent_asin' (100.0% are items; not 'asin', of which 50.0% are)" in result["text"]


def test_of_two_item_columns_of_the_catalogue_the_one_that_the_log_uses(shop: Path) -> None:
    items = "asin,parent_asin,title\n" + "".join(f"v{n},p{n},T\n" for n in range(9))
    result = taken(shop, log_of([("u", f"p{n}", n) for n in range(9)], "user", "parent_asin", "ts"), items)
    assert result["interactions"]["accepted"] == 9
    assert result["items"]["understood"]["columns"]["item_id"]["column"] == "parent_asin"


def test_a_column_of_any_name_can_be_chosen_and_a_good_one_is_suggested(shop: Path) -> None:
    log = log_of([("u", f"x{n}", f"i{n}", n) for n in range(9)], "user", "sku", "thing", "ts")
    found = taken(shop, log)["interactions"]
    assert found["accepted"] == 9 and found["columns"]["item_id"] == "thing"
    assert "100% of column 'thing' are ids of items, 0% of 'sku': it was taken" in str(found["notes"])
    some = log_of([("u", f"x{n}" if n else "i0", f"i{n}", n) for n in range(9)], "user", "sku", "thing", "ts")
    assert "--column item_id=thing" in str(taken(shop, some)["interactions"]["notes"])
    assert taken(shop, log, columns={"item_id": "thing"})["interactions"]["accepted"] == 9
    assert taken(shop, log, columns={"interactions.item_id": "thing"})["interactions"]["accepted"] == 9
    with pytest.raises(
        InputError, match=r"--column item_id=nothing: no file has that column; .*items.csv has item_id"
    ):
        taken(shop, log, columns={"item_id": "nothing"})
    with pytest.raises(InputError, match="--column colour=thing: there is no such part; the parts are"):
        taken(shop, log, columns={"colour": "thing"})


@pytest.mark.parametrize(
    ("catalogue", "log"), [("12", "12.0"), ("12.0", "12"), ("12.0", "12.0"), ("12", "12.00"), ("007", "007")]
)
@pytest.mark.parametrize("other", ["7", "a"])
def test_ids_that_were_floats_once_match(shop: Path, catalogue: str, log: str, other: str) -> None:
    items = f"item_id,title\n{catalogue},A\n{other},B\n"
    result = taken(shop, log_of([("1.0", log, 1), ("1.0", log, 2)], "user", "item", "ts"), items)
    assert result["interactions"]["accepted"] == 2
    assert set(Workspace.open(shop).table("interactions")["user_id"].to_pylist()) == {"1"}


@pytest.mark.parametrize(
    "word", ["NULL", "\\N", "None", "nan", "NaN", "N/A", "null", "<NA>", "NA", "undefined"]
)
def test_words_for_nothing_are_nobody(shop: Path, word: str) -> None:
    rows = [(word if n % 4 == 0 else f"u{n % 3}", word if n % 10 == 9 else f"i{n}", n) for n in range(20)]
    result = taken(shop, log_of(rows, "user", "item", "ts"), ITEMS + f"{word},x\n")
    found = result["interactions"]
    assert found["understood"]["null_words"] == {"user_id": {word: 5}, "item_id": {word: 2}}
    assert found["refused"] == 7 and word in result["text"]
    shown = Workspace.open(shop).table("items").to_pylist()
    assert word not in {row["item_id"] for row in shown} and len(shown) == 20


def test_words_for_nothing_empty_optional_cells(shop: Path) -> None:
    items = "item_id,title,genres,creator,created_at\na,None,NULL,nan,NULL\nb,B,x|NULL,C,2020\n"
    result = taken(shop, log_of([("u", "a", 1)], "user", "item", "ts"), items)
    rows = {row["item_id"]: row for row in Workspace.open(shop).table("items").to_pylist()}
    assert {rows["a"][name] for name in ("title", "creator", "created_at")} == {None}
    assert rows["a"]["attributes"] is None and rows["b"]["attributes"] == ["x"]
    assert {one["column"]: one["rows"] for one in result["items"]["cells"]} == {"title": 1, "creator": 1}


# ---- kinds and ratings


def test_kinds_are_counted_by_sign_with_their_spellings(shop: Path) -> None:
    kinds = ["play", "Skip", "SKIP", "thumbs_down", "not interested", "teleport", "View", "", "Thumbs Up"]
    result = taken(
        shop, log_of([("u", f"i{n}", n, kind) for n, kind in enumerate(kinds)], "user", "item", "ts", "kind")
    )
    assert kinds_of(result) == {
        "wanted": {"play": 1, None: 1, "like": 1},
        "unwanted": {"skip": 2, "dislike": 1, "not_interested": 1},
        "ignored": {"teleport": 1, "view": 1},
    }
    assert "kinds that nobody knows: 'teleport' (1); their 1 events are kept" in result["text"]
    assert (
        "skip 2 (written 'Skip', 'SKIP')" in result["text"]
        or "skip 2 (written 'SKIP', 'Skip')" in result["text"]
    )
    data = load_data(Workspace.open(shop))
    assert sorted(data.item_ids[item] for item in data.histories.of(0)) == ["i0", "i7", "i8"]
    assert data.unwanted == {"u": {"i1", "i2", "i3", "i4"}} and result["interactions"]["accepted"] == 9


@pytest.mark.parametrize(
    ("values", "scale", "wanted"),
    [
        ([1, 2, 3, 4, 5], [1, 5], 2),
        ([0.5, 3, 5], [0.5, 5], 1),
        ([0, 2, 5], [0, 5], 1),
        ([0, 1], [0, 1], 1),
        ([-1, 1], [-1, 1], 1),
        ([1, 6, 7], [1, 7], 2),
        ([1, 8, 10], [1, 10], 2),
        ([0, 10], [0, 10], 1),
        ([0, 20, 95], [0, 100], 1),
        ([200, 1000], [200, 1000], 1),
        ([1, 1], [0, 1], 2),
    ],
)
@pytest.mark.parametrize("column", ["rating", "stars", "score", "overall"])
def test_a_rating_column_alone_is_read_on_its_scale(
    shop: Path, values: list[float], scale: list[float], wanted: int, column: str
) -> None:
    result = taken(
        shop, log_of([("u", f"i{n}", n, v) for n, v in enumerate(values)], "user", "item", "ts", column)
    )
    assert result["interactions"]["understood"]["ratings"]["scale"] == scale
    assert kinds_of(result)["wanted"] == {"rating": wanted}
    assert Workspace.open(shop).event_rules() == EventRules((float(scale[0]), float(scale[1])))
    assert f"on a scale from {scale[0]:g} to {scale[1]:g}" in result["text"] and "a guess" in result["text"]


@pytest.mark.parametrize(
    "cells",
    [
        ("4 stars", "1 star", "5 Stars", "3 stars"),
        ("4/5", "1/5", "5 / 5", "3/5"),
        ("4.0 out of 5 stars", "1 of 5", "5.0 out of 5", "3.0 out of 5"),
        ("'4,5'", "'1,0'", "5", "3"),
        ("★★★★☆", "★", "★★★★★", "★★★"),
        ("****", "*", "*****", "***"),
        ("4.0/5.0", "1.0/5.0", "5.0/5.0", "3.0/5.0"),
        ("80%", "10%", "100 %", "50%"),
    ],
)
def test_ratings_in_words_are_read(shop: Path, cells: tuple[str, ...]) -> None:
    rows = [("u", f"i{row}", row, cell.replace("'", '"')) for row, cell in enumerate(cells)]
    taken(shop, log_of(rows, "user", "item", "ts", "stars"))
    data = load_data(Workspace.open(shop))
    assert [data.item_ids[item] for item in data.histories.of(0)] == ["i0", "i2"]
    assert data.unwanted == {"u": frozenset({"i1"})}


def test_a_rating_that_cannot_be_read_says_nothing_and_one_without_a_kind_is_a_rating(shop: Path) -> None:
    rows = [("like", ""), ("", 1), ("NULL", 5), ("rating", "awful"), ("", "awful"), ("", ""), ("review", 2)]
    log = [("u", f"i{row}", row, *cells) for row, cells in enumerate(rows)]
    result = taken(shop, log_of(log, "user", "item", "ts", "kind", "rating"))
    data = load_data(Workspace.open(shop))
    assert [data.item_ids[item] for item in data.histories.of(0)] == ["i0", "i2", "i5"]
    assert data.unwanted == {"u": frozenset({"i1", "i6"})}
    assert kinds_of(result)["ignored"] == {"rating": 2}


@pytest.mark.parametrize(
    "column", ["action_type", "behavior_type", "feedback_type", "Event Name", "interaction"]
)
def test_columns_of_kinds_have_many_names(shop: Path, column: str) -> None:
    rows = [("u", "i1", 1, "phone", "Like"), ("u", "i2", 2, "tablet", "thumb down")]
    result = taken(shop, log_of(rows, "user", "item", "ts", "type", column))
    assert kinds_of(result) == {"wanted": {"like": 1}, "unwanted": {"dislike": 1}, "ignored": {}}


def test_minus_one_beside_other_ratings_is_none_given(shop: Path) -> None:
    rows = [("u", f"i{n}", n, value) for n, value in enumerate((-1, 10, 9, 2, -1))]
    result = taken(shop, log_of(rows, "user", "item", "ts", "rating"))
    data = load_data(Workspace.open(shop))
    assert [data.item_ids[item] for item in data.histories.of(0)] == ["i0", "i1", "i2", "i4"]
    assert data.unwanted == {"u": frozenset({"i3"})} and "2 ratings in 'rating' are -1" in result["text"]


def test_a_kind_that_is_not_utf8_says_nothing(shop: Path) -> None:
    rows = [("u", f"i{n}", n, kind) for n, kind in enumerate(("like", "déteste", "jö", "jö"))]
    log = log_of(rows, "user", "item", "ts", "kind").encode() + b"u,i9,9,d\xe9teste\n"
    assert kinds_of(taken(shop, log))["wanted"] == {"like": 1}


def test_a_column_called_type_that_holds_no_kinds_is_none(shop: Path) -> None:
    rows = [("u", "i1", 1, "phone"), ("u", "i2", 2, "tablet")]
    result = taken(shop, log_of(rows, "user", "item", "ts", "type"))
    assert kinds_of(result)["wanted"] == {None: 2}
    assert "column 'type' was not taken as kind: it holds 'phone', 'tablet'" in result["text"]
    chosen = taken(shop, log_of(rows, "user", "item", "ts", "type"), columns={"kind": "type"})
    assert kinds_of(chosen)["ignored"] == {"phone": 1, "tablet": 1}


@pytest.mark.parametrize(("first", "last"), [("like", "dislike"), ("dislike", "like")])
def test_of_two_events_of_one_moment_about_one_item_the_later_row_stands(
    shop: Path, first: str, last: str
) -> None:
    rows = [
        ("u", "i1", "2024-05-01", first),
        ("u", "i2", "2024-05-01", "like"),
        ("u", "i1", "2024-05-01", last),
    ]
    taken(shop, log_of(rows, "user", "item", "date", "kind"))
    assert load_data(Workspace.open(shop)).unwanted == ({"u": {"i1"}} if last == "dislike" else {})


def test_counts_are_no_ratings(shop: Path) -> None:
    for column in ("play_count", "weight"):
        result = taken(shop, log_of([("u", "i1", 1, 1), ("u", "i2", 2, 40)], "user", "item", "ts", column))
        assert (
            kinds_of(result)["wanted"] == {None: 2} and "ratings" not in result["interactions"]["understood"]
        )


def test_the_user_says_which_kinds_are_wanted_and_what_the_scale_is(shop: Path) -> None:
    rows = [
        ("u", f"i{n}", n, kind, 2) for n, kind in enumerate(["view", "like", "purchase", "dislike", "rating"])
    ]
    log = log_of(rows, "user", "item", "ts", "kind", "rating")
    settings = read_options([], None, "view, Purchased", "1,2", False)
    result = taken(shop, log, positive=settings.positive, scale=settings.scale)
    assert kinds_of(result)["wanted"] == {"view": 1, "purchase": 1}
    assert Workspace.open(shop).event_rules() == EventRules((1.0, 2.0), frozenset({"view", "purchase"}))
    ingest_files(shop, shop.parent / "items.csv", None)  # the log stays, and stays read as it was
    assert Workspace.open(shop).event_rules() == EventRules((1.0, 2.0), frozenset({"view", "purchase"}))
    with pytest.raises(InputError, match="kind 'wiev' is unknown; the kinds are view"):
        read_options([], None, "wiev", None, False)
    for wrong in ("5", "5,1", "a,b"):
        with pytest.raises(InputError, match=f"--scale {wrong}: write the lowest and the highest rating"):
            read_options([], None, None, wrong, False)
    with pytest.raises(InputError, match="--column item_id: write it as PART=COLUMN"):
        read_options(["item_id"], None, None, None, False)


def test_a_log_of_views_alone_says_that_nothing_is_wanted(shop: Path) -> None:
    result = taken(shop, log_of([("u", f"i{n}", n, "view") for n in range(9)], "user", "item", "ts", "kind"))
    assert "0 of 9 events count as wanted; --positive KIND,KIND says which kinds do" in result["text"]


# ---- times, ties, repeats


@pytest.mark.parametrize("order", ["item", "reversed", "user", "shuffled"])
def test_days_are_ordered_by_no_file(shop: Path, order: str) -> None:
    draw = random.Random(0)
    rows = [(f"u{u}", f"i{n}", "2024-01-02") for u in range(30) for n in sorted(draw.sample(range(20), 5))]
    first = taken(shop, log_of(rows, "user", "item", "date"))
    one = Workspace.open(shop).table("interactions")
    rows.sort(key=lambda row: row[1], reverse=order == "reversed")
    if order in ("user", "shuffled"):
        random.Random(order).shuffle(rows)
    taken(shop, log_of(rows, "user", "item", "date"))
    assert Workspace.open(shop).table("interactions").equals(one)
    times = first["interactions"]["understood"]["times"]
    assert (times["tied"], times["order"], times["unit"]) == (1.0, "time, then hash", "ISO 8601 text")
    assert "100.0% of events have the same time as another event of their person" in first["text"]
    places: dict[str, list[int]] = {}
    for row in one.to_pylist():
        places.setdefault(row["item_id"], []).append(row["position"])
    means = [sum(found) / len(found) for found in places.values() if len(found) > 3]
    assert max(means) - min(means) < 3.5  # no item always comes last


def test_positions_that_follow_item_numbers_are_named(shop: Path) -> None:
    rows = [(f"u{u}", f"i{n}", "2024-01-02", n) for u in range(9) for n in range(9)]
    assert (
        "the positions follow the ids of the items (100%"
        in taken(shop, log_of(rows, "user", "item", "ts", "position"))["text"]
    )
    random.Random(1).shuffle(rows)
    mixed = [(u, i, t, n) for n, (u, i, t, _) in enumerate(rows)]
    assert "follow the ids" not in taken(shop, log_of(mixed, "user", "item", "ts", "position"))["text"]
    by_time = taken(shop, log_of(mixed, "user", "item", "ts", "position"), columns={"position": ""})
    assert by_time["interactions"]["understood"]["times"]["order"] == "time, then hash"


def test_a_sorted_file_without_times_decides_nothing(shop: Path) -> None:
    rows = [(f"u{u}", f"i{n}") for u in range(9) for n in range(9)]
    result = taken(shop, log_of(rows, "user", "item"))
    assert (
        result["interactions"]["understood"]["times"]["order"] == "hash"
        and "sorted by item" in result["text"]
    )


@pytest.mark.parametrize(
    ("time", "unit"),
    [
        (1_600_000_000, "seconds since 1970"),
        (1_600_000_000_000, "milliseconds since 1970"),
        ("2020-09-13", "ISO 8601 text"),
        ("1600000000.5", "seconds since 1970"),
        ("13.9.2020", "day.month.year"),
        ("13/09/2020 10:15", "day/month/year"),
        ("9/13/2020", "month/day/year"),
        ("9/13/20", "month/day/year"),
    ],
)
def test_the_unit_of_times_is_told(shop: Path, time: Any, unit: str) -> None:
    times = taken(shop, log_of([("u", "i1", time)], "user", "item", "ts"))["interactions"]["understood"][
        "times"
    ]
    assert times["unit"] == unit and times["first"].startswith("2020-09-13")


def test_a_date_that_could_be_two_days_is_none(shop: Path) -> None:
    rows = [("u", "i1", "5/5/2020"), ("u", "i1", "1/2/2020"), ("u", "i2", "3/4/2020")]
    result = taken(shop, log_of(rows, "user", "item", "ts"))
    assert "column 'ts' was not taken as timestamp" in result["text"]
    assert "1/2/2020 may be February 1 or January 2" in result["text"]  # not 5/5/2020, which may be one alone


def test_times_of_another_age_are_pointed_at(shop: Path) -> None:
    assert (
        "check the unit of 'ts'"
        in taken(shop, log_of([("u", "i1", 1_600_000)], "user", "item", "ts"))["text"]
    )


def test_repeats_and_doubled_rows_are_counted(shop: Path) -> None:
    rows = [("u", "i1", 1), ("u", "i1", 1), ("u", "i1", 2), ("u", "i2", 3)]
    understood = taken(shop, log_of(rows, "user", "item", "ts"))["interactions"]["understood"]
    assert (understood["repeats"], understood["doubled"]) == (0.5, 1)


def test_unreadable_optional_cells_cost_no_row(shop: Path) -> None:
    rows = [
        ("u", f"i{n}", n, "soon" if n == 3 else n, "much" if n in (4, 5) else 1, "play") for n in range(9)
    ]
    result = taken(shop, log_of(rows, "user", "item", "position", "timestamp", "value", "kind"))[
        "interactions"
    ]
    assert result["refused"] == 0
    assert {(one["column"], one["rows"], one["first"]) for one in result["cells"]} == {
        ("timestamp", 1, 4),
        ("value", 2, 5),
    }
    cells = next(shop.glob("data/tables-*/cells.csv")).read_text()
    assert cells.count("\n") == 4 and "log.csv,5,value" in cells
    with pytest.raises(InputError, match=r"log.csv, row 4, column 'timestamp': not a time.*strict"):
        taken(shop, log_of(rows, "user", "item", "position", "timestamp", "value", "kind"), strict=True)


@pytest.mark.parametrize("nothing", ["", "NULL", " "])
def test_a_column_that_holds_nothing_gives_way(shop: Path, nothing: str) -> None:
    rows = [
        (nothing, f"c{n % 2}", f"i{n}", nothing, nothing, f"2024-01-0{9 - n}", nothing, n % 5 + 1)
        for n in range(8)
    ]
    names = ("user_id", "customer_id", "item_id", "position", "timestamp", "date", "rating", "score")
    result = taken(shop, log_of(rows, *names), "item_id,title,name\n" + f"i1,{nothing},A\ni0,{nothing},B\n")
    columns = {part: role["column"] for part, role in result["interactions"]["understood"]["columns"].items()}
    assert columns == {"user_id": "customer_id", "item_id": "item_id", "timestamp": "date", "value": "score"}
    assert result["items"]["understood"]["columns"]["title"]["column"] == "name"
    assert "column 'position' is empty: it was not taken as position" in result["text"]


def test_a_column_that_only_sounds_like_a_position_is_not_one(shop: Path) -> None:
    rows = [("u", f"i{n}", f"ORD-{n}", n) for n in range(9)]
    result = taken(shop, log_of(rows, "user", "item", "order", "ts"))
    assert result["interactions"]["accepted"] == 9 and "'order' was not taken as position" in result["text"]


# ---- lists


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("['a' 'b']", ["a", "b"]),
        ("('a', 'b')", ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        ("[1, 2.0, None]", ["1", "2"]),
        ("[]", None),
        ("[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}]", ["Animation", "Comedy"]),
        ('{"colour": "red", "size": 1}', ["colour=red", "size=1"]),
        ('[["a"], ["b", "a"]]', ["a", "b"]),
        ("a|b; c", ["a", "b; c"]),
        ("a;b", ["a", "b"]),
        ("artist=Earth, Wind & Fire", ["artist=Earth, Wind & Fire"]),
        ("[Live] Album", ["[Live] Album"]),
        ('["it\'s", "O\'Neill"]', ["it's", "O'Neill"]),
        ("['it\\'s']", ["it's"]),
        ("['a', 'b'", "bad"),
        ("['Com", "bad"),
        ("[__import__('os').system('x')]", "bad"),
        ("[" * 2000 + "]" * 2000, "bad"),
    ],
)
@pytest.mark.parametrize("beside", ['["x", "y"]', "x|y", "plain"])
def test_a_list_is_read_cell_by_cell(cell: str, words: Any, beside: str) -> None:
    items, report = ingest_items(pa.table({"item_id": ["0", "1"], "tags": [beside, cell]}))
    found = dict(zip(items["item_id"].to_pylist(), items["attributes"].to_pylist(), strict=True))
    assert found["0"] == (["plain"] if beside == "plain" else ["x", "y"])
    assert found["1"] == (None if words == "bad" else words)
    assert [(one["rows"], one["first"]) for one in report.summary()["cells"]] == (
        [(1, 2)] if words == "bad" else []
    )


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["Comedy, Drama", "War"], [["Comedy", "Drama"], ["War"]]),
        (["Comedy, Drama", "a|b, c"], [["Comedy, Drama"], ["a", "b, c"]]),
        (["colour=red, size=1", "x"], [["colour=red", "size=1"], ["x"]]),
        (["Earth, Wind & Fire", "Kool and the Gang"], [["Earth, Wind & Fire"], ["Kool and the Gang"]]),
    ],
)
def test_commas_part_only_what_looks_like_lists(column: list[str], expected: list[list[str]]) -> None:
    items, _ = ingest_items(pa.table({"item_id": ["0", "1"], "tags": column}))
    found = dict(zip(items["item_id"].to_pylist(), items["attributes"].to_pylist(), strict=True))
    assert [found["0"], found["1"]] == expected


def test_structures_and_written_lists_in_other_columns(shop: Path) -> None:
    genres = pa.array(
        [[{"id": 1, "name": "Comedy"}], None],
        pa.list_(pa.struct([("id", pa.int64()), ("name", pa.string())])),
    )
    items, _ = ingest_items(
        pa.table(
            {
                "item_id": ["0", "1"],
                "genres": genres,
                "creator": ["['Ann', 'Bo']", "C"],
                "title": [{"a": 1}] * 2,
            }
        )
    )
    rows = {row["item_id"]: row for row in items.to_pylist()}
    assert (
        rows["0"]["attributes"] == ["Comedy"]
        and rows["0"]["creator"] == "Ann, Bo"
        and rows["0"]["title"] is None
    )


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_lists_of_a_typed_file_are_cleaned_like_written_ones(shop: Path, form: str) -> None:
    items = [
        {"item_id": "i0", "tags": ["Comedy", "NULL", " Comedy ", None, "nan"], "genre": [1.0, 2.5]},
        {"item_id": "i1", "tags": ["\\N"], "genre": [3.0]},
    ]
    path = shop.parent / f"items.{form}"
    for name, expected in (
        ("tags", {"i0": ["Comedy"], "i1": None}),
        ("genre", {"i0": ["1", "2.5"], "i1": ["3"]}),
    ):
        if form == "jsonl":
            path.write_text("\n".join(map(json.dumps, items)))
        else:
            pq.write_table(pa.Table.from_pylist(items), path)
        ingest_files(shop, path, None, IngestSettings(columns={"attributes": name}))
        table = Workspace.open(shop).table("items")
        assert (
            dict(zip(table["item_id"].to_pylist(), table["attributes"].to_pylist(), strict=True)) == expected
        )


def test_a_cell_that_is_not_utf8_costs_its_row_only_where_it_is_an_id(shop: Path) -> None:
    items = (
        ITEMS.encode() + "".join(f"u{n},Café\n" for n in range(3)).encode() + b"i98,Caf\xe9\ni\xe9,Title\n"
    )
    result = taken(shop, "user,item,ts\nu,i98,1\n", items)
    assert [result["items"]["accepted"], result["items"]["refused"]] == [24, 1]
    table = Workspace.open(shop).table("items")
    assert dict(zip(table["item_id"].to_pylist(), table["title"].to_pylist(), strict=True))["i98"] is None
    assert "1 cells left empty: column 'title': the text is not UTF-8" in result["text"]
    assert "column 'item_id': the text is not UTF-8" in result["text"]


def test_a_byte_that_is_not_utf8_costs_a_json_line_one_cell(shop: Path) -> None:
    good = "".join(
        json.dumps({"item_id": f"i{n}", "title": f"Café {n}"}, ensure_ascii=False) + "\n" for n in range(9)
    )
    lines = [
        b'{"item_id": "i97", "title": "Caf\xe9", "tags": ["a", "b"]}\n',
        b'{"item_id": "i98", "title": "Tea", "tags": ["\xe9", "b"]}\n',
        b'{"item_id": "i\xe9", "title": "Title"}\n',
        b'{"item_id": "i99", "\xe9": 1}\n',
    ]
    log = json.dumps({"user": "u", "item": "i97", "ts": 1}) + "\n"
    result = taken(shop, log, good.encode() + b"".join(lines), suffix=".jsonl", items_suffix=".jsonl")
    assert [result["items"]["accepted"], result["items"]["refused"]] == [11, 2]
    table = {row["item_id"]: row for row in Workspace.open(shop).table("items").to_pylist()}
    assert table["i97"]["title"] is None and table["i97"]["attributes"] == ["a", "b"]
    assert table["i98"]["title"] == "Tea" and table["i98"]["attributes"] is None
    assert table["i3"]["title"] == "Café 3"
    assert "column 'item_id': the text is not UTF-8" in result["text"]


def test_double_colons_part_cells_and_a_first_line_of_data_is_named(shop: Path) -> None:
    log = "UserID::MovieID::Rating::Timestamp\nu1::i1::5::978300760\nu1::i2::1::978300761\n"
    result = taken(shop, log)
    assert result["interactions"]["understood"]["file"]["delimiter"] == "::"
    assert kinds_of(result) == {"wanted": {"rating": 1}, "unwanted": {"rating": 1}, "ignored": {}}
    with pytest.raises(InputError, match="if its first line is data, say which column is which by number"):
        taken(shop, log.split("\n", 1)[1].replace("u1", "1").replace("i", ""))


@pytest.mark.parametrize(("column", "half"), [("watch_ratio", 0.5), ("percent_played", 50), ("progress", 50)])
def test_shares_and_percents_of_a_play(shop: Path, column: str, half: float) -> None:
    rows = [("u", "i1", 1, half), ("u", "i2", 2, half / 10), ("u", "i3", 3, half * 2)]
    result = taken(shop, log_of(rows, "user", "item", "ts", column))
    assert kinds_of(result) == {"wanted": {"play": 2}, "unwanted": {}, "ignored": {"play": 1}}
    assert Workspace.open(shop).table("interactions")["value"].to_pylist() == [0.5, 0.05, 1.0]
    assert ("holds percents" in result["text"]) == (half == 50)


def test_a_purchase_with_one_star_is_not_wanted(shop: Path) -> None:
    rows = [("u", "i1", 1, "purchase", 1), ("u", "i2", 2, "purchase", 5), ("u", "i3", 3, "purchase", "")]
    log = log_of(rows, "user", "item", "ts", "event", "rating")
    result = taken(shop, log)
    assert kinds_of(result)["unwanted"] == {"rating": 1} and "carry a rating" in result["text"]
    assert kinds_of(result)["wanted"] == {"rating": 1, "purchase": 1}
    assert kinds_of(taken(shop, log, positive=("purchase",)))["wanted"] == {"purchase": 3}


def test_targets_that_nothing_can_find_are_counted() -> None:
    targets = Targets(Histories.of_lists([[1, 2, 1], [3], [], [4, 4]]), np.array([1, 2, 3, 4]))
    assert had_before(targets) == 0.5
    assert had_before(Targets(Histories.of_lists([]), np.array([], dtype=np.int64))) == 0.0


# ---- the whole


def test_the_report_names_format_encoding_and_delimiter(shop: Path) -> None:
    log = "user;item;ts\nu;i1;1\n".encode("utf-16")
    items = "item_id;title\ni1;Café\n".encode("latin-1")
    result = taken(shop, log, items)
    assert "read as: csv, utf-16, delimiter ';'" in result["text"]
    assert (
        "read as: csv, cp1252, delimiter ';'" in result["text"] and "not UTF-8 from line 2" in result["text"]
    )
    assert Workspace.open(shop).table("items")["title"].to_pylist() == ["Café"]
    json.dumps({name: result[name] for name in ("items", "interactions")}, allow_nan=False)


def test_mostly_refused_and_switching_back(shop: Path) -> None:
    good, bad, other = (
        log_of([("u", "i1", 1)], "user", "item", "ts"),
        log_of([("u", "i1", 1), ("u", "x", 1), ("u", "y", 1)], "user", "item", "ts"),
        log_of([("u", "i1", 2)], "user", "item", "ts"),
    )
    assert taken(shop, good)["mostly_refused"] == []
    result = taken(shop, bad)
    assert result["mostly_refused"] == ["interactions"] and "nothing changed" in result["text"]
    (listed,) = (line for line in result["text"].splitlines() if line.startswith("every refused row: "))
    assert Path(listed.removeprefix("every refused row: ")).read_text().count("not among the items") == 2
    assert "nothing changed" not in taken(shop, other)["text"]
    assert "switched back to these tables" in taken(shop, good)["text"]
    assert "nothing changed" in taken(shop, good)["text"]


def test_recbole_files(shop: Path) -> None:
    items = (
        "item_id:token\ttitle:token_seq\tclass:token_seq\tabout:token_seq\n"
        "i1\tA Thing  Again\tx y\tWhat it is\n"
    )
    log = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ti1\t4.0\t1600000000.0\n"
    result = taken(
        shop,
        log,
        items,
        suffix=".inter",
        items_suffix=".item",
        columns={"attributes": "class", "text": "about"},
    )
    assert result["interactions"]["accepted"] == 1 and kinds_of(result)["wanted"] == {"rating": 1}
    (item,) = Workspace.open(shop).table("items").to_pylist()
    assert (item["title"], item["text"], item["attributes"]) == ("A Thing  Again", "What it is", ["x", "y"])


def test_a_title_is_one_line(shop: Path) -> None:
    taken(shop, log_of([("u", "i1", 1)], "user", "item", "ts"), 'item_id,title\ni1,"A\n  Thing"\n')
    assert Workspace.open(shop).table("items")["title"].to_pylist() == ["A Thing"]


def test_too_many_items_end_early(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_ITEMS", 2_000)
    ids = pa.array([str(n % 1000) for n in range(2_100)])
    pq.write_table(pa.table({"item_id": ids}), shop.parent / "many.parquet")
    with pytest.raises(InputError, match="2,100 rows, more than the 2,000 items of a catalogue"):
        ingest_files(shop, shop.parent / "many.parquet", None)


def test_every_record_of_a_broken_file_is_accounted_for(shop: Path) -> None:
    lines = [f"u{n % 7},i{n % 20},{1_600_000_000 + n}" for n in range(200)]
    lines[10] = '"u3,i4,1600000010'
    lines[50] += ",extra"
    lines[60] = "u1"
    lines[90] = "user,item,ts"
    lines[120] = 'u1,"i1,1600000120'
    lines.insert(130, "")
    content = "user,item,ts\n" + "\r\n".join(lines) + "\n"
    for data, suffix in ((content.encode(), ".csv"), (gzip.compress(content.encode()), ".csv.gz")):
        result = taken(shop, data, suffix=suffix)["interactions"]
        assert result["rows"] == 200 == result["accepted"] + result["refused"]
        refused = next(shop.glob("data/tables-*/refused.csv")).read_text()
        assert result["refused"] == 4 and all(f",{row}," in refused for row in (51, 61, 91, 121))


def run(*arguments: Any) -> int:
    """The exit code of the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tastemaker", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def test_the_command_line_says_it_and_exits_1_when_most_is_refused(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop.parent / "items.csv").write_text("artistID,name\n" + "".join(f"a{n},Ann {n}\n" for n in range(9)))
    (shop.parent / "log.csv").write_bytes(
        "user,artistID,ts,type\nü,a1,1,pv\nü,a2,2,buy\nü,x,3,buy\n".encode("cp1252")
    )
    begin = ["ingest", "-w", shop, "--items", shop.parent / "items.csv"]
    files = [*begin, "--interactions", shop.parent / "log.csv", "--column", "item_id=artistID", "--json"]
    assert run(*files, "--encoding", "latin-1", "--positive", "view,purchase") == 0
    report = json.loads(capsys.readouterr().out)["interactions"]
    assert report["understood"]["file"]["encoding"] == "latin-1" and report["accepted"] == 2
    assert report["understood"]["rules"] == {"scale": [1.0, 5.0], "wanted": ["purchase", "view"]}
    (shop.parent / "log.csv").write_text("user,artistID,ts\nu,a1,1\nu,x,2\nu,y,3\n")
    assert run(*files) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["mostly_refused"] == ["interactions"]
    assert told.err.strip().endswith("tastemaker: most rows of interactions were refused: 2 of 3")
    assert run(*begin, "--column", "nothing") == 2 and run(*begin, "--encoding", "klingon") == 2


def test_a_year_that_nobody_knew_is_no_moment(shop: Path) -> None:
    items = "item_id,title,Year-Of-Publication\n" + "".join(
        f"i{n},T,{(0, 1988, 2001, 95)[n % 4]}\n" for n in range(40)
    )
    items = items.replace(",95\n", ",1995\n", 5)
    result = taken(shop, log_of([("u", "i1", 1)], "user", "item", "ts"), items)
    years = {
        item["created_at"] and item["created_at"].year
        for item in Workspace.open(shop).table("items").to_pylist()
    }
    assert years == {None, 1988, 1995, 2001}
    assert "15 cells left empty: column 'Year-Of-Publication'" in result["text"]


@pytest.mark.parametrize("form", ["%d-%b-%y", "%d %b %y", "%b %d, %y", "%d %B %y", "%d-%b-%y %H:%M:%S"])
def test_two_digits_of_a_year_behind_a_month_in_words(shop: Path, form: str) -> None:
    days = [datetime(2021, 1, 5, tzinfo=UTC), datetime(1998, 2, 28, tzinfo=UTC)]
    items = "item_id\ttitle\tcreated_at\n" + "".join(
        f"i{n}\tThing\t{day.strftime(form)}\n" for n, day in enumerate(days)
    )
    log = "user_id\titem_id\ttimestamp\n" + "".join(
        f"u\ti{n}\t{day.strftime(form)}\n" for n, day in enumerate(days)
    )
    taken(shop, log, items, suffix=".tsv", items_suffix=".tsv")
    for table, column in (("items", "created_at"), ("interactions", "timestamp")):
        rows = Workspace.open(shop).table(table).to_pylist()
        assert {row["item_id"]: row[column] for row in rows} == {"i0": days[0], "i1": days[1]}


def test_events_with_items_that_are_gone_are_no_refused_rows(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items, log = shop.parent / "items.csv", shop.parent / "log.csv"
    items.write_text("item_id,title\n" + "".join(f"a{n},Ann {n}\n" for n in range(9)))
    log.write_text("user_id,item_id,timestamp\n" + "".join(f"u{n},a{n},{n + 1}\n" for n in range(9)))
    assert run("ingest", "-w", shop, "--items", items, "--interactions", log) == 0
    items.write_text("item_id,title\n" + "".join(f"a{n},Ann {n}\n" for n in range(6, 15)))
    capsys.readouterr()
    assert run("ingest", "-w", shop, "--items", items) == 0  # a market where most was sold
    told = capsys.readouterr()
    assert "3 of the 9 in use were kept; the other 6 were with items that are gone" in told.out
    assert "were refused" not in told.out + told.err
    assert run("ingest", "-w", shop, "--items", items, "--interactions", log) == 1
    assert "most rows of interactions were refused: 6 of 9" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["candidate", "applicant_id"])
def test_who_applies_is_a_person(shop: Path, column: str) -> None:
    log = f"{column},item_id,applied_at\n" + "".join(f"c{n % 7},i{n % 20},{n + 1}\n" for n in range(60))
    assert taken(shop, log)["interactions"]["columns"]["user_id"] == column


def test_a_log_with_items_that_expired_says_what_to_do(shop: Path) -> None:
    log = "user_id,item_id,timestamp\n" + "".join(f"u{n % 7},i{n % 30},{n + 1}\n" for n in range(60))
    notes = taken(shop, log)["interactions"]["notes"]
    (told,) = (note for note in notes if "expire" in note)
    assert told.startswith("20 of 60 events are with 10 items that the catalogue has not")
    assert "a file of all items" in told and "--items alone" in told


@pytest.mark.parametrize(
    "names", ["users item relevance", "customers product", "pid track_id", "session pid"]
)
def test_people_in_the_plural_and_playlists_are_ids(shop: Path, names: str) -> None:
    log = names + "\n" + "".join(f"u{n % 7} i{n % 20} {n % 5}\n" for n in range(60))
    log = log if names.count(" ") == 2 else re.sub(r"(?m)(?<=\d) \d$", "", log)
    file = shop.parent / "log.txt"
    file.write_text(log)
    items = shop.parent / "items.csv"
    items.write_text(ITEMS)
    result = ingest_files(shop, items if "session" in names else None, file)  # else it makes the catalogue
    columns = result["interactions"]["columns"]
    user, item = names.split()[:2]
    assert (columns["user_id"], columns["item_id"]) == (user, item)


def test_profiles_of_one_account_are_named(shop: Path) -> None:
    log = "Profile Name,item_id,Start Time\n" + "".join(
        f"{('Ann', 'Bob')[n % 2]},i{n % 20},2023-01-{n % 28 + 1:02}\n" for n in range(200)
    )
    with pytest.raises(
        InputError, match="--column 'user_id=Profile Name' takes each of its names as a person"
    ):
        taken(shop, log)
