"""TalkPlay rows: user, music, assistant a turn; labels shifted by one (TalkPlayData 2, arXiv 2509.09685)."""

from __future__ import annotations

from typing import Any

from tastemaker.converse.exports import pseudonym
from tastemaker.converse.record import FACTS, Conversation

ROLES = ("user", "music", "assistant")


def fits(conversation: Conversation) -> bool:
    """Whether every turn played something: the evaluator reads by position, so none may lack an item."""
    return all(turn.item_id is not None for turn in conversation.turns)


def to_row(conversation: Conversation, key: str) -> dict[str, Any]:
    """A conversation as TalkPlay's, keyed ids and no date; item t's label is stored at turn t + 1."""
    user = pseudonym("user", conversation.user_id, key)
    lines = []
    for turn in conversation.turns:
        contents = (turn.message, turn.item_id or "", turn.reply)
        thoughts = (turn.listener_thought, turn.recommender_thought, "")
        lines += [
            {"role": role, "content": content, "thought": thought, "turn_number": turn.turn}
            for role, content, thought in zip(ROLES, contents, thoughts, strict=True)
        ]
    profile = {name: getattr(conversation.profile, name) for name in FACTS}
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
