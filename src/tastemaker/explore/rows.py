"""Marks of single rows, the same whatever the order, the split or the ledger: what was opened stays
opened.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from tastemaker.explore.table import Log

Marks = npt.NDArray[np.uint64]
_MARKED = ("context", "action", "reward", "propensity", "position", "user", "request", "timestamp")


def _mixed(values: Marks) -> Marks:
    """splitmix64: every bit of the input moves every bit of the output."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _words(values: npt.NDArray[np.str_]) -> Marks:
    """(n,) a number for each text, whatever the width of the array."""
    width = values.dtype.itemsize // 4
    marks = np.full(len(values), width and 1, dtype=np.uint64)
    letters = np.ascontiguousarray(values).view(np.uint32).reshape(len(values), width)
    for column in letters.T:
        marks = np.where(column > 0, _mixed(marks ^ column.astype(np.uint64)), marks)
    return marks


def row_marks(log: Log) -> Marks:
    """(n,) a mark of all that is known of each row: who, when, what was shown, how likely, what it earned."""
    marks = np.zeros(len(log), dtype=np.uint64)
    ids = _words(np.asarray(log.actions, dtype=str))
    for number, name in enumerate(_MARKED):
        value = getattr(log, name)
        if value is None:
            continue
        if name == "action":
            parts = [ids[value]]
        elif value.dtype.kind == "U":
            parts = [_words(value)]
        else:
            table = np.asarray(value, dtype=np.float64).reshape(len(log), -1) + 0.0
            parts = [np.ascontiguousarray(column).view(np.uint64) for column in table.T]
        for part in parts:
            marks = _mixed(marks ^ _mixed(part ^ np.uint64(number + 1)))
    return marks


def spent_marks(log: Log) -> Marks:
    """What to remember of opened rows: the mark of each, and one of all together, whatever their order."""
    marks = np.sort(row_marks(log))
    digest = hashlib.blake2b(marks.astype("<u8").tobytes(), digest_size=8).digest()
    return np.append(marks, np.frombuffer(digest, dtype="<u8").astype(np.uint64))


def spent_again(log: Log, opened: Marks) -> int:
    """How many rows of the log were opened before, `opened` holding what `spent_marks` gave: all where it is
    the same set of rows; else 0 unless more are known than rows that merely look alike explain, which is how
    often a row of this log has a twin in it.
    """
    marks = spent_marks(log)
    marks, together = marks[:-1], marks[-1]
    if together in opened:
        return len(marks)
    known = int(np.isin(marks, opened).sum())
    twins = len(marks) - len(np.unique(marks))
    return known if known > 2 * twins else 0
