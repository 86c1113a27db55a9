"""JSON as people have it: objects one a line, one array of them, or one object that holds the table."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.store.text.header import MOST_COLUMNS, Text, as_utf8
from tastemaker.store.text.packed import read_bytes
from tastemaker.store.text.quotes import LONGEST

_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.S)  # strings stay
_TRAILING = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])')


def read_json(path: Path, encoding: str | None = None) -> Text:
    """Objects, one a line, or a whole file of them (`_array`); columns in order of appearance.

    Raises InputError when the file is beyond the budgets.
    """
    data, about = read_bytes(path)
    data, notes = as_utf8(data, path, encoding, about)
    data = data.replace(b"\x1e", b"")  # before each object of a JSON text sequence
    about |= {"format": "json lines", "delimiter": None}
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    refused: list[tuple[int, str, str]] = []
    names: dict[str, None] = {}
    array, place = _array(data, path, notes)
    if array is not None:
        about["format"] = "json"
    if place:
        notes.append(f"the file is one JSON object; its rows were taken from {place}")
    for number, item in enumerate(_objects(data) if array is None else array, start=1):
        if isinstance(item, dict):
            records.append(item)
            rows.append(number)
            if not item.keys() <= names.keys():
                names |= dict.fromkeys(item)
                if len(names) > MOST_COLUMNS:
                    raise InputError(
                        f"{path}: more than {MOST_COLUMNS:,} columns by row {number:,}; drop some"
                    )
        else:
            refused.append((number, "(whole row)", item if array is None else "not an object"))
    if not data.strip():
        raise InputError(f"{path}: is empty; export the table again")
    if not records and refused:
        raise InputError(
            f"{path}: row 1 is {refused[0][2]}, nor is any other; give objects one a line, or one array of"
            " them, whole"
        )
    columns = {name: as_column([record.get(name) for record in records]) for name in names}
    table = pa.table(columns) if columns else pa.table({"(none)": pa.nulls(len(records))})
    return Text(table, np.array(rows, dtype=np.int64), refused, about, notes)


def _array(data: bytes, path: Path, notes: list[str]) -> tuple[list[Any] | None, str]:
    """The rows of a file that is one JSON value and where they stand; None for objects one a line."""
    begin = data.lstrip()[:1]
    first, _, rest = data.strip().partition(b"\n")
    if begin not in (b"[", b"{") or (begin == b"{" and rest and isinstance(_object(first), dict)):
        return None, ""
    try:
        value = json.loads(data)
    except RecursionError:
        return None, ""
    except ValueError:
        try:
            value = json.loads(_TRAILING.sub(r"\1", _COMMENT.sub(r"\1", data.decode())))
        except (ValueError, RecursionError):
            return _in_turn(data.decode(errors="replace")), ""
        notes.append("comments, and commas before a closing bracket, were left out: JSON has none")
    if isinstance(value, list):
        return (value if not value or any(isinstance(item, dict) for item in value) else None), ""
    return _within(value, path)


def _in_turn(text: str) -> list[Any] | None:
    """Objects one after another, each on any number of lines; None where not all of the text is that."""
    rows, at, decoder, text = list[Any](), 0, json.JSONDecoder(), text.strip(" \t\r\n,")
    try:
        while at < len(text):
            while text[at] in " \t\r\n,":
                at += 1
            row, at = decoder.raw_decode(text, at)
            rows.append(row)
    except (ValueError, RecursionError):
        return None
    return rows


def _within(value: dict[str, Any], path: Path) -> tuple[list[Any] | None, str]:
    """The rows in an object, and where: the one array of objects in it, beside whatever else; objects by
    name, which becomes `id` where they have none; columns, as arrays of one length or as pandas writes them.
    """
    lists = {name: part for name, part in value.items() if isinstance(part, list) and part}
    arrays = [name for name, part in lists.items() if all(isinstance(item, dict) for item in part)]
    if len(arrays) == 1:
        return lists[arrays[0]], f"'{arrays[0]}'"
    if arrays:
        raise InputError(
            f"{path}: holds several tables ({', '.join(map(repr, arrays))}); give each in a file of its own"
        )
    names, rows = lists.get("columns"), lists.get("data")
    if names and rows and all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return [dict(zip(map(str, names), row, strict=True)) for row in rows], "'data'"
    if value and all(isinstance(part, dict) for part in value.values()):
        if len(value) == 1:
            return _within(next(iter(value.values())), path)
        if all(key.isdigit() for part in value.values() for key in part):
            keys = dict.fromkeys(key for part in value.values() for key in part)
            return [{name: part.get(key) for name, part in value.items()} for key in keys], "its columns"
        return [{"id": name} | part for name, part in value.items()], "its parts, by name"
    if (
        len(lists) == len(value) > 1
        and len({re.sub(r"\d+", "0", name) for name in lists}) == 1
        and ("0" in re.sub(r"\d+", "0", next(iter(lists))))
    ):
        return [{"user_id": name, "items": part} for name, part in lists.items()], "its parts: people's items"
    if len(lists) == len(value) > 1:
        size = {name: len(part) for name, part in lists.items()}
        longest, shortest = max(size, key=size.__getitem__), min(size, key=size.__getitem__)
        if size[longest] != size[shortest]:
            raise InputError(
                f"{path}: column '{shortest}' has {size[shortest]:,} values and '{longest}'"
                f" {size[longest]:,}; each row needs one"
            )
        return [
            dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
        ], "its columns"
    return None, ""


def _objects(data: bytes) -> Iterator[dict[str, Any] | str]:
    """The object of each line, or why it is none."""
    for line in data.split(b"\n"):
        if line.strip():
            yield _object(line)


def _object(line: bytes) -> dict[str, Any] | str:
    if len(line) > LONGEST:
        return f"longer than {LONGEST >> 20} MiB; shorten it"
    try:
        record = _record(line.decode(errors="surrogateescape"))
        if not isinstance(record, dict):
            raise ValueError("not an object")
        if b"\\u" in line:  # a lone surrogate is no text; a byte that is not UTF-8 costs its cell alone
            json.dumps(record, ensure_ascii=False).encode(errors="surrogateescape")
        "".join(record).encode()
    except (ValueError, TypeError, RecursionError) as error:
        return f"not one JSON object in UTF-8 on one line ({' '.join(str(error).split())[:200]})"
    return record


def _record(line: str) -> Any:
    """What a line of JSON says, or one of Python text, as the reviews of Amazon were first given."""
    try:
        return json.loads(line)
    except ValueError:
        if not re.match(r"\s*\{\s*u?'", line):
            raise
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of invalid escapes in Python text
                record = ast.literal_eval(line.strip())
            json.dumps(record)  # sets, bytes and complex numbers are no values of a table
            return record
        except (SyntaxError, TypeError, MemoryError) as error:
            raise ValueError(str(error)) from None


def _bare(value: Any) -> Any:
    """A value without its type's names: {"$date": {"$numberLong": "1"}} (MongoDB), {"S": "u1"} (DynamoDB)."""
    while (
        isinstance(value, dict) and len(value) == 1 and re.fullmatch(r"\$.*|S|N|BOOL|NULL", next(iter(value)))
    ):
        (value,) = value.values()
    return value


def as_column(values: list[Any]) -> pa.Array:
    """One Arrow column; values of mixed types become text, anything nested but a list of words JSON, and what
    MongoDB writes as {"$oid": "..."} the value itself. Where a text is not UTF-8, all are bytes.
    """
    values = [_bare(value) if isinstance(value, dict) else value for value in values]
    try:
        column = pa.array(values, from_pandas=False)
        if not pa.types.is_struct(column.type) and not pa.types.is_nested(
            getattr(column.type, "value_type", pa.null())
        ):
            return column
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        pass
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        raw = [None if text is None else text.encode(errors="surrogateescape") for text in texts]
        return pa.array(raw, pa.large_binary())
