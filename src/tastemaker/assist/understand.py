"""What a message asks for beside its wishes: questions, opinions, likenesses, small talk; and which items it
means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State
from tastemaker.converse.reading.names import Named
from tastemaker.converse.reading.passage import negated
from tastemaker.converse.reading.vocabulary import plain
from tastemaker.converse.reading.wishes import Heard
from tastemaker.converse.reading.words import english, fold

ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_REFER = re.compile(
    rf"\b(?:the |that |this )?(?:({'|'.join(ORDINALS)}|last|top|(\d+)(?:st|nd|rd|th))(?:"
    r" (?:one|two|three|tune|song|track|film|movie|item|product|book|result))?\b|(?:number|no\.?|#)"
    r" ?(\d+)\b)",
    re.IGNORECASE,
)
_POINT = re.compile(
    r"\b(?:it|its|that|this|that one|this one|the one|the tune|the song|the film|the movie|the book)\b(?!'s"
    r" all)",
    re.IGNORECASE,
)
_THOSE = re.compile(r"\b(?:these|those|them|all of (?:these|those|them)|both|they)\b", re.IGNORECASE)
_FORMS = english()["forms"]
_ASKING, _WANTING, _ABOUT = (
    re.compile(_FORMS[name], re.IGNORECASE) for name in ("asking", "wanting", "about")
)
_LIKE = re.compile(_FORMS["likeness"])
ACTS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in english()["acts"].items())


CREATOR = "creator"  # asked for by "who", whether it is a field or not


@dataclass(frozen=True)
class Understanding:
    """acts: what is done beside wishing. rows: items pointed at. like: rows to be similar to. about: fields
    asked for.

    beyond: a place pointed at where nothing stands. extreme: the comparative whose end is sought in the
    catalogue.
    named: names found. superlative: the comparative whose end is sought among `rows` ("slowest" -> "slower").
    heard: the wishes. wants: the message asks for items.
    """

    heard: Heard
    acts: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    like: tuple[int, ...] = ()
    about: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()
    superlative: str = ""
    extreme: str = ""
    beyond: bool = False
    describe: bool = False
    check: bool = False
    asks: bool = False
    wants: bool = True


def understand(message: str, state: State, shelf: Shelf, named: tuple[Named, ...]) -> Understanding:
    """Read one message in the light of what was shown."""
    message = message[:4000]
    text = plain(message)
    titled = _titled(named, shelf)
    rows, pointed = _rows(text, state, titled)
    likened = bool(_LIKE.search(text)) and not re.search(
        r"\b(?:i|we|would|i'd|really|don'?t|you) like (?:it|that|this|the)\b(?! (?:but|only))", text, re.I
    )
    focus = rows[-1:] or ((state.focus,) if state.focus is not None else ())
    heard = shelf.wishes.read(_without(message, named, shelf), focus)
    acts = _acts(text)
    asking = bool(_ASKING.search(text)) and not _WANTING.search(text)
    superlative = (
        _superlative(text) if state.shown and (pointed or re.search(r"\bwhich\b", text, re.I)) else ""
    )
    extreme = "" if superlative or pointed else _superlative(text)
    about = (
        shelf.vocabulary.asked_for(text)
        if asking and focus and not superlative and not extreme and "count" not in acts
        else ()
    )
    if (
        about
        and heard.values
        and any(name in about for name, _ in heard.values)
        and not re.match(r"(?:is|are|was|does)\b", text, re.I)
    ):
        about = about if re.search(r"\bwhat\b|\bwhich\b", text, re.I) else ()
    if not about and asking and focus and re.search(r"\bwho\b", text, re.I) and any(shelf.catalogue.creators):
        about = (CREATOR,)
    describe = bool(
        (rows or pointed)
        and (_ABOUT.search(text) or (titled and asking and not about))
        and not about
        and not superlative
    )
    check = bool(
        asking
        and (pointed or rows)
        and heard.values
        and not about
        and re.search(r"^(?:(?:and|so|ok|but|wait)[ ,]+)*(?:is|are|was|does|isn'?t)\b", text, re.I)
    )
    if likened:
        acts = tuple(act for act in acts if act not in ("like",))
    factless = bool(asking and (rows or pointed) and not heard.changes and not likened and "more" not in acts)
    answered = bool(about or describe or check or superlative or factless)
    wants = not answered and _wants(text, heard, acts, bool(named), likened)
    return Understanding(
        heard,
        acts,
        rows,
        (rows or focus) if likened else (),
        about,
        named,
        superlative,
        extreme,
        not titled and _beyond(text, state),
        describe,
        check,
        factless,
        wants,
    )


SILENT = frozenset(
    ["profile", "erase", "export", "help", "who", "weather", "explain", "compare", "count", "unlike", "bye"]
)


def _wants(text: str, heard: Heard, acts: tuple[str, ...], named: bool, likened: bool) -> bool:
    """Whether a message that is no question asks for items."""
    wished = bool(heard.changes or heard.restart or "more" in acts)
    if SILENT & set(acts):
        return False
    if {"greet", "thanks"} & set(acts) and not (wished or heard.moods or named or _WANTING.search(text)):
        return False
    return not ({"like", "skip"} & set(acts) == {"like"} and not (wished or likened))


def _titled(named: tuple[Named, ...], shelf: Shelf) -> tuple[int, ...]:
    """The item that a title in the message surely means."""
    rows = [
        n.rows[0]
        for n in named
        if n.role == "title" and n.sure >= 0.6 and len(n.rows) <= 3 and fold(n.name) not in _values(shelf)
    ]
    return tuple(dict.fromkeys(rows))


def _values(shelf: Shelf) -> frozenset[str]:
    return frozenset(fold(value) for known in shelf.catalogue.fields.values() for value in known.values)


def _rows(text: str, state: State, titled: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """The items that the message points at, and whether it points at all."""
    rows: list[int] = list(titled)
    for hit in _REFER.finditer(text) if state.shown else ():
        word = (hit[1] or "").lower()
        if word in ("first", "last", "top") and re.match(
            r" (?:time|thing|night|year|week|of all)\b", text[hit.end() :], re.I
        ):
            continue
        place = {"last": len(state.shown), "top": 1}.get(word) or (
            ORDINALS.index(word) + 1 if word in ORDINALS else int(hit[2] or hit[3] or 0)
        )
        several = re.search(r" (two|three)$", hit.group(), re.I)
        if several and word == "first":
            rows += state.shown[: 2 if several[1].lower() == "two" else 3]
        elif 1 <= place <= len(state.shown):
            rows.append(state.shown[place - 1])
    if rows:
        return tuple(dict.fromkeys(rows)), True
    if state.shown and _THOSE.search(text):
        return state.shown, True
    if state.focus is not None and _POINT.search(text):
        return (state.focus,), True
    return (), False


def _beyond(text: str, state: State) -> bool:
    """Whether the message points at a place of the list where nothing stands."""
    for hit in _REFER.finditer(text) if state.shown else ():
        word = (hit[1] or "").lower()
        place = ORDINALS.index(word) + 1 if word in ORDINALS else int(hit[2] or hit[3] or 0)
        clear = hit[3] or (
            re.match(r"the\b", hit.group(), re.I) and re.search(r"\bone$|^the \w+$", hit.group(), re.I)
        )
        if (
            clear
            and place > len(state.shown)
            and not re.match(r" (?:time|thing|half|part)\b", text[hit.end() :], re.I)
        ):
            return True
    return False


def _acts(text: str) -> tuple[str, ...]:
    acts = []
    for name, pattern in ACTS:
        hit = pattern.search(text)
        if hit and not (name == "like" and negated(text, hit.start())):
            acts.append(name)
    if "skip" in acts and "like" in acts:
        acts.remove("like")
    return tuple(acts)


def _superlative(text: str) -> str:
    table: dict[str, str] = english()["superlatives"]
    for word in sorted(table, key=len, reverse=True):
        if re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE):
            return table[word]
    return ""


def _without(message: str, named: tuple[Named, ...], shelf: Shelf) -> str:
    """The message without the titles in it, which hold words that are no wishes."""
    values = _values(shelf)
    for name in sorted(named, key=lambda n: -n.start):
        quoted = message[max(0, name.start - 1) : name.start] in "\"“'"
        said = message[name.start : name.end]
        capital = sum(word[:1].isupper() for word in said.split()) > 1
        if name.role == "title" and fold(name.name) not in values and (quoted or name.sure >= 0.9 or capital):
            message = message[: name.start] + "it" + message[name.end :]
    return message
