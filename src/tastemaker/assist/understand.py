"""What a message asks beside its wishes: questions, opinions, likenesses, small talk; of which items."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

import tastemaker.converse.reading.scales as scales
from tastemaker.assist.absent import (
    MOST,
    absent,
    counted,
    general,
    refused,
    topics,
    unknown_titles,
    unscaled,
    untold,
    worded,
)
from tastemaker.assist.ranking import telling
from tastemaker.assist.shelf import UNNAMED, Shelf
from tastemaker.assist.state import NOWHERE, UNREAD, Pointed, State, carried, pointed, spoken_of
from tastemaker.converse.constraints import Change, Clause
from tastemaker.converse.reading.names import Named
from tastemaker.converse.reading.numbers import UNITS
from tastemaker.converse.reading.passage import REFUSING, negated
from tastemaker.converse.reading.plain import DIGITS, ORDINALS, plain
from tastemaker.converse.reading.wishes import WishReading
from tastemaker.converse.reading.words import english, fold

_FORMS = english()["forms"]
_ASKING, _WANTING, _ABOUT, _OF_ALL, _OF_ONE, _OF_WHICH = (
    re.compile(_FORMS[name], re.IGNORECASE)
    for name in ("asking", "wanting", "about", "of_all", "of_one", "of_which")
)
_LIKE = re.compile(_FORMS["likeness"])
_LET_GO = re.compile(
    r"\b(?:not|no longer|needn'?t be|forget about|never mind|stop|enough|less)(?: \w+){0,3}? (?:like|similar"
    r" to)\b|"
    r"\blike (?:it|that|this|them)? ?any ?more\b",
    re.IGNORECASE,
)
_UNDONE = re.compile(
    r"^(?:(?:no|oh|ok|okay|sorry|actually|wait|hmm|please|oops)[ ,]+)*(?:(?:forget|scratch|undo|never"
    r" ?mind|take back"
    r"|cancel|ignore|revert|drop)(?: about)? (?:that|this|it|(?:my|the) last"
    r" (?:one|wish|thing|bit|change|step|request))"
    r"|(?:i(?:'ll| will)? )?takes? (?:that|it|this) back|undo|go back|(?:one )?step back|back|i didn'?t mean"
    r" (?:that|it)"
    r"|never ?mind|i changed my mind|not what i meant)(?: please| again| then| actually| sorry)*[.!,]*$",
    re.IGNORECASE,
)
_BARE = re.compile(  # nothing but a place of the list
    rf"\W*(?:(?:ok|okay|yes|and|so|hmm|please)[ ,]+)*(?:(?:give|show|tell|play)(?: me| us)? "
    rf"|(?:what|how) about |let'?s (?:see|hear) |i(?:'d like| want| meant?) )?(?:the |that |this |number |#)?"
    rf"(?:{'|'.join(ORDINALS)}|last|\d\d?|it|(?<=that )one|(?<=this )one|(?<=the )one)"
    r"(?: one)?(?:,? please)?\W*",
    re.IGNORECASE,
)
ACTS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in english()["acts"].items())


_PARTICULAR = re.compile(r"^(?:and |so |but )*(?:who|whose|when|where|how|why)\b", re.IGNORECASE)
_FOLLOWS = re.compile(
    r"\bhow many(?: of (?:them|those|these))? (?:are(?! there)|have|has|cost|come|were|do(?!es)(?! you))\b|"
    r"\bhow many of (?:them|those|these)\b|^(?:and|but) (?!how many)",
    re.IGNORECASE,
)
_SMALL = rf"(\d{{1,2}}|{'|'.join(DIGITS[2:])})"
_MANY = re.compile(  # a number of items, and of nothing else
    r"(?:^|[,.!;] ?|\b(?:give|show|find|play|list|recommend|suggest|get|want|need|'d like|bring|pick|name)"
    r"(?: me| us)? )(?:(?:please|the|your|top|best|only|just|exactly|another|a list of|some) )*"
    rf"(?:{_SMALL}(?= (?:[a-z'-]+ ){{0,2}}(?:\x00|more\b|others?\b|of (?:them|those)\b|[a-z-]{{2,}}s\b))(?!"
    rf"[^.;!?]* and (?:an?|\d+|{'|'.join(DIGITS[2:])}) |"
    rf" (?:{UNITS}|years?|days?|weeks?|times|people|or|and|to)\b)|(?<=[a-z] ){_SMALL}(?= ?(?:please)?\W*$))",
    re.IGNORECASE,
)
MANY = 20  # items up to which a bare number can be how many are asked for
READ = 2000  # letters of a message that are read
SURE_OF_MEANING = 0.42  # cosine from which a phrase means a value, softly


@dataclass(frozen=True)
class Understanding:
    """acts: what is done beside wishing. pointed: items meant, and turned down. like: rows to be similar to.
    about: fields asked for. absent: what is asked for and is not here.

    without, topics: words that no field has and that are turned down, in the clauses `turned_down`, or that
    items are to be about. compared: rows that are asked to be more than the others. listing: fields
    whose values are asked for. untold: what to say of a comparison that no field tells. many: how many items
    are asked for; 0 where it was not said. counted: the messages of a count that a question goes on from, by
    line; `follows`: it names no thing of its own. extreme: the comparative whose end is sought in the
    catalogue. apart: likeness is no longer wished. undone: the newest wish is taken back.
    named: names found. superlative: the comparative whose end is sought among `rows` ("slowest" -> "slower").
    wishes: of the message. wants: the message asks for items.
    """

    wishes: WishReading
    acts: tuple[str, ...] = ()
    pointed: Pointed = NOWHERE
    like: tuple[int, ...] = ()
    about: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()
    superlative: str = ""
    extreme: str = ""
    describe: bool = False
    check: bool = False
    asks: bool = False
    wants: bool = True
    absent: tuple[str, ...] = ()
    apart: bool = False
    undone: bool = False
    without: tuple[str, ...] = ()
    turned_down: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    compared: tuple[int, ...] = ()
    listing: tuple[str, ...] = ()
    untold: str = ""
    many: int = 0
    counted: str = ""
    follows: bool = False

    @property
    def rows(self) -> tuple[int, ...]:
        """Items pointed at and not turned down."""
        return self.pointed.rows


def understand(message: str, state: State, shelf: Shelf, named: tuple[Named, ...]) -> Understanding:
    """Read one message in the light of what was shown."""
    text = plain(message := message[:READ])
    named = tuple(name for name in named if not _mere_words(name, message))
    titled = _titled(named, shelf)
    meant, unlike = spoken_of(text, state, titled, _titled(named, shelf, 0.4, 20))
    likened = bool(_LIKE.search(text)) and not re.search(
        r"\b(?:i|we|would|i'd|really|don'?t|you) like (?:it|that|this|the)\b(?! (?:but|only))", text, re.I
    )
    apart, undone = bool(likened and not unlike and _LET_GO.search(text)), bool(_UNDONE.search(text))
    likened = likened and not apart and not unlike
    focus = meant.rows[-1:] or ((state.focus,) if state.focus is not None else ())
    names = tuple(message[n.start : n.end] for n in named if n.sure >= 0.4)
    words, rest = worded(_without(message, named, shelf))
    unknown, rest = unknown_titles(rest, names)
    parse = shelf.wishes.read(carried(rest, state, shelf.vocabulary), focus)
    acts = _acts(text, state, shelf)
    if meant.refused:
        both = ("like", "skip") if meant.liked and not likened else ("skip",)
        acts = tuple(dict.fromkeys((*acts, *both)))
    superlative, extreme, about, describe, check = _questioned(text, state, shelf, meant, parse, acts, titled)
    comparative, compared = _compared(text, state, shelf, meant) if parse.relative else ("", ())
    superlative = comparative or superlative
    if likened or (text.endswith("?") and _WANTING.search(text)):
        acts = tuple(act for act in acts if act != "like")
    factless = bool(
        _asking(text, shelf) and meant.any and not parse.changes and not likened and "more" not in acts
    )
    answered = bool(about or describe or check or superlative or factless)
    left = scales.without_superlatives(parse.left, shelf.vocabulary) if superlative or extreme else parse.left
    shown = answered or bool({"like", "skip"} & set(acts))
    unread = _unread(left, parse, names, shelf, (bool(acts or meant.any), shown))
    parse = replace(parse, left="" if "idle" in acts or parse.lets_go else unread.left)
    own = {word for c in parse.changes for word in shelf.vocabulary.spoken_of(c.clause.field)}
    lacking = (each for each in absent(parse.left, shelf, names, terse=not acts) if fold(each) not in own)
    missing = (*unknown, *lacking)[:MOST]
    if apart or undone:
        acts = tuple(act for act in acts if act not in ("like", "skip", "unlike"))
    many, counting = (0, parse.left) if meant.any else _many(parse.left)
    parse = replace(parse, left=counting)
    listing = _listing(text, shelf, parse, meant.any or bool(extreme or superlative))
    wants = not answered and _wants(text, parse, acts, bool(named or missing), likened)
    return Understanding(
        parse,
        acts,
        meant,
        (meant.rows or focus or state.liked[-1:]) if likened else (),
        about,
        named,
        superlative,
        extreme,
        describe,
        check,
        factless,
        wants,
        missing if wants and not apart and not undone else (),
        apart,
        undone,
        tuple(words | unread.without)[:MOST],
        unread.turned_down,
        unread.topics,
        compared,
        listing,
        unread.untold,
        many,
        *_followed(text, state, bool(listing and not parse.values)),
    )


class _Rest(NamedTuple):
    """What the words say that nothing read, and what is left of them; as in `Understanding`."""

    left: str
    without: dict[str, None]
    turned_down: tuple[str, ...]
    topics: tuple[str, ...]
    untold: str


def _unread(
    left: str, parse: WishReading, names: tuple[str, ...], shelf: Shelf, spoken: tuple[bool, bool]
) -> _Rest:
    """spoken: whether the message is about something shown, so that no words are turned down, or no topic."""
    whole = untold(left, shelf)
    without, clauses = ({}, ()) if spoken[0] or whole else refused(left, names)
    for clause in clauses:  # what is turned down is not looked for
        left = left.replace(clause, "\0" * len(clause))
    about, topic_clauses = ([], []) if spoken[1] else topics(left, names)
    for clause in topic_clauses:
        left = left.replace(clause, "\0" * len(clause))
    if any(change.kind == "must_not" for change in parse.changes):  # the words of refusing are no things
        left = REFUSING.sub(lambda hit: "\0" * len(hit[0]), left)
    whole = whole or untold(left, shelf)
    no_scale, left = (whole, "") if whole else unscaled(left, shelf)
    return _Rest(left, without, clauses, tuple(about[:MOST]), no_scale)


def _many(left: str) -> tuple[int, str]:
    """How many items are asked for: "give me 5 reels", "top 10"; 0 if none; and the other words."""
    hit = _MANY.search(left)
    if hit is None:
        return 0, left
    word = (hit[1] or hit[2]).lower()
    if hit[2] and word.isdigit() and int(word) > MANY:  # "exactly 50"
        return 0, left
    rest = left[: hit.start()] + "\0" * len(hit[0]) + left[hit.end() :]
    return DIGITS.index(word) if word in DIGITS else int(word), rest


def _followed(text: str, state: State, listing: bool) -> tuple[str, bool]:
    """The messages of the count that a question goes on from, and whether it names no thing of its own."""
    follows = bool(_FOLLOWS.search(text))
    counted = "" if state.asked.startswith(UNREAD) else state.asked
    return counted if follows or listing else "", follows


def _listing(text: str, shelf: Shelf, parse: WishReading, about_items: bool) -> tuple[str, ...]:
    """The fields whose values are asked for: "what genres do you have?", "what colours do dresses come in?",
    "how much are jackets?"; about_items: what is asked is of single items, if not of what "they" come in.
    """
    if about_items and not _OF_ALL.search(text):
        return ()
    asked, vocabulary = [], shelf.vocabulary
    fields = {name for name, _ in parse.values}
    for name, nouns in vocabulary.uncounted.items():
        each = [re.escape(noun).removesuffix("s") for noun in nouns]
        many = "|".join(
            [*(f"{noun}s" for noun in each), *(f"{noun[:-1]}ies" for noun in each if noun[-1] == "y")]
        )
        form = f"(?:{many}|{'|'.join(each)})"
        if name not in fields and re.search(
            rf"\b(?:what|which)(?: all| (?:other|different|sorts? of|kinds? of))* (?:{form}(?: of \w+)?(?: do"
            r" (?:you|we)"
            r" (?:have|know|carry|stock|sell|offer)| are there| is there| have you| can i| exist|"
            rf" [\w ]+ (?:come in|made (?:of|from|in)))\b|(?:{many})\b(?! (?:of|is|was)\b))|"
            rf"\bhow many(?: different)? (?:{many})\b|\b(?:average|mean|typical) (?:{form})\b|"
            rf"\b(?:what|which) {form} (?:has|have|holds|contains) (?:the )?most\b|"
            rf"\bmost (?:common|popular|frequent) {form}\W*$|"
            rf"\bwhat(?:'s|s| is| are) (?:the|your) (?:{form} ranges?|ranges? of {form})\W*$|"
            rf"^\W*(?:what are|which are)"
            rf" the (?:{many})\W*$|"
            rf"^\W*(?:please )?(?:list|name|show)(?: me)?(?: all| the| your| of| available)* {form}(?: you"
            r" have)?\W*$",
            text,
            re.IGNORECASE,
        ):
            asked.append(name)
    if not asked and fields and re.match(r"(?:and |so )?(?:how|what)\b(?! many)", text, re.IGNORECASE):
        numbers = [name for name in vocabulary.asked_for(text) if shelf.kinds.get(name) == "number"]
        asked = [name for name in numbers if re.search(r"\b(?:are|do|is|does)\b|'s\b", text, re.IGNORECASE)]
    if re.match(
        r"(?:so )?what (?:(?:(?:all|else|products?|items?|things?) )*do you (?:have|sell|offer|carry)"
        r"|can i (?:buy|get) here)\W*$",
        text,
        re.I,
    ):
        asked = sorted(shelf.kinds, key=lambda name: name not in UNNAMED)[:1]
    if (
        fields
        and not asked
        and shelf.maker in shelf.kinds
        and re.match(r"who (?:makes|made|sells)\b", text, re.I)
    ):
        asked = [shelf.maker]
    return tuple(asked[:3])


def _mere_words(name: Named, message: str) -> bool:
    """Whether a title is said in small letters where something is turned down: "nothing with killer"."""
    words = message[name.start : name.end]
    return name.role == "title" and words.islower() and negated(plain(message), name.start)


def guesses(read: Understanding, message: str, shelf: Shelf) -> list[Change]:
    """What the sentence encoder takes the unread words to mean: at most two values, softly wished."""
    words = (word for word in re.findall(r"[^\W\d_]+", read.wishes.left) if telling(word))
    phrase = " ".join(word for word in words if not counted(word))
    titled = re.search(r"[\"“]|\w [A-Z]\w+ (?:\w+ )?[A-Z]\w", message)  # a name, though none here
    if not phrase or titled or read.named or read.topics or read.wishes.moods or read.wishes.restart:
        return []
    table, values = shelf.values
    if not len(values):
        return []
    cosines = table @ np.nan_to_num(shelf.embed([phrase])[0])
    fields: dict[str, Change] = {}
    for place in np.argsort(-cosines)[:4]:
        for name, value in values[place] if cosines[place] >= SURE_OF_MEANING else ():
            cmp = "contains" if shelf.kinds[name] == "words" else "eq"
            fields.setdefault(name, Change("add", "prefer", Clause(name, cmp, value)))
    return list(fields.values())[:2]


def _asking(text: str, shelf: Shelf) -> bool:
    """Whether a message is a question, or goes on with one: "and the key"."""
    hit = re.fullmatch(r"\W*(?:(?:and|what about|how about|also) )+(?:the |its )?([\w -]+?)\W*", text, re.I)
    if hit and any(fold(hit[1]) in nouns for nouns in shelf.vocabulary.nouns.values()):
        return True
    return bool(_ASKING.search(text)) and not _WANTING.search(text)


def _questioned(
    text: str,
    state: State,
    shelf: Shelf,
    meant: Pointed,
    parse: WishReading,
    acts: tuple[str, ...],
    titled: tuple[int, ...],
) -> tuple[str, str, tuple[str, ...], bool, bool]:
    """superlative, extreme, about, describe and check of an Understanding."""
    focus = bool(meant.rows) or state.focus is not None
    asking = _asking(text, shelf)
    superlative = (
        scales.superlative(text, shelf.vocabulary, True)
        if state.shown and (meant.any or re.search(r"\bwhich\b", text, re.I))
        else ""
    )
    extreme = "" if superlative or meant.any else scales.superlative(text, shelf.vocabulary, False)
    extreme = extreme if shelf.vocabulary.end_of(extreme)[1] else ""
    asks = asking and focus and not (superlative or extreme or {"count", "who"} & set(acts))
    about = shelf.vocabulary.asked_for(text) if asks else ()
    named = [
        re.escape(noun) for name, _ in parse.values if name in about for noun in shelf.vocabulary.nouns[name]
    ]
    if named and not re.search(r"\b(?:what|which)\b", text, re.IGNORECASE):  # "how much is it in size 6?"
        about = shelf.vocabulary.asked_for(re.sub(rf"\b(?:{'|'.join(named)})\b", "", text, flags=re.I))
    by_whom = asking and focus and re.search(r"\bwho (?!are you)", text, re.IGNORECASE)
    if not about and by_whom and any(shelf.catalogue.creators):
        about = (shelf.maker,)
    by_title = titled and asking and not _PARTICULAR.match(text)
    describe = bool(
        meant.any
        and (_ABOUT.search(text) or _BARE.fullmatch(text) or by_title)
        and not about
        and not superlative
    )
    numbers = [c for c in parse.changes if shelf.kinds.get(c.clause.field) == "number" and c.op == "add"]
    check = bool(
        (asking or re.match(r"\W*is there\b", text, re.IGNORECASE))
        and meant.any
        and (numbers or (parse.values and not about))
        and not parse.relative
        and (_OF_ONE.search(text) or _OF_WHICH.match(text))
    )
    return superlative, extreme, about, describe, check


def _compared(text: str, state: State, shelf: Shelf, meant: Pointed) -> tuple[str, tuple[int, ...]]:
    """The comparative of "is the first faster than the second?", and the rows it is asked of: the first is
    asked to be more so than each of the others.
    """
    words = "|".join(sorted(map(re.escape, shelf.vocabulary.comparatives), key=len, reverse=True))
    hit = re.search(rf"\b({words})\b(?: than (.*))?\W*$", text, re.IGNORECASE)
    if hit is None or not _OF_ONE.search(text) or _WANTING.search(text) or not state.shown:
        return "", ()
    than = pointed(hit[2], state, ()).rows if hit[2] else ()
    subject = next((row for row in meant.rows if row not in than), state.focus)
    others = tuple(row for row in than or meant.rows[1:] or state.shown if row != subject)
    return ("", ()) if subject is None or not others else (hit[1].lower(), (subject, *others))


SILENT = frozenset(english()["silent"].split())


def _wants(text: str, parse: WishReading, acts: tuple[str, ...], named: bool, likened: bool) -> bool:
    """Whether a message that is no question asks for items."""
    wished = bool(parse.changes or parse.restart or "more" in acts)
    if SILENT & set(acts):
        return False
    if {"abuse", "greet", "thanks"} & set(acts) and not (
        wished or parse.moods or named or _WANTING.search(text)
    ):
        return False
    return not ({"like", "skip"} & set(acts) == {"like"} and not (wished or likened))


def _titled(named: tuple[Named, ...], shelf: Shelf, sure: float = 0.6, most: int = 0) -> tuple[int, ...]:
    """The item that a title in the message surely means; up to `most` items of that title."""
    rows = [
        row
        for n in named
        if n.role == "title" and n.sure >= sure and len(n.rows) <= (most or 3)
        if fold(n.name) not in shelf.value_names
        for row in n.rows[: most or 1]
    ]
    return tuple(dict.fromkeys(rows))


def _acts(text: str, state: State, shelf: Shelf) -> tuple[str, ...]:
    acts = []
    for name, pattern in ACTS:
        hit = pattern.search(text)
        if hit and not (name == "like" and negated(text, hit.start())):
            acts.append(name)
    if "skip" in acts and "like" in acts:
        acts.remove("like")
    if "count" in acts and shelf.vocabulary.measured(text):
        acts.remove("count")
    elif text.endswith("?") and _FOLLOWS.search(text) and state.asked and not state.asked.startswith(UNREAD):
        acts.append("count")  # "and from the 90s?"
    if general(text):
        acts.append("idle")
    return tuple(dict.fromkeys(acts))


def _without(message: str, named: tuple[Named, ...], shelf: Shelf) -> str:
    """The message without the titles in it, which hold words that are no wishes."""
    for name in sorted(named, key=lambda n: -n.start):
        quoted = message[max(0, name.start - 1) : name.start] in "\"“'"
        words = message[name.start : name.end]
        capital = sum(word[:1].isupper() for word in words.split()) > 1
        if (
            name.role == "title"
            and fold(name.name) not in shelf.value_names
            and (quoted or name.sure >= 0.9 or capital)
        ):
            message = message[: name.start] + "it" + message[name.end :]
    return message
