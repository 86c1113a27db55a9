"""Who is asked the survey question, when, and with which logged probability; and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tastemaker.experiment.assign import position
from tastemaker.retention.surveys import HEARD_SHARE, QUESTION, WORDS, never_salt
from tastemaker.stats.random import generator
from tastemaker.store import Database, Event, Question, Surveys, Workspace


class Asker:
    """Asks after what people wanted (a play of some length, a like, a purchase ...) of a logged slate.

    Whether a person is ever asked is a hash of their id; whether an item of a slate is followed by the
    question is a draw keyed by the workspace's secret and the server's own id of the slate, so that nobody
    can choose to be asked, and sending an event again changes nothing. `asked_probability` is the chance of
    that draw given that the limits (hours and lists since the last question) allowed it: the limits depend on
    the logged past alone.
    """

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.settings, self.surveys = workspace.settings, Surveys(database)
        self.rules, self.key = workspace.event_rules(), database.secret("questions")

    def never(self, user_id: str) -> bool:
        """Whether the person belongs to those who are never asked."""
        return bool(position(user_id, never_salt(self.settings.seed)) < self.settings.ask_holdout)

    def after(self, events: Sequence[Event], now: datetime) -> dict[str, Any] | None:
        """The question to show after these events, logged as shown, or None; always the same for the same."""
        if self.settings.ask_share <= 0:
            return None
        for event in events:
            if self.rules.reward(event.kind, event.value) >= HEARD_SHARE:
                question = self._about(event, now)
                if question is not None:
                    return {"question_id": question.question_id, "item_id": question.item_id, **WORDS}
        return None

    def _about(self, event: Event, now: datetime) -> Question | None:
        share = self.settings.ask_share
        if event.item_id is None or event.request_id is None or self.never(event.user_id):
            return None
        draws = generator(self.key, "ask", event.request_id, event.item_id)
        if draws.random() >= share or self.surveys.shown_to(event.request_id, event.item_id) != event.user_id:
            return None
        name = "q-" + draws.bytes(12).hex()
        question = Question(name, event.user_id, event.item_id, event.request_id, QUESTION, share, now)
        if self.surveys.ask(question, self.settings.ask_hours, self.settings.ask_lists):
            return question
        return self.surveys.open_question(name)  # sent again, it is still open
