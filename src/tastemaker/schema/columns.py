"""Columns of a table as arrays, or one line that names table, row, column and remedy: the one reader of the
tables that people hand to a command.

Every function takes (table, column, name): `name` is what messages call the table, usually its file; "" says
nothing. Text is read as CSV has it: "0.25" is a number, "2024-01-01" a moment, 12.0 the id 12.

    numbers(table, "score", "scored.csv", low=0, high=1)      (n,) float64
    integers(table, "answer", "surveys.csv", nulls=-1)        (n,) int64
    texts(table, "user_id", "surveys.csv")                    pa.Array of string
    codes(table, "arm", "results.csv")                        (n,) int64 and the names
    groups(table, "country", "surveys.csv")                   codes; two spellings of one value are refused
    times(table, "timestamp", "log.csv", nulls=True)          pa.Array of timestamp[us, UTC]
    in_our_time(moments, "timestamp", "log.csv")              refuses 1900 and the day after tomorrow
    places(table, "item_id", known, "log.csv")                (n,) int64 row of each id in `known`

All raise InputError on a column that is missing, an empty cell where none may be, one that cannot be read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

import tastemaker.schema.moments as moments
import tastemaker.schema.values as values
from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError

MOMENT = pa.timestamp("us", tz="UTC")
MOST_APART = timedelta(days=10 * 365.25)  # from the first row of a log to its last
EVERY_ROW = "every row needs a value there"


def has(table: pa.Table, column: str) -> bool:
    """Whether the table has this column, with at least one value in it."""
    return column in table.column_names and table.column(column).null_count < table.num_rows


def present(table: pa.Table | pa.RecordBatch, column: str, name: str = "") -> Any:
    """The column as it is. Raises InputError when the table does not have it."""
    if column not in table.column_names:
        has = ", ".join(table.column_names) or "no columns"
        raise InputError(f"{_of(name)}column '{column}' is missing; the table has {has}")
    return table.column(column)


def complete(
    array: pa.Array | pa.ChunkedArray, column: str, name: str = "", remedy: str = EVERY_ROW, start: int = 0
) -> None:
    """InputError naming the first row where `array`, read from `column`, is empty. start: rows before."""
    if array.null_count:
        row = start + pc.index(array.is_null(), True).as_py()
        raise InputError(f"{_of(name)}row {row + 1}, column '{column}' is empty; {remedy}")


def numbers(
    table: pa.Table,
    column: str,
    name: str = "",
    *,
    nulls: bool = False,
    low: float = -np.inf,
    high: float = np.inf,
    remedy: str = EVERY_ROW,
) -> Floats:
    """(n,) finite float64 within [low, high], true and false as 1 and 0; with `nulls` an empty cell is NaN.

    remedy: what to do about an empty cell.
    """
    cells = present(table, column, name)
    if pt.is_boolean(cells.type):
        cells = cells.cast(pa.int8())
    numbers, wrong = _read(values.as_number, cells, column, name)
    if nulls and pt.is_floating(cells.type):
        wrong &= ~np.isnan(cells.cast(pa.float64()).to_numpy())
    what = ""
    if wrong.any():
        cell = str(cells[int(np.argmax(wrong))])
        word = cell.strip().isalpha() and not pt.is_floating(cells.type)
        what = "; a yes or no is 1 or 0" if word else values.plainly(cell)
    _refuse_first(cells, wrong, column, name, f"is no finite number, or beyond {values.TOO_LARGE:g}{what}")
    if not nulls:
        complete(cells if not numbers.null_count() else numbers.to_arrow(), column, name, remedy)
    result: Floats = numbers.fill_null(float("nan")).to_numpy().astype(np.float64)
    if low > -np.inf or high < np.inf:
        outside = np.nan_to_num(result, nan=max(low, min(high, 0.0)))
        span = f"{low:g} to {high:g}" if high < np.inf else f"{low:g} and above"
        bad = (outside < low) | (outside > high)
        _refuse_first(cells, bad, column, name, f"is not a number from {span}")
    return result


def integers(table: pa.Table, column: str, name: str = "", *, nulls: int | None = None) -> Ints:
    """(n,) int64 whole numbers of any sign; with `nulls` that number for an empty cell."""
    result = numbers(table, column, name, nulls=nulls is not None)
    empty = np.isnan(result)
    filled = np.where(empty, 0.0, result)
    wrong = (filled != np.floor(filled)) | (np.abs(filled) > 2.0**53)
    _refuse_first(present(table, column), wrong, column, name, "is no whole number")
    return np.where(empty, 0 if nulls is None else nulls, filled).astype(np.int64)


def texts(
    table: pa.Table, column: str, name: str = "", *, nulls: bool = False, remedy: str = EVERY_ROW
) -> pa.Array:
    """Text without surrounding blanks and characters that nobody sees; ids that were floats once (12.0) are
    whole numbers again.
    """
    cells = present(table, column, name)
    try:
        text = values.seen(values.whole_again(values.as_text(cells, column)))
    except InputError as error:
        raise InputError(f"{_of(name)}{error}") from None
    array = _combined(text.to_arrow().cast(pa.string()))
    if not nulls:
        complete(array, column, name, remedy)
    return array


def codes(table: pa.Table, column: str, name: str = "") -> tuple[Ints, list[str]]:
    """(n,) distinct ids numbered as they appear, and their texts; words for nobody are refused."""
    array = texts(table, column, name)
    somebody(array, column, name)
    return _numbered(array)


def _numbered(array: pa.Array) -> tuple[Ints, list[str]]:
    encoded = array.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def somebody(ids: pa.Array | pa.ChunkedArray, column: str, name: str = "", start: int = 0) -> None:
    """InputError naming the first id that is a word for "nothing", so nobody's. start: rows before."""
    nobody = pc.is_in(ids, pa.array(sorted(values.NULL_WORDS), ids.type))
    row = pc.index(nobody, True).as_py()
    if row >= 0:
        raise InputError(
            f"{_of(name)}row {start + row + 1}, column '{column}' is '{ids[row]}', a word for nothing: such"
            " rows are not those of one person; fill it, or drop them"
        )


def groups(table: pa.Table, column: str, name: str = "") -> tuple[Ints, list[str]]:
    """`codes` of a column that groups rows (a country, a cohort). InputError: a value in two spellings."""
    array = texts(table, column, name)
    numbered, labels = _numbered(array)
    nothing = next((label for label in labels if label in values.NULL_WORDS - values.WORDS), None)
    if nothing is not None:
        row = pc.index(array, nothing).as_py()
        raise InputError(
            f"{_of(name)}row {row + 1}, column '{column}' is '{nothing}', a word for nothing and no group of"
            " its own; fill it, or leave the column out"
        )
    one_spelling(labels, column, name)
    return numbered, labels


def one_spelling(values: Iterable[str | None], column: str, name: str = "") -> None:
    """Raise InputError naming two values of a column that differ only in case or blanks ('DE' and 'de')."""
    seen: dict[str, str] = {}
    for value in filter(None, values):
        other = seen.setdefault(" ".join(value.split()).casefold(), value)
        if other != value:
            raise InputError(
                f"{_of(name)}column '{column}' holds '{other}' and '{value}', two spellings of one value;"
                " write one of them everywhere"
            )


def times(table: pa.Table, column: str, name: str = "", *, nulls: bool = False) -> pa.Array:
    """Moments in UTC, in microseconds, as `schema.moments.read` finds them. Where numbers or text may be read
    wrongly, a warning is logged, which Python prints on stderr.
    """
    cells = present(table, column, name)
    try:
        result = moments.read(cells, column)
    except InputError as error:
        raise InputError(f"{_of(name)}{error}") from None
    wrong = result.wrong.fill_null(False).to_numpy().astype(bool)
    _refuse_first(cells, wrong, column, name, f"is no moment; {moments.remedy(cells, name)}")
    note = "" if pt.is_temporal(cells.type) else result.note(column)
    if note:
        logging.getLogger("tastemaker").warning("%s%s", _of(name), note)
    array = _combined(result.moments.to_arrow().cast(MOMENT))
    if not nulls:
        complete(array, column, name, "every row needs a time there")
    return array


def in_our_time(times: pa.Array | pa.ChunkedArray, column: str, name: str = "") -> None:
    """Raises InputError naming the row of a moment of `times` that nothing logged can carry: before 1970,
    more than a day ahead, or more than ten years from another one.
    """
    known = pc.drop_null(times)
    if not len(known):
        return
    edges = pc.min_max(known).as_py()
    first, last = edges["min"], edges["max"]
    ahead = last - datetime.now(UTC)
    if first.year < 1970:
        moment, what = first, "lies before 1970"
    elif ahead > timedelta(days=1):
        moment, what = last, f"lies {ahead.days:,} days ahead"
    elif last - first > MOST_APART:
        apart = (last - first).days / 365.25
        moment, what = first, f"lies {apart:,.0f} years before the last, {last:%Y-%m-%d}"
    else:
        return
    row = pc.index(times, pa.scalar(moment, times.type)).as_py()
    raise InputError(
        f"{_of(name)}row {row + 1}, column '{column}' is {moment:%Y-%m-%d %H:%M}, which {what}; mend the"
        " time, or leave the row out"
    )


def places(
    table: pa.Table,
    column: str,
    known: Sequence[str] | npt.NDArray[np.str_],
    name: str = "",
    *,
    of: str = "item table",
) -> Ints:
    """(n,) the row in `known` of each id of the column; `of` is what messages call `known`."""
    ids = texts(table, column, name)
    rows = pc.index_in(ids, value_set=pa.array(list(known), pa.string()))
    if rows.null_count:
        row = pc.index(rows.is_null(), True).as_py()
        suffix = f" (and {rows.null_count - 1:,} further rows)" if rows.null_count > 1 else ""
        raise InputError(
            f"{_of(name)}row {row + 1}, column '{column}': '{ids[row]}' is not in the {of}{suffix}; add the"
            " item or remove the row"
        )
    return np.asarray(rows.to_numpy(zero_copy_only=False), dtype=np.int64)


def _read(reader: values.Reader, cells: pa.ChunkedArray, column: str, name: str) -> tuple[pl.Series, Bools]:
    """What a reader of `schema.values` makes of the column, and which cells it could not read."""
    try:
        result, wrong = reader(cells, column)
    except InputError as error:
        raise InputError(f"{_of(name)}{error}") from None
    return result, wrong.fill_null(False).to_numpy().astype(bool)


def _refuse_first(cells: pa.ChunkedArray, wrong: Bools, column: str, name: str, what: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{_of(name)}row {row + 1}, column '{column}' is '{str(cells[row])[:80]}', which {what}"
        )


def _of(name: str) -> str:
    return f"{name}: " if name else ""


def _combined(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
