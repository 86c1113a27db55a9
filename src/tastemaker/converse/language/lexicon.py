"""The lexicon: what a catalogue's fields and values are called, from a data file and from the values
themselves.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from tastemaker.converse.catalogue import Field, Kind

QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"'})
_SHORTEST_BARE = 3  # letters from which a value is recognised without its field's name


@dataclass(frozen=True)
class Words:
    """How one field is spoken of. must, must_not: phrases with {value}; unit: for numbers; surfaces: (regex,
    value) pairs; synonyms: value -> other words for it.
    """

    name: str
    kind: Kind
    nouns: tuple[str, ...]
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    unit: str
    units: tuple[str, ...]
    surfaces: tuple[tuple[re.Pattern[str], str], ...]
    synonyms: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The words of every field, the phrases that point at an attachment, and every (folded value, regex,
    value, field), longest first.
    """

    fields: Mapping[str, Words]
    media: Mapping[str, tuple[str, ...]]
    surfaces: tuple[tuple[str, re.Pattern[str], str, str], ...]


@lru_cache(maxsize=1)
def language_file() -> dict[str, Any]:
    """The data file: phrases by field, roles of fields, phrases for attachments."""
    data: dict[str, Any] = json.loads(
        files("tastemaker.converse.language").joinpath("lexicon.json").read_text("utf-8")
    )
    return data


def plain(text: str) -> str:
    """Straight quotes and single spaces, so that one pattern reads every keyboard."""
    return re.sub(r"\s+", " ", text.translate(QUOTES)).strip()


def bounded(pattern: str) -> str:
    """`pattern` where no word, number or fraction goes on."""
    return rf"(?<![\w/#'-])(?:{pattern})(?![\w/#]|-(?!paced\b|tempo\b|looking\b|sounding\b)\w)"


def spoken(value: str) -> str:
    """A value as it is said: underscores are spaces."""
    return plain(value.replace("_", " "))


def build(fields: Mapping[str, Field]) -> Lexicon:
    """The lexicon of a catalogue. A value that two fields share is only read beside its field's name."""
    shared = Counter(spoken(value).casefold() for field in fields.values() for value in field.values)
    words = {name: _words(field, shared) for name, field in fields.items()}
    surfaces = [
        (_key_of(pattern, value, spoken_of), pattern, value, name)
        for name, spoken_of in words.items()
        for pattern, value in spoken_of.surfaces
    ]
    surfaces.sort(key=lambda entry: (-len(entry[1].pattern), entry[2], entry[3], entry[1].pattern))
    return Lexicon(
        words, {kind: tuple(said) for kind, said in language_file()["media"].items()}, tuple(surfaces)
    )


def _key_of(pattern: re.Pattern[str], value: str, words: Words) -> str:
    """A folded text without which the pattern cannot match: the value, or the synonym that it is for."""
    said = (word for word in words.synonyms.get(value, ()) if re.escape(word) in pattern.pattern)
    return next(said, spoken(value)).casefold()


def _words(field: Field, shared: Counter[str]) -> Words:
    data = language_file()
    known, default = data["fields"].get(field.name, {}), data["default"]
    nouns = tuple(known.get("nouns", [field.name.replace("_", " ")]))
    must, must_not = (tuple(known.get(kind, default[kind])) for kind in ("must", "must_not"))
    surfaces = [
        surface
        for value in field.values
        for surface in _surfaces(value, known, nouns, must + must_not, shared)
    ]
    synonyms = {
        value: tuple(said) for value, said in known.get("synonyms", {}).items() if value in field.values
    }
    taken = {spoken(value).casefold() for value in field.values}
    for value, said in synonyms.items():
        free = [word for word in said if word.casefold() not in taken and not shared[word.casefold()]]
        surfaces += [(re.compile(bounded(re.escape(word)), re.IGNORECASE), value) for word in free]
    units = (known["unit"], *known.get("more_units", [])) if "unit" in known else ()
    unit = known.get("unit", "")
    return Words(field.name, field.kind, nouns, must, must_not, unit, units, tuple(surfaces), synonyms)


def _surfaces(
    value: str, known: dict[str, Any], nouns: tuple[str, ...], phrases: tuple[str, ...], shared: Counter[str]
) -> list[tuple[re.Pattern[str], str]]:
    """Every way the value is read: forms of the data file, else beside the noun, and alone when that is
    unmistakable.
    """
    said = spoken(value)
    text = re.escape(said)
    plural = rf"{text}(?:e?s)?" if said[-1:].isalpha() and not said.endswith("s") else text
    forms = [bounded(form.replace("{value}", text)) for form in known.get("forms", [])]
    if not forms:
        fixed = [
            re.escape(phrase.replace("{noun}", nouns[0])).replace(r"\{value\}", text) for phrase in phrases
        ]
        beside = [f"{text} {re.escape(noun)}" for noun in nouns] + [
            f"{re.escape(noun)} (?:is |of )?{text}" for noun in nouns
        ]
        forms = [bounded(form) for form in fixed + beside]
        if shared[said.casefold()] == 1 and len(said) >= _SHORTEST_BARE:
            forms = [bounded(plural)]
    return [(re.compile(form, re.IGNORECASE), value) for form in forms]
