"""Content-addressed, immutable, checksummed folders, named by the fingerprint of what each was made from."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tastemaker.errors import ArtifactError, InputError
from tastemaker.store.files import canonical, explained, flush, plain, sha256_bytes
from tastemaker.store.folders import MANIFEST, REBUILD, read_manifest, remove_folder, seal, verify_folder

STATE = "state"


def fingerprint(kind: str, inputs: Mapping[str, str], settings: Any, version: int = 1) -> str:
    """32 hexadecimal digits that name a result: same kind, inputs, settings and code version, same name."""
    return sha256_bytes(canonical([kind, inputs, settings, version]))[:32]


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: where it is and what its manifest says it was made from."""

    kind: str
    fingerprint: str
    path: Path

    @property
    def about(self) -> dict[str, Any]:
        """Its manifest's `about`, as `Artifacts.verify` returns it; files are not checked."""
        return dict(read_manifest(self.path)["about"])


@dataclass(frozen=True)
class Artifacts:
    """The folders `root/<kind>/<fingerprint>`, each built once; `<fingerprint>.partial` is being built."""

    root: Path

    def path(self, kind: str, fingerprint: str) -> Path:
        """Where an artifact lies once finished; InputError for a kind or fingerprint that is no name."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", kind) or not re.fullmatch(
            r"[0-9a-f]{8,64}", fingerprint
        ):
            raise InputError(
                f"'{kind}/{fingerprint}' does not name an artifact: a lower-case word and 8 to 64 hexadecimal"
                " digits do"
            )
        return self.root / kind / fingerprint

    def has(self, kind: str, fingerprint: str) -> bool:
        """Whether the artifact is finished; its files are not checked."""
        return (self.path(kind, fingerprint) / MANIFEST).exists()

    def partial(self, kind: str, fingerprint: str) -> Path:
        """The folder of a resumable build: it outlives a kill; `put(resume=True)` makes it the artifact."""
        path = self.path(kind, fingerprint)
        folder = path.with_name(f"{path.name}.partial")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(
        self,
        kind: str,
        fingerprint: str,
        build: Callable[[Path], object],
        *,
        inputs: Mapping[str, str] | None = None,
        settings: Any = None,
        resume: bool = False,
    ) -> Path:
        """The artifact's folder, built by `build(folder)` unless it is finished already.

        With `resume`, `build` finds what a killed build left in `folder`, and keeps what only resuming needs
        in the subfolder `state`, which is dropped at the end; without it, `folder` is empty.

        Raises ArtifactError when a finished artifact is damaged, the disk is full, or another process is
        building the same one.
        """
        if self.has(kind, fingerprint):
            return self.get(kind, fingerprint)
        about = {
            "kind": kind,
            "fingerprint": fingerprint,
            "inputs": plain(inputs or {}),
            "settings": plain(settings),
        }
        about["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        path = self.path(kind, fingerprint)
        with explained(path):
            partial = self.partial(kind, fingerprint)
            with _building(partial):
                if self.has(kind, fingerprint):  # another process finished it before the lock was ours
                    return self.get(kind, fingerprint)
                if not _sealed(partial):
                    _build(partial, build, resume)
                    seal(partial, about, skip=STATE)
                shutil.rmtree(partial / STATE, ignore_errors=True)
                partial.rename(path)
                flush(path.parent)
        return path

    def get(self, kind: str, fingerprint: str, full: bool = True) -> Path:
        """The folder of a finished artifact, after checking it (`full=False`: names and sizes only).

        Raises ArtifactError when it does not exist, or naming the file that is damaged.
        """
        self.verify(kind, fingerprint, full)
        return self.path(kind, fingerprint)

    def verify(self, kind: str, fingerprint: str, full: bool = True) -> dict[str, Any]:
        """Check an artifact; its manifest's `about`: kind, fingerprint, inputs, settings, created."""
        path = self.path(kind, fingerprint)
        if not path.exists():
            raise ArtifactError(f"{path}: there is no such {kind}; run the command that makes it")
        about = dict(verify_folder(path, full)["about"])
        if (about.get("kind"), about.get("fingerprint")) != (kind, fingerprint):
            raise ArtifactError(
                f"{path}: holds {about.get('kind')} {about.get('fingerprint')}, moved here from elsewhere;"
                f" {REBUILD}"
            )
        return about

    def finished(self) -> list[Artifact]:
        """Every finished artifact, sorted by kind and fingerprint; files are not checked."""
        paths = [manifest.parent for manifest in sorted(self.root.glob(f"*/*/{MANIFEST}"))]
        paths = [path for path in paths if re.fullmatch(r"[0-9a-f]{8,64}", path.name)]
        return [Artifact(path.parent.name, path.name, path) for path in paths]

    def prune(self, keep: Iterable[Artifact]) -> list[Path]:
        """Remove artifacts that are not in `keep`, and builds nobody is working on."""
        paths = {artifact.path for artifact in keep}
        removed = []
        for artifact in self.finished():
            if artifact.path not in paths:
                remove_folder(artifact.path)
                removed.append(artifact.path)
        for partial in sorted(self.root.glob("*/*.partial")):
            if partial.with_suffix("") in paths:
                continue
            try:
                with _building(partial):
                    shutil.rmtree(partial)
                    removed.append(partial)
            except ArtifactError:
                continue
        return removed


def _build(partial: Path, build: Callable[[Path], object], resume: bool) -> None:
    if resume:
        (partial / MANIFEST).unlink(missing_ok=True)
        build(partial)
        return
    _empty(partial)
    try:
        build(partial)
    except BaseException:
        _empty(partial)
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sealed(partial: Path) -> bool:
    """Whether a kill came after the end of a build, before its renaming: all is whole but for `state`."""
    try:
        verify_folder(partial, skip=STATE)
    except ArtifactError:
        return False
    return True


@contextmanager
def _building(partial: Path) -> Iterator[None]:
    holder = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ArtifactError(
            f"{partial}: another process is building this; wait for it to end, then run the command again"
        ) from None
    finally:
        os.close(holder)
