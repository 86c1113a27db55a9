"""Numbers and years in a message: bounds, ranges and "around", for the field that they are meant for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tastemaker.converse.constraints import Change, Clause, Strength
from tastemaker.converse.reading.passage import Text
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.words import english

NUMBER = r"(\d+(?:[.,]\d+)?)"
LEAST = (
    r"(?:at least|no less than|not less than|not below|over|above|from|more than|more quick than|more fast"
    r" than|upwards of|minimum(?:"
    r" of)?|min\.?|no slower than|not slower than|faster than|quicker than|no fewer than|north of|longer"
    r" than|newer than|higher than|no cheaper than|>=?)"
)
MOST = (
    r"(?:at most|no more than|not more than|not above|not over|under|below|up to|less than|less quick"
    r" than|less fast than|maximum(?:"
    r" of)?|max\.?|no faster than|not faster than|slower than|no higher than|cheaper than|fewer than|shorter"
    r" than|lower than|within|not exceeding|south of|<=?)"
)
ABOUT = r"(?:around|about|roughly|approximately|approx\.?|circa|somewhere around|near|close to|~|-?ish)"
LATER, SOONER = (
    r"(?:after|since|later than|newer than|not before)",
    r"(?:before|until|earlier than|older than|not after|pre-?)",
)
BARE = rf"\b(?:between|from) {NUMBER} ?(?:and|to|-) ?{NUMBER}(?![\w/'])"
CLOSE = 0.1  # how far "around" reaches, as a share


class Numbers:
    """Reads the numbers that this vocabulary has fields for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        numbers = [name for name, known in vocabulary.fields.items() if known.kind == "number"]
        self._numbers: Mapping[str, tuple[str, ...]] = {
            name: vocabulary.units.get(name, ()) for name in numbers
        }

    def read(self, text: Text) -> None:
        """Bounds that carry a unit or a noun, or that only one number field could hold."""
        for name, units in self._numbers.items():
            nouns = "|".join(re.escape(noun) for noun in self.vocabulary.nouns[name])
            unit = "|".join(re.escape(word) for word in sorted(units, key=len, reverse=True))
            signs = "".join(re.escape(word) for word in units if len(word) == 1 and not word.isalnum())
            after = rf"[ -]?(?:{unit})(?!\w)" if unit else r"(?!)"
            money = rf"[{signs}] ?" if signs else r"(?!)"
            noun = rf"\b(?:{nouns})(?: of| is| should be| around| between|:)? ?"
            for before, behind in ((noun, f"(?:{after})?"), ("", after), ("", f"(?= (?:{nouns}))")):
                self._bounds(text, name, before, behind, "")
            if signs:
                self._bounds(text, name, "", "", money)
            self._bare(text, name)

    def _bounds(self, text: Text, name: str, before: str, behind: str, sign: str) -> None:
        number = (rf"(?:{sign})" if sign else "") + NUMBER
        loose = r"(?:(?!\b(?:or|and)\b)[^.;!?\d]){0,12}?" if before else ""
        for hit in text.each(rf"{before}(?:between |from )?{number} ?(?:and|to|-) ?{number}{behind}"):
            low, high = sorted(figure(part) for part in hit.groups()[:2])
            text.add(hit.start(), Change("add", "must", Clause(name, "between", (low, high))))
        for words, cmp in ((LEAST, "ge"), (MOST, "le")):
            for hit in text.each(rf"{before}{loose}(?<!no )(?<!not ){words} ?{number}{behind}"):
                text.add(hit.start(), Change("add", "must", Clause(name, cmp, figure(hit[1]))))
        for tail, cmp in (
            (r" ?(?:or more|or above|or faster|or higher|and up|\+|plus|minimum|at least)", "ge"),
            (r" ?(?:or less|or under|or below|or slower|or fewer|max|maximum|at most|tops)", "le"),
        ):
            for hit in text.each(rf"{before}{number}{behind}{tail}"):
                text.add(hit.start(), Change("add", "must", Clause(name, cmp, figure(hit[1]))))
        for hit in text.each(rf"{before}{loose}(?:{ABOUT} ?)?{number}(?:ish)?{behind}(?: or so)?"):
            middle = figure(hit[1])
            exact = "exactly" in text.whole[max(0, hit.start() - 12) : hit.end()].lower()
            reach = 0.0 if exact else CLOSE * middle
            kind: Strength = "must_not" if text.negated(hit.start()) else "must"
            span = (round(middle - reach, 3), round(middle + reach, 3))
            text.add(hit.start(), Change("add", kind, Clause(name, "between", span)))

    def _bare(self, text: Text, name: str) -> None:
        """ "Faster than 120", "under 50": a number that only this field can hold, for its range and its
        words.
        """
        known = self.vocabulary.fields[name]
        stems = re.split(r"[^a-z]+", name.casefold())
        table = english()["comparatives"]
        ups = [word for word, (way, own) in table.items() if way == "up" and set(own) & set(stems)]
        downs = [word for word, (way, own) in table.items() if way == "down" and set(own) & set(stems)]
        for compared, cmp in ((ups, "ge"), (downs, "le")):
            if compared:
                flip = {"ge": "le", "le": "ge"}[cmp]
                said = "|".join(map(re.escape, compared))
                for hit in text.each(rf"\b(no |not )?(?:{said}) than {NUMBER}\b(?!\w)"):
                    way = flip if hit[1] else cmp
                    text.add(hit.start(), Change("add", "must", Clause(name, way, figure(hit[2]))))
        fits = [n for n, other in self.vocabulary.fields.items() if other.kind == "number"]
        if len(fits) == 1:
            for words, cmp in ((LEAST, "ge"), (MOST, "le"), (LATER, "ge"), (SOONER, "le")):
                for hit in text.each(rf"\b{words} {NUMBER}(?![\w/']| ?(?:to|and|-) ?\d)"):
                    if known.low / 2 <= figure(hit[1]) <= known.high * 2:
                        text.add(hit.start(), Change("add", "must", Clause(name, cmp, figure(hit[1]))))

    def ranges(self, text: Text) -> None:
        """ "Before 1990", "since the 80s", "the 60s to the 80s" on words that are numbers."""
        for name, scale in self.vocabulary.scales.items():
            if not scale.words or not scale.words[0].rstrip("s").replace(".", "").isdigit():
                continue
            year = r"(?:the )?'?(\d{4}|\d{2})'?s?"
            values = {word: float(word.rstrip("s")) for word in scale.words}
            decades = all(word.endswith("s") for word in scale.words)
            reach = 9 if decades else 0
            for hit in text.each(rf"\b(?:between |from )?{year} (?:and|to|through) {year}\b"):
                low, high = sorted(year_of(part) for part in hit.groups())
                self._years(
                    text,
                    hit.start(),
                    name,
                    [w for w, v in values.items() if v + reach >= low and v <= high],
                )
            for hit in text.each(rf"\b{LATER} {year}\b"):
                self._years(text, hit.start(), name, [w for w, v in values.items() if v >= year_of(hit[1])])
            for hit in text.each(rf"\b{SOONER} {year}\b"):
                self._years(text, hit.start(), name, [w for w, v in values.items() if v < year_of(hit[1])])
            if decades:
                for hit in text.each(r"\b(?:in|from|of) (\d{4})\b(?!s)"):
                    self._years(
                        text,
                        hit.start(),
                        name,
                        [w for w, v in values.items() if v <= float(hit[1]) <= v + 9],
                    )

        self._unnamed(text)

    def _unnamed(self, text: Text) -> None:
        """ "Between 90 and 95": of the only number field whose values hold both, or that there is."""
        for hit in re.finditer(BARE, text.text, re.IGNORECASE):
            low, high = sorted(figure(part) for part in hit.groups())
            known = [self.vocabulary.fields[name] for name in self._numbers]
            around = [one for one in known if one.low <= low and high <= one.high]
            if not around and len(known) == 1:
                around = [one for one in known if one.low / 2 <= low and high <= one.high * 2]
            if len(around) == 1:
                text.take(hit.start(), hit.end())
                kind: Strength = "must_not" if text.negated(hit.start()) else "must"
                text.add(hit.start(), Change("add", kind, Clause(around[0].name, "between", (low, high))))

    def _years(self, text: Text, at: int, name: str, words: Sequence[str]) -> None:
        if words:
            kind: Strength = "must_not" if text.negated(at) else "must"
            text.add(at, replace(among(name, tuple(words)), kind=kind))


def among(name: str, values: Sequence[str], cmp: str = "eq") -> Change:
    if len(values) == 1:
        return Change("add", "must", Clause(name, cmp, values[0]))
    return Change("add", "must", Clause(name, "in", tuple(values)))


def ranged(left: str) -> str:
    """A range in words that nothing read; empty where there is none."""
    hit = re.search(BARE, left, re.IGNORECASE)
    return hit.group() if hit else ""


def figure(text: str) -> float:
    return float(text.replace(",", "."))


def year_of(text: str) -> float:
    year = float(text)
    return year if year >= 100 else 1900 + year if year >= 20 else 2000 + year
