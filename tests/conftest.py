"""Shared set-up: one thread, and a tiny trained workspace that several test files read."""

from __future__ import annotations

import functools
import os
import random
import secrets
import shutil
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer.main
import typer.testing
from hypothesis import settings

import tastemaker.store.database.sqlite as sqlite
from tastemaker.store.database.keys import Keys
from tests.postgres import INSTALL, Cluster, cluster, programs

settings.register_profile("any load", deadline=None)  # how long an example takes says nothing
settings.load_profile("any load")
# The tree of commands is built at each call, as long as a small ingest takes; a process needs it once.
typer.main.get_command = typer.testing._get_command = functools.cache(typer.main.get_command)

ITEMS, USERS = 64, 90
FEW = 10  # tests of a file
KINDS, KEYS = ("reel", "jig", "waltz", "polka"), ("D", "G", "A", "Em")
TINY = {
    "title": "Tiny",
    "text_view": "tfidf",
    "threads": 1,
    "layers": 1,
    "width": 32,
    "levels": "8/8/8",
    "sft_epochs": 12,
    "thinning": 0.0,
    "weight_decay": 0.05,
    "batch": 8,
    "learning_rate": 0.0015,
    "dropout": 0.0,
    "beam": 16,
    "sasrec_epochs": 2,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: they start servers and trainings, and no worker shall end alone with one."""
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (counts[item.path] > FEW, -counts[item.path], str(item.path)))


def run_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command, in this process."""
    from tastemaker.cli.main import main

    monkeypatch.setattr(sys, "argv", ["tastemaker", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture(autouse=True)
def repeatable_secrets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets and ids that this test draws are the same in every run, so that what follows from them by
    chance (who is asked, which rows are explored) cannot fail one run in twenty.
    """
    _repeat(request.node.nodeid, monkeypatch)


@pytest.fixture(scope="module", autouse=True)
def repeatable_module_secrets(request: pytest.FixtureRequest) -> Iterator[None]:
    """The same for what the tests of a file share, which is made before any of them begins."""
    with pytest.MonkeyPatch.context() as patch:
        _repeat(request.node.nodeid, patch)
        yield


@pytest.fixture(scope="module", autouse=True)
def quick_commits(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test commits survives the death of its process, but nobody waits for the disk: half of the time
    of some tests. Those of the store have what users have, and so have processes that a test starts.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "store" not in request.path.parts:
            patch.setattr(sqlite, "SYNCHRONOUS", "OFF")
        yield


@pytest.fixture(scope="module", autouse=True)
def no_server() -> Iterator[None]:
    """That this process serves, which a test may have said, ends with its file."""
    yield
    Keys.serving = False


def _repeat(name: str, patch: pytest.MonkeyPatch) -> None:
    rng = random.Random(name)
    patch.setattr(secrets, "token_hex", lambda count=32: rng.randbytes(count).hex())


def quiet(task: str, done: float, total: float, note: str) -> None:
    """Progress nobody looks at."""


def tiny_items() -> pa.Table:
    """Items whose kind follows from their number."""
    rows = [
        {
            "item_id": f"t{i:03d}",
            "title": f"Tune number {i} the {KINDS[i % 4]}",
            "attributes": [f"type={KINDS[i % 4]}", f"key={KEYS[i // 4 % 4]}"],
        }
        for i in range(ITEMS)
    ]
    return pa.Table.from_pylist(rows)


def tiny_interactions() -> pa.Table:
    """Every user walks through the items of one kind in a fixed cycle, so that the next item can be
    learnt.
    """
    rng = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        kind, start, length = rng.integers(4), rng.integers(16), rng.integers(4, 10)
        for position in range(length):
            item = int((start + position) % 16 * 4 + kind)
            rows.append({"user_id": f"u{user:03d}", "item_id": f"t{item:03d}", "position": position})
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """items.parquet and interactions.parquet."""
    folder = tmp_path_factory.mktemp("tiny-files")
    pq.write_table(tiny_items(), folder / "items.parquet")
    pq.write_table(tiny_interactions(), folder / "interactions.parquet")
    return folder


@pytest.fixture(scope="session")
def untouched_workspace(tmp_path_factory: pytest.TempPathFactory, tiny_files: Path) -> Path:
    """A workspace with the whole pipeline run once, to be copied: nothing writes to it."""
    from tastemaker.flows.ingest import ingest_files
    from tastemaker.flows.train import run_stages
    from tastemaker.store import Workspace

    folder = tmp_path_factory.mktemp("untouched") / "workspace"
    Workspace.create(folder, TINY)
    ingest_files(folder, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    run_stages(folder, quiet)
    return folder


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory: pytest.TempPathFactory, untouched_workspace: Path) -> Path:
    """The same, shared by tests. Those that write to it use users of their own.

    Its database is never copied or read as a file: closing a file takes all locks of this process from it,
    and then the next process that opens it drops a log which is still written to. Copies are made of
    `untouched_workspace`.
    """
    folder = tmp_path_factory.mktemp("tiny") / "workspace"
    shutil.copytree(untouched_workspace, folder)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL of this process alone, where one is installed."""
    if programs() is None:
        pytest.skip(INSTALL)
    with cluster() as opened:
        yield opened
