"""Equal trainings leave equal bytes, whenever they ran; earlier ones make room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tastemaker.flows import deploy, train
from tastemaker.store import Workspace, read_manifest
from tastemaker.store.folders import contents

QUIET = lambda *_: None  # noqa: E731


def sums(root: Path) -> dict[str, str]:
    """Kind and name of every artifact -> what it holds."""
    finished = Workspace.open(root).artifacts.finished()
    return {
        f"{artifact.kind}/{artifact.fingerprint}": contents(read_manifest(artifact.path))
        for artifact in finished
    }


def test_the_same_training_again_has_the_same_checksums(untouched_workspace: Path, tmp_path: Path) -> None:
    root = tmp_path / "w"
    shutil.copytree(untouched_workspace, root)
    shutil.rmtree(root / "artifacts")
    (root / "tastemaker.sqlite").unlink()
    result = train.run_stages(root, QUIET)
    assert sums(root) == sums(untouched_workspace) and len(sums(root)) > 5
    assert {stage["contents"] for stage in result["stages"]} <= set(sums(root).values())


def test_earlier_trainings_go_and_what_deployments_need_stays(
    untouched_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "w"
    shutil.copytree(untouched_workspace, root)
    monkeypatch.setattr(train, "TRAININGS", 1)
    monkeypatch.setattr(deploy, "LIMIT", 1)
    file, removed = root / "tastemaker.toml", list[str]()
    for seed in (1, 2):
        text = file.read_text()
        file.write_text(text.replace(f"\nseed = {seed - 1}\n", f"\nseed = {seed}\n"))
        removed += train.run_stages(root, QUIET)["removed"]
        for deployment in deploy.deployments(Workspace.open(root)):
            deployment.folders()
    assert {Path(path).parent.name for path in removed} >= {
        "vectors",
        "tokens",
        "sft",
        "memory",
        "refit",
    }
    assert len(deploy.deployments(Workspace.open(root))) == 2
    assert not [path for path in removed if Path(path).exists()]
    deploy.rollback(Workspace.open(root)).parts()
