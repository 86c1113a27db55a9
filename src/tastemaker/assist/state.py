"""A conversation so far: what stands, what was shown, what was said; a turn makes the next from it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from tastemaker.assist.shelf import UNNAMED
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Clause, Constraint
from tastemaker.converse.reading.plain import spoken
from tastemaker.converse.reading.together import clause_of
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.errors import InputError
from tastemaker.schema.values import EITHER, SPAN
from tastemaker.serving.load import Common

_ROWS = ("shown", "seen", "liked", "disliked", "near")
FOREIGN = "this conversation is another person's; begin one of your own, without conversation_id"
REMEMBERED = 20  # messages that count for the ranking


@dataclass(frozen=True)
class State:
    """messages: what the person said, oldest first. active: the constraints that stand.

    shown: rows of the newest list, in order (handles "1", "2" ...). seen: every row shown here. focus: the
    row that "it" is. slates: request id of the newest list that each seen row was in.
    liked, disliked: rows, oldest first. near: rows that the newest list is to be like. extreme: the
    comparative whose end it seeks ("slower"). without: words that no item may have. before: the state that
    the newest wish changed, while in memory.
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
    without: tuple[str, ...] = ()
    before: State | None = None

    @property
    def barred(self) -> frozenset[int]:
        """Rows that are not shown again unless they are asked for."""
        return frozenset((*self.seen, *self.disliked))

    def told(self, rows: Sequence[int]) -> State:
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
        | {"extreme": state.extreme, "without": state.without, "reply": reply}
    )


class Held(Protocol):
    """A conversation in the memory of a process; left: how this process left it to others."""

    state: State
    handles: list[int]
    left: str


def leave(common: Common | None, held: Held, catalogue: Catalogue) -> None:
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


def take_up(common: Common | None, held: Held, catalogue: Catalogue) -> None:
    """State and handles as the last turn left them, in whichever process that was; raises InputError when it
    was another person's.
    """
    name, who = held.state.conversation_id, held.state.user_id
    left = None if common is None else common.talks.left(name)
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
    kept, row = json.loads(text), catalogue.row
    clauses = [
        (kind, Clause(name, cmp, tuple(value) if isinstance(value, list) else value))
        for kind, name, cmp, value in kept["active"]
        if name in catalogue.columns
    ]
    rows = {name: tuple(row[item] for item in kept.get(name, ()) if item in row) for name in _ROWS}
    if len(rows["shown"]) < len(kept["shown"]):  # "the second" would be another than the one that was seen
        rows["shown"], kept["focus"] = (), None
    return State(
        conversation_id,
        user_id,
        tuple(kept["messages"]),
        tuple(Constraint(kind, clause) for kind, clause in clauses),
        slates={row[item]: name for item, name in kept["slates"].items() if item in row},
        focus=row.get(kept["focus"]),
        shown=rows["shown"],
        seen=rows["seen"],
        liked=rows["liked"],
        disliked=rows["disliked"],
        near=rows["near"],
        extreme=kept.get("extreme", ""),
        without=tuple(kept.get("without", ())),
    )


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


def label(constraint: Constraint, vocabulary: Vocabulary) -> str:
    """What a constraint is called, in a few words."""
    clause = constraint.clause
    if clause.cmp == "either" and isinstance(clause.value, tuple):
        ways = [
            [
                _called(clause_of(name, value), vocabulary) if value.startswith(SPAN) else spoken(value)
                for name, _, value in (part.partition("=") for part in str(both).split(EITHER))
            ]
            for both in clause.value
        ]
        words = " or ".join(" with ".join(way) for way in ways)
        return f"not {words}" if constraint.kind == "must_not" else words
    words = _called(clause, vocabulary)
    return {"must": words, "must_not": f"not {words}", "prefer": f"{words} if possible"}[constraint.kind]


def _called(clause: Clause, vocabulary: Vocabulary) -> str:
    noun = "" if clause.field in UNNAMED else f"{vocabulary.called(clause.field)} "
    noun = "by " if clause.field == "creator" else noun
    values = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    plain = [f"{value:g}" if isinstance(value, int | float) else spoken(str(value)) for value in values]
    if clause.cmp == "between":
        return f"{noun}{plain[0]} to {plain[1]}" if plain[0] != plain[1] else f"{noun}{plain[0]}"
    if clause.cmp in ("le", "ge"):
        return f"{noun}{'at most' if clause.cmp == 'le' else 'at least'} {plain[0]}"
    return f"{noun}{' or '.join(plain)}"
