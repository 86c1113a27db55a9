"""The bytes of a text file, unpacked where it is packed, within the budgets; and what it holds by its first
bytes. The budgets are what a table may cost before anything is done with it; docs/quickstart.md states them.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from tastemaker.errors import InputError

MOST_BYTES = 4 << 30  # after unpacking
MOST_TIMES = 100  # unpacked bytes for each packed one, beyond `FREE_BYTES`
FREE_BYTES = 64 << 20
PACKED = (".gz", ".bz2", ".xz", ".zip")  # what is read as it is
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
_ZIP = b"PK\x03\x04"
_STREAMS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_TABLES = (".csv", ".tsv", ".txt", ".tab", ".dat", ".json", ".jsonl", ".ndjson", ".inter", ".item")


def read_bytes(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the file, unpacked, and whether it was packed. InputError beyond the budgets."""
    size = path.stat().st_size
    with unpacked(path) as stream:
        if stream is None:
            if path.name.lower().endswith(PACKED):
                raise InputError(
                    f"{path}: cannot be read (not packed as its name says); export the table again"
                )
            if size > MOST_BYTES:
                raise InputError(
                    f"{path}: larger than {MOST_BYTES >> 30} GiB; split the table, or export it as Parquet"
                )
            return path.read_bytes(), {"compressed": False}
        limit = min(MOST_BYTES, max(FREE_BYTES, MOST_TIMES * size))
        parts, total = [], 0
        while part := stream.read(4 << 20):
            total += len(part)
            if total > limit:
                raise InputError(
                    f"{path}: unpacks to more than {limit >> 20:,} MiB, {limit // size} times its size;"
                    " tables do not; give the unpacked file if this one does"
                )
            parts.append(part)
    data = b"".join(parts)
    if data.startswith((*_STREAMS, _ZIP)):
        raise InputError(f"{path}: was packed twice; unpack it once")
    return data, {"compressed": True}


def sniffed(path: Path) -> str:
    """What a file holds by its first bytes: "csv", "json", "parquet", "arrow", or "" for no table."""
    with unpacked(path) as stream:
        if stream is not None:
            head = stream.read(1 << 16)
        else:
            with path.open("rb") as file:
                head = file.read(1 << 16)
    for mark, kind in ((b"PAR1", "parquet"), (b"ARROW1", "arrow")):
        if head.startswith(mark):
            return kind
    control = np.frombuffer(head, np.uint8)
    if marked(head) is None and ((control < 9) | ((control > 13) & (control < 27))).any():
        return ""
    return "json" if head.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:1] in (b"{", b"[") else "csv"


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes] | None]:
    """The stream within a packed file; None for one that is not packed, or not in a way that is read."""
    with path.open("rb") as file:
        head = file.read(6)
    for mark, opened in _STREAMS.items():
        if head.startswith(mark):
            with opened(path) as stream:
                yield stream
            return
    if not head.startswith(_ZIP):
        yield None
        return
    with zipfile.ZipFile(path) as archive:
        name = _table(path, archive.namelist())
        if archive.getinfo(name).flag_bits & 1:
            raise InputError(f"{path}: '{name}' in it asks for a password; unpack it first")
        with archive.open(name) as stream:
            yield stream


def _table(path: Path, names: list[str]) -> str:
    """The one table in a zip of these names."""
    files = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    tables = [name for name in files if Path(name).suffix.lower() in _TABLES] or files[: len(files) == 1]
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise InputError(f"{path}: this format is not read; export the table as CSV")
    if len(tables) != 1:
        held = f"holds {len(tables):,} tables ({', '.join(tables[:5])})" if tables else "holds no table"
        raise InputError(f"{path}: {held}; unpack it and give the one that is meant")
    return tables[0]


def marked(data: bytes) -> str | None:
    """The encoding that the first bytes give away, if they do."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = np.frombuffer(data[:400], np.uint8)
    if len(head) >= 8:
        even, odd = (float((head[place::2] == 0).mean()) for place in (0, 1))
        if max(even, odd) > 0.4 and min(even, odd) < 0.1:
            return "utf-16-le" if odd > even else "utf-16-be"
    return None
