"""One scanner of what a text claims: titles, facts and numbers that do not hold, and what no text may carry.

The assistant's emission gate and the audits of conversations read with it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.reading.names import Names
from tastemaker.converse.reading.numbers import NUMBER
from tastemaker.converse.reading.passage import negated
from tastemaker.converse.reading.plain import plain
from tastemaker.converse.reading.surfaces import Surface
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.words import fold

FORBIDDEN = (
    (
        "link",
        re.compile(
            r"(?:[a-z][a-z0-9+.-]*://|\bwww\.|\bmailto:|\bjavascript:|\bdata:\w+/)\S*|\b[\w-]+\.(?:com|org|net|io|dev|ru|cn|example|test|xyz)\b(?:/\S*)?",
            re.I,
        ),
    ),
    (
        "markup",
        re.compile(
            r"<\s*/?\s*[a-z!][^>]*>?|!?\[[^\]]*\]\([^)]*\)|^#{1,6} |```|\[[^\]]+\]:\s*\S+|&#?\w+;",
            re.I | re.M,
        ),
    ),
    ("personal", re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b|\b(?:\d[ -]?){13,19}\b|\b\d{3}-\d{2}-\d{4}\b")),
    ("handle", re.compile(r"\bT\d{1,4}\b|\bcandidate \d+\b")),
    (
        "injection",
        re.compile(
            r"\b(?:ignore|disregard|forget) (?:all |any |the |your )?(?:previous|prior|above|earlier)"
            r" (?:instructions?|prompts?|rules?)|\bsystem prompt\b|\byou are now\b|\bas an ai (?:language"
            r" )?model\b",
            re.I,
        ),
    ),
)
HIDDEN = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]"
)
QUOTED = re.compile(r"[“\"«]([^”\"»]{2,120})[”\"»]")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"”]?\s+|\n+")


@dataclass(frozen=True)
class Claim:
    """Something a text says that it must not: its kind, the words, and why."""

    kind: str
    words: str
    why: str


@dataclass(frozen=True)
class Spoken:
    """What a text may speak of. about: rows whose facts are told. named: rows whose titles may stand.

    wished: (field, value) asked for, which may be said back; numbers: further numbers that may stand.
    """

    about: tuple[int, ...] = ()
    named: frozenset[int] = frozenset()
    wished: frozenset[tuple[str, str]] = frozenset()
    numbers: frozenset[float] = field(default_factory=frozenset)


class Claims:
    """Scans texts about a catalogue. strict: everyday words for values ("lively") are checked too."""

    def __init__(
        self, catalogue: Catalogue, vocabulary: Vocabulary, names: Names, strict: bool = False
    ) -> None:
        self.catalogue, self.vocabulary, self.names, self.strict = catalogue, vocabulary, names, strict
        self._ids = {
            item.casefold() for item in catalogue.item_ids if len(item) > 4 or re.search(r"\d", item)
        }
        self._values = {fold(value) for known in vocabulary.fields.values() for value in known.values}
        self._creators = {fold(creator) for creator in catalogue.creators if creator}

    def scan(self, text: str, spoken: Spoken) -> tuple[Claim, ...]:
        """Everything in `text` that must not stand there."""
        claims = list(forbidden(text))
        claims += [
            Claim("item_id", word, "an item's id is shown to nobody")
            for word in re.findall(r"[\w:.-]*\w", text)
            if word.casefold() in self._ids
            and re.search(r"\d", word)
            and len(word) > 2
            and not word.isdigit()
        ]
        body, titles = self._titles(text, spoken)
        claims += titles
        claims += self._facts(body, spoken)
        claims += self._figures(body, spoken)
        return tuple(dict.fromkeys(claims))

    def _titles(self, text: str, spoken: Spoken) -> tuple[str, list[Claim]]:
        """The text without the titles that may stand in it, and the titles that may not."""
        allowed = {
            name: row for row in spoken.named | set(spoken.about) for name in self.catalogue.names(row)
        }
        body, claims = text, []
        for name in sorted(allowed, key=len, reverse=True):
            body = re.sub(rf"[“\"]{re.escape(name)}[”\"]|(?<!\w){re.escape(name)}(?!\w)", " ␣ ", body)
        for creator in sorted(
            {self.catalogue.creators[row] or "" for row in allowed.values()} - {""}, key=len, reverse=True
        ):
            if fold(creator) not in self._values:
                body = re.sub(rf"(?<!\w){re.escape(creator)}(?!\w)", " ␣ ", body)
        known = {fold(name) for name in allowed}
        for hit in QUOTED.finditer(body):
            words = fold(hit.group(1))
            if words and words not in known and words not in self._values and self.names.rows("title", words):
                claims.append(Claim("title", hit.group(1), "no item of that title is spoken of"))
            elif (
                words not in known
                and hit.group(1)[:1].isupper()
                and " " in words
                and words not in self._values | self._creators
            ):
                claims.append(Claim("title", hit.group(1), "no item of that title is in the catalogue"))
        for span in self.names.find(QUOTED.sub(" , ", body)):
            quote = body[span.start : span.end] if span.end <= len(body) else span.name
            telling = len(fold(span.name).split()) > 1 and span.sure >= 0.9 and fold(span.name) not in known
            capital = sum(word[:1].isupper() for word in span.name.split()) and span.role == "title"
            if (
                telling
                and capital
                and fold(span.name) not in self._values | self._creators
                and not known & _parts(span.name)
            ):
                claims.append(Claim("title", quote, "no item of that title is spoken of"))
        return body, claims

    def _facts(self, body: str, spoken: Spoken) -> list[Claim]:
        """Values that no item spoken of has; and values denied that all of them have."""
        free, claims = plain(body), []
        text = free
        for surface in self.vocabulary.surfaces:
            while hit := surface.pattern.search(free):
                free = free[: hit.start()] + "\x00" * (hit.end() - hit.start()) + free[hit.end() :]
                if not surface.sure and not self.strict:
                    continue
                claim = self._fact(surface, hit.group(), negated(text, hit.start()), spoken)
                if claim is not None:
                    claims.append(claim)
        return claims

    def _fact(self, surface: Surface, words: str, denied: bool, spoken: Spoken) -> Claim | None:
        if (surface.field, surface.value) in spoken.wished or not spoken.about:
            return None
        column = self.catalogue.columns[surface.field]
        having = [_has(column[row], surface.value) for row in spoken.about]
        if (denied and all(having)) or (not denied and not any(having)):
            return Claim(
                "fact",
                words,
                (
                    f"{surface.field} is not {surface.value}"
                    if not denied
                    else f"{surface.field} is {surface.value}"
                ),
            )
        return None

    def _figures(self, body: str, spoken: Spoken) -> list[Claim]:
        """Numbers with the unit or noun of a field that no item spoken of has."""
        claims, text = [], plain(body)
        for name, units in self.vocabulary.units.items():
            column = self.catalogue.columns[name]
            known = [float(value) for row in spoken.about if isinstance(value := column[row], int | float)]
            nouns = "|".join(re.escape(noun) for noun in self.vocabulary.nouns[name])
            unit = "|".join(re.escape(unit) for unit in units if len(unit) > 1) or r"(?!)"
            for hit in re.finditer(
                rf"{NUMBER}[ -]?(?:{unit})\b|\b(?:{nouns})(?: of| is)? {NUMBER}", text, re.I
            ):
                figure = float((hit[1] or hit[2]).replace(",", "."))
                fine = any(abs(figure - value) <= 0.51 for value in known) or figure in spoken.numbers
                if not fine and spoken.about:
                    claims.append(Claim("fact", hit.group(), f"{name} is not {figure:g}"))
        return claims

    def sentences(self, text: str, spoken: Spoken) -> tuple[list[str], tuple[Claim, ...]]:
        """The sentences that may be said, and what the others claimed."""
        clean, claims = list[str](), list[Claim]()
        for sentence in _SENTENCE.split(text):
            faults = self.scan(sentence, spoken)
            claims += faults
            if not faults and sentence.strip():
                clean.append(sentence.strip())
        return clean, tuple(claims)


def forbidden(text: str) -> Iterable[Claim]:
    """What no text may carry, whatever it speaks of."""
    for kind, pattern in FORBIDDEN:
        for hit in pattern.finditer(text):
            yield Claim(kind, hit.group(), f"a {kind} has no place in a text")
    if unseen := HIDDEN.search(text):
        yield Claim("hidden", repr(unseen.group()), "characters that nobody sees")


def safe(text: str) -> str:
    """Text of a catalogue or a model as it may be shown: no links, markup, addresses or hidden characters."""
    text = HIDDEN.sub("", unicodedata.normalize("NFC", text))
    for kind, pattern in FORBIDDEN:
        if kind in ("link", "markup", "personal"):
            text = pattern.sub("", text)
    return " ".join(text.replace("<", "‹").replace(">", "›").split())


def _has(value: object, wanted: str) -> bool:
    several: Collection[object] = value if isinstance(value, tuple) else (value,)
    return any(str(each).casefold() == wanted.casefold() for each in several if each is not None)


def _parts(name: str) -> set[str]:
    words = fold(name).split()
    return {" ".join(words[a:b]) for a in range(len(words)) for b in range(a + 1, len(words) + 1)}
