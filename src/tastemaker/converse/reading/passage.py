"""A message while it is read: what was read is blanked; what stands before a word says whether it is
refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from tastemaker.converse.constraints import Change

NEGATION = re.compile(
    r"\b(?:no|not(?! exceeding| above| over| below| under| more| less)|neither|nor|nothing|never|none"
    r" of|without|except|but not|excluding|anything but|other than|avoid|skip"
    r"|leave out|less of|don'?t (?:want|like|need|play|give|show)(?: me)?|do not"
    r" (?:want|like|need|play|give|show)|hate|can'?t stand|can'?t bear|can'?t be|cannot be|must ?n[o']t"
    r" be|shouldn'?t be"
    r"|sick of|tired of|enough of|had enough|isn'?t|is not|aren'?t|are not|rather than|instead of|lose"
    r" the|minus|dislike|doesn'?t|allergic to|fed up with)\b[^.;:!?]*$",
    re.IGNORECASE,
)
POSITIVE = re.compile(
    r"\b(?:but|just|only|instead|please give|rather|i want|i'd like|make it|give me|try)\b(?!"
    r" (?:not|no)\b)|,\s*(?:an?|some)\b",
    re.IGNORECASE,
)
PREFER = re.compile(
    r"\b(?:ideally|preferabl[ey]|if possible|if you can|would be nice|a bonus|prefer|maybe|perhaps|wouldn'?t"
    r" mind|leaning towards|bonus points)\b",
    re.IGNORECASE,
)
CORRECTION = re.compile(
    r"\b(?:actually,? no|no,? (?:wait|make|sorry)|wait,? no|i mean|scratch that|or rather)\b", re.IGNORECASE
)
INSTEAD = re.compile(
    r"\b(?:instead|i meant?|i said|change (?:it|that|the)|make (?:it|that|them)|switch(?: it)? to|sorry|on"
    r" second thoughts?|scratch that)\b",
    re.IGNORECASE,
)
RESTART = re.compile(
    r"\b(?:start(?:ing)? (?:over|afresh|again|from scratch)|from scratch|forget (?:all that|all of"
    r" that|everything i (?:said|asked)|what i (?:said|asked)[^.!?]*)"
    r"|clear (?:everything|all|it all)|reset|new search|something completely (?:different|else)|scrap (?:all"
    r" )?that|drop everything)\b",
    re.IGNORECASE,
)


@dataclass
class Text:
    """A message while it is read; what was read is blanked, so that nothing is read twice."""

    text: str
    whole: str = ""
    changes: list[tuple[int, Change]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The words as they came are kept beside."""
        self.whole = self.text

    def add(self, at: int, change: Change) -> None:
        """Keep a change with the strength and manner that its clause gives it."""
        clause = clause_of(self.whole, at)
        if change.op == "add" and change.kind == "must" and PREFER.search(clause_of(self.whole, at, ",")):
            change = replace(change, kind="prefer")
        if change.op == "add" and INSTEAD.search(clause):
            change = replace(change, op="replace")
        self.changes.append((at, change))

    def negated(self, at: int) -> bool:
        """Whether the words before a place refuse what stands there."""
        return negated(self.whole, at)

    def take(self, start: int, end: int) -> None:
        self.text = self.text[:start] + "\x00" * (end - start) + self.text[end:]

    def each(self, pattern: str) -> list[re.Match[str]]:
        """Every match, each blanked once read."""
        hits = []
        while hit := re.search(pattern, self.text, re.IGNORECASE):
            if hit.start() == hit.end():
                break
            hits.append(hit)
            self.take(hit.start(), hit.end())
        return hits


def negated(text: str, at: int) -> bool:
    """Whether the words before a place refuse what stands there."""
    before = text[:at]
    start = max(
        (
            hit.end()
            for hit in re.finditer(
                r"[.;!?]|(?<!anything )\bbut\b(?! not)|\b(?:i want|i'd like|give me)\b", before, re.IGNORECASE
            )
        ),
        default=0,
    )
    before = before[start:]
    hit = NEGATION.search(before)
    if hit is None:
        return bool(re.match(r"\s*(?:not|no)\s+(?:an? |the |any )?$", before, re.IGNORECASE))
    if re.match(r"(?:not|no) (?:only|just|problem|worries|matter)\b", hit.group(), re.IGNORECASE):
        return False
    if re.match(r"no,|no -|not? ?, ", hit.group(), re.IGNORECASE):
        return False  # "no, in D": an answer
    rest = hit.group()
    return not POSITIVE.search(rest) or bool(
        re.match(r"anything but", rest, re.IGNORECASE) and not POSITIVE.search(rest[12:])
    )


def clause_of(text: str, at: int, more: str = "") -> str:
    """The words around a place up to the nearest stops, or `more` of them."""
    starts = [hit.end() for hit in re.finditer(rf"[.;!?{more}]", text[:at])]
    end = re.search(rf"[.;!?{more}]", text[at:])
    return text[starts[-1] if starts else 0 : at + end.start() if end else len(text)]


def joined(between: str) -> bool:
    return (
        bool(
            re.fullmatch(
                r"[ ,/]*(?:(?:or|and|and/or|nor|as well as)\b)?(?: maybe)?(?: even)?(?: an?| the| in| some|"
                r" from)?[ ]*",
                between,
                re.IGNORECASE,
            )
        )
        and between.strip() != ""
    )
