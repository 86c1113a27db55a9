"""What one person's events may move, and how pushing shows."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tastemaker.flows.anomalies import OF_ONE_ITEM, OF_ONE_PERSON, anomalies
from tastemaker.flows.data import load_data, telling_events
from tastemaker.retrieve.memory import fit_memory
from tastemaker.store import Database, Event, Workspace

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def workspace(untouched_workspace: Path, tmp_path: Path) -> Workspace:
    folder = tmp_path / "workspace"
    shutil.copytree(untouched_workspace, folder, ignore=shutil.ignore_patterns("tastemaker.sqlite*"))
    return Workspace.open(folder)


def send(workspace: Workspace, user: str, items: list[str]) -> None:
    database = Database(workspace.database)
    database.add_events(
        Event(f"{user}-{place}", user, "like", START + timedelta(seconds=place), item)
        for place, item in enumerate(items)
    )
    database.close()


def test_of_one_person_the_latest_events_count_and_pushing_an_item_is_told(workspace: Workspace) -> None:
    ids = sorted(workspace.table("items")["item_id"].to_pylist())
    popular, target = ids[0], ids[-1]
    send(workspace, "honest", [ids[1], ids[2], ids[1]])
    assert telling_events(workspace).num_rows == 3 and anomalies(workspace) == []
    send(workspace, "pusher", [popular, target] * 600)
    events = telling_events(workspace)
    assert events.num_rows == 3 + 2 * OF_ONE_ITEM
    lines = [str(finding) for finding in anomalies(workspace)]
    assert any(target in line and "1 people" in line for line in lines)
    assert any(line.startswith("warn  busy person: pusher sent 1,200 events; 6 count") for line in lines)
    # The memory of what follows what is moved by no more than three events with all that can stand before.
    data = load_data(workspace, events=events)
    before = load_data(workspace)
    column = data.index[target]
    moved = fit_memory(data.histories, len(ids)).table[:, [column]].sum()
    moved -= fit_memory(before.histories, len(ids)).table[:, [before.index[target]]].sum()
    assert 0 < moved <= OF_ONE_ITEM * sum(1 / step for step in range(1, 11))


def test_of_one_person_no_more_than_so_many_count(workspace: Workspace) -> None:
    ids = sorted(workspace.table("items")["item_id"].to_pylist())
    many = (ids * (2 * OF_ONE_PERSON // len(ids) + 1))[: 2 * OF_ONE_PERSON]
    send(workspace, "busy", many)
    counted = telling_events(workspace)
    assert counted.num_rows == min(OF_ONE_PERSON, OF_ONE_ITEM * len(ids))
    assert counted["item_id"].to_pylist()[-1] == many[-1]
