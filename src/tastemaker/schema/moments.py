"""The moments of one column as people write them: dates and times, text of them, and numbers, whose unit is
told by `--time-unit`, or guessed from their size and the column's name.

A column of any Arrow type goes in, `Times` come out; nothing is refused here.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl
import pyarrow as pa

import tastemaker.schema.values as values
from tastemaker.errors import InputError

# Formats tried in turn on text, after "2020-01-02 03:04:05Z" has become "2020-01-02T03:04:05+00:00".
_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y-%m-%dT%I:%M:%S %p",
    "%Y-%m-%dT%I:%M %p",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%dT%H:%M%z",
)
_DATES = (
    "%d-%b-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
)  # of people who write the month's name
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_WORDED = (  # of Unix, of mail, of web servers, and of people
    "%a %b %d %H:%M:%S %z %Y",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %Y %H:%M:%S%z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d%b%Y",
    "%d%b%Y:%H:%M:%S",
    "%m %d, %Y",
    *(date + clock for date in _DATES for clock in _CLOCKS),
)
_YEAR_LAST = r"^(\d{1,2})([./-])(\d{1,2})[./-](\d{4})(\D.*)?$"
# Hours from UTC of zones whose letters stand for one alone (CST, IST and BST do not)
_ZONES = {"CEST": 2, "CET": 1, "EEST": 3, "EET": 2, "WEST": 1, "WET": 0, "MSK": 3, "JST": 9, "KST": 9}
_ZONES |= {"EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_ZONES |= {"AEST": 10, "AEDT": 11}
ORDERS = ("day/month/year", "month/day/year")
UNITS = {  # in microseconds
    "seconds": 1e6,
    "milliseconds": 1e3,
    "microseconds": 1.0,
    "nanoseconds": 1e-3,
    "minutes": 6e7,
    "hours": 3.6e9,
}
TIME_UNITS = (*UNITS, "days", "years", *ORDERS)
REMEDY = (
    "write 2025-01-31T12:00:00Z or seconds since 1970 (--time-unit says what numbers count, or whether"
    " 3/4/2023 is day/month/year)"
)
_EITHER = r"^(\d{1,2})([./-])(\d{1,2})[./-](?:\d{4}|\d{2})(?:\D.*)?$"
_DAY_ZERO = 25_569  # 1970-01-01 in days as spreadsheets count them, from 1899-12-30
# Numbers of a column that are all years; days since 1970 of 1997 to 2030; a spreadsheet's days of 2000 to
# 2049.
_RANGES = ((1900, 2100, "years"), (10_000, 22_000, "days"), (36_526, 54_790, "days"))
_COUNTED = re.compile(r"sec|elapsed|since|offset|duration|epoch|unix|relative|uptime|tick")  # from any moment
_DATED = re.compile(r"date|dat$|day|dt$|year|when|released|published|created|at$")
_DISTINCT = 100, 0.95  # whole numbers, and the share of them that differ, from which they look like seconds
_MOMENT = pl.Datetime("us", "UTC")
_EARLY, _LATE = datetime(1995, 1, 1, tzinfo=UTC), timedelta(days=2)
_UNIT: ContextVar[str | None] = ContextVar("time unit", default=None)


def remedy(column: pa.ChunkedArray, name: str) -> str:
    """What to do about times that could not be read: of dates whose day and month nobody can tell apart, the
    option that says which is which, and what the first of them is in either order.
    """
    try:
        series = values.series_of(column, name)
    except InputError:
        return REMEDY
    if series.dtype != pl.String or day_order(_four_digits(series.str.strip_chars())):
        return REMEDY
    dates = series.filter(series.str.strip_chars().str.contains(_EITHER).fill_null(False)).str.strip_chars()
    hits = (re.match(_EITHER, date) for date in dates)
    hit = next((hit for hit in hits if hit and hit[1] != hit[3]), None)
    if hit is None or max(int(hit[1]), int(hit[3])) > 12:
        return REMEDY
    first, second = (
        f"{calendar.month_name[int(month)]} {int(day)}" for day, month in ((hit[1], hit[3]), (hit[3], hit[1]))
    )
    return f"{hit[0]} may be {first} or {second}: add --time-unit {ORDERS[0]} or --time-unit {ORDERS[1]}"


def check_unit(unit: str | None) -> None:
    """Raises InputError where `unit` is none of TIME_UNITS."""
    if unit not in (None, *TIME_UNITS):
        raise InputError(f"--time-unit {unit}: there is no such unit; choose from {', '.join(TIME_UNITS)}")


@contextmanager
def time_unit(unit: str | None) -> Iterator[None]:
    """Inside, what `read` is not told otherwise is read in this unit. Raises InputError on an unknown one."""
    check_unit(unit)
    token = _UNIT.set(unit)
    try:
        yield
    finally:
        _UNIT.reset(token)


@dataclass(frozen=True)
class Times:
    """What a column was read as: moments in UTC, in microseconds; wrong: which cells are none (empty is null
    and not wrong); spelling: how they are written; other: the second best unit,
    where they may be that as well; numbers: of those that are numbers.
    """

    moments: pl.Series
    wrong: pl.Series
    spelling: str
    other: str = ""
    numbers: pl.Series | None = None

    def note(self, name: str) -> str:
        """What to say of the column `name` where its times may be read wrongly, with the runner-up and the
        option that chooses it; "" where they are as times of events should be.
        """
        extent = span(self.moments)
        if extent is None:
            return ""
        first, last = extent
        run = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        if self.numbers is not None and self.other:
            low, high = cast(float, self.numbers.min()), cast(float, self.numbers.max())
            rival = span(_in_unit(self.numbers, self.other).moments)
            assert rival is not None
            return (
                f"'{name}' holds numbers from {low:.10g} to {high:.10g}, which may be days, years or seconds:"
                f" they were read as {self.spelling} ({run}); --time-unit {self.other} reads them as"
                f" {rival[0]:%Y-%m-%d} to {rival[1]:%Y-%m-%d}"
            )
        if (
            self.numbers is not None
            and first.year == 1970
            and last < first.replace(month=1, day=2, hour=0, minute=0, second=0, microsecond=0)
        ):
            return (
                f"'{name}' was read as {self.spelling}: all fall on 1 January 1970, which no event does; only"
                " their order counts, unless --time-unit says what they count"
            )
        if first < _EARLY or last > datetime.now(UTC) + _LATE:
            return (
                f"times run from {run}: check the unit of '{name}', which was read as"
                f" {self.spelling}; --time-unit says otherwise"
            )
        return ""


def span(times: pl.Series) -> tuple[datetime, datetime] | None:
    """The first and the last of the moments that are known."""
    known = times.drop_nulls()
    return (cast(datetime, known.min()), cast(datetime, known.max())) if len(known) else None


def strays(times: pl.Series) -> pl.Series:
    """Which of the moments of events stand for none: the first of 1970, or years from 2100 on, where most
    are of our time.
    """
    none = (times.dt.epoch("s").is_in([0, -1]) | (times.dt.year() >= 2100)).fill_null(False)
    usual = times.is_between(_EARLY, datetime.now(UTC) + _LATE).sum()
    return none & bool(2 * none.sum() < usual)


def as_time(column: pa.ChunkedArray, name: str, unit: str | None = None) -> tuple[pl.Series, pl.Series]:
    """The moments of `read`, and which cells are none."""
    times = read(column, name, unit=unit)
    return times.moments, times.wrong


def read(column: pa.ChunkedArray, name: str, years: bool = False, unit: str | None = None) -> Times:
    """The moments of a column.

    Read are dates and times of Arrow, ISO 8601 text (without a zone: UTC), 31.12.2023 and 12/31/2023 (see
    `day_order`), 13.05.23, 31-Dec-2023 and the like, columns of 20230512, of years (2019.5 is the middle of
    one), of days since 1970 or as a spreadsheet counts them, and numbers since 1970, whose size tells their
    unit: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. With
    `years`, whole numbers from 1000 to 2999 are years. unit: of all numbers, one of TIME_UNITS, instead of
    that; of text, the order of day and month.
    """
    series = values.series_of(column, name)
    unit = unit or _UNIT.get()
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        zone = series.dtype.time_zone if isinstance(series.dtype, pl.Datetime) else None
        known = values.in_calendar(series).cast(pl.Datetime("us", zone), strict=False)
        known = known.dt.convert_time_zone("UTC") if zone else known.dt.replace_time_zone("UTC")
        spelling = "dates" if series.dtype == pl.Date else "timestamps"
        return Times(known, series.is_not_null() & known.is_null(), spelling)
    if series.dtype == pl.String:
        series = series.str.strip_chars()
        series = series.set(series.is_in(["", *values.NULL_WORDS]).fill_null(False), None)
        series = series.str.replace(r"^(-?\d+),(\d+)$", "${1}.${2}")  # a decimal comma
        series = series.str.replace(r"^\\?/Date\((-?\d+)([+-]\d{4})?\)\\?/$", "${1}")  # of .NET
    elif not series.dtype.is_numeric():
        return Times(pl.Series([None] * len(series), dtype=_MOMENT), series.is_not_null(), "no times")
    numbers = series.cast(pl.Float64, strict=False)
    filled, counted = len(series) - series.null_count(), len(numbers) - numbers.null_count()
    if counted and unit is not None and unit not in ORDERS:
        return _in_unit(numbers, unit, series)
    bare = _bare_dates(series, numbers, name) if counted == filled > 0 else None
    if bare is not None:
        return bare
    times = _since_1970(series.cast(pl.Int64 if series.dtype.is_integer() else pl.Float64, strict=False))
    if series.dtype == pl.String and times.null_count() > series.null_count():
        words = times.is_null() & series.is_not_null()
        times = times.scatter(words.arg_true(), _iso(series.filter(words), unit))
    among_dates = counted < 9 * (times.is_not_null() & numbers.is_null()).sum()
    if years or (counted and among_dates):  # 1995 is a year there, not seconds
        is_year = (numbers.is_between(1000, 2999) & (numbers == numbers.floor())).fill_null(False)
        times = _years(numbers.set(~is_year, None)).zip_with(is_year, times)
        # a year that nobody knew is written 0, one before Christ -500: no moments of 1970
        times = times.set((~is_year & (numbers.abs() < 1e8)).fill_null(False), None)
    if counted or series.dtype != pl.String:
        how = _counted(numbers) if counted else "no times"
    else:
        how = day_order(_four_digits(series.str.strip_chars()), unit) or "ISO 8601 text"
    how += ", and ISO 8601 text" if 0 < counted < filled else ""
    return Times(times, series.is_not_null() & times.is_null(), how, numbers=numbers if counted else None)


def _counted(numbers: pl.Series) -> str:
    """What numbers count whose size tells it."""
    size = cast(float, numbers.abs().median())
    units = ((1e11, "seconds"), (1e14, "milliseconds"), (1e17, "microseconds"))
    return next((name for limit, name in units if size < limit), "nanoseconds") + " since 1970"


def _since_1970(numbers: pl.Series) -> pl.Series:
    """Moments of Float64 or Int64 numbers since 1970; whole numbers without the rounding of floats."""
    n, is_integer = pl.col("n"), numbers.dtype.is_integer()
    size = n.cast(pl.Float64).abs()
    micros = (
        pl.when(size < 1e11)
        .then(n * (1_000_000 if is_integer else 1e6))
        .when(size < 1e14)
        .then(n * (1_000 if is_integer else 1e3))
        .when(size < 1e17)
        .then(n)
        .otherwise(n // 1_000 if is_integer else n * 1e-3)
    )
    return _moments(pl.DataFrame({"n": numbers}).select(micros.alias("micros"))["micros"])


def _moments(moments: pl.Series) -> pl.Series:
    """Moments of microseconds since 1970; those millennia away are null."""
    is_integer = moments.dtype.is_integer()
    known = moments.is_between(-(5 * 10**16), 2 * 10**17) if is_integer else _near(moments)
    moments = moments.set(~known.fill_null(True), None)
    if not is_integer:
        moments = moments.round().cast(pl.Int64, strict=False)
    return moments.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _near(micros: pl.Series) -> pl.Series:
    return micros.is_finite() & (micros > -5e16) & (micros < 2e17)


def _bare_dates(series: pl.Series, numbers: pl.Series, name: str) -> Times | None:
    """The moments of a column of numbers that are all dates without marks: 20230512, 20230512143057, years,
    or days since 1970 or as a spreadsheet counts them; None for any other.

    Small numbers may be seconds since anything as well: what the column's name says goes first, then whether
    they would lie ahead of today, or are whole and nearly all differ, as days of events do not.
    """
    if _COUNTED.search(name.lower()):
        return None
    filled = series.drop_nulls().cast(pl.String, strict=False).str.replace(r"\.0+$", "")
    least, most = cast(float, numbers.min()), cast(float, numbers.max())
    for first, last, unit in _RANGES:
        if least >= first and most <= last:
            dated = _DATED.search(name.lower()) is not None
            times = _in_unit(numbers, unit, series)
            ahead = cast(datetime, times.moments.max()) > datetime.now(UTC) + timedelta(days=366)
            if not dated and (ahead or _all_differ(filled)):
                seconds = _since_1970(numbers)
                return Times(seconds, series.is_null() & False, "seconds since 1970", unit, numbers)
            sure = dated or (unit == "years" and not filled.str.contains(".", literal=True).any())
            return times if sure else replace(times, other="seconds")
    for length, pattern in ((8, "%Y%m%d"), (12, "%Y%m%d%H%M"), (14, "%Y%m%d%H%M%S")):
        if bool(filled.str.contains(rf"^(19|20)\d{{{length - 2}}}$").all()):
            digits = series.cast(pl.String, strict=False).str.replace(r"\.0+$", "")
            dates = digits.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False, exact=True)
            complete = dates.null_count() == series.null_count()
            return Times(dates, series.is_null() & False, "dates such as 20230512") if complete else None
    return None


def _all_differ(filled: pl.Series) -> bool:
    """Whether many cells are whole numbers, hardly one of them twice."""
    n, is_integer = len(filled), not filled.str.contains(".", literal=True).any()
    return is_integer and n >= _DISTINCT[0] and filled.n_unique() > _DISTINCT[1] * n


def _years(numbers: pl.Series) -> pl.Series:
    """The moments of years; of 2019.5 the middle of 2019."""
    floor = numbers.floor()
    year = floor.set(~floor.is_between(1, 9998).fill_null(False), None).cast(pl.Int32, strict=False)
    start, end = (
        pl.DataFrame({"y": y}).select(pl.datetime("y", 1, 1, time_zone="UTC")).to_series()
        for y in (year, year + 1)
    )
    part = ((end - start).dt.total_microseconds() * (numbers - floor)).round().cast(pl.Int64, strict=False)
    return (start + part.cast(pl.Duration("us"))).cast(_MOMENT)


def _in_unit(numbers: pl.Series, unit: str, series: pl.Series | None = None) -> Times:
    """The moments of numbers in this unit; series: what they were read from. Days are those since 1970, or,
    where they are larger than those to 2040, as spreadsheets count them.
    """
    if unit == "years":
        moments, spelling = _years(numbers), "years"
    elif unit == "days" and cast(float, numbers.max()) >= _DAY_ZERO:
        moments = _moments((numbers - _DAY_ZERO) * 8.64e10)
        spelling = "days since 1899-12-30, as spreadsheets count"
    else:
        moments = _moments(numbers * (8.64e10 if unit == "days" else UNITS[unit]))
        spelling = f"{unit} since 1970"
    filled = numbers if series is None else series
    return Times(moments, filled.is_not_null() & moments.is_null(), spelling, numbers=numbers)


def day_order(text: pl.Series, order: str | None = None) -> str:
    """How the dates of a column that end in the year are written: "day.month.year", "day/month/year",
    "month/day/year"; or "" where there are none, or no date of it tells which number is the month, though it
    matters. order: one of ORDERS, for where none tells.
    """
    parts = text.str.extract_groups(_YEAR_LAST).struct.unnest().drop_nulls("1")
    if parts.is_empty():
        return ""
    if (parts["2"] == ".").all():
        return "day.month.year"
    first, second = (parts[name].cast(pl.Int32) for name in ("1", "3"))
    if (first <= 12).all() == (second <= 12).all():
        either = bool((first == second).all())  # 9/9/2023 reads the same either way
        return order if order in ORDERS else ORDERS[0] if either else ""
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


def _year_last(text: pl.Series, order: str) -> pl.Series:
    """Dates that end in their year, in one order of day and month, as ISO 8601 writes them."""
    month, day = ("${1}", "${3}") if order.startswith("month") else ("${3}", "${1}")
    iso = text.str.replace(_YEAR_LAST, "${4}-" + month + "-" + day + "${5}")
    return iso.str.replace(r"-(\d)(-|\D|$)", "-0${1}${2}").str.replace(r"-(\d)(\D|$)", "-0${1}${2}")


def _worded(text: pl.Series) -> pl.Series:
    """Dates with the month's name, or as `_WORDED` has them; two digits of a year are of 1970 to 2069."""
    text = text.str.replace_all(r"\s+", " ").str.replace(r" (UTC|GMT|Z)\b", " +0000")
    text = text.str.replace(r"^(\d\d?)\. (\p{L})", "${1} ${2}")  # 14. November 2023
    text = text.str.replace(
        r",? (?:at )?(\d\d?:\d\d(?::\d\d)?) ?([AaPp][Mm])?$", " ${1} ${2}"
    ).str.strip_chars()
    worded = text.str.contains(r"[A-Za-z]{3}|^\d\d? \d\d?, \d{4}$").any()
    dates = _parsed(text, _WORDED if worded else ())
    for years, in_century in (("1900y", dates.dt.year().is_between(70, 99)), ("2000y", dates.dt.year() < 70)):
        dates = dates.dt.offset_by(years).zip_with(in_century.fill_null(False), dates)  # two digits of a year
    return dates


def _parsed(text: pl.Series, patterns: Iterable[str]) -> pl.Series:
    """The moments of texts, each by the first pattern that it fits."""
    dates = pl.Series([None] * len(text), dtype=pl.Datetime("us", "UTC"))
    for pattern in patterns:
        zone = "UTC" if "%z" in pattern else None
        tried = text.str.to_datetime(pattern, time_unit="us", time_zone=zone, strict=False, exact=True)
        dates = dates.zip_with(dates.is_not_null(), tried if zone else tried.dt.replace_time_zone("UTC"))
    return dates


def _plain(text: pl.Series) -> pl.Series:
    """Times as PostgreSQL (+02), Go (+0000 UTC), Java (seconds,123), JavaScript (GMT+0200), DB2 and Oracle
    (10.13.20) write them, with / or 年月日 in the date or without any marks (20230510T112003Z), as ISO 8601.
    """
    return (
        text.str.replace(r" ?\+0000 UTC$", "+00:00")
        .str.replace(r" \([^)]*\)$", "")
        .str.replace(r" ?(?:GMT|UTC) ?([+-])(\d)(:?\d\d)?$", "${1}0${2}${3}")
        .str.replace(r" ?(?:GMT|UTC) ?([+-]\d\d)", "${1}")
        .str.replace(r"(:\d\d(?:\.\d+)?[+-]\d\d)(\d\d)$", "${1}:${2}")
        .str.replace(r"(?i)([ap])\.m\.$", "${1}m")
        .str.replace(r"(\d{4})\s*[年년]\s*(\d\d?)\s*[月월]\s*(\d\d?)\s*[日일]", "${1}-${2}-${3}")
        .str.replace(r"^(\d{4}-\d\d-\d\d)[-_ ]+(\d\d)[.:-](\d\d)[.:-](\d\d)", "${1}T${2}:${3}:${4}")
        .str.replace(r"^(\S+) (\d\d?)\.(\d\d)\.(\d\d)(?:\.\d+)?( |$)", "${1} ${2}:${3}:${4}${5}")
        .str.replace(r"^(\d\d?[./-]\S+) (\d\d?)\.(\d\d)$", "${1} ${2}:${3}")
        .str.replace_many([f" {name}" for name in _ZONES], [f"{hours:+03d}:00" for hours in _ZONES.values()])
        .str.replace(r"(:\d\d(?:\.\d+)?) ?([+-]\d\d)$", "${1}${2}:00")
        .str.replace(r"(:\d\d),(\d{1,9})(\D|$)", "${1}.${2}${3}")
        .str.replace(r"^(\d{4})[/.](\d\d?)[/.](\d\d?)(\D|$)", "${1}-${2}-${3}${4}")
        .str.replace(r"^(\d{4})(\d\d)(\d\d)[T ](\d\d):?(\d\d):?(\d\d)", "${1}-${2}-${3}T${4}:${5}:${6}")
    )


def _iso(cells: pl.Series, order: str | None = None) -> pl.Series:
    text = (
        cells.str.replace(r"^([\d./-]+),? +(\d)", "${1}T${2}")
        .str.replace(r"^(\d{4}-\d\d)$", "${1}-01")
        .str.replace(r"^(\d{4}-\d\d-\d\dT\d\d)$", "${1}:00")
        .str.replace(r"[zZ]$", "+00:00")
        .str.replace(r" (UTC|GMT)$", "+00:00")
        .str.replace(r"\[\w+(/[\w/+-]+)?\]$", "")  # the zone's name, as Java writes it behind its offset
    )
    dates = _parsed(text, _FORMATS)
    dates = dates.set(dates.dt.year() < 1000, None)  # two digits of a year, read as a year
    other = (dates.is_null() & text.is_not_null()).arg_true()
    plain = _plain(cells[other])
    text = _four_digits(text)
    convention = day_order(text[other], order) if len(other) else ""
    if (plain != cells[other]).any():
        dates = dates.scatter(other, _iso(plain, order))
    elif convention:
        dates = dates.scatter(other, _iso(_year_last(text[other], convention)))
    elif len(other):
        dates = dates.scatter(other, _worded(cells[other]))
    return dates.set(~dates.dt.year().is_between(1, 9999).fill_null(True), None)
