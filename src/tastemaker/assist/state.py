"""A conversation so far: what stands, was shown and said; a turn makes the next state from it."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from tastemaker.assist.shelf import UNNAMED
from tastemaker.converse.catalogue import Catalogue, Day, Field
from tastemaker.converse.constraints import Clause, Constraint
from tastemaker.converse.reading.numbers import NUMBER, figure
from tastemaker.converse.reading.passage import negated
from tastemaker.converse.reading.plain import ORDINALS, in_words, spoken
from tastemaker.converse.reading.together import KINDS, clause_of, fields_of, ways_of
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.words import fold
from tastemaker.errors import InputError
from tastemaker.schema.values import SPAN

ABOUT, WITHOUT = "about:", "without:"  # before words that items say or do not: names of chips
UNREAD = "unread:"  # before a number of which it was asked what it is of, in `asked`
_ROWS = ("shown", "seen", "liked", "disliked", "near")
FOREIGN = "this conversation is another person's; begin one of your own, without conversation_id"
REMEMBERED = 20  # messages that count for the ranking


@dataclass(frozen=True)
class State:
    """messages: what the person said, oldest first. active: the constraints that stand.

    shown: rows of the newest list, in order (handles "1", "2" ...). seen: every row shown here. focus: the
    row that "it" is. slates: request id of the newest list that each seen row was in.
    liked, disliked: rows, oldest first. near: rows that the newest list is to be like. extreme: the
    comparative whose end it seeks ("slower"). words: what items say or do not, by the names of chips
    ("about:dogs", "without:zombies"). before: the state that the newest wish changed, while in memory.
    asked: what the newest question was about ("" for none).
    """

    conversation_id: str = field(default_factory=lambda: "c-" + secrets.token_hex(8))
    user_id: str | None = None
    messages: tuple[str, ...] = ()
    active: tuple[Constraint, ...] = ()
    shown: tuple[int, ...] = ()
    seen: tuple[int, ...] = ()
    slates: Mapping[int, str] = field(default_factory=dict)
    focus: int | None = None
    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()
    asked: str = ""
    near: tuple[int, ...] = ()
    extreme: str = ""
    words: tuple[str, ...] = ()
    before: State | None = None

    @property
    def barred(self) -> frozenset[int]:
        """Rows that are not shown again unless they are asked for."""
        return frozenset((*self.seen, *self.disliked))

    def with_list(self, rows: Sequence[int]) -> State:
        """The state after this list was seen; where a row is not known (-1), its places mean nothing."""
        shown = tuple(rows) if min(rows) >= 0 else ()
        seen = tuple(dict.fromkeys((*self.seen, *(row for row in rows if row >= 0))))
        return replace(self, shown=shown, seen=seen, focus=shown[0] if shown else None)

    def as_seen(self, before: State) -> State:
        """This state for somebody who has seen no more lists than `before`."""
        focus = self.focus if self.focus in before.seen else before.focus
        return replace(self, shown=before.shown, seen=before.seen, focus=focus, slates={})


def dump(state: State, ids: Sequence[str], reply: str = "") -> str:
    """A state as JSON, with item ids for rows, and what was answered last; `load` reads the state."""
    named = {name: [ids[row] for row in getattr(state, name)] for name in _ROWS}
    active = [[c.kind, c.clause.field, c.clause.cmp, c.clause.value] for c in state.active]
    focus = None if state.focus is None else ids[state.focus]
    slates = {ids[row]: name for row, name in state.slates.items()}
    return json.dumps(
        named
        | {"messages": state.messages[-REMEMBERED:], "active": active, "focus": focus, "slates": slates}
        | {"extreme": state.extreme, "words": state.words, "reply": reply}
    )


class Held(Protocol):
    """A conversation in the memory of a process; left: how this process left it to others."""

    state: State
    handles: list[int]
    left: str


def leave(common: Any, held: Held, catalogue: Catalogue) -> None:
    """Let other processes of the server, if there are any, go on from here."""
    if common is None:
        return
    ids, before, now = catalogue.item_ids, list[tuple[str, str]](), held.state
    while now is not None and len(before) < REMEMBERED:
        before.append((dump(now, ids), now.asked))
        now = now.before  # type: ignore[assignment]
    handles = [ids[row] if row >= 0 else None for row in held.handles]
    held.left = json.dumps([held.state.user_id, before[::-1], handles])
    common.talks.keep(held.state.conversation_id, held.left)


def take_up(common: Any, held: Held, catalogue: Catalogue) -> None:
    """State and handles as the last turn left them, in any process; InputError: another person's."""
    name, who = held.state.conversation_id, held.state.user_id
    left = None if common is None else common.talks.state_of(name)
    if left is None or left == held.left:
        return
    owner, before, handles = json.loads(left)
    if owner not in (None, who):
        raise InputError(FOREIGN)
    state: State | None = None
    for text, asked in before:
        state = replace(load(text, name, who, catalogue), asked=asked, before=state)
    assert state is not None
    held.state, held.left = state, left
    held.handles = [catalogue.row.get(item, -1) for item in handles]


def load(text: str, conversation_id: str, user_id: str | None, catalogue: Catalogue) -> State:
    """The state that was dumped; items that are gone are left out, and wishes for fields that are gone."""
    record, row = json.loads(text), catalogue.row
    clauses = [
        (kind, clause)
        for kind, name, cmp, value in record["active"]
        if fields_of(clause := Clause(name, cmp, _value(value, catalogue.fields.get(name))))
        <= catalogue.columns.keys()
    ]
    rows = {name: tuple(row[item] for item in record.get(name, ()) if item in row) for name in _ROWS}
    if len(rows["shown"]) < len(record["shown"]):  # "the second" would be another than the one that was seen
        rows["shown"], record["focus"] = (), None
    return State(
        conversation_id,
        user_id,
        tuple(record["messages"]),
        tuple(Constraint(kind, clause) for kind, clause in clauses),
        slates={row[item]: name for item, name in record["slates"].items() if item in row},
        focus=row.get(record["focus"]),
        shown=rows["shown"],
        seen=rows["seen"],
        liked=rows["liked"],
        disliked=rows["disliked"],
        near=rows["near"],
        extreme=record.get("extreme", ""),
        words=tuple(record.get("words", [f"{WITHOUT}{words}" for words in record.get("without", ())])),
    )


def _value(value: Any, known: Field | None) -> Any:
    """The value of a clause as it was before it was dumped."""
    as_it_was = Day if known is not None and known.days else lambda each: each
    return tuple(map(as_it_was, value)) if isinstance(value, list) else as_it_was(value)


def moved(state: State, handles: Sequence[int], old: Catalogue, new: Catalogue) -> tuple[State, list[int]]:
    """A state and its handles in the rows of the catalogue that replaced another: the same items.

    What is gone is left out as `load` does, and is -1 among the handles, whose places are names.
    """
    again = load(dump(state, old.item_ids), state.conversation_id, state.user_id, new)
    rows = [new.row.get(old.item_ids[row], -1) if row >= 0 else -1 for row in handles]
    return replace(again, asked=state.asked), rows


def chip_name(constraint: Constraint) -> str:
    """The name by which a chip is removed."""
    clause = constraint.clause
    return f"{constraint.kind}:{clause.field}:{clause.cmp}:{clause.value}"


def worded_label(name: str) -> str:
    """What the chip of words is called: "about ‘dogs’"."""
    how, _, words = name.partition(":")
    return f"{how} ‘{words}’"


def label(constraint: Constraint, vocabulary: Vocabulary) -> str:
    """What a constraint is called, in a few words."""
    clause = constraint.clause
    if clause.cmp == "either" and isinstance(clause.value, tuple):
        words = " or ".join(_way(way, vocabulary) for way in ways_of(clause))
        return f"not {words}" if constraint.kind == "must_not" else words
    words = _called(clause, vocabulary)
    return {"must": words, "must_not": f"not {words}", "prefer": f"{words} if possible"}[constraint.kind]


def _way(way: Sequence[tuple[str, str]], vocabulary: Vocabulary) -> str:
    """Values that belong together: what a thing is, then what it has: "reel with key D and tempo 100"."""
    words = [(name, value) for name, value in way if not value.startswith(SPAN)]
    kinds = [value for name, value in words if len(way) < 2 or KINDS.search(name)]
    rest: dict[str, str] = {}
    for name, value in way:
        if value not in kinds:
            called = _called(clause_of(name, value), vocabulary)
            rest[name] = f"{rest[name]} and {spoken(value)}" if name in rest else called
    phrase = " with ".join(filter(None, (" and ".join(map(spoken, kinds)), " and ".join(rest.values()))))
    return phrase.replace(" with by ", " by ")


def _called(clause: Clause, vocabulary: Vocabulary) -> str:
    noun = "" if clause.field in UNNAMED else f"{vocabulary.called(clause.field)} "
    noun = "by " if clause.field == "creator" else noun
    values = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    plain = [in_words(value) for value in values]
    if clause.cmp == "between":
        return f"{noun}{plain[0]} to {plain[1]}" if plain[0] != plain[1] else f"{noun}{plain[0]}"
    if clause.cmp in ("le", "ge"):
        ends = ("until", "from") if isinstance(values[0], Day) else ("at most", "at least")
        return f"{noun}{ends[clause.cmp == 'ge']} {plain[0]}"
    return f"{noun}{' or '.join(plain)}"


UNLIKE = re.compile(
    r"\b(?:nothing|not anything|none|not)(?: (?:at all|too|so|much|remotely|even))* (?:like|similar"
    r" to)\b|\bunlike\b",
    re.IGNORECASE,
)
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
_IN_IT = re.compile(r"(\bwith(?:out)? [^.,;!?]*?) in (?:it|them)\b", re.IGNORECASE)
_THOSE = re.compile(r"\b(?:these|those|them|all of (?:these|those|them)|both|they)\b", re.IGNORECASE)
_NONE = re.compile(
    r"^\W*(?:(?:no|nah|nope|sorry|hmm|thanks)[ ,]+)*(?:neither|none|not (?:any )?of|not)(?: of)?"
    r"(?: (?:these|those|them|either|the above))?(?: (?:two|three|[2-9]))?(?: ones?)?"
    r"(?:,? (?:please|thanks|thank you))?\W*$",
    re.IGNORECASE,
)
_DOUBLED = re.compile(
    r"\W*(?:make (?:it|that) )?(?:(double|twice)|half)(?: (?:of )?(?:that|it|as much|the|this))?"
    r"(?: (\w+))?\W*$",
    re.IGNORECASE,
)
_AGAIN = re.compile(  # "make it 44", "44 instead", "no, 44", "not 42 but 44", "60 to 90 then"
    r"\W*(?:(?:no|nope|oh|ok|okay|sorry|actually|rather|wait|please|better|then|well"
    r"|not \d[\d.]*,?(?: but)?)[ ,.!]+)*(?:(or|and)\b[ ,]+)?"
    r"(?:(?:(?:let'?s )?(?:make|change|say|try|take)(?: (?:it|that|this))?(?: to)?|i meant?"
    r"|(?:what|how) about|we are|we're)[ ,]+)?"
    rf"(?:an? |the )?[$€£]?{NUMBER}(?: ?(?:to|-) ?{NUMBER})?"
    r"(?: (?:instead|then|please|rather|i meant?|maybe|now|only|too|is (?:ok|okay|fine)))*\W*",
    re.IGNORECASE,
)
_OF_IT = re.compile(
    r"\W*(?:(?:it'?s|that'?s|that is|it is|i meant?|of|the|in|as|for|by)[ ,]+)*([\w ]+?)\W*", re.IGNORECASE
)
_FEWER = re.compile(
    r"\W*(?:(?:and|ok|okay|no|even|still|much|far|a bit|a little|slightly)[ ,]+)*(fewer|less|lower|higher|"
    r"(?<=(?:even|till) )more)(?: than (?:that|this))?(?: please)?\W*$",
    re.IGNORECASE,
)
_NOT_THAT = re.compile(r"\b(?:not|skip|drop|remove) (?:that|this|it)(?: one)?(?=[,.;!]| but\b| and\b)", re.I)
_NO_PLACE = re.compile(
    r" (?:time|thing|night|year|week|half|part|of all|\w{2,}est|best|worst|most|least)\b|(?<=top) \d",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"^(?:and |so |but )*(?:why|is|isn'?t|are|what|which|who|how|does|did|do)\b", re.IGNORECASE
)
_LISTED = rf"(?:,? (?:the|number|and|or|one|\d+|{'|'.join((*ORDINALS, 'last'))}))*,? $"
_PLACED = re.compile(
    rf"(?<!of )(?<!as )(?<!than )(?<!like )\bthe (?:{'|'.join(ORDINALS)}|last)(?: (?:one|two|three)\b|"
    r"(?=\W*$| (?:again|please|is|are|was|and the|in(?=\W*$)|of these|made|cost|costs|have|has)\b))"
    r"|^\W*(?:none|neither) of (?:these|those|them)\W*$|^\W*(?:is|was|does) it\b|\bis it\W*$",
    re.IGNORECASE,
)
_FACTUAL = re.compile(r"^\W*(?:and |so )?(?:is|are|was|does|do|what|which|who|how|compare)\b", re.IGNORECASE)
_APART = re.compile(f"(?:{UNLIKE.pattern}){_LISTED}", re.IGNORECASE)
_DROPS = re.compile(
    r"\b(?:drop|remove|ditch|bin|scrap|lose|take out|skip|pass on|hate|dislike)" + _LISTED, re.IGNORECASE
)
_LIKED = re.compile(
    r"(?<!n't )(?<!not )(?<!never )(?<!n't really )\b(?:like|love|adore|enjoy|keep)d?" + _LISTED,
    re.IGNORECASE,
)
_PRAISED = re.compile(
    r"(?: one)?(?: is| was|'s| looks?| sounds?)(?: so| really| very| just)?"
    r" (?:great|good|lovely|perfect|excellent|wonderful"
    r"|beautiful|nice|awesome|amazing|brilliant)\b",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"(?: one)?,? (?:not\b(?! (?:so|too|as|very|bad))|(?:is|was)(?: just)? (?:no good|not for"
    r" me|awful|terrible))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Pointed:
    """rows: meant, in order of mention; liked: those of them that are spoken well of. refused: turned down.
    beyond: a place where nothing stands is meant.

    any: the message points at all.
    """

    rows: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()
    beyond: bool = False
    any: bool = False
    liked: tuple[int, ...] = ()


NOWHERE = Pointed()


def pointed(text: str, state: State, titled: tuple[int, ...]) -> Pointed:
    """What is pointed at by title, place or "it" in a message after the list of `state`."""
    rows, refused, liked, beyond = list(titled), list[int](), list[int](), False
    for hit in _REFER.finditer(text) if state.shown else ():
        if hit[1] and _NO_PLACE.match(text, hit.end()):
            continue
        several = re.search(r" (two|three)$", hit.group(), re.IGNORECASE)
        first = _place(hit, state)
        last = first + (("two", "three").index(several[1].lower()) + 1 if several and first == 1 else 0)
        clear = hit[3] or re.match(r"the\b", hit.group(), re.IGNORECASE)
        beyond = beyond or bool(clear and first > len(state.shown) and not titled)
        meant = [state.shown[place - 1] for place in range(first, last + 1) if 1 <= place <= len(state.shown)]
        before = text[: hit.start()]
        loved = bool(_LIKED.search(before))
        unlike = _APART.search(before)
        good = (loved and not unlike) or bool(_PRAISED.match(text, hit.end()))
        against = not _QUESTION.match(text) and (
            unlike
            or (negated(text, hit.start()) and not good)
            or _DROPS.search(before)
            or (not loved and _REFUSED.match(text, hit.end()))
        )
        (refused if against else rows).extend(meant)
        liked += meant if good and not against else []
    if rows and state.focus is not None and state.focus not in rows and _NOT_THAT.search(text):
        refused.append(state.focus)
    rows = [row for row in dict.fromkeys(rows) if row not in refused]
    if rows or refused or beyond:
        well = tuple(row for row in dict.fromkeys(liked) if row in rows)
        return Pointed(tuple(rows), tuple(dict.fromkeys(refused)), beyond, True, well)
    if state.shown and _NONE.match(text):
        return Pointed((), state.shown, any=True)
    if state.shown and _THOSE.search(text):
        return Pointed(state.shown, any=True)
    if state.focus is not None and _POINT.search(text):
        return Pointed((state.focus,), any=True)
    return NOWHERE


def early(text: str, state: State) -> bool:
    """Whether a message is about a list, though nothing was shown yet: "what does the first cost?"."""
    return not state.shown and bool(_PLACED.search(text) and (_FACTUAL.search(text) or len(text.split()) < 7))


def spoken_of(
    text: str, state: State, titled: tuple[int, ...], nearly: tuple[int, ...]
) -> tuple[Pointed, tuple[int, ...]]:
    """What is pointed at, and what nothing shall be like; `nearly`: rows of titles less surely meant."""
    meant, unlike = pointed(_IN_IT.sub(r"\1", text), state, titled), UNLIKE.search(text)
    if unlike and nearly:
        return Pointed(refused=nearly, any=True), nearly
    return meant, meant.refused if unlike and not meant.rows else ()


def _place(hit: re.Match[str], state: State) -> int:
    word = (hit[1] or "").lower()
    named = {"last": len(state.shown), "top": 1}.get(word)
    return named or (ORDINALS.index(word) + 1 if word in ORDINALS else int(hit[2] or hit[3] or hit[4] or 0))


def carried(message: str, state: State, vocabulary: Vocabulary) -> str:
    """A message with the noun of the number that was bounded last: "even fewer" as "fewer calories", "double
    that" or "half that tempo" with the number, "make it 44" with the noun; a noun alone with the number of
    which it was asked what it is of.
    """
    if state.asked.startswith(UNREAD) and (hit := _OF_IT.fullmatch(message)):
        noun, number = fold(hit[1]), state.asked.removeprefix(UNREAD)
        if any(noun in vocabulary.nouns[name] for name in vocabulary.units):
            return f"{noun} {number}"
        if any(noun in units for units in vocabulary.units.values()):
            return f"{number} {noun}"
    numbers = ("le", "ge", "between")
    bounded = [c.clause for c in state.active if c.clause.cmp in numbers and c.kind == "must"]
    if not bounded:
        return message
    last = bounded[-1]
    nouns = vocabulary.nouns[last.field]
    if (hit := _FEWER.match(message)) and last.cmp != "between":
        return f"{hit[1]} {nouns[0]}"
    hit = _DOUBLED.match(message)
    if hit and (not hit[2] or fold(hit[2]) in (*nouns, "speed")):
        return _bounded(last, _middle(last) * (2 if hit[1] else 0.5), vocabulary)
    if (hit := _AGAIN.fullmatch(message)) and hit[0].strip() not in map(str, range(len(state.shown) + 1)):
        value, *more = (figure(part) for part in hit.groups()[1:] if part)
        fields = [(clause, vocabulary.fields[clause.field]) for clause in bounded]
        fitting = [clause for clause, known in fields if known.low <= value <= known.high]
        if fitting:
            nearest = min(fitting, key=lambda clause: abs(math.log((value + 1) / (_middle(clause) + 1))))
            return _bounded(nearest, value, vocabulary, bool(hit[1] or hit[0].endswith("too")), *more)
    return message


def _middle(clause: Clause) -> float:
    """The number in the middle of what is demanded."""
    return float(np.mean(np.asarray(clause.value, float)))


def _bounded(
    clause: Clause, value: float, vocabulary: Vocabulary, also: bool = False, to: float | None = None
) -> str:
    """A bound of the same kind at another number, in words; one number `also`, or a range that ends there."""
    noun = vocabulary.nouns[clause.field][0]
    exact = isinstance(clause.value, tuple) and clause.value[0] == clause.value[1]
    if to is not None:
        return f"{noun} {value:g} to {to:g}"
    if exact and also:
        return f"{noun} {_middle(clause):g} or {noun} {value:g}"
    end = "exactly" if exact else {"le": "at most", "ge": "at least", "between": "around"}[clause.cmp]
    return f"{noun} {end} {value:g}"
