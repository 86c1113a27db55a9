"""Sealed folders: written once, last a manifest that holds size and SHA-256 of every file and of itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tastemaker.errors import ArtifactError
from tastemaker.store.files import (
    canonical,
    explained,
    flush,
    plain,
    reserve,
    sha256_bytes,
    sha256_file,
    write_bytes,
)

MANIFEST = "manifest.json"
REBUILD = "delete the folder and run the command that made it again"


@contextmanager
def write_folder(path: Path, about: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """A temporary folder to fill, sealed (see `seal`) and renamed to `path` when the block ends well.

    Folders are written once: what changes is a small file that points to a folder.

    Raises ArtifactError when `path` exists, the disk is full, or the path cannot be written; nothing is left
    at `path` then.
    """
    if path.exists():
        raise ArtifactError(
            f"{path}: exists already; folders are written once, so choose another name or delete this one"
            " first"
        )
    with explained(path):
        temporary, holder = reserve(path, is_folder=True)
        try:
            yield temporary
            seal(temporary, about or {})
            try:
                temporary.rename(path)
            except OSError:
                if path.exists():  # another process made it meanwhile
                    raise ArtifactError(f"{path}: another process made it at the same time") from None
                raise
            flush(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            os.close(holder)


def remove_folder(path: Path) -> None:
    """Take a folder away: at once for whoever looks, and what a kill leaves of it is swept later. Another
    process may take it away, or sweep it, at the same time.
    """
    doomed = path.with_name(f".{path.name}.00000000.tmp")
    with suppress(FileNotFoundError):
        path.rename(doomed)
    shutil.rmtree(doomed, onerror=_unless_gone)


def _unless_gone(_: object, __: str, raised: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(raised[1], FileNotFoundError):
        raise raised[1]


def seal(folder: Path, about: Mapping[str, Any], skip: str | None = None) -> None:
    """Flush every file of `folder` to disk and then write its manifest: size and SHA-256 of each file,
    `about`, own checksum.

    A top-level entry named `skip` is left out, and must be gone before the folder is verified.
    """
    entries = {}
    for path in _contents(folder, skip):
        entries[path.relative_to(folder).as_posix()] = {
            "sha256": sha256_file(path),
            "size": path.stat().st_size,
        }
        flush(path)
    for inner, _, _ in os.walk(folder):
        flush(Path(inner))
    document = {"format": 1, "about": plain(about), "files": entries}
    write_bytes(folder / MANIFEST, sealed(document)[:-1])


def sealed(document: Mapping[str, Any]) -> bytes:
    """A small JSON document with its own checksum; `unsealed` reads it."""
    content = plain(document)
    return canonical(content | {"checksum": sha256_bytes(canonical(content))}) + b"\n"


def unsealed(raw: bytes, before: Collection[str] = ()) -> dict[str, Any]:
    """What `sealed` was given. before: the names in documents that were written before they had a checksum.

    Raises ValueError when a byte of it has changed.
    """
    document = json.loads(raw)
    if not isinstance(document, dict):
        raise ValueError("not a document")
    if before and set(document) == set(before):
        return document
    if document.pop("checksum", None) != sha256_bytes(canonical(document)) or sealed(document) != raw:
        raise ValueError("it does not match its own checksum")
    return document


def read_file(folder: Path, name: str) -> bytes:
    """The bytes of one file of a sealed folder, compared with its manifest.

    Raises FileNotFoundError when the manifest lists no such file; ArtifactError when the file or the manifest
    is damaged.
    """
    entry = read_manifest(folder)["files"].get(name)
    if entry is None:
        raise FileNotFoundError(folder / name)
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{folder / name}: cannot be read ({error.strerror}); {REBUILD}") from None
    if sha256_bytes(content) != entry["sha256"]:
        raise ArtifactError(f"{folder / name}: damaged (its SHA-256 is not the manifest's); {REBUILD}")
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a sealed folder: `about` and `files` {relative path: {sha256, size}}.

    Raises ArtifactError when it is missing (the folder was never finished) or any byte of it has changed.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); the folder was not finished: {REBUILD}"
        ) from None
    try:
        return unsealed(raw + b"\n")
    except (ValueError, RecursionError):
        raise ArtifactError(f"{path}: damaged (it does not match its own checksum); {REBUILD}") from None


def contents(manifest: Mapping[str, Any]) -> str:
    """The checksum of what a folder holds and was made from, whenever that was: equal for equal trainings."""
    about = {name: value for name, value in manifest["about"].items() if name != "created"}
    return sha256_bytes(canonical([about, manifest["files"]]))


def verify_folder(folder: Path, full: bool = True, skip: str | None = None) -> dict[str, Any]:
    """Check a sealed folder against its manifest, which is returned; `full=False`: names and sizes only.

    Raises ArtifactError naming the first file that is damaged, missing, or not in the manifest.
    """
    manifest = read_manifest(folder)
    paths = {path.relative_to(folder).as_posix(): path for path in _contents(folder, skip)}
    for name, entry in manifest["files"].items():
        if name not in paths:
            raise ArtifactError(f"{folder / name}: missing, though the manifest lists it; {REBUILD}")
        path = paths.pop(name)
        size = path.stat().st_size
        if size != entry["size"]:
            raise ArtifactError(f"{path}: damaged ({size} bytes instead of {entry['size']}); {REBUILD}")
        if full and sha256_file(path) != entry["sha256"]:
            raise ArtifactError(f"{path}: damaged (its SHA-256 is not the manifest's); {REBUILD}")
    for path in paths.values():
        raise ArtifactError(
            f"{path}: not in the manifest of its folder, which is immutable; remove this file"
        )
    return manifest


def _contents(folder: Path, skip: str | None = None) -> list[Path]:
    """Every file under `folder` but its manifest, sorted; links and other special files are refused."""
    files = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] == skip or relative.as_posix() == MANIFEST:
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtifactError(
                f"{path}: a link or special file; folders of this kind hold plain files only, so remove it"
            )
        if path.is_file():
            files.append(path)
    return files
