"""Items that came after training: in lists within seconds of their ingest, in places kept for them, with the
probabilities they were drawn with.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import TINY, tiny_interactions, tiny_items
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.explore.slate import kept_for_new
from tastemaker.flows.explore.tables import Source, load
from tastemaker.serving.query import Query
from tastemaker.serving.serve import begin, search
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace

DRAWS = 800
KINDS = ("jig", "reel", "air", "polka", "waltz")
NEW = [
    {"item_id": f"new{n}", "title": f"Tune number {90 + n} the {kind}", "attributes": [f"type={kind}"]}
    for n, kind in enumerate(KINDS)
]


@pytest.fixture(scope="module")
def grown(untouched_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained workspace into which five more items were ingested from the command line."""
    folder = tmp_path_factory.mktemp("grown")
    shutil.copytree(untouched_workspace, folder / "w")
    items = tiny_items()
    pq.write_table(
        pa.concat_tables([items, pa.Table.from_pylist(NEW, schema=items.schema)]), folder / "i.parquet"
    )
    pq.write_table(tiny_interactions(), folder / "e.parquet")
    files = [str(folder / "i.parquet"), str(folder / "e.parquet")]
    files = ["--items", files[0], "--interactions", files[1]]
    assert "5 new items" in _run("ingest", *files, "-w", str(folder / "w"))
    return folder / "w"


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def _rows(folder: Path, k: int) -> list[dict[str, Any]]:
    output = _run(
        "recommend", "-w", str(folder), "--history", "t001", "--history", "t004", "--k", str(k), "--json"
    )
    rows: list[dict[str, Any]] = json.loads(output)["rows"]
    return rows


def test_the_last_place_of_ten_is_a_new_item_and_the_setting_turns_it_off(
    grown: Path, tmp_path: Path
) -> None:
    rows = _rows(grown, 10)
    assert [row["source"] for row in rows].count("new") == 1 and rows[-1]["source"] == "new"
    assert rows[-1]["item_id"].startswith("new") and len({row["item_id"] for row in rows}) == 10
    assert [row["source"] for row in _rows(grown, 20)][-2:] == ["new", "new"]
    assert _rows(grown, 3)[-1]["source"] == "model"  # a tenth of three places is none
    everything = [row["item_id"] for row in _rows(grown, 69)]
    assert len(everything) == len(set(everything)) == 67  # two were had; a place kept takes none away
    shutil.copytree(grown, tmp_path / "w", ignore=shutil.ignore_patterns("tastemaker.sqlite*"))
    path = tmp_path / "w" / "tastemaker.toml"
    path.write_text(path.read_text().replace("new_share = 0.1", "new_share = 0.0"))
    assert "new" not in [row["source"] for row in _rows(grown.parent / "w", 1)]
    with_none = WorkspaceService(
        replace(Workspace.open(grown), settings=Workspace.open(tmp_path / "w").settings)
    )
    (slate,) = with_none.recommend_many([Query(history=("t001", "t004"), k=10)])
    assert "new" not in [row.source for row in slate.rows]  # type: ignore[union-attr]
    with_none.close()


def test_places_kept_for_new_items_have_the_probabilities_they_are_drawn_with(
    grown: Path, tmp_path: Path
) -> None:
    opened = Workspace.open(
        Path(shutil.copytree(grown, tmp_path / "w", ignore=shutil.ignore_patterns("*.sqlite*")))
    )
    settings = replace(opened.settings, exploration=1.0, new_share=0.4)
    service = WorkspaceService(replace(opened, settings=settings))
    resolved, empty = begin(Query(history=("t000", "t004"), k=5), service.parts)
    (searched,) = search([(resolved, empty)], service.parts, 0)
    draw = service.parts.drawer.now()
    slates = [draw(resolved, replace(searched, request_id=f"s-{number}")) for number in range(DRAWS)]
    tails = [[row for row in slate.rows if row.source == "new"] for slate in slates]
    for slate, tail in zip(slates, tails, strict=True):
        assert len({row.item_id for row in slate.rows}) == 5 and len(tail) == kept_for_new(slate.policy_id)
        assert slate.rows[len(slate.rows) - len(tail) :] == tuple(tail) and 0 < len(tail) <= 2
    # The weights of "this item here" against uniform over what was left average 1 where each chance is exact.
    first = [(slate, tail[0]) for slate, tail in zip(slates, tails, strict=True)]
    left = [
        5 - sum(row.item_id.startswith("new") for row in slate.rows[: row_.position]) for slate, row_ in first
    ]
    weights = np.array([1 / (row.propensity * n) for (_, row), n in zip(first, left, strict=True)])
    assert weights.std() > 0 and abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(DRAWS)
    service.close()


def test_learning_from_a_log_leaves_out_places_that_only_new_items_could_have(
    grown: Path, tmp_path: Path
) -> None:
    opened = Workspace.open(
        Path(shutil.copytree(grown, tmp_path / "w", ignore=shutil.ignore_patterns("*.sqlite*")))
    )
    service = WorkspaceService(replace(opened, settings=replace(opened.settings, exploration=1.0)))
    answers = service.recommend_many([Query(user_id=f"u{n}", k=10) for n in range(12)])
    service.delivered([slate.request_id for slate in answers])  # type: ignore[union-attr]
    service.close()
    assert len(load(Source(workspace=opened.root, places=10)).log) == 12 * 9


def test_a_new_item_of_which_nothing_is_known_has_a_place_too(tmp_path: Path) -> None:
    rows = [{"item_id": f"i{n}"} for n in range(12)]
    events = [
        {"user_id": f"u{n}", "item_id": f"i{(n + 2 * k) % 12}", "position": k}
        for n in range(20)
        for k in range(4)
    ]
    for name, table in (("i", rows), ("more", [*rows, {"item_id": "bare"}]), ("e", events)):
        pq.write_table(pa.Table.from_pylist(table), tmp_path / f"{name}.parquet")
    folder = str(tmp_path / "w")
    Workspace.create(Path(folder), TINY | {"sft_epochs": 1})
    files = ["--items", str(tmp_path / "i.parquet"), "--interactions", str(tmp_path / "e.parquet")]
    _run("ingest", *files, "-w", folder)
    _run("train", "-w", folder)
    assert "1 new items, 0 gone" in _run(
        "ingest", "--items", str(tmp_path / "more.parquet"), *files[2:], "-w", folder
    )
    shown = json.loads(_run("recommend", "-w", folder, "--history", "i3", "--json"))["rows"]
    assert shown[-1]["item_id"] == "bare" and shown[-1]["source"] == "new"
