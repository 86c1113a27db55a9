"""Conversations as rows of the `conversations` table, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from tastemaker.converse.constraints import Change, Wish
from tastemaker.converse.record import (
    Attachment,
    Check,
    Conversation,
    Goal,
    Profile,
    Progress,
    Shown,
    ToolCall,
    Turn,
    clause_of,
    clause_row,
)
from tastemaker.schema import CONVERSATIONS, check


def to_row(one: Conversation) -> dict[str, Any]:
    """A conversation as the nested dictionary that Arrow and JSON take."""
    return {
        "conversation_id": one.conversation_id,
        "user_id": one.user_id,
        "profile": asdict(one.profile),
        "goal": asdict(one.goal),
        "turns": [_turn_row(turn) for turn in one.turns],
        "progress": [asdict(line) for line in one.progress],
        "checks": [asdict(line) for line in one.checks],
        "settings_hash": one.settings_hash,
    }


def _wish_row(wish: Wish) -> dict[str, Any]:
    return {
        "kind": wish.kind,
        "clause": clause_row(wish.clause),
        "reference": wish.reference,
        "medium": wish.medium,
    }


def _turn_row(turn: Turn) -> dict[str, Any]:
    row = {name: getattr(turn, name) for name in Turn.__dataclass_fields__}
    row["delta"] = [_wish_row(change.wish) | {"op": change.op} for change in turn.delta]
    row["media"] = [asdict(one) for one in turn.media]
    row["relaxations"] = [{"field": field, "n_fit": n} for field, n in turn.relaxations]
    row["candidates"] = [
        {"handle": one.handle, "item_id": one.item_id, "sources": list(one.sources), "violates": one.violates}
        for one in turn.candidates
    ]
    row["tool"] = asdict(turn.tool) | {
        "wishes": [_wish_row(wish) for wish in turn.tool.wishes],
        "handles": list(turn.tool.handles),
    }
    return row


def from_row(row: dict[str, Any]) -> Conversation:
    """The conversation of a row made by `to_row` or read from the table."""
    return Conversation(
        conversation_id=row["conversation_id"],
        user_id=row["user_id"],
        profile=Profile(**row["profile"]),
        goal=Goal(**row["goal"]),
        turns=tuple(_turn(one) for one in row["turns"]),
        progress=tuple(Progress(**one) for one in row["progress"]),
        checks=tuple(Check(**one) for one in row["checks"]),
        settings_hash=row["settings_hash"],
    )


def _wish(row: dict[str, Any]) -> Wish:
    return Wish(row["kind"], clause_of(row["clause"]), row["medium"], row["reference"])


def _turn(row: dict[str, Any]) -> Turn:
    tool = row["tool"]
    delta = tuple(
        Change(one["op"], one["kind"], clause_of(one["clause"]), one["reference"], one["medium"])
        for one in row["delta"]
    )
    return Turn(
        **{
            **row,
            "delta": delta,
            "media": tuple(Attachment(**one) for one in row["media"]),
            "relaxations": tuple((one["field"], one["n_fit"]) for one in row["relaxations"]),
            "candidates": tuple(
                Shown(**{**one, "sources": tuple(one["sources"])}) for one in row["candidates"]
            ),
            "tool": ToolCall(
                **{**tool, "wishes": tuple(map(_wish, tool["wishes"])), "handles": tuple(tool["handles"])}
            ),
        }
    )


def to_table(conversations: Iterable[Conversation]) -> pa.Table:
    """The conversations as a checked table."""
    return check(
        pa.Table.from_pylist([to_row(one) for one in conversations], CONVERSATIONS),
        CONVERSATIONS,
        "conversations",
    )


def from_table(table: pa.Table, batch: int = 64) -> Iterator[Conversation]:
    """The conversations of a table, a few in memory at a time."""
    for part in table.to_batches(batch):
        yield from map(from_row, part.to_pylist())
