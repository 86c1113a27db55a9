"""Checkpoints of a training run: a folder a step, written beside the old one, named last, with hashes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tastemaker.errors import ArtifactError
from tastemaker.lm.base import file_hash, published

MANIFEST = "manifest.json"
Tensors = dict[str, torch.Tensor]


@dataclass
class Checkpoint:
    """What a run needs to go on: `groups` (weights, optimiser, average, best) of named tensors, plain values.

    The data cursor is `step` itself (batches are a function of it), and so is the random state: draws are
    keyed by step.
    """

    step: int
    identity: dict[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Tensors] = field(default_factory=dict)


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `folder`/step-N, then delete older steps; a kill leaves the last complete one."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(".step-*"):
        shutil.rmtree(stale, ignore_errors=True)
    name, files = f"step-{checkpoint.step:09d}", {}
    with published(folder / name) as partial:
        for group, tensors in checkpoint.groups.items():
            path = partial / f"{group}.safetensors"
            save_file({key: tensor.detach().contiguous() for key, tensor in tensors.items()}, path)
            files[path.name] = file_hash(path)
        manifest = {
            "step": checkpoint.step,
            "identity": checkpoint.identity,
            "values": checkpoint.values,
            "files": files,
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    for old in folder.glob("step-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)


def read_latest(folder: Path, identity: dict[str, str]) -> Checkpoint | None:
    """The newest complete checkpoint in `folder`, or None when there is none.

    Raises ArtifactError when it belongs to another run (settings, examples, model or vocabulary; both hashes
    are shown) or is damaged.
    """
    names = sorted(entry.name for entry in folder.glob("step-*")) if folder.is_dir() else []
    if not names:
        return None
    path = folder / names[-1]
    manifest = _manifest(path)
    for what, expected in identity.items():
        recorded = manifest["identity"].get(what)
        if recorded != expected:
            raise ArtifactError(
                f"{path}: this checkpoint was made with other {what} (hash {recorded}, this run has"
                f" {expected}); restore what changed, or delete the folder to train from the beginning"
            )
    groups = {}
    for name, digest in manifest["files"].items():
        actual = file_hash(path / name) if (path / name).exists() else "missing"
        if actual != digest:
            raise ArtifactError(
                f"{path / name}: damaged (hash {actual}, recorded {digest}); delete {path} to train from the"
                " beginning"
            )
        groups[name.removesuffix(".safetensors")] = load_file(path / name)
    return Checkpoint(int(manifest["step"]), identity, manifest["values"], groups)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if not {"step", "identity", "values", "files"} <= manifest.keys():
            raise ValueError("entries are missing")
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path / MANIFEST}: cannot be read ({error}); delete {path} to train from the beginning"
        ) from None
    return manifest
