"""What a catalogue's fields are called, from a data file, and constraints as phrases after "something"."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from tastemaker.converse.catalogue import Field
from tastemaker.converse.constraints import Clause, Constraint
from tastemaker.converse.reading.plain import spoken
from tastemaker.converse.reading.vocabulary import Vocabulary

_WORD = re.compile(r"\w+")
QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"'})


@dataclass(frozen=True)
class Words:
    """How one field is spoken of. must, must_not: phrases with {value} and {noun}; unit: for numbers."""

    nouns: tuple[str, ...]
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    unit: str


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The words of every field, phrases that point at an attachment; titles: words of names, folded."""

    known: Mapping[str, Field]
    fields: Mapping[str, Words]
    media: Mapping[str, tuple[str, ...]]
    titles: frozenset[str] = frozenset()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What readers of free words know of the same fields."""
        return Vocabulary(self.known)

    @cached_property
    def values(self) -> re.Pattern[str]:
        """Every value of every field, longest first, as a pattern."""
        phrases = {spoken(value) for field in self.known.values() for value in field.values if len(value) > 2}
        parts = sorted(map(re.escape, phrases), key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(parts) or '(?!)'})(?!\w)", re.IGNORECASE)

    @cached_property
    def _longest(self) -> int:
        return max((title.count(" ") + 1 for title in self.titles), default=0)

    def names_title(self, text: str) -> bool:
        """Whether a text names an item in whole words; one word counts by an inner capital or quotes."""
        text = plain(text)
        hits = list(_WORD.finditer(text))
        words = [hit.group().casefold() for hit in hits]
        for at, hit in enumerate(hits):
            before = text[: hit.start()]
            if words[at] in self.titles and (
                (hit.group()[0].isupper() and re.search("[a-z,;] $", before)) or before.endswith('"')
            ):
                return True
            ends = range(at + 2, min(at + self._longest, len(words)) + 1)
            if any(" ".join(words[at:end]) in self.titles for end in ends):
                return True
        return False


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


def build(fields: Mapping[str, Field], names: Iterable[str] = ()) -> Lexicon:
    """The lexicon of a catalogue with these fields, and these names of items."""
    media = {kind: tuple(words) for kind, words in language_file()["media"].items()}
    titles = frozenset(" ".join(_WORD.findall(plain(name).casefold())) for name in names) - {""}
    return Lexicon(fields, {name: _words(name) for name in fields}, media, titles)


def _words(name: str) -> Words:
    data = language_file()
    known, default = data["fields"].get(name, {}), data["default"]
    must, must_not = (tuple(known.get(kind, default[kind])) for kind in ("must", "must_not"))
    nouns = tuple(known.get("nouns", [name.replace("_", " ")]))
    return Words(nouns, must, must_not, known.get("unit", ""))


def number(value: float) -> str:
    """A number as it is said."""
    return f"{value:g}"


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def phrase(
    constraint: Constraint, lexicon: Lexicon, rng: np.random.Generator, names: Mapping[str, str]
) -> str:
    """The constraint as a phrase after "something"; `names`: item id -> words for it."""
    clause = constraint.clause
    if constraint.medium != "text" and constraint.reference is None:
        return f"that goes with {_pick(lexicon.media[constraint.medium], rng)}"
    if clause.cmp == "similar_to":
        verb = {"audio": "that sounds like", "image": "with a cover like that of"}.get(
            clause.field, "much like"
        )
        return f"{verb} {names[str(clause.value)]}"
    words = lexicon.fields[clause.field]
    if clause.cmp == "same_group":
        return (
            f"{'not ' * (constraint.kind == 'must_not')}with the same {words.nouns[0]} as"
            f" {names[str(clause.value)]}"
        )
    if clause.cmp in ("le", "ge", "between"):
        return _measure(clause, words, rng)
    options = words.must_not if constraint.kind == "must_not" else words.must
    values = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    joined = (" or " if clause.cmp == "in" else " and ").join(_synonym(str(value), rng) for value in values)
    return _article(_pick(options, rng).replace("{value}", joined).replace("{noun}", words.nouns[0]))


def _synonym(value: str, rng: np.random.Generator) -> str:
    """A value by its name, or by an everyday word that readers take for it."""
    name, *others = called(value)
    return _pick((name, name, *others), rng)


def called(value: str) -> tuple[str, ...]:
    """A value by its name, then everyday words for it."""
    return spoken(value), *language_file()["also"].get(spoken(value), ())


def _article(text: str) -> str:
    """ "a amber" -> "an amber"."""
    parts = text.split(" ")
    for place, word in enumerate(parts[:-1]):
        if word == "a" and parts[place + 1][:1].lower() in "aeiou":
            parts[place] = "an"
    return " ".join(parts)


def _measure(clause: Clause, words: Words, rng: np.random.Generator) -> str:
    """A bound on a number, with its unit or its field's name."""
    if clause.cmp == "between" and isinstance(clause.value, tuple):
        low, high = (number(float(end)) for end in clause.value)
        bound = f"between {low} and {high}"
    else:
        value = number(float(clause.value))  # type: ignore[arg-type]
        low_words, high_words = ("at least", "no less than"), ("at most", "no more than")
        bound = f"{_pick(low_words if clause.cmp == 'ge' else high_words, rng)} {value}"
    return f"of {bound} {words.unit}" if words.unit else f"with a {words.nouns[0]} of {bound}"


def listed(granted: Sequence[str], refused: Sequence[str]) -> str:
    """Phrases in a row: a, b and c, then each unwanted one behind a comma, where its "not" ends."""
    head = ", ".join(granted[:-1]) + (" and " if len(granted) > 1 else "") + "".join(granted[-1:])
    return ", ".join(([head] if head else []) + list(refused))


def fact_words(clause: Clause, lexicon: Lexicon) -> str:
    """A clause as a fact sheet has it ("key D"), used in goals so that messages do not copy them."""
    words = lexicon.fields.get(clause.field)
    noun = words.nouns[-1] if words else clause.field
    if isinstance(clause.value, tuple):
        parts = [number(value) if isinstance(value, float) else spoken(str(value)) for value in clause.value]
        return f"{noun} {(' to ' if clause.cmp == 'between' else ' / ').join(parts)}"
    sign = {"le": "up to ", "ge": "from "}.get(clause.cmp, "")
    return (
        f"{noun}"
        f" {sign}{number(clause.value) if isinstance(clause.value, float) else spoken(str(clause.value))}"
    )
