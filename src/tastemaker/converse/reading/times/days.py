"""Days in a message: "before March", "on 12 December 2026", "next weekend", "the last 30 days"."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tastemaker.converse.catalogue import TITLE, Day, Field
from tastemaker.converse.constraints import Change, Clause
from tastemaker.converse.reading.passage import Text
from tastemaker.converse.reading.times.years import SMALL, against, counted
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.words import english

Span = tuple[date, date]
_WORDS: dict[str, str] = english()["days"]
MONTHS, WEEKDAYS = _WORDS["months"].split(), _WORDS["weekdays"].split()
_ABROAD = {  # months of other languages -> their number
    name: number for names in _WORDS["abroad"].split("; ") for number, name in enumerate(names.split(), 1)
}
_FEASTS: dict[str, tuple[int, int]] = {  # -> month and day
    name: (int(month), int(day))
    for name, _, when in (each.partition("=") for each in _WORDS["feasts"].split("; "))
    for month, _, day in (when.partition("-"),)
}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # -> its first month
_SHORT = "|".join([*_ABROAD, *(rf"{month[:3]}(?:{month[3:]}|t)?\.?" for month in MONTHS)])
_NAME = rf"({_SHORT})(?![a-z'])"
_BARE = (  # "may" is no month of itself
    r"(?:(?<=\b(?:in|of|on|by) )|(?<=(?:since|after|until|early) )|(?<=before )|(?!may\b|mar\b)"
    r"|(?=(?-i:May|Mar)\b))" + _NAME
)
_DAY = r"(?<![\d.])(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,? (?:of )?(\d{4})(?!\d))?"
_LINK = r" ?(?:and|to|till|until|through|-) ?(?:the )?"
_ISO = r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)"
_DOTTED = r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})?(?!\d)"
_FEAST = rf"\b({'|'.join(sorted(_FEASTS, key=len, reverse=True))})(?![a-z])"
_WEEKDAY = rf"\b(?:(this|next|last|coming) )?({'|'.join(WEEKDAYS)})(?![a-z])"
_SEASON = rf"\b(?:(this|next|last) |(?<=in )(?:the )?|(?<=during )(?:the )?)({'|'.join(_SEASONS)})(?!\w)"
_PERIOD = r"\b(this|next|last|past|coming|the) (week|month|weekend)(?!s|-|\w)"
_RELATIVE = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}
_ANY = re.compile(
    rf"\b(?:{_SHORT}|{'|'.join(WEEKDAYS)}|{'|'.join(_FEASTS)}|{'|'.join(_RELATIVE)}|days?|weeks?|weekend|months?"
    rf"|{'|'.join(_SEASONS)})(?![a-z])|{_ISO}|{_DOTTED}",
    re.IGNORECASE,
)
_THE = r"(?: the)?(?: month of| end of| start of| beginning of)? $"
_LEADS = tuple(
    (re.compile(rf"\b(?:{words}){_THE}", re.IGNORECASE), how)
    for words, how in (
        (r"seit|ab|depuis|desde|since|starting(?: from| on| in)?|not before|no earlier than|as of", "since"),
        (r"vor(?: dem)?|avant(?: le)?|antes de|before|prior to|earlier than|older than|ahead of", "before"),
        (r"bis(?: zum)?|jusqu'en|hasta|until|till|up to|by|not after|no later than", "until"),
        (
            r"nach(?: dem)?|après(?: le)?|después de|after|later than|newer than|more recent than|past",
            "after",
        ),
        (
            r"im|am|en|au|(?:(?:published|posted|dated) )?(?:in|on|during|for|of|from|around|over|at)|dated",
            "in",
        ),
    )
)
_ONWARD = re.compile(
    r" (?:on(?! (?=the\b|an?\b|[A-Z]))|onwards?|(?:or|and) (?:later|after|newer))(?!\w)", re.IGNORECASE
)
_BACKWARD = re.compile(r" or (?:earlier|before|older)(?!\w)", re.IGNORECASE)


@dataclass(frozen=True)
class _Spot:
    """Days that are said at a place; year: whether theirs was said."""

    start: int
    end: int
    span: Span
    year: bool = False


class _Calendar:
    """Days as they are meant of a field whose values go from `low` to `high`."""

    def __init__(self, known: Field) -> None:
        self.low, self.high = (date.fromordinal(int(end)) for end in (known.low, known.high))
        self.today = datetime.now(UTC).date()
        self.ahead = self.high > self.today  # things are to come

    def nearest(self, of_year: Callable[[int], Span]) -> Span:
        """A span that comes every year: the next one that is to come, else the last that items are of."""
        spans = [of_year(year) for year in range(self.low.year - 1, self.high.year + 2)]
        inside = [span for span in spans if span[0] <= self.high and span[1] >= self.low]
        coming = [span for span in inside if span[1] >= self.today]
        return coming[0] if coming and self.ahead else (inside or spans)[-1]

    def month(self, number: int, year: str | None, day: str | None = None) -> Span | None:
        """A month, or a day of it."""

        def of_year(each: int) -> Span:
            last = monthrange(each, number)[1]
            first = min(int(day or 1), last)
            return date(each, number, first), date(each, number, first if day else last)

        if day and not 1 <= int(day) <= 31:
            return None
        return of_year(int(year)) if year else self.nearest(of_year)

    def season(self, which: str | None, name: str) -> Span:
        """From the first of a month to the end of the third one."""

        def of_year(year: int) -> Span:
            start = _SEASONS[name]
            end = start + 2
            years, month = divmod(end - 1, 12)
            last = date(year + years, month + 1, monthrange(year + years, month + 1)[1])
            return date(year, start, 1), last

        return of_year(self.today.year - 1) if which == "last" else self.nearest(of_year)

    def weekday(self, which: str | None, name: str) -> Span:
        """A day of a week: the next one to come, or, where nothing is to come, the last one."""
        ahead = (WEEKDAYS.index(name) - self.today.weekday()) % 7
        back = which == "last" or not self.ahead
        day = self.today + timedelta((ahead - 7 if ahead or which == "last" else 0) if back else ahead)
        return day, day

    def period(self, which: str, what: str) -> Span:
        """This, the next or the last week, weekend or month of the calendar."""
        step = {"next": 1, "last": -1, "past": -1}.get(which, 0)
        if what == "month":
            years, month = divmod(self.today.month - 1 + step, 12)
            year = self.today.year + years
            return date(year, month + 1, 1), date(year, month + 1, monthrange(year, month + 1)[1])
        monday = self.today - timedelta(self.today.weekday()) + timedelta(7 * step)
        return monday + timedelta(5 if what == "weekend" else 0), monday + timedelta(6)


def days(text: Text, vocabulary: Vocabulary) -> None:
    """Bounds and spans of days, of the field of days that is named, or the first there is."""
    if not vocabulary.days or not _ANY.search(text.text):
        return
    name = next(
        (
            field
            for field in vocabulary.days
            if any(
                re.search(rf"\b{re.escape(noun[:5])}", text.whole, re.IGNORECASE)
                for noun in vocabulary.nouns[field]
            )
        ),
        vocabulary.days[0],
    )
    calendar = _Calendar(vocabulary.fields[name])
    _counted(text, name, calendar)
    spots = _joined(_spots(text, calendar, vocabulary), text, calendar)
    for spot in spots:
        start, end, how = spot.start, spot.end, "in"
        for lead, manner in _LEADS:
            if hit := lead.search(text.whole[:start]):
                start, how = hit.start(), manner
                break
        for tail, manner in ((_ONWARD, "since"), (_BACKWARD, "until")):
            if hit := tail.match(text.whole, end):
                end, how = hit.end(), manner
        text.take(start, end)
        _add(text, start, name, how, spot.span)


def _spots(text: Text, calendar: _Calendar, vocabulary: Vocabulary) -> list[_Spot]:
    """Where days are said, in order, but in the name of a value: May Chen, Winter Palace."""
    named = (s for s in vocabulary.surfaces if s.field != TITLE and _ANY.search(s.value))
    values = [surface.pattern for surface in named]
    names = [hit.span() for pattern in values for hit in pattern.finditer(text.text)]
    spots = []
    for form, read in _spoken(calendar):
        for hit in text.each(form):
            span = read(hit)
            if span is None or any(start < hit.end() and hit.start() < end for start, end in names):
                text.leave(hit)
            else:
                spots.append(_Spot(*hit.span(), span, bool(re.search(r"\d{4}", hit[0]))))
    return sorted(spots, key=lambda spot: spot.start)


def _joined(spots: list[_Spot], text: Text, calendar: _Calendar) -> list[_Spot]:
    """Two that are the ends of a span ("between March and May 2024") as one."""
    result: list[_Spot] = []
    for spot in spots:
        last = result[-1] if result else None
        between = text.whole[last.end : spot.start] if last else ""
        opens = last and re.search(r"\b(?:between|from)(?: the)? $", text.whole[: last.start], re.IGNORECASE)
        if last and re.fullmatch(_LINK, between, re.IGNORECASE) and (opens or "and" not in between):
            (low, _), (_, high) = last.span, spot.span
            if spot.year and not last.year:
                low = low.replace(year=high.year, day=min(low.day, 28))
            if low > high and calendar.ahead and not spot.year:
                high = high.replace(year=low.year + 1, day=min(high.day, 28))
            elif low > high:
                low = low.replace(year=high.year - 1, day=min(low.day, 28))
            start = opens.start() if opens else last.start
            result[-1] = _Spot(start, spot.end, (low, high), last.year or spot.year)
            text.take(start, spot.end)
        else:
            result.append(spot)
    return result


def _spoken(calendar: _Calendar) -> list[tuple[str, Callable[[re.Match[str]], Span | None]]]:
    """Each way to say a day, a month or a part of the year, and what it means."""

    def dotted(hit: re.Match[str]) -> Span | None:
        return calendar.month(int(hit[2]), hit[3], hit[1]) if 1 <= int(hit[2]) <= 12 else None

    def between(hit: re.Match[str]) -> Span | None:
        first, last = (calendar.month(_month(hit[3]), hit[4], day) for day in (hit[1], hit[2]))
        return (first[0], last[1]) if first and last and first[0] <= last[1] else None

    def feast(hit: re.Match[str]) -> Span | None:
        month, day = _FEASTS[hit[1].lower()]
        return calendar.month(month, None, str(day))

    def relative(hit: re.Match[str]) -> Span:
        day = calendar.today + timedelta(_RELATIVE[hit[1].lower()])
        return day, day

    return [
        (_ISO, lambda hit: _whole(*map(int, hit.groups()))),
        (_DOTTED, dotted),
        (rf"\b(?:between |from )?(?:the )?{_DAY}{_LINK}{_DAY} (?:of )?{_NAME}{_YEAR}", between),
        (rf"{_DAY} (?:of )?{_NAME}{_YEAR}", lambda hit: calendar.month(_month(hit[2]), hit[3], hit[1])),
        (
            rf"\b{_NAME} (\d{{1,2}})(?:st|nd|rd|th)?(?![\d:]| ?[%€$£])(?:,? (\d{{4}}))?",
            lambda hit: calendar.month(_month(hit[1]), hit[3], hit[2]),
        ),
        (rf"\b{_BARE}{_YEAR}", lambda hit: calendar.month(_month(hit[1]), hit[2])),
        (rf"\b({'|'.join(_RELATIVE)})(?![\w'])", relative),
        (_PERIOD, lambda hit: calendar.period(hit[1].lower(), hit[2].lower())),
        (_WEEKDAY, lambda hit: calendar.weekday((hit[1] or "").lower(), hit[2].lower())),
        (_SEASON, lambda hit: calendar.season((hit[1] or "").lower(), hit[2].lower())),
        (_FEAST, feast),
    ]


def _counted(text: Text, name: str, calendar: _Calendar) -> None:
    """ "The last 30 days", "in the next two weeks", "less than a month old"."""
    what = rf"(?:{SMALL} )?(days?|weeks?|months?)"
    for form, sign in (
        (rf"\b(?:(?:in|within|during|over|from|of) )?(?:the )?(?:last|past) {what}\b", -1),
        (rf"\b(?:(?:in|within|during|over) )?(?:the )?(?:next|coming) {what}\b", 1),
        (
            rf"\b(?:at most|less than|under|no more than|not more than|not older than) {what} (?:old|ago)\b",
            -1,
        ),
    ):
        for hit in text.each(form):
            if hit[1] is None and not hit[2].lower().endswith("s"):  # "last week" is one of the calendar
                text.leave(hit)
                continue
            many = counted(hit[1] or "few") * {"d": 1, "w": 7, "m": 30}[hit[2][0].lower()]
            other = calendar.today + timedelta(sign * many)
            _add(text, hit.start(), name, "in", (min(other, calendar.today), max(other, calendar.today)))


def _month(word: str) -> int:
    short = [month[:3] for month in MONTHS]
    return _ABROAD.get(word.lower()) or short.index(word.lower()[:3]) + 1


def _whole(year: int, month: int, day: int) -> Span | None:
    try:
        return date(year, month, day), date(year, month, day)
    except ValueError:
        return None


def _add(text: Text, at: int, name: str, how: str, span: Span) -> None:
    """Keep days; a bound that is refused ("nothing after March") is the other one."""
    low, high = (Day(day.toordinal()) for day in span)
    bounds = {
        "before": ("le", low - 1),
        "until": ("le", high),
        "after": ("ge", high + 1),
        "since": ("ge", low),
    }
    refused, kind = against(text, at), "must"
    if how == "in":
        kind, clause = "must_not" if refused else "must", Clause(name, "between", (low, high))
    else:
        cmp, bound = bounds[how]
        if refused:
            cmp, bound = ("ge", bound + 1) if cmp == "le" else ("le", bound - 1)
        clause = Clause(name, cmp, Day(bound))
    text.add(at, Change("add", kind, clause))  # type: ignore[arg-type]
