"""Conversations go on when another deployment takes over: the same items are meant, and nothing is said or
kept about others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.conftest import tiny_interactions, tiny_items

import tastemaker as tm
from tastemaker.assist.assistant import Assistant
from tastemaker.assist.tools import Rooms
from tastemaker.flows import deploy
from tastemaker.flows.ingest import ingest_files
from tastemaker.store import Workspace

USER = "replaced-ann"


@pytest.fixture
def folder(untouched_workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untouched_workspace, tmp_path / "w"))


@pytest.fixture
def assistant(folder: Path) -> Iterator[Assistant]:
    opened = tm.Assistant.open(folder)
    yield opened
    opened.close()


def take_down(assistant: Assistant, folder: Path, items: set[str]) -> None:
    """Ingest the catalogue without some items, and serve it."""
    table = tiny_items()
    files = folder.parent / "items.parquet", folder.parent / "interactions.parquet"
    pq.write_table(table.filter([item not in items for item in table["item_id"].to_pylist()]), files[0])
    pq.write_table(tiny_interactions(), files[1])
    ingest_files(folder, *files)
    assert assistant.service.swap()


def turn(assistant: Assistant, message: str, name: str | None = None) -> list[Any]:
    return list(assistant.respond(message, name, USER))


def shown(parts: list[Any]) -> list[str]:
    return [part.item_id for part in parts if part.kind == "item"]


def liked(assistant: Assistant) -> list[str]:
    return [event.item_id for event in assistant.service.database.history(USER) if event.kind == "like"]


def test_a_place_means_the_same_item_after_an_ingest_and_a_rollback(
    assistant: Assistant, folder: Path
) -> None:
    first = turn(assistant, "a reel")
    name, items = first[-1].conversation_id, shown(first)
    take_down(assistant, folder, {f"t{row:03d}" for row in range(64)} - set(items) - {"t060", "t062", "t063"})
    turn(assistant, "I like the second", name)
    assert liked(assistant) == [items[1]]
    new = shown(turn(assistant, "not the third", name))
    assert new and items[2] not in new
    deploy.rollback(Workspace.open(folder))
    assert assistant.service.swap()
    turn(assistant, "I like the first", name)
    assert liked(assistant) == [items[1], new[0]]
    assert not {*items} & {*shown(turn(assistant, "more reels", name))}


def test_a_list_of_which_an_item_is_gone_is_asked_about(assistant: Assistant, folder: Path) -> None:
    first = turn(assistant, "a waltz in G")
    name, items = first[-1].conversation_id, shown(first)
    take_down(assistant, folder, {items[0]})
    asked = turn(assistant, "I like the second", name)
    assert asked[0].kind == "question" and liked(assistant) == []


def test_handles_over_mcp_mean_the_same_item(assistant: Assistant, folder: Path) -> None:
    rooms = Rooms(assistant, USER)
    rows = rooms.call("search_items", "c", {"words": "waltz", "k": 3})["items"]
    gone = next(row["item_id"] for row in tiny_items().to_pylist() if row["title"] == rows[0]["title"])
    take_down(assistant, folder, {gone, "t000", "t001"})
    about = rooms.call("get_item", "c", {"handle": rows[2]["handle"]})
    assert about["title"] == rows[2]["title"]
    assert "unknown" in rooms.call("get_item", "c", {"handle": rows[0]["handle"]})["error"]
