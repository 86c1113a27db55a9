"""What a message says, read back by two readers that share no pattern: one takes wishes out of the words, the
other looks for evidence of each wish that was meant. A wish counts as said when either finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tastemaker.converse.constraints import Change, Clause, Constraint, demands, merge
from tastemaker.converse.language.lexicon import Lexicon, called, plain
from tastemaker.converse.reading.wishes import Wishes

_WORD = re.compile(r"[^\W_]+(?:[/'#♯♭][^\W_]*)*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NEGATES = re.compile(
    r"\b(?:no|not|nor|never|without|except|avoid|skip|nothing|anything but|other than|less of|rather than|"
    r"instead of|tired of|enough of|had my fill|spare me|leave out|away from|hate|dislike|\w+n't)\b",
    re.IGNORECASE,
)
_LETS_GO = re.compile(
    r"\b(?:any|anything|whatever|whichever|matters?|mind|care|worry|forget|drop|ignore|open|free|no longer|"
    r"not important|skip|let go|relax|never mind|set on|fussy|picky|up to you|insist)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"\b(?:same|similar|like|likewise|again|that|this|it|last|one|match\w*|as)\b", re.IGNORECASE
)
_SHOWS = re.compile(
    r"\b(?:record\w*|clip|sound|audio|picture|image|photo\w*|cover|attach\w*|this|here)\b", re.IGNORECASE
)
_PART = re.compile(r"[.;:!?\n]+\s*|,\s*(?:but|and|just|only)\b|\b(?:but|just|only)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Mention:
    """An item that both sides know: its handle, id and names."""

    handle: str
    item_id: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Utterance:
    """One message of the listener and the items played before it."""

    text: str
    played: tuple[Mention, ...] = ()

    @property
    def without_names(self) -> str:
        """The text with the names of played items blanked: they are no wishes."""
        text = plain(self.text)
        names = {plain(name) for mention in self.played for name in mention.names if name.strip()}
        for name in sorted(names, key=len, reverse=True):
            text = re.sub(rf'"{re.escape(name)}"|(?<!\w){re.escape(name)}(?!\w)', "that one", text)
        return text


@lru_cache(maxsize=4096)
def read_changes(lexicon: Lexicon, text: str) -> tuple[Change, ...]:
    """What the assistant's reader takes out of a text; read once, whoever asks."""
    return _wishes(lexicon).read(text).changes


@lru_cache(maxsize=4)
def _wishes(lexicon: Lexicon) -> Wishes:
    return Wishes(lexicon.vocabulary, lambda row, field: None)


Value = Callable[[str, str], Any]
Wanted = tuple[str, Clause]


class Readers:
    """Both readers. value: (item id, field) -> what is known of it, for "the same key as that one"."""

    def __init__(self, lexicon: Lexicon, value: Value = lambda item, field: None) -> None:
        self.lexicon, self.value = lexicon, value

    def read(self, utterance: Utterance) -> tuple[Change, ...]:
        """What the first reader takes out of the words."""
        return read_changes(self.lexicon, utterance.without_names)

    def misread(
        self, utterance: Utterance, intended: Sequence[Change], before: Sequence[Constraint]
    ) -> tuple[list[Change], list[Constraint]]:
        """(changes that no reader finds in the message, demands that it makes and that were not meant).

        before: the constraints that stood before it. A standing wish said again is no new demand.
        """
        changes, after = self.read(utterance), merge(before, intended)
        wants = {self._wanted(change) for change in changes if change.op != "drop"}
        dropped = {change.clause.field for change in changes if change.op == "drop"}
        missing = [
            change
            for change in intended
            if change.kind != "prefer"
            and not (change.clause.field in dropped if change.op == "drop" else self._wanted(change) in wants)
            and not evident(change, utterance, self.lexicon)
        ]
        fine = {self._wanted(line) for line in (*before, *after)}
        extra = [
            change.constraint
            for change in changes
            if change.op != "drop"
            and change.kind != "prefer"
            and not self._stands(change, fine)
            and evident(change, utterance, self.lexicon, everyday=False)
        ]
        meant_to_go = {change.clause.field for change in intended if change.op == "drop"}
        dropped -= {
            *self.lexicon.vocabulary.kin(sorted(meant_to_go))
        } - meant_to_go  # "any pace" lifts a tempo too
        lost = [line for line in demands(before) if line.clause.field in dropped and line in after]
        return missing, extra + lost

    def _wanted(self, line: Change | Constraint) -> Wanted:
        """Strength and clause, with a value in place of an item that it is the same as."""
        clause = line.clause
        if clause.cmp == "same_group" and (value := self.value(str(clause.value), clause.field)):
            clause = Clause(clause.field, "in" if isinstance(value, tuple) else "eq", value)
        if clause.cmp == "contains":
            clause = Clause(clause.field, "eq", clause.value)
        return line.kind, clause

    def _stands(self, change: Change, fine: set[Wanted]) -> bool:
        """Whether a demand read is one of those that may be made; numbers need not be read to the letter."""
        wanted = self._wanted(change)
        clause = wanted[1]
        number = clause.cmp in ("le", "ge", "between")
        return wanted in fine or (
            number and any(c.field == clause.field and c.cmp in ("le", "ge", "between") for _, c in fine)
        )


def evident(change: Change, utterance: Utterance, lexicon: Lexicon, everyday: bool = True) -> bool:
    """Whether the message bears witness to a change: its value, numbers or reference with the right sign.

    everyday: whether an everyday word for a value is witness enough ("my fiddle" asks for nothing).
    """
    text = plain(utterance.text)
    clause, words = change.clause, lexicon.fields.get(change.clause.field)
    nouns = words.nouns if words is not None else (clause.field,)
    names_field = any(_holds(noun, text) for noun in nouns)
    if change.op == "drop":
        return bool(_LETS_GO.search(text)) and (names_field or words is None)
    if change.attached:
        return bool(_SHOWS.search(text))
    if clause.cmp in ("same_group", "similar_to"):
        media = {"audio": "sound", "image": "cover"}.get(clause.field)
        about = names_field or media is None or _holds(media, text)
        names_item = any(name in text for item in utterance.played for name in item.names)
        return about and (names_item or bool(_POINTS.search(text)))
    if clause.cmp in ("le", "ge", "between"):
        numbers = {float(number) for number in _NUMBER.findall(text)}
        ends = clause.value if isinstance(clause.value, tuple) else (clause.value,)
        return {float(end) for end in ends} <= numbers
    refused = change.kind == "must_not"
    values = clause.value if isinstance(clause.value, tuple) else (str(clause.value),)
    return all(
        any(_signed(name, text, refused) for name in called(str(value))[: None if everyday else 1])
        for value in values
    )


def _stem(word: str) -> str:
    """A word without its ending; a single letter keeps its case, for keys are written large."""
    if len(word) <= 2:
        return word
    folded = word.casefold().removesuffix("'s")
    for ending in ("ies", "ing", "ed", "es", "s", "y", "ly"):
        if len(folded) - len(ending) >= 3 and folded.endswith(ending):
            return folded.removesuffix(ending)
    return folded


def _holds(phrase: str, text: str) -> bool:
    wanted = [_stem(word) for word in _WORD.findall(phrase)]
    words = [_stem(word) for word in _WORD.findall(text)]
    return bool(wanted) and any(
        words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1)
    )


def _signed(phrase: str, text: str, refused: bool) -> bool:
    """Whether a part of the text says the phrase, and with a negation exactly when it is refused."""
    return any(
        _holds(phrase, part) and bool(_NEGATES.search(part)) == refused for part in _PART.split(text) if part
    )
