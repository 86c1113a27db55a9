"""What goes wrong with the database, in one line with a remedy."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tastemaker.errors import ArtifactError, BusyError, FullError, InputError, TastemakerError
from tastemaker.store.database.integrity import DAMAGED
from tastemaker.store.database.migrations import VERSION


def damaged(path: Path, what: str) -> str:
    """A file that is not what was written."""
    return (
        f"{path}: damaged or not a database ({what}); restore it from a copy, or move it away to start afresh"
    )


def newer(path: Path, version: int) -> str:
    """A file of a version that is not known here."""
    return (
        f"{path}: was written by a newer Tastemaker (version {version}, this program knows up to {VERSION}); "
        "upgrade with `pip install --upgrade tastemaker`"
    )


def explained(error: sqlite3.DatabaseError, path: Path) -> TastemakerError:
    """The error that stands for one of SQLite's."""
    said = str(error)
    if isinstance(error, sqlite3.IntegrityError) and said != DAMAGED:
        return InputError(f"{path}: a row breaks a rule of its table ({said}); nothing was stored")
    if "full" in said:
        return FullError(f"{path}: the disk is full; nothing was changed. Free some space and try again")
    if "locked" in said or "busy" in said:
        return BusyError(f"{path}: another process is writing to it; try again, or stop that process")
    if "unable to open" in said or "readonly" in said:
        return ArtifactError(f"{path}: cannot be opened or written; check the folder and its permissions")
    if "I/O" in said:
        return ArtifactError(
            f"{path}: the disk fails to read or write it ({said}); nothing was changed. Check the disk"
        )
    return ArtifactError(damaged(path, said))
