"""Several processes under `torchrun` learn what one does, and go on where another number of them stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import TINY, quiet

from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.train import run_stages
from tastemaker.store import Workspace, read_lines

SETTINGS = TINY | {"dropout": 0.0, "sft_epochs": 4, "batch": 15, "ensemble": 1}


def curve(shop: Path) -> list[dict[str, float]]:
    """The lines of fine-tuning's curve."""
    return read_lines(next((shop / "artifacts" / "sft").glob("*/curve.jsonl")))


def by_two(shop: Path) -> None:
    """`tastemaker train` up to the fine-tuning by two processes, each told what `torchrun` tells it."""
    command = [sys.executable, "-m", "tastemaker", "train", "-w", str(shop), "--until", "sft", "--json"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    about = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    pair = [
        subprocess.Popen(
            command, env=os.environ | about | {"RANK": rank, "LOCAL_RANK": rank}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]  # fmt: skip
    first, second = (process.communicate(timeout=300) for process in pair)
    assert [process.returncode for process in pair] == [0, 0], first[1] + second[1]
    assert [stage["stage"] for stage in json.loads(first[0])["stages"]] == ["vectors", "tokens", "sft"]
    assert not second[0]


def interrupted(shop: Path) -> None:
    """Training by one process, sent an interrupt once it has told of some steps."""

    def report(name: str, done: float, total: float, note: str) -> None:
        if name == "fine-tuning" and done:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_stages(shop, report, "sft")


def test_two_processes_go_on_where_one_stopped_with_its_losses(tiny_files: Path, tmp_path: Path) -> None:
    shops = [tmp_path / "one", tmp_path / "two"]
    for shop in shops:
        Workspace.create(shop, SETTINGS)
        ingest_files(shop, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    run_stages(shops[0], quiet, "sft")
    interrupted(shops[1])
    before = len(curve(shops[1]))
    by_two(shops[1])
    one, two = (curve(shop) for shop in shops)
    assert [line["step"] for line in one] == [line["step"] for line in two] and 0 < before < len(two)
    for name in ("loss", "gradient_norm", "validation"):
        pairs = np.array([[mine[name], theirs[name]] for mine, theirs in zip(two, one, strict=True)], float)
        np.testing.assert_allclose(*pairs.T, rtol=1e-5)
