"""Marks of single rows, the same in any order, split or ledger: what was opened stays opened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.explore.table import Log

Marks = npt.NDArray[np.uint64]
Columns = Mapping[str, npt.NDArray[Any]]  # what `column_marks` gives
WIDEST = 32  # context columns that are remembered, those of the most values
CHANCE, LEAST = 3.0, 0.05  # times what chance explains, and the share of rows, that must be known again
SURE = 1e-9  # chance below which two logs that hold the same, equally often, are one
DISTINCT = 20  # different marks from which two logs that hold the same, equally often, are one
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


def _bits(values: npt.NDArray[Any]) -> list[Marks]:
    """A number for each cell, an array for each column."""
    if values.dtype.kind == "U":
        return [_words(values)]
    table = np.asarray(values, dtype=np.float64).reshape(len(values), -1) + 0.0
    return [np.ascontiguousarray(column).view(np.uint64) for column in table.T]


def row_marks(log: Log) -> Marks:
    """(n,) a mark of all that is known of each row: who, when, what was shown, how likely, what it earned."""
    marks = np.zeros(len(log), dtype=np.uint64)
    ids = _words(np.asarray(log.actions, dtype=str))
    for number, name in enumerate(_MARKED):
        value = getattr(log, name)
        if value is None:
            continue
        parts = [ids[value]] if name == "action" else _bits(value)
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
    if not len(opened):
        return 0
    marks = spent_marks(log)
    marks, together = marks[:-1], marks[-1]
    if together in opened:
        return len(marks)
    known = int(np.isin(marks, opened).sum())
    twins = len(marks) - len(np.unique(marks))
    return known if known > 2 * twins else 0


def column_marks(log: Log) -> Columns:
    """What to remember of opened rows besides, so that they are known with columns left out, added or named
    otherwise: for the propensity, the request, the timestamp and each of the context columns (c, n) marks of
    action, reward and that cell; and the first and last timestamp as `span`.
    """
    base = _mixed(_words(np.asarray(log.actions, dtype=str)))[log.action]
    base = _mixed(base ^ _mixed(_bits(log.reward)[0]))
    columns = dict[str, npt.NDArray[Any]]()
    for number, name in enumerate(("propensity", "request", "timestamp", "context")):
        value = getattr(log, name)
        if value is not None and value.size:
            marks = [_mixed(base ^ _mixed(cell ^ np.uint64(number + 101))) for cell in _bits(value)]
            marks = sorted(marks, key=lambda column: -len(np.unique(column)))[:WIDEST]
            columns[name] = np.stack(marks)
    if log.timestamp is not None and len(log):
        columns["span"] = np.array([log.timestamp.min(), log.timestamp.max()], dtype=np.int64)
    return columns


def whole_marks(log: Log) -> Marks:
    """Digests of a whole log, of which a part is opened: how often it holds each action with each reward, or,
    where chance could repeat that, those with each cell of `column_marks`. A log that has one of them is the
    same log, split otherwise and with whatever columns left out.
    """
    base = _mixed(_words(np.asarray(log.actions, dtype=str)))[log.action]
    digest = _how_often(_mixed(base ^ _mixed(_bits(log.reward)[0])))
    if not digest:
        cells = [cells for name, cells in column_marks(log).items() if name != "span"]
        digest = b"".join(_how_often(column) for columns in cells for column in columns)
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _how_often(marks: Marks) -> bytes:
    """A digest of how often each mark comes; nothing where another draw could well be the same.

    Two draws of a Poisson count c are equal with chance 1 / (2 sqrt(pi c)); the last count is given.
    """
    names, counts = np.unique(marks, return_counts=True)
    if -np.log(2 * np.sqrt(np.pi * np.sort(counts)[:-1])).sum() > np.log(SURE):
        return b""
    content = np.concatenate([names, counts.astype(np.uint64)]).astype("<u8").tobytes()
    return hashlib.blake2b(content, digest_size=8).digest()


def told_again(log: Log, opened: Iterable[Columns], whole: Log | None = None) -> int:
    """How many rows of the log a gate opened before, by any one column (`column_marks` of each gate); 0
    unless they are more than `LEAST` of the rows and `CHANCE` times what rows that merely look alike explain,
    or all of them, mark for mark. whole: the log that `log` is a part of; all where a gate opened a part of
    it before (`whole_marks` of each gate, as `whole`).

    Rows before or after all those that a gate opened are other events. What it cannot see: another action,
    reward or time written for the same event, and rows whose every remaining column takes few values.
    """
    opened = list(opened)
    if not opened:
        return 0
    marks, n = column_marks(log), len(log)
    same = whole_marks(log if whole is None else whole)
    for gate in opened:
        if np.isin(same, gate.get("whole", ())).any():
            return n
        fresh = np.zeros(n, dtype=bool)
        if "span" in gate and log.timestamp is not None:
            fresh = (log.timestamp < gate["span"][0]) | (log.timestamp > gate["span"][1])
        for name in (marks.keys() & gate.keys()) - {"span"}:
            every = np.unique(gate[name])
            for column in marks[name]:
                there = np.isin(column, every) & ~fresh
                if there.sum() <= LEAST * n:
                    continue
                for before in gate[name]:
                    if not fresh.any() and _equal(column, before):
                        return n
                    known = int((np.isin(column, before) & ~fresh).sum())
                    if known > LEAST * n + CHANCE * _alike(column, before):
                        return known
    return 0


def _equal(column: Marks, before: Marks) -> bool:
    """Whether logs hold the same marks equally often, too many different ones for that to be chance."""
    if len(column) != len(before) or len(np.unique(column)) < DISTINCT:
        return False
    return bool(np.array_equal(np.sort(column), np.sort(before)))


def _alike(column: Marks, before: Marks) -> float:
    """Pairs of a row here and a row there that chance makes equal, as often as two rows of one log are."""
    counts = [np.unique(marks, return_counts=True)[1].astype(np.float64) for marks in (column, before)]
    pairs = sum(float((count * (count - 1)).sum()) for count in counts)
    n, m = len(column), len(before)
    return n * m * pairs / max(n * (n - 1) + m * (m - 1), 1)
