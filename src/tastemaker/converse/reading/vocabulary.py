"""What a catalogue's fields and values are called: by themselves, by everyday words, in parts, as numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz import process
from rapidfuzz.distance import OSA

from tastemaker.converse.catalogue import Field, Value
from tastemaker.converse.reading.plain import spoken
from tastemaker.converse.reading.surfaces import COUNT, surfaces_of
from tastemaker.converse.reading.words import chat, compared, english, fold, stop_words

Facts = Callable[[int, str], Value]  # what is known of an item: (row, field)
UNITS = frozenset(english()["numbers"]["units"].split())
_ABROAD: dict[str, str] = {word: own for own, words in english()["abroad"].items() for word in words.split()}


def _undoubled(word: str) -> str:
    return re.sub(r"(.)\1", r"\1", word)


def _slip(word: str, known: str, errors: int) -> bool:
    """Whether a word is another one with a slip of the fingers, and not a form or a neighbour of it."""
    if errors == 1 and (len(word) != len(known) or sorted(word) == sorted(known)):
        return word[0] == known[0]
    if errors == 1 and len(word) >= 6 and re.sub("[aeiouy]", "a", word) == re.sub("[aeiouy]", "a", known):
        return True  # "toyata"
    return len(known) >= 6 + errors and word[0] == known[0] and word[-2:] == known[-2:]


@dataclass(frozen=True)
class Scale:
    """A field whose values have an order: a number, or words from the lowest to the highest."""

    field: str
    words: tuple[str, ...] = ()

    def place(self, value: object) -> float | None:
        """Where a value stands on it; None for one that does not."""
        if self.words:
            return float(self.words.index(value)) if isinstance(value, str) and value in self.words else None
        return float(value) if isinstance(value, int | float) else None


class Vocabulary:
    """The words of a catalogue's `fields`. A value that two fields share is read beside its field's noun."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = fields
        self.spans, bases = _spans(fields)
        self._names = {name: bases.get(name) or _own(field, fields) for name, field in fields.items()}
        self.nouns = {name: _nouns(self._names[name]) for name in fields}
        for name in fields:  # "how many ingredients" is of their number
            if self.counts(name):
                self.nouns[name] += tuple(noun for noun in _plurals(self.nouns[name.removesuffix(COUNT)]))
        lasts = Counter(_words(name)[-1] for name in fields)
        for name, own in self._names.items():  # "time" for prep_time_min, where no other field is called so
            words = _words(own)
            words = words[: words.index("per")] if "per" in words[1:] else words  # "price" of price_per_night
            head = [word for word in words if word not in UNITS][-1:]
            if head and len(head[0]) > 3 and not any(head[0] in nouns for nouns in self.nouns.values()):
                self.nouns[name] += (head[0],)
            first, *rest = _bare(own).split() or [""]
            if rest and lasts[rest[-1]] > 1 and not any(first in nouns for nouns in self.nouns.values()):
                self.nouns[name] += (first,)  # "frame" for frame_colour, beside seat_colour
            if fields[name].kind == "number":
                self.nouns[name] += tuple(noun[:-1] for noun in self.nouns[name] if noun[-1:] == "s")
        shared = Counter(fold(value) for field in fields.values() for value in field.values)
        parts = Counter(
            word for field in fields.values() for value in field.values for word in set(fold(value).split())
        )
        ends = Counter(value.split()[-1] for value in shared.elements() if value)
        others = shared + (parts - ends)  # a tote bag is a bag, but a western boot is no western
        surfaces = []
        for field in fields.values():
            for value in field.values:
                surfaces += surfaces_of(field, value, self.nouns[field.name], (shared, parts, others))
        surfaces.sort(key=lambda surface: (-surface.length, not surface.sure, surface.field, surface.value))
        self.surfaces = tuple(surfaces)

    @cached_property
    def units(self) -> dict[str, tuple[str, ...]]:
        """Words that say which number is meant, by number field."""
        table = english()["units"]
        return {
            name: tuple(
                dict.fromkeys(
                    unit
                    for word in _words(self._names[name])
                    for unit in table.get(word, (word,) if word in UNITS else ())
                )
            )
            for name, field in self.fields.items()
            if field.kind == "number" and not field.days
        }

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """The fields with an order."""
        known = [tuple(scale) for scale in english()["scales"]]
        scales = {}
        for name, field in self.fields.items():
            values = {value.casefold(): value for value in field.values}
            if field.kind == "number":
                scales[name] = Scale(name)
            elif field.values and all(re.fullmatch(r"\d+(?:\.\d+)?s?", value) for value in field.values):
                scales[name] = Scale(
                    name, tuple(sorted(field.values, key=lambda value: float(value.rstrip("s"))))
                )
            else:
                fitting = [scale for scale in known if set(values) <= set(scale) and len(values) > 1]
                if fitting:
                    scales[name] = Scale(name, tuple(values[word] for word in fitting[0] if word in values))
        return scales

    @cached_property
    def moods(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Words of mood and occasion -> the values that suit them here."""
        by_value = {
            value.casefold(): (field.name, value) for field in self.fields.values() for value in field.values
        }
        return {
            mood: suiting
            for mood, values in english()["moods"].items()
            if (suiting := tuple(by_value[value] for value in values if value in by_value))
            and mood not in by_value
        }

    @cached_property
    def _spelt(self) -> tuple[str, ...]:
        """Single words of five letters or more that mean something here."""
        table = english()["synonyms"]
        values = [value for field in self.fields.values() for value in field.values]
        phrases = [*values, *(word for value in values for word in table.get(value.casefold(), ()))]
        phrases += [*self.moods, *(noun for nouns in self.nouns.values() for noun in nouns)]
        words = {word for phrase in phrases for word in re.findall(r"[^\W\d_]{5,}", phrase.casefold())}
        return tuple(sorted(words))

    def mended(self, text: str) -> str:
        """The text with typing errors in words of values, moods and nouns put right: a letter too many, one
        left out or two swapped; in long words two errors that leave the end as it is.
        """
        calendar = " ".join(english()["days"].values()) if self.days else ""
        known = {
            *self._spelt,
            *re.findall(r"[a-z]+", calendar),
            *english()["too"],
            *self.comparatives,
            *self.superlatives,
        }

        def mend(hit: re.Match[str]) -> str:
            word = hit.group().casefold()
            if word in known or word in chat() or word in stop_words() or word.rstrip("s") in known:
                return hit.group()
            if len(word) == 4:  # "funy": a letter that was not doubled
                return next(
                    (other for other in self._spelt if _undoubled(other) == _undoubled(word)), hit.group()
                )
            near = process.extractOne(word, self._spelt, scorer=OSA.distance, score_cutoff=2)
            if word.endswith("s") and (
                near is None or not _slip(word, near[0], int(near[1]))
            ):  # in the plural
                word = word[:-1]
                near = process.extractOne(word, self._spelt, scorer=OSA.distance, score_cutoff=2)
            return near[0] if near and _slip(word, near[0], int(near[1])) else hit.group()

        for free in self._free:  # a value, and no refusal of gluten
            text = re.sub(rf"\b{re.escape(free)}\b", free.replace("-", " "), text, flags=re.IGNORECASE)
        return re.sub(r"(?<![\w'-])[^\W\d_]{4,}(?!(?!'s\b)[\w'-])", mend, text)

    @cached_property
    def _free(self) -> tuple[str, ...]:
        """Values such as "gluten-free"."""
        values = (spoken(value) for field in self.fields.values() for value in field.values)
        return tuple(value for value in values if value.casefold().endswith("-free"))

    def counts(self, name: str) -> bool:
        """Whether a field counts the values of another one."""
        return name.endswith(COUNT) and name.removesuffix(COUNT) in self.fields

    @cached_property
    def uncounted(self) -> dict[str, tuple[str, ...]]:
        """The nouns of the fields that count no others."""
        return {name: nouns for name, nouns in self.nouns.items() if not self.counts(name)}

    def own(self, name: str) -> str:
        """A field's name without what says which end of a span it is: salary of salary_min."""
        return self._names[name]

    @cached_property
    def days(self) -> tuple[str, ...]:
        """The fields that hold days."""
        return tuple(name for name, field in self.fields.items() if field.days)

    def called(self, name: str) -> str:
        """A field in one short word where there is one: "tempo" for tempo_bpm."""
        own = self._names.get(name, name)
        word = _noun(own)
        return word if word and self._often[word] < 2 else _bare(own) or own

    @cached_property
    def _often(self) -> Counter[str]:
        return Counter(map(_noun, self._names.values()))

    def spoken_of(self, name: str) -> set[str]:
        """The words that a field is spoken of in."""
        nouns = self.nouns.get(name, ())
        words = {*nouns, *(word for noun in nouns for word in noun.split())}
        return words | {f"{word}s" for word in words}

    def kin(self, stems: Sequence[str]) -> list[str]:
        """The fields whose names have one of these words, or tell of the same: tempo and speed."""
        words = {word for stem in stems for word in (stem, *_words(stem))}
        groups = (set(own) for _, own in english()["comparatives"].values() if words & set(own))
        wide = set(stems).union(*groups)
        return [name for name, own in self._names.items() if name in wide or wide & set(_words(own))]

    def meant_by(self, noun: str) -> list[str]:
        """The fields that a noun speaks of, and what tells the same of an item."""
        own = [name for name, nouns in self.nouns.items() if noun.casefold() in nouns]
        return list(dict.fromkeys([*own, *self.kin([noun.casefold(), *own])]))

    @property
    def asking(self) -> dict[str, list[str]]:
        """Asking words ("how long") and the words in the names of the fields that they ask for."""
        asked: dict[str, list[str]] = english()["asked"]
        return asked

    def scale_for(self, stems: Sequence[str]) -> Scale | None:
        """The ordered field that a comparative speaks of: a number rather than words, days before years."""
        fitting = [
            scale
            for name, scale in self.scales.items()
            if any(stem in _words(self._names[name]) for stem in stems)
            or ("date" in stems and name in self.days[:1])
        ]
        if not fitting and "year" in stems:  # "the oldest" of vintages
            fitting = [scale for name, scale in self.scales.items() if self.is_year(name)]
        order = {name: bool(scale.words) + (name not in self.days) for name, scale in self.scales.items()}
        return min(fitting, key=lambda scale: order[scale.field]) if fitting else None

    def is_year(self, name: str) -> bool:
        """Whether a number without a unit is a year, by its values."""
        field = self.fields[name]
        ends = (field.low, field.high, *field.quarters)
        bare = field.kind == "number" and not field.days and not self.units.get(name)
        return bare and all(1400 <= end <= 2100 and float(end).is_integer() for end in ends)

    @cached_property
    def comparatives(self) -> dict[str, tuple[bool, Scale | None]]:
        """Comparatives -> whether they go up, and the ordered field that they speak of here: "slower", and
        "fewer calories" of a field of that name; where none tells the tempo, "quicker" is of shorter time.
        """
        words, otherwise = compared(), english()["otherwise"]
        table = {word: (way == "up", self.scale_for(stems)) for word, (way, stems) in words.items()}
        for word, other in otherwise.items():
            table[word] = table[word] if table[word][1] else table[other]
        for name, scale in self.scales.items():
            if name in self.days or name in self.spans.values():
                continue
            units = [unit for unit in self.units.get(name, ()) if unit.isalpha() and len(unit) > 3]
            for noun in (*self.nouns[name], *units):
                for up, forms in ((False, ("less", "fewer", "lower")), (True, ("more", "higher"))):
                    for form in forms:
                        table.setdefault(f"{form} {noun}", (up, scale))
        return {  # of a span what goes up is its upper end
            word: (up, self.scales[self.spans[scale.field]] if up and scale.field in self.spans else scale)
            if scale
            else (up, None)
            for word, (up, scale) in table.items()
        }

    @cached_property
    def superlatives(self) -> dict[str, str]:
        """Superlatives -> the comparative whose end they are: "slowest", "fewest calories"."""
        ends = {"fewest": "fewer", "least": "less", "lowest": "lower", "most": "more", "highest": "higher"}
        own = {
            f"{end} {word.removeprefix(comparative).strip()}": word
            for end, comparative in ends.items()
            for word in self.comparatives
            if word.startswith(f"{comparative} ")
        }
        known: dict[str, str] = english()["superlatives"]
        return {**own, **known}

    def end_of(self, comparative: str) -> tuple[bool, Scale | None]:
        """Whether a comparative ("slower") goes up, and the ordered field that it speaks of here."""
        return self.comparatives.get(comparative, (False, None))

    def measured(self, text: str) -> bool:
        """Whether a question counts what a number of an item tells: "how many calories"."""
        own = [
            noun for name in self.units for noun in (*self.nouns[name], *self.units[name]) if noun.isalpha()
        ]
        return bool(own and re.search(rf"\bhow many (?:{'|'.join(own)})\b", text, re.IGNORECASE))

    def asked_for(self, text: str) -> tuple[str, ...]:
        """The fields that a question asks about, by noun or by asking word ("who", "how fast")."""
        folded = f" {fold(text)} "
        matches = {
            (name, len(noun))
            for name, nouns in self.nouns.items()
            for noun in nouns
            if re.search(rf" {re.escape(fold(noun))}s? ", folded)
        }
        if matches:
            longest = max(length for _, length in matches)
            names = tuple(name for name in self.nouns if (name, longest) in matches)
            number = re.search(r"\b(?:how many|number of|count of)\b", text, re.IGNORECASE) is not None
            return tuple(n for n in names if self.counts(n) == number) or names
        if self.days and " when " in folded:
            return self.days[:1]
        for asking, stems in english()["asked"].items():
            if f" {asking} " in folded:
                for stem in stems:
                    hits = [name for name in self.fields if stem in _words(name)]
                    if hits:
                        return tuple(hits)
        return ()


_LOW, _HIGH = (
    ("min", "minimum", "from", "low", "lowest", "lower", "least", "start"),
    ("max", "maximum", "to", "high", "highest", "upper", "most", "end"),
)


def _spans(fields: Mapping[str, Field]) -> tuple[dict[str, str], dict[str, str]]:
    """Fields that are the ends of a span (salary_min, salary_max): the upper by the lower; their names."""
    pairs, names = dict[str, str](), dict[str, str]()
    numbers = {name: _words(name) for name, field in fields.items() if field.kind == "number"}
    by_words = {tuple(words): name for name, words in numbers.items()}
    for name, words in numbers.items():
        for low, high in zip(_LOW, _HIGH, strict=True):
            other = by_words.get(tuple(high if word == low else word for word in words))
            base = "_".join(word for word in words if word != low)
            if low in words and base and other and fields[name].days == fields[other].days:
                pairs[name], names[name], names[other] = other, base, base
    return pairs, names


def _plurals(nouns: Sequence[str]) -> list[str]:
    """What of nouns can be counted: "ingredients" and "ingredient"."""
    singles = [noun.removesuffix("s") for noun in nouns]
    many = [f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s" for noun in singles]
    return list(dict.fromkeys([*many, *singles]))


def _own(field: Field, fields: Mapping[str, Field]) -> str:
    """A field's name as it is said: of a count, and without the unit of a length of time that is no year:
    "warranty" for warranty_year.
    """
    base = field.name.removesuffix(COUNT)
    if base != field.name and base in fields:
        return f"number_of_{base}"
    spans = field.kind == "number" and field.high < 1000
    return re.sub(r"[\W_]+years?$", "", field.name, flags=re.IGNORECASE) if spans else field.name


def _words(name: str) -> list[str]:
    """The words of a field's name, in English where columns of other languages are called so (`preis`)."""
    return [_ABROAD.get(word, word) for word in re.split(r"[\W\d_]+", name.casefold())]


def _noun(name: str) -> str:
    """The word of a field's name that is known to be a noun; empty where none is."""
    return next((word for word in _words(name) if word in english()["nouns"]), "")


def _bare(name: str) -> str:
    """A field's name in words, without a unit at its end: "prep time" for prep_time_min."""
    words = [word for word in _words(name) if word]
    return " ".join(words[:-1] if words[1:] and words[-1] in UNITS else words)


def _nouns(name: str) -> tuple[str, ...]:
    table = english()["nouns"]
    own = " ".join(word for word in _words(name) if word)
    return tuple(
        dict.fromkeys(
            [
                *(_bare(name), own, name.replace("_", " ").casefold()),
                *(noun for word in _words(name) for noun in table.get(word, ())),
            ]
        )
    )
