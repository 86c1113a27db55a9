"""A column of the catalogue is filtered by its own name: in the API, on the page and by the assistant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tastemaker as tm
from tastemaker.assist.assistant import Assistant
from tastemaker.flows.data import load_data, rows_by_field
from tastemaker.flows.ingest import ingest_files
from tastemaker.serving.query import Query, Slate
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace, write_table

TREES, PLACES = ("Ash", "Birch", "Cedar", "Elm", "Hazel", "Oak"), ("Dale", "Fen", "Moor", "Shore", "Weir")
GENRES, HOUSES, N = ("drama", "comedy", "poetry"), ("Heron", "Quill"), 30


def books(genre: str = "genre", year: str = "year", **more: Any) -> pa.Table:
    """Book r is of genre r % 3, house r % 2 and the year 1980 + r; every fifth is signed."""
    columns = {
        "item_id": [f"b{row:02d}" for row in range(N)],
        "title": [f"{TREES[row % 6]} {PLACES[row // 6]}" for row in range(N)],
        genre: [GENRES[row % 3] + ("|war" if row % 4 == 0 else "") for row in range(N)],
        "publisher": [HOUSES[row % 2] for row in range(N)],
        year: [1980 + row for row in range(N)],
        "signed": [int(row % 5 == 0) for row in range(N)],
    }
    return pa.table(columns | more)


EVENTS = pa.table(
    {
        "user_id": [f"u{user}" for user in range(6) for _ in range(4)],
        "item_id": [f"b{(5 * user + step) % N:02d}" for user in range(6) for step in range(4)],
        "position": [step for _ in range(6) for step in range(4)],
    }
)


def ingest(root: Path, items: pa.Table | None) -> Workspace:
    """The tables of a shop of these books, or of the same and the events anew."""
    write_table(root / "events.parquet", EVENTS)
    if items is not None:
        write_table(root / "items.parquet", items)
    ingest_files(root / "w", root / "items.parquet" if items is not None else None, root / "events.parquet")
    return Workspace.open(root / "w")


def fields_of(workspace: Workspace) -> dict[str, list[str]]:
    return {name: sorted(values) for name, values in load_data(workspace).fields.items()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("books")
    tm.Workspace.create(root / "w").ingest(items=books(), interactions=EVENTS).train()
    return root / "w"


@pytest.fixture(scope="module")
def service(shop: Path) -> Iterator[WorkspaceService]:
    service = WorkspaceService(Workspace.open(shop))
    yield service
    service.close()


def found(service: WorkspaceService, **filters: list[str]) -> set[int]:
    """The rows of the books that a request with these filters gives, without that of the history (1)."""
    (slate,) = service.recommend_many([Query(history=("b01",), filters=filters, k=N)])
    assert isinstance(slate, Slate), slate
    return {int(row.item_id[1:]) for row in slate.rows}


def test_a_column_is_a_filter_of_its_own_name(service: WorkspaceService) -> None:
    fields = {field["name"]: field for field in service.fields()}
    assert {name: field["label"] for name, field in fields.items()} == {
        "genre": "Genre",
        "publisher": "Publisher",
        "year": "Year",
    }
    assert {one["value"]: one["count"] for one in fields["genre"]["values"]} == {
        "drama": 10,
        "comedy": 10,
        "poetry": 10,
        "war": 8,
    }
    assert (fields["year"]["low"], fields["year"]["high"]) == (1980, 2009)
    assert found(service, genre=["comedy"]) == {row for row in range(2, N) if row % 3 == 1}
    assert found(service, publisher=["Quill"]) == {row for row in range(2, N) if row % 2}
    assert found(service, year=["1996.."]) == set(range(16, N))
    assert found(service, genre=["war"], year=["..1999"]) == {0, 4, 8, 12, 16}


def test_the_old_name_goes_on_working(service: WorkspaceService) -> None:
    assert found(service, attribute=["comedy"]) == found(service, genre=["comedy"])
    assert found(service, attribute=["signed"]) == {row for row in range(N) if row % 5 == 0}
    with pytest.raises(AssertionError, match=r"no field 'colour'.*genre, attribute, publisher, year"):
        found(service, colour=["red"])


def test_an_item_says_its_facts_by_the_names_of_the_filters(service: WorkspaceService) -> None:
    (item,) = service.items(["b20"])
    assert item["facts"] == {"genre": ["poetry", "war"], "attribute": ["signed"], "year": ["2000"]}
    assert item["attributes"] == ["poetry", "war", "signed"] and item["creator"] == "Heron"


def test_the_assistant_calls_it_so_too(shop: Path) -> None:
    talker = Assistant.open(shop)

    def chips(message: str) -> dict[str, str]:
        parts = [part.public() for part in talker.respond(message)]
        said = [part for part in parts if part["kind"] == "understood"]
        return {chip["label"]: chip["field"] for chip in said[-1]["chips"]} if said else {}

    def words(message: str) -> str:
        return " ".join(str(part.public().get("text", "")) for part in talker.respond(message))

    assert chips("a drama from after 1995") == {"genre drama": "genre", "year at least 1996": "year"}
    assert chips("something signed") == {"signed": "attribute"}
    assert chips("anything published by Quill but no war") == {
        "publisher Quill": "publisher",
        "not genre war": "genre",
    }
    assert "comedy (10)" in words("which genres do you have?")
    assert "Heron (15)" in words("which publishers do you have?") and "Quill" in words("who makes dramas?")
    talker.close()


@pytest.mark.parametrize(
    ("genre", "year", "names"),
    [
        ("category", "release_year", {"category", "publisher", "release_year"}),
        ("genres", "published_at", {"genres", "publisher", "year"}),
        ("attributes", "created_at", {"attribute", "publisher", "year"}),
        ("Main Category", "Year", {"publisher", "year", "main_category"}),
    ],
)
def test_names_are_those_of_the_file(tmp_path: Path, genre: str, year: str, names: set[str]) -> None:
    Workspace.create(tmp_path / "w")
    items = books(genre, year)
    if year not in ("Year", "release_year"):
        items = items.set_column(4, year, pa.array([f"{1980 + row}-03-0{1 + row % 9}" for row in range(N)]))
    fields = fields_of(ingest(tmp_path, items))
    assert set(fields) - {"attribute"} == names - {"attribute"}
    own = genre.lower().replace(" ", "_").replace("attributes", "attribute")
    assert {"drama", "comedy", "poetry", "war"} <= set(fields[own])
    assert ("signed" in fields[own]) == (own == "attribute")


def test_new_events_leave_the_names_and_a_column_of_another_name_changes_them(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w")
    first = fields_of(ingest(tmp_path, books()))
    workspace = ingest(tmp_path, None)
    assert workspace.tables_folder() and fields_of(workspace) == first
    assert fields_of(ingest(tmp_path, None)) == first
    renamed = fields_of(ingest(tmp_path, books("category")))
    assert renamed["category"] == first["genre"] and "genre" not in renamed


def test_what_a_fact_says_already_is_no_filter_twice() -> None:
    rows = [
        {"attributes": ["year=1990", "house=A"], "creator": "A"},
        {"attributes": ["year=1991", "house=B"], "creator": "B"},
    ]
    table = pa.Table.from_pylist(rows).append_column(
        "created_at", pa.array([0, 10**15], pa.timestamp("us", tz="UTC"))
    )
    assert set(rows_by_field(table)) == {"year", "house"}


def test_tables_of_before_have_the_names_of_their_report(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w")
    workspace = ingest(tmp_path, books())
    report = json.loads((workspace.tables_folder() / "report.json").read_text())
    assert report["items"]["columns"]["attributes"] == "genre"
