"""The planner without a model: it reads free words, answers from facts, asks when it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tastemaker.assist.absent import not_here, sought
from tastemaker.assist.desk import POOL, SHOWN, Choice, Desk, Rows, said
from tastemaker.assist.parts import Notice, Part, Question, Text
from tastemaker.assist.ranking import telling
from tastemaker.assist.state import State, label
from tastemaker.assist.understand import Understanding, guesses, understand
from tastemaker.converse.constraints import Clause
from tastemaker.converse.reading.numbers import ranged
from tastemaker.converse.reading.together import distinct
from tastemaker.converse.reading.wishes import settle

SURE_OF_WORDS = 0.3  # cosine from which words are about something here
YES = re.compile(
    r"^\s*(?:yes|yeah|yep|sure|please do|do it|ok(?:ay)?|confirm|yes,? erase\b.*)[\s.!]*(?:erase.*)?$",
    re.IGNORECASE,
)
CHATTER = {
    "who": (
        "I am the assistant of this catalogue: a program that reads what you write and looks things up here."
    ),
    "weather": "All well here, thank you. What are you in the mood for?",
    "bye": "Goodbye, and come back any time.",
    "greet": "Hello. What are you in the mood for?",
    "thanks": "You are welcome.",
}


def answer(message: str, desk: Desk) -> Iterator[Part]:
    """The parts of one turn."""
    if desk.state.asked == "erase":
        yield from _erase(message, desk)
        return
    named = desk.ranker.named(message)
    read = understand(message, desk.state, desk.shelf, named)
    words = sought(message, read.turned_down, read.heard.restart)
    desk.change(messages=(*desk.state.messages, words[:2000]), asked="")
    if read.listing:
        yield Text(" ".join(map(desk.shelf.listing, read.listing)))
        return
    if not read.wants and (act := next((act for act in _PERSONAL if act in read.acts), "")):
        yield from _PERSONAL[act](desk)
        return
    if read.pointed.beyond:
        titles = tuple(desk.shelf.title(row) for row in desk.state.shown)
        many = "is 1" if len(titles) == 1 else f"are {len(titles)}"
        yield Question(f"There {many} in the list. Which one do you mean?", titles[:5])
        return
    if {"like", "skip", "unlike"} & set(read.acts):
        yield from _opinion(read, desk)
    if (
        read.superlative
        or read.about
        or read.check
        or read.describe
        or read.asks
        or (set(read.acts) & {"explain", "compare", "count"} and not read.wants)
    ):
        yield from _question(read, desk)
        return
    if not read.wants:
        small = next((act for act in CHATTER if act in read.acts), "")
        if small and not {"like", "skip"} & set(read.acts):
            yield Text(CHATTER[small])
        return
    yield from _wish(message, read, desk)


def _wish(message: str, read: Understanding, desk: Desk) -> Iterator[Part]:
    state = desk.state
    clear = (
        read.heard.changes or read.like or read.extreme or "more" in read.acts or read.apart or read.undone
    )
    read = _standing(read, state, desk)
    before = state.before if read.undone and state.before is not None else state
    active = settle(before.active, read.heard, desk.shelf.kinds)
    asked = (active, read.like, read.extreme) != (state.active, state.near, state.extreme)
    desk.change(near=read.like, extreme=read.extreme)
    if asked:
        desk.change(before=None if read.undone else replace(state, before=None))
    if read.heard.restart:
        desk.change(shown=(), focus=None, messages=desk.state.messages[-1:], without=())
    guessed = [] if clear else guesses(read, message, desk.shelf)
    softly = replace(read.heard, restart=False, changes=tuple(guessed))
    desk.change(active=settle(active, softly, desk.shelf.kinds))
    instead = any(change.op == "replace" for change in read.heard.changes)
    gone = "" if read.heard.further else desk.let_go(before.active, instead)
    said = [*desk.leave_out(read.without), gone]
    yield desk.understood()
    yield from map(Text, filter(None, (*said, not_here(read.absent), read.heard.unclear, read.untold)))
    if unread := ranged(read.heard.left):
        yield Text(f"I did not read ‘{unread}’: say what it is of.")
    if not (read.apart or read.undone) and _lost(message, read, desk, bool(guessed)):
        yield from _ask(desk)
        return
    titled = [row for row in read.rows if any(n.role == "title" and row in n.rows for n in read.named)]
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
    rows_now = desk.fitting()
    if not len(rows_now):
        rows_now = desk.fitting(again=True)
        again = "You have seen all that fits; here they are again."
        yield Text(again if len(rows_now) else "There is nothing left that you have not turned down.")
    if not len(rows_now):
        return
    yield Text(_lead(read, desk, bool(guessed)))
    own: list[int] = []
    if titled and not read.like:
        holds = desk.shelf.adherence(desk.state.active).holds
        own = [row for row in titled if holds[row]]
    ranked = _extremes(read, desk, rows_now)
    choice = desk.people.choose(ranked, SHOWN, own) if ranked else desk.pick(rows_now, SHOWN, read.like, own)
    yield from _shown(desk, choice)


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
    if before is None or read.heard.restart or read.apart:
        return read
    titled = any(name.role == "title" and name.sure >= 0.6 for name in read.named) or read.absent
    near = () if titled else tuple(row for row in before.near if row not in state.disliked)
    _, scale = desk.shelf.vocabulary.end_of(before.extreme)
    moved = scale is not None and any(change.clause.field == scale.field for change in read.heard.changes)
    extreme = "" if titled or moved or read.like else before.extreme
    return replace(read, like=read.like or near, extreme=read.extreme or extreme)


def _extremes(read: Understanding, desk: Desk, rows: Rows) -> list[int]:
    """The rows at the end of a scale that is asked for ("the slowest you have"), the utmost first."""
    up, scale = desk.shelf.vocabulary.end_of(read.extreme)
    sign = -1.0 if up else 1.0
    if scale is None:
        return []
    known = {row: scale.place(desk.shelf.fact(row, scale.field)) for row in rows.tolist()}
    places = {row: sign * place for row, place in known.items() if place is not None}
    if not places:
        return []
    last = sorted(places.values())[:POOL][-1]
    near = np.array([row for row, place in places.items() if place <= last], np.int64)
    return sorted(desk.ranked(near, len(near)), key=lambda row: places[row])[:POOL]


def _shown(desk: Desk, choice: Choice, closest: bool = False) -> Iterator[Part]:
    for item, reasons in desk.items(choice, closest):
        yield item
        yield from reasons


def _lead(read: Understanding, desk: Desk, guessed: bool) -> str:
    """What was understood, in one sentence, before the items."""
    wishes = [label(c, desk.shelf.vocabulary) for c in distinct(desk.state.active)]
    wishes += [f"without ‘{said}’" for said in desk.state.without]
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
    """Whether nothing of the message was understood: no wish, name, likeness, mood, nor words about anything
    here.
    """
    heard = read.heard
    if (
        guessed
        or read.without
        or read.extreme
        or heard.changes
        or heard.restart
        or heard.moods
        or read.like
        or read.rows
    ):
        return False
    if "more" in read.acts or {"like", "skip"} & set(read.acts) or any(n.sure >= 0.4 for n in read.named):
        return False
    if not telling(message):
        return not message.strip() or not re.search(r"\w", message)
    words = desk.shelf.lexical.search([message])[0].max() > 0
    return (
        not words
        and float((desk.shelf.vectors @ np.nan_to_num(desk.shelf.embed([message[:500]])[0])).max())
        < SURE_OF_WORDS
    )


def _ask(desk: Desk) -> Iterator[Part]:
    fields = [
        known
        for known in desk.shelf.catalogue.fields.values()
        if known.kind != "number" and known.coverage >= 0.3
    ]
    fields.sort(key=lambda known: -known.coverage * min(len(known.values), 12))
    if fields:
        known = fields[0]
        noun = desk.shelf.vocabulary.called(known.name)
        yield Question(f"I did not catch that. What {noun} would you like?", tuple(known.values[:5]))
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


def _question(read: Understanding, desk: Desk) -> Iterator[Part]:
    """Questions are answered from the facts of the items they are about."""
    shelf, state = desk.shelf, desk.state
    rows = read.rows or ((state.focus,) if state.focus is not None else state.shown[:1])
    if "count" in read.acts:
        wished = settle(() if read.heard.changes else state.active, read.heard, shelf.kinds)
        what = "; ".join(label(c, shelf.vocabulary) for c in wished) or "in all"
        yield Text(f"{shelf.fits(wished):,}: {what}.")
        return
    if not rows:
        yield Question("Which one do you mean? Nothing was shown yet.", ())
        return
    desk.gate.allow(rows)
    if read.superlative:
        yield from _end_of_scale(read, desk, rows if len(rows) > 1 else state.shown)
        return
    if "compare" in read.acts and not read.about:
        yield from _compared(desk, rows if len(rows) > 1 else state.shown)
        return
    desk.change(focus=rows[-1])
    for row in rows[:3]:
        title = shelf.quoted(row)
        if "explain" in read.acts and not read.about:
            reasons = desk.explain(row)
            yield Text(
                f"{title}:"
                if reasons
                else f"Nothing I could point at speaks for {title}; it came by likeness of the text alone."
            )
            yield from reasons
        elif read.check:
            yield Text(_checked(read, desk, row))
        elif read.about:
            yield Text(f"{title}: {desk.told(row, read.about)}.")
        elif not read.describe:
            yield Text(f"I have no such fact about {title}.")
        else:
            facts = desk.told(row, [name for name, _ in shelf.catalogue.facts(row)])
            creator = shelf.catalogue.creators[row]
            by = f" ({creator})" if creator else ""
            told = ". ".join(filter(None, (facts, shelf.about(row)))) or shelf.title(row)
            yield Text(f"{title}{by}: {told}.")


def _checked(read: Understanding, desk: Desk, row: int) -> str:
    """Yes or no, with the fact."""
    shelf, title = desk.shelf, desk.shelf.quoted(row)
    answers = []
    for name, value in read.heard.values:
        clause = Clause(name, "contains" if shelf.kinds[name] == "words" else "eq", value)
        hit = int(shelf.match([clause])[row])
        known = "not known" if hit < 0 else said(shelf.fact(row, name))
        noun = shelf.vocabulary.called(name)
        answers.append(
            f"{'Yes' if hit == 1 else 'No' if hit == 0 else 'I cannot say'}: {title}: {noun}: {known}."
        )
    return " ".join(answers)


def _end_of_scale(read: Understanding, desk: Desk, rows: tuple[int, ...]) -> Iterator[Part]:
    up, scale = desk.shelf.vocabulary.end_of(read.superlative)
    known = [(scale.place(desk.shelf.fact(row, scale.field)), row) for row in rows] if scale else []
    places = [(place, row) for place, row in known if place is not None]
    if not scale or not places:
        yield Text("I have no such fact about these.")
        return
    best = (max if up else min)(place for place, _ in places)
    winners = [row for place, row in places if place == best]
    desk.change(focus=winners[0])
    yield Text(f"{desk.shelf.quoted(*winners, link=' and ')}: {desk.told(winners[0], [scale.field])}.")


def _compared(desk: Desk, rows: tuple[int, ...]) -> Iterator[Part]:
    names = list(desk.shelf.catalogue.fields)
    if len(rows) < 2:
        yield Question(
            "Which ones shall I compare?", tuple(desk.shelf.title(row) for row in desk.state.shown[:5])
        )
        return
    same = [
        name
        for name in names
        if len({desk.shelf.fact(row, name) for row in rows}) == 1
        and desk.shelf.fact(rows[0], name) is not None
    ]
    for row in rows[:4]:
        yield Text(
            f"{desk.shelf.quoted(row)}: {desk.told(row, [name for name in names if name not in same])}."
        )
    if same:
        yield Text(f"They share {desk.told(rows[0], same)}.")


def _profile(desk: Desk) -> Iterator[Part]:
    """What is known of the person, as it is kept."""
    history, unwanted = desk.history()
    rows = list(dict.fromkeys((*history, *desk.state.liked)))
    if not rows and not desk.state.active and not unwanted:
        yield Text("I know nothing about you but what you write here.")
        return
    titles = desk.shelf.quoted(*rows[-5:][::-1])
    desk.gate.allow(rows)
    yield Text(
        f"{len(rows)} {'thing' if len(rows) == 1 else 'things'} that you wanted, the newest: {titles}."
        if rows
        else "Nothing that you wanted so far."
    )
    if unwanted or desk.state.disliked:
        yield Text(f"{len(unwanted | set(desk.state.disliked))} that you turned down.")
    yield desk.understood()
    yield Text(
        "Say “forget that I liked …” to correct it, “export my data” for a copy, “forget everything about me”"
        " to erase it."
    )


def _asked(desk: Desk) -> Iterator[Part]:
    """The wishes that stand."""
    wishes = [chip["label"] for chip in desk.understood().chips]
    yield desk.understood()
    yield Text(f"You asked for: {'; '.join(wishes)}." if wishes else "No wish of yours stands now.")


def _export(desk: Desk) -> Iterator[Part]:
    if desk.state.user_id is None:
        yield Text("Nothing is kept about you: you are nobody here.")
        return
    count = len(desk.people.known(desk.state.user_id))
    yield Text(
        f"{count} {'event is' if count == 1 else 'events are'} kept about you. Your copy is under “Your data”"
        " on the page, and at GET /users/ID/history; what you said here is at GET /users/ID/conversations."
    )


def _ask_to_erase(desk: Desk) -> Iterator[Part]:
    if desk.state.user_id is None:
        desk.change(liked=(), disliked=(), active=(), messages=(), shown=(), seen=(), focus=None)
        yield Text("Forgotten: this conversation starts anew. Nothing else was kept about you.")
        return
    desk.change(asked="erase")
    yield Question("Erase everything that is kept about you, for good?", ("Yes, erase everything", "No"))


def _erase(message: str, desk: Desk) -> Iterator[Part]:
    user = desk.state.user_id
    desk.change(asked="")
    if user is None or not YES.match(message):
        yield Text("Nothing was erased.")
        return
    desk.people.forget(user)
    desk.changed = True
    desk.change(user_id=None, liked=(), disliked=(), active=(), messages=(), shown=(), seen=(), focus=None)
    yield Notice("Everything about you was erased.")


def _help(desk: Desk) -> Iterator[Part]:
    fields = [desk.shelf.vocabulary.called(name) for name in list(desk.shelf.catalogue.fields)[:6]]
    by = f" by {', '.join(fields)}" if fields else ""
    yield Text(
        f"Ask in your own words{by}, by title, or by what it should be like; then “slower”, “not that one”,"
        " “like the second”, “why?”, “what do you know about me?”."
    )


_PERSONAL = {"asked": _asked, "export": _export, "erase": _ask_to_erase, "profile": _profile, "help": _help}
