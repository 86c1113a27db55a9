"""Which items of the newest list a message means, and which of them it turns down."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tastemaker.assist.state import State
from tastemaker.converse.reading.passage import negated

ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_REFER = re.compile(
    rf"\b(?:the |that |this )?(?:({'|'.join(ORDINALS)}|last|top|(\d+)(?:st|nd|rd|th))(?:"
    r" (?:one|two|three|tune|song|track|film|movie|item|product|book|result))?\b|(?:number|no\.?|#)"
    r" ?(\d+)\b)|^(\d)(?=,? (?:but|and|only|please)\b)",
    re.IGNORECASE,
)
_POINT = re.compile(
    r"\b(?:it|its|that|this|that one|this one|the one|the tune|the song|the film|the movie|the book)\b(?!'s"
    r" all)",
    re.IGNORECASE,
)
_THOSE = re.compile(r"\b(?:these|those|them|all of (?:these|those|them)|both|they)\b", re.IGNORECASE)
_NO_PLACE = re.compile(r" (?:time|thing|night|year|week|half|part|of all)\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"^(?:and |so |but )*(?:why|is|isn'?t|are|what|which|who|how|does|did|do)\b", re.IGNORECASE
)
_DROPS = re.compile(
    r"\b(?:drop|remove|ditch|bin|scrap|lose|take out)(?:,? (?:the|number|and|or|one|\d+|"
    + "|".join((*ORDINALS, "last"))
    + r"))*,? $",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"(?: one)?,? (?:not\b(?! (?:so|too|as|very|bad))|(?:is|was)(?: just)? (?:no good|not for"
    r" me|awful|terrible))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Pointed:
    """rows: meant, in order of mention. refused: turned down. beyond: a place where nothing stands is meant.

    any: the message points at all.
    """

    rows: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    beyond: bool = False
    any: bool = False


NOWHERE = Pointed()


def pointed(text: str, state: State, titled: tuple[int, ...]) -> Pointed:
    """What is pointed at by title, place or "it" in a message after the list of `state`."""
    rows, refused, beyond = list(titled), list[int](), False
    for hit in _REFER.finditer(text) if state.shown else ():
        if hit[1] and _NO_PLACE.match(text, hit.end()):
            continue
        several = re.search(r" (two|three)$", hit.group(), re.IGNORECASE)
        first = _place(hit, state)
        last = first + (("two", "three").index(several[1].lower()) + 1 if several and first == 1 else 0)
        clear = hit[3] or re.match(r"the\b", hit.group(), re.IGNORECASE)
        beyond = beyond or bool(clear and first > len(state.shown) and not titled)
        meant = [state.shown[place - 1] for place in range(first, last + 1) if 1 <= place <= len(state.shown)]
        against = not _QUESTION.match(text) and (
            negated(text, hit.start())
            or _DROPS.search(text[: hit.start()])
            or _REFUSED.match(text, hit.end())
        )
        (refused if against else rows).extend(meant)
    rows = [row for row in dict.fromkeys(rows) if row not in refused]
    if rows or refused or beyond:
        return Pointed(tuple(rows), tuple(dict.fromkeys(refused)), beyond, True)
    if state.shown and _THOSE.search(text):
        return Pointed(state.shown, any=True)
    if state.focus is not None and _POINT.search(text):
        return Pointed((state.focus,), any=True)
    return NOWHERE


def _place(hit: re.Match[str], state: State) -> int:
    word = (hit[1] or "").lower()
    named = {"last": len(state.shown), "top": 1}.get(word)
    return named or (ORDINALS.index(word) + 1 if word in ORDINALS else int(hit[2] or hit[3] or hit[4] or 0))
