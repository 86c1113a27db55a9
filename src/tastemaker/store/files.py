"""The one atomic writer: after a kill, a power cut or a full disk, a path holds its old or new version.

Everything is built in a temporary sibling (same file system), flushed to disk, and renamed into place. The
writer holds an advisory lock on its sibling, so `sweep` can tell the leftovers of a killed writer from work
in progress.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import inspect
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from tastemaker.errors import ArtifactError, FullError, InputError

Record = TypeVar("Record")
LEFTOVER = re.compile(r"^\..+\.[0-9a-f]{8}\.tmp(\..+)?$")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {
    errno.EACCES,
    errno.EEXIST,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
}


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses, arrays, paths, dates converted; NaN and infinities null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(part) for part in value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def restored(kind: type[Record], fields: Mapping[str, Any], where: object) -> Record:
    """The dataclass of `fields` that were stored at `where`. Raises ArtifactError where a newer version wrote
    one that this one does not have.
    """
    if unknown := sorted(set(fields) - set(inspect.signature(kind).parameters)):
        raise ArtifactError(
            f"{where}: was made by a newer Tastemaker (this one does not know '{unknown[0]}'); upgrade, or"
            " make it again"
        )
    return kind(**fields)


def canonical(value: Any) -> bytes:
    """The one byte string of a JSON value: sorted keys, no spaces; what fingerprints are taken of."""
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data`, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, atomically and durably.

    Raises ArtifactError when the disk is full or the path cannot be written; the old version is intact.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace the file at `path` by `value` as indented JSON (see `plain`), as `write_bytes` does."""
    write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of the same suffix, to write to; it replaces `path` when the block ends well.

    Raises ArtifactError when the disk is full or the path cannot be written; the old version is intact.
    """
    with explained(path):
        temporary, holder = reserve(path, is_folder=False)
        try:
            yield temporary
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(holder)


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line, flushed to disk; a torn last line, left by a killed writer, is cut off first.

    Raises ArtifactError when the disk is full or the path cannot be written; the lines before are intact.
    """
    line = json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            end = _last_newline(path)
            try:
                stream.truncate(end)
                while line:
                    line = line[stream.write(line) or 0 :]
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(end)
                raise


def read_lines(path: Path) -> list[Any]:
    """Every JSON line of a file written by `append_line`; a torn last line, without its newline, is left out.

    Raises ArtifactError naming the file and line of anything else that is not JSON.
    """
    values = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            values.append(json.loads(line))
        except ValueError:
            raise ArtifactError(f"{path}, line {number}: damaged (not JSON); delete that line") from None
    return values


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Replace the safetensors file at `path` by named numeric arrays of any shape.

    Raises InputError for an array of objects or strings, which safetensors cannot hold: those belong in a
    Parquet table.
    """
    packed = {}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"{path}: array '{name}' has type {array.dtype}; only numbers can be stored, put text in a"
                " table"
            )
        little = array.dtype.newbyteorder("<")
        packed[name] = np.array(array, dtype=little, order="C")  # ascontiguousarray loses 0-d shapes
    write_bytes(path, safetensors.numpy.save(packed))


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a safetensors file.

    Raises ArtifactError when the file is missing, damaged, or in another format; pickles are never opened.
    """
    try:
        return dict(safetensors.numpy.load_file(path))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error}); build it again") from None
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: not a whole safetensors file ({error}); build it again") from None


def leftovers(root: Path) -> list[Path]:
    """Temporary files and folders under `root` whose writer is gone; not those still being written."""
    paths = []
    for inner, folders, names in os.walk(root):
        for name in [folder for folder in folders if LEFTOVER.match(folder)]:
            folders.remove(name)
            names.append(name)
        paths += [Path(inner) / name for name in sorted(names) if LEFTOVER.match(name)]
    return [path for path in paths if _abandoned(path, remove=False)]


def sweep(root: Path) -> list[Path]:
    """Remove what `leftovers` lists; called when a workspace is opened. Returns what was removed."""
    return [path for path in leftovers(root) if _abandoned(path, remove=True)]


def reserve(path: Path, is_folder: bool) -> tuple[Path, int]:
    """A new temporary sibling of `path` and a descriptor that holds its lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
        if is_folder:
            temporary.mkdir()
            holder = os.open(temporary, os.O_RDONLY)
        else:
            holder = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        fcntl.flock(holder, fcntl.LOCK_EX)
        if temporary.exists():  # a sweep may have come between creation and lock
            return temporary, holder
        os.close(holder)


def _abandoned(path: Path, remove: bool) -> bool:
    try:
        holder = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif remove:
            path.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        os.close(holder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the advisory lock of a file, made where it is missing; waits for who has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_newline(path: Path) -> int:
    """Length of the file up to and with its last newline."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            stream.seek(start)
            at = stream.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the operating system or a library says about a failed write into one line for the user."""
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        culprit = str(getattr(error, "filename", None) or path)
        if number in _FULL or "No space left on device" in str(error):
            raise FullError(
                f"{path}: the disk is full; the previous version is intact. Free some space (old folders"
                " under runs/ and artifacts/ are the first candidates) and run the command again"
            ) from error
        if number in _DENIED and culprit.startswith(str(path.parent)):
            raise ArtifactError(
                f"{path}: cannot be written ({os.strerror(number)}); check the path and its permissions"
            ) from error
        raise
