"""An off-policy run: a log's split, the path learnt on its first part, and candidates, sealed in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.arrays import Floats
from tastemaker.errors import ArtifactError, InputError
from tastemaker.explore.estimate.weighting import OwnPolicy
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.slate import MIX_MARK
from tastemaker.explore.table import Split, distinct, split
from tastemaker.flows.explore.tables import Loaded, Source
from tastemaker.store import (
    Workspace,
    read_arrays,
    read_manifest,
    verify_folder,
    write_arrays,
    write_folder,
    write_json,
)
from tastemaker.store.files import sha256_bytes

PARTS = (0.5, 0.2, 0.3)
OWN_PARTS = (0.1, 0.1, 0.8)  # where nothing is learnt: the first two say only how many rows a person has
KIND = "policy"  # of the artifact that a deployment leaves in a workspace
POINT = ("matrix", "bias", "shift", "scale", "anchor")  # of a point of a path
ARRAYS, ABOUT = "policy.safetensors", "study.json"  # as the first release named them


@dataclass(frozen=True, eq=False)
class OffPolicyRun:
    """candidates in chains of these lengths, each from the logger to new items; parts: S1, S2, S3, digest."""

    candidates: list[Policy]
    parts: Split
    chains: tuple[int, ...]


def save_run(
    folder: Path,
    loaded: Loaded,
    points: Sequence[Any],
    shares: tuple[float, ...],
    key: str,
    settings: dict[str, Any],
) -> None:
    """Seal the folder: weights where chains start, vectors, and what finds the same rows and split again."""
    arrays = {name: np.stack([np.asarray(getattr(point, name)) for point in points]) for name in POINT}
    arrays |= {"vectors": loaded.vectors, "existing": loaded.existing}
    if loaded.prefixes is not None:
        arrays["prefixes"] = loaded.prefixes
    names = () if loaded.log.policy is None else distinct(loaded.log.policy)
    about = {
        "kind": "off-policy run",
        "log_hash": loaded.log.hash,
        "items": items_mark(loaded.catalogue.ids),
        "key": key,
        "shares": shares,
        "pooled": loaded.log.pool is not None,
        "parts": PARTS,
        "loggers": sorted({name.rpartition(MIX_MARK)[2] for name in names}),
        "times": [
            None if time is None else time.isoformat() for time in (loaded.source.since, loaded.source.until)
        ],
    }
    with write_folder(folder, about) as partial:
        write_arrays(partial / ARRAYS, arrays)
        write_json(partial / ABOUT, about | {"settings": settings})


def learnt_from(folder: Path, source: Source) -> Source:
    """The source with the times of the run's rows: of a workspace, what it has served since is left out."""
    since, until = (
        None if time is None else datetime.fromisoformat(time) for time in read_about(folder)["times"]
    )
    return replace(source, since=since, until=until)


def open_run(folder: Path, loaded: Loaded) -> OffPolicyRun:
    """The run on this log. InputError: it was made from other rows; ArtifactError: it is damaged."""
    about = read_about(folder)
    if about["log_hash"] != loaded.log.hash:
        raise InputError(
            f"{folder}: was learnt from other rows than these, or by a version that knew other facts of"
            " people; give the log it was learnt from, or learn again"
        )
    chains = _chains(folder)
    candidates = [policy for chain in chains for policy in chain]
    parts = split(loaded.log, tuple(about["parts"]), about["key"])
    return OffPolicyRun(candidates, parts, tuple(map(len, chains)))


def own_run(loaded: Loaded, key: str) -> OffPolicyRun:
    """The caller's own policy, a column of the log: nothing is learnt or chosen, so most rows certify."""
    return OffPolicyRun([OwnPolicy()], split(loaded.log, OWN_PARTS, key), (1,))


def read_candidates(folder: Path) -> tuple[list[Policy], Floats]:
    """The candidates of a sealed run, chain after chain, and vectors (A, k) that contexts are means of."""
    return [policy for chain in _chains(folder) for policy in chain], read_arrays(folder / ARRAYS)["vectors"]


def _chains(folder: Path) -> list[list[Policy]]:
    from tastemaker.explore.learn.space import Features, Weights, build_candidates

    arrays, about = read_arrays(folder / ARRAYS), read_about(folder)
    parts = [arrays[name] for name in POINT if name in arrays]  # earlier releases had no anchor
    if parts[0].ndim == 2:  # of the first release: one point
        parts = [part[None] for part in parts]
    space = Features(arrays["vectors"], arrays.get("prefixes"), about.get("pooled", False))
    points = [Weights(*values) for values in zip(*parts, strict=True)]
    return [build_candidates(space, point, arrays["existing"], about["shares"]) for point in points]


def read_about(folder: Path) -> dict[str, Any]:
    """What a sealed folder says about its run."""
    if not folder.exists():
        raise InputError(
            f"{folder}: there is no such run; make one with `tastemaker explore learn --out {folder}`"
        )
    verify_folder(folder)
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text())
        return about
    except (OSError, ValueError):
        raise ArtifactError(
            f"{folder}: is no off-policy run; make one with `tastemaker explore learn`"
        ) from None


def plain_source(source: Source) -> dict[str, Any]:
    """The source as the run remembers it."""
    return {
        name: str(value) if isinstance(value, Path | datetime) else value
        for name, value in asdict(source).items()
    }


def keep_policy(workspace: Workspace, folder: Path, candidate: int, digest: str) -> None:
    """Copy a run into a workspace under the digest of its `candidate` (from 1), for the server to serve."""

    def build(partial: Path) -> None:
        for name in (ARRAYS, ABOUT):
            shutil.copy(folder / name, partial / name)

    workspace.artifacts.put(KIND, digest, build, settings={"candidate": candidate})


def kept_policy(workspace: Workspace, digest: str) -> tuple[Policy, Floats, frozenset[str]]:
    """The policy of a digest, vectors (A, k) its contexts are means of, and the pi0 it was certified against.

    Raises ArtifactError when it is not there, damaged, or not the policy of that digest.
    """
    folder = workspace.artifacts.get(KIND, digest)
    candidates, vectors = read_candidates(folder)
    policy = candidates[read_manifest(folder)["about"]["settings"]["candidate"] - 1]
    if policy.fingerprint() != digest:
        raise ArtifactError(
            f"{folder}: holds policy {policy.fingerprint()[:12]}, not the certified {digest[:12]}; deploy it"
            " again"
        )
    return policy, vectors, frozenset(read_about(folder)["loggers"])


def learnt_on(workspace: Workspace, mark: str, item_ids: Sequence[str]) -> bool:
    """Whether the kept policy chooses among exactly these items, in this order; it knows no others."""
    about = read_about(workspace.artifacts.get(KIND, mark))
    return "items" not in about or about["items"] == items_mark(item_ids)


def items_mark(item_ids: Sequence[Any]) -> str:
    """A digest of items in their order."""
    return sha256_bytes("\n".join(map(str, item_ids)).encode())[:32]
