"""Commands whose large work a cluster maps: the same bytes come out, whoever computes the parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from tests.conftest import quiet

import tastemaker.flows.converse.generate as conversations
import tastemaker.flows.evaluation.evaluate as evaluation
from tastemaker.flows.converse.export import export_run
from tastemaker.flows.converse.generate import Session, generate
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.flows.evaluation.evaluate import evaluate_workspace
from tastemaker.store import Workspace

Workers = Callable[[Path], list[int]]


def test_conversations_are_played_elsewhere(
    make_tunes: Callable[[Path], Path], tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settings = make_tunes(tmp_path), RunSettings(n=5, seed=3, turns="3")
    monkeypatch.setattr(conversations, "PART", 2)

    def played(name: str) -> bytes:
        assert generate(folder, name, settings, Session(), quiet)["conversations"] == 5
        return RunFolder.of(Workspace.open(folder), name).table.read_bytes()

    here, computed = played("here"), workers(folder)
    assert played("elsewhere") == here and sorted(computed) == [0, 1, 2]
    for name in ("here", "elsewhere"):
        export_run(folder, name, "chat", out=f"memory://shop/{name}.jsonl")
    memory = fsspec.filesystem("memory")
    assert memory.cat("/shop/here.jsonl").count(b"\n") == 5


def test_people_are_evaluated_elsewhere(
    untouched_workspace: Path, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(untouched_workspace, tmp_path / "w"))
    monkeypatch.setattr(evaluation, "BLOCK", 40)

    def ranks() -> bytes:
        run = evaluate_workspace(folder, (), "test", 0, quiet)["run"]
        return (Path(run) / "ranks.safetensors").read_bytes()

    here, computed = ranks(), workers(folder)
    assert ranks() == here and len(computed) > 1
