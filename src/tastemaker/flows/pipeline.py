"""The pipeline of stages, each an artifact named by the fingerprint of its inputs and settings.

A fingerprint needs no work to compute, so every command knows at once which stages are finished, and a change
of one setting redoes only what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

import tastemaker.plugins as plugins
from tastemaker.errors import ArtifactError
from tastemaker.flows.data import Data, Snapshot, last_snapshot, load_data
from tastemaker.store import Workspace, fingerprint
from tastemaker.store.recorded import media_mark
from tastemaker.store.settings import FIELDS

Report = Callable[[str, float, float, str], None]


@dataclass(frozen=True)
class Stage:
    """One step: which stages it reads, which settings it depends on, and the version of its code.

    `resume`: the build keeps its own checkpoints and goes on from them after a kill. `extras`: settings that
    count once they are set to other than their default, so that a new one leaves what is finished alone.
    `plugins`: group of plugins whose versions count where some are installed and used.
    """

    name: str
    inputs: tuple[str, ...]
    settings: tuple[str, ...]
    version: int = 1
    resume: bool = False
    extras: tuple[str, ...] = ()
    plugins: str = ""


PASSES = ("seed", "batch", "sft_epochs", "thinning", "max_items")
SMALL = (*PASSES, "learning_rate", "dropout", "weight_decay", "dense", "layers", "width")
PRETRAINED = (*PASSES, "base_learning_rate", "base_dropout", "base_weight_decay")
CORPUS = ("seed", "split", "metadata_share", "cpt", "max_items")
CPT = ("seed", "batch", "cpt_learning_rate", "base_dropout", "base_weight_decay")
FIRST = (
    Stage("vectors", (), ("seed", "split", "text_view"), version=2, plugins="encoders"),
    Stage(
        "tokens",
        ("vectors",),
        ("seed", "tokenizer", "levels", "collisions"),
        version=2,
        extras=("ids", "rqvae_contrastive", "rqvae_masking"),
        plugins="tokenizers",
    ),
)
LAST = (
    Stage("memory", ("sft",), ("seed", "memory"), version=4),
    Stage("sasrec", (), ("seed", "split", "sasrec_epochs"), resume=True),
)


WORDS = ("prompt_titles", "prompt_line")


def _fine_tuning(before: str, settings: tuple[str, ...], *extras: str) -> tuple[Stage, Stage]:
    return (
        Stage("sft", (before,), settings, version=3, resume=True, extras=("reward", *extras)),
        Stage("refit", ("sft",), settings, version=2, resume=True, extras=("reward", *extras)),
    )


STAGES: dict[bool, dict[str, Stage]] = {
    pretrained: {stage.name: stage for stage in (*FIRST, *middle, *LAST)}
    for pretrained, middle in {
        False: _fine_tuning("tokens", SMALL, "ensemble", "event_features"),
        True: (
            Stage("base", ("tokens",), ("seed", "base", "keep_tokens"), extras=("base_layers",)),
            Stage("corpus", ("base",), CORPUS, version=3, extras=WORDS),
            Stage("cpt", ("corpus",), CPT, version=2, resume=True, extras=("new_rows_first",)),
            *_fine_tuning("cpt", PRETRAINED, "base_dense", "base_lora", *WORDS),
        ),
    }.items()
}
KINDS = tuple(dict.fromkeys(name for stages in STAGES.values() for name in stages))


class Pipeline:
    """The stages of one workspace: where each lies, whether it is finished, and how to build it."""

    def __init__(self, workspace: Workspace, report: Report, snapshot: Snapshot | None = None) -> None:
        """snapshot: what to learn from; default: what the newest training of these tables learns from."""
        self.workspace, self.report = workspace, report
        self.stages = STAGES[workspace.settings.base != "small"]
        self.tables = workspace.tables_fingerprint() if snapshot is None else snapshot.tables
        last = last_snapshot(workspace) if snapshot is None else snapshot
        self.snapshot = last if last is not None and last.tables == self.tables else Snapshot(self.tables)
        self.media = media_mark(workspace)
        if set(self.snapshot.inputs.values()) & workspace.tombstones.held:
            raise ArtifactError(
                f"{workspace.root}: the tables still hold a person whom `tastemaker admin forget` was to"
                " remove when it was cut off; run it for them again"
            )

    @cached_property
    def data(self) -> Data:
        """Tables and events as arrays, read when first needed."""
        return load_data(self.workspace, self.snapshot)

    def inputs(self, name: str) -> dict[str, str]:
        """Fingerprints of everything the stage is made from."""
        media = {"media": self.media} if name == "vectors" and self.media else {}
        before = {stage: self.fingerprint(stage) for stage in self.stages[name].inputs}
        return self.snapshot.inputs | media | before

    def settings(self, name: str) -> Mapping[str, Any]:
        """The settings the stage depends on."""
        stage, chosen = self.stages[name], asdict(self.workspace.settings)
        extras = [name for name in stage.extras if chosen[name] != FIELDS[name].default]
        selection = {"tokenizers": [self.workspace.settings.tokenizer]}.get(stage.plugins)
        installed = plugins.versions(stage.plugins, selection) if stage.plugins else {}
        about = {"plugins": installed} if installed else {}
        return {name: chosen[name] for name in (*stage.settings, *extras)} | about

    def fingerprint(self, name: str) -> str:
        """What the stage's artifact is called."""
        return fingerprint(name, self.inputs(name), self.settings(name), self.stages[name].version)

    def finished(self, name: str) -> bool:
        """Whether the artifact is there."""
        return self.workspace.artifacts.has(name, self.fingerprint(name))

    def path(self, name: str) -> Path:
        """The verified artifact; ArtifactError with the command to run when it is not there yet."""
        if not self.finished(name):
            where = self.workspace.root
            why = f"the stage '{name}' is not done for the tables and settings as they are now"
            if self.workspace.tombstones.people:
                why += ", from which people were removed who asked to be forgotten since the last training"
            raise ArtifactError(f"{where}: {why}; run `tastemaker train -w {quote(str(where))}`")
        return self.workspace.artifacts.get(name, self.fingerprint(name))

    def run(self, name: str, build: Callable[[Pipeline, Path], None]) -> tuple[Path, bool]:
        """The stage's artifact, by `build(pipeline, folder)` where it is new, and whether it was there."""
        reused = self.finished(name)
        folder = self.workspace.artifacts.put(
            name,
            self.fingerprint(name),
            lambda partial: build(self, partial),
            inputs=self.inputs(name),
            settings=self.settings(name),
            resume=self.stages[name].resume,
        )
        return folder, reused
