"""Public data sets of recommendation as they are published, by the command: what each row says is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.store.workspace import Workspace

PAIRS = [(person, (person * 7 + n) % 23) for person in range(20) for n in range(6)]
START = 1_511_544_070  # in the log of Taobao


def ingest(
    folder: Path, file: str, log: Any, *options: str, items: str | None = None
) -> tuple[pl.DataFrame, Any]:
    """The events that `tastemaker ingest` made of a log (text, or a table), and its report."""
    CliRunner().invoke(app, ["init", str(folder / "w")])
    if isinstance(log, pa.Table):
        feather.write_feather(log, folder / file)
    else:
        (folder / file).write_text(log)
    command = ["ingest", "-w", str(folder / "w"), "--interactions", str(folder / file), *options, "--json"]
    if items is not None:
        (folder / "items.csv").write_text(items)
        command += ["--items", str(folder / "items.csv")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, (result.output, result.exception)
    workspace = Workspace.open(folder / "w")
    events = pl.DataFrame(pl.from_arrow(workspace.table("interactions")))
    signs = workspace.event_rules().signs(events["kind"].to_arrow(), events["value"].to_numpy())
    return events.with_columns(sign=pl.Series(signs)), json.loads(result.stdout)


def lines(row: str, head: str = "") -> str:
    return head + "".join(row.format(user=user, item=item, n=n) for n, (user, item) in enumerate(PAIRS))


def test_what_people_did_is_read_where_only_people_and_items_are_named_by_number(tmp_path: Path) -> None:
    kinds = ("pv", "pv", "buy", "fav")  # UserBehavior of Taobao
    log = "".join(
        f"{user},{2268318 + item},{2520377 + item},{kinds[n % 4]},{START + n}\n"
        for n, (user, item) in enumerate(PAIRS)
    )
    events, report = ingest(
        tmp_path, "UserBehavior.csv", log, "--column", "user_id=1", "--column", "item_id=2"
    )
    assert events["sign"].value_counts().sort("sign").rows() == [(0, 60), (1, 60)]
    assert report["interactions"]["understood"]["times"]["first"].startswith("2017-11-24T17:21:10")


@pytest.mark.parametrize(
    ("levels", "signs"),
    [((1, 4, 2, 5), [(-1, 60), (1, 60)]), ((-1, 1, -1, 1), [(-1, 60), (1, 60)])],
    ids=["stars", "votes"],
)
def test_ratings_are_read_where_only_people_and_items_are_named_by_number(
    tmp_path: Path, levels: tuple[int, ...], signs: list[tuple[int, int]]
) -> None:
    log = "".join(f"A{user}X,{item:010d},{levels[n % 4]}\n" for n, (user, item) in enumerate(PAIRS))
    events, _ = ingest(tmp_path, "ratings_Beauty.csv", log, "--column", "user_id=1", "--column", "item_id=2")
    assert events["sign"].value_counts().sort("sign").rows() == signs


def test_as_many_genres_as_cells_do_not_part_a_row_of_movielens(tmp_path: Path) -> None:
    items = "".join(f"{n + 1}::Film {n}, The (1995)::Action|Comedy|Drama\n" for n in range(23))
    log = "".join(
        f"{user + 1}::{item + 1}::{n % 5 + 1}::{START + n}\n" for n, (user, item) in enumerate(PAIRS)
    )
    events, report = ingest(tmp_path, "ratings.dat", log, items=items)
    assert report["items"]["accepted"] == 23 and len(events) == len(PAIRS)


def test_a_matrix_alone_names_its_items(tmp_path: Path) -> None:
    head = "user_id," + ",".join(f"joke{n}" for n in range(25)) + "\n"
    rows = "".join(
        f"u{u}," + ",".join(f"{u % 7}.5" if (n + u) % 4 == 0 else "99" for n in range(25)) + "\n"
        for u in range(12)
    )
    events, report = ingest(tmp_path, "jester.csv", head + rows)
    assert len(events) == rows.count(".5") and report["items"]["accepted"] == 25


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        ("time", "2014-12-{day:02d} {hour:02d}"),
        ("date_day,date_month,date_year,date_hour,date_minute", "{day},12,2014,{hour},0"),
        ("Year,Month,Day,Hour", "2014,12,{day},{hour}.0"),
        ("TRANSACTION_DT", "12/{day}/2014 {hour}:00"),
        ("collector_tstamp", "2014-12-{day:02d} {hour:02d}:00:00.000"),
        ("Created (UTC)", "2014-12-{day:02d} {hour:02d}:00"),
    ],
)
def test_times_of_other_columns_and_forms(tmp_path: Path, head: str, cells: str) -> None:
    log = f"user_id,item_id,{head}\n" + "".join(
        f"{user},{item},{cells.format(day=13 + n % 9, hour=n % 24)}\n" for n, (user, item) in enumerate(PAIRS)
    )
    events, _ = ingest(tmp_path, "log.csv", log)
    assert set(events["timestamp"].dt.strftime("%Y-%m-%dT%H:%M")) == {
        f"2014-12-{13 + n % 9:02d}T{n % 24:02d}:00" for n in range(len(PAIRS))
    }


def test_of_properties_with_times_the_latest_holds(tmp_path: Path) -> None:
    items = "timestamp,itemid,property,value\n"  # item_properties of RetailRocket, in no order of time
    items += "".join(
        f"{time},{n},categoryid,{category}\n"
        for n in range(23)
        for time, category in ((1435460400000, "new" + str(n % 3)), (1433041200000, "old"))
    )
    ingest(tmp_path, "events.csv", lines("{user},{item}\n", "visitorid,itemid\n"), items=items)
    found = Workspace.open(tmp_path / "w").table("items").to_pylist()
    assert {word for row in found for word in row["attributes"]} == {f"categoryid=new{n}" for n in range(3)}


@pytest.mark.parametrize("column", ["is_recommended", "recommend", "voted_up"])
def test_who_would_not_recommend_it_dislikes_it(tmp_path: Path, column: str) -> None:
    log = "".join(f"{user},{item},{'true' if n % 3 else 'false'}\n" for n, (user, item) in enumerate(PAIRS))
    events, _ = ingest(tmp_path, "recommendations.csv", f"user_id,app_id,{column}\n{log}")
    assert events["sign"].value_counts().sort("sign").rows() == [(-1, 40), (1, 80)]


@pytest.mark.parametrize("column", ["household_key", "user_num", "CustomerKey", "reviewers"])
def test_people_of_other_names(tmp_path: Path, column: str) -> None:
    events, _ = ingest(tmp_path, "log.csv", lines("p{user},{item}\n", f"{column},item_id\n"))
    assert events["user_id"].n_unique() == 20


def test_the_number_of_a_line_and_the_name_of_a_service_are_no_items(tmp_path: Path) -> None:
    log = "".join(f"u{user},{n % 3},SKU-{item},Shirt {item}\n" for n, (user, item) in enumerate(PAIRS))
    events, _ = ingest(tmp_path, "orders.csv", f"customer_id,Item #,SKU,Item Name\n{log}")
    assert set(events["item_id"]) == {f"SKU-{item}" for _, item in PAIRS}
    (tmp_path / "youtube").mkdir()
    watched = [
        {"user_id": user, "titleUrl": f"https://x/{item}", "title": f"Clip {item}", "products": ["YouTube"]}
        for user, item in PAIRS
    ]
    events, _ = ingest(tmp_path / "youtube", "watch-history.json", json.dumps(watched))
    assert events["item_id"].n_unique() == 23


def test_files_of_arrow_are_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user": pa.array([f"u{user}" for user, _ in PAIRS]).dictionary_encode(),
            "item": [item for _, item in PAIRS],
            "event_type": pa.array(["view", "buy"] * 60).dictionary_encode(),
        }
    )
    events, report = ingest(tmp_path, "log.feather", table)
    assert events["sign"].sum() == 60 and report["interactions"]["accepted"] == len(PAIRS)
    (tmp_path / "broken.feather").write_bytes((tmp_path / "log.feather").read_bytes()[:-40])
    command = ["ingest", "-w", str(tmp_path / "w"), "--interactions", str(tmp_path / "broken.feather")]
    assert "cannot be read" in str(CliRunner().invoke(app, command).exception)


def test_a_year_among_dates_is_one(tmp_path: Path) -> None:
    dates = ("1999", "2003-05-06", "2004-07-08T10:00:00")
    log = "user_id,item_id,watched_at\n"
    log += "".join(f"{user},{item},{dates[n % 3]}\n" for n, (user, item) in enumerate(PAIRS))
    events, _ = ingest(tmp_path, "log.csv", log)
    assert set(events["timestamp"].dt.strftime("%Y-%m-%d")) == {"1999-01-01", "2003-05-06", "2004-07-08"}


def test_lines_of_orders_come_to_who_ordered(tmp_path: Path) -> None:
    """Instacart as it is published: orders, their lines in two files, products, and departments."""
    folder = tmp_path / "instacart"
    folder.mkdir()
    tables = {
        "orders": "order_id,user_id\n" + "".join(f"{n},u{n % 7}\n" for n in range(40)),
        "order_products__prior": "order_id,product_id\n" + "".join(f"{n % 39},{n % 23}\n" for n in range(90)),
        "order_products__train": "order_id,product_id\n39,3\n77,3\n",
        "products": "product_id,product_name,department_id\n"
        + "".join(f"{n},Cookies {n},{n % 3}\n" for n in range(23)),
        "departments": "department_id,department\n0,frozen\n1,bakery\n2,snacks\n",
    }
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    command = ["ingest", "-w", str(tmp_path / "w"), "--interactions", str(folder), "--json"]
    report = json.loads(CliRunner().invoke(app, command).stdout)["interactions"]
    assert (report["accepted"], report["refused"]) == (91, 1)  # nobody ordered 77
    workspace = Workspace.open(tmp_path / "w")
    assert set(workspace.table("interactions")["user_id"].to_pylist()) == {f"u{n}" for n in range(7)}
    items = {row["item_id"]: row for row in workspace.table("items").to_pylist()}
    assert items["4"]["title"] == "Cookies 4" and items["4"]["attributes"] == ["bakery"]
