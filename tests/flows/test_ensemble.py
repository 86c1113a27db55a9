"""Two small models, each with Semantic IDs of its own, trained and served as one, and what is added to
them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.conftest import TINY, tiny_items
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.corpus.events import Histories
from tastemaker.flows.deploy import in_service
from tastemaker.flows.search import Searcher, item_scorer
from tastemaker.flows.stages import items as stage
from tastemaker.flows.stages.tokens import codes_in
from tastemaker.lm.items import load_items
from tastemaker.retrieve.items import ItemScorer
from tastemaker.store import Workspace


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, tiny_files: Path) -> Path:
    """A workspace trained with two models, and one more item ingested after that."""
    folder = tmp_path_factory.mktemp("pair")
    Workspace.create(folder / "w", TINY | {"ensemble": 2, "sft_epochs": 2})
    files = ["--items", str(tiny_files / "items.parquet")]
    files += ["--interactions", str(tiny_files / "interactions.parquet")]
    _run("ingest", *files, "-w", str(folder / "w"))
    assert "one of 2 models that are averaged" in _run("train", "-w", str(folder / "w"))
    items = tiny_items()
    more = [{"item_id": "new0", "title": "Tune number 90 the jig", "attributes": ["type=jig"]}]
    pq.write_table(
        pa.concat_tables([items, pa.Table.from_pylist(more, schema=items.schema)]), folder / "more.parquet"
    )
    assert "1 new items" in _run(
        "ingest", "--items", str(folder / "more.parquet"), *files[2:], "-w", str(folder / "w")
    )
    return folder / "w"


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_what_is_served_is_the_mean_of_both_models_log_probabilities(pair: Path) -> None:
    workspace = Workspace.open(pair)
    for kind in ("sft", "refit"):
        (artifact,) = [candidate for candidate in workspace.artifacts.finished() if candidate.kind == kind]
        folder = workspace.artifacts.path(kind, artifact.fingerprint) / "model"
        (tokens,) = [candidate for candidate in workspace.artifacts.finished() if candidate.kind == "tokens"]
        ids, codes, sizes = codes_in(workspace.artifacts.path("tokens", tokens.fingerprint))
        own_ids, own, own_sizes = codes_in(folder / "member-1")
        assert own_ids == ids and own_sizes == (64, 32, 16)  # of content, three levels
        contexts = Histories.of_lists([[1, 5, 9], [3]])
        parts = [
            ItemScorer(load_items(folder), ids, codes, sizes)(contexts),
            ItemScorer(load_items(folder / "member-1" / "model"), ids, own, own_sizes)(contexts),
        ]
        wanted = torch.from_numpy((parts[0] + parts[1]) / 2).log_softmax(1).numpy()
        assert np.abs(item_scorer(folder, ids, codes, sizes)(contexts) - wanted).max() < 1e-5
        assert np.abs(parts[0] - parts[1]).max() > 1e-3


def test_a_new_item_is_shown_and_scores_of_all_items_sum_to_one(pair: Path) -> None:
    deployment = in_service(Workspace.open(pair))
    assert deployment.base.kind == "refit"
    searcher = Searcher.of(deployment)
    assert searcher.score is not None and searcher.new is not None
    scores: Any = np.exp(searcher.score(Histories.of_lists([[1, 5, 9], [3]])).astype(float))
    assert np.abs(scores.sum(1) - 1).max() < 1e-3 and (scores[:, searcher.new.rows] > 0).all()
    shown = json.loads(_run("recommend", "-w", str(pair), "--history", "t001", "--json"))["rows"]
    assert shown[-1]["item_id"] == "new0" and shown[-1]["source"] == "new"


def test_by_default_two_models_are_trained_where_there_are_many_people(
    untouched_workspace: Path, tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list(untouched_workspace.glob("artifacts/sft/*/model/member-*"))
    monkeypatch.setattr(stage, "PEOPLE", 10)
    Workspace.create(tmp_path / "w", TINY | {"sft_epochs": 1})
    _run(
        *("ingest", "--items", str(tiny_files / "items.parquet"), "-w", str(tmp_path / "w")),
        *("--interactions", str(tiny_files / "interactions.parquet")),
    )
    _run("train", "-w", str(tmp_path / "w"), "--until", "sft")
    assert len(list((tmp_path / "w").glob("artifacts/sft/*/model/member-*"))) == 1


def test_models_that_learn_at_once_are_those_that_learn_one_after_another(
    tiny_files: Path, tmp_path: Path
) -> None:
    """Also when they are killed on the way and go on."""
    weights = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        Workspace.create(folder, TINY | {"ensemble": 2, "threads": threads, "sft_epochs": 4})
        _run(
            *("ingest", "--items", str(tiny_files / "items.parquet"), "-w", str(folder)),
            *("--interactions", str(tiny_files / "interactions.parquet")),
        )
        command = [sys.executable, "-m", "tastemaker", "train", "-q", "-w", str(folder), "--until", "sft"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}  # of what is not training
        sft = folder / "artifacts" / "sft"
        if threads == 2:
            process = subprocess.Popen(command, env=environment)
            while len(list(sft.glob("*.partial/**/curve.jsonl"))) < 2 and process.poll() is None:
                time.sleep(0.02)
            process.kill()
            process.wait()
        subprocess.run(command, check=True, env=environment)
        own = sorted(sft.glob("*/model/**/model.safetensors"))
        assert len(own) == 2
        weights.append([path.read_bytes() for path in own])
    assert weights[0] == weights[1]


def test_likeness_by_text_is_added_to_the_counts(untouched_workspace: Path) -> None:
    deployment = in_service(Workspace.open(untouched_workspace))
    plain, with_likeness = (
        Searcher.of(replace(deployment, base=replace(deployment.base, weight=0.5, likeness=ratio)))
        for ratio in (0.0, 2.0)
    )
    history = Histories.of_lists([[1, 5, 9], [3]])
    texts = deployment.text_vectors()
    unit = texts / np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-12)
    weights = np.array([0.8**2, 0.8, 1]) / (0.8**2 + 0.8 + 1)
    wanted = np.stack([weights @ unit[[1, 5, 9]] @ unit.T, unit[3] @ unit.T])
    before, after = plain.scores(history), with_likeness.scores(history)
    assert before is not None and after is not None
    assert np.abs(wanted).max() > 0.1
    assert np.abs(after - before - 0.5 * 2.0 * wanted).max() < 1e-4
