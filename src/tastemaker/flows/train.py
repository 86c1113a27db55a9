"""Tables and events -> stages -> a model of everything -> the next deployment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError, SparseDataError
from tastemaker.flows.data import (
    Data,
    Snapshot,
    events_mark,
    finish_snapshot,
    take_snapshot,
    telling_events,
)
from tastemaker.flows.deploy import deploy
from tastemaker.flows.deployment import Base, Deployment, base_of
from tastemaker.flows.pipeline import KINDS, Pipeline, Report
from tastemaker.flows.stages import items, models
from tastemaker.flows.stages.tokens import build_tokens
from tastemaker.flows.stages.trained import build_memory
from tastemaker.flows.stages.vectors import build_vectors
from tastemaker.store import Workspace, read_manifest
from tastemaker.store.artifacts import Artifact
from tastemaker.store.doctor import cannot_run
from tastemaker.store.folders import contents, remove_folder
from tastemaker.store.settings import SETTINGS_FILE
from tastemaker.store.tombstones import outdated

BUILDERS: dict[str, Callable[[Pipeline, Path], None]] = {
    "vectors": build_vectors,
    "tokens": build_tokens,
    "base": models.build_base,
    "corpus": models.build_corpus,
    "cpt": models.build_cpt,
    "sft": lambda pipeline, folder: _kind(pipeline).build_sft(pipeline, folder),
    "memory": build_memory,
    "refit": lambda pipeline, folder: _kind(pipeline).build_refit(pipeline, folder),
}
ORDER = tuple(BUILDERS)
TRAININGS = 3  # earlier trainings, and tables, that stay whether or not anything needs them
FEWEST = 10  # items, and people with three events: with fewer there is nothing for a model to learn
SIMPLER = "the nearest by content are served, then the most popular, then the catalogue in its order"


def order(pipeline: Pipeline, until: str = ORDER[-1]) -> tuple[str, ...]:
    """The stages up to `until` of this workspace's kind of model. InputError when it has no such stage."""
    names = tuple(name for name in ORDER if name in pipeline.stages)
    if until not in names:
        raise InputError(
            f"--until {until}: the small model has no such stage; its stages are {', '.join(names)}"
        )
    return names[: names.index(until) + 1]


def _kind(pipeline: Pipeline) -> Any:
    """The builders of the small model, or of a pretrained one."""
    return models if "cpt" in pipeline.stages else items


def run_stages(workspace: Path, report: Report, until: str = ORDER[-1]) -> dict[str, Any]:
    """Run every stage up to `until`, reusing what is finished; says what each stage gave and how long it
    took. After the last one the next deployment is made and activated.

    Where the data allow no model, what they allow is deployed, and the result says why. Under `torchrun` all
    processes train models, and only the first one does anything else: the others return nothing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _run_stages(workspace, report, until)
    from tastemaker.lm.train import learn_along
    from tastemaker.lm.training.parallel import together

    with together(learn_along) as first:
        return _run_stages(workspace, report, until) if first else {}


def _run_stages(workspace: Path, report: Report, until: str) -> dict[str, Any]:
    opened, complete = Workspace.open(workspace), until == ORDER[-1]
    if unfit := cannot_run(opened):
        raise InputError(
            f"{opened.root / SETTINGS_FILE}: {unfit[0].subject} {unfit[0].message}; {unfit[0].remedy}"
        )
    with opened.lock(f"training up to {until}"):
        snapshot = take_snapshot(opened)
        pipeline = Pipeline(opened, report, snapshot)
        stages: list[dict[str, Any]] = []
        old: list[Path] = []
        try:
            if complete and (reason := shortage(pipeline.data)):
                raise SparseDataError(reason)
            for name in order(pipeline, until):
                stages.append(_run(pipeline, name))
            marks = {stage["stage"]: stage["artifact"] for stage in stages}
            base = base_of(opened, marks["memory"], marks["sft"]) if complete else Base()
        except SparseDataError as error:
            if not complete:
                raise
            base = Base(why=str(error))
        deployment = deploy(opened, base, report, _chosen(base, stages)) if complete else None
        finish_snapshot(opened, snapshot)
        removed = _let_go(opened) if complete else []
        lines = _lines(stages, deployment, len(removed)) + _newer(opened, snapshot)
        if complete:
            old = _prune(opened, stages)
        if old:
            lines.append(
                f"removed {len(old)} artifacts and tables of earlier trainings; the last {TRAININGS}"
                " trainings and what deployments need are kept"
            )
    result: dict[str, Any] = {
        "workspace": str(workspace),
        "stages": stages,
        "removed": [str(path) for path in (*removed, *old)],
    }
    result |= {"deployment": deployment.about()} if deployment else {}
    return result | {"text": "\n".join(lines)}


def shortage(data: Data) -> str:
    """Why no model can be trained; "" when one can. Raises InputError where settings and data do not fit."""
    if len(data.item_ids) < FEWEST:
        return f"the catalogue has {len(data.item_ids)} items, a model needs {FEWEST}"
    people = int((data.histories.lengths >= 3).sum())
    if people < FEWEST:
        return f"{people} people have 3 or more events, a model needs {FEWEST}"
    if not len(data.split.train.items):
        return "nothing is left to train on once the last two events of each person are held out"
    return ""


def _run(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """One stage, and what it says."""
    started = time.monotonic()
    folder, reused = pipeline.run(name, BUILDERS[name])
    seconds = round(time.monotonic() - started, 1)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    about = {"stage": name, "artifact": folder.name, "contents": contents(read_manifest(folder))}
    return about | {"reused": reused, "seconds": seconds} | summary


def _chosen(base: Base, stages: list[dict[str, Any]]) -> str:
    """What the held-out part chose, or why there was nothing to choose."""
    if not base.kind:
        return f"without a model: {base.why}"
    passes = next(stage for stage in stages if stage["stage"] == "sft")["passes"]
    return f"trained: {passes} passes, memory weight {base.weight:g}"


def _lines(stages: list[dict[str, Any]], deployment: Deployment | None, removed: int) -> list[str]:
    lines = [
        f"{stage['stage']:8} {'reused' if stage['reused'] else str(stage['seconds']) + ' s':>9}"
        f"  {stage['says']}"
        for stage in stages
    ]
    lines += [f"warning: {text}" for stage in stages for text in stage.get("warnings", [])]
    if deployment is not None:
        if deployment.base.why:
            lines.append(f"warning: no model was trained: {deployment.base.why}; {SIMPLER}")
        lines.append(f"deployment {deployment.name} serves {deployment.items:,} items; {deployment.note}")
    if removed:
        lines.append(f"removed {removed} artifacts that had learnt from people who asked to be forgotten")
    return lines


def _newer(workspace: Workspace, snapshot: Snapshot) -> list[str]:
    """A line when events came that this training has not read."""
    if events_mark(telling_events(workspace)) == snapshot.events:
        return []
    return ["events came since this training began; the next `tastemaker train` learns from them"]


def _prune(workspace: Workspace, stages: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Remove earlier trainings' stages and tables but the last ones and what is in use or needed by it."""
    about = {artifact: artifact.about for artifact in workspace.artifacts.finished()}
    by_pair = {(artifact.kind, artifact.fingerprint): artifact for artifact in about}
    roots = [artifact for artifact in about if artifact.kind not in KINDS]
    roots += [by_pair[stage["stage"], stage["artifact"]] for stage in stages]
    by_age = sorted(about, key=lambda artifact: str(about[artifact]["created"]))
    for kind in KINDS:
        roots += [artifact for artifact in by_age if artifact.kind == kind][-TRAININGS:]
    keep = set[Artifact]()
    while roots:
        artifact = roots.pop()
        if artifact not in keep:
            keep.add(artifact)
            roots += [by_pair[pair] for pair in about[artifact]["inputs"].items() if pair in by_pair]
    removed = [artifact.path for artifact in about if artifact not in keep]
    in_use = {about[artifact]["inputs"].get("tables") for artifact in keep} | {workspace.tables_fingerprint()}
    tables = sorted(workspace.data.glob("tables-*"), key=lambda path: path.stat().st_mtime)
    removed += [path for path in tables[:-TRAININGS] if path.name.removeprefix("tables-") not in in_use]
    for path in removed:
        remove_folder(path)
    return removed


def _let_go(workspace: Workspace) -> list[Path]:
    """Once a model without them is finished, remove what had learnt from people forgotten since."""
    artifacts = workspace.artifacts
    stale = outdated(artifacts, workspace.tombstones.held)
    fresh = [artifact for artifact in artifacts.finished() if artifact not in stale]
    return artifacts.prune(fresh) if stale else []
