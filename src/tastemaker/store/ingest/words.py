"""Lists of words as people write them in one cell: JSON, Python text, or words between | ; or commas."""

from __future__ import annotations

import ast
import html
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from html.entities import html5
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.types as pt

from tastemaker.schema import values

LONGEST_LIST = 200_000  # characters of a cell that is read as a list
_NAMES = ("name", "title", "label", "tag", "genre", "term", "value")  # of a dictionary: what it is called
_FAILED = object()
_NESTED = 4
_TAG = (  # of HTML, as descriptions of shops have them
    r"(?is)<(?:style|script)\b.*?</(?:style|script)>|</?(?:p|br|b|i|u|em|strong|small|ul|ol|li|div|span|h[1-6]|a|img"
    r"|table|tbody|thead|tr|td|th|font|hr|section)(?:\s[^<>]*=[^<>]*)?\s*/?>"
)
_ENTITY = r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"


def as_words(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """Lists of words, and which cells fit no form; decided a cell at a time.

    A cell is a list of Arrow, a JSON or Python list (of words, or of dictionaries with a name), one
    dictionary (its name, else key=value each), or text split at |, else at ;. At commas it is split where no
    cell of the column has | or ; and the pieces look like words of a list: "a, b" does, "Earth, Wind & Fire"
    does not, and of "artist=Earth, Wind" not every piece has a field.
    """
    if _nested(column.type):
        cells = [_words(cell) for cell in column.to_pylist()]
        return _series(cells)
    series = values.series_of(column, name)
    if isinstance(series.dtype, pl.List):
        if series.dtype.inner != pl.String or bool(series.explode().str.contains(_ENTITY).any()):
            series = pl.Series([_words(cell) for cell in series.to_list()], dtype=pl.List(pl.String))
        words = series.list.eval(pl.element().str.strip_chars())
        nothing = pl.element().is_in(["", *values.NULL_WORDS])
        clean = (
            words.list.eval(pl.element().filter(~nothing)).list.drop_nulls().list.unique(maintain_order=True)
        )
        return clean.set(clean.list.len() == 0, None), pl.Series([False] * len(series), dtype=pl.Boolean)
    text = values.as_text(column, name)
    distinct = [cell for cell in text.unique().to_list() if cell is not None]
    plain = [_plain(cell) for cell in distinct if cell[0] not in "[{("]
    listed = [_listed(cell) for cell in plain if "," in cell]
    commas = not any("|" in cell or ";" in cell for cell in plain) and sum(listed) >= 0.8 * len(listed) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes in Python text
        read = {cell: _cell(cell, commas) for cell in distinct}
    cells = [[] if cell is None else read[cell] for cell in text.to_list()]
    return _series(cells)


def _series(cells: list[list[str] | None]) -> tuple[pl.Series, pl.Series]:
    """The words of each cell, null where there are none; and which cells fit no form."""
    words = pa.array([cell or None for cell in cells], pa.large_list(pa.large_string()))
    return pl.Series(words), pl.Series([cell is None for cell in cells], dtype=pl.Boolean)


def unescaped(text: pl.Series) -> pl.Series:
    """Text without marks of HTML (`<br/>`) and its escapes (`&amp;`); the same series without any."""
    marked = text.str.contains(_TAG).fill_null(False)
    if marked.any():
        bare = text.str.replace_all(_TAG, " ").str.replace_all(" {2,}", " ").str.strip_chars()
        text = bare.set(bare == "", None).zip_with(marked, text)
    written = text.str.contains(_ENTITY).fill_null(False)
    if not written.any():
        return text
    plain = [_plain(cell).strip() or None for cell in text.filter(written)]
    return text.clone().scatter(written.arg_true(), pl.Series(plain, dtype=pl.String))


def _plain(text: str) -> str:
    """Text with each escape of HTML, once, as its character; a line break or other control as a blank. An
    ampersand without a semicolon after its name (`Sound&region`) is no escape.
    """

    def character(match: re.Match[str]) -> str:
        name = match[0][1:]
        known = name[0] == "#" or name in html5
        return re.sub(r"[\s\x00-\x1f\x7f]", " ", html.unescape(match[0])) if known else match[0]

    return re.sub(_ENTITY, character, text)


def as_prose(text: pl.Series, joint: str) -> pl.Series:
    """Text where cells that are written lists (`['a', 'b']`) are their words, joined."""
    written = text.str.contains(r"^\[.*\]$").fill_null(False)
    if not written.any():
        return text
    cells = zip(text.to_list(), written.to_list(), strict=True)
    return pl.Series([_prose(cell, joint) if is_list else cell for cell, is_list in cells], dtype=pl.String)


def in_one_language(text: pl.Series) -> pl.Series:
    """Text where cells in several languages ({"en": "Heat", "de": "Hitze"}) are English, or their first."""
    written = text.str.contains(r"^\{\s*['\"][a-z]{2}([-_]\w{2,4})?['\"]\s*:.*\}$").fill_null(False)
    if not written.any():
        return text
    cells = zip(text.to_list(), written.to_list(), strict=True)
    return pl.Series([_in_english(cell) if several else cell for cell, several in cells], dtype=pl.String)


def _in_english(cell: str) -> str | None:
    """What a cell says in English, or first; a cell that cannot be read as it is."""
    texts = literal(cell)
    if not isinstance(texts, dict):
        return cell
    return next((str(text) for text in (texts.get("en"), *texts.values()) if text), None)


def _prose(cell: str, joint: str) -> str | None:
    """The words of a written list, joined, null where it holds none; a cell that is no list as it is."""
    words = _words(literal(cell))
    return cell if words is None else joint.join(words) or None


def _nested(kind: pa.DataType) -> bool:
    """Whether a column holds structures or maps, alone or in lists."""
    while pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pt.is_struct(kind) or pt.is_map(kind))


def _cell(text: str, commas: bool) -> list[str] | None:
    """The words of one cell; None for one that is the begin of a list and no list."""
    if len(text) > LONGEST_LIST:
        return None
    if text[0] in "[{(":
        words = _words(literal(text))
        if words is not None:
            return words
        if text[0] == "[" and text[-1] == "]" and not re.search(r"['\"\[\]{}]", text[1:-1]):
            return _clean(_plain(text[1:-1]).split(","))
        if text[0] == "[" and (text[-1] == "]" or re.match(r"\[\s*['\"{\[]", text)):
            return None
    text = _plain(text)  # before it is split: an escape ends with a semicolon
    for delimiter in "|;":
        if delimiter in text:
            return _clean(text.split(delimiter))
    return _clean(text.split(",") if commas and _listed(text) else [text])


def _listed(text: str) -> bool:
    """Whether the pieces between commas look like words of a list."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    if any("=" in piece for piece in pieces):
        return all("=" in piece for piece in pieces)
    return all(
        len(piece) <= 30 and len(piece.split()) <= 3 and not re.search(r"(^|\s)(&|and)\s", piece)
        for piece in pieces
    )


def literal(text: str | None) -> Any:
    """What JSON or Python text says, or `_FAILED`; nothing is evaluated."""
    if text is None or len(text) > LONGEST_LIST:
        return _FAILED
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:  # numpy writes ['a' 'b'], which Python would read as 'ab'
        return ast.literal_eval(re.sub(r"(?<=['\"])\s+(?=['\"])", ", ", text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _FAILED


def _words(value: Any, depth: int = 0) -> list[str] | None:
    """The words in a value of JSON; None where it holds none that can be named."""
    if value is _FAILED or depth > _NESTED:
        return None
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, str | int | float):
        whole = isinstance(value, float) and value.is_integer()
        return _clean([str(int(value)) if whole else _plain(str(value))])
    if isinstance(value, Mapping):
        return _named(value, depth)
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):  # a map of Arrow
            return _named(dict(value)) if all(isinstance(item[0], str) for item in value) else None
        parts = [_words(item, depth + 1) for item in value]
        return None if None in parts else list(dict.fromkeys(word for part in parts if part for word in part))
    return None


def _named(fields: Mapping[Any, Any], depth: int = 0) -> list[str] | None:
    """A dictionary's name, else each of its plain fields as key=value; ids say nothing. One that holds
    nothing but lists and dictionaries (`{"data": {"attributes": {"name": "News"}}}`) says what these say.
    """
    plain = {
        str(key): value
        for key, value in fields.items()
        if isinstance(value, str | int | float) and not str(key).lower().endswith("id")
    }
    for key in _NAMES:
        if key in plain:
            return _words(plain[key])
    pairs = [f"{key}={word}" for key, value in plain.items() for word in _words(value) or []]
    inner = [_words(value, depth + 1) for value in fields.values() if isinstance(value, list | Mapping)]
    if pairs or None in inner:
        return pairs or None
    return list(dict.fromkeys(word for words in inner for word in words or ()))


def _clean(words: Iterable[str]) -> list[str]:
    stripped = (word.strip() for word in words)
    return list(dict.fromkeys(word for word in stripped if word and word not in values.NULL_WORDS))


def merged(text: pl.Series, description: pl.Series) -> pl.Series:
    """Text and description as one text; once, when they are equal."""
    again = (text == description).fill_null(False)
    parts = pl.DataFrame({"text": text, "description": description.set(again, None)})
    merged = parts.select(pl.concat_str(pl.all(), separator="\n\n", ignore_nulls=True)).to_series()
    return merged.set(merged == "", None)
