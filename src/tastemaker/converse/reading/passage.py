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
    r"|sick of|tired of|enough of|had enough|(?:is|are|was|were|would|should|need|must)n'?t(?!"
    r" mind)|(?:is|are|be) not|weren?'?t|rather than|instead of|lose"
    r" the|minus|dislike|doesn'?t|allergic to|fed up with)\b[^.;:!?]*$",
    re.IGNORECASE,
)
POSITIVE = re.compile(
    r"\b(?:but|just|only|instead|please give|rather|i want|i'd like|make it|give me|try)\b(?!"
    r" (?:not|no)\b)|,\s*(?:an?|some)\b|\b(?:and|but) (?:is|are|it's|has|have)\b(?! (?:not|no)\b)",
    re.IGNORECASE,
)
PREFER = re.compile(
    r"\b(?:ideally|preferabl[ey]|if possible|if you can|would be nice|a bonus|prefer|(?:maybe|perhaps)(?!"
    r" (?:find|show|give|get|play|look|recommend|suggest))|wouldn'?t"
    r" mind|leaning towards|bonus points)\b",
    re.IGNORECASE,
)
CORRECTION = re.compile(
    r"\b(?:actually,? no|no,? (?:wait|make|sorry|an?)|wait,? no|i mean|scratch that|or rather)\b",
    re.IGNORECASE,
)
TOGETHER = re.compile(
    r"^ *$|\b(?:that|which|who)(?:'s| is| are| was)\b|\b(?:both|also|at the same time|at once)\b",
    re.IGNORECASE,
)
CONTRAST = re.compile(r"\b(?:but|rather|instead|today|this time)\b", re.IGNORECASE)
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

REACH = 200  # letters before a word in which it can be refused


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

    def leave(self, hit: re.Match[str]) -> None:
        """Put back what was taken and nothing here could be."""
        start, end = hit.span()
        self.text = self.text[:start] + self.whole[start:end] + self.text[end:]

    def each(self, pattern: str) -> list[re.Match[str]]:
        """Every match, each blanked once read."""
        hits = [hit for hit in re.finditer(pattern, self.text, re.IGNORECASE) if hit.group()]
        for hit in hits:
            self.take(hit.start(), hit.end())
        return hits


def negated(text: str, at: int) -> bool:
    """Whether the words before a place refuse what stands there."""
    before = text[max(0, at - REACH) : at]
    start = max(
        (
            hit.end()
            for hit in re.finditer(
                r"[.;!?]|(?<!anything )\bbut\b(?! not)|\b(?:i want|i'd like|give me)\b|" + CORRECTION.pattern,
                before,
                re.IGNORECASE,
            )
        ),
        default=0,
    )
    before = re.sub(r"\b(?:anything|everything) but\b", "not", before[start:], flags=re.IGNORECASE)
    if re.search(r"\b(?:rather|sooner|prefer)\b[^.;:!?]*\bthan (?:\w+ ){0,2}$", before, re.IGNORECASE):
        return True
    hit = NEGATION.search(before)
    if hit is None:
        return bool(re.match(r"\s*(?:not|no)\s+(?:an? |the |any )?$", before, re.IGNORECASE))
    if re.match(r"(?:not|no) (?:only|just|problem|worries|matter)\b", hit.group(), re.IGNORECASE):
        return False
    if answer := re.match(r"no,|no -|not? ?, ", hit.group(), re.IGNORECASE):  # "no, in D"; "no, not that"
        return NEGATION.search(hit.group(), answer.end()) is not None
    rest = hit.group()
    return not POSITIVE.search(rest)


def clause_of(text: str, at: int, more: str = "") -> str:
    """The words around a place up to the nearest stops, or `more` of them."""
    start = 1 + max(text.rfind(stop, 0, at) for stop in ".;!?" + more)
    end = min((place for stop in ".;!?" + more if (place := text.find(stop, at)) >= 0), default=len(text))
    return text[start:end]


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
