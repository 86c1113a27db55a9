"""Rows to train on: chat turns, preferences, retrieval pairs, tool traces. No thought, goal or constraint
enters a chat.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from tastemaker.converse.constraints import Constraint
from tastemaker.converse.exports import pseudonym
from tastemaker.converse.record import MOVES, STAYS, Conversation, Shown, Turn, clause_row
from tastemaker.errors import InputError

Part = dict[str, str]


def _user(turn: Turn) -> dict[str, Any]:
    """A listener's message; attachments by content hash."""
    parts: list[Part] = [{"type": "text", "text": turn.message}]
    return {
        "role": "user",
        "content": parts + [{"type": media.kind, "sha256": media.sha256} for media in turn.media],
    }


def _assistant(turn: Turn, item_id: str | None, reply: str) -> dict[str, Any]:
    """The item first, so that the words condition on it."""
    parts: list[Part] = [] if item_id is None else [{"type": "item", "item_id": item_id}]
    return {"role": "assistant", "content": [*parts, {"type": "text", "text": reply}]}


def context(conversation: Conversation, turn: int) -> list[dict[str, Any]]:
    """The messages before the answer of `turn`: what a model may condition on."""
    messages = []
    for earlier in conversation.turns[: turn - 1]:
        messages += [_user(earlier), _assistant(earlier, earlier.item_id, earlier.reply)]
    return [*messages, _user(conversation.turns[turn - 1])]


def _ids(conversation: Conversation, key: str) -> dict[str, str]:
    return {
        "conversation_id": pseudonym("session", conversation.conversation_id, key),
        "user_id": pseudonym("user", conversation.user_id, key),
    }


def chat(conversations: Iterable[Conversation], key: str) -> Iterator[dict[str, Any]]:
    """One row a conversation: messages of parts, text or {item_id}; the loss goes on assistant parts (`train`
    true).

    `accepted` says, by answer, whether its item satisfied the listener; null where nothing was played.
    """
    for conversation in conversations:
        messages = []
        for turn in conversation.turns:
            answer = _assistant(turn, turn.item_id, turn.reply)
            accepted = None if turn.item_id is None else conversation.label(turn.turn) == MOVES
            messages += [_user(turn) | {"train": False}, answer | {"train": True, "accepted": accepted}]
        yield _ids(conversation, key) | {"goal_seed": conversation.goal.seed, "messages": messages}


def _near_misses(turn: Turn) -> list[Shown]:
    """Candidates shown beside the item played that violate one constraint."""
    return [
        shown for shown in turn.candidates if shown.violates is not None and shown.item_id != turn.item_id
    ]


def preference(conversations: Iterable[Conversation], key: str) -> Iterator[dict[str, Any]]:
    """Pairs of one context: the accepted item against a near miss that was shown beside it; else an unpaired
    labelled row.

    Pairs carry items, not words: the near miss was never spoken of.
    """
    for conversation in conversations:
        for turn in conversation.turns:
            label = conversation.label(turn.turn)
            if turn.item_id is None or label is None:
                continue
            row = _ids(conversation, key) | {"turn": turn.turn, "context": context(conversation, turn.turn)}
            missed = _near_misses(turn)
            if label == MOVES and missed:
                for shown in missed:
                    yield row | {
                        "chosen": turn.item_id,
                        "rejected": shown.item_id,
                        "violates": shown.violates,
                    }
            else:
                yield row | {"item_id": turn.item_id, "label": label}


def retrieval(conversations: Iterable[Conversation], key: str) -> Iterator[dict[str, Any]]:
    """Dialogue, positive, and hard negatives by the field they violate; accepted items only."""
    for conversation in conversations:
        for turn in conversation.turns:
            if turn.item_id is None or conversation.label(turn.turn) != MOVES:
                continue
            hard: dict[str, list[str]] = {}
            for shown in _near_misses(turn):
                hard.setdefault(str(shown.violates), []).append(shown.item_id)
            lines = [earlier.message for earlier in conversation.turns[: turn.turn]]
            yield _ids(conversation, key) | {
                "turn": turn.turn,
                "dialogue": lines,
                "positive": turn.item_id,
                "negatives": hard,
            }


def _constraint(constraint: Constraint) -> dict[str, Any]:
    return clause_row(constraint.clause) | {"kind": constraint.kind, "medium": constraint.medium}


def tools(conversations: Iterable[Conversation], key: str) -> Iterator[dict[str, Any]]:
    """One row a search: the call, its arguments, what it returned, whether it was valid, and how many tries
    it took.
    """
    for conversation in conversations:
        for turn in conversation.turns:
            yield _ids(conversation, key) | {
                "turn": turn.turn,
                "call": "search_items",
                "arguments": {
                    "text": turn.tool.text,
                    "clauses": [_constraint(constraint) for constraint in turn.tool.constraints],
                },
                "handles": list(turn.tool.handles),
                "count": turn.tool.count,
                "chosen": turn.handle,
                "valid": turn.nothing_fits if turn.handle is None else turn.handle in turn.tool.handles,
                "tries": turn.tool.tries,
            }


_FIELDS = {
    "chat": ("conversation_id", "user_id", "messages"),
    "preference": ("conversation_id", "user_id", "turn", "context"),
    "retrieval": ("conversation_id", "user_id", "turn", "dialogue", "positive", "negatives"),
    "tools": ("conversation_id", "user_id", "turn", "call", "arguments", "handles", "count"),
}
_ITEMS = {"preference": ("chosen", "rejected", "item_id"), "retrieval": ("positive",)}


def read_rows(
    kind: str, rows: Iterable[Any], file: str, catalogue: Container[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of one of these exports, each checked for its fields, roles, parts and labels, and that its items
    are known.

    Raises
    ------
    InputError
        naming file, record and remedy.
    """
    if kind not in _FIELDS:
        raise InputError(f"format '{kind}' is not known; choose from {', '.join(_FIELDS)}")
    for number, row in enumerate(rows, start=1):
        where = f"{file}, record {number}"
        if not isinstance(row, dict):
            raise InputError(f"{where}: is no JSON object; write one object a line")
        for name in _FIELDS[kind]:
            if name not in row:
                raise InputError(
                    f"{where}: field '{name}' is missing; a {kind} row has {', '.join(_FIELDS[kind])}"
                )
        for message in row.get("messages") or row.get("context") or []:
            _check_message(message, where)
        if kind == "preference" and not (
            {"chosen", "rejected"} <= set(row) or row.get("label") in (MOVES, STAYS)
        ):
            raise InputError(
                f"{where}: has neither chosen and rejected nor a label {MOVES} or {STAYS}; add one of them"
            )
        for item in _items(kind, row):
            if catalogue is not None and item not in catalogue:
                raise InputError(
                    f"{where}: item '{item}' is not in the catalogue; export again from its workspace"
                )
        yield row


def _items(kind: str, row: Mapping[str, Any]) -> Iterator[str]:
    """Every item that a row names."""
    for message in row.get("messages") or row.get("context") or []:
        yield from (part["item_id"] for part in message["content"] if "item_id" in part)
    yield from (row[name] for name in _ITEMS.get(kind, ()) if row.get(name) is not None)
    for items in (row.get("negatives") or {}).values():
        yield from items


def _check_message(message: Any, where: str) -> None:
    if (
        not isinstance(message, dict)
        or message.get("role") not in ("user", "assistant")
        or not isinstance(message.get("content"), list)
    ):
        raise InputError(f"{where}: a message needs a role user or assistant and a list of parts as content")
    for part in message["content"]:
        if not ("text" in part or "item_id" in part or "sha256" in part):
            raise InputError(
                f"{where}: a part is {{type, text}}, {{type, item_id}} or {{type, sha256}}; found"
                f" {sorted(part)}"
            )
