"""What the recipes of conversations share: a workspace of real tunes with simulated listeners, and data sets
in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recipes.common import parser, read_arguments
from recipes.converse.turns.settings import LearnSettings
from tastemaker.cli.progress import progress
from tastemaker.flows.converse.dataset import saved_settings
from tastemaker.flows.converse.generate import Session, generate
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.flows.ingest import ingest_dataset
from tastemaker.flows.train import run_stages
from tastemaker.store import Workspace

TUNES, LISTENERS = 400, 1000
TAUGHT = 6000  # conversations that a model learns from and is asked about; rules make about 20 a second
SMALL = {"sft_epochs": 1, "sasrec_epochs": 1, "text_view": "tfidf", "width": 64, "threads": 1}


def arguments(main: Callable[..., object], name: str, conversations: int, quick: int) -> argparse.Namespace:
    """--workspace, --conversations beside the common ones; a quick run makes a catalogue of 60 tunes of its
    own.
    """
    options = parser(main, f"150 tunes, {quick} conversations, one pass: to see it work")
    options.add_argument(
        "--workspace", type=Path, help="a workspace of tunes to use (default: one is made beside the results)"
    )
    options.add_argument("--conversations", type=int, help=f"how many (default {conversations})")
    given = read_arguments(options, f"converse/{name}")
    given.conversations = given.conversations or (quick if given.quick else conversations)
    given.workspace = given.workspace or given.out / "workspace"
    return given


def build(given: argparse.Namespace, until: str = "sft") -> Path:
    """The workspace, its stages up to `until`; what is finished is reused."""
    folder: Path = given.workspace
    if not (folder / "tastemaker.toml").exists():
        Workspace.create(folder, SMALL if given.quick else {"title": "Traditional tunes"})
    with progress(False) as report:
        if not Workspace.open(folder).has_tables():
            ingest_dataset(
                folder, "tunes", report, 150 if given.quick else TUNES, 60 if given.quick else LISTENERS
            )
        run_stages(folder, report, until=until)
    return folder


def conversations(folder: Path, name: str, n: int, seed: int, **settings: Any) -> RunFolder:
    """The data set `name`, made or completed."""
    place, asked = RunFolder.of(Workspace.open(folder), name), RunSettings(n=n, seed=seed, **settings)
    if (
        place.table.exists()
        and saved_settings(place) == asked
        and pq.ParquetFile(place.table).metadata.num_rows == n
    ):
        return place
    with progress(False) as report:
        generate(folder, name, asked, Session(resume="same"), report)
    return place


def learning(given: argparse.Namespace, **changes: Any) -> LearnSettings:
    """How the model learns: without dropout, for rules make conversations enough; quick runs pass once over
    few.
    """
    full: Mapping[str, Any] = {"test": 0.1, "passes": 3.0, "dropout": 0.0, "learning_rate": 4e-3}
    size = {"passes": 1.0, "pieces": 400} if given.quick else full
    return LearnSettings(**({"seed": given.seed} | dict(size) | changes))


def interval(bounds: Mapping[str, float], signed: bool = False) -> str:
    """`.123 [.101, .145]`."""
    form = "{:+.3f}" if signed else "{:.3f}"
    return f"{form.format(bounds['value'])} [{form.format(bounds['low'])}, {form.format(bounds['high'])}]"
