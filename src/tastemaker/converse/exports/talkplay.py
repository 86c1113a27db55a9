"""TalkPlay rows: user, music, assistant for each turn; labels shifted by one. Schema of TalkPlayData 2 (arXiv
2509.09685).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tastemaker.converse.exports import pseudonym
from tastemaker.converse.record import MOVES, STAYS, Conversation
from tastemaker.errors import InputError

ROLES = ("user", "music", "assistant")
PROFILE = ("age", "age_group", "country_code", "country_name", "gender", "preferred_language")


def fits(conversation: Conversation) -> bool:
    """Whether every turn played something: the evaluator reads by position within a turn, so a turn without
    an item has no place.
    """
    return all(turn.item_id is not None for turn in conversation.turns)


def to_row(conversation: Conversation, key: str) -> dict[str, Any]:
    """The conversation as TalkPlay has it, with keyed ids and no date. The label of item t is stored at turn
    t + 1.
    """
    user = pseudonym("user", conversation.user_id, key)
    lines = []
    for turn in conversation.turns:
        contents = (turn.message, turn.item_id or "", turn.reply)
        thoughts = (turn.listener_thought, turn.recommender_thought, "")
        lines += [
            {"role": role, "content": content, "thought": thought, "turn_number": turn.turn}
            for role, content, thought in zip(ROLES, contents, thoughts, strict=True)
        ]
    profile = {name: getattr(conversation.profile, name) for name in PROFILE}
    return {
        "session_id": pseudonym("session", conversation.conversation_id, key),
        "user_id": user,
        "session_date": None,
        "user_profile": (
            profile
            | {
                "preferred_musical_culture": conversation.profile.culture,
                "user_id": user,
                "user_split": None,
            }
        ),
        "conversation_goal": {
            "category": conversation.goal.category,
            "specificity": conversation.goal.specificity,
            "listener_goal": conversation.goal.text,
        },
        "conversations": lines,
        "goal_progress_assessments": [
            {"turn_number": turn.turn, "goal_progress_assessment": conversation.label(turn.turn - 1)}
            for turn in conversation.turns
        ],
    }


@dataclass(frozen=True)
class TalkPlayTurn:
    """One turn read back: message, item, reply, and the label of this turn's item (None when it was never
    judged).
    """

    turn: int
    message: str
    item_id: str
    reply: str
    label: str | None


@dataclass(frozen=True)
class TalkPlaySession:
    """A row read back."""

    session_id: str
    user_id: str
    turns: tuple[TalkPlayTurn, ...]


def from_row(
    row: dict[str, Any], file: str = "conversations", record: int = 1, closing: str | None = None
) -> TalkPlaySession:
    """Read a row and check it.

    Raises
    ------
    InputError
        naming file, record and remedy: a missing field, rows out of order, a missing turn, an unknown label.
    """
    where = f"{file}, record {record}"
    if not isinstance(row, dict):
        raise InputError(f"{where}: is no JSON object; write one session an object")
    for name in ("session_id", "user_id", "conversations", "goal_progress_assessments"):
        if name not in row:
            raise InputError(f"{where}: field '{name}' is missing; every TalkPlay row has it")
    lines = row["conversations"]
    if len(lines) % len(ROLES):
        raise InputError(
            f"{where}: {len(lines)} lines; a turn is three lines ({', '.join(ROLES)}): complete the last turn"
        )
    labels = {
        line["turn_number"]: line["goal_progress_assessment"] for line in row["goal_progress_assessments"]
    }
    turns = []
    for place in range(0, len(lines), len(ROLES)):
        three, number = lines[place : place + len(ROLES)], place // len(ROLES) + 1
        if tuple(line["role"] for line in three) != ROLES:
            raise InputError(
                f"{where}: turn {number} has roles {[line['role'] for line in three]}; order them as"
                f" {list(ROLES)}"
            )
        if {line["turn_number"] for line in three} != {number}:
            raise InputError(
                f"{where}: turn {number} is missing or out of order; number the turns 1, 2, ... without gaps"
            )
        label = labels.get(number + 1, closing if place + len(ROLES) == len(lines) else None)
        if label not in (None, MOVES, STAYS):
            raise InputError(
                f"{where}: label '{label}' at turn {number + 1} is not known; use {MOVES}, {STAYS} or null"
            )
        turns.append(
            TalkPlayTurn(number, three[0]["content"], three[1]["content"], three[2]["content"], label)
        )
    return TalkPlaySession(row["session_id"], row["user_id"], tuple(turns))


def from_rows(
    rows: Iterable[Any], file: str, catalogue: Container[str] | None = None
) -> Iterator[TalkPlaySession]:
    """Read rows and check them together. An empty item is a turn that played nothing (`extended`).

    Raises
    ------
    InputError
        as `from_row`, and for a session that comes twice or an item that is not in the catalogue.
    """
    first: dict[str, int] = {}
    for record, row in enumerate(rows, start=1):
        session = from_row(row, file, record)
        if (before := first.setdefault(session.session_id, record)) != record:
            raise InputError(
                f"{file}, record {record}: session {session.session_id} is record {before} again; keep one of"
                " them"
            )
        for turn in session.turns:
            if catalogue is not None and turn.item_id and turn.item_id not in catalogue:
                raise InputError(
                    f"{file}, record {record}: turn {turn.turn} plays '{turn.item_id}', which is not in the"
                    " catalogue"
                )
        yield session
