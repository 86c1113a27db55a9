"""One conversation as frozen values: what was said, what was asked, what was played, and what was checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

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


FACTS = ("age", "age_group", "country_code", "country_name", "gender", "preferred_language")
"""What of a profile the data say; the rest is drawn."""


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
    """One candidate: handle, item, its sources, and the field that a hard negative violates."""

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
    constraint); asks: the field that the reply asks about.
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


@dataclass(frozen=True)
class Progress:
    """What the listener made of `item_turn`'s item; overruled: called helpful, but does not satisfy."""

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


_READER = TypeAdapter(Conversation)


def set_hash(items: Sequence[str]) -> str:
    """Hash of a set of items, whatever their order."""
    return hashlib.sha256("\n".join(sorted(items)).encode()).hexdigest()[:32]


def value_json(value: ClauseValue) -> str:
    """A clause's value as JSON, since a column holds one type."""
    return json.dumps(value, ensure_ascii=False)


def to_row(conversation: Conversation) -> dict[str, Any]:
    """A conversation as the nested dictionary that Arrow and JSON take: the fields by their names, a clause's
    value as JSON, and a search's constraints in a column that is called `wishes`.
    """
    row = asdict(conversation)
    for turn in row["turns"]:
        turn["relaxations"] = [{"field": field, "n_fit": n} for field, n in turn["relaxations"]]
        turn["tool"]["wishes"] = turn["tool"].pop("constraints")
    for part in _constrained(row):
        part["clause"]["value"] = value_json(part["clause"]["value"])
    return row


def from_row(row: dict[str, Any]) -> Conversation:
    """The conversation of a row made by `to_row` or read from the table."""
    row = deepcopy(row)
    row["goal"]["demands"] = row["goal"].get("demands") or ()
    for part in _constrained(row):
        value = json.loads(part["clause"]["value"])
        value = tuple(value) if isinstance(value, list) else value
        # Made here: a reader of types would turn whole numbers into others.
        part["clause"] = Clause(part["clause"]["field"], part["clause"]["cmp"], value)
    for turn in row["turns"]:
        turn["relaxations"] = [(line["field"], line["n_fit"]) for line in turn["relaxations"]]
        turn.pop("reading", None)  # of data sets whose messages a second model read
        tool = turn["tool"]
        tool["constraints"] = tool.pop("wishes")
        tool["by"] = tool.get("by") or "code"  # data sets of version 0.1 do not say
    return _READER.validate_python(row)


def _constrained(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every demand, change and wish of a row."""
    yield from row["goal"]["demands"]
    for turn in row["turns"]:
        yield from (*turn["delta"], *turn["tool"]["wishes"])
