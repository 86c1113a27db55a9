"""Small talk, and what is known of the person who talks: shown, exported, erased."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tastemaker.assist.desk import Desk
from tastemaker.assist.parts import Notice, Part, Question, Text

YES = re.compile(
    r"^\s*(?:yes|yeah|yep|sure|please do|do it|ok(?:ay)?|confirm|yes,? erase\b.*)[\s.!]*(?:erase.*)?$",
    re.IGNORECASE,
)
CHATTER = {
    "who": (
        "I am the assistant of this catalogue: a program that reads what you write and looks things up here."
    ),
    "weather": "All well here, thank you. What are you in the mood for?",
    "abuse": "I am sorry that this is no help. Say what you are after, and I look again.",
    "bye": "Goodbye, and come back any time.",
    "greet": "Hello. What are you in the mood for?",
    "thanks": "You are welcome.",
}


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


def erase(message: str, desk: Desk) -> Iterator[Part]:
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


PERSONAL = {"asked": _asked, "export": _export, "erase": _ask_to_erase, "profile": _profile, "help": _help}
