"""Defects planted on purpose: a judge that does not notice them has no say on that aspect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tastemaker.converse.audits.turns import Known, replay
from tastemaker.converse.constraints import adhere
from tastemaker.converse.judges.agreement import RESAMPLES, Rated
from tastemaker.converse.reading.plain import spoken
from tastemaker.converse.record import MOVES, STAYS, Conversation
from tastemaker.stats.random import generator
from tastemaker.stats.resample import by_unit, of_totals

ASPECT_OF = {
    "swapped_item": "item_fits",
    "false_fact": "statements_true",
    "leaked_title": "listener_message",
    "flipped_label": "label_right",
}
"""Each defect and the aspect that must notice it."""
NOTICED = 2  # a grade of 2 or less says that something is wrong


def plant(conversation: Conversation, turn: int, defect: str, known: Known) -> Conversation | None:
    """The conversation with one defect at one turn; None where it cannot be planted."""
    now = conversation.turns[turn - 1]
    if now.item_id is None or now.item_id not in known.catalogue.row:
        return None
    rng = generator("planted", conversation.conversation_id, turn, defect)
    if defect == "flipped_label":
        return _flip(conversation, turn)
    if defect == "leaked_title":
        title = known.catalogue.titles[known.catalogue.row[now.item_id]]
        return _with_turn(conversation, turn, message=f"{now.message} I mean “{title}”, of course.")
    if defect == "swapped_item":
        constraints = list(replay(conversation, known))[turn - 1].constraints
        wrong = np.flatnonzero(~adhere(constraints, known.match, len(known.catalogue)).holds)
        return (
            _with_turn(conversation, turn, item_id=known.catalogue.item_ids[int(rng.choice(wrong))])
            if len(wrong)
            else None
        )
    return _false_fact(conversation, turn, known, rng)


def _with_turn(conversation: Conversation, turn: int, **changed: object) -> Conversation:
    turns = list(conversation.turns)
    turns[turn - 1] = replace(turns[turn - 1], **changed)  # type: ignore[arg-type]
    return replace(conversation, turns=tuple(turns))


def _flip(conversation: Conversation, turn: int) -> Conversation | None:
    if conversation.label(turn) is None:
        return None
    other = {MOVES: STAYS, STAYS: MOVES}
    progress = [
        replace(line, label=other[str(line.label)]) if line.item_turn == turn else line
        for line in conversation.progress
    ]
    return replace(conversation, progress=tuple(progress))


def _false_fact(
    conversation: Conversation, turn: int, known: Known, rng: np.random.Generator
) -> Conversation | None:
    """One value in the reply replaced by another of its field that the item does not have."""
    now = conversation.turns[turn - 1]
    catalogue = known.catalogue
    facts = [(name, value) for name, value in catalogue.facts(catalogue.row[now.item_id or ""])]
    stated = [
        (name, value)
        for name, value in facts
        if isinstance(value, str) and len(value) > 2 and spoken(value) in now.reply
    ]
    if not stated:
        return None
    name, value = stated[int(rng.integers(len(stated)))]
    others = [other for other in catalogue.fields[name].values if other != value]
    false = spoken(others[int(rng.integers(len(others)))])
    return _with_turn(conversation, turn, reply=now.reply.replace(spoken(value), false))


@dataclass(frozen=True)
class Detection:
    """How well a judge notices a defect. hit, false_alarm: shares graded 2 or less, planted and not;
    difference with interval.

    reported: whether the aspect may be reported, that is, the interval of the difference lies above 0.
    """

    judge: str
    defect: str
    aspect: str
    hit: float
    false_alarm: float
    low: float
    high: float
    n: int

    @property
    def reported(self) -> bool:
        """The interval of hit minus false alarm excludes 0 from above."""
        return self.low > 0


def detection(
    clean: Sequence[Rated], planted: Sequence[Rated], judge: str, defect: str, seed: int = 0
) -> Detection:
    """Grades of the same turns without and with the defect, paired; bootstrap over conversations."""
    aspect = ASPECT_OF[defect]

    def grades(ratings: Sequence[Rated]) -> dict[str, tuple[str, int]]:
        rows = [rating for rating in ratings if (rating.judge, rating.aspect) == (judge, aspect)]
        return {row.item: (row.conversation, row.score) for row in rows if row.score is not None}

    before, after = grades(clean), grades(planted)
    rows = [
        (name, (1.0, float(score <= NOTICED), float(before[item][1] <= NOTICED)))
        for item, (name, score) in after.items()
        if item in before
    ]
    if not rows:
        nan = float("nan")
        return Detection(judge, defect, aspect, nan, nan, nan, nan, 0)
    sums = by_unit(np.array([values for _, values in rows]), [name for name, _ in rows])
    n, hits, alarms = sums.sum(axis=0)
    gap = of_totals(
        sums,
        lambda totals: (totals[:, 1] - totals[:, 2]) / totals[:, 0],
        (seed, "planted", judge, defect),
        RESAMPLES,
        "hits minus false alarms",
    )
    return Detection(judge, defect, aspect, float(hits / n), float(alarms / n), gap.low, gap.high, int(n))
