"""Plugins: a package of ten lines is installed with pip and used from the command line; a broken one is one
line.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastemaker import plugins
from tastemaker.errors import InputError
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve.candidates import Candidates
from tastemaker.serving.query import Query, Slate
from tastemaker.serving.rerank import plugged
from tastemaker.store import Workspace

PACKAGE = """\
import numpy as np
from tastemaker.semantic_ids.rkmeans import fit_rkmeans

def length(items):
    print(f"{items.num_rows} titles")
    return np.array([[len(title), i % 7 + 0.5] for i, title in enumerate(items["title"].to_pylist())])

def flat(views, sizes, seed):
    return fit_rkmeans({"length": views["length"]}, sizes, seed)
"""
PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "1.0"
[tool.hatch.build.targets.wheel]
include = ["{module}.py"]
"""
POINTS = """
[project.entry-points."tastemaker.encoders"]
length = "shop_length:length"
[project.entry-points."tastemaker.tokenizers"]
flat = "shop_length:flat"
"""
BROKEN = """
[project.entry-points."tastemaker.encoders"]
absent = "shop_broken:absent"
"""


def install(folder: Path, name: str, source: str, points: str, target: Path) -> None:
    """`pip install` of a package of one module into `target`."""
    folder.mkdir()
    module = name.replace("-", "_")
    (folder / "pyproject.toml").write_text(PROJECT.format(name=name, module=module) + points)
    (folder / f"{module}.py").write_text(source)
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *offline]
    subprocess.run([*pip, "--target", target, folder], check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plugins")
    install(root / "good", "shop-length", PACKAGE, POINTS, root / "site")
    install(root / "bad", "shop-broken", "raise RuntimeError('half\\nwritten')", BROKEN, root / "site")
    return root / "site"


def laid(name: str, source: str, points: str, target: Path) -> None:
    """What `pip install` leaves of a package of one module, without the seconds that pip takes."""
    module = name.replace("-", "_")
    about = target / f"{module}-1.0.dist-info"
    about.mkdir(parents=True)
    (target / f"{module}.py").write_text(source)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(points.replace("project.entry-points.", "").replace('"', ""))


def tastemaker(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(Path(plugins.__file__).parents[1])])
    program = [sys.executable, "-c", "from tastemaker.cli.main import main; main()", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory, tiny_files: Path) -> Path:
    shop = tmp_path_factory.mktemp("plugins") / "shop"
    Workspace.create(shop, {"text_view": "tfidf", "threads": 1, "levels": "8/8"})
    ingest_files(shop, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    return shop


@pytest.fixture
def shop(tmp_path: Path, ingested: Path) -> Path:
    return Path(shutil.copytree(ingested, tmp_path / "shop"))


def artifacts(shop: Path, stage: str) -> list[Path]:
    return sorted(path.parent for path in (shop / "artifacts" / stage).glob("*/summary.json"))


def test_an_installed_encoder_becomes_a_view_and_a_broken_one_is_one_line(shop: Path, site: Path) -> None:
    done = tastemaker(site, "encode", "-w", shop, "-q", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    printed, *lines = sorted(done.stderr.strip().splitlines())
    assert printed == "64 titles"
    assert len(lines) == 1 and "'shop-broken'" in lines[0] and "half written" in lines[0]
    views = load_views(artifacts(shop, "vectors")[0])
    assert views["length"].shape == (64, 2) and set(views) == {"text", "behaviour", "length"}
    # Without the plugin the views are others, and so is what they are called.
    assert tastemaker(Path("/nowhere"), "encode", "-w", shop, "-q").returncode == 0
    assert len(artifacts(shop, "vectors")) == 2


def test_the_plugin_of_the_page_works_on_titles_of_any_colour(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text().partition("## Plugins")[2]
    source, points = page.split("```\n")[1:4:2]
    install(tmp_path / "palette", "palette", source, points, tmp_path / "site")
    titles = ["red mug", "black mug", "blue and green lamp", "red, green and blue scarf"]
    (tmp_path / "items.csv").write_text(
        "item_id,title\n" + "".join(f'i{n},"{titles[n % 4]} no {n}"\n' for n in range(40))
    )
    events = "".join(f"u{user},i{(7 * user + n) % 40},{n}\n" for user in range(20) for n in range(4))
    (tmp_path / "log.csv").write_text("user_id,item_id,position\n" + events)
    Workspace.create(tmp_path / "shop", {"text_view": "tfidf", "threads": 1})
    files = ("--items", tmp_path / "items.csv", "--interactions", tmp_path / "log.csv")
    for step in (["ingest", *files], ["encode", "-q"]):
        done = tastemaker(tmp_path / "site", *step, "-w", tmp_path / "shop")
        assert done.returncode == 0, done.stderr
    view = load_views(artifacts(tmp_path / "shop", "vectors")[0])["palette"]
    assert np.isnan(view).all(axis=1).sum() == np.isnan(view).any(axis=1).sum() == 20


def test_a_tokenizer_is_chosen_by_its_name(shop: Path, site: Path) -> None:
    file = shop / "tastemaker.toml"
    file.write_text(file.read_text().replace('tokenizer = "rkmeans"', 'tokenizer = "flat"'))
    done = tastemaker(site, "tokenize", "-w", shop, "-q")
    assert done.returncode == 0, done.stderr
    assert artifacts(shop, "tokens")
    refused = tastemaker(Path("/nowhere"), "tokenize", "-w", shop, "-q")
    assert refused.returncode == 2 and "it must be one of rkmeans, rqvae" in refused.stderr


def test_a_name_that_is_not_installed_is_refused() -> None:
    with pytest.raises(InputError, match="no plugin 'nobody' is installed for judges"):
        plugins.get("judges", "nobody")
    with pytest.raises(ValueError, match="the groups are encoders"):
        plugins.names("colours")


ODD = """\
def short(items):
    return [[1.0, 2.0]]
def exiting(items):
    raise SystemExit(0)
def raising(items):
    return items["colour"]
def words(items):
    return [["red"]] * items.num_rows
"""
ODD_POINTS = """
[project.entry-points."tastemaker.encoders"]
{name} = "shop_odd:{name}"
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("short", "64 items gave an array of shape (1, 2)"),
        ("raising", "'shop-odd' failed (KeyError:"),
        ("exiting", "'shop-odd' failed (SystemExit: 0)"),
        ("words", "'shop-odd' failed (ValueError: could not convert string to float: 'red')"),
    ],
)
def test_an_encoder_that_gives_no_vectors_is_named(
    shop: Path, tmp_path: Path, name: str, reason: str
) -> None:
    laid("shop-odd", ODD, ODD_POINTS.format(name=name), tmp_path / "site")
    done = tastemaker(tmp_path / "site", "encode", "-w", shop, "-q")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert f"'{name}'" in done.stderr and reason in done.stderr


RERANK = """\
from dataclasses import replace
print("imported")
def backwards(query, slate):
    print("turning round")
    return slate.reordered(range(len(slate.pool))[::-1])
def negative(query, slate):
    return slate.reordered([-1])
def raising(query, slate):
    raise RuntimeError("not today")
def exiting(query, slate):
    raise SystemExit(0)
def unscored(query, slate):
    return replace(slate, candidates=replace(slate.candidates, scores=slate.candidates.scores * float("nan")))
"""
RERANK_POINTS = """
[project.entry-points."tastemaker.rerankers"]
backwards = "shop_order:backwards"
negative = "shop_order:negative"
raising = "shop_order:raising"
exiting = "shop_order:exiting"
unscored = "shop_order:unscored"
"""


def test_a_reranker_orders_what_the_search_found_and_a_failing_one_changes_nothing(
    tiny_workspace: Path, tmp_path: Path
) -> None:
    laid("shop-order", RERANK, RERANK_POINTS, tmp_path / "site")
    command = ("recommend", "-w", tiny_workspace, "--history", "t004", "--k", 50, "--json")
    plain = tastemaker(Path("/nowhere"), *command)
    turned = tastemaker(tmp_path / "site", *command)
    assert plain.returncode == turned.returncode == 0, plain.stderr + turned.stderr
    before, after = json.loads(plain.stdout), json.loads(turned.stdout)
    assert [row["item_id"] for row in after["rows"]] == [row["item_id"] for row in before["rows"]][::-1]
    assert after["ranker"].endswith("shop-order-1.0")
    imported, turning, exiting, negative, raising, unscored = turned.stderr.strip().splitlines()
    assert imported == "imported" and turning == "turning round"
    assert "'exiting'" in exiting and "SystemExit" in exiting
    assert "'unscored'" in unscored and "is no number" in unscored
    assert "'negative'" in negative and "it numbers the pool from 0" in negative
    assert "'raising'" in raising and "not today" in raising


def found() -> Slate:
    """Three candidates, c the best."""
    candidates = Candidates(np.array([2, 0, 1]), np.array([-1.0, -2.0, -3.0]), ("model",) * 3, None)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Slate("s-1", now, candidates=candidates, pool=("c", "a", "b"), scores={0: -2.0, 1: -3.0, 2: -1.0})


def installed(monkeypatch: pytest.MonkeyPatch, step: Callable[[Query, Slate], Any]) -> None:
    monkeypatch.setattr(plugins, "load", lambda group: {"odd": step})
    monkeypatch.setattr(plugins, "versions", lambda group, names: {"odd": "shop-odd 1.0"})


def with_candidates(slate: Slate, **changes: Any) -> Slate:
    return replace(slate, candidates=replace(slate.candidates, **changes))


def spoil(array: Any, value: float) -> None:
    array[:] = value
    raise RuntimeError("half-way")


def thrown(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "wrong",
    [
        lambda slate: with_candidates(slate, reason=5),
        lambda slate: replace(slate, notice=["none"]),
        lambda slate: with_candidates(slate, items=slate.candidates.items[::-1]),
        lambda slate: with_candidates(slate, items=slate.candidates.items + 10**9),
        lambda slate: with_candidates(slate, scores=slate.candidates.scores[:1]),
        lambda slate: with_candidates(slate, scores=slate.candidates.scores[:, None]),
        lambda slate: with_candidates(slate, scores=slate.candidates.scores + 1j),
        lambda slate: with_candidates(slate, scores=[1e308, -1e308, float("inf")]),
        lambda slate: with_candidates(slate, scores=["1", "2", "3"]),
        lambda slate: spoil(slate.candidates.scores, float("nan")),
        lambda slate: spoil(slate.candidates.items, 0),
        lambda slate: thrown(KeyboardInterrupt()),
        lambda slate: thrown(GeneratorExit()),
        lambda slate: thrown(asyncio.CancelledError()),
        lambda slate: thrown(SystemExit(0)),
        lambda slate: thrown(MemoryError()),
    ],
)
def test_what_a_reranker_may_not_give_changes_nothing(
    wrong: Callable[[Slate], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(monkeypatch, lambda query, slate: wrong(slate))
    slate = found()
    with ThreadPoolExecutor(1) as server:
        after = server.submit(plugged, Query("u1"), slate).result()
    assert after.pool == ("c", "a", "b") and after.ranker == "" and after.notice is None
    assert after.candidates.items.tolist() == [2, 0, 1]
    assert after.candidates.scores.tolist() == [-1.0, -2.0, -3.0] and after.candidates.reason is None
    assert len(caplog.messages) == 1 and "'odd' was left out" in caplog.messages[0]


def test_a_reranker_changes_the_order_and_nothing_that_is_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(query: Query, slate: Slate) -> Slate:
        slate = with_candidates(slate.reordered([1, 2]), reason="only two suit", source=(1, 2))
        spoilt: dict[str, Any] = {"timestamp": None, "profile": None, "moves": {0: "up"}, "rows": (1, 2)}
        return replace(slate, request_id="mine", scores={0: "high"}, ranker=5, **spoilt)

    installed(monkeypatch, step)
    before = found()
    after = plugged(Query("u1"), before)
    assert after.pool == ("a", "b") and after.candidates.items.tolist() == [0, 1]
    assert after.candidates.reason == "only two suit" and after.candidates.source == ("model", "model")
    assert after.ranker == "shop-odd-1.0"
    for name in ("request_id", "timestamp", "profile", "moves", "rows", "scores"):
        assert getattr(after, name) == getattr(before, name)


def test_nobody_waits_for_a_reranker_that_hangs_until_it_has_come_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go, calls = threading.Event(), list[threading.Thread]()

    def step(query: Query, slate: Slate) -> Slate:
        calls.append(threading.current_thread())
        go.wait()
        return slate.reordered([2, 1, 0])

    installed(monkeypatch, step)
    hurried = Query("u1", deadline=time.monotonic())
    assert [plugged(hurried, found()).ranker for _ in range(3)] == [""] * 3
    assert len(calls) == len(caplog.messages) == 1 and "no answer within" in caplog.messages[0]
    go.set()
    calls[0].join()
    assert plugged(Query("u1", deadline=time.monotonic() + 60), found()).pool == ("b", "a", "c")
