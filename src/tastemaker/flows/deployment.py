"""One deployment: everything that is served, by name, as an immutable artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import ArtifactError
from tastemaker.flows.data import Data, Snapshot, load_data
from tastemaker.flows.pipeline import WORDS
from tastemaker.flows.search import Parts, with_model
from tastemaker.flows.stages.vectors import matrix_of
from tastemaker.retrieve.baselines import content_knn, popularity
from tastemaker.retrieve.evaluation import Floats, Score, Sequences
from tastemaker.retrieve.memory import Memory, weighing_in
from tastemaker.retrieve.new_items import NewItems
from tastemaker.store import (
    Workspace,
    read_arrays,
    read_manifest,
    read_table,
    write_arrays,
    write_json,
    write_table,
)
from tastemaker.store.files import restored
from tastemaker.store.folders import read_file
from tastemaker.store.settings import FIELDS

KIND = "deployment"
TABLES = "tables"  # what tables are called among the folders of a deployment
FORMAT = 1
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Base:
    """What a training fixed.

    kind, model: kind and fingerprint of the artifact with the language model; both "" where content
    neighbours and popularity serve, and `why` says why. tokens: fingerprint of codebook and Semantic IDs.
    weight, likeness, habit: of the memory, and of likeness by text and a person's own events beside its
    counts. settings: those that the model depends on when it serves.
    """

    kind: str = ""
    model: str = ""
    tokens: str = ""
    weight: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    likeness: float = 0.0
    habit: float = 0.0


@dataclass(frozen=True)
class Deployment:
    """What is served under one name. Each part is named by a fingerprint, "" where there is none.

    catalogue: the tables that items and histories are from. proxy, policy: the survey proxy and the certified
    policy in force when it was made.
    """

    workspace: Workspace = field(repr=False, compare=False)
    fingerprint: str
    base: Base
    catalogue: str
    trie: str
    memory: str
    proxy: str
    policy: str
    items: int
    created: datetime
    note: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return name_of(self.fingerprint)

    def about(self) -> dict[str, Any]:
        """JSON-ready: everything but the workspace."""
        parts = {name: getattr(self, name) for name in ("catalogue", "trie", "memory", "proxy", "policy")}
        identity = {"name": self.name, "model": self.base.model, "tokens": self.base.tokens, **parts}
        return identity | {
            "items": self.items,
            "without_model": self.base.why,
            "created": self.created.isoformat(timespec="seconds"),
            "note": self.note,
        }

    @property
    def scorer(self) -> str:
        """Twelve digits that name what scores items: the language model, or what serves without one."""
        return (self.base.model or self.fingerprint)[:12]

    @property
    def folder(self) -> Path:
        """The artifact, its checksums verified."""
        return self.workspace.artifacts.get(KIND, self.fingerprint)

    def catalogue_items(self) -> pa.Table:
        """The items served, in the order of their indices."""
        return read_table(self.folder / "items.parquet")

    def arrays(self) -> Arrays:
        """codes (N, L), sizes (L,), and where there are any `vectors` (N, d) and the memory's arrays."""
        return read_arrays(self.folder / "served.safetensors")

    def text_vectors(self) -> Floats:
        """(N, d) text vectors of the items as training had them; 0 for items that came later or have none."""
        n = self.items
        if not self.base.kind:
            return np.nan_to_num(np.asarray(self.arrays().get("vectors", np.zeros((n, 1))), np.float32))
        artifacts = self.workspace.artifacts
        inputs = artifacts.verify("tokens", self.base.tokens)["inputs"]
        path = artifacts.get("vectors", inputs["vectors"]) / "text.parquet"
        if not path.exists():
            return np.zeros((n, 1), np.float32)
        table = read_table(path)
        known = {item: row for row, item in enumerate(table["item_id"].to_pylist())}
        rows = np.array([known.get(item, -1) for item in self.catalogue_items()["item_id"].to_pylist()])
        return np.where(rows[:, None] >= 0, np.nan_to_num(matrix_of(table["vector"]))[rows], np.float32(0))

    def data(self) -> Data:
        """Items and histories as this deployment knows them."""
        return load_data(self.workspace, Snapshot(self.catalogue), self.catalogue_items())

    def folders(self) -> dict[str, Path]:
        """Every sealed folder that serving reads, by "kind/fingerprint" (its tables are "tables/..."). Raises
        ArtifactError naming the part that is damaged or gone.
        """
        artifacts = self.workspace.artifacts
        marks = {KIND: self.fingerprint, "proxy": self.proxy, "policy": self.policy}
        if self.base.kind:
            inputs = artifacts.verify("tokens", self.base.tokens)["inputs"]
            marks |= {
                self.base.kind: self.base.model,
                "tokens": self.base.tokens,
                "vectors": inputs["vectors"],
            }
        folders = {f"{kind}/{mark}": artifacts.get(kind, mark) for kind, mark in marks.items() if mark}
        self.workspace.table("interactions", tables=self.catalogue)
        return folders | {f"{TABLES}/{self.catalogue}": self.workspace.tables_folder(self.catalogue)}

    def parts(self) -> Parts:
        """What a searcher is made of. Raises ArtifactError naming a part that is damaged or gone."""
        data, arrays = self.data(), self.arrays()
        silent: dict[str, Any] = {name: FIELDS[name].default for name in WORDS}
        settings = replace(self.workspace.settings, **silent | dict(self.base.settings))
        versions = {"deployment": self.name, "tokens": self.base.tokens[:12], "model": self.scorer}
        memory = None
        if self.memory:
            memory = Memory.load(arrays, float(arrays["decay"][0]), len(data.item_ids))
            memory = replace(memory, habit=self.base.habit)
            if self.base.likeness:
                memory = memory.with_texts(self.text_vectors(), self.base.likeness)
        sizes = tuple(int(size) for size in arrays["sizes"])
        parts = Parts(data, settings, np.asarray(arrays["codes"], np.int32), sizes)
        new = NewItems.load(arrays, len(data.item_ids))
        parts = replace(parts, memory=memory, weight=self.base.weight, new=new, versions=versions)
        if not self.base.kind:
            return replace(parts, score=neighbours_then_popularity(data, arrays.get("vectors")))
        return with_model(parts, self.workspace.artifacts.get(self.base.kind, self.base.model) / "model")


def neighbours_then_popularity(data: Data, vectors: Floats | None) -> Score:
    """Score by likeness of content to the history; among equals by events, then in the catalogue's order."""
    n = len(data.item_ids)
    events = popularity(data.histories, n)
    like = content_knn(vectors, "mean") if vectors is not None else None

    def score(contexts: Sequences) -> Floats:
        counts = np.log1p(np.asarray(events(contexts), np.float32))
        scores = 1e-3 * counts / max(float(counts.max()), 1.0)
        return np.asarray(scores if like is None else like(contexts) + scores, np.float32)

    return score


def write(folder: Path, deployment: Mapping[str, Any], items: pa.Table, arrays: Arrays) -> None:
    """Fill the artifact's folder."""
    write_json(folder / "deployment.json", {"format": FORMAT, **deployment})
    write_table(folder / "items.parquet", items)
    write_arrays(folder / "served.safetensors", dict(arrays))


def read(workspace: Workspace, fingerprint: str) -> Deployment:
    """The deployment of a fingerprint; its parts are checked when they are read."""
    path = workspace.artifacts.path(KIND, fingerprint)
    try:
        about = json.loads(read_file(path, "deployment.json"))
        created = datetime.fromisoformat(read_manifest(path)["about"]["created"])
    except (FileNotFoundError, ArtifactError) as error:
        if path.exists() and isinstance(error, ArtifactError):
            raise
        raise ArtifactError(
            f"{workspace.root}: deployment {name_of(fingerprint)} is gone; `tastemaker admin deployments -w"
            f" {workspace.root}` lists those there are, `tastemaker train` makes a new one"
        ) from None
    except (ValueError, KeyError):
        raise ArtifactError(f"{path}: damaged; activate another deployment, or train again") from None
    if about.pop("format") != FORMAT:
        raise ArtifactError(f"{path}: was made by a newer Tastemaker; upgrade, or train again")
    base = restored(Base, about.pop("base"), path)
    parts = {"workspace": workspace, "fingerprint": fingerprint, "base": base, "created": created}
    return restored(Deployment, parts | about, path)


def name_of(fingerprint: str) -> str:
    """The name of the deployment with this fingerprint."""
    return f"d-{fingerprint[:12]}"


def trained_base(workspace: Workspace) -> Base | None:
    """What the newest finished training fixed, by its stages' manifests: of tables in use before others."""
    trained = []
    tables = workspace.tables_fingerprint()
    for artifact in workspace.artifacts.finished():
        if artifact.kind == "memory":
            about = artifact.about
            trained.append((about["inputs"]["tables"] == tables, about["created"], artifact, about))
    for _, _, memory, about in sorted(trained, key=lambda entry: entry[:2], reverse=True):
        try:
            return base_of(workspace, memory.fingerprint, about["inputs"]["sft"])
        except (ArtifactError, KeyError):
            continue
    return None


def base_of(workspace: Workspace, memory: str, sft: str) -> Base:
    """The base that finished `memory` and `sft` stages (and `refit`, where there is one) make."""
    artifacts = workspace.artifacts
    about = json.loads((artifacts.get("memory", memory) / "summary.json").read_text())
    weighing = weighing_in(about, workspace.settings.remove_seen)
    inputs, settings, mark = dict[str, str](), dict[str, Any](), sft
    kind = "sft"
    while kind != "tokens":
        about = artifacts.verify(kind, mark, full=False)
        inputs, settings = about["inputs"], settings | about["settings"]
        kind = next(stage for stage in ("tokens", "base", "corpus", "cpt") if stage in inputs)
        mark = inputs[kind]
    refits = [
        artifact.fingerprint
        for artifact in artifacts.finished()
        if artifact.kind == "refit" and artifact.about["inputs"]["sft"] == sft
    ]
    kind, model = ("refit", refits[-1]) if refits else ("sft", sft)
    served = {name: settings[name] for name in ("max_items", *WORDS) if name in settings}
    weight, likeness, habit = weighing
    return Base(kind, model, mark, weight, served, likeness=likeness, habit=habit)
