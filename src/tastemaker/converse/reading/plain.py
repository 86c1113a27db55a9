"""A message in plain letters: straight quotes, numbers, years and lengths of time in digits; units."""

from __future__ import annotations

import re
from typing import Any

from tastemaker.converse.catalogue import Day
from tastemaker.converse.reading.words import english

QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "≤": "<=", "≥": ">=", "–": "-", "—": "-"}
)
_WORDS: dict[str, str] = english()["numbers"]
DIGITS = _WORDS["digits"].split()
ORDINALS = _WORDS["ordinals"].split()
TENS = dict(zip(_WORDS["tens"].split(), range(20, 100, 10), strict=True))
DECADES = dict(zip(_WORDS["decades"].split(), range(1920, 2010, 10), strict=True))
_SPELLED: dict[str, str] = english()["spelled"]  # as people type: "plz", "dont"

_COUNTED = (  # what small numbers in words are of, where they are numbers of an item
    r"people|persons?|guests?|servings?|portions?|hours?|minutes?|seconds?|years?|stars?|pages?|euros?|dollars?"
    r"|pounds?"
)

_MEASURES: list[dict[str, float]] = english()["measures"]
SECONDS = _MEASURES[0]
_NUMERAL = rf"(?:\d+|{'|'.join((*DIGITS[1:], *TENS))})"
_SCALED = (  # "three to five hundred", "5-10k": each has the last one's scale
    rf"\b({_NUMERAL}) ?(and|to|or|-) ?({_NUMERAL}) ?(hundred|thousand|grand)\b"
)
_BEFORE = (  # words behind which a small number in words is one of an item
    r"at least|at most|(?:more|less|fewer) than|under|over|up to|exactly|around|serves|feeds|for|party of"
    r"|family of|group of"
)


def plain(text: str) -> str:
    """Straight quotes, single spaces, digits ("six-eight" is 6/8, "a hundred and twenty" is 120)."""
    text = re.sub(r" *(?:!=|≠) *", " is not ", text.translate(QUOTES))
    text = re.sub(r"\s+", " ", text).strip()
    for pattern, replacement in _SPELLED.items():
        text = re.sub(rf"(?<![\w'-])(?:{pattern})(?![\w'-])", replacement, text, flags=re.IGNORECASE)
    small = "|".join(DIGITS[1:])
    text = re.sub(r"(?<![\d.,])\d{1,3}(?:(?: 000|\.\d{3})+)(?![.,]?\d)", _grouped, text)
    text = re.sub(_SCALED, _scaled, text, flags=re.IGNORECASE)
    text = re.sub(
        rf"\b({_BEFORE}) ({'|'.join(DIGITS[2:])})(?! (?:hundred|thousand|grand|of|more|days|weeks)\b)\b"
        rf"|\b({small})(?=(?: and a half)? (?:{_COUNTED}|thousand|grand)\b)",
        lambda hit: f"{hit[1]} {_small(hit[2])}" if hit[1] else str(_small(hit[3])),
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(r"(?<![\d.,])(\d+)(?: and a half|½)(?!\w)", r"\1.5", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<![\w.,])(\d{1,2}(?:\.\d)?) ?h(?:rs?)?(?!\w)", r"\1 hours", text, flags=re.IGNORECASE)
    text = re.sub(  # "1h40", "2 hours 5 minutes"
        r"(?<![\w.,])(\d{1,2}) ?(?:h|hrs?|hours?) ?(?:and )?(\d{1,2})(?: ?(?:m|mins?|minutes?))?"
        r"(?![\w.,]*\d|\w)",
        lambda hit: f"{60 * int(hit[1]) + int(hit[2])} minutes",
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(
        r"\b([A-H])[ -](?:(dur)|moll)\b",
        lambda hit: f"{hit[1]} {'major' if hit[2] else 'minor'}",
        text,
        flags=re.I,
    )
    text = re.sub(
        rf"\b({small})[ -](two|four|eight|sixteen)\b(?! (?:hundred|of|things?|songs?|tunes?|items?))",
        lambda hit: f"{DIGITS.index(hit[1].lower())}/{DIGITS.index(hit[2].lower())}",
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(
        rf"\b(?:(?:nineteen|two thousand)[- ])?({'|'.join(DECADES)})\b",
        lambda hit: f"{DECADES[hit[1].lower()]}s",
        text,
        flags=re.IGNORECASE,
    )
    tens = "|".join(TENS)
    text = re.sub(
        rf"\b(?:(a|\d+|{small}) hundred)(?: and(?= \w+\b(?! hundred)))?(?: ({tens}))?(?:[ -]({small}))?\b",
        lambda hit: str(100 * _small(hit[1]) + TENS.get((hit[2] or "").lower(), 0) + _small(hit[3])),
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(
        rf"\b({tens})(?:[ -]({small}))?\b",
        lambda hit: str(TENS[hit[1].lower()] + _small(hit[2])),
        text,
        flags=re.IGNORECASE,
    )
    return re.sub(
        r"(?<![\w.,])(a|\d+(?:\.\d+)?) ?(?:thousand|grand|k(?= ?[-a-z]))\b"
        r"(?: (?:and )?(\d{1,3})\b(?! ?(?:thousand|grand|k\b)))?",
        lambda hit: f"{1000 * float(hit[1].replace('a', '1')) + float(hit[2] or 0):.0f}",
        text,
        flags=re.IGNORECASE,
    )


def _scaled(hit: re.Match[str]) -> str:
    low, high = (_small(part) or TENS.get(part.lower(), 0) for part in (hit[1], hit[3]))
    return f"{hit[1]} {hit[4]} {hit[2]} {hit[3]} {hit[4]}" if low < high else hit[0]


def _grouped(hit: re.Match[str]) -> str:
    """ "20 000" and "12.500" without the marks between thousands."""
    return re.sub(r"[ .]", "", hit[0])


def _small(word: str | None) -> int:
    word = (word or "").lower()
    return 1 if word == "a" else int(word) if word.isdigit() else DIGITS.index(word) if word in DIGITS else 0


def spoken(value: str) -> str:
    """A value as it is said."""
    return " ".join(value.translate(QUOTES).replace("_", " ").split())


def in_words(value: Any) -> str:
    """A fact's value in words."""
    if isinstance(value, tuple):
        return ", ".join(spoken(word) for word in value)
    number = isinstance(value, int | float) and not isinstance(value, Day)
    return f"{value:.10g}" if number else spoken(str(value))


def factor(name: str, quantity: str) -> float:
    """What a time or a weight in the unit that was said is in the unit of a field ("duration_s")."""
    first, *words = (_unit(word) for word in re.split(r"[^a-z]+", name.casefold()))
    words = words or [{"runtime": "minute"}.get(first, first)]
    unit = re.search(r"\d[ -]?([a-z]+)(?!.*\d)", quantity.casefold())
    for table in _MEASURES:
        size = next((table[word] for word in words if word in table), 0.0)
        if size and unit:
            return table.get(_unit(unit[1]), size) / size
    return 1.0


def _unit(word: str) -> str:
    return word.rstrip("s") or word if word != "ms" else word
