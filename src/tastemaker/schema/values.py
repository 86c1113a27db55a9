"""The cells of one column as people write them: text, ids and numbers, and which of them cannot be read;
`schema.moments` reads times.

A column of any Arrow type goes in, a polars series comes out; nothing is refused here. `schema.columns`
refuses with table, row and column named, ingest with a report.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tastemaker.errors import InputError

TOO_LARGE = 1e90  # sums of its third powers would be infinite
_UNSEEN = "[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\u00ad]"
_POINTS, _LEAST = r"^-?[1-9]\d{0,2}(\.\d{3})+$", 5  # 1.299 of Europe, and how many of them tell of it
Reader = Callable[[pa.ChunkedArray, str], tuple[pl.Series, pl.Series]]
EITHER = "\x1f"  # between the `field=value` that an alternative of a clause `either` demands together
SPAN = "\x1e"  # before each end of a span of numbers that stands there for a value; an open end is empty
# Words that stand for "nothing" in what databases, spreadsheets and pandas write.
_NOTHING = r"""NULL Null null (null) \N None NONE none nan NaN NAN NA N/A n/a #N/A <NA> <null> NaT nil NIL
    undefined Undefined UNDEFINED #NULL! (none) <none> [null] N.A. n.a."""
NULL_WORDS = frozenset((*_NOTHING.split(), "(no genres listed)"))
# Those of them that may be meant as they stand: Namibia, and "none" of several kinds.
WORDS = frozenset(["NA", "none", "None", "NONE"])


def as_text(column: pa.ChunkedArray, name: str) -> pl.Series:
    """Text without surrounding blanks; empty and NaN become null, whole numbers lose a trailing ".0".

    Raises InputError when the column holds lists, structures or bytes.
    """
    if pt.is_decimal(column.type):  # exact: 9007199254740993 is no float
        column = pc.replace_substring_regex(column.cast(pa.string()), r"(\.\d*?)0+$", r"\1")
        column = pc.replace_substring_regex(column, r"\.$", "")
    series = series_of(column, name)
    if series.dtype.is_float():
        series = series.set(~series.is_finite().fill_null(True), None)
        integers = series.cast(pl.Int64, strict=False)
        same = (integers.cast(pl.Float64) == series).fill_null(False)
        series = integers.cast(pl.String).zip_with(same, series.cast(pl.String))
    elif isinstance(series.dtype, pl.List):
        series = series.cast(pl.List(pl.String), strict=False).list.drop_nulls().list.join("\n")
    text = in_calendar(series).cast(pl.String, strict=False).str.strip_chars()
    return text.set(text == "", None)


def whole_again(ids: pl.Series) -> pl.Series:
    """Ids that were floats once: when every one is a whole number and some end in ".0" (pandas writes 12 so
    when a cell is empty, and JSON may have both), all lose it.
    """
    floats = ids.str.contains(r"^-?\d+\.0+$")
    if not floats.any() or not (floats | ids.str.contains(r"^-?\d+$")).fill_null(True).all():
        return ids
    return ids.str.replace(r"\.0+$", "")


def seen(ids: pl.Series) -> pl.Series:
    """Ids without characters of no width and marks of direction, and with blanks that break lines."""
    bare = ids.str.replace_all(_UNSEEN, "").str.replace_all("[\u00a0\u202f]", " ").str.strip_chars()
    return bare.set(bare == "", None)


def bare_id(text: str) -> str:
    """An id without the ".0" that it has where it was a float once."""
    return re.sub(r"(?<=\d)\.0+$", "", text)


def as_number(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """Float64 numbers, and which values are not: text that is no number, NaN, infinities, and the largest
    floats there are, which stand for a missing value; and 1.299 among whole numbers below 1,000, whose point
    may stand between thousands. Empty is null and not bad.
    """
    series = series_of(column, name)
    if series.dtype == pl.String:
        series = series.str.strip_chars()
        series = series.set(series == "", None)
    if isinstance(series.dtype, pl.List) or series.dtype.is_temporal():
        return pl.Series([None] * len(series), dtype=pl.Float64), series.is_not_null()
    numbers = series.cast(pl.Float64, strict=False)
    if series.dtype == pl.String and numbers.null_count() > series.null_count():
        lower = series.str.to_lowercase().replace({"true": "1", "false": "0"})
        numbers = lower.cast(pl.Float64, strict=False)
    bad = series.is_not_null() & ~(numbers.abs() < TOO_LARGE).fill_null(False)
    bad |= _pointed(series) if series.dtype == pl.String else False
    return numbers.set(bad, None), bad


def _pointed(text: pl.Series) -> pl.Series:
    """The numbers whose points may stand between thousands: all that have points have three digits behind
    each, and the others are below 1,000, or one has several points.
    """
    pointed = text.str.contains(".", literal=True).fill_null(False)
    parted, plain = text.filter(pointed), text.filter(~pointed).drop_nulls()
    if not parted.str.contains(_POINTS).all() or len(parted) < _LEAST:
        return pointed & False
    small = len(plain) > 0 and bool(plain.str.contains(r"^-?\d{1,3}$").all())
    return pointed & (small or bool((parted.str.count_matches(".", literal=True) > 1).any()))


def plainly(cell: object) -> str:
    """How to write a number that was not read as one; empty for other words."""
    if re.match(_POINTS, str(cell)):
        plain = str(cell).replace(".", "")
        return (
            f", but may be {plain}, as all with a point have three digits behind it; write {plain} or {cell}0"
        )
    odd = any(letter.isdigit() for letter in str(cell)) and not str(cell).replace(".", "").isdigit()
    return "; write numbers plainly, 0.12 for 12 % and 24.98 for 24,98" if odd else ""


def as_score(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """`as_number`, and what people write for ratings and shares: "4 stars", "4/5", "4.0 out of 5 stars",
    "4,5", "★★★★☆", and "80%" as .8. Where all cells are such parts of different wholes, these are shares.
    """
    numbers, bad = as_number(column, name)
    series = series_of(column, name)
    if series.dtype != pl.String or not bad.any():
        return numbers, bad
    text = series.str.strip_chars().str.to_lowercase()
    number = r"([-+]?\d+(?:[.,]\d+)?)"
    unit = r"(?:stars?|points?|pts|/\s*\d+(?:\.\d+)?|(?:out\s+)?of\s+\d+(?:\.\d+)?(?:\s+stars?)?)?"
    plain, percent = text.str.extract(rf"^{number}\s*{unit}$"), text.str.extract(rf"^{number}\s*%$")
    denominators = text.str.extract(r"(?:/|\bof)\s*(\d+(?:\.\d+)?)(?:\s+stars?)?$")
    if text.drop_nulls().is_in(["yes", "no", ""]).all():
        return text.replace_strict({"yes": 1.0, "no": 0.0}, default=None), bad & False
    if (denominators.drop_nulls().n_unique() + bool(percent.is_not_null().any())) > 1 and bad.all():
        shares = _comma(plain) / _comma(denominators)  # 4/5 beside 8/10 and 80% have only shares in common
        shares = shares.zip_with(shares.is_not_null(), _comma(percent) / 100)
        return shares, ~shares.is_finite().fill_null(False) & series.is_not_null()
    stars = text.str.count_matches("[★⭐*]").cast(pl.Float64)
    glyphs = text.str.contains("^[★⭐☆*\ufe0f ]+$").fill_null(False)
    scores = _comma(plain).zip_with(plain.is_not_null(), _comma(percent) / 100)
    scores = stars.zip_with(glyphs, scores)
    healed = bad & scores.is_finite().fill_null(False)
    return scores.zip_with(healed, numbers), bad & ~healed


def _comma(text: pl.Series) -> pl.Series:
    return text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)


def as_whole(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """Int64 whole numbers from 0 to 2^53, and which values are not. Empty is null and not bad."""
    numbers, bad = as_number(column, name)
    wrong = bad | ((numbers < 0) | (numbers != numbers.floor()) | (numbers > 2.0**53)).fill_null(False)
    return numbers.set(wrong, None).cast(pl.Int64), wrong


def series_of(column: pa.ChunkedArray, name: str) -> pl.Series:
    """A polars series of a type we can use; polars aborts on some exotic ones, so those stop here."""
    kind = column.type
    if pt.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if pt.is_null(kind):  # of cells that are all empty
        return pl.Series([None] * len(column), dtype=pl.String)
    if pt.is_fixed_size_list(kind):
        column = column.cast(pa.large_list(kind.value_type))
    inner = kind
    while pt.is_list(inner) or pt.is_large_list(inner) or pt.is_fixed_size_list(inner):
        inner = inner.value_type
    if pt.is_null(inner):  # lists without anything in them
        return pl.Series([None] * len(column), dtype=pl.String)
    if pt.is_decimal(inner) and inner is kind:
        column = column.cast(pa.float64())
    elif (
        pt.is_time(inner)
        or pt.is_duration(inner)
        or not (pt.is_primitive(inner) or pt.is_string(inner) or pt.is_large_string(inner))
    ):
        raise InputError(
            f"column '{name}' holds {kind}, which cannot be read; export it as text, numbers or lists of"
            " words"
        )
    if pt.is_temporal(inner) and inner is not kind:
        raise InputError(
            f"column '{name}' holds {kind}, lists of times; export it as text, numbers or lists of words"
        )
    if pt.is_timestamp(kind) and kind.unit == "s":  # polars has no seconds and would multiply without looking
        far = pa.scalar(10**14)
        seconds = pc.min_element_wise(
            pc.max_element_wise(column.cast(pa.int64()), pa.scalar(-(10**14)), skip_nulls=False),
            far,
            skip_nulls=False,
        )
        column = seconds.cast(kind)
    if pt.is_float16(inner):
        column = column.cast(pa.float32())
    series = pl.from_arrow(pa.table({"one": column}))
    assert isinstance(series, pl.DataFrame)
    flat = series["one"].rechunk()
    while isinstance(flat.dtype, pl.List) and isinstance(flat.dtype.inner, pl.List):
        flat = flat.list.eval(pl.element().explode())
    return flat


def in_calendar(series: pl.Series) -> pl.Series:
    """Dates and times outside years 1 to 9999, where polars aborts, as null; others as is."""
    if series.dtype != pl.Date and not isinstance(series.dtype, pl.Datetime):
        return series
    per_day = (
        86_400 * {"ms": 10**3, "us": 10**6, "ns": 10**9}[series.dtype.time_unit]
        if isinstance(series.dtype, pl.Datetime)
        else 1
    )
    first, last = (max(-(2**63), min(2**63 - 1, day * per_day)) for day in (-719_161, 2_932_895))
    return series.set(~series.to_physical().cast(pl.Int64).is_between(first, last).fill_null(True), None)
