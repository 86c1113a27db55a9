"""A study: one log's split, the path learnt on its first part, and the ladder of candidates that follows from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import ArtifactError, InputError
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log, split
from tastemaker.flows.exploration.tables import Loaded, Source
from tastemaker.store import read_arrays, verify_folder, write_arrays, write_folder, write_json

PARTS = (0.5, 0.2, 0.3)


@dataclass(frozen=True, eq=False)
class Study:
    """ladder: candidates from the logger towards new items; parts: S1, S2, S3 and the split's digest; about: what was written."""

    ladder: list[Policy]
    parts: tuple[Log, Log, Log, str]
    about: dict[str, Any]


def save_study(folder: Path, loaded: Loaded, weights: Any, shares: tuple[float, ...], key: str, settings: dict[str, Any]) -> None:
    """Seal the folder: weights, vectors and what a later command needs to find the same split again."""
    arrays = {name: np.asarray(getattr(weights, name)) for name in ("matrix", "bias", "shift", "scale")}
    arrays |= {"vectors": loaded.vectors, "existing": loaded.existing}
    if loaded.prefixes is not None:
        arrays["prefixes"] = loaded.prefixes
    about = {"kind": "exploration study", "log_hash": loaded.log.hash, "key": key, "shares": shares, "parts": PARTS}
    with write_folder(folder, about) as partial:
        write_arrays(partial / "policy.safetensors", arrays)
        write_json(partial / "study.json", about | {"settings": settings})


def open_study(folder: Path, loaded: Loaded) -> Study:
    """The study of this log. Raises InputError when it was made from other rows, ArtifactError when it is damaged."""
    from tastemaker.explore.learn.certified import climb
    from tastemaker.explore.learn.softmax import Weights
    from tastemaker.explore.learn.space import Features

    about = read_about(folder)
    if about["log_hash"] != loaded.log.hash:
        raise InputError(f"{folder}: was learnt from other rows than these; give the log it was learnt from, or learn again")
    found = read_arrays(folder / "policy.safetensors")
    weights = Weights(found["matrix"], found["bias"], found["shift"], found["scale"])
    space = Features(found["vectors"], found.get("prefixes"))
    ladder = climb(space, weights, found["existing"], about["shares"])
    return Study(ladder, split(loaded.log, tuple(about["parts"]), about["key"]), about)


def read_about(folder: Path) -> dict[str, Any]:
    """study.json of a sealed folder."""
    if not folder.exists():
        raise InputError(f"{folder}: there is no such study; make one with `tastemaker explore learn --out {folder}`")
    verify_folder(folder)
    try:
        found: dict[str, Any] = json.loads((folder / "study.json").read_text())
        return found
    except (OSError, ValueError):
        raise ArtifactError(f"{folder}: is no exploration study; make one with `tastemaker explore learn`") from None


def plain_source(source: Source) -> dict[str, Any]:
    """The source as the study remembers it."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(source).items()}
