"""The catalogue of a log: ids of all actions there are, what is known about them, and which are new."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import tastemaker.schema.columns as read
from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.table import MOST, Log, played_by_log

SPELT = 0.95  # share of actions that differ in more than case, below which they are misspelt
MOST_INDICATORS = 512  # actions without vectors that are told apart by an indicator each
FLAGS = dict.fromkeys(("true", "1", "1.0", "yes"), True) | dict.fromkeys(
    ("false", "0", "0.0", "no", ""), False
)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """ids (A,); vectors (A, k); prefixes (A,) numbers of the actions' Semantic-ID prefixes, or None; new
    (A,): what the logger never plays, or None where only the log says so.
    """

    ids: tuple[str, ...]
    vectors: Floats
    prefixes: Ints | None = None
    new: Bools | None = None

    @classmethod
    def of(cls, table: pa.Table) -> Catalogue:
        """From a table with `action`, and `vector` (or v0, v1 ...), `prefix` and `new` where they are known.

        Raises InputError naming the column, the row and the remedy.
        """
        if "action" not in table.column_names:
            raise InputError(
                "the table of actions needs a column 'action' with the ids (and 'vector' or v0, v1 ...,"
                " 'prefix', 'new')"
            )
        ids = tuple(read.texts(table, "action", "the table of actions").to_pylist())
        if len(set(ids)) != len(ids):
            row = next(row for row, name in enumerate(ids) if name in ids[:row])
            raise InputError(
                f"row {row + 1} of the table of actions: '{ids[row]}' comes twice; keep one row each"
            )
        prefixes = None
        if "prefix" in table.column_names:
            names = np.asarray([str(name) for name in table.column("prefix").to_pylist()])
            prefixes = np.unique(names, return_inverse=True)[1].astype(np.int64)
        return cls(ids, _vectors(table), prefixes, _flags(table, "new"))

    @classmethod
    def logged(cls, table: pa.Table, action: str = "action") -> Catalogue:
        """The actions of a log table alone, without vectors. Raises InputError without its action column."""
        if action not in table.column_names:
            raise InputError(
                f"column '{action}' is missing; name the action column with --column action=NAME"
            )
        names = sorted(set(read.texts(table, action).to_pylist()))
        if len({name.casefold() for name in names}) < SPELT * len(names):  # in some ids case tells apart
            read.one_spelling(names, action)
        return cls.of(pa.table({"action": names}))

    def existing(self, log: Log) -> Bools:
        """(A,) what pi0 may play: what the log shows, with all that is not marked new or stands in a pool.

        Of rows that a mixture logged, only those pi0 may have drawn say what pi0 plays.
        """
        played = played_by_log(log)
        return played if self.new is None else played | ~self.new


def _vectors(table: pa.Table) -> Floats:
    """(A, k) from the column `vector` or columns v0, v1 ...; without either, one indicator an action."""
    if "vector" in table.column_names:
        rows = table.column("vector").to_pylist()
        if len({len(row or ()) for row in rows}) != 1:
            raise InputError("column 'vector' of the actions: every action needs a vector of the same length")
        vectors = np.asarray(rows, dtype=np.float64)
        if not (np.abs(vectors) <= MOST).all():
            row = int(np.argmin((np.abs(vectors) <= MOST).all(axis=1)))
            raise InputError(
                f"row {row + 1}, column 'vector' of the actions: holds a number that is not finite; encode"
                " the item again"
            )
        return vectors
    names = [name for name in table.column_names if name[:1] == "v" and name[1:].isdigit()]
    if names:
        return np.column_stack(
            [read.numbers(table, name, "the table of actions", low=-MOST, high=MOST) for name in names]
        )
    if table.num_rows > MOST_INDICATORS:
        raise InputError(
            f"{table.num_rows} actions without vectors: add a column 'vector' to --actions, so that actions"
            " share evidence"
        )
    return np.eye(table.num_rows)


def _flags(table: pa.Table, name: str) -> Bools | None:
    """An optional column of flags, true/false, 1/0 or yes/no in any case; empty is false."""
    if name not in table.column_names:
        return None
    texts = ["" if value is None else str(value).strip().lower() for value in table.column(name).to_pylist()]
    for row, text in enumerate(texts, start=1):
        if text not in FLAGS:
            raise InputError(
                f"row {row}, column '{name}' of the actions: {text!r} is neither true nor false; write true"
                " or false, 1 or 0"
            )
    return np.array([FLAGS[text] for text in texts])
