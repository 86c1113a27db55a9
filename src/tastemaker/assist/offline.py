"""The planner without a model: it reads free words, answers from facts, asks when it does not know."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace

import numpy as np

from tastemaker.assist.absent import general, not_here, sought, unused
from tastemaker.assist.desk import MOST_SHOWN, POOL, SHOWN, Choice, Desk, Rows
from tastemaker.assist.parts import Part, Question, Text
from tastemaker.assist.ranking import telling
from tastemaker.assist.replies.lacks import lacking
from tastemaker.assist.replies.personal import CHATTER, PERSONAL, erase
from tastemaker.assist.replies.places import placed
from tastemaker.assist.replies.questions import answer_question, list_values
from tastemaker.assist.state import ABOUT, NOWHERE, UNREAD, State, early, label, worded_label
from tastemaker.assist.understand import READ, Understanding, guesses, understand
from tastemaker.converse.catalogue import TITLE
from tastemaker.converse.constraints import Constraint
from tastemaker.converse.reading.numbers import among
from tastemaker.converse.reading.plain import plain
from tastemaker.converse.reading.scales import in_order, place
from tastemaker.converse.reading.standing import settle
from tastemaker.converse.reading.together import distinct, values_of
from tastemaker.converse.reading.unread import unread

SURE_OF_WORDS = 0.3  # cosine from which words are about something here


def answer(message: str, desk: Desk) -> Iterator[Part]:
    """The parts of one turn."""
    if desk.state.asked == "erase":
        yield from erase(message, desk)
        return
    if len(message) > READ:
        yield Text(f"That is long; I read the first {READ:,} letters.")
        message = message[:READ]
    message = placed(in_order(message, desk.shelf.vocabulary), desk.state.shown, desk.shelf)
    named = desk.ranker.named(message)
    read = understand(message, desk.state, desk.shelf, named)
    silent = (read.wishes.lets_go and not read.named) or "idle" in read.acts
    words = "" if silent else sought(message, read.turned_down, read.wishes.restart)
    read = _counted(read, desk)
    desk.change(messages=(*desk.state.messages, words[:2000]), asked="")
    if "count" in read.acts:
        desk.change(asked=f"{read.counted}\n{message}"[-500:].strip())
    if read.listing:
        yield from list_values(read, desk)
        return
    if read.undone and desk.state.before is None:
        yield Text("There is nothing to take back.")
        return
    if read.undone and (rows := _judged(desk.state)):
        desk.unsay(rows)
        yield desk.understood()
        yield Text(f"Taken back: what you said of {desk.shelf.quoted(*rows)}.")
        return
    if not read.wants and (act := next((act for act in PERSONAL if act in read.acts), "")):
        yield from PERSONAL[act](desk)
        return
    if lost := _nowhere(message, read, desk):
        yield lost
        return
    if {"like", "skip", "unlike"} & set(read.acts):
        known, before = (desk.state.liked, desk.state.disliked), _remembered(desk.state)
        yield from _opinion(read, desk)
        if (desk.state.liked, desk.state.disliked) != known:
            desk.change(before=before)
    elif read.wants and (titled := _titled(read)) and _HAD.search(message):
        desk.change(seen=tuple(dict.fromkeys((*desk.state.seen, *titled))))
        yield Text(f"Not shown again: {desk.shelf.quoted(*titled)}.")
        read = replace(read, named=tuple(name for name in read.named if name.role != "title"))
    if (
        read.superlative
        or read.about
        or read.check
        or read.describe
        or read.asks
        or (set(read.acts) & {"explain", "compare", "count"} and not read.wants)
    ):
        yield from answer_question(read, desk)
        return
    if not read.wants:
        small = next((act for act in CHATTER if act in read.acts), "")
        if small and not {"like", "skip"} & set(read.acts):
            yield Text(CHATTER[small])
        return
    yield from _wish(message, read, desk)


def _nowhere(message: str, read: Understanding, desk: Desk) -> Question | None:
    """What is asked back where a message points at a place that is not in the list, or at none."""
    if read.pointed.beyond:
        titles = tuple(desk.shelf.title(row) for row in desk.state.shown)
        many = "is 1" if len(titles) == 1 else f"are {len(titles)}"
        return Question(f"There {many} in the list. Which one do you mean?", titles[:5])
    if read.pointed == NOWHERE and not read.named and early(plain(message), desk.state):
        return Question("Which one do you mean? Nothing was shown yet.", ())
    return None


def _counted(read: Understanding, desk: Desk) -> Understanding:
    """ "Show me them" after a count asks for what was counted."""
    counted = desk.state.asked
    if "more" not in read.acts or not counted or counted.startswith(UNREAD) or read.wishes.changes:
        return read
    return replace(read, wishes=replace(desk.shelf.wishes.read(counted.replace("\n", ". ")), left=""))


def _wish(message: str, read: Understanding, desk: Desk) -> Iterator[Part]:
    state = desk.state
    clear = (
        read.wishes.changes or read.like or read.extreme or "more" in read.acts or read.apart or read.undone
    )
    read = _standing(read, state, desk)
    before = state.before if read.undone and state.before is not None else state
    active = settle(before.active, read.wishes, desk.shelf.kinds)
    asked = (active, read.like, read.extreme) != (state.active, state.near, state.extreme)
    desk.change(near=read.like, extreme=read.extreme)
    if asked:
        desk.change(before=before.before if read.undone else _remembered(state))
    if read.undone:
        desk.change(words=before.words)
    if read.wishes.restart:
        desk.change(shown=(), focus=None, messages=desk.state.messages[-1:], words=())
    guessed = [] if clear else guesses(read, message, desk.shelf)
    softly = replace(read.wishes, restart=False, changes=tuple(guessed))
    desk.change(active=settle(active, softly, desk.shelf.kinds))
    lifted = _lifted(read, before.active, desk)
    gone = "" if read.wishes.further else desk.let_go(before.active, read.wishes.changes)
    notes = [lifted, *desk.heed(read.without, read.topics), gone]
    if desk.state.words != state.words and not (asked or read.undone):
        desk.change(before=_remembered(state))
    yield desk.understood()
    number = _unread(message, read, desk)
    desk.change(asked=UNREAD + number if number else "")
    unclear = f"I did not read ‘{number}’: say what it is of." if number else ""
    caveats = list(filter(None, (not_here(read.absent), read.wishes.unclear, read.untold, unclear)))
    caveats += filter(None, ["" if guessed else unused(read.wishes.left, desk.shelf, " ".join(caveats))])
    yield from map(Text, filter(None, (*notes, *caveats)))
    if not (read.apart or read.undone) and _lost(message, read, desk, bool(guessed)):
        yield from _ask(desk, bool(caveats or read.topics))
        return
    titled = _titled(read)
    if not read.like and "skip" not in read.acts:
        yield from _missing(titled, desk)
    nothing = desk.nothing()
    if nothing is not None:
        yield nothing
        closest = desk.closest()
        if closest.rows:
            yield Text("The closest there are, with what they miss:")
            yield from _shown(desk, closest, closest=True)
        return
    if read.extreme and (skipped := place(plain(message), desk.shelf.vocabulary) - 1):
        nearer = _extremes(read, desk, desk.fitting(), skipped)
        desk.change(seen=tuple(dict.fromkeys((*state.seen, *nearer))))
    rows_now, none = _left(desk)
    yield from map(Text, filter(None, [none, lacking(desk) if len(rows_now) else ""]))
    if not len(rows_now):
        return
    yield Text(_lead(read, desk, bool(guessed)))
    own: list[int] = []
    if titled and not read.like:
        holds = desk.shelf.adherence(desk.state.active).holds
        own = [row for row in titled if holds[row]]
    ranked = _extremes(read, desk, rows_now)
    if read.many > MOST_SHOWN:
        yield Text(f"I show {MOST_SHOWN} at once at most; ask for more to see the next.")
    k = min(read.many or SHOWN, MOST_SHOWN)
    choice = desk.people.choose(ranked, k, own) if ranked else desk.pick(rows_now, k, read.like, own)
    yield from _shown(desk, choice)


def _left(desk: Desk) -> tuple[Rows, str]:
    """The rows that fit and were not shown, else all that fit, and what is said of that."""
    rows = desk.fitting()
    if len(rows):
        return rows, ""
    rows = desk.fitting(again=True)
    if len(rows):
        return rows, "You have seen all that fits; here they are again."
    if desk.state.words and not desk.holds.any():
        return rows, f"Nothing that fits is also {' and '.join(map(worded_label, desk.state.words))}."
    return rows, "There is nothing left that you have not turned down."


def _unread(message: str, read: Understanding, desk: Desk) -> str:
    """A bound that nothing read, or a number that is neither of items pointed at, nor of a name of theirs."""
    names = " ".join(message[name.start : name.end] for name in read.named).split()

    def known(word: str, number: str) -> bool:
        mention = telling(word) and desk.shelf.saying((word, number)).any()
        return read.pointed.any or number in names or bool(mention)

    return unread(read.wishes.left, known)


def _judged(state: State) -> tuple[int, ...]:
    """The rows that were liked or turned down since the state before, where nothing else is new."""
    before = state.before
    if before is None or (before.active, before.near, before.extreme, before.words) != (
        state.active,
        state.near,
        state.extreme,
        state.words,
    ):
        return ()
    changed = {*before.liked} ^ {*state.liked} | {*before.disliked} ^ {*state.disliked}
    return tuple(sorted(changed, key=(*state.seen, *changed).index))


def _remembered(state: State, most: int = 8) -> State:
    """A state to come back to, with a few of those before it."""
    before = state.before if most else None
    return replace(state, before=before and _remembered(before, most - 1))


def _lifted(read: Understanding, before: Sequence[Constraint], desk: Desk) -> str:
    """What is said of wishes and refusals that a message let go."""
    if not read.wishes.manner and all(change.op != "drop" for change in read.wishes.changes):
        return ""
    now = desk.state.active
    left = {v for c in now if c.kind == "must" for v in values_of(c.clause)}
    moved = {(c.clause.field, c.clause.cmp) for c in now if c.clause.cmp in ("le", "ge")}
    gone = [
        replace(c, clause=among(c.clause.field, rest).clause) if (rest := _rest(c, left)) else c
        for c in distinct(before)
        if c not in now and (c.clause.field, c.clause.cmp) not in moved
    ]
    groups = {
        words: "; ".join(label(replace(c, kind="must"), desk.shelf.vocabulary) for c in gone if test(c))
        for words, test in _GONE.items()
    }
    return " ".join(f"{words}: {labels}." for words, labels in groups.items() if labels)


def _rest(old: Constraint, left: Set[str]) -> list[str]:
    """Which of several values that were wished are wished no longer."""
    values = values_of(old.clause) if old.kind == "must" and old.clause.cmp == "in" else ()
    return [value for value in values if value not in left]


_GONE: dict[str, Callable[[Constraint], bool]] = {
    "No longer counted": lambda c: c.kind != "must_not",
    "No longer left out": lambda c: c.kind == "must_not",
}


_HAD = re.compile(
    r"\b(?:i|we)(?:'ve| have|ve)?(?: just| already| both| all)* (?:seen|watched|read|finished|own)\b",
    re.IGNORECASE,
)


def _titled(read: Understanding) -> list[int]:
    """The rows that are meant by title."""
    return [row for row in read.rows if any(n.role == "title" and row in n.rows for n in read.named)]


def _missing(titled: Sequence[int], desk: Desk) -> Iterator[Part]:
    """Titles that were asked for and miss a demand that stands, each with what it misses."""
    for row in titled[:3]:
        if unmet := desk.unmet(row):
            desk.gate.allow((row,))
            yield Text(f"{desk.shelf.quoted(row)} is here, but misses: {', '.join(unmet)}.")


def _standing(read: Understanding, state: State, desk: Desk) -> Understanding:
    """What was sought is sought on: a likeness and the end of a scale, until they are taken back or another
    is asked for; by a title that is named, by starting over, or in so many words.
    """
    before = state.before if read.undone else state
    if before is None or read.wishes.restart or read.apart:
        return read
    titled = any(name.role == "title" and name.sure >= 0.6 for name in read.named) or read.absent
    near = () if titled else tuple(row for row in before.near if row not in state.disliked)
    _, scale = desk.shelf.vocabulary.end_of(before.extreme)
    moved = scale is not None and any(change.clause.field == scale.field for change in read.wishes.changes)
    extreme = "" if titled or moved or read.like else before.extreme
    return replace(read, like=read.like or near, extreme=read.extreme or extreme)


def _extremes(read: Understanding, desk: Desk, rows: Rows, most: int = POOL) -> list[int]:
    """The rows at the end of a scale that is asked for ("the slowest you have"), the utmost first."""
    up, scale = desk.shelf.vocabulary.end_of(read.extreme)
    sign = -1.0 if up else 1.0
    if scale is None:
        return []
    known = {row: scale.place(desk.shelf.fact(row, scale.field)) for row in rows.tolist()}
    places = {row: sign * place for row, place in known.items() if place is not None}
    if not places:
        return []
    last = sorted(places.values())[:most][-1]
    near = np.array([row for row, place in places.items() if place <= last], np.int64)
    often = sign * desk.shelf.catalogue.played * (scale.field == "popularity")  # within a word for it
    return sorted(desk.ranked(near, len(near)), key=lambda row: (places[row], often[row]))[:most]


def _shown(desk: Desk, choice: Choice, closest: bool = False) -> Iterator[Part]:
    for item, reasons in desk.items(choice, closest):
        yield item
        yield from reasons


def _lead(read: Understanding, desk: Desk, guessed: bool) -> str:
    """What was understood, in one sentence, before the items."""
    wishes = [label(c, desk.shelf.vocabulary) for c in distinct(desk.state.active)]
    wishes += map(worded_label, desk.state.words)
    if read.like:
        tail = f", and {'; '.join(wishes)}" if wishes else ""
        return f"Like {desk.shelf.quoted(*read.like[:3])}{tail}:"
    _, scale = desk.shelf.vocabulary.end_of(read.extreme)
    if scale:
        tail = f", of what is {'; '.join(wishes)}" if wishes else ""
        return f"By {desk.shelf.vocabulary.called(scale.field)}{tail}:"
    if guessed:
        return f"I take that as {'; '.join(wishes)}. Tell me if I am wrong:"
    if wishes:
        fits = desk.understood().fits
        if fits is None:
            return f"{'; '.join(wishes)[:400]}:"
        return f"{'; '.join(wishes)[:400]}: {'1 fits' if fits == 1 else f'{fits:,} fit'}."
    if any(name.sure >= 0.4 for name in read.named):
        return "Here is what goes by that name, and what is near:"
    if "more" in read.acts:
        return "Some more:"
    return "By your words, these come closest:" if telling(desk.state.messages[-1]) else "For you:"


def _lost(message: str, read: Understanding, desk: Desk, guessed: bool) -> bool:
    """Whether nothing was understood: no wish, name, likeness, mood, nor word of anything here."""
    parse = read.wishes
    about = any(ABOUT + topic in desk.state.words for topic in read.topics)
    named = any(n.sure >= 0.4 for n in read.named) or {"more", "idle", "like", "skip"} & set(read.acts)
    wished = parse.changes or parse.restart or parse.moods or read.like or read.extreme or read.many
    if guessed or read.without or about or named or wished or general(message, occasion=True):
        return False
    if not telling(message):
        return not message.strip() or not re.search(r"\w", message)
    words = desk.shelf.lexical.search([message])[0].max() > 0
    return (
        not words
        and float((desk.shelf.vectors @ np.nan_to_num(desk.shelf.embed([message[:500]])[0])).max())
        < SURE_OF_WORDS
    )


def _ask(desk: Desk, brief: bool = False) -> Iterator[Part]:
    """A question; brief: what was not understood was said."""
    fields = [
        known
        for known in desk.shelf.catalogue.fields.values()
        if known.kind != "number" and known.coverage >= 0.3 and known.name != TITLE
    ]
    fields.sort(key=lambda known: -known.coverage * min(len(known.values), 12))
    if fields:
        known = fields[0]
        noun = desk.shelf.vocabulary.called(known.name)
        yield Question(
            f"{'' if brief else 'I did not catch that. '}What {noun} would you like?",
            tuple(known.values[:5]),
        )
    else:
        yield Question("I did not catch that. Which title, name or subject are you after?", ())


def _opinion(read: Understanding, desk: Desk) -> Iterator[Part]:
    if refused := read.pointed.refused:
        desk.feedback(refused, "skip")
        yield Text(f"Left out from now on: {desk.shelf.quoted(*refused)}.")
        if "like" not in read.acts:
            return
    kind = "like" if "like" in read.acts and "unlike" not in read.acts else "skip"
    rows = read.rows or ((desk.state.focus,) if desk.state.focus is not None else ())
    rows = read.pointed.liked or rows if refused else rows
    if "unlike" in read.acts and rows in ((), (desk.state.focus,)):  # "it" is what was liked
        liked = (*desk.history()[0], *desk.state.liked)
        rows = rows if set(rows) & set(liked) else liked[-1:]
    if (
        kind == "like"
        and not read.rows
        and len(desk.state.shown) > 1
        and re.search(r"\b(?:ones|picks|choices|finds)\b", desk.state.messages[-1], re.I)
    ):
        rows = desk.state.shown
    if not rows:
        if not read.wants:
            yield Question("Which one do you mean?", tuple(map(desk.shelf.title, desk.state.liked[-5:])))
        return
    titles = desk.shelf.quoted(*rows[:3])
    if "unlike" in read.acts:
        known = {*desk.state.liked, *desk.history()[0]}
        if not known & set(rows):
            yield Text(f"I know of no like of {titles} to take back.")
            return
        standing = desk.take_back(rows)
        yield Text(f"Taken back: the like of {titles}.")
        if standing:
            yield Text("The data that were imported still say so; it is left out from now on.")
        return
    desk.feedback(rows, kind)
    yield Text(f"Noted: you like {titles}." if kind == "like" else f"Left out from now on: {titles}.")
