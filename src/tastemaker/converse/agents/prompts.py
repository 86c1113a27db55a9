"""Views into messages: who the role is, an example, the shape of the answer, then the facts. Everything from
the catalogue or a person is quoted as JSON, so that it reads as data, not as orders.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from functools import singledispatch
from importlib.resources import files

from tastemaker.chat import Media, Message, Part, system, user
from tastemaker.converse.agents.searching import SEARCH
from tastemaker.converse.constraints import Change, Constraint
from tastemaker.converse.views import (
    Exchange,
    GoalView,
    ListenerView,
    Named,
    ProfileView,
    RecommenderView,
    SearchView,
    View,
)

MOST_MEDIA = 3  # sounds and pictures in one prompt
_TEXTS = tomllib.loads(files(__package__).joinpath("prompts.toml").read_text("utf-8"))
_SYSTEM = {
    role: text.replace("SHAPE ", _TEXTS["SHAPE"]).replace("DATA", _TEXTS["DATA"])
    for role, text in _TEXTS.items()
}


def quoted(value: object) -> str:
    """Data as JSON."""
    return json.dumps(value, ensure_ascii=False)


def _facts(item: Named | None) -> dict[str, str | None] | None:
    return None if item is None else {"title": item.title, "creator": item.creator}


def _dialogue(lines: Sequence[Exchange]) -> str:
    turns = [
        {"listener": line.message, "item": _facts(line.played), "recommender": line.reply} for line in lines
    ]
    return "\n".join(map(quoted, turns)) or "(this is the first turn)"


def _constraint(constraint: Constraint, names: dict[str, str]) -> str:
    clause = constraint.clause
    value = names.get(str(clause.value), clause.value)
    return quoted(
        {
            "strength": constraint.kind,
            "field": clause.field,
            "is": clause.cmp,
            "value": value,
            "by": constraint.medium,
        }
    )


def _change(change: Change, names: dict[str, str]) -> str:
    if change.op == "drop":
        return f"drop every wish about {quoted(change.clause.field)}"
    return f"{change.op} {_constraint(change.constraint, names)}"


def labelled(groups: Sequence[tuple[str, Sequence[Media]]]) -> list[Part]:
    """At most `MOST_MEDIA` sounds and pictures, each behind a line that says what it belongs to."""
    parts = [(f"{label}, {media.medium}:", media) for label, several in groups for media in several]
    return [part for pair in parts[:MOST_MEDIA] for part in pair]


@singledispatch
def render(view: View) -> tuple[Message, ...]:
    """The messages that ask a role for its answer."""
    raise TypeError(f"no prompt for {type(view).__name__}")


@render.register
def _profile(view: ProfileView) -> tuple[Message, ...]:
    text = (
        f"Known: {quoted(dict(view.demographics))}\nItems: {quoted([_facts(track) for track in view.tracks])}"
    )
    return system(_SYSTEM["profile"]), user(text)


@render.register
def _goal(view: GoalView) -> tuple[Message, ...]:
    text = (
        f"Category: {view.category} ({view.specificity})\nGoal: {quoted(view.text)}\nKeep these words:"
        f" {quoted(list(view.keep))}"
    )
    return system(_SYSTEM["goal"]), user(text)


@render.register
def _listener(view: ListenerView) -> tuple[Message, ...]:
    names = dict(view.names)
    lines = [
        f"You: {quoted(dict(view.profile))}, {view.expertise}",
        f"Items you know: {quoted([_facts(track) for track in view.tracks])}",
        f"Your goal: {quoted(view.goal)}",
        f"The dialogue so far:\n{_dialogue(view.dialogue)}",
        "Wishes that stand:\n" + ("\n".join(_constraint(line, names) for line in view.active) or "(none)"),
    ]
    if view.verdict is not None:
        lines.append(
            f"Your verdict on the last item: {view.verdict}. Right about it: {quoted(list(view.has))}, not"
            f" right yet: {quoted(list(view.lacks))}."
        )
    if view.asked is not None:
        lines.append(f"You were asked about: {quoted(view.asked)}")
    lines.append(
        "Ask now for these changes:\n"
        + ("\n".join(_change(change, names) for change in view.changes) or "(repeat your wishes)")
    )
    if view.attachments:
        lines.append('Your message carries the attachment below: call it "this recording" or "this picture".')
    last = view.dialogue[-1].played if view.dialogue else None
    last_media = [(f"The last item, {quoted(last.title)}", last.media)] if last else []
    return system(_SYSTEM["listener"]), user(
        "\n".join(lines), *labelled([("Your attachment", view.attachments), *last_media])
    )


@render.register
def _search(view: SearchView) -> tuple[Message, ...]:
    lines = [
        f"The dialogue so far:\n{_dialogue(view.dialogue)}",
        f"Items played, in order: {', '.join(view.played) or 'none'}",
        f"Listener now: {quoted(view.message)}",
        "Fields and values:\n" + "\n".join(f"{name}: {quoted(values)}" for name, values in view.fields),
    ]
    return system(_SYSTEM["search"]), user("\n".join(lines))


def tools_of(view: View) -> tuple[dict[str, object], ...]:
    """The tools that go with a view."""
    return (SEARCH,) if isinstance(view, SearchView) else ()


@render.register
def _recommender(view: RecommenderView) -> tuple[Message, ...]:
    shown = [
        {"handle": item.handle, "title": item.title, "creator": item.creator, **dict(item.facts)}
        for item in view.candidates
    ]
    lines = [
        f"Listener: {quoted(dict(view.profile))}",
        f"The dialogue so far:\n{_dialogue(view.dialogue)}",
        f"Listener now: {quoted(view.message)}",
        "Candidates:\n" + "\n".join(map(quoted, shown)),
        f"Played already, not to be offered: {', '.join(view.played) or 'none'}",
        f"Your search understood the wishes so far; {view.count} items of the catalogue match, of these among"
        " the candidates: " + (", ".join(view.matches) or "none"),
    ]
    if view.must_choose:
        lines.append("Nothing but these candidates can be offered: choose one.")
    elif not view.count:
        lines.append(f"Dropping one wish would leave: {quoted(dict(view.relaxations))}")
    offers = {item.handle: item.media for item in view.candidates}
    media = [(handle, offers[handle]) for handle in view.matches if handle in offers]
    return system(_SYSTEM["recommender"]), user(
        "\n".join(lines), *labelled([("Attached to the message", view.attachments), *media])
    )
