"""Several processes under `torchrun` learn what one does, and go on where another number of them stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
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


def pair(*words: str) -> tuple[str, str]:
    """What a Python command by two processes, each told what `torchrun` tells it, writes to stdout."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    about = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [
        subprocess.Popen(
            [sys.executable, *words], env=os.environ | about | {"RANK": rank, "LOCAL_RANK": rank}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]  # fmt: skip
    first, second = (process.communicate(timeout=300) for process in both)
    assert [process.returncode for process in both] == [0, 0], first[1] + second[1]
    return first[0], second[0]


def each_whole(shop: Path) -> None:
    """The rest of the fine-tuning by two processes that hold the whole model each."""
    first, second = pair("-m", "tastemaker", "train", "-w", str(shop), "--until", "sft", "--json")
    assert [stage["stage"] for stage in json.loads(first)["stages"]] == ["vectors", "tokens", "sft"]
    assert not second


def each_a_part(shop: Path) -> None:
    """Some more steps by two processes that own weights and moments in parts; the rest by one again."""
    settings, before = shop / "tastemaker.toml", len(curve(shop))
    settings.write_text(settings.read_text().replace("shard = false", "shard = true"))
    pair("-c", STOPPED, str(shop))
    assert before < len(curve(shop))
    run_stages(shop, quiet, "sft")


STOPPED = """
import os, sys
from pathlib import Path
from tests.lm.test_parallel import interrupted, quiet, run_stages
shop = Path(sys.argv[1])
interrupted(shop) if os.environ["RANK"] == "0" else run_stages(shop, quiet, "sft")
os._exit(0)  # threads of an interrupted group may still wait when Python ends, which aborts what is done
"""


def interrupted(shop: Path) -> None:
    """Training by one process, sent an interrupt once it has told of some steps."""

    def report(name: str, done: float, total: float, note: str) -> None:
        if name == "fine-tuning" and done:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_stages(shop, report, "sft")


@pytest.mark.parametrize("go_on", [each_whole, each_a_part])
def test_two_processes_go_on_where_one_stopped_with_its_losses(
    stopped: tuple[Path, Path], tmp_path: Path, go_on: Callable[[Path], None]
) -> None:
    whole, shop = stopped[0], tmp_path / "two"
    shutil.copytree(stopped[1], shop)
    before = len(curve(shop))
    go_on(shop)
    straight, two = curve(whole), curve(shop)
    assert [line["step"] for line in straight] == [line["step"] for line in two] and 0 < before < len(two)
    for name in ("loss", "gradient_norm", "validation"):
        pairs = np.array(
            [[ours[name], theirs[name]] for ours, theirs in zip(two, straight, strict=True)], float
        )
        np.testing.assert_allclose(*pairs.T, rtol=1e-5)


@pytest.fixture(scope="module")
def stopped(tiny_files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A workspace trained by one process, and one whose training was stopped in the middle."""
    shops = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("stopped")
    for shop in shops:
        Workspace.create(shop, SETTINGS)
        ingest_files(shop, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    run_stages(shops[0], quiet, "sft")
    interrupted(shops[1])
    return shops
