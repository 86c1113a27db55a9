"""The bytes of a text table, and what was found in it: what CSV and JSON have in common."""

from __future__ import annotations

import codecs
import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.store.text.header import marked

# Budgets: what a table may cost before anything is done with it. docs/quickstart.md states them.
MOST_BYTES = 4 << 30  # after unpacking
MOST_TIMES = 100  # unpacked bytes for each packed one, beyond `FREE_BYTES`
FREE_BYTES = 64 << 20
MOST_ROWS = 100_000_000


@dataclass
class Text:
    """What a text file was found to hold: its columns, the number of each row in the file (from 1), the rows
    that could not be read as (row, column, reason), how it is written, and what else the user should know.
    """

    table: pa.Table
    rows: npt.NDArray[np.int64]
    refused: list[tuple[int, str, str]]
    about: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_bytes(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the file, unpacked where it is a gzip, within the budgets."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if not packed:
        if path.name.lower().endswith(".gz"):
            raise InputError(f"{path}: cannot be read (not a gzip file); export the table again")
        if size > MOST_BYTES:
            raise InputError(
                f"{path}: larger than {MOST_BYTES >> 30} GiB; split the table, or export it as Parquet"
            )
        return path.read_bytes(), {"compressed": False}
    limit = min(MOST_BYTES, max(FREE_BYTES, MOST_TIMES * size))
    parts, total = [], 0
    with gzip.open(path) as stream:
        while part := stream.read(4 << 20):
            total += len(part)
            if total > limit:
                raise InputError(
                    f"{path}: unpacks to more than {limit >> 20:,} MiB, {limit // size} times its size;"
                    " tables do not; give the unpacked file if this one does"
                )
            parts.append(part)
    data = b"".join(parts)
    if data.startswith(b"\x1f\x8b"):
        raise InputError(f"{path}: was packed twice; unpack it once")
    return data, {"compressed": True}


def sniffed(path: Path) -> str:
    """What a file without a telling name holds by its first bytes: "csv", "json", "parquet", "arrow", or ""
    where it is no table that is read.
    """
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(path) as stream:
            head = stream.read(1 << 16)
    for mark, kind in ((b"PAR1", "parquet"), (b"ARROW1", "arrow")):
        if head.startswith(mark):
            return kind
    control = np.frombuffer(head, np.uint8)
    if marked(head) is None and ((control < 9) | ((control > 13) & (control < 27))).any():
        return ""
    return "json" if head.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:1] in (b"{", b"[") else "csv"
