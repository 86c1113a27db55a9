"""Years in a message: "before 1990", "the 60s to the 80s", "the last five years", "20 years old"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tastemaker.converse.constraints import Change, Clause, Strength
from tastemaker.converse.reading.numbers import ABOUT, LATER, LEAST, MOST, SOONER, among, dated
from tastemaker.converse.reading.passage import NEGATION, REACH, Text
from tastemaker.converse.reading.plain import DIGITS
from tastemaker.converse.reading.vocabulary import Vocabulary

_YEAR = r"(?:the year )?(\d{4}|'\d{2})(?![\d's]|[.,/:]\d| ?(?:bpm|minutes?|pages?|words|[$€£]))"
_ON = r"(?: on(?:wards?)?\b)"
_NEWER = r"(?:after|later than|newer than|more recent than|younger than|post[- ]?)"
_OLDER = r"(?:before|earlier than|older than|prior to|pre[- ]?)"
_YEARS: tuple[tuple[str, str, int], ...] = (
    (rf"\b(?:between |from )?{_YEAR} ?(?:and|to|through|-|–) ?{_YEAR}", "between", 0),
    (rf"\b(?:(?:since|not before|no earlier than|no older than) {_YEAR}{_ON}?|from {_YEAR}{_ON})", "ge", 0),
    (rf"(?<!\d)\b{_YEAR}{_ON}|\b{_YEAR} (?:or|and) (?:later|newer|after|above|up)\b(?! than)", "ge", 0),
    (rf"\b(?:until|till|up to|not after|no later than|no newer than) {_YEAR}", "le", 0),
    (rf"\b{_YEAR} (?:or|and) (?:earlier|older|before|below)\b(?! than)", "le", 0),
    (rf"(?<!not )(?<!no )\b{_NEWER} ?{_YEAR}", "ge", 1),
    (rf"(?<!not )(?<!no )\b{_OLDER} ?{_YEAR}", "le", -1),
    (
        (
            rf"\b(?:in|from|of|out in|made in|released in|dated) {_YEAR}|\b(?:an?|the|some|any) {_YEAR}(?="
            r" [a-z])"
        ),
        "eq",
        0,
    ),
)
_ALONE = (
    r"(?<![\w$€£.,:/#'-])(?<!\b(?:over|than|with) )(?<!\b(?:under|above|below|least)"
    r" )((?:1[89]|20)\d{2})(?![\w'%/:-]|[.,]\d| [a-z]+ old|"
    r" (?:dollars|euros|pounds|bucks|bpm|kcal|calories|words|pages|minutes|people))"
)
SMALL = rf"(\d{{1,3}}|an?|{'|'.join(DIGITS[1:])}|couple of|few)"
_AGES = (  # "no more than 20 years old", "20 years old or less"; whether items are newer than that
    (
        (
            rf"\b(?:{MOST}|younger than|newer than|not older than|no older than) {SMALL} (?:years?|yrs?)(?:"
            r" old| of age)?\b"
        ),
        True,
    ),
    (rf"\b(?:{LEAST}) {SMALL} (?:years?|yrs?)(?: old| of age)\b", False),
    (rf"\bolder than {SMALL} (?:years?|yrs?)(?: old| of age)?\b", False),
    (rf"\b{SMALL} (?:years?|yrs?) old (?:or (?:less|newer|younger)|at (?:the )?most|max(?:imum)?)\b", True),
    (rf"\b{SMALL} (?:years?|yrs?) old (?:or (?:more|older)|at (?:the )?least)\b", False),
    (
        rf"\b(?:(?:from |of |in |within |during )?the )?(?:last|past)(?: (?:{SMALL}))? (years?|decades?)\b",
        True,
    ),
)
_CENTURY = r"\b(?:(?:from|of|in|made in) )?(this|the 21st|(?:the )?last|the 20th) century\b"
_DECADE = r"(?:the |early |late |mid[- ])*'?(\d{3}0|\d0)'?s\b"


def years(text: Text, vocabulary: Vocabulary) -> None:
    """Whole years, of the field that holds years alone, or of decades where no field does."""
    names = [name for name, known in vocabulary.fields.items() if dated(known)]
    numbers = [name for name, known in vocabulary.fields.items() if known.kind == "number"]
    for hit in (
        text.each(r"\b(?:between|from) '?([2-9]\d) (?:and|to|through) '?([2-9]\d)\b(?!'?s)")
        if names == numbers
        else ()
    ):
        low, high = sorted(map(year_of, hit.groups()))
        _add(text, hit, Clause(names[0], "between", (low, high)))
    for hit in text.each(r"(?:\b(?:in|from|of) |^\W*)'?([3-9]\d)(?=\W*$|,)") if names == numbers else ():
        _add(text, hit, Clause(names[0], "between", (year_of(hit[1]), year_of(hit[1]))))
    for name, values in ({name: {} for name in names[:1]} or _decades(vocabulary)).items():
        _ages(text, name, values)
    for hit in text.each(_CENTURY) if len(names) == 1 else ():
        now = hit[1].lower() in ("this", "the 21st")
        _add(text, hit, Clause(names[0], "ge" if now else "le", 2000.0 if now else 1999.0))
    for hit in text.each(rf"\b{ABOUT} ?{_YEAR}") if len(names) == 1 else ():
        _add(text, hit, Clause(names[0], "between", (year_of(hit[1]) - 5, year_of(hit[1]) + 5)))
    for form, cmp, step in _YEARS if len(names) == 1 else ():
        for hit in text.each(form):
            low, *rest = (year_of(part) for part in hit.groups() if part)
            if cmp in ("between", "eq"):
                ends = sorted((low, *(rest or (low,))))
                _add(text, hit, Clause(names[0], "between", (ends[0], ends[1])))
            else:
                _add(text, hit, Clause(names[0], cmp, low + step))


def alone(text: Text, vocabulary: Vocabulary) -> bool:
    """ "1984", "comedies 1984": a year that nothing else was. Whether there is any."""
    before = len(text.changes)
    names = [name for name, known in vocabulary.fields.items() if dated(known)]
    for hit in text.each(_ALONE) if len(names) == 1 else ():
        known, year = vocabulary.fields[names[0]], float(hit[1])
        if known.low - 10 <= year <= max(known.high, datetime.now(UTC).year) + 1:
            _add(text, hit, Clause(names[0], "between", (year, year)))
        else:
            text.leave(hit)
    return len(text.changes) > before


def absent_decades(text: Text, vocabulary: Vocabulary) -> str:
    """Decades that no item is of, as a wish where years are known; else what is said of them."""
    names = [name for name, known in vocabulary.fields.items() if dated(known)]
    words = [name for name in vocabulary.fields if name == "decade"]
    for hit in text.each(rf"(?<![\w$€£.,])(?:from |in |of )?{_DECADE}") if names or words else ():
        low = year_of(hit[1])
        if len(names) == 1:
            _add(text, hit, Clause(names[0], "between", (low, low + 9)))
        else:
            return f"Nothing here is from the {low:g}s."
    return ""


def ranges(text: Text, vocabulary: Vocabulary) -> None:
    """ "Before 1990", "since the 80s", "the 60s to the 80s" on words that are numbers."""
    year = r"(?:the )?(?:early |late |mid[- ])?'?(\d{4}|\d{2})'?s?"
    for name, values in _decades(vocabulary).items():
        decades = all(word.endswith("s") for word in values)
        reach = 9 if decades else 0
        for hit in text.each(
            rf"\b(?:(?:between|from) {year} (?:and|to|through|till|until) {year}|{year} ?(?:to|through|-)"
            rf" ?{year})\b"
        ):
            low, high = sorted(year_of(part) for part in hit.groups() if part)
            _among(text, hit, name, [w for w, v in values.items() if v + reach >= low and v <= high])
        for hit in text.each(rf"\b{LATER} {year}\b"):
            _among(text, hit, name, [w for w, v in values.items() if v >= year_of(hit[1])])
        for hit in text.each(rf"\b{SOONER} {year}\b"):
            _among(text, hit, name, [w for w, v in values.items() if v < year_of(hit[1])])
        for hit in text.each(r"\b(?:in|from|of) (\d{4})\b(?!s)") if decades else ():
            _among(text, hit, name, [w for w, v in values.items() if v <= float(hit[1]) <= v + 9])


def year_of(text: str) -> float:
    """ "1994", "94" or "'94", "60" of the sixties."""
    year = float(text.lstrip("'"))
    return year if year >= 100 else 1900 + year if year >= 20 else 2000 + year


def _decades(vocabulary: Vocabulary) -> dict[str, Mapping[str, float]]:
    """The fields of words that are numbers, and each of their values."""
    return {
        name: {word: float(word.rstrip("s")) for word in scale.words}
        for name, scale in vocabulary.scales.items()
        if scale.words and scale.words[0].rstrip("s").replace(".", "").isdigit()
    }


def _ages(text: Text, name: str, decades: Mapping[str, float]) -> None:
    now = datetime.now(UTC).year
    for form, newer in _AGES:
        for hit in text.each(form):
            parts = [part for part in hit.groups() if part]
            year = now - (10 if parts[-1].startswith("decade") else 1) * counted(parts[0])
            if decades:
                _among(
                    text,
                    hit,
                    name,
                    [w for w, v in decades.items() if (v + 9 >= year if newer else v <= year)],
                )
            else:
                _add(text, hit, Clause(name, "ge" if newer else "le", float(year)))


def counted(word: str) -> int:
    word = word.lower()
    if word.isdigit():
        return int(word)
    return DIGITS.index(word) if word in DIGITS else {"few": 3, "couple of": 2}.get(word, 1)


def _add(text: Text, hit: re.Match[str], clause: Clause) -> None:
    """Keep years; a bound that is refused ("nothing after 1980") is the other one."""
    refused, kind = against(text, hit.start()), "must"
    if refused:
        text.refused[hit.start()] = clause
    if refused and isinstance(clause.value, int | float):
        down = clause.cmp == "ge"
        clause = Clause(clause.field, "le" if down else "ge", clause.value + (-1 if down else 1))
    elif refused:
        kind = "must_not"
    text.add(hit.start(), Change("add", kind, clause))  # type: ignore[arg-type]


def _among(text: Text, hit: re.Match[str], name: str, words: Sequence[str]) -> None:
    if words:
        kind: Strength = "must_not" if against(text, hit.start()) else "must"
        text.add(hit.start(), replace(among(name, tuple(words)), kind=kind))
    else:
        text.leave(hit)


def against(text: Text, at: int) -> bool:
    """Whether a year is refused; a comma ends what was refused before: "not too old, after 1990"."""
    before = text.whole[max(0, at - REACH) : at]
    piece = before[before.rfind(",") + 1 :]
    ended = "," in before and not NEGATION.search(piece) and not re.match(r"\s*(?:or|nor|and)\b", piece)
    return text.negated(at) and not ended
