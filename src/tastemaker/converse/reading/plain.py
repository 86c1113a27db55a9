"""A message in plain letters: straight quotes, numbers, years and lengths of time in digits; units."""

from __future__ import annotations

import re
from typing import Any

from tastemaker.converse.reading.words import english

QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "≤": "<=", "≥": ">=", "–": "-", "—": "-"}
)
_WORDS: dict[str, str] = english()["numbers"]
DIGITS = _WORDS["digits"].split()
TENS = dict(zip(_WORDS["tens"].split(), range(20, 100, 10), strict=True))
DECADES = dict(zip(_WORDS["decades"].split(), range(1920, 2010, 10), strict=True))
_SPELLED: dict[str, str] = english()["spelled"]  # as people type: "plz", "dont"
_SPANS = {
    r"\b(?:an|one) hour and a half\b": "90 minutes",
    r"\bhalf an hour\b": "30 minutes",
    r"\b(?:a )?quarter of an hour\b": "15 minutes",
    r"\b(?:an|one) hour\b": "60 minutes",
}

_COUNTED = (  # what small numbers in words are of, where they are numbers of an item
    r"people|persons?|guests?|servings?|portions?|hours?|minutes?|seconds?|years?|stars?|pages?|euros?|dollars?"
    r"|pounds?"
)

SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
GRAMS = {"g": 1.0, "gram": 1.0, "kg": 1000.0, "kilo": 1000.0, "oz": 28.35, "lb": 453.6}


def plain(text: str) -> str:
    """Straight quotes, single spaces, digits ("six-eight" is 6/8, "a hundred and twenty" is 120)."""
    text = re.sub(r" *(?:!=|≠) *", " is not ", text.translate(QUOTES))
    text = re.sub(r"\s+", " ", text).strip()
    for pattern, said in _SPELLED.items():
        text = re.sub(rf"(?<![\w'-])(?:{pattern})(?![\w'-])", said, text, flags=re.IGNORECASE)
    small = "|".join(DIGITS[1:])
    text = re.sub(
        rf"\b(?:(?<=serves )|(?<=feeds ))({small})\b|\b({small})(?=(?: and a half)? (?:{_COUNTED})\b)",
        lambda hit: str(_small(hit[1] or hit[2])),
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
    for pattern, minutes in _SPANS.items():
        text = re.sub(pattern, minutes, text, flags=re.IGNORECASE)
    text = re.sub(
        rf"\b(?:(?:nineteen|two thousand)[- ])?({'|'.join(DECADES)})\b",
        lambda hit: f"{DECADES[hit[1].lower()]}s",
        text,
        flags=re.IGNORECASE,
    )
    tens = "|".join(TENS)
    text = re.sub(
        rf"\b(?:(a|{small}) hundred)(?: and)?(?: ({tens}))?(?:[ -]({small}))?\b",
        lambda hit: str(100 * _small(hit[1]) + TENS.get((hit[2] or "").lower(), 0) + _small(hit[3])),
        text,
        flags=re.IGNORECASE,
    )
    return re.sub(
        rf"\b({tens})(?:[ -]({small}))?\b",
        lambda hit: str(TENS[hit[1].lower()] + _small(hit[2])),
        text,
        flags=re.IGNORECASE,
    )


def _small(word: str | None) -> int:
    word = (word or "").lower()
    return 1 if word == "a" else DIGITS.index(word) if word in DIGITS else 0


def spoken(value: str) -> str:
    """A value as it is said."""
    return " ".join(value.translate(QUOTES).replace("_", " ").split())


def said(value: Any) -> str:
    """A fact's value in words."""
    if isinstance(value, tuple):
        return ", ".join(spoken(word) for word in value)
    return f"{value:g}" if isinstance(value, int | float) else spoken(str(value))


def factor(name: str, said: str) -> float:
    """What a time or a weight in the unit that was said is in the unit of a field ("duration_s")."""
    first, *words = (_unit(word) for word in re.split(r"[^a-z]+", name.casefold()))
    words = words or [{"runtime": "minute"}.get(first, first)]
    unit = re.search(r"\d[ -]?([a-z]+)(?!.*\d)", said.casefold())
    for table in (SECONDS, GRAMS):
        own = next((table[word] for word in words if word in table), 0.0)
        if own and unit:
            return table.get(_unit(unit[1]), own) / own
    return 1.0


def _unit(word: str) -> str:
    return word.rstrip("s") or word if word != "ms" else word
