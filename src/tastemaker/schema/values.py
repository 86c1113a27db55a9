"""The cells of one column as people write them: text, ids, numbers and moments, and which of them cannot be
read.

A column of any Arrow type goes in, a polars series comes out; nothing is refused here. `schema.columns`
refuses with table, row and column named, ingest with a report.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tastemaker.errors import InputError

Reader = Callable[[pa.ChunkedArray, str], tuple[pl.Series, pl.Series]]
EITHER = "\x1f"  # between the `field=value` that an alternative of a clause `either` demands together
SPAN = "\x1e"  # before each end of a span of numbers that stands there for a value; an open end is empty
# Words that stand for "nothing" in what databases, spreadsheets and pandas write.
_NOTHING = r"""NULL Null null (null) \N None NONE none nan NaN NAN NA N/A n/a #N/A <NA> <null> NaT nil NIL
    undefined Undefined UNDEFINED #NULL! (none) <none> [null] N.A. n.a."""
NULL_WORDS = frozenset(_NOTHING.split())
# Those of them that may be meant as they stand: Namibia, and "none" of several kinds.
WORDS = frozenset(["NA", "none", "None", "NONE"])
# Date formats tried in turn on text, after "2020-01-02 03:04:05Z" has become "2020-01-02T03:04:05+00:00".
_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y/%m/%dT%H:%M:%S",
    "%Y-%m-%dT%I:%M:%S %p",
    "%Y-%m-%dT%I:%M %p",
)
_YEARS = 1900, 2100  # numbers of a column that are all years
_SPREADSHEET = 36_526, 54_790  # days of the years 2000 to 2049 as spreadsheets count them, from 1899-12-30
_DAY_ZERO = 25_569  # 1970-01-01 in such days
UNITS = {"seconds": 1e6, "milliseconds": 1e3, "microseconds": 1.0, "nanoseconds": 1e-3}  # in microseconds
TIME_UNITS = (*UNITS, "days", "years")
_COUNTED = re.compile(r"sec|elapsed|since|offset|duration|epoch|unix|relative|uptime|tick")  # from any moment
_DATED = re.compile(r"date|dat$|day|dt$|year|when|released|published|created|at$")
_OWN = 100, 0.95  # whole numbers, and the share of them that differ, from which they look like seconds
_YEAR_LAST = r"^(\d{1,2})([./-])(\d{1,2})[./-](\d{4})(\D.*)?$"
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z")
_WORDED = (  # of Unix, of mail, and of people who write the month's name
    "%a %b %d %H:%M:%S %z %Y",
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d-%b-%Y",
    "%d%b%Y",
    "%d%b%Y:%H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%m %d, %Y",
)


def as_text(column: pa.ChunkedArray, name: str) -> pl.Series:
    """Text without surrounding blanks; empty and NaN become null, whole numbers lose a trailing ".0".

    Raises
    ------
    InputError
        when the column holds lists, structures or bytes.
    """
    series = series_of(column, name)
    if series.dtype.is_float():
        series = series.set(~series.is_finite().fill_null(True), None)
        whole = series.cast(pl.Int64, strict=False)
        same = (whole.cast(pl.Float64) == series).fill_null(False)
        series = whole.cast(pl.String).zip_with(same, series.cast(pl.String))
    elif isinstance(series.dtype, pl.List):
        series = series.cast(pl.List(pl.String), strict=False).list.drop_nulls().list.join("\n")
    text = _in_calendar(series).cast(pl.String, strict=False).str.strip_chars()
    return text.set(text == "", None)


def whole_again(ids: pl.Series) -> pl.Series:
    """Ids that were floats once: when every one ends in ".0" (pandas writes 12 so when a cell is empty), all
    lose it.
    """
    if ids.is_null().all() or not ids.str.contains(r"^-?\d+\.0+$").fill_null(True).all():
        return ids
    return ids.str.replace(r"\.0+$", "")


def bare_id(text: str) -> str:
    """An id without the ".0" that it has where it was a float once."""
    return re.sub(r"(?<=\d)\.0+$", "", text)


def as_number(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """Float64 numbers, and which values are not: text that is no number, NaN, infinities. Empty is null and
    not bad.
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
    bad = series.is_not_null() & ~numbers.is_finite().fill_null(False)
    return numbers.set(bad, None), bad


def as_score(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """`as_number`, reading also what people write for ratings and shares: "4 stars", "4/5", "4.0 out of 5
    stars", "4,5", "★★★★☆", and "80%" as .8. Where all cells are such parts of different wholes, all are
    shares.
    """
    numbers, bad = as_number(column, name)
    series = series_of(column, name)
    if series.dtype != pl.String or not bad.any():
        return numbers, bad
    text = series.str.strip_chars().str.to_lowercase()
    number = r"([-+]?\d+(?:[.,]\d+)?)"
    unit = r"(?:stars?|points?|pts|/\s*\d+|(?:out\s+)?of\s+\d+(?:\s+stars?)?)?"
    plain, percent = text.str.extract(rf"^{number}\s*{unit}$"), text.str.extract(rf"^{number}\s*%$")
    whole = text.str.extract(r"(?:/|\bof)\s*(\d+)(?:\s+stars?)?$")
    if (whole.drop_nulls().n_unique() + bool(percent.is_not_null().any())) > 1 and bad.all():
        shares = _comma(plain) / _comma(whole)  # 4/5 beside 8/10 and 80%: shares, as nothing else is common
        shares = shares.zip_with(shares.is_not_null(), _comma(percent) / 100)
        return shares, ~shares.is_finite().fill_null(False) & series.is_not_null()
    stars = text.str.count_matches("[★⭐]").cast(pl.Float64)
    glyphs = text.str.contains("^[★⭐☆\ufe0f ]+$").fill_null(False)
    read = _comma(plain).zip_with(plain.is_not_null(), _comma(percent) / 100)
    read = stars.zip_with(glyphs, read)
    healed = bad & read.is_finite().fill_null(False)
    return read.zip_with(healed, numbers), bad & ~healed


def _comma(text: pl.Series) -> pl.Series:
    return text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)


def as_whole(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """Int64 whole numbers from 0 to 2^53, and which values are not. Empty is null and not bad."""
    numbers, bad = as_number(column, name)
    wrong = bad | ((numbers < 0) | (numbers != numbers.floor()) | (numbers > 2.0**53)).fill_null(False)
    return numbers.set(wrong, None).cast(pl.Int64), wrong


def as_time(
    column: pa.ChunkedArray, name: str, years: bool = False, unit: str | None = None
) -> tuple[pl.Series, pl.Series]:
    """Moments in UTC, in microseconds, and which values are none. Empty is null and not bad.

    Read are dates and times of Arrow, ISO 8601 text (without a zone: UTC), 31.12.2023 and 12/31/2023 (see
    `day_order`), 13.05.23, 31-Dec-2023 and the like, columns of 20230512, of years or of a spreadsheet's
    days, and numbers since 1970, whose size tells their unit: below 1e11 seconds, below 1e14 milliseconds,
    below 1e17 microseconds, else nanoseconds. With `years`, whole numbers from 1000 to 2999 are years. unit:
    of all numbers, one of TIME_UNITS ("days" as spreadsheets count them), instead of that.
    """
    series = series_of(column, name)
    moment = pl.Datetime("us", "UTC")
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        zone = series.dtype.time_zone if isinstance(series.dtype, pl.Datetime) else None
        cast = _in_calendar(series).cast(pl.Datetime("us", zone), strict=False)
        cast = cast.dt.convert_time_zone("UTC") if zone else cast.dt.replace_time_zone("UTC")
        return cast, series.is_not_null() & cast.is_null()
    if series.dtype == pl.String:
        series = series.str.strip_chars()
        series = series.set(series == "", None)
    elif series.dtype == pl.Null:
        return series.cast(moment), series.is_not_null()
    elif not series.dtype.is_numeric():
        return pl.Series([None] * len(series), dtype=moment), series.is_not_null()
    dates = bare_dates(series, name) if unit is None else _in_unit(series, unit)
    if dates is not None:
        return dates.moments, series.is_not_null() & dates.moments.is_null()
    kind = pl.Int64 if series.dtype.is_integer() else pl.Float64
    times = _since_1970(series.cast(kind, strict=False))
    if series.dtype == pl.String and times.null_count() > series.null_count():
        written = times.is_null() & series.is_not_null()
        times = times.scatter(written.arg_true(), _iso(series.filter(written)))
    if years:
        numbers = series.cast(pl.Float64, strict=False)
        is_year = (numbers.is_between(1000, 2999) & (numbers == numbers.floor())).fill_null(False)
        starts = pl.DataFrame({"y": numbers.set(~is_year, None).cast(pl.Int32)}).select(
            pl.datetime("y", 1, 1, time_zone="UTC", time_unit="us")
        )
        times = starts.to_series().zip_with(is_year, times)
    return times, series.is_not_null() & times.is_null()


def series_of(column: pa.ChunkedArray, name: str) -> pl.Series:
    """A polars series of one of the types we can make something of; polars aborts on some exotic ones, so
    those stop here.
    """
    kind = column.type
    if pt.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    inner = kind
    while pt.is_list(inner) or pt.is_large_list(inner) or pt.is_fixed_size_list(inner):
        inner = inner.value_type
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


def _in_calendar(series: pl.Series) -> pl.Series:
    """Dates and times outside the years 1 to 9999, on which polars aborts, as null; other columns as they
    are.
    """
    if series.dtype != pl.Date and not isinstance(series.dtype, pl.Datetime):
        return series
    per_day = (
        86_400 * {"ms": 10**3, "us": 10**6, "ns": 10**9}[series.dtype.time_unit]
        if isinstance(series.dtype, pl.Datetime)
        else 1
    )
    first, last = (max(-(2**63), min(2**63 - 1, day * per_day)) for day in (-719_161, 2_932_895))
    return series.set(~series.to_physical().cast(pl.Int64).is_between(first, last).fill_null(True), None)


def _since_1970(numbers: pl.Series) -> pl.Series:
    """Moments of Float64 or Int64 numbers since 1970; whole numbers without the rounding of floats."""
    n, whole = pl.col("n"), numbers.dtype.is_integer()
    size = n.cast(pl.Float64).abs()
    micros = (
        pl.when(size < 1e11)
        .then(n * (1_000_000 if whole else 1e6))
        .when(size < 1e14)
        .then(n * (1_000 if whole else 1e3))
        .when(size < 1e17)
        .then(n)
        .otherwise(n // 1_000 if whole else n * 1e-3)
    )
    return _moments(pl.DataFrame({"n": numbers}).select(micros.alias("micros"))["micros"])


def _moments(moments: pl.Series) -> pl.Series:
    """Moments of microseconds since 1970; those millennia away are null."""
    whole = moments.dtype.is_integer()
    known = moments.is_between(-(5 * 10**16), 2 * 10**17) if whole else _near(moments)
    moments = moments.set(~known.fill_null(True), None)
    if not whole:
        moments = moments.round().cast(pl.Int64, strict=False)
    return moments.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _near(micros: pl.Series) -> pl.Series:
    return micros.is_finite() & (micros > -5e16) & (micros < 2e17)


@dataclass(frozen=True)
class Bare:
    """The moments of a column of numbers, how they are written, and whether they may be something else."""

    moments: pl.Series
    written: str
    doubtful: bool = False


def bare_dates(series: pl.Series, name: str) -> Bare | None:
    """The moments of a column whose numbers are all dates without marks: 20230512, 20230512143057, years, or
    days as a spreadsheet counts them; None for any other.

    Small numbers may be seconds since anything as well: what the column's name says goes first, then whether
    they would lie ahead of today, or are whole and nearly all differ, as days of events do not.
    """
    if series.dtype != pl.String and not series.dtype.is_numeric():
        return None
    numbers = series.cast(pl.Float64, strict=False)
    if numbers.null_count() == len(numbers) or numbers.null_count() > series.null_count():
        return None
    if _COUNTED.search(name.lower()):
        return None
    digits = series.cast(pl.String, strict=False).str.replace(r"\.0+$", "")
    filled, least, most = digits.drop_nulls(), float(numbers.min()), float(numbers.max())  # type: ignore[arg-type]
    named = _DATED.search(name.lower()) is not None
    today = datetime.now(UTC)
    for (first, last), ahead, bare in (
        (_YEARS, today.year + 1, _years),
        (_SPREADSHEET, _DAY_ZERO + today.timestamp() / 86_400 + 1, _days),
    ):
        if least >= first and most <= last and (bare is _days or filled.str.contains(r"^\d{4}$").all()):
            if not named and (most > ahead or _all_differ(filled)):
                return Bare(_since_1970(numbers), "seconds since 1970", True)
            return replace(bare(numbers), doubtful=not named and bare is _days)
    for length, pattern in ((8, "%Y%m%d"), (14, "%Y%m%d%H%M%S")):
        if len(filled) and bool(filled.str.contains(rf"^(19|20)\d{{{length - 2}}}$").all()):
            made = digits.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False, exact=True)
            whole = made.null_count() == series.null_count()
            return Bare(made, "dates such as 20230512") if whole else None
    return None


def _all_differ(filled: pl.Series) -> bool:
    """Whether many cells are whole numbers, hardly one of them twice."""
    n, whole = len(filled), not filled.str.contains(".", literal=True).any()
    return whole and n >= _OWN[0] and filled.n_unique() > _OWN[1] * n


def _years(numbers: pl.Series) -> Bare:
    years = numbers.set(~numbers.is_between(1, 9999).fill_null(False), None).cast(pl.Int32, strict=False)
    return Bare(pl.select(pl.datetime(years, 1, 1, time_zone="UTC")).to_series(), "years")


def _days(numbers: pl.Series) -> Bare:
    return Bare(_since_1970((numbers - _DAY_ZERO) * 86_400), "days since 1899-12-30, as spreadsheets count")


def _in_unit(series: pl.Series, unit: str) -> Bare | None:
    """The moments of a column of numbers in this unit; None where it holds something else."""
    numbers = series.cast(pl.Float64, strict=False)
    if numbers.null_count() == len(numbers):
        return None
    if unit in ("days", "years"):
        return _days(numbers) if unit == "days" else _years(numbers)
    return Bare(_moments(numbers * UNITS[unit]), f"{unit} since 1970")


def day_order(text: pl.Series) -> str:
    """How the dates of a column that end in the year are written: "day.month.year", "day/month/year",
    "month/day/year"; or "" where there are none, or no date of it tells which number is the month.
    """
    parts = text.str.extract_groups(_YEAR_LAST).struct.unnest().drop_nulls("1")
    if parts.is_empty():
        return ""
    if (parts["2"] == ".").all():
        return "day.month.year"
    first, second = (parts[name].cast(pl.Int32) for name in ("1", "3"))
    if (first <= 12).all() == (second <= 12).all():
        return ""
    return "month/day/year" if (first <= 12).all() else "day/month/year"


def _four_digits(text: pl.Series) -> pl.Series:
    """Dates that end in two digits of their year (13.05.23) with all four, from 1970 to 2069; where all begin
    with more than 12, they may begin with the year, and stay as they are.
    """
    short = r"^(\d{1,2})([./-]\d{1,2}[./-])(\d{2})(\D.*)?$"
    first = text.str.extract(short).cast(pl.Int32, strict=False).drop_nulls()
    if first.is_empty() or ((first > 12).all() and not bool(text.str.contains(r"^\d+\.").any())):
        return text
    century = text.str.extract(short, 3).cast(pl.Int32, strict=False) < 70
    late = text.str.replace(short, "${1}${2}20${3}${4}")
    return late.zip_with(century.fill_null(True), text.str.replace(short, "${1}${2}19${3}${4}"))


def _year_last(text: pl.Series) -> pl.Series:
    """Dates that end in their year, in the one order `day_order` names, as ISO 8601 writes them."""
    month, day = ("${1}", "${3}") if day_order(text).startswith("month") else ("${3}", "${1}")
    iso = text.str.replace(_YEAR_LAST, "${4}-" + month + "-" + day + "${5}")
    return iso.str.replace(r"-(\d)(-|\D|$)", "-0${1}${2}").str.replace(r"-(\d)(\D|$)", "-0${1}${2}")


def _worded(text: pl.Series) -> pl.Series:
    """Dates with the month's name, or as `_WORDED` has them."""
    text = text.str.replace_all(r"\s+", " ").str.replace(r" (UTC|GMT|Z)\b", " +0000")
    made = pl.Series([None] * len(text), dtype=pl.Datetime("us", "UTC"))
    for pattern in _WORDED if text.str.contains(r"[A-Za-z]{3}|^\d\d? \d\d?, \d{4}$").any() else ():
        zone = "UTC" if "%z" in pattern else None
        tried = text.str.to_datetime(pattern, time_unit="us", time_zone=zone, strict=False, exact=True)
        made = made.zip_with(made.is_not_null(), tried if zone else tried.dt.replace_time_zone("UTC"))
    return made


def _iso(written: pl.Series) -> pl.Series:
    text = (
        written.str.replace(r"^([\d./-]+),? +(\d)", "${1}T${2}")
        .str.replace(r"^(\d{4}-\d\d)$", "${1}-01")
        .str.replace(r"[zZ]$", "+00:00")
        .str.replace(r" (UTC|GMT)$", "+00:00")
    )
    made = pl.Series([None] * len(text), dtype=pl.Datetime("us", "UTC"))
    for pattern in (*_FORMATS, *_ZONED):
        zone = "UTC" if pattern in _ZONED else None
        tried = text.str.to_datetime(pattern, time_unit="us", time_zone=zone, strict=False, exact=True)
        made = made.zip_with(made.is_not_null(), tried if zone else tried.dt.replace_time_zone("UTC"))
    made = made.set(made.dt.year() < 1000, None)  # two digits of a year, read as a year
    other = (made.is_null() & text.is_not_null()).arg_true()
    text = _four_digits(text)
    if len(other) and day_order(text[other]):
        made = made.scatter(other, _iso(_year_last(text[other])))
    elif len(other):
        made = made.scatter(other, _worded(written[other]))
    return made.set(~made.dt.year().is_between(1, 9999).fill_null(True), None)
