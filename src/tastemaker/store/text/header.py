"""The bytes of a text table and how they begin: encoding, what stands before the header, what parts cells,
which names there are, and whether these are a row of data.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.store.text.packed import marked

# Budgets beside those of `packed`.
MOST_ROWS = 100_000_000
MOST_COLUMNS = 4096
_LONGEST_HEADER = 1 << 20
_CHUNK = 32 << 20
_DELIMITERS = ",\t;|^~"
_DOUBLE = b"\x1f"  # stands for "::", which MovieLens and its like write between cells
_NAME = re.compile(rb"[A-Za-z][\w .:-]{0,40}")
_RULE = re.compile(rb"[ \t|:+,;-]*--[ \t|:+,;-]*(?:\r?\n|$)")  # as Markdown and SQL tools draw below a header
_ALPHABETS = (  # encodings of languages that are written without Latin letters
    *("cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "cp874"),
    *("gb18030", "big5", "cp949"),
)
_JAPANESE = ("cp932", "euc_jp")  # told by their kana, for the guess takes them for Thai or Korean
_LETTERS = {  # beside a to z, of languages that these encodings write
    "cp1252": (
        *("äöüß", "àâçéèêëîïôùûœæ", "áéíñóúüç", "ãõáéíóúâêôçà", "àèéìòù", "åäöæøé", "áéíóúýþæöð", "ëïéèöü"),
        *("àçéèíïóòúü", "äõöüšž"),
    ),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž"),
    "iso8859_2": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž"),
    "cp1254": ("çğıöşüâîi̇",),
}
_INSIDE = re.compile("(?<=[A-Za-z])[^\x00-\x7f’‘“”–—…®™©°]|[^\x00-\x7f’‘“”–—…®™©°](?=[a-z])")
_GUESSED = 1000  # lines that an encoding is guessed from
_TYPE = rb"(?:[cdst]|continuous|discrete|string|time)"
_ROLE = rb"(?:class|meta|ignore|\w+=\w+)?"
_ORANGE = (
    re.compile(  # the two lines below a header in Orange's .tab: types of columns, then what they are for
        _TYPE + rb"(?:\t" + _TYPE + rb")+\r?\n" + _ROLE + rb"(?:\t" + _ROLE + rb")+(?:\r?\n|$)"
    )
)
_PREAMBLE = 30  # lines that may stand before a header
_FEW = 8  # columns of a table that is no matrix


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


def header(data: bytes, path: Path) -> tuple[list[str], str, int]:
    """Column names, delimiter, and where the first record begins."""
    head = data[: _LONGEST_HEADER + 1]
    end = min((place for place in (head.find(b"\n"), head.find(b"\r")) if place >= 0), default=len(head))
    line = head[:end].decode(errors="replace")
    if not line.strip():
        raise InputError(f"{path}: the first line is empty; it must name the columns")
    sample = [row for row in head[end : end + (64 << 10)].decode(errors="replace").splitlines()[1:100] if row]
    delimiter = "\t" if ".tsv" in path.name.lower() and "\t" in line else _delimiter(line, sample)
    if line.count(delimiter) >= MOST_COLUMNS:
        raise InputError(f"{path}: more than {MOST_COLUMNS:,} columns; drop those that are not needed")
    if end >= _LONGEST_HEADER:
        raise InputError(f"{path}: the first line is longer than 1 MiB; it must name the columns")
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise InputError(
            f"{path}: the first line cannot be read ({error}); it must name the columns"
        ) from None
    names[0] = names[0].lstrip("# ") or names[0]
    rows = [re.sub(r'"[^"]*"', "", row).split(delimiter) for row in sample]
    widths = {len(row) for row in rows}
    if widths == {len(names) + 1} and not any(row[-1].strip() for row in rows):
        names.append("")  # a mark behind the last cell
    elif widths == {len(names) + 1} and [row.split(delimiter)[0].strip('"') for row in sample] in (
        [str(n) for n in range(1, len(rows) + 1)],
        [str(n) for n in range(len(rows))],
    ):
        names.insert(0, "")  # R and pandas number the rows and not their header
    elif widths == {len(names) - 1} and not names[-1]:
        names.pop()
    names = [name or f"column_{place}" for place, name in enumerate(names, start=1)]
    end += 2 if data[end : end + 2] == b"\r\n" else end < len(data)
    rule = _RULE.match(data, end) or _ORANGE.match(data, end)
    end = end if rule is None else rule.end()
    return names, delimiter, end


def headless(names: list[str]) -> str:
    """What to say where the names of the columns are numbers and times: the first line is no header."""
    if not any(re.fullmatch(r"[-\d.:/TZ ]+", name) for name in names):
        return ""
    return "; if its first line is data, say which column is which by number, as in --column user_id=1"


def is_data(names: list[str], body: bytes, delimiter: str, legal: Collection[str]) -> bool:
    """Whether a first line is a row like those after it: it bears no name that is known; it has the same cell
    twice, an address or a list, or one with digits (`A17`) of the shape that nearly all the cells below it
    have; and it has numbers where the rows below have numbers, and nowhere else.
    """
    if {re.sub(r"[\W_]", "", name.lower()) for name in names} & set(legal) or is_frame(names):
        return False
    lines = body.decode(errors="replace").splitlines()[:100]
    rows = [row for row in csv.reader(lines, delimiter=delimiter) if len(row) == len(names)]
    if not rows:
        return False
    shapes = [_shape(name) for name in names]
    below = [[_shape(cell) for cell in cells if cell.strip()] for cells in zip(*rows, strict=True)]
    alike = [cells.count(shape) > 0.8 * len(rows) for shape, cells in zip(shapes, below, strict=True)]
    numbers = [len(cells) > 0 and cells.count("0") > 0.8 * len(cells) for cells in below]
    empty = [name == f"column_{place}" for place, name in enumerate(names, start=1)]
    if any(
        (shape == "0") != number for shape, number, no in zip(shapes, numbers, empty, strict=True) if not no
    ):
        return False
    digits = (
        "0" in shape and same and (len(names) < _FEW or shape != "0")
        for shape, same in zip(shapes, alike, strict=True)
    )
    value = any("://" in name or name.startswith(("[", "{")) for name in names)
    return any(digits) or value or len(set(names)) < len(names)


def is_frame(names: list[str]) -> bool:
    """Whether columns are headed 0, 1, 2, ..., as pandas does, perhaps behind a nameless index."""
    count = [str(place) for place in range(len(names))]
    return names == count or names == ["column_1", *count[:-1]]


def _shape(cell: str) -> str:
    """A cell with numbers as 0 and runs of letters as a: u17 and x3 are both a0, 4.5 and 3 both 0."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"[-+]?\d+(\.\d+)?", "0", cell.strip()))


def without_preamble(data: bytes) -> tuple[bytes, int]:
    """The text without what stands before its header, and how many lines that was: the `sep=;` of
    spreadsheets, and comments behind #: lines with another number of cells than the first line without #,
    or that are no names where that line is.
    """
    lines = data[:_LONGEST_HEADER].splitlines(keepends=True)
    count = int(bool(lines) and re.fullmatch(rb'"?sep=.?"?\s*', lines[0], re.I) is not None)
    filled = [at for at in range(count, len(lines)) if lines[at].strip()]
    first = next((at for at in filled if not lines[at].startswith((b"#", b"+-"))), min(filled, default=count))
    if (behind := _after_blank(lines, first)) > first:
        return data[sum(map(len, lines[:behind])) :], behind
    if first >= len(lines):
        return data, 0
    cells = [re.split(rb"[,\t;|]", line.strip()) for line in lines[: first + 1]]
    named = all(map(_NAME.fullmatch, cells[first]))
    while count < first:
        alike = len(cells[count]) == len(cells[first]) > 1
        if alike and (not named or all(_NAME.fullmatch(cell.lstrip(b"# ")) for cell in cells[count])):
            break  # a row of data, or the header itself
        count += 1
    return data[sum(map(len, lines[:count])) :], count


def _after_blank(lines: list[bytes], first: int) -> int:
    """The line of names behind the last blank one of the first lines, where the `first` is one cell alone."""
    if first >= len(lines) or re.search(rb"[,\t;|]", lines[first]):
        return first
    for at in range(min(len(lines), first + _PREAMBLE) - 1, first + 1, -1):
        cells = re.split(rb"[,\t;|]", lines[at].strip())
        if not lines[at - 1].strip() and len(cells) > 1 and all(map(_NAME.fullmatch, cells)):
            return at
    return first


def laid_out(data: bytes, events: bool) -> tuple[bytes, str]:
    """The text as lines under a header, where it is laid out in another way that is known, and what that was;
    else as it is, and "". events: it may be lines of people and items without any header.
    """
    for known, form, note in (
        (events, _sequences, "each line was read as a person and the items of that person, in their order"),
        (events, _below_items, "each line was read as of the item above it ('7:'), as Netflix wrote them"),
        (True, _aligned, "columns are parted by blanks, as many as line them up"),
    ):
        table = form(data) if known else None
        if table is not None:
            return table, note
    return data, ""


def _below_items(data: bytes) -> bytes | None:
    """Lines of people under a line of their item (`7:`), each with its item before it."""
    head = data[:_LONGEST_HEADER].splitlines()[:50]
    first = next((line.split(b",") for line in head if line.strip() and b":" not in line), [])
    if not head or not first or not re.fullmatch(rb"\d+:\s*", head[0]) or len(first) > 3:
        return None
    names = [b"item_id", b"user_id", *(b"date" if b"-" in cell else b"rating" for cell in first[1:])]
    _, *parts = re.split(rb"(?m)^(\d+):[ \t\r]*$", data)
    lines = (
        re.sub(rb"(?m)^(?=\S)", item + b",", below).strip()
        for item, below in zip(parts[::2], parts[1::2], strict=True)
    )
    return b",".join(names) + b"\n" + b"\n".join(filter(None, lines)) + b"\n"


def _aligned(data: bytes) -> bytes | None:
    """Lines whose cells stand below each other, with tabs between them; cells may hold single blanks."""
    head = [line.strip() for line in data[:_LONGEST_HEADER].splitlines()[:200] if line.strip()]
    if len(head) < 2 or b"  " not in b"".join(head[:2]) or re.search(rb"[,;|^~\t\"]", head[0]):
        return None
    for gap in (rb" +", rb" {2,}"):
        if len({len(re.split(gap, line)) for line in head[:-1] or head}) == 1 < len(re.split(gap, head[0])):
            return re.sub(gap, b"\t", re.sub(rb"(?m)^ +| +$", b"", data))
    return None


def single_quoted(data: bytes) -> bool:
    """Whether cells are quoted by ' instead of ", all of the header and some of the next line."""
    lines = data[:_LONGEST_HEADER].splitlines()[:2]
    quoted = [re.findall(rb"(?:^|[,;|\t]) ?'[^']*'(?=$|[,;|\t])", line) for line in lines]
    return len(lines) == 2 and b"".join(quoted[0]) == lines[0] and bool(quoted[1]) and b'"' not in data


def _sequences(data: bytes) -> bytes | None:
    """A text whose lines are a person and then the items of that person, as many as there are, with their
    items as one cell; None for others. Every word holds a digit, as ids do, and persons stand once.
    """
    head = data[:_LONGEST_HEADER].splitlines()[:200]
    for mark in (b" ", b"\t", b","):
        words = [line.strip().split(mark) for line in head[: len(head) - (len(data) > _LONGEST_HEADER)]]
        counts = {len(cells) for cells in words}
        people = {cells[0] for cells in words}
        alike = all(re.fullmatch(rb"[\w-]*\d[\w-]*", word) for cells in words for word in cells)
        if len(counts) > 2 and max(counts) > 2 and len(people) == len(words) and alike:
            lines = (line.strip().partition(mark) for line in data.splitlines() if line.strip())
            rows = (person + b"\t" + rest.replace(mark, b" ") for person, _, rest in lines)
            return b"user_id\titems\n" + b"\n".join(rows) + b"\n"
    return None


def double_colons(data: bytes) -> tuple[bytes, bool]:
    """The text with one character for each `::` where that parts its first lines; and whether it does."""
    lines = data[: _LONGEST_HEADER + 1].splitlines()[:100]
    if not lines or b"::" not in lines[0] or _DOUBLE in data:
        return data, False
    alike = len(lines) > 2 and len({line.count(b"::") for line in lines if line}) == 1
    if not alike and any(mark.encode() in lines[0] for mark in _DELIMITERS):
        return data, False
    return data.replace(b"::", _DOUBLE), True


def _delimiter(header: str, sample: list[str]) -> str:
    """What parts the header, and most of the rows into as many cells."""

    header, *sample = (re.sub(r'"[^"]*"', "", line) for line in (header, *sample))  # no marks in quotes

    def fits(mark: str) -> tuple[bool, int, float]:
        count = header.count(mark)
        same = sum(row.count(mark) == count for row in sample) / max(1, len(sample))
        return count > 0 and (same >= 0.5 or not sample), count, same

    best = max(_DELIMITERS, key=fits) if _DOUBLE.decode() not in header else _DOUBLE.decode()
    return " " if not fits(best)[0] and fits(" ")[0] else best


# ---- encoding


def as_utf8(data: bytes, path: Path, encoding: str | None, about: dict[str, Any]) -> tuple[bytes, list[str]]:
    """The text in UTF-8, decided once for the whole file; and a note where that was a guess."""
    if encoding is None:
        encoding = marked(data)
    if encoding is not None:
        about["encoding"] = encoding.lower()
        try:
            return data.decode(encoding).lstrip("\ufeff").encode(), []
        except LookupError:
            raise InputError(
                f"encoding '{encoding}' is unknown; write utf-8, latin-1, cp1252, utf-16 ..."
            ) from None
        except (UnicodeError, ValueError) as error:
            raise InputError(f"{path}: is not {encoding} ({error}); give another --encoding") from None
    about["encoding"] = "utf-8"
    begun = data.startswith(codecs.BOM_UTF8)
    data = re.sub(rb"^(\xef\xbb\xbf)+", b"", data)
    if data.isascii() or _is_utf8(data):
        return data, []
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    good = sum(_is_utf8(line) for line in lines)
    if begun or good > len(lines) - good:  # a few damaged lines of UTF-8, which are refused one by one
        about["encoding"] = "utf-8, in part"
        return data, []
    for guess in (*_elsewhere(lines), "cp1252", "latin-1"):  # the last takes everything
        try:
            text, about["encoding"] = data.decode(guess), guess
            break
        except UnicodeDecodeError:
            continue
    first = next(number for number, line in enumerate(data.split(b"\n"), 1) if not _is_utf8(line))
    kind = "Western European" if about["encoding"] in ("cp1252", "latin-1") else "guessed from its letters"
    return text.encode(), [
        f"not UTF-8 from line {first:,} on: the whole file was read as {about['encoding']} ({kind}); if"
        " letters look wrong, give --encoding or save it as UTF-8"
    ]


def _elsewhere(lines: list[bytes]) -> list[str]:
    """The likely encoding of `lines` that are not UTF-8, where it is not that of Western Europe: read so,
    words without Latin letters would be letters with accents alone, which words of no language are.
    """
    sample = b"\n".join(lines[:_GUESSED])
    for name in _JAPANESE:
        text = sample.decode(name, "replace")
        if len(re.findall("[\u3041-\u30ff]", text)) > 0.2 * len(re.findall(r"[^\x00-\x7f]", text)):
            return [name]
    words = re.findall(r"[^\W\d_]{2,}", sample.decode("cp1252", "replace"))
    accented = [word for word in words if not word.isascii()]
    alone = sum(re.search("[A-Za-z]", word) is None for word in accented)
    if alone < 4 or alone < 0.3 * len(accented):
        return _of_letters(sample)
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(_ALPHABETS)).best()
    return [] if best is None else [best.encoding]


def _of_letters(sample: bytes) -> list[str]:
    """The encoding in which (nearly) all letters beside a to z are those of one language, where in that of
    Western Europe they are not: Polish, Czech, Hungarian, Turkish ...
    """
    shares = {}
    for name, alphabets in _LETTERS.items():
        counts = Counter(_INSIDE.findall(sample.decode(name, "replace").lower()))
        if name != "cp1252" and len(counts) < 3:  # m³ alone is no Polish
            continue
        held = max(sum(n for letter, n in counts.items() if letter in letters) for letters in alphabets)
        shares[name] = held / max(4, counts.total())
    best = max(shares, key=lambda name: shares[name])
    return [best] if shares[best] > max(0.9, shares["cp1252"] + 0.05) else []


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK], final=start + _CHUNK >= len(data))
    except UnicodeDecodeError:
        return False
    return True
