"""One conversation as frozen values: what was said, what was asked, what was played, and what was checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tastemaker.converse.constraints import Change, Clause, ClauseValue, Constraint

MOVES, STAYS = "MOVES_TOWARD_GOAL", "DOES_NOT_MOVE_TOWARD_GOAL"


@dataclass(frozen=True)
class Profile:
    """Who listens; None where the data do not say, never a placeholder."""

    age: int | None = None
    age_group: str | None = None
    country_code: str | None = None
    country_name: str | None = None
    gender: str | None = None
    preferred_language: str | None = None
    culture: str | None = None
    top_creator: str | None = None
    top_genre: str | None = None


@dataclass(frozen=True)
class Goal:
    """What the listener is after, in words and as demands that can be executed (none in data sets of version
    0.1). seed: equal for conversations with the same demands.
    """

    category: str
    specificity: str
    text: str
    expertise: str
    seed: int
    demands: tuple[Constraint, ...] = ()


@dataclass(frozen=True)
class Attachment:
    """A sound or picture shown with a message."""

    kind: str
    sha256: str


@dataclass(frozen=True)
class Shown:
    """One candidate: its handle, item, which sources proposed it, and, for a hard negative, the one field it
    violates.
    """

    handle: str
    item_id: str
    sources: tuple[str, ...]
    violates: str | None = None


@dataclass(frozen=True)
class ToolCall:
    """The search made for a turn: words, the constraints read out of the messages, what came back, how many
    fit, how many tries; by: "model" when a model made the call, "code" when it was made for it.
    """

    text: str
    constraints: tuple[Constraint, ...]
    handles: tuple[str, ...]
    count: int
    tries: int = 1
    by: str = "code"


@dataclass(frozen=True)
class Turn:
    """One exchange. handle and item_id are None when nothing fitted; relaxations: (field, fits without that
    constraint); asks: the field that the reply asks about; reading: what a second reader made of the
    message (`agents.second`), None without one.
    """

    turn: int
    message: str
    delta: tuple[Change, ...]
    media: tuple[Attachment, ...]
    handle: str | None
    item_id: str | None
    nothing_fits: bool
    relaxations: tuple[tuple[str, int], ...]
    candidates: tuple[Shown, ...]
    candidates_hash: str
    n_fit: int
    reply: str
    listener_thought: str
    recommender_thought: str
    tool: ToolCall
    asks: str | None = None
    reading: str | None = None


@dataclass(frozen=True)
class Progress:
    """What the listener made of the item of `item_turn`; overruled: it was called helpful but does not
    satisfy the request.
    """

    item_turn: int
    label: str | None
    overruled: bool = False


@dataclass(frozen=True)
class Check:
    """One audited property of a conversation: how often it failed, and whether that is allowed."""

    name: str
    value: float
    ok: bool


@dataclass(frozen=True)
class Conversation:
    """One row of the `conversations` table."""

    conversation_id: str
    user_id: str
    profile: Profile
    goal: Goal
    turns: tuple[Turn, ...]
    progress: tuple[Progress, ...]
    checks: tuple[Check, ...]
    settings_hash: str

    def label(self, turn: int) -> str | None:
        """The label of the item played at `turn`."""
        return next((line.label for line in self.progress if line.item_turn == turn), None)


def set_hash(items: Sequence[str]) -> str:
    """Hash of a set of items, whatever their order."""
    return hashlib.sha256("\n".join(sorted(items)).encode()).hexdigest()[:32]


def value_json(value: ClauseValue) -> str:
    """A clause's value as JSON, since a column holds one type."""
    return json.dumps(value, ensure_ascii=False)


def clause_of(row: dict[str, Any]) -> Clause:
    """A stored clause as a value again."""
    value = json.loads(row["value"])
    return Clause(row["field"], row["cmp"], tuple(value) if isinstance(value, list) else value)


def clause_row(clause: Clause) -> dict[str, str]:
    """A clause as a row of strings."""
    return {"field": clause.field, "cmp": clause.cmp, "value": value_json(clause.value)}


def to_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as the nested dictionary that Arrow and JSON take."""
    row = {name: getattr(conversation, name) for name in Conversation.__dataclass_fields__}
    return row | {
        "profile": asdict(conversation.profile),
        "goal": (
            asdict(conversation.goal)
            | {"demands": [_constraint_row(demand) for demand in conversation.goal.demands]}
        ),
        "turns": [_turn_row(turn) for turn in conversation.turns],
        "progress": [asdict(line) for line in conversation.progress],
        "checks": [asdict(line) for line in conversation.checks],
    }


def _constraint_row(constraint: Constraint) -> dict[str, Any]:
    return {
        "kind": constraint.kind,
        "clause": clause_row(constraint.clause),
        "reference": constraint.reference,
        "medium": constraint.medium,
    }


def _turn_row(turn: Turn) -> dict[str, Any]:
    row = {name: getattr(turn, name) for name in Turn.__dataclass_fields__}
    tool = asdict(turn.tool) | {"handles": list(turn.tool.handles)}
    del tool["constraints"]  # in a column that is called `wishes`
    return row | {
        "delta": [_constraint_row(change.constraint) | {"op": change.op} for change in turn.delta],
        "media": [asdict(attachment) for attachment in turn.media],
        "relaxations": [{"field": field, "n_fit": n} for field, n in turn.relaxations],
        "candidates": [asdict(shown) | {"sources": list(shown.sources)} for shown in turn.candidates],
        "tool": tool | {"wishes": [_constraint_row(constraint) for constraint in turn.tool.constraints]},
    }


def from_row(row: dict[str, Any]) -> Conversation:
    """The conversation of a row made by `to_row` or read from the table."""
    return Conversation(
        **row
        | {
            "profile": Profile(**row["profile"]),
            "goal": _goal(row["goal"]),
            "turns": tuple(_turn(turn) for turn in row["turns"]),
            "progress": tuple(Progress(**line) for line in row["progress"]),
            "checks": tuple(Check(**line) for line in row["checks"]),
        }
    )


def _goal(row: dict[str, Any]) -> Goal:
    return Goal(**row | {"demands": tuple(map(_constraint, row.get("demands") or ()))})


def _constraint(row: dict[str, Any]) -> Constraint:
    return Constraint(row["kind"], clause_of(row["clause"]), row["medium"], row["reference"])


def _turn(row: dict[str, Any]) -> Turn:
    tool = dict(row["tool"])
    tool |= {"by": tool.get("by") or "code"}  # data sets of version 0.1 do not say
    constraints = tuple(map(_constraint, tool.pop("wishes")))
    return Turn(
        **row
        | {
            "delta": tuple(replace(_constraint(change).added, op=change["op"]) for change in row["delta"]),
            "media": tuple(Attachment(**attachment) for attachment in row["media"]),
            "relaxations": tuple((line["field"], line["n_fit"]) for line in row["relaxations"]),
            "candidates": tuple(
                Shown(**shown | {"sources": tuple(shown["sources"])}) for shown in row["candidates"]
            ),
            "tool": ToolCall(**tool | {"constraints": constraints, "handles": tuple(tool["handles"])}),
        }
    )
