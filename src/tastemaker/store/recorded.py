"""SHA-256 of files that a workspace serves and learns from but did not write as an artifact: the sounds and
pictures of its items, and what the demo keeps beside its tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tastemaker.errors import ArtifactError, ModelError
from tastemaker.store.files import canonical, sha256_bytes, sha256_file, write_bytes
from tastemaker.store.folders import sealed, unsealed
from tastemaker.store.workspace import Workspace

RECORD = "media.json"
BASES = "bases.json"
EXTRA_FILES = ("tune_facts.parquet", "listener_profiles.parquet")
Entry = dict[str, Any]


def record_media(workspace: Workspace, changing: Collection[Path] = ()) -> None:
    """Record every file that the tables in use name and that is there; one whose size and time of change are
    as before keeps what was recorded. changing: files that are about to be written, of which nothing is
    recorded until the next call.
    """
    before, files = _read(workspace.data / RECORD), dict[str, Entry]()
    for relative in _paths(workspace):
        path = workspace.root / relative
        rendered = path.with_name(f"{path.name}.sha256").is_file()  # it has a sum of its own
        if not path.is_file() or rendered or path in changing:
            continue
        about, known = _stat(path), before.get(relative, {})
        same = all(known.get(name) == value for name, value in about.items())
        files[relative] = about | {"sha256": known["sha256"] if same else sha256_file(path)}
    if files or before:
        write_bytes(workspace.data / RECORD, sealed({"files": files}))


def media_mark(workspace: Workspace) -> str:
    """Names the contents of the recorded sounds and pictures; "" where there are none."""
    files = _read(workspace.data / RECORD)
    sums = {name: entry["sha256"] for name, entry in files.items() if not name.startswith("data/")}
    return sha256_bytes(canonical(sums))[:32] if sums else ""


class Recorded:
    """Compares files with what was recorded of them, each once as long as it does not change."""

    def __init__(self, workspace: Workspace) -> None:
        self._root, self._record = workspace.root, workspace.data / RECORD
        self._files, self._of = dict[str, Entry](), 0
        self._verified: dict[str, Entry] = {}

    def check(self, path: Path, label: str) -> Path:
        """`path`, when its bytes are those that were recorded, or nothing was recorded of it.

        Raises ArtifactError beginning with `label`, when they are others.
        """
        relative = path.resolve().relative_to(self._root.resolve()).as_posix()
        stamp = self._record.stat().st_mtime_ns if self._record.exists() else 0
        if stamp != self._of:
            self._files, self._of, self._verified = _read(self._record), stamp, {}
        entry = self._files.get(relative)
        if entry is None:
            return path
        about = _stat(path)
        if self._verified.get(relative) != about:
            if about["size"] != entry["size"] or sha256_file(path) != entry["sha256"]:
                raise ArtifactError(
                    f"{label}: {path} is not what it was at the last `tastemaker ingest`; where that is"
                    " meant, ingest again, else restore the file from a copy"
                )
            self._verified[relative] = about
        return path


def check_base(workspace: Workspace, folder: Path) -> None:
    """Record the files of a base model's folder when this workspace first uses it; compare them ever after.

    Raises ModelError naming the file that is another.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; give the folder of a Hugging Face model")
    record = workspace.root / "models" / BASES
    known, key = _read(record), str(folder.resolve())
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    sums = {path.name: sha256_file(path) for path in files}
    if key not in known:
        write_bytes(record, sealed({"files": known | {key: sums}}))
        return
    for name in sorted(set(sums) | set(known[key])):
        if sums.get(name) != known[key].get(name):
            raise ModelError(
                f"{folder / name}: is not what it was when this workspace first used the model; put it back,"
                f" or delete {record} to go on with the folder as it is"
            )


def _paths(workspace: Workspace) -> Iterator[str]:
    """Paths inside the workspace: of items' files, then of what is kept beside the tables."""
    if workspace.has_tables():
        items = pq.read_table(workspace.tables_folder() / "items.parquet", columns=["audio", "image"])
        paths = {path for column in items.columns for path in column.unique().to_pylist() if path}
        inside = workspace.root.resolve()
        yield from sorted(path for path in paths if (workspace.root / path).resolve().is_relative_to(inside))
    yield from (f"{workspace.data.name}/{name}" for name in EXTRA_FILES)


def _stat(path: Path) -> Entry:
    about = path.stat()
    return {"size": about.st_size, "changed": about.st_mtime_ns}


def _read(record: Path) -> dict[str, Entry]:
    try:
        return dict(unsealed(record.read_bytes())["files"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise ArtifactError(
            f"{record}: damaged; delete it, and `tastemaker {'train' if record.name == BASES else 'ingest'}`"
            " records every file anew"
        ) from None
