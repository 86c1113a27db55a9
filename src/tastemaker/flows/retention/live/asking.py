"""Who is asked the survey question, when, and with which logged probability; and what becomes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tastemaker.experiment.assign import position
from tastemaker.schema import ANONYMOUS
from tastemaker.stats.random import generator
from tastemaker.store import Database, Event, Question, Surveys, Workspace

QUESTION = "return"
WORDS = {"text": "Would you come back for more like this?", "low": "surely not", "high": "surely"}
HEARD = 0.3  # of a play; a glance is nothing to ask about


def never_salt(seed: int) -> str:
    """What the hash of the never-asked group is salted with."""
    return f"never asked/{seed}"


class Asker:
    """Asks after what people wanted (a play of some length, a like, a purchase ...) of what a logged slate
    showed.

    Whether a person is ever asked is a hash of their id; whether this event is followed by the question is a
    draw keyed by the event, so sending it again changes nothing. `asked_probability` is the chance of that
    draw given that the limits (hours and lists since the last question) allowed it: the limits depend on the
    logged past alone.
    """

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.settings, self.surveys = workspace.settings, Surveys(database)
        self.rules = workspace.event_rules()

    def never(self, user_id: str) -> bool:
        """Whether the person belongs to those who are never asked."""
        return bool(position(user_id, never_salt(self.settings.seed)) < self.settings.ask_holdout)

    def after(self, events: Sequence[Event], now: datetime) -> dict[str, Any] | None:
        """The question to show after these events, logged as shown; None for none. The same events give the
        same question.
        """
        if self.settings.ask_share <= 0:
            return None
        for event in events:
            if self.rules.reward(event.kind, event.value) >= HEARD:
                question = self._about(event, now)
                if question is not None:
                    return {"question_id": question.question_id, "item_id": question.item_id, **WORDS}
        return None

    def _about(self, event: Event, now: datetime) -> Question | None:
        share, seed = self.settings.ask_share, self.settings.seed
        if event.item_id is None or event.request_id is None or self.never(event.user_id):
            return None
        if generator(seed, "ask", event.event_id).random() >= share:
            return None
        shown = self.surveys.shown_to(event.request_id, event.item_id)
        if shown not in (event.user_id, ANONYMOUS):
            return None
        name = "q-" + hashlib.blake2b(f"{seed}/{event.event_id}".encode(), digest_size=12).hexdigest()
        made = Question(name, event.user_id, event.item_id, event.request_id, QUESTION, share, now)
        if self.surveys.ask(made, self.settings.ask_hours, self.settings.ask_lists):
            return made
        return self.surveys.open_question(name)  # sent again, it is still open
