"""Files and sealed folders elsewhere: a URL that fsspec knows (s3://, gs://, az://, https://, memory:// ...)
is copied here to be read, and what was written here is copied there whole, once it is finished.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from tastemaker.errors import ArtifactError, InputError, TastemakerError
from tastemaker.store.files import explained as on_disk
from tastemaker.store.files import flush, replacing, reserve, sha256_bytes
from tastemaker.store.folders import MANIFEST, read_manifest, sealed, unsealed, verify_folder

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
HERE, WEB = ("file", "local", "memory"), ("http", "https", "ftp")
STORED = "; look at the bucket, its name and your credentials"
LIST = "folders.json"  # at an address: which sealed folders are there
_NAME = re.compile(r"[a-z0-9_-]+/[0-9a-f]+")
AGAIN = "delete the folder there, and send it again"
_FETCHED = dict[str, str]()  # where a file was copied to, and where from


def is_url(place: str | Path) -> bool:
    """Whether fsspec is to open it; a path of this machine is not."""
    return bool(_URL.match(str(place)))


@contextmanager
def fetched(place: str | Path | None) -> Iterator[Path | None]:
    """The file or folder as one of this machine, for as long as the context lasts; a path stays itself, and
    what comes through a pipe ("-" is standard input) is a file.

    Raises InputError when there is nothing, it cannot be reached, or its kind of store is not installed.
    """
    source = None if place is None or is_url(place) else Path("/dev/stdin" if str(place) == "-" else place)
    source = source and source.expanduser()  # which a shell leaves to us in --items=~/items.csv
    piped = source is not None and (source.is_fifo() or source.is_char_device() or source.is_socket())
    if place is None or (source is not None and not piped):
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / ((not piped and PurePosixPath(str(place)).name) or "table")
        with explained(str(place), "read"), on_disk(local):
            if source is not None:
                with source.open("rb") as stream, local.open("wb") as copy:
                    shutil.copyfileobj(stream, copy)
            else:
                system, path = _opened(str(place))
                system.get(path, str(local), recursive=system.isdir(path))
        _FETCHED[str(local)] = str(place)
        try:
            yield local
        except TastemakerError as error:
            raise type(error)(origin(str(error))) from None
        finally:
            del _FETCHED[str(local)]


def origin(text: str) -> str:
    """The text with the name of each fetched file as its user knows it."""
    for local, place in list(_FETCHED.items()):
        text = text.replace(local, place)
    return text


@contextmanager
def uploaded(place: str | Path) -> Iterator[Path]:
    """A path to write one file to; it is at `place` once the context ends without an error, and not before.

    Raises InputError as `fetched`: at the start, so nothing is computed for a place that cannot be written.
    """
    if not is_url(place):
        with replacing(Path(place)) as local:
            yield local
        return
    with explained(str(place), "written"):
        system, path = _opened(str(place))
        _has_bucket(system, system._parent(path))
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / (PurePosixPath(path).name or "table")
        yield local
        with explained(str(place), "written"):
            system.put_file(str(local), path)


def send_folders(place: str, folders: Mapping[str, Path], about: Mapping[str, Any]) -> int:
    """Copy sealed folders to an address, under their names, and last the list that `about` and their
    checksums stand in: a copy that is stopped leaves what was there before. Folders of the list before that
    are not in this one go. How many had to be copied.

    Raises InputError, in one line, when the address cannot be written; ArtifactError as `read_manifest`.
    """
    with explained(place, "written"):
        system, root = _opened(place)
        _has_bucket(system, root)
        listed = f"{root}/{LIST}"
        before = _listed(place, system.cat_file(listed)) if system.exists(listed) else {}
        marks = {name: sha256_bytes((folder / MANIFEST).read_bytes()) for name, folder in folders.items()}
        count = sum(_send(system, f"{root}/{name}", folder) for name, folder in folders.items())
        listing = sealed({**about, "folders": marks})
        system.pipe_file(listed, listing)
        for name, folder in folders.items():  # who pushed at the same time may have removed some
            _send(system, f"{root}/{name}", folder)
        for name in filter(_NAME.fullmatch, set(before.get("folders", ())) - set(folders)):
            if system.cat_file(listed) == listing:
                system.rm(f"{root}/{name}", recursive=True)
    return count


def sent_folders(place: str) -> dict[str, Any]:
    """What `send_folders` listed at an address. InputError: not readable; ArtifactError: damaged."""
    with explained(place, "read"):
        system, root = _opened(place)
        return _listed(place, system.cat_file(f"{root}/{LIST}"))


def receive_folder(place: str, name: str, mark: str, folder: Path) -> bool:
    """Copy the sealed folder `name` of an address to `folder`, every byte compared with the checksum `mark`
    of the list there; one that is here already is compared. Whether it was not here yet.

    Raises InputError when the address cannot be read, ArtifactError naming the file that is damaged.
    """
    there = f"{place.rstrip('/')}/{name}"
    if folder.exists():
        verify_folder(folder)
        return False
    temporary, holder = reserve(folder, is_folder=True)
    _FETCHED[str(temporary)] = there
    try:
        with explained(there, "read"), on_disk(folder):
            system, root = _opened(there)
            system.get_file(f"{root}/{MANIFEST}", str(temporary / MANIFEST))
            if sha256_bytes((temporary / MANIFEST).read_bytes()) != mark:
                raise ArtifactError(f"{there}/{MANIFEST}: damaged (not the one that was sent); {AGAIN}")
            for file in read_manifest(temporary)["files"]:
                path = temporary / file
                if not path.resolve().is_relative_to(temporary.resolve()):
                    raise ArtifactError(f"{there}/{MANIFEST}: names a file outside its folder; {AGAIN}")
                path.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(f"{root}/{file}", str(path))
        verify_folder(temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():  # else another process received it meanwhile
                raise
        flush(folder.parent)
    except TastemakerError as error:
        raise type(error)(origin(str(error))) from None
    finally:
        del _FETCHED[str(temporary)]
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(holder)
    return True


def _send(system: Any, there: str, folder: Path) -> bool:
    """Copy a sealed folder, manifest last; False where all its files are there in the right lengths."""
    manifest = (folder / MANIFEST).read_bytes()
    here = {f"{there}/{file}": folder / file for file in (*read_manifest(folder)["files"], MANIFEST)}
    sizes = {path: file.stat().st_size for path, file in here.items()}
    complete = all(system.exists(path) and system.size(path) == size for path, size in sizes.items())
    if complete and system.cat_file(f"{there}/{MANIFEST}") == manifest:
        return False
    for path, file in here.items():
        system.put_file(str(file), path)
    return True


def _listed(place: str, raw: bytes) -> dict[str, Any]:
    try:
        return unsealed(raw)
    except ValueError:
        raise ArtifactError(f"{place}/{LIST}: damaged; delete it, and send it again") from None


@contextmanager
def explained(place: str, what: str) -> Iterator[None]:
    """Whatever a store says, as one line."""
    try:
        yield
    except TastemakerError:
        raise
    except ImportError as error:
        needed = re.search(r"[Ii]nstall (\S+)", str(error))
        lacks = needed[1] if needed else getattr(error.__cause__ or error, "name", None) or "fsspec"
        raise InputError(f"{place}: needs another package; run `pip install {lacks}`") from None
    except Exception as error:  # each store has errors of its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        kind = place.partition("://")[0].lower() if is_url(place) else HERE[0]
        if kind in HERE and isinstance(error, FileNotFoundError):
            raise InputError(f"{place}: cannot be {what}; there is no such file or folder") from None
        look = (
            ""
            if kind in HERE or "Protocol not known" in reason
            else "; look at the address"
            if kind in WEB
            else STORED
        )
        raise InputError(f"{place}: cannot be {what} ({reason}){look}") from None


def _opened(place: str) -> tuple[Any, str]:
    import fsspec

    if not place.strip():
        raise InputError("an address is missing; give a folder, or a store such as s3://bucket/shop")
    system, path = fsspec.core.url_to_fs(place, use_listings_cache=False, skip_instance_cache=True)
    system.auto_mkdir = True  # of a disk; elsewhere folders are parts of names
    return system, str(path).rstrip("/")


def _has_bucket(system: Any, path: str) -> None:
    """Raise where the store has no such bucket; a path of a disk or of this process's memory has none."""
    bucket = path.partition("/")[0]
    if bucket and ":" not in bucket and not system.exists(bucket):
        raise FileNotFoundError(f"there is no bucket '{bucket}'")
