"""Deployments: new and removed items without training, rollback, fallbacks, events that training learns
from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.conftest import TINY, quiet, tiny_interactions, tiny_items
from typer.testing import CliRunner

import tastemaker as tm
from tastemaker.cli.main import app
from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows import deploy
from tastemaker.flows.deployment import Base, Deployment
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Searcher
from tastemaker.flows.train import run_stages
from tastemaker.serving.query import Conflict
from tastemaker.serving.service import open_service
from tastemaker.store import Database, Event, Workspace

NEW = {"item_id": "new1", "title": "Tune number 99 the jig", "attributes": ["type=jig", "key=D"]}


@pytest.fixture
def folder(untouched_workspace: Path, tmp_path: Path) -> Path:
    """A trained workspace to change."""
    shutil.copytree(untouched_workspace, tmp_path / "w")
    return tmp_path / "w"


def _active(folder: Path) -> Deployment:
    deployment = deploy.active(Workspace.open(folder))
    assert deployment is not None
    return deployment


def _ingest(folder: Path, without: Sequence[str] = (), new: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The tiny tables with some items fewer and some more."""
    items = tiny_items()
    remaining = items.filter(
        pc.invert(pc.is_in(items["item_id"], value_set=pa.array(list(without), pa.string())))
    )
    table = pa.concat_tables([remaining, pa.Table.from_pylist(list(new), schema=items.schema)])
    pq.write_table(table, folder.parent / "items.parquet")
    pq.write_table(tiny_interactions(), folder.parent / "interactions.parquet")
    return ingest_files(folder, folder.parent / "items.parquet", folder.parent / "interactions.parquet")


def _listed(searcher: Searcher, history: Sequence[str] = (), k: int = 100) -> list[str]:
    query = SimpleNamespace(history=list(history), marks=(), k=k, filters={}, exclude=frozenset())
    return [searcher.data.item_ids[item] for item in searcher.answer([query])[0].items]


def _codes(searcher: Searcher) -> dict[str, tuple[int, ...]]:
    return dict(zip(searcher.data.item_ids, map(tuple, searcher.codes.tolist()), strict=True))


def test_new_items_enter_and_removed_ones_leave_without_training(folder: Path) -> None:
    before = Searcher.of(_active(folder))
    model = _active(folder).base
    result = _ingest(folder, without=["t005", "t033"], new=[NEW])
    after = Searcher.of(_active(folder))
    assert result["deployment"]["name"] == _active(folder).name == after.versions["deployment"]
    assert _active(folder).base == model and "1 new items, 2 gone" in result["text"]
    listed = _listed(after, ["t001"])
    assert "new1" in listed and not {"t005", "t033"} & set(listed)
    assert sorted([*listed, "t001"]) == sorted(after.data.item_ids) and len(after.data.item_ids) == 63
    old, new = _codes(before), _codes(after)
    assert all(new[item] == old[item] for item in new if item != "new1")
    assert new["new1"] not in set(old.values()) and len(set(new.values())) == len(new)
    again = _ingest(folder)  # both come back, under the code they had
    assert _codes(Searcher.of(_active(folder))) == old and "2 new items, 1 gone" in again["text"]
    name = _active(folder).name
    assert _ingest(folder)["reused"] and _active(folder).name == name


def test_ingesting_items_one_after_another_renames_none(folder: Path) -> None:
    known = _codes(Searcher.of(_active(folder)))
    for number in range(1, 4):
        _ingest(folder, new=[NEW | {"item_id": f"new{n}"} for n in range(number)])  # alike in every way
        codes = _codes(Searcher.of(_active(folder)))
        assert known.items() <= codes.items() and len(set(codes.values())) == len(codes) == 64 + number
        known = codes


def test_the_server_takes_a_new_catalogue_over_from_its_database(folder: Path) -> None:
    database = Database(Workspace.open(folder).database)
    first = deploy.active_name(database)
    assert first == _active(folder).name
    _ingest(folder, without=["t005"])
    assert deploy.active_name(database) == _active(folder).name != first
    database.close()


def test_a_setting_of_serving_needs_no_training(folder: Path) -> None:
    toml = folder / "tastemaker.toml"
    toml.write_text(
        toml.read_text().replace("beam = 16", "beam = 20").replace("max_items = 50", "max_items = 3")
    )
    searcher = Searcher.of(_active(folder))
    assert (
        searcher.settings.beam == 20 and searcher.settings.max_items == 50
    )  # what the model was trained with


def test_rollback_goes_back_step_by_step_and_says_which_items_it_brings_back(folder: Path) -> None:
    workspace = Workspace.open(folder)
    first = _active(folder)
    _ingest(folder, without=["t005"])
    second = _active(folder)
    _ingest(folder, without=["t005", "t006"])
    assert deploy.rollback(workspace) == second and deploy.missing_items(second) == ["t006"]
    assert deploy.rollback(workspace) == first
    assert sorted(deploy.missing_items(first)) == ["t005", "t006"] and "t005" in _listed(Searcher.of(first))
    with pytest.raises(InputError, match="before the active one"):
        deploy.rollback(workspace)
    assert deploy.activate(workspace, second.name) == second == _active(folder)
    assert deploy.rollback(workspace) == first
    with pytest.raises(InputError, match=rf"nosuch: no deployment.*{second.name}"):
        deploy.activate(workspace, "nosuch")


@pytest.mark.parametrize("person", ["visitor", "u005"])
def test_forgetting_somebody_leaves_what_was_rolled_back_to(folder: Path, person: str) -> None:
    """Whether they have events alone, or stand in both tables."""
    workspace = Workspace.open(folder)
    database = Database(workspace.database)
    database.add_events([Event("e1", "visitor", "like", datetime(2026, 1, 2, tzinfo=UTC), "t001")])
    database.close()
    _ingest(folder, without=["t005"])
    assert CliRunner().invoke(app, ["admin", "deployments", "rollback", "-w", str(folder)]).exit_code == 0
    before, codes = _active(folder), _codes(Searcher.of(_active(folder)))
    in_use = workspace.table("items")["item_id"].to_pylist()
    done = CliRunner().invoke(app, ["admin", "forget", "--user", person, "-w", str(folder)])
    assert done.exit_code == 0, done.output
    after = _active(folder)
    assert after.base == before.base and _codes(Searcher.of(after)) == codes and "t005" in codes
    assert (after == before) == (person == "visitor")  # else the histories are others
    assert person not in after.data().user_row and len(after.data().user_row) > 10
    assert workspace.table("items")["item_id"].to_pylist() == in_use


def test_a_damaged_deployment_is_not_activated(folder: Path) -> None:
    first = _active(folder)
    _ingest(folder, without=["t005"])
    victim = folder / "artifacts" / "deployment" / first.fingerprint / "served.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"served\.safetensors: damaged"):
        deploy.activate(Workspace.open(folder), first.name)
    assert _active(folder) != first


def test_a_damaged_deployment_is_in_the_way_of_no_other(folder: Path) -> None:
    """Listing, going back, the next ingest and forgetting ended with its damage, whichever was wanted."""
    command, first = ("admin", "deployments"), _active(folder)
    _ingest(folder, without=["t005"])
    damaged = _active(folder)
    _ingest(folder, without=["t005", "t006"])
    path = folder / "artifacts" / "deployment" / damaged.fingerprint
    (path / "deployment.json").write_text("garbage")
    newest = folder / "artifacts" / "deployment" / _active(folder).fingerprint / "deployment.json"
    newest.write_text("garbage")
    done = CliRunner().invoke(app, [*command, "list", "-w", str(folder)])
    assert done.exit_code == 0 and first.name in done.output and damaged.name in done.output
    assert sum(line.startswith("* ") for line in done.output.splitlines()) == 1
    assert CliRunner().invoke(app, [*command, "activate", damaged.name, "-w", str(folder)]).exit_code != 0
    assert CliRunner().invoke(app, [*command, "rollback", "-w", str(folder)]).exit_code == 0
    assert _active(folder) == first
    _ingest(folder, without=["t007"])
    deploy.drop(Workspace.open(folder), [])
    assert not path.exists()


def test_what_a_newer_version_wrote_names_the_remedy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Older:
        kind: str = ""

    monkeypatch.setattr("tastemaker.flows.deployment.Base", Older)
    with pytest.raises(ArtifactError, match=r"newer Tastemaker .*does not know 'habit'\); upgrade"):
        _active(folder)


def test_items_that_cannot_be_encoded_wait_and_takedowns_do_not(folder: Path) -> None:
    for path in (folder / "artifacts" / "vectors").glob("*/text_encoder.json"):
        path.write_text(path.read_text() + " ")
    text = _ingest(folder, without=["t005"], new=[NEW])["text"]
    assert "1 new items wait for the next training" in text and "text_encoder.json" in text
    assert {"t005", "new1"}.isdisjoint(_listed(Searcher.of(_active(folder))))


def test_a_workspace_of_the_first_version_is_deployed_from_its_stages(folder: Path) -> None:
    """Version 0.1 had the stages up to the memory, and no deployment."""
    for kind in ("deployment", "refit"):
        shutil.rmtree(folder / "artifacts" / kind)
    for name in ("tastemaker.sqlite", "data/training.json"):
        (folder / name).unlink()
    _ = [path.unlink() for path in folder.glob("tastemaker.sqlite-*")]
    _ingest(folder, without=["t005"], new=[NEW])
    workspace = Workspace.open(folder)
    assert deploy.active(workspace) is None
    deployment = deploy.in_service(workspace)
    assert deployment.base.kind == "sft" and deployment == deploy.active(workspace)
    assert "new1" in _listed(Searcher.of(deployment)) and "t005" not in deployment.data().index


def test_nothing_trained_names_the_command(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w", TINY)
    _ingest(tmp_path / "w")
    with pytest.raises(ArtifactError, match="tastemaker train -w"):
        deploy.in_service(Workspace.open(tmp_path / "w"))


def _shop(folder: Path, items: list[dict[str, Any]], events: list[tuple[str, str]]) -> dict[str, Any]:
    """A small shop, ingested and trained."""
    Workspace.create(folder, TINY)
    pq.write_table(pa.Table.from_pylist(items), folder.parent / "i.parquet")
    rows = [{"user_id": user, "item_id": item, "position": n} for n, (user, item) in enumerate(events)]
    pq.write_table(pa.Table.from_pylist(rows), folder.parent / "e.parquet")
    ingest_files(folder, folder.parent / "i.parquet", folder.parent / "e.parquet")
    return run_stages(folder, quiet)


COLOURS = [{"item_id": f"i{n}", "title": f"{colour} scarf"} for n, colour in enumerate(["red", "blue"] * 10)]


def _shown_in_a_talk(folder: Path) -> int:
    """How many items the assistant shows, which opens what the page and the API open."""
    assistant = tm.Assistant.open(folder)
    try:
        return sum(part.kind == "item" for part in assistant.respond("surprise me"))
    finally:
        assistant.close()


@pytest.mark.parametrize(
    ("items", "events", "reason"),
    [
        (COLOURS[:3], [(f"u{n}", f"i{m}") for n in range(6) for m in range(3)], "3 items"),
        (COLOURS, [("one", f"i{n}") for n in range(20)], "1 people have 3 or more events"),
        (COLOURS, [(f"u{n}", f"i{n % 20}") for n in range(40)], "0 people"),
        ([{"item_id": f"i{n}"} for n in range(3)], [("u", "i2"), ("u", "i2"), ("v", "i1")], "3 items"),
        ([{"item_id": f"i{n}"} for n in range(40)], [(f"u{n}", "i1") for n in range(30) for _ in "abc"], ""),
    ],
)
def test_small_shops_serve_what_their_data_allow(
    tmp_path: Path, items: list[dict[str, Any]], events: list[tuple[str, str]], reason: str
) -> None:
    result = _shop(tmp_path / "w", items, events)
    assert "no model was trained" in result["text"] and reason in result["deployment"]["without_model"]
    searcher = Searcher.of(_active(tmp_path / "w"))
    assert len(_listed(searcher)) == len(items)
    if len(items) == 20:
        assert {int(item[1:]) % 2 for item in _listed(searcher, ["i0"], 8)} == {0}  # red ones
    counts = [sum(item == event_item for _, event_item in events) for item in _listed(searcher)]
    assert counts == sorted(counts, reverse=True)
    pq.write_table(
        pa.Table.from_pylist([*items, {"item_id": "new", "title": "blue scarf"}]), tmp_path / "i.parquet"
    )
    ingest_files(tmp_path / "w", tmp_path / "i.parquet", tmp_path / "e.parquet")
    assert "new" in _listed(Searcher.of(_active(tmp_path / "w")))
    assert _shown_in_a_talk(tmp_path / "w") > 0


def test_a_cold_catalogue_is_served_in_its_order(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w", TINY)
    rows = [{"item_id": f"i{n}"} for n in range(12)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "i.parquet")
    ingest_files(tmp_path / "w", tmp_path / "i.parquet", None)
    run_stages(tmp_path / "w", quiet)
    listed = _listed(Searcher.of(_active(tmp_path / "w")))
    assert listed == Workspace.open(tmp_path / "w").table("items")["item_id"].to_pylist()
    assert _shown_in_a_talk(tmp_path / "w") > 0


def test_training_learns_from_what_people_did_on_the_page_once(folder: Path) -> None:
    before = _active(folder)
    database = Database(Workspace.open(folder).database)
    when = datetime(2026, 1, 1, tzinfo=UTC)

    def event(number: int, user: str, item: str, kind: str = "like") -> Event:
        return Event(f"e{number}", user, kind, when.replace(minute=number), item)

    database.add_events([event(n, "visitor", f"t{n * 4:03d}") for n in range(5)])
    database.add_events([event(6, "u001", "t003", "view"), event(7, "u002", "t000", "dislike")])
    run_stages(folder, quiet)
    pipeline, after = Pipeline(Workspace.open(folder), quiet), _active(folder)
    data = pipeline.data
    assert [data.item_ids[n] for n in data.histories.of(data.user_row["visitor"])] == [
        f"t{n * 4:03d}" for n in range(5)
    ]
    assert "t000" in data.unwanted["u002"] and after.base.model != before.base.model
    database.add_events([event(8, "u001", "t003", "view")])  # says nothing of what they want
    assert all(stage["reused"] for stage in run_stages(folder, quiet)["stages"])
    assert _active(folder) == after
    database.close()


def test_the_served_model_has_learnt_the_last_events_and_the_evaluated_one_has_not(folder: Path) -> None:
    """Every list ends in the items held out: the refit gives them more probability."""
    workspace = Workspace.open(folder)
    pipeline, served = Pipeline(workspace, quiet), _active(folder)
    assert served.base.kind == "refit"
    chosen = json.loads((pipeline.path("sft") / "summary.json").read_text())
    enough = 0.99 * max(row["N@10"] for row in chosen["validation"])
    assert chosen["passes"] == max(row["pass"] for row in chosen["validation"] if row["N@10"] >= enough)
    assert [row["pass"] for row in chosen["validation"]] == list(range(6, 13))  # the second half of 12
    refit, held = (pipeline.path(stage) / "model" / "model.safetensors" for stage in ("refit", "sft"))
    assert refit.read_bytes() != held.read_bytes()
    assert Searcher.of(served).memory.table.nnz > np.count_nonzero(pipeline.data.split.train.lengths)  # type: ignore[union-attr]


def test_another_proxy_makes_another_deployment_and_goes_back_with_it(folder: Path) -> None:
    workspace, plain = Workspace.open(folder), _active(folder)
    database = Database(workspace.database)
    database.deploy("proxy", "ab" * 16, datetime.now(UTC), "")
    ranked = deploy.renew(workspace)
    assert ranked is not None and ranked.proxy == "ab" * 16 and ranked.base == plain.base
    assert _active(folder) == ranked == deploy.renew(workspace)
    assert deploy.rollback(workspace) == plain
    newest = database.newest_deployment("proxy")
    assert newest is not None and newest.fingerprint == plain.proxy == ""
    database.close()


def test_a_model_of_a_token_a_code_is_served_until_the_next_training(folder: Path) -> None:
    """What was deployed before the small model had one position an item."""
    from recipes.small import Shape, build_small, small

    from tastemaker.flows.stages.tokens import load_codes
    from tastemaker.lm.base import save

    workspace = Workspace.open(folder)
    tokens = Pipeline(workspace, quiet).fingerprint("tokens")
    vocabulary = build_small(load_codes(Pipeline(workspace, quiet))[1])
    model, mark = small(vocabulary, Shape(layers=1, width=32, heads=1, mlp=2.0)), "0" * 32
    workspace.artifacts.put(
        "sft",
        mark,
        lambda partial: save(model, vocabulary, partial / "model"),
        inputs={"tokens": tokens},
        settings={"max_items": 50},
    )
    deploy.deploy(workspace, Base("sft", mark, tokens, 1.0, {"max_items": 50}), quiet, "of version 0.1")
    searcher = Searcher.of(_active(folder))
    assert searcher.score is None and searcher.retriever is not None
    assert sorted(_listed(searcher)) == sorted(searcher.data.item_ids)
    _ingest(folder, without=["t005"], new=[NEW])
    assert {"new1"} == set(_listed(Searcher.of(_active(folder)))) - set(searcher.data.item_ids)
    run_stages(folder, quiet)
    assert Searcher.of(_active(folder)).score is not None


@pytest.mark.parametrize("part", ["items.parquet", "deployment.json"])
def test_going_back_passes_over_what_is_damaged_and_says_so(folder: Path, part: str) -> None:
    first = _active(folder)
    _ingest(folder, without=["t005"])
    damaged = _active(folder)
    _ingest(folder, without=["t005", "t006"])
    path = folder / "artifacts" / "deployment" / damaged.fingerprint / part
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = deploy.changed(folder)
    assert done["deployment"]["name"] == first.name and done["passed_over"] == [damaged.name]
    assert f"{damaged.name}, served later, was passed over: {path}: damaged" in done["text"]


def test_where_everything_before_is_damaged_the_damage_is_named(folder: Path) -> None:
    path = folder / "artifacts" / "deployment" / _active(folder).fingerprint / "deployment.json"
    _ingest(folder, without=["t005"])
    path.write_text("garbage")
    newest = _active(folder)
    with pytest.raises(ArtifactError, match=r"deployment\.json: damaged"):
        deploy.rollback(Workspace.open(folder))
    assert _active(folder) == newest


def test_of_two_who_roll_back_the_same_deployment_one_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looked before the first had changed anything, and changes after it."""
    _ingest(folder, without=["t005"])
    second = _active(folder)
    _ingest(folder, without=["t005", "t006"])
    service = open_service(folder)
    opened, others = Workspace.open, [1]

    def rolled_back_meanwhile(root: Path) -> Workspace:
        if others and others.pop():
            deploy.rollback(opened(root))
        return opened(root)

    monkeypatch.setattr(deploy.Workspace, "open", rolled_back_meanwhile)
    with pytest.raises(Conflict, match="does not serve any more"):
        service.roll_back(deploy.active_name(service.database))
    assert _active(folder) == second
    service.close()
