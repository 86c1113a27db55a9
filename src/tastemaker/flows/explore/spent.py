"""Rows that were opened to certify on, remembered by their marks: in the ledger, and beside the log for every
other ledger.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.gate.certify import SPENT
from tastemaker.explore.rows import (
    Columns,
    Marks,
    column_marks,
    spent_again,
    spent_marks,
    told_again,
    whole_marks,
)
from tastemaker.explore.table import Log
from tastemaker.store import Address, Database

BESIDE_LOG = ".tastemaker-spent.sqlite"
TABLE = "CREATE TABLE IF NOT EXISTS spent_rows (gate INTEGER PRIMARY KEY, marks BLOB NOT NULL)"
COLUMNS = "CREATE TABLE IF NOT EXISTS spent_columns (gate INTEGER PRIMARY KEY, marks BLOB NOT NULL)"


@dataclass(frozen=True)
class SpentRows:
    """ledger: its database; beside: one in the folder of the log, None where rows come from a workspace or
    that folder takes no files.
    """

    ledger: Path | Address
    beside: Path | None = None

    @classmethod
    def of(cls, ledger: Path | Address, log: Path | None) -> SpentRows:
        """Of a ledger and the log it judges."""
        if log is None:
            return cls(ledger)
        beside = log.resolve().parent / BESIDE_LOG
        try:
            beside.touch()
        except OSError:
            return cls(ledger)
        return cls(ledger, beside)

    def read(self) -> Marks:
        """Marks of every row that was opened."""
        found = [_marks(blob) for blob in self._blobs(TABLE, "spent_rows")]
        return np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *found]))

    def columns(self) -> list[Columns]:
        """Marks of their columns, gate by gate; none of gates of earlier versions."""
        return [_columns(blob) for blob in set(self._blobs(COLUMNS, "spent_columns"))]

    def _blobs(self, table: str, name: str) -> list[bytes]:
        found = list[bytes]()
        for path in self._paths():
            database = Database(path)
            try:
                with database.transaction() as connection:
                    connection.execute(table)
                    rows = connection.execute(f"SELECT marks FROM {name}").fetchall()
                    found += [bytes(row[0]) for row in rows]
            finally:
                database.close()
        return found

    def add(self, log: Log, whole: Log | None) -> None:
        """Remember these rows, of a whole log, as opened. Raises InputError when somebody else opened them
        meanwhile.
        """
        marks, columns = spent_marks(log).astype("<u8").tobytes(), io.BytesIO()
        named: dict[str, Any] = {**column_marks(log), "whole": whole_marks(log if whole is None else whole)}
        np.savez_compressed(columns, **named)
        for path in self._paths():
            database = Database(path)
            try:
                with database.transaction() as connection:
                    connection.execute(TABLE)
                    connection.execute(COLUMNS)
                    rows = connection.execute("SELECT marks FROM spent_rows").fetchall()
                    told = connection.execute("SELECT marks FROM spent_columns").fetchall()
                    opened = np.concatenate([np.empty(0, dtype="<u8"), *(_marks(row[0]) for row in rows)])
                    if spent_again(log, opened) or told_again(log, [_columns(row[0]) for row in told], whole):
                        raise InputError(SPENT.format("these rows were meanwhile"))
                    connection.execute("INSERT INTO spent_rows (marks) VALUES (?)", (marks,))
                    connection.execute("INSERT INTO spent_columns (marks) VALUES (?)", (columns.getvalue(),))
            finally:
                database.close()

    def _paths(self) -> list[Path | Address]:
        return [path for path in (self.ledger, self.beside) if path is not None]


def _marks(blob: bytes) -> Marks:
    return np.frombuffer(blob, dtype="<u8").astype(np.uint64)


def _columns(blob: bytes) -> Columns:
    with np.load(io.BytesIO(blob)) as arrays:
        return dict(arrays)
