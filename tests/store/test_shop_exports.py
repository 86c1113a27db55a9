"""Tables as shops, libraries and sites of content export them, with what stands around and inside them that
is no row: whether each is counted for what it is, and said.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.store.workspace import Workspace

N = 12
ITEMS = "item_id,title\n" + "".join(f"i{n},Title {n}\n" for n in range(N))
EVENTS = [(f"u{n % 7}", f"i{n * 5 % N}", 1_700_000_000 + 997 * n) for n in range(60)]
LOG = "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in EVENTS)


def ingest(folder: Path, items: str | None, log: str | bytes | None, *options: str) -> dict[str, Any]:
    """The report of `tastemaker ingest`. Raises what the command prints as its one line."""
    command = ["ingest", "-w", str(folder / "w"), *options, "--json"]
    for option, name, content in (("--items", "items.txt", items), ("--interactions", "log.txt", log)):
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
            command += [option, str(folder / name)]
    CliRunner().invoke(app, ["init", str(folder / "w")])
    result = CliRunner().invoke(app, command)
    if isinstance(result.exception, InputError):
        raise result.exception
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def signs(report: dict[str, Any]) -> list[int]:
    """How many events are wanted, unwanted, neither."""
    kinds = report["interactions"]["understood"]["kinds"]
    return [sum(entry["events"] for entry in kinds[sign]) for sign in ("wanted", "unwanted", "ignored")]


def catalogue(folder: Path) -> dict[str, dict[str, Any]]:
    rows = Workspace.open(folder / "w").table("items").to_pylist()
    return {row["item_id"]: row for row in rows}


def test_totals_below_a_table_and_headers_inside_it_are_refused(tmp_path: Path) -> None:
    items = "item_id,title,price,,\n" + "".join(f"i{n},Title {n},{n}.50,,\n" for n in range(N))
    items = items.replace("i5,", "item_id,title,price,,\ni5,") + "Total,,66,,\n"
    report = ingest(tmp_path, items, LOG + "TOTAL,60,\n")
    assert set(catalogue(tmp_path)) == {f"i{n}" for n in range(N)}
    assert report["items"]["refused"] == 2
    reasons = {row["reason"].split(";")[0] for row in report["items"]["reasons"]}
    assert reasons == {"the first line again", "a line of totals below the table, not a row of it"}
    assert (report["interactions"]["accepted"], report["interactions"]["refused"]) == (60, 1)


def test_a_last_item_that_is_called_total_stays(tmp_path: Path) -> None:
    report = ingest(tmp_path, ITEMS + "Total,Yoghurt\n", LOG)
    assert report["items"]["accepted"] == N + 1 and "Total" in catalogue(tmp_path)


def test_files_given_the_wrong_way_round_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--items \S+log.txt --interactions \S+items.txt"):
        ingest(tmp_path, LOG, ITEMS)


@pytest.mark.parametrize("table", [LOG, ITEMS])
def test_one_table_given_as_both_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(InputError, match="hold the same"):
        ingest(tmp_path, table, table)


def test_times_never_become_ids_of_items(tmp_path: Path) -> None:
    older = LOG.replace("user_id", "user").replace("item_id", "film")
    with pytest.raises(InputError, match="film"):
        ingest(tmp_path, older, older + "u1,i3,1800000000\n", "--column", "item_id=none")
    report = ingest(tmp_path, LOG, LOG + "u1,i3,1800000000\n")
    assert report["items"]["columns"]["item_id"] == "item_id"


def test_a_header_without_rows_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no rows; export"):
        ingest(tmp_path, "item_id,title\n", LOG)
    (tmp_path / "log.txt").write_text("user_id,item_id,timestamp\n")
    (tmp_path / "items.txt").write_text(ITEMS)
    files = ["--items", str(tmp_path / "items.txt"), "--interactions", str(tmp_path / "log.txt")]
    printed = CliRunner().invoke(app, ["ingest", "-w", str(tmp_path / "w"), *files]).stdout
    assert "log.txt holds no rows, only a header" in printed


def test_json_api_has_its_items_under_attributes(tmp_path: Path) -> None:
    def article(n: int) -> dict[str, Any]:
        category = {"data": {"id": n % 2, "attributes": {"name": ["News", "Sport"][n % 2]}}}
        attributes = {"title": f"Title {n}", "slug": f"s-{n}", "publishedAt": "2024-03-01T08:00:00Z"}
        return {"id": f"i{n}", "type": "article", "attributes": attributes | {"category": category}}

    ingest(tmp_path, json.dumps({"data": [article(n) for n in range(N)], "meta": {"page": 1}}), LOG)
    item = catalogue(tmp_path)["i3"]
    assert item["title"] == "Title 3" and item["created_at"] is not None
    assert "Sport" in " ".join(item["attributes"])


def test_attributes_that_are_records_of_an_item_with_a_title_stay_attributes(tmp_path: Path) -> None:
    rows = [
        {"id": f"i{n}", "title": f"Title {n}", "attributes": {"color": ["red", "blue"][n % 2], "size": "M"}}
        for n in range(N)
    ]
    ingest(tmp_path, json.dumps(rows), LOG)
    assert catalogue(tmp_path)["i1"]["attributes"] == ["color=blue", "size=M"]


def test_words_of_a_thesaurus_are_its_terms(tmp_path: Path) -> None:
    rows = [
        {
            "objectID": f"i{n}",
            "title": f"T {n}",
            "tags": [{"term": ["Men", "Dogs"][n % 2], "AAT_URL": "http://x"}],
        }
        for n in range(N)
    ]
    ingest(tmp_path, json.dumps(rows), LOG)
    assert catalogue(tmp_path)["i1"]["attributes"] == ["Dogs"]


@pytest.mark.parametrize(
    ("column", "yes", "no"),
    [
        ("aimé", "oui", "non"),
        ("gefällt", "ja", "nein"),
        ("me gusta", "sí", "no"),
    ],
)
def test_yes_and_no_in_other_languages(tmp_path: Path, column: str, yes: str, no: str) -> None:
    log = f"user_id,item_id,timestamp,{column}\n"
    log += "".join(f"{u},{i},{t},{yes if n % 3 else no}\n" for n, (u, i, t) in enumerate(EVENTS))
    assert signs(ingest(tmp_path, ITEMS, log)) == [40, 0, 20]


def test_orders_that_came_to_nothing_are_no_purchases(tmp_path: Path) -> None:
    states = ("wc-completed", "wc-refunded", "wc-processing", "wc-cancelled")
    log = "order_date,status,customer_id,product_id\n"
    log += "".join(f"{t},{states[n % 4]},{u},{i}\n" for n, (u, i, t) in enumerate(EVENTS))
    report = ingest(tmp_path, ITEMS.replace("item_id", "product_id"), log)
    assert signs(report) == [30, 0, 30]
    assert any("wc-cancelled, wc-refunded" in note for note in report["interactions"]["notes"])


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *(("Applied", "purchase"), ("enrolled", "purchase"), ("borrow", "purchase"), ("scrobble", "play")),
        *(("Refunded", "undo"), ("wishlist_remove", "undo"), ("removed_from_wishlist", "undo")),
    ],
)
def test_words_of_other_trades_for_what_people_do(tmp_path: Path, word: str, kind: str) -> None:
    log = "user_id,item_id,timestamp,action\n"
    log += "".join(f"{u},{i},{t},{word if n % 2 else 'view'}\n" for n, (u, i, t) in enumerate(EVENTS))
    kinds = ingest(tmp_path, ITEMS, log)["interactions"]["understood"]["kinds"]
    assert {entry["kind"] for listed in kinds.values() for entry in listed} == {"view", kind}


def test_dates_that_can_be_read_in_two_ways_are_told_whatever_their_column_is_called(tmp_path: Path) -> None:
    log = "customer_id,product_id,order_date\n"
    log += "".join(f"{u},{i},0{1 + n % 5}/03/2024 08:00\n" for n, (u, i, _) in enumerate(EVENTS))
    report = ingest(tmp_path, ITEMS.replace("item_id", "product_id"), log)["interactions"]
    assert any("--time-unit day/month/year" in note for note in report["notes"]), report["notes"]


def test_names_of_columns_in_another_encoding_say_so(tmp_path: Path) -> None:
    log = LOG.replace("user_id,item_id,timestamp", "会员,货物,时刻").encode("gb18030")
    with pytest.raises(InputError, match="--encoding"):
        ingest(tmp_path, ITEMS, log)
    with pytest.raises(InputError, match="--encoding"):
        ingest(tmp_path, None, log)


def test_items_alone_are_read_as_with_their_log(tmp_path: Path) -> None:
    head = "Medium Nr,Titel,Schlagworte\n"
    first = head + "".join(f'i{n},Title {n},"{["Crime", "Poetry"][n % 2]}, Paper"\n' for n in range(N))
    ingest(tmp_path, first, LOG.replace("item_id", "Medium Nr"))
    report = ingest(tmp_path, first + 'i99,New,"Crime, Audio"\n', None)
    assert report["items"]["columns"]["item_id"] == "Medium Nr"
    assert catalogue(tmp_path)["i99"]["attributes"] == ["Crime", "Audio"]


@pytest.mark.parametrize(("guest", "orders", "noted"), [("0", 150, True), ("p3", 30, False)])
def test_an_id_that_stands_for_guests_is_pointed_at(
    tmp_path: Path, guest: str, orders: int, noted: bool
) -> None:
    """Shops write 0 for whoever has no account: one person with a fifth of all orders, learnt from as one;
    somebody with three times as many as others is a good customer.
    """
    log = "customer_id,product_id\n" + "".join(f"p{n % 50},i{n * 5 % N}\n" for n in range(500))
    log += "".join(f"{guest},i{n % N}\n" for n in range(orders))
    notes = ingest(tmp_path, ITEMS, log)["interactions"]["notes"]
    guests = [note for note in notes if "stands for guests" in note]
    assert guests == ([note for note in notes if note.startswith("'0' has 150 of 650 events, 15 times")])
    assert bool(guests) is noted


def test_records_with_a_name_are_facts_and_sums_keep_the_name_of_what_they_are(tmp_path: Path) -> None:
    ads = [
        {
            "id": f"i{n}",
            "title": f"Ad {n}",
            "tags": ["gift", "rare"][: n % 3],
            "category": {"id": n % 2, "name": ["Bikes", "Phones"][n % 2]},
            "price": {"amount": 10 + n % 5, "currency": "EUR"},
        }
        for n in range(N)
    ]
    ingest(tmp_path, json.dumps(ads), LOG)
    assert {"category=Bikes", "price_amount=10"} <= set(catalogue(tmp_path)["i0"]["attributes"])


def test_who_is_not_signed_in_is_known_inside_records_too(tmp_path: Path) -> None:
    events = [
        {
            "user": {"id": u} if n % 3 else {"id": None, "anonymous_id": f"a{n % 4}"},
            "item_id": i,
            "ts": t * 1000,
        }
        for n, (u, i, t) in enumerate(EVENTS)
    ]
    report = ingest(tmp_path, ITEMS, "\n".join(map(json.dumps, events)))["interactions"]
    assert (report["accepted"], report["refused"]) == (60, 0)


def test_the_number_of_a_volume_is_nobody_who_made_it(tmp_path: Path) -> None:
    items = "item_id;Titel;Autor;Band\n" + "".join(
        f"i{n};Title {n};Anna Noll;{n % 3 + 1 if n % 2 else ''}\n" for n in range(N)
    )
    ingest(tmp_path, items, LOG)
    assert {row["creator"] for row in catalogue(tmp_path).values()} == {"Anna Noll"}


@pytest.mark.parametrize("state", ["storniert", "Rücksendung", "annulée", "cancelado", "已取消"])
def test_orders_that_came_to_nothing_in_other_languages(tmp_path: Path, state: str) -> None:
    log = "timestamp,status,user_id,item_id\n"
    log += "".join(f"{t},{state if n % 4 == 0 else 'ok'},{u},{i}\n" for n, (u, i, t) in enumerate(EVENTS))
    assert signs(ingest(tmp_path, ITEMS, log)) == [45, 0, 15]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *(("add_to_favorites", "like"), ("favouriteAdd", "like"), ("add_to_bag", "save"), ("pin", "save")),
        *(("begin_checkout", "save"), ("contact_seller", "purchase"), ("job_view", "view")),
        *(("SubmitApplication", "purchase"), ("screen_view", "view"), ("unpin", "undo")),
    ],
)
def test_words_of_shops_and_boards_for_what_people_do(tmp_path: Path, word: str, kind: str) -> None:
    log = "user_id,item_id,timestamp,action\n" + "".join(f"{u},{i},{t},{word}\n" for u, i, t in EVENTS)
    kinds = ingest(tmp_path, ITEMS, log)["interactions"]["understood"]["kinds"]
    assert {one["kind"] for listed in kinds.values() for one in listed} == {kind}
