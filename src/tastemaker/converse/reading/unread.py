"""Numbers that nothing reads, so that it can be said: of no field, or told by others ("twice as old")."""

from __future__ import annotations

import re
from collections.abc import Callable

from tastemaker.converse.reading.numbers import ABOUT, BARE, FREE, LATER, LEAST, MOST, NUMBER, SOONER
from tastemaker.converse.reading.passage import Text

_BOUND = (
    rf"{BARE}|{FREE}|(?:\b(?:{LEAST}|{MOST}|{LATER}|{SOONER}|{ABOUT})|\b(?:not|or|at|make it|i meant?))"
    r" [$€£]? ?(?=\d)[\d.,:]*\dk?(?![\w/'%])"
)
_SIGNED = r"(?<![\w)%+/±])(?<!\d )-[$€£]?\d"  # a minus that is no dash
_ODD = (  # a number that nothing here has
    rf"(?:\b(?:between|from|{LEAST}|{MOST}|{ABOUT}) )?(?:[$€£]?\d[\d.,]* ?(?:and|to|-|or) ?)?[$€£]?"
    rf"(?:{_SIGNED}|\d[\d.,]*e[+-]?\d|\d{{10}})[\d.,]*(?: ?(?:and|to|-|or) ?[$€£]?[-+\d.,e]*\d)?"
)
_SEVERAL = (  # a number that is told by another one
    r"\bas [a-z]+ as (?:the|that|this|it|my)\b(?! possible|'s\b| is\b| has\b)[^.,;:!?\x00]*?"
    r"(?=[.,;:!?\x00]|$| (?:but|and|or|in|under|over|with)\b)"
    r"|\b(?:twice|thrice|double|triple|half|(?:three|four|five|ten|\d+) times) (?:as|the|of|that|my|its)\b"
    r"[^.,;:!?\x00]*?(?=[.,;:!?\x00]|$| (?:but|and|or|in|under|over|with)\b)"
    r"|\b\d+ (?:years?|minutes?|bpm) (?:older|newer|younger|earlier|later|longer|shorter)\b(?! than \d)"
    r"(?: than [\w ]+)?"
)
_LOOSE = re.compile(  # and the words around it
    rf"(?:\b([a-z'-]+) (?:(?:an?|the|just|only|exactly) )?)?(?<![\w#])(?!100 ?%){NUMBER}(?!(?:st|nd|rd|th)\b)"
    rf"(?: ?(?:-|to|and|or) ?{NUMBER})?"
    r"(?:[ -](?!and\b|or\b|but\b|with\b|in\b|please\b)[a-z]+\b|\b)",
    re.IGNORECASE,
)
_PLACED = frozenset(("number", "no", "top", "item", "result"))  # before a place of a list
_LEADING = frozenset(("for", "in", "of", "by", "to", "about", "with", "than", "from", "at"))


def odd(text: Text, words: str) -> str:
    """What is said of numbers that no value can be (below nothing, a power) or that others tell ("twice as
    old"), none of which is read. words: nouns and units of numbers here, as a pattern.
    """
    hits = text.each(rf"{_ODD}(?: ?(?:{words or '(?!)'})(?!\w))?") + text.each(_SEVERAL)
    return f"I did not read ‘{hits[0].group().strip()[:80]}’: say it in plain numbers." if hits else ""


def unread(left: str, known: Callable[[str, str], bool]) -> str:
    """A range or a number in the words that are left; empty where there is none. known: whether an item says
    both a word and the number behind it ("iphone 15").
    """
    if hit := re.search(_BOUND, left, re.IGNORECASE):
        return hit.group().strip()
    for hit in _LOOSE.finditer(left):
        lead = (hit[1] or "").lower()
        if lead in _PLACED or known(lead, hit[2]):
            continue
        return hit.group() if lead in _LEADING else hit.group()[hit.start(2) - hit.start() :]
    return ""
