"""Tables of another shape than a row a person and item, and logs without a file of items, by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.store.workspace import Workspace

N, PEOPLE = 12, 8
# Everybody has five items of twelve, at times of their own.
EVENTS = [
    (f"u{u}", f"i{(u * 5 + n * 7) % N}", 1_500_000_000 + 1000 * (5 * u + n))
    for u in range(PEOPLE)
    for n in range(5)
]
PAIRS = sorted((user, item) for user, item, _ in EVENTS)
ITEMS = "item_id,title\n" + "".join(f"i{n},Title {n}\n" for n in range(N))
MAKERS = ("Ann", "Bob", "Cy")


def ingest(
    tmp_path: Path, content: str, *options: str, name: str = "e.csv", items: str | None = ITEMS
) -> Any:
    """The report of `tastemaker ingest`, and what it ended with."""
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    command = ["ingest", "-w", str(tmp_path / "w"), *options, "--json"]
    for option, file, text in (("--items", "items.csv", items), ("--interactions", name, content)):
        if text is not None:
            (tmp_path / file).write_text(text, encoding="utf-8")
            command += [option, str(tmp_path / file)]
    return CliRunner().invoke(app, command)


def taken(tmp_path: Path, result: Any) -> list[tuple[str, str]]:
    """Person and item of the events that were taken, in order of the table."""
    assert result.exit_code == 0, result.output
    table = Workspace.open(tmp_path / "w").table("interactions")
    return list(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def by_person() -> dict[str, list[tuple[str, int]]]:
    return {f"u{u}": [(item, time) for user, item, time in EVENTS if user == f"u{u}"] for u in range(PEOPLE)}


def test_records_in_a_cell_are_rows(tmp_path: Path) -> None:
    rows = [
        {"session": user, "events": [{"aid": item, "ts": time, "type": "carts"} for item, time in own]}
        for user, own in by_person().items()
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    result = ingest(tmp_path, text, name="train.jsonl")
    assert taken(tmp_path, result) == [(user, item) for user, item, _ in EVENTS]
    report = json.loads(result.stdout)["interactions"]
    assert report["understood"]["kinds"]["wanted"] == [{"kind": "save", "events": 40, "spelled": ["carts"]}]
    assert any(
        "each of the records in 'events' was read as a row: 8 made 40" in note for note in report["notes"]
    )


def test_records_without_any_are_counted(tmp_path: Path) -> None:
    rows = [{"user": "u1", "plays": [{"item_id": "i1"}, {"item_id": "i2"}]}, {"user": "u2", "plays": []}]
    result = ingest(tmp_path, json.dumps(rows), name="e.json")
    assert taken(tmp_path, result) == [("u1", "i1"), ("u1", "i2")]
    assert any("2 made 2, 1 held none" in note for note in json.loads(result.stdout)["interactions"]["notes"])


def test_the_fields_of_a_structure_are_columns(tmp_path: Path) -> None:
    rows = [
        {"event": "Product Viewed", "userId": user, "timestamp": time, "properties": {"product_id": item}}
        for user, item, time in EVENTS
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    result = ingest(tmp_path, text, name="events.jsonl")
    assert sorted(taken(tmp_path, result)) == PAIRS
    assert json.loads(result.stdout)["interactions"]["columns"]["item_id"] == "product_id"


def test_details_of_items_are_facts(tmp_path: Path) -> None:
    rows = [
        {
            "item_id": f"i{n}",
            "title": f"T {n}",
            "details": {"Colour": ["red", "blue"][n % 2], "price": 5 + n % 3},
        }
        for n in range(N)
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    command = ["ingest", "-w", str(tmp_path / "w"), "--items", str(tmp_path / "items.jsonl"), "--json"]
    assert CliRunner().invoke(app, command).exit_code == 0
    table = Workspace.open(tmp_path / "w").table("items")
    attributes = dict(zip(table["item_id"].to_pylist(), table["attributes"].to_pylist(), strict=True))
    assert attributes["i3"] == ["colour=blue", "price=5"]


@pytest.mark.parametrize("form", ["json", "csv", "blanks", "lines of blanks", "lines of commas"])
def test_several_items_in_a_cell_are_rows_in_their_order(tmp_path: Path, form: str) -> None:
    own = {user: [item for item, _ in items] for user, items in by_person().items()}
    own["u0"] = own["u0"][:3]  # lines of several lengths
    own["u1"] = own["u1"][:2]
    expected = [(user, item) for user, items in own.items() for item in items]
    text, name = {
        "json": ("\n".join(json.dumps({"user": u, "history": i}) for u, i in own.items()), "e.jsonl"),
        "csv": ("user_id,item_id\n" + "".join(f'{u},"{i}"\n' for u, i in own.items()), "e.csv"),
        "blanks": ("user_id\titems\n" + "".join(f"{u}\t{' '.join(i)}\n" for u, i in own.items()), "e.tsv"),
        "lines of blanks": ("".join(" ".join([u, *i]) + "\n" for u, i in own.items()), "train.txt"),
        "lines of commas": ("".join(",".join([u, *i]) + "\n" for u, i in own.items()), "train.csv"),
    }[form]
    assert taken(tmp_path, ingest(tmp_path, text, name=name)) == expected


def test_lists_that_go_together_are_taken_apart_together(tmp_path: Path) -> None:
    rows = [
        {
            "user_id": user,
            "item_ids": [i for i, _ in own],
            "times": [t for _, t in reversed(own)],
            "ratings": [5, 1, 5, 1, 3],
        }
        for user, own in by_person().items()
    ]
    result = ingest(tmp_path, "\n".join(json.dumps(row) for row in rows), name="e.jsonl")
    assert taken(tmp_path, result) == [(u, i) for u, own in by_person().items() for i, _ in reversed(own)]
    kinds = json.loads(result.stdout)["interactions"]["understood"]["kinds"]
    assert [sum(entry["events"] for entry in kinds[sign]) for sign in ("wanted", "unwanted")] == [16, 16]


def test_impressions_say_what_was_clicked(tmp_path: Path) -> None:
    """The behaviours of MIND: number, person, time, history, and what was shown with -0 or -1."""
    items = "".join(
        f"N{n}\tsports\tgolf\tA title {n}\tAn abstract\thttps://x.example/{n}\t[]\t[]\n" for n in range(N)
    )
    rows = "".join(
        f"{n + 1}\tU{user[1:]}\t11/{1 + n % 28}/2019 {1 + n % 11}:05:58 AM\tN1 N2 N3\t"
        f"N{int(item[1:])}-1 N{(int(item[1:]) + 1) % N}-0\n"
        for n, (user, item, _) in enumerate(EVENTS)
    )
    result = ingest(tmp_path, rows, name="behaviors.tsv", items=items)
    report = json.loads(result.stdout)["interactions"]
    assert report["accepted"] == 80 and report["columns"]["timestamp"] == "3"
    kinds = report["understood"]["kinds"]
    assert (kinds["wanted"][0]["kind"], kinds["wanted"][0]["events"]) == ("click", 40)
    assert (kinds["ignored"][0]["kind"], kinds["ignored"][0]["events"]) == ("view", 40)
    assert len({user for user, _ in taken(tmp_path, result)}) == PEOPLE


@pytest.mark.parametrize("empty", ["", "0"])
@pytest.mark.parametrize("first", ["viewer", "", "customer name"])
def test_a_matrix_of_people_by_items_is_read_by_its_filled_cells(
    tmp_path: Path, empty: str, first: str
) -> None:
    text = f"{first}," + ",".join(f"i{n}" for n in range(N)) + "\n"
    for user in by_person():
        text += f"{user}," + ",".join("4.5" if (user, f"i{n}") in PAIRS else empty for n in range(N)) + "\n"
    result = ingest(tmp_path, text)
    assert sorted(taken(tmp_path, result)) == PAIRS
    report = json.loads(result.stdout)["interactions"]
    assert report["columns"]["value"] == "rating" and report["accepted"] == len(PAIRS)


def test_a_matrix_without_names_says_what_it_needs(tmp_path: Path) -> None:
    text = "".join(",".join(str((u * 7 + n) % 10 - 5 + 0.25) for n in range(30)) + "\n" for u in range(20))
    items = "item_id\n" + "".join(f"{n}\n" for n in range(30))
    result = ingest(tmp_path, text, items=items)
    assert isinstance(result.exception, InputError)
    assert "names neither people nor items" in str(result.exception)


def test_properties_one_a_row_are_facts_of_their_item(tmp_path: Path) -> None:
    items = "timestamp,itemid,property,value\n" + "".join(
        f"14{n},i{n},colour,{['red', 'blue'][n % 2]}\n15{n},i{n},price,{5 + n % 3}\n"
        f"16{n},i{n},price,{7 + n % 4}\n"
        for n in range(N)
    )
    events = "user,item\n" + "".join(f"{user},{item}\n" for user, item, _ in EVENTS)
    result = ingest(tmp_path, events, items=items)
    assert sorted(taken(tmp_path, result)) == PAIRS
    table = Workspace.open(tmp_path / "w").table("items")
    attributes = dict(zip(table["item_id"].to_pylist(), table["attributes"].to_pylist(), strict=True))
    assert sorted(attributes["i3"]) == ["colour=blue", "price=10"]  # the last that was said


def test_the_finer_of_two_times_is_taken(tmp_path: Path) -> None:
    rows = "".join(f"{user},{item},20170714,{time}000\n" for user, item, time in EVENTS)
    result = ingest(tmp_path, "user_id,video_id,date,time_ms\n" + rows)
    assert json.loads(result.stdout)["interactions"]["columns"]["timestamp"] == "time_ms"


def test_an_id_is_called_after_what_it_is_the_id_of(tmp_path: Path) -> None:
    rows = [
        {"user": {"id": user}, "item": {"id": item, "name": "x"}, "ts": time} for user, item, time in EVENTS
    ]
    result = ingest(tmp_path, "\n".join(json.dumps(row) for row in rows), name="e.jsonl")
    assert taken(tmp_path, result) == [(user, item) for user, item, _ in EVENTS]


# ---- no file of items


def log(columns: str) -> str:
    """A log of plays in which each item is called by its title and maker; how long it was played differs."""
    rows = "".join(
        f"{user},{item},Song {item[1:]},{MAKERS[int(item[1:]) % 3]},{time},{n}\n"
        for n, (user, item, time) in enumerate(EVENTS)
    )
    return columns + "\n" + rows


def test_a_log_alone_makes_the_catalogue(tmp_path: Path) -> None:
    content = log("user_id,track_id,trackName,artistName,played_at,msPlayed")
    result = ingest(tmp_path, content, items=None)
    assert taken(tmp_path, result) == [(user, item) for user, item, _ in EVENTS]
    table = Workspace.open(tmp_path / "w").table("items")
    assert sorted(
        zip(
            table["item_id"].to_pylist(),
            table["title"].to_pylist(),
            table["creator"].to_pylist(),
            strict=True,
        )
    ) == sorted((f"i{n}", f"Song {n}", MAKERS[n % 3]) for n in range(N))
    report = json.loads(result.stdout)["items"]
    assert "msPlayed" not in report["columns"].values() and "played_at" not in report["columns"].values()
    assert "no file of items was given: they are the 12 of 'track_id'" in report["notes"][0]
    again = ingest(tmp_path, content.replace("i3,Song 3", "new,Song new"), items=None)
    assert "new" in Workspace.open(tmp_path / "w").table("items")["item_id"].to_pylist(), again.output


@pytest.mark.parametrize("form", ["lines", "json"])
def test_sequences_alone_make_the_catalogue(tmp_path: Path, form: str) -> None:
    own = {user: [item for item, _ in items][: 3 + int(user[1:]) % 3] for user, items in by_person().items()}
    lines = "".join(" ".join([u, *i]) + "\n" for u, i in own.items())
    rows = "\n".join(json.dumps({"user_id": u, "item_ids": i}) for u, i in own.items())
    text, name = (lines, "train.txt") if form == "lines" else (rows, "e.jsonl")
    expected = [(user, item) for user, items in own.items() for item in items]
    assert taken(tmp_path, ingest(tmp_path, text, name=name, items=None)) == expected


def test_without_ids_the_title_and_its_maker_are_the_item(tmp_path: Path) -> None:
    """A person's own history, as streaming services give it out."""
    rows = [
        {
            "endTime": f"2020-01-{1 + n % 28:02d} 10:{n:02d}",
            "artistName": MAKERS[n % 3],
            "trackName": f"Song {n % N}",
            "msPlayed": n,
        }
        for n in range(40)
    ]
    refused = ingest(tmp_path, json.dumps(rows), name="history.json", items=None)
    assert "where all rows are of one person, --column user_id=" in str(refused.exception)
    result = ingest(tmp_path, json.dumps(rows), "--column", "user_id=", name="history.json", items=None)
    assert set(taken(tmp_path, result)) == {("me", f"{MAKERS[n % 3]} - Song {n}") for n in range(N)}
    table = Workspace.open(tmp_path / "w").table("items")
    assert set(zip(table["title"].to_pylist(), table["creator"].to_pylist(), strict=True)) == {
        (f"Song {n}", MAKERS[n % 3]) for n in range(N)
    }


def test_what_differs_from_person_to_person_is_no_fact_of_an_item(tmp_path: Path) -> None:
    rows = "".join(
        f"{user},{item},{['red', 'blue'][int(item[1:]) % 2]},{['UK', 'FR'][int(user[1:]) % 2]},{n % 4}\n"
        for n, (user, item, _) in enumerate(EVENTS)
    )
    result = ingest(tmp_path, "user_id,sku,colour,country,basket\n" + rows, items=None)
    assert json.loads(result.stdout)["items"]["understood"]["facts"] == {"colour": "word"}


def test_a_log_without_names_or_items_says_what_to_name(tmp_path: Path) -> None:
    text = "".join(f"15{user[1:]},Game {item[1:]},play,{n}.5,0\n" for n, (user, item, _) in enumerate(EVENTS))
    refused = ingest(tmp_path, text, items=None)
    assert isinstance(refused.exception, InputError)
    assert "--column user_id=1 --column item_id=2" in str(refused.exception)
    named = ("--column", "user_id=1", "--column", "item_id=2", "--column", "kind=3")
    result = ingest(tmp_path, text, *named, items=None)
    assert set(taken(tmp_path, result)) == {(f"15{user[1:]}", f"Game {item[1:]}") for user, item in PAIRS}
    assert "Game 3" in Workspace.open(tmp_path / "w").table("items")["title"].to_pylist()


def test_items_of_another_catalogue_are_refused_and_no_other_column_taken(tmp_path: Path) -> None:
    rows = "".join(f"{user},x{n},i1 i2 i3\n" for n, (user, _, _) in enumerate(EVENTS))
    refused = ingest(tmp_path, "user_id,item_id,seen\n" + rows)
    assert "not among the items" in str(refused.exception)


def test_baskets_without_people_say_how_to_read_them(tmp_path: Path) -> None:
    rows = "".join(f"{n // 3},{item},{n % 3}\n" for n, (_, item, _) in enumerate(EVENTS))
    text = "order_id,product_id,add_to_cart_order\n" + rows
    refused = ingest(tmp_path, text)
    assert "--column user_id=order_id takes what was had together" in str(refused.exception)
    assert len(taken(tmp_path, ingest(tmp_path, text, "--column", "user_id=order_id"))) == len(EVENTS)


def test_a_log_that_names_no_item_is_refused(tmp_path: Path) -> None:
    result = ingest(tmp_path, "user_id,colour\nu1,red\nu2,blue\n", items=None)
    assert isinstance(result.exception, InputError) and "--column item_id=COLUMN" in str(result.exception)


# ---- what looks like another shape and is none


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("column", ["history", "comment"])
def test_a_column_of_items_goes_before_lists_of_others(tmp_path: Path, known: bool, column: str) -> None:
    """What was shown or bought besides is no event, also where most items of the events are unknown."""
    rows = "".join(f"{u},{i}{'x' * (n % 3 > 0)},i1 i2 i3,{n}\n" for n, (u, i, _) in enumerate(EVENTS))
    result = ingest(tmp_path, f"user_id,item_id,{column},n\n" + rows, items=ITEMS if known else None)
    assert json.loads(result.stdout)["interactions"]["rows"] == len(EVENTS)


def test_a_comment_of_numbers_is_no_list_of_items(tmp_path: Path) -> None:
    """Neither where the column of items bears no known name, nor where there is no header."""
    items = "item_id,title\n" + "".join(f"{n},Title {n}\n" for n in range(N))
    rows = "".join(f"{u},{i[1:]},{t},{n % N} {n * 5 % N} 3\n" for n, (u, i, t) in enumerate(EVENTS))
    for header in ("user_id,recipe,time,review\n", ""):
        result = ingest(tmp_path, header + rows, items=items)
        assert sorted(taken(tmp_path, result)) == sorted((user, item[1:]) for user, item in PAIRS)


def test_titles_with_blanks_stay_whole(tmp_path: Path) -> None:
    """In lists, between commas, and in a column of one title a row."""
    own = {user: [f"The Film {item}" for item, _ in items] for user, items in by_person().items()}
    expected = [(user, item) for user, items in own.items() for item in items]
    known = "item_id\n" + "".join(f"The Film i{n}\n" for n in range(N))
    lists = "\n".join(json.dumps({"user": u, "tracks": i}) for u, i in own.items())
    commas = "user,products\n" + "".join(f'{u},"{", ".join(i)}"\n' for u, i in own.items())
    quoted = "user\tproducts\n" + "".join(f"{u}\t{i}\n" for u, i in own.items())
    for text, name in ((lists, "e.jsonl"), (commas, "e.csv"), (quoted, "e.tsv")):
        for items in (known, None):
            where = tmp_path / f"{name}{items is None}"
            where.mkdir()
            assert taken(where, ingest(where, text, name=name, items=items)) == expected
    single = "user,books\n" + "".join(f"{u},{i[0]}\n" for u, i in own.items())
    refused = ingest(tmp_path, single, items=None)
    assert "--column item_id=COLUMN" in str(refused.exception)


def test_empty_entries_of_a_list_are_counted(tmp_path: Path) -> None:
    rows = [{"user": u, "history": [i for i, _ in own] + [None, ""]} for u, own in by_person().items()]
    result = ingest(tmp_path, "\n".join(map(json.dumps, rows)), name="e.jsonl")
    assert sorted(taken(tmp_path, result)) == PAIRS
    assert any("16 entries are empty" in note for note in json.loads(result.stdout)["interactions"]["notes"])


def test_a_field_plays_no_part_that_a_column_plays(tmp_path: Path) -> None:
    rows = "".join(f'i{n},T {n},"{{""title"": ""x"", ""hue"": {n % 2}}}"\n' for n in range(N))
    events = "user_id,item_id\n" + "".join(f"{user},{item}\n" for user, item, _ in EVENTS)
    result = ingest(tmp_path, events, items="item_id,name,raw\n" + rows)
    assert taken(tmp_path, result)
    assert Workspace.open(tmp_path / "w").table("items")["title"].to_pylist()[0].startswith("T ")


# ---- as services give them out


def test_one_of_several_lists_of_records_names_items(tmp_path: Path) -> None:
    """The events of Google Analytics: the person under a name of its own, `user_id` empty."""
    rows = [
        {
            "event_timestamp": time * 1_000_000,
            "event_name": "view_item",
            "event_params": [{"key": "page", "value": {"string_value": "Home"}}],
            "user_id": None,
            "user_pseudo_id": user,
            "items": [{"item_id": item, "item_name": f"Song {item[1:]}"}],
        }
        for user, item, time in EVENTS
    ]
    for items in (ITEMS, None):
        result = ingest(tmp_path, "\n".join(map(json.dumps, rows)), name="e.jsonl", items=items)
        assert sorted(taken(tmp_path, result)) == PAIRS


def test_records_in_records_and_missing_ones(tmp_path: Path) -> None:
    """Three deep, with times of their own; a record may be null, or stand where a list of one is meant."""
    rows = [
        {
            "user": user,
            "ts": 1_400_000_000,
            "sessions": [{"plays": [None, *({"item": {"id": item}, "ts": time} for item, time in own)]}],
        }
        for user, own in by_person().items()
    ]
    rows.append({"user": "u9", "ts": 1, "sessions": {"plays": [{"item": {"id": "i1"}, "ts": 1_500_000_000}]}})
    result = ingest(tmp_path, json.dumps(rows), name="e.json")
    assert taken(tmp_path, result) == [(user, item) for user, item, _ in EVENTS] + [("u9", "i1")]
    assert json.loads(result.stdout)["interactions"]["understood"]["times"]["first"].startswith("2017-07-14")


def test_what_mongodb_wraps_is_read_bare(tmp_path: Path) -> None:
    rows = [
        {"user": {"$oid": user}, "item": {"$oid": item}, "date": {"$date": {"$numberLong": f"{time}000"}}}
        for user, item, time in EVENTS
    ]
    result = ingest(tmp_path, "\n".join(map(json.dumps, rows)), name="e.json")
    assert taken(tmp_path, result) == [(user, item) for user, item, _ in EVENTS]


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("x", ""), ("yes", "no")])
def test_a_matrix_of_marks_is_read_where_they_stand(tmp_path: Path, yes: str, no: str) -> None:
    text = ",user," + ",".join(f"i{n}" for n in range(N)) + "\n"
    for at, user in enumerate(by_person()):
        marks = [yes if (user, f"i{n}") in PAIRS else no for n in range(N)]
        text += f"{at},{user},{','.join(marks)}\n"
    assert sorted(taken(tmp_path, ingest(tmp_path, text))) == PAIRS


def test_lists_of_parquet_of_a_fixed_length_and_of_times(tmp_path: Path) -> None:
    own = by_person()
    items = pa.array([[item for item, _ in events] for events in own.values()], pa.list_(pa.string(), 5))
    times = pa.array([[time for _, time in events] for events in own.values()])
    table = pa.table({"user": list(own), "history": items, "ts": times.cast(pa.list_(pa.timestamp("s")))})
    pq.write_table(table, tmp_path / "e.parquet")
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    (tmp_path / "items.csv").write_text(ITEMS)
    command = ["ingest", "-w", str(tmp_path / "w"), "--items", str(tmp_path / "items.csv")]
    result = CliRunner().invoke(app, [*command, "--interactions", str(tmp_path / "e.parquet"), "--json"])
    assert taken(tmp_path, result) == [(user, item) for user, item, _ in EVENTS]


def test_what_all_rows_of_an_item_say_stays_beside_its_properties(tmp_path: Path) -> None:
    items = "item_id,title,feature,value\n" + "".join(
        f"i{n},Title {n},{feature},{n % 2}\n" for n in range(N) for feature in ("pool", "loft")
    )
    events = "user,item\n" + "".join(f"{user},{item}\n" for user, item, _ in EVENTS)
    assert taken(tmp_path, ingest(tmp_path, events, items=items))
    assert "Title 3" in Workspace.open(tmp_path / "w").table("items")["title"].to_pylist()


def test_an_order_is_no_item(tmp_path: Path) -> None:
    rows = "".join(f"{n // 5},{user},{item}\n" for n, (user, item, _) in enumerate(2 * EVENTS))
    result = ingest(tmp_path, "id,user_id,Lineitem sku\n" + rows, items=None)
    assert json.loads(result.stdout)["interactions"]["columns"]["item_id"] == "Lineitem sku"


def test_long_texts_beside_long_lists_are_left_out(tmp_path: Path) -> None:
    rows = "".join(f"{u},{'x' * 100_000},{' '.join(['i1'] * 2_000)}\n" for u in by_person())
    result = ingest(tmp_path, "user_id,bio,history\n" + rows)
    notes = json.loads(result.stdout)["interactions"]["notes"]
    assert any("'bio', long texts, were left out" in note for note in notes)
