"""Rows that were opened to certify on, remembered by their marks: in the ledger, and beside the log for every
other ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.gate.certify import SPENT
from tastemaker.explore.rows import Marks, spent_again, spent_marks
from tastemaker.explore.table import Log
from tastemaker.store import Address, Database

BESIDE_LOG = ".tastemaker-spent.sqlite"
TABLE = "CREATE TABLE IF NOT EXISTS spent_rows (gate INTEGER PRIMARY KEY, marks BLOB NOT NULL)"


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
        found = [np.empty(0, dtype=np.uint64)]
        for path in self._paths():
            database = Database(path)
            try:
                with database.transaction() as connection:
                    connection.execute(TABLE)
                    rows = connection.execute("SELECT marks FROM spent_rows").fetchall()
            finally:
                database.close()
            found += [_marks(row[0]) for row in rows]
        return np.unique(np.concatenate(found))

    def add(self, log: Log) -> None:
        """Remember these rows as opened. Raises InputError when somebody else opened them meanwhile."""
        marks = spent_marks(log).astype("<u8").tobytes()
        for path in self._paths():
            database = Database(path)
            try:
                with database.transaction() as connection:
                    connection.execute(TABLE)
                    rows = connection.execute("SELECT marks FROM spent_rows").fetchall()
                    opened = np.concatenate([np.empty(0, dtype="<u8"), *(_marks(row[0]) for row in rows)])
                    if spent_again(log, opened):
                        raise InputError(SPENT.format("these rows were meanwhile"))
                    connection.execute("INSERT INTO spent_rows (marks) VALUES (?)", (marks,))
            finally:
                database.close()

    def _paths(self) -> list[Path | Address]:
        return [path for path in (self.ledger, self.beside) if path is not None]


def _marks(blob: bytes) -> Marks:
    return np.frombuffer(blob, dtype="<u8").astype(np.uint64)
