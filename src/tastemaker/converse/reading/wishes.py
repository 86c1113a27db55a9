"""Free words into constraints: values, numbers, comparisons, corrections, what is taken back, by clause."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import tastemaker.converse.reading.times.days as days
import tastemaker.converse.reading.times.years as years
import tastemaker.converse.reading.unread as unread
from tastemaker.converse.constraints import Change, Clause, Strength
from tastemaker.converse.reading.lifts import ALONE, ONLY, lift_fields, manner_of
from tastemaker.converse.reading.numbers import ABOUT, LEAST, MOST, UNITS, Numbers, among
from tastemaker.converse.reading.passage import (
    CONTRAST,
    CORRECTION,
    FALLBACK,
    NEGATION,
    NONE_OF,
    REACH,
    RESTART,
    TOGETHER,
    Text,
    joined,
)
from tastemaker.converse.reading.plain import plain
from tastemaker.converse.reading.scales import adjectives, comparatives, free, multiples, opposed_mood
from tastemaker.converse.reading.surfaces import LEAD, SHORT, bounded
from tastemaker.converse.reading.together import (
    Spot,
    clause_of,
    either_of,
    for_each,
    numbers_of,
    read_apart,
    read_together,
    refused_together,
    values_of,
    ways_of,
)
from tastemaker.converse.reading.vocabulary import Facts, Vocabulary

FURTHER = re.compile(
    r"^\W*(?:(?:yes|ok(?:ay)?|great|good|fine|hmm+|well|oh|um|uh|so)\W+)*"
    r"(?:and|or|plus|also|as well as|add)\b|\b(?:too|as well)\W*$",
    re.IGNORECASE,
)
# A refused number ends where another sort of thing follows: "not over 100 bpm, in D".
NUMBER_ENDS = re.compile(
    r"(?<![/\d.])\d+(?:\.\d+)?(?: ?[a-z%]+)?, (?:in|by|with|from|on|for) (?!no\b|not\b)[^,.;!?]*$", re.I
)
_OR_A = re.compile(r"s?,? or an? [a-z]{3,} ", re.IGNORECASE)  # "a western or a sad musical"
_OF = r"(?: (?:for|on)(?: an?| the| my)?)? $"
BOUND_ENDS = re.compile(rf"\b(?:{LEAST}|{MOST}|{ABOUT}) [$€£]?\d+(?:\.\d+)?(?: ?(?:{UNITS}))?{_OF}", re.I)


@dataclass(frozen=True)
class WishReading:
    """What one message says. changes: to the active constraints, in order. restart: all before is taken back.

    left: the message with what was read blanked by NUL. moods: words that ask softly. values: each (field,
    value) that was named. further: it goes on with what was asked before ("and ..."). unclear: what to say of
    a value that may have been meant for the last of several alone, or of what nothing here tells. relative:
    the fields that were compared with what was shown. manner: how values are spoken of beside being wished or
    refused; see `lifts.manner_of`.
    """

    changes: tuple[Change, ...] = ()
    restart: bool = False
    left: str = ""
    moods: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    further: bool = False
    unclear: str = ""
    relative: frozenset[str] = frozenset()
    manner: Mapping[Clause, str] = field(default_factory=dict)

    @property
    def lets_go(self) -> bool:
        """Whether all that a message does is to let wishes and refusals go."""
        return bool(self.changes) and all(c.op == "drop" or c.clause in self.manner for c in self.changes)


class Wishes:
    """Reads messages about a catalogue with this vocabulary. `value(row, field)`: of an item."""

    def __init__(self, vocabulary: Vocabulary, value: Facts) -> None:
        self.vocabulary, self.value = vocabulary, value
        self._numbers = Numbers(vocabulary)

    def read(self, message: str, focus: Sequence[int] = ()) -> WishReading:
        """What a message changes; `focus`: rows that "slower" or "that key" speak of."""
        vocabulary = self.vocabulary
        text = Text(_unwound(self._numbers.listed(vocabulary.mended(plain(message)))))
        second = _second_choice(text)
        restart = text.each(RESTART.pattern)
        for hit in restart:
            text.ends(*hit.span())
        text.each(r"\banti[- ]\w+")  # neither a wish for it nor a refusal
        lift_fields(text, vocabulary)
        days.days(text, vocabulary)
        years.years(text, vocabulary)
        multiples(text, vocabulary, self.value, focus)
        odd = unread.odd(text, self._numbers.words)
        self._numbers.read(text)
        self._likenesses(text, focus)
        comparatives(text, vocabulary, self.value, focus)
        years.ranges(text, vocabulary)
        self._numbers.ranges(text)
        strange = self._numbers.strange(text)
        values, unclear, manner = self._values(text, second)
        if years.alone(text, vocabulary):
            self._numbers.alternatives(text)
        free(text, vocabulary)
        adjectives(text, vocabulary)
        strange = strange or years.absent_decades(text, vocabulary)
        moods = self._moods(text)
        ordered = [change for _, change in sorted(text.changes, key=lambda entry: entry[0])]
        return WishReading(
            tuple(_consistent(ordered)),
            bool(restart),
            text.text,
            moods,
            values,
            bool(FURTHER.search(text.whole)),
            odd or strange or unclear,
            frozenset(text.relative),
            manner,
        )

    def _likenesses(self, text: Text, focus: Sequence[int]) -> None:
        """ "The same key", "in that key", "a different book", seen from the item in focus."""
        if not focus:
            return
        for name, nouns in self.vocabulary.uncounted.items():
            noun = "|".join(re.escape(noun) for noun in nouns)
            for hit in text.each(
                r"\b(?:((?:the |that )?same|(?:in|by|from|not|of) that)|(?:an?|some)(?:other| different)"
                rf"|not the same) (?:{noun})\b(?: as (?:that|it|this|the last)(?: one)?)?"
            ):
                value = self.value(focus[-1], name)
                if value is None:
                    continue
                same = bool(hit[1]) and not text.negated(hit.start()) and hit[1][:3].lower() != "not"
                kind: Strength = "must" if same else "must_not"
                clause = (
                    Clause(name, "between", (float(value), float(value)))
                    if isinstance(value, int | float)
                    else Clause(name, "in" if isinstance(value, tuple) else "eq", value)
                )
                text.add(hit.start(), Change("add", kind, clause))

    def _values(
        self, text: Text, second: int = 0
    ) -> tuple[tuple[tuple[str, str], ...], str, dict[Clause, str]]:
        """Values by name or everyday word, longest first; "a or b" of one field is one constraint. And what
        is not clear of them, and the manner of clauses.
        """
        fields = self.vocabulary.fields
        numbers, groups = numbers_of(text, fields), self._groups(text)
        both = sorted([*groups, *numbers], key=lambda group: group[0][0])
        refused = sorted([*groups, *numbers_of(text, fields, True)], key=lambda group: group[0][0])
        together = [*read_together(text, both, fields), *refused_together(text, refused, fields)]
        taken = frozenset[int]().union(*(each.starts for each in together))
        together += read_apart(text, [group for group in both if group[0][0] not in taken])
        spent = frozenset[int]().union(*(values_together.starts for values_together in together))
        text.changes = [entry for entry in text.changes if entry[0] not in spent]
        for values_together in together:
            text.add(values_together.at, values_together.change)
        wanted: dict[
            str, tuple[int, int, tuple[str, ...]]
        ] = {}  # field -> start, end, values of one value each
        manners: dict[Clause, str] = {}
        for place, group in enumerate(groups):
            start, _, surface = group[0]
            if start in spent:
                continue
            after = next(
                (other[0][0] for other in groups[place + 1 :] if other[0][2].field == surface.field), None
            )
            if after is not None and CORRECTION.search(text.whole[start:after]):
                continue  # "a waltz, no, make it a hornpipe"
            kind = "must_not" if text.negated(start) and not self._freed(text, groups, place) else "must"
            values = tuple(dict.fromkeys(spot[2].value for spot in group))
            several = self.vocabulary.fields[surface.field].kind == "words"
            between = [text.whole[a[1] : b[0]] for a, b in pairwise(group)]
            all_of_them = several and (
                any(re.search(r"\band\b|\bwith\b", joint) for joint in between)
                or not any(re.search(r"\bor\b|/", joint) for joint in between)  # "vegan, gluten-free"
            )
            manner = manner_of(text, start, group[-1][1])
            alone = several and (ALONE.search(text.whole[:start]) or ONLY.match(text.whole, group[-1][1]))
            if kind == "must_not" or all_of_them or manner:
                kind = "must_not" if manner in ("let go", "not alone") else kind
                for value in values:
                    clause = Clause(surface.field, "contains" if several else "eq", value)
                    text.add(start, Change("replace" if alone and kind == "must" else "add", kind, clause))  # type: ignore[arg-type]
                    manners |= {clause: manner} if manner else {}
            elif several:
                change = among(surface.field, values, "contains")
                if len(values) == 2 and re.match(r"\W*(?:but )?not both\b", text.whole[group[-1][1] :], re.I):
                    text.changes.append((start, _at_once(surface.field, values)))
                text.add(start, replace(change, op="replace") if alone else change)
            else:
                at, end, before = wanted.get(surface.field, (start, start, ()))
                if before and TOGETHER.search(
                    text.whole[end:start]
                ):  # "a waltz that is a jig": nothing is both
                    text.add(start, among(surface.field, values))
                    continue
                values = values if CONTRAST.search(text.whole[end:start]) else (*before, *values)
                wanted[surface.field] = at, group[-1][1], tuple(dict.fromkeys(values))
        for name, (at, _, values) in wanted.items():
            text.add(at, among(name, values))
        if second:
            _first_choices(text, groups, second)
        unclear = "" if together else for_each(text, both)
        named = sorted((spot for group in groups for spot in group), key=lambda spot: spot[0])
        return tuple((spot[2].field, spot[2].value) for spot in named), unclear, manners

    def _groups(self, text: Text) -> list[list[Spot]]:
        """Where values are named, in order; those of one field that are joined ("a or b") together."""
        spots: list[Spot] = []
        for surface in self.vocabulary.surfaces:
            for hit in list(surface.pattern.finditer(text.text)):
                refused = re.match(rf"(?:{LEAD}) ", hit.group(), re.IGNORECASE) if surface.sure else None
                spots.append((hit.start() + (refused.end() if refused else 0), hit.end(), surface))
                text.take(hit.start(), hit.end())
        _in_order(text, spots)
        groups: list[list[Spot]] = []
        for spot in spots:
            last = groups[-1][-1] if groups else None
            alike = last is not None and last[2].field == spot[2].field
            if (
                last
                and alike
                and (joined(text.whole[last[1] : spot[0]]) or _OR_A.fullmatch(text.text[last[1] : spot[0]]))
                and text.negated(last[0]) == text.negated(spot[0])
                and (
                    manner_of(text, *last[:2]) != "let go"
                    or re.search(r"\b(?:and|or)\b", text.whole[last[1] : spot[0]])
                )
            ):
                groups[-1].append(spot)
            else:
                groups.append([spot])
        return groups

    def _freed(self, text: Text, groups: Sequence[Sequence[Spot]], place: int) -> bool:
        """Whether a refusal has ended: "not over 100 bpm, in D or G", but "not slow, sad or in D"."""
        start, end, _ = groups[place][0]
        if NUMBER_ENDS.search(text.whole[:end][-REACH:]) or BOUND_ENDS.search(text.whole[:start][-REACH:]):
            return True
        if not place or not text.negated(groups[place - 1][0][0]):
            return False
        last, group = groups[place - 1][-1], groups[place]
        between = text.whole[last[1] : group[0][0]]
        goes_on = re.match(r"\s*,?\s*(?:or|nor|and)\b", between) or NEGATION.search(between)
        later = groups[place + 1][0][0] if place + 1 < len(groups) else None
        listed = later is not None and re.search(r"\b(?:or|nor)\b", text.whole[group[-1][1] : later])
        return (
            last[2].field != group[0][2].field
            and "," in between
            and not re.search(r"[.;!?]", between)
            and not goes_on
            and not listed
        )

    def _moods(self, text: Text) -> tuple[str, ...]:
        """Moods and occasions ask softly for values that suit them, or, refused, softly against."""
        moods = []
        for mood in sorted(self.vocabulary.moods, key=len, reverse=True):
            pattern = re.escape(mood).replace(r"to\ ", r"to (?:\w+ ){0,2}", 1)  # "to make the baby sleep"
            if hit := re.search(bounded(pattern), text.text, re.IGNORECASE):
                moods.append(mood)
                text.take(hit.start(), hit.end())
                no = text.negated(hit.start()) or re.search(r"\bless $", text.whole[: hit.start()], re.I)
                for name, value in self.vocabulary.moods[mood]:
                    if any(change.clause.field == name for _, change in text.changes):
                        continue
                    cmp = "contains" if self.vocabulary.fields[name].kind == "words" else "eq"
                    if no:  # "not too sad" asks softly for anything else
                        if change := opposed_mood(self.vocabulary, name, value):
                            text.changes.append((hit.start(), change))
                        continue
                    text.changes.append((hit.start(), Change("add", "prefer", Clause(name, cmp, value))))
        return tuple(moods)


_ONLY = re.compile(  # two refusals that are a wish for one thing
    r"\b(?:(?:can'?t|cannot|won'?t|don'?t|do not|doesn'?t|didn'?t|never|refuses? to)(?: \w+){0,4}?"
    r" (?:anything|any \w+)|nothing) (?:but|except(?: for)?|other than|besides)\b(?! (?:not|no|for)\b)",
    re.IGNORECASE,
)
_NOT_ONLY = re.compile(r"\bnot (?:only|just)\b(?=[^.;!?]*?(,? but(?: also)?\b|, also\b))", re.IGNORECASE)


def _unwound(message: str) -> str:
    """A message with "can't watch anything but" as "only", "not only a but b" as "a or b"; as long."""
    message = _ONLY.sub(lambda hit: "only".rjust(len(hit[0])), message)
    while hit := _NOT_ONLY.search(message):
        end = " or".ljust(hit.end(1) - hit.start(1))
        message = (
            message[: hit.start()]
            + " " * len(hit[0])
            + message[hit.end() : hit.start(1)]
            + end
            + message[hit.end(1) :]
        )
    return message


def _second_choice(text: Text) -> int:
    """Where what is wished if there is none of the first begins; "but if there is none then" becomes "or"."""
    hit, first = NONE_OF.match(text.text), ""
    if hit:  # "if there is no red, blue"
        first = hit[1]
    elif (hit := FALLBACK.search(text.text)) and not text.negated(hit.start()):
        first = text.text[: hit.start()]
    if hit is None or not first.strip():
        return 0
    text.text = text.whole = f"{first} or {text.text[hit.end() :]}"
    return len(first) + 4


def _first_choices(text: Text, groups: Sequence[Sequence[Spot]], second: int) -> None:
    """Wish softly for what is said before the place `second`, where the second choice begins."""
    before = {(s[2].field, s[2].value) for group in groups for s in group if s[0] < second}
    for at, change in [entry for entry in text.changes if (entry[1].op, entry[1].kind) == ("add", "must")]:
        clause, every = change.clause, values_of(change.clause)
        values = [value for value in every if (clause.field, value) in before]
        firsts = [among(clause.field, values).clause] if values and len(values) < len(every) else []
        if clause.cmp == "either":
            ways = ways_of(clause)
            firsts = [clause_of(*pair) for pair in ways[0] if pair not in ways[-1]]
        text.changes += [(at, Change("add", "prefer", each)) for each in firsts]


def _in_order(text: Text, spots: list[Spot]) -> None:
    """Sort by place; "no jigs please, reels" and "no comedies, dramas" wish for the second."""
    spots.sort(key=lambda spot: spot[0])
    for place, (first, second) in enumerate(pairwise(spots)):
        between, after = text.whole[first[1] : second[0]], text.whole[second[1] :]
        asked = re.fullmatch(
            r"(?: \w+)?,? (?:please|thanks|thank you),(?: (?!or\b|nor\b|no\b|not\b)\w+){0,3} ?", between, re.I
        )
        plural = all(text.whole[spot[1] - 1] == "s" or len(spot[2].value) < SHORT for spot in (first, second))
        alone = not place or not joined(text.whole[spots[place - 1][1] : first[0]])
        listed = re.match(r" *,?(?: (?:or|nor|and)\b|(?<=,) *\x00)", after, re.I) or (
            place + 2 < len(spots) and joined(text.whole[second[1] : spots[place + 2][0]])
        )
        two = (
            re.fullmatch(r", ?", between)
            and first[2].field == second[2].field
            and plural
            and alone
            and not listed
            and re.search(r"\bno $", text.whole[: first[0]], re.I)
        )
        both_in = [
            re.match(r"(?:in|from|by) ", text.whole[spot[0] : spot[1]], re.I) for spot in (first, second)
        ]
        said_anew = (
            all(both_in) and alone and not listed and re.search(r"\bnot $", text.whole[: first[0]], re.I)
        )
        again = said_anew and re.fullmatch(r", ?", between) and first[2].field == second[2].field
        if (asked or two or again) and text.negated(first[0]):
            comma = first[1] + between.index(",")
            text.ends(comma, comma + 1)


def _consistent(changes: Sequence[Change]) -> list[Change]:
    """One message's changes without repeats; a value both wanted and refused is as it was said last."""
    latest: list[Change] = []
    for change in changes:
        latest = [
            old
            for old in latest
            if not (old.clause == change.clause and (old.op, old.kind) != ("drop", "must"))
        ]
        latest.append(change)
    return latest


def _at_once(name: str, values: Sequence[str]) -> Change:
    """The refusal of what has all of some values of one field."""
    return replace(either_of([tuple((name, value) for value in values)]), kind="must_not")
