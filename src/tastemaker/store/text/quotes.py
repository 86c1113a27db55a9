"""Quotes in CSV: which records there are by the bytes alone, and the same records where quotes are not sound.

A quote that is never closed would swallow the rows up to the next one; here it is a character of its cell.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LONGEST = 16 << 20  # bytes of a record
_CHUNK = 32 << 20
_QUOTE, _NEWLINE, _RETURN = 34, 10, 13


@dataclass(frozen=True)
class Rows:
    """What an ordinary row is: `width` cells between `delimiter`s, the first of one of these shapes."""

    delimiter: bytes
    width: int
    shapes: frozenset[bytes]

    @classmethod
    def of(cls, sample: bytes, delimiter: str, width: int) -> Rows:
        """Learnt from the lines of a sample that have no quotes."""
        mark = delimiter.encode()
        plain = (line for line in sample.splitlines() if line.count(mark) == width - 1 and b'"' not in line)
        return cls(mark, width, frozenset(_shape(line.partition(mark)[0]) for line in plain))

    def swallowed(self, lines: list[bytes]) -> bool:
        """Whether a record of these lines, one cell of which is quoted, looks like one row a line: each line
        has all the cells, and there are many, or each begins as rows of this file begin.
        """
        if b"".join(lines).count(b'"') != 2 or any(
            line.count(self.delimiter) != self.width - 1 for line in lines
        ):
            return False
        firsts = {_shape(line.partition(self.delimiter)[0]) for line in lines[1:]}
        alike = firsts <= self.shapes and all(b"0" in shape for shape in firsts)
        return len(lines) >= (4 if self.width >= 3 else 10) or (alike and self.width >= 2)


def _shape(cell: bytes) -> bytes:
    """A cell with runs of digits as 0 and runs of letters as a: u17 and x3 are both a0."""
    return re.sub(rb"[A-Za-z\x80-\xff]+", b"a", re.sub(rb"[0-9]+", b"0", cell.strip()))


@dataclass(frozen=True)
class Survey:
    """records: how many there are, blank lines aside. sound: every quote begins or ends a cell, or is
    doubled, and no record of several lines looks like several records. longest, longest_at: bytes of the
    longest record, and which.
    """

    records: int
    sound: bool
    longest: int
    longest_at: int


def survey(data: bytes | memoryview, rows: Rows) -> Survey:
    """Count records by bytes alone: line ends outside quotes."""
    cells, n = np.frombuffer(data, np.uint8), len(data)
    edges = {_NEWLINE, _RETURN, ord(rows.delimiter)}
    inside, sound = 0, True
    ends: list[npt.NDArray[np.int64]] = []
    inner: list[npt.NDArray[np.int64]] = []
    for start in range(0, n, _CHUNK):
        part = cells[start : start + _CHUNK]
        line = part == _NEWLINE
        returns = np.flatnonzero(part == _RETURN)
        line[returns[cells[np.minimum(returns + start + 1, n - 1)] != _NEWLINE]] = True
        at = np.flatnonzero(line)
        quotes = np.flatnonzero(part == _QUOTE)
        if len(quotes) or inside:
            opening = (np.arange(len(quotes)) + inside) % 2 == 0
            left = cells[np.maximum(quotes + start - 1, 0)]
            right = cells[np.minimum(quotes + start + 1, n - 1)]
            outer = np.where(opening, left, right)
            free = (quotes + start == 0) & opening | (quotes + start == n - 1) & ~opening
            sound &= bool((np.isin(outer, [*edges, _QUOTE]) | free).all())
            within = (np.searchsorted(quotes, at) + inside) % 2 == 1
            inside = (inside + len(quotes)) % 2
            inner.append(at[within] + start)
            at = at[~within]
        ends.append(at + start)
    closed = np.concatenate([*ends, np.zeros(0, np.int64)]).astype(np.int64)
    if not len(closed) or closed[-1] != n - 1:
        closed = np.append(closed, n)
    starts = np.concatenate([[0], closed[:-1] + 1])
    lengths = closed - starts
    returned = (
        (lengths > 0) & (cells[np.minimum(np.maximum(closed - 1, 0), max(n - 1, 0))] == _RETURN) if n else 0
    )
    filled = lengths - returned > 0
    lengths = lengths[filled]
    breaks = np.concatenate([*inner, np.zeros(0, np.int64)]).astype(np.int64)
    several: list[int] = np.unique(np.searchsorted(closed, breaks)).tolist() if sound else []
    swallowed = any(rows.swallowed(bytes(data[starts[at] : closed[at]]).splitlines()) for at in several)
    longest_at = int(np.argmax(lengths)) if len(lengths) else 0
    longest = int(lengths[longest_at]) if len(lengths) else 0
    return Survey(int(filled.sum()), sound and inside == 0 and not swallowed, longest, longest_at)


def mended(data: bytes, rows: Rows) -> tuple[bytes, list[int]]:
    """The same records with every quote sound, and the rows in which a quote was taken as a character."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    quoted = [number for number, line in enumerate(lines) if b'"' in line]
    result: list[bytes] = []
    healed: list[int] = []
    at = row = 0
    while at < len(lines):
        line = lines[at]
        row += bool(line)
        if b'"' in line:
            cells, at, literal = _cells(lines, at, quoted, rows)
            line = rows.delimiter.join(_quoted(cell, rows.delimiter) for cell in cells) or b'""'
            healed += [row] * literal
        else:
            at += 1
        result.append(line)
    return b"\n".join(result), healed


def _cells(lines: list[bytes], start: int, quoted: list[int], rows: Rows) -> tuple[list[bytes], int, bool]:
    """Cells of the record that begins at line `start`, the line after, whether a quote was a character."""
    cells: list[bytes] = []
    delimiter = rows.delimiter
    text, at, place, literal = lines[start], start, 0, False
    while True:
        opening = _blanks(text, place)
        if text[opening : opening + 1] == b'"':
            closing, longer, end, escaped = _closing(lines, text, opening, at, quoted, delimiter)
            if closing >= 0 and not (end > at and rows.swallowed(lines[start : end + 1])):
                text, at = longer, end
                cell = text[opening + 1 : closing].replace(b'""', b'"')
                cells.append(cell.replace(b'\\"', b'"') if escaped else cell)
                place = _blanks(text, closing + 1)
                if place >= len(text):
                    return cells, at + 1, literal
                place += len(delimiter)
                continue
            literal = True
        end = text.find(delimiter, place)
        if end < 0:
            cells.append(text[place:])
            return cells, at + 1, literal
        cells.append(text[place:end])
        place = end + len(delimiter)


def _closing(
    lines: list[bytes], text: bytes, opening: int, at: int, quoted: list[int], delimiter: bytes
) -> tuple[int, bytes, int, bool]:
    """Where the cell that opens at `opening` closes, the text up to there, its last line, and whether it has
    quotes after a backslash; (-1, text, at, False) for a quote that does not begin a cell.
    """
    longer, end, place, escaped = text, at, opening + 1, False
    while True:
        place = longer.find(b'"', place)
        if place < 0:
            following = bisect_right(quoted, end)
            if following == len(quoted) or sum(map(len, lines[end : quoted[following]])) > LONGEST:
                return -1, text, at, False
            place = len(longer)
            longer = b"\n".join([longer, *lines[end + 1 : quoted[following] + 1]])
            end = quoted[following]
            continue
        after = _blanks(longer, place + 1)
        if longer[place + 1 : place + 2] == b'"':
            last = _blanks(longer, place + 2)  # \"" at the end of a cell: a quote, and the closing one
            escape = longer[place - 1 : place] == b"\\" and longer[last : last + 1] in (b"", delimiter)
            escaped |= escape
            place += 1 if escape else 2
            continue
        if escaped and longer[place - 1 : place] == b"\\":
            place += 1
            continue
        if longer[after : after + 1] in (b"", delimiter):
            return place, longer, end, escaped
        if longer[place - 1 : place] != b"\\":
            return -1, text, at, False
        escaped, place = True, place + 1


def _blanks(text: bytes, place: int) -> int:
    """The first place from `place` on that is no blank."""
    while text[place : place + 1] == b" ":
        place += 1
    return place


def _quoted(cell: bytes, delimiter: bytes) -> bytes:
    if delimiter in cell or b'"' in cell or b"\n" in cell:
        return b'"' + cell.replace(b'"', b'""') + b'"'
    return cell
