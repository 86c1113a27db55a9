"""What people who have a name said to the assistant, turn by turn, and where each conversation stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tastemaker.store.database.database import Database
from tastemaker.store.database.events import micros, moment

TURN = ("conversation_id", "turn", "timestamp", "message", "shown")


@dataclass(frozen=True)
class TalkTurn:
    """One turn of a person's conversation. shown: item ids of the list that answered it, in order."""

    conversation_id: str
    turn: int
    timestamp: datetime
    message: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class KeptTurn(TalkTurn):
    """The same, with whose it is and the state after it as JSON (with `reply`: the answer in words)."""

    user_id: str
    state: str


class Talks:
    """The conversations in a workspace's `Database`; every call is one durable transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(
        self, conversation_id: str, user_id: str, message: str, shown: Sequence[str], state: str
    ) -> None:
        """Add a turn, and `state` as what stands after it; nothing of a person who was erased."""
        row = (
            conversation_id,
            conversation_id,
            user_id,
            micros(datetime.now(UTC)),
            message,
            json.dumps(list(shown)),
        )
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO talks (conversation_id, turn, user_id, timestamp, message, shown, state) VALUES"
                " (?, (SELECT count(*) FROM talks WHERE conversation_id = ?), ?, ?, ?, ?, ?)",
                (*row, state),
            )

    def newest(self, conversation_id: str) -> tuple[str, str] | None:
        """Whose a conversation is, and its state; None for one that is not kept."""
        newest = "WHERE conversation_id = ? ORDER BY turn DESC LIMIT 1"
        rows = self._database.select("talks", ("user_id", "state"), newest, conversation_id)
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    def of(self, user_id: str) -> list[TalkTurn]:
        """Everything a person said, oldest first."""
        where = "WHERE user_id = ? ORDER BY timestamp, conversation_id, turn"
        rows = self._database.select("talks", TURN, where, user_id)
        return [TalkTurn(*_read(row)) for row in rows]

    def everything(self) -> list[KeptTurn]:
        """Every turn of everybody, conversation by conversation."""
        order = "ORDER BY user_id, conversation_id, turn"
        rows = self._database.select("talks", (*TURN, "user_id", "state"), order)
        return [KeptTurn(*_read(row[:5]), *row[5:]) for row in rows]


def _read(row: tuple[Any, ...]) -> tuple[Any, ...]:
    name, turn, at, message, shown = row
    return name, turn, moment(at), message, tuple(json.loads(shown))
