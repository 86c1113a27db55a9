"""Columns of items that play no part of their own become facts: what a shop's export says of its goods."""

from __future__ import annotations

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
    found, items = taken(tmp_path, columns)
    assert found == {
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
    ],
)
def test_what_tells_nothing_is_no_fact(tmp_path: Path, name: str, cells: list[Any]) -> None:
    found, items = taken(tmp_path, {name: cells})
    assert found == {} and items[0]["attributes"] is None


def test_a_column_that_was_named_stands_alone(tmp_path: Path) -> None:

    columns = {"kind": ["a", "b"] * (N // 2), "color": ["red", "blue"] * (N // 2)}
    found, items = taken(tmp_path, columns, settings=IngestSettings(columns={"attributes": "kind"}))
    assert found == {} and items[0]["attributes"] == ["a"]


def test_facts_stand_beside_the_column_of_attributes(tmp_path: Path) -> None:
    columns = {"genres": ["x|y", ""] * (N // 2), "color": ["red", "blue"] * (N // 2)}
    found, items = taken(tmp_path, columns)
    assert found == {"color": "word"}
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
