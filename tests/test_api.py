"""The Python face: light to import, tables in and out, and the answers of the command line and the server."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest

import tastemaker as tm
from tastemaker.store import Workspace as Store
from tests.conftest import TINY, run_command, tiny_interactions, tiny_items

ROOT = Path(__file__).parents[1]


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("said", "kept"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_that_wait_for_each_other_do_not_hold_a_busy_machine(said: dict[str, str], kept: str) -> None:
    code = "import os, sys, tastemaker; print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    clean = {
        name: own for name, own in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    run = subprocess.run(
        [sys.executable, "-c", code], env=clean | said, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", kept]


def test_importing_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'polars', 'pyarrow', 'scipy', 'sklearn', 'pydantic', 'rich'}"
    assert python(f"import sys, tastemaker as tm; dir(tm); print(sorted({heavy} & set(sys.modules)))") == "[]"
    assert python("import sys, tastemaker as tm; tm.Workspace; print('torch' in sys.modules)") == "False"


def test_its_names_are_there_and_others_are_refused() -> None:
    assert {"Workspace", "explore", "retention", "experiment", "converse"} <= set(dir(tm))
    for name in tm.__all__:
        assert getattr(tm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Workspce'"):
        tm.Workspce  # type: ignore[attr-defined]  # noqa: B018


def test_a_checker_sees_its_types(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import tastemaker as tm\n"
        "reveal_type(tm.Workspace.create('shop').train().recommend)\n"
        "tm.Workspace.create('shop').recommend(k='ten')\n"
        "tm.nothing\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", str(tmp_path), str(script)]
    # Ours alone are read: the types of numpy and torch take minutes, and `make lint` reads them.
    command += ["--no-site-packages", "--ignore-missing-imports", "--follow-imports", "silent"]
    environment = os.environ | {"MYPYPATH": str(ROOT / "src")}
    shown = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    ).stdout
    assert "user: str | typing.Iterable[str] | None" in shown.replace(
        "Union[str, typing.Iterable[str], None]", "str | typing.Iterable[str] | None"
    )
    assert 'incompatible type "str"; expected "int"' in shown
    assert 'has no attribute "nothing"' in shown


def plain() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return tiny_items().to_pylist(), tiny_interactions().to_pylist()


@pytest.mark.parametrize(
    "make",
    [
        pa.Table.from_pylist,
        pl.DataFrame,
        pd.DataFrame,
        list,
        lambda rows: pl.DataFrame(rows).to_dict(as_series=False),
    ],
)
def test_tables_in_memory_are_files(tmp_path: Path, make: Any) -> None:
    items, events = (make(rows) for rows in plain())
    shop = tm.Workspace.create(tmp_path / "shop", TINY, quiet=True).ingest(items=items, interactions=events)
    assert shop.result["items"]["accepted"] == 64
    assert shop.result["interactions"]["accepted"] == tiny_interactions().num_rows
    assert str(shop.folder) in repr(tm.Workspace.open(shop.folder))


def rows_of(kind: str, rows: list[dict[str, Any]], folder: Path) -> Any:
    """Rows as this kind of object."""
    frame = pd.DataFrame(rows)
    file = folder / "e.csv"
    frame.to_csv(file, index=False)
    kinds: dict[str, Any] = {
        "generator": (row for row in rows),
        "tuple": tuple(rows),
        "lazy": pl.LazyFrame(rows),
        "dataset": pyarrow.dataset.dataset(pa.Table.from_pylist(rows)),
        "bytes": io.BytesIO(file.read_bytes()),
        "text": io.StringIO(file.read_text()),
        "mixed frame": frame.assign(user_id=[n if n % 2 else str(n) for n in range(len(rows))]),
        "mixed rows": [row | {"user_id": n if n % 2 else str(n)} for n, row in enumerate(rows)],
        "uuids": frame.assign(user_id=[UUID(int=n) for n in range(len(rows))]),
    }
    return kinds[kind]


@pytest.mark.parametrize(
    "kind",
    ["generator", "tuple", "lazy", "dataset", "bytes", "text", "mixed frame", "mixed rows", "uuids"],
)
def test_whatever_holds_rows_is_a_table(tmp_path: Path, kind: str) -> None:
    events = [{"user_id": f"u{n}", "item_id": f"t00{n % 4 + 1}", "time": 1_700_000_000 + n} for n in range(8)]
    shop = tm.Workspace.create(tmp_path / "shop", quiet=True)
    shop.ingest(items=tiny_items(), interactions=rows_of(kind, events, tmp_path))
    assert shop.result["interactions"]["accepted"] == 8
    people = sorted(Store.open(shop.folder).table("interactions")["user_id"].to_pylist())
    want = {"mixed": [str(n) for n in range(8)], "uuids": [str(UUID(int=n)) for n in range(8)]}
    assert people == want.get(kind.partition(" ")[0], [f"u{n}" for n in range(8)])


def test_a_workspace_in_another_process_opens_what_it_needs(shop: tm.Workspace) -> None:
    first = shop.recommend("u001", k=2, log=False)  # a service is open now
    other = deepcopy(shop)
    assert other.recommend("u001", k=2, log=False)["item_id"] == first["item_id"]
    assert shop.recommend(pa.array(["u001"]), k=2, log=False)["item_id"] == first["item_id"]


def test_a_bad_table_is_named_as_it_was_given(tmp_path: Path) -> None:
    shop = tm.Workspace.create(tmp_path / "shop", quiet=True)
    with pytest.raises(tm.InputError, match=r"^items.*item_id") as caught:
        shop.ingest(items=[{"name": "no id"}])
    assert "/tmp" not in str(caught.value)
    with pytest.raises(tm.InputError, match="interactions: int is no table"):
        shop.ingest(items=tiny_items(), interactions=3)
    for wrong in ([("u", "i1")], [Path("a.csv")], pd.Series(["a"]), pd.DataFrame({"x": pd.cut([1, 2], 2)})):
        with pytest.raises(tm.InputError, match=r"interactions: .* is no table"):
            shop.ingest(items=tiny_items(), interactions=wrong)
    for option, told in (
        ({"columns": ["user_id=u"]}, "columns=.*give a mapping"),
        ({"scale": 5}, "scale=5: give the lowest and the highest rating"),
        ({"positive": "klick"}, "kind 'klick' is unknown"),
    ):
        with pytest.raises(tm.InputError, match=told):
            shop.ingest(items=tiny_items(), interactions=tiny_interactions(), **option)
    with pytest.raises(tm.InputError, match="either items and interactions, or a dataset"):
        shop.ingest()
    with pytest.raises(tm.InputError, match="tastemaker init"):
        tm.Workspace.open(tmp_path / "nowhere")


def test_tables_are_read_by_the_options_of_the_command(tmp_path: Path) -> None:
    events = [{"user_id": f"u{n % 3}", "item_id": f"t00{n % 4 + 1}", "time": 440_000 + n} for n in range(12)]
    shop = tm.Workspace.create(tmp_path / "shop", quiet=True)
    shop.ingest(items=tiny_items(), interactions=events, time_unit="hours", scale=(1, 10), positive=["play"])
    understood = shop.result["interactions"]["understood"]
    assert understood["times"]["unit"] == "hours" and understood["times"]["first"][:10] == "2020-03-12"
    assert understood["rules"] == {"scale": [1.0, 10.0], "wanted": ["play"]}
    with pytest.raises(tm.InputError, match="no such unit"):
        shop.ingest(items=tiny_items(), interactions=events, time_unit="weeks")


@pytest.fixture
def shop(tiny_workspace: Path) -> tm.Workspace:
    return tm.Workspace(tiny_workspace, quiet=True)


def by_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> Any:
    code, said, _ = run_command(capsys, monkeypatch, *arguments, "--json")
    assert code == 0
    return json.loads(said)


def same(table: pa.Table, rows: list[dict[str, Any]]) -> None:
    """The rows of the command or the server are those of the table."""
    assert table.num_rows == len(rows) > 0
    for ours, theirs in zip(table.to_pylist(), rows, strict=True):
        assert ours["item_id"] == theirs["item_id"] and ours["position"] == theirs["position"]
        assert ours["propensity"] == theirs["propensity"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-9)
        assert ours["reasons"] == [reason["text"] for reason in theirs["reasons"]]


def test_a_user_gets_what_the_command_line_shows(
    shop: tm.Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = shop.recommend("u004", k=6, where={"type": "reel"}, exclude=["t008"])
    command = (
        "recommend",
        "-w",
        shop.folder,
        "--user",
        "u004",
        "--k",
        6,
        "--where",
        "type=reel",
        "--exclude",
        "t008",
    )
    same(ours, by_command(capsys, monkeypatch, *command)["rows"])
    ours = shop.recommend(history=["t000", "t004"], k=3)
    command = ("recommend", "-w", shop.folder, "--history", "t000", "--history", "t004", "--k", 3)
    same(ours, by_command(capsys, monkeypatch, *command)["rows"])


def test_a_user_gets_what_the_server_shows(shop: tm.Workspace) -> None:
    from starlette.testclient import TestClient

    from tastemaker.server import create_app
    from tastemaker.serving.service import open_service

    ours = shop.recommend("u005", k=4)
    with TestClient(create_app(open_service(shop.folder)), base_url="http://localhost:8765") as client:
        answer = client.post("/recommendations", json={"user_id": "u005", "k": 4})
    same(ours, answer.json()["rows"])


def test_many_users_are_one_table_and_what_is_shown_is_logged(shop: tm.Workspace) -> None:
    from tastemaker.store import Database
    from tastemaker.store import Workspace as Store

    users = ["u010", "u011", "u012"]
    table = shop.recommend(users, k=2)
    assert table["user_id"].to_pylist() == [user for user in users for _ in range(2)]
    assert table.schema.metadata[b"deployment"]
    database = Database(Store.open(shop.folder).database)
    logged = {row["request_id"] for row in database.slates_table().to_pylist()}
    database.close()
    assert set(table["request_id"].to_pylist()) <= logged
    looked = shop.recommend("u010", k=2, log=False)
    database = Database(Store.open(shop.folder).database)
    assert not set(looked["request_id"].to_pylist()) & {
        row["request_id"] for row in database.slates_table().to_pylist()
    }
    database.close()


def test_what_cannot_be_answered_is_said(shop: tm.Workspace, tmp_path: Path) -> None:
    with pytest.raises(tm.InputError, match="either a user"):
        shop.recommend()
    with pytest.raises(tm.InputError, match="no item has type 'polonaise'"):
        shop.recommend("u001", where={"type": "polonaise"})
    wrong: dict[str, Any]
    for wrong in ({"k": 0}, {"where": "type=reel"}, {"exclude": "i1"}, {"user": None, "history": "i1"}):
        with pytest.raises(tm.InputError, match="|".join(wrong)):
            shop.recommend(**{"user": "u001"} | wrong)
    for wrong in (
        {"k": 2.5},
        {"k": "3"},
        {"k": True},
        {"user": 5},
        {"user": ["u001", 7]},
        {"exclude": 4},
        {"exclude": [4]},
        {"where": {"type": 4}},
    ):
        with pytest.raises(tm.InputError, match="|".join(wrong)) as told:
            shop.recommend(**{"user": "u001"} | wrong)
        assert "\n" not in str(told.value)
    with pytest.raises(tm.InputError, match="users"):
        shop.evaluate(users=2.5)  # type: ignore[arg-type]
    empty = tm.Workspace.create(tmp_path / "empty").ingest(
        items=tiny_items(), interactions=tiny_interactions()
    )
    with pytest.raises(tm.ArtifactError, match="tastemaker train"):
        empty.recommend("u001")
    stranger = shop.recommend("nobody-yet", k=3)
    assert stranger.num_rows == 3 and b"nobody knows" in stranger.schema.metadata[b"notices"]


def test_a_file_for_one_list_is_refused(shop: tm.Workspace) -> None:
    line = ["tastemaker", "recommend", "-w", str(shop.folder), "--user", "u001", "--out", "x.parquet"]
    done = subprocess.run([sys.executable, "-m", *line], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--out is the file of --all" in done.stderr and not done.stdout


def test_evaluation_is_a_table_with_intervals(shop: tm.Workspace) -> None:
    table = shop.evaluate(baselines=["popularity"], users=40, part="validation")
    assert "popularity" in " ".join(table["system"].to_pylist()).lower()
    for row in table.to_pylist():
        assert row["R@10 low"] <= row["R@10"] <= row["R@10 high"]
    assert Path(shop.result["run"]).is_dir()


def test_the_page_about_python_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), flags=re.M | re.S)
    items = [{"item_id": f"I{i}", "title": f"Thing {i}", "attributes": ["colour=red"]} for i in range(40)]
    events = [
        {"user_id": f"U{user}", "item_id": f"I{(user + day) % 40}", "position": day}
        for user in range(30)
        for day in range(5)
    ]
    pl.DataFrame(items).write_parquet(tmp_path / "items.parquet")
    pl.DataFrame(events).write_csv(tmp_path / "interactions.csv")
    monkeypatch.chdir(tmp_path)
    program = [sys.executable, "-c", script]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("'item_id'") == 10 and "'R@10'" in done.stdout
