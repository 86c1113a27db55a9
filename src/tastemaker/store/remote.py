"""Files elsewhere: a URL that fsspec knows (s3://, gs://, az://, https://, memory:// ...) is copied here to
be read, and what was written here is copied there whole, once it is finished.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from tastemaker.errors import InputError, TastemakerError
from tastemaker.store.files import replacing

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
HERE, WEB = ("file", "local", "memory"), ("http", "https", "ftp")
STORED = "; look at the bucket, its name and your credentials"
_FETCHED = dict[str, str]()  # where a file was copied to, and where from


def is_url(place: str | Path) -> bool:
    """Whether fsspec is to open it; a path of this machine is not."""
    return bool(_URL.match(str(place)))


@contextmanager
def fetched(place: str | Path | None) -> Iterator[Path | None]:
    """The file or folder as one of this machine, for as long as the context lasts; a path stays itself.

    Raises
    ------
    InputError
        when there is nothing, it cannot be reached, or its kind of store is not installed.
    """
    if place is None or not is_url(place):
        yield None if place is None else Path(place)
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / (PurePosixPath(str(place)).name or "table")
        with explained(str(place), "read"):
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

    Raises
    ------
    InputError
        as `fetched`: at the start, so that nothing is computed for a place that cannot be written.
    """
    if not is_url(place):
        with replacing(Path(place)) as local:
            yield local
        return
    with explained(str(place), "written"):
        system, path = _opened(str(place))
        parent = system._parent(path)
        if system.protocol not in ("memory",) and "/" not in parent and not system.exists(parent):
            raise FileNotFoundError(f"there is no bucket '{parent}'")
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / (PurePosixPath(path).name or "table")
        yield local
        with explained(str(place), "written"):
            system.put_file(str(local), path)


@contextmanager
def explained(place: str, what: str) -> Iterator[None]:
    """Whatever a store says, as one line."""
    try:
        yield
    except ImportError as error:
        needed = re.search(r"[Ii]nstall (\S+)", str(error))
        lacks = needed[1] if needed else getattr(error.__cause__ or error, "name", None) or "fsspec"
        raise InputError(f"{place}: needs another package; run `pip install {lacks}`") from None
    except Exception as error:  # each store has errors of its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        kind = place.partition("://")[0].lower()
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

    system, path = fsspec.core.url_to_fs(place, use_listings_cache=False, skip_instance_cache=True)
    return system, str(path)
