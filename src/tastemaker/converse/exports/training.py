"""Rows to train on, in the formats of TRL and of OpenAI: chats, tool calls, preferences, retrieval pairs. No
thought, goal or constraint of the listener enters a row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tastemaker.converse.agents.searching import BY_ITEM, PLAY, SEARCH
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Constraint
from tastemaker.converse.exports import pseudonym
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.speech import found_text
from tastemaker.converse.record import MOVES, Conversation, Shown, Turn
from tastemaker.converse.views import offered
from tastemaker.stats.random import generator

Message = dict[str, Any]
MOST_REJECTED = 2  # near misses of one turn that become pairs


@dataclass(frozen=True, eq=False)
class Exporting:
    """What the exports need beside conversations: the key of pseudonyms, the catalogue and its lexicon."""

    key: str
    catalogue: Catalogue
    lexicon: Lexicon

    def ids(self, conversation: Conversation) -> dict[str, str]:
        """Keyed names of the conversation and its user."""
        return {
            "conversation_id": pseudonym("session", conversation.conversation_id, self.key),
            "user_id": pseudonym("user", conversation.user_id, self.key),
        }


def _user(turn: Turn) -> Message:
    return {"role": "user", "content": turn.message}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def context(conversation: Conversation, turn: int) -> list[Message]:
    """The messages before the answer of `turn`: what a model may condition on."""
    messages = []
    for earlier in conversation.turns[: turn - 1]:
        messages += [_user(earlier), _assistant(earlier.reply)]
    return [*messages, _user(conversation.turns[turn - 1])]


def chat(conversations: Iterable[Conversation], about: Exporting) -> Iterator[dict[str, Any]]:
    """One row a conversation: `messages` with plain text, as TRL's SFTTrainer reads them; beside them, one
    entry a turn, the item played (null where nothing fitted), whether it was accepted, and what was attached.
    """
    for conversation in conversations:
        yield about.ids(conversation) | {
            "goal_seed": conversation.goal.seed,
            "messages": [
                message for turn in conversation.turns for message in (_user(turn), _assistant(turn.reply))
            ],
            "items": [turn.item_id for turn in conversation.turns],
            "accepted": [conversation.label(turn.turn) == MOVES for turn in conversation.turns],
            "attached": [[media.sha256 for media in turn.media] for turn in conversation.turns],
        }


TOOLS = [SEARCH, PLAY]


def tools(conversations: Iterable[Conversation], about: Exporting) -> Iterator[dict[str, Any]]:
    """One row a conversation with `messages` and `tools` as OpenAI and TRL have them: each turn searches,
    plays what it chose, then speaks. Items are ids of the catalogue; `by` says who made the searches.
    """
    for conversation in conversations:
        messages: list[Message] = []
        for turn in conversation.turns:
            items = {shown.handle: shown.item_id for shown in turn.candidates}
            hits = [items[handle] for handle in turn.tool.handles if handle in items]
            listed = [
                {"item_id": item, "title": about.catalogue.titles[about.catalogue.row[item]]}
                for item in hits
                if item in about.catalogue.row
            ]
            clauses = {"clauses": [_clause(line, items) for line in turn.tool.constraints]}
            result = {"count": turn.tool.count, "items": listed}
            messages += [_user(turn), *_called(turn, 1, "search_items", clauses, result)]
            if turn.item_id is not None:
                choice = {"item_id": turn.item_id}
                messages += _called(turn, 2, "play_item", choice, {"playing": turn.item_id})
            messages.append(_assistant(turn.reply))
        yield about.ids(conversation) | {
            "messages": messages,
            "tools": json.dumps(TOOLS),
            "by": [turn.tool.by for turn in conversation.turns],
        }


def _called(turn: Turn, number: int, name: str, arguments: Any, result: Any) -> tuple[Message, Message]:
    called = f"call_{turn.turn}_{number}"
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    call = {"id": called, "type": "function", "function": function}
    text = json.dumps(result, ensure_ascii=False)
    return (
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": called, "name": name, "content": text},
    )


def _clause(constraint: Constraint, items: Mapping[str, str]) -> dict[str, Any]:
    clause = constraint.clause
    value = items.get(str(clause.value), clause.value) if clause.cmp in BY_ITEM else clause.value
    return {"kind": constraint.kind, "field": clause.field, "cmp": clause.cmp, "value": value}


def _near_misses(turn: Turn) -> list[Shown]:
    """Candidates shown beside the item played that violate one constraint."""
    return [
        shown for shown in turn.candidates if shown.violates is not None and shown.item_id != turn.item_id
    ]


def _reply(conversation: Conversation, turn: Turn, item: str, about: Exporting) -> list[Message]:
    """The answer that recommends an item: by the same draws whatever the item, so that two answers of a turn
    differ in nothing but the item and its facts.
    """
    fields = tuple(change.clause.field for change in turn.delta if change.op != "drop")
    rng = generator("preference", conversation.conversation_id, turn.turn)
    shown = offered(about.catalogue, about.catalogue.row[item], "")
    return [_assistant(found_text(shown, fields, None, about.lexicon, rng))]


def preference(conversations: Iterable[Conversation], about: Exporting) -> Iterator[dict[str, Any]]:
    """Pairs of answers to one `prompt`, as TRL's DPOTrainer reads them: `chosen` recommends the item that was
    accepted, `rejected` one that was a candidate beside it and violates one demand.
    """
    for conversation in conversations:
        for turn in conversation.turns:
            if turn.item_id not in about.catalogue.row or conversation.label(turn.turn) != MOVES:
                continue
            for shown in _near_misses(turn)[:MOST_REJECTED]:
                yield about.ids(conversation) | {
                    "turn": turn.turn,
                    "prompt": context(conversation, turn.turn),
                    "chosen": _reply(conversation, turn, str(turn.item_id), about),
                    "rejected": _reply(conversation, turn, shown.item_id, about),
                    "chosen_item": turn.item_id,
                    "rejected_item": shown.item_id,
                    "violates": str(shown.violates),
                }


def retrieval(conversations: Iterable[Conversation], about: Exporting) -> Iterator[dict[str, Any]]:
    """Dialogue, positive, and hard negatives by the field they violate; accepted items only."""
    for conversation in conversations:
        for turn in conversation.turns:
            if turn.item_id is None or conversation.label(turn.turn) != MOVES:
                continue
            missed = _near_misses(turn)
            yield about.ids(conversation) | {
                "turn": turn.turn,
                "dialogue": [earlier.message for earlier in conversation.turns[: turn.turn]],
                "positive": turn.item_id,
                "negatives": [shown.item_id for shown in missed],
                "violates": [str(shown.violates) for shown in missed],
            }


Rows = Callable[[Iterable[Conversation], Exporting], Iterator[dict[str, Any]]]
FORMATS: dict[str, Rows] = {"chat": chat, "preference": preference, "retrieval": retrieval, "tools": tools}
