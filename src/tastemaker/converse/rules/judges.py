"""Two judges by rules, for offline use, one of facts, one of words; they grade what they can tell."""

from __future__ import annotations

import json
from typing import Any

from tastemaker.chat import Reply, Request
from tastemaker.converse.audits.texts import text_faults
from tastemaker.converse.audits.turns import Known
from tastemaker.converse.catalogue import Value
from tastemaker.converse.claims import Spoken
from tastemaker.converse.constraints import Constraint, demands, moves
from tastemaker.converse.judges.pairs import PairView
from tastemaker.converse.judges.rubric import ASPECTS, JudgeView
from tastemaker.converse.language.lexicon import plain
from tastemaker.converse.record import MOVES
from tastemaker.errors import InputError

Facts = tuple[tuple[str, Value], ...]


class _Judge:
    """Answers a judge's question from its view."""

    model = ""

    def __init__(self, known: Known) -> None:
        self.known, self.lexicon = known, known.lexicon

    def complete(self, request: Request[Any]) -> Reply:
        """The aspects this judge can tell; the others are null. Raises InputError for another role's view."""
        if isinstance(request.view, PairView):
            first, second = (
                self.suits(request.view, item) for item in (request.view.first, request.view.second)
            )
            choice = "equal" if first == second else "first" if first > second else "second"
            return Reply(json.dumps({"choice": choice, "reason": f"by {self.model}"}))
        if not isinstance(request.view, JudgeView):
            raise InputError(
                f"this model judges turns and pairs only; it got a view {type(request.view).__name__}"
            )
        scores = self.grades(request.view)
        rated = {name: {"score": scores.get(name), "reason": f"by {self.model}"} for name in ASPECTS}
        return Reply(json.dumps(rated))

    def grades(self, view: JudgeView) -> dict[str, int]:
        """Grades of the aspects this judge knows how to tell."""
        raise InputError("a judge needs grades")

    def suits(self, view: PairView, item: Facts) -> float:
        """How well an item suits the request of a pair; more is better."""
        raise InputError("a judge needs a way to compare items")


def names_new_item(view: JudgeView) -> bool:
    """Whether the message names the item that is only about to be played."""
    text = plain(view.message).casefold()
    return any(
        (len(name.split()) > 1 and plain(name).casefold() in text) or f'"{plain(name).casefold()}"' in text
        for name in view.names
    )


class FactJudge(_Judge):
    """Holds request, goal and statements against the item's facts."""

    model = "facts@2"

    def grades(self, view: JudgeView) -> dict[str, int]:
        """4 where the facts bear it out, 1 where they do not."""
        facts = dict(view.item or ())
        fits = view.item is not None and all(_meets(line, facts) for line in demands(view.wished))
        grades = {"item_fits": 4 if fits else 1, "queries_help": 4 if view.counted or not view.item else 1}
        faults = set(text_faults(view.message, None)) | set(text_faults(view.reply, None))
        grades["listener_message"] = 1 if names_new_item(view) or faults else 4
        if view.row is not None:
            spoken = Spoken((view.row,), frozenset(view.played_rows))
            grades["statements_true"] = 1 if self.known.claims.scan(view.reply, spoken) else 4
        if view.demands and view.item is not None:
            share = sum(_meets(line, facts) for line in view.demands) / len(view.demands)
            grades["goal_fulfilled"] = 1 + round(3 * share)
            if view.label is not None:
                right = (moves(share, view.best) and fits) == (view.label == MOVES)
                grades["label_right"] = 4 if right else 1
        return grades

    def suits(self, view: PairView, item: Facts) -> float:
        """Minus the constraints that the item's facts do not grant."""
        return -float(sum(not _meets(line, dict(item)) for line in demands(view.wished)))


def _meets(constraint: Constraint, facts: dict[str, Any]) -> bool:
    """Whether the facts grant a constraint as far as they tell."""
    clause, value = constraint.clause, facts.get(constraint.clause.field)
    if value is None or clause.cmp in ("similar_to", "same_group"):
        return True
    if clause.cmp in ("le", "ge", "between"):
        low, high = clause.value if isinstance(clause.value, tuple) else (clause.value, clause.value)
        inside = (clause.cmp == "le" or value >= low) and (clause.cmp == "ge" or value <= high)
        return inside == (constraint.kind == "must")
    wanted = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    had = value if isinstance(value, tuple) else (value,)
    return bool(set(wanted) & set(had)) == (constraint.kind == "must")


class WordJudge(_Judge):
    """Compares the words of message, reply and facts; coarse, and blind to "not"."""

    model = "overlap@2"

    def grades(self, view: JudgeView) -> dict[str, int]:
        """Grades by the share of words found again."""
        facts = " ".join(str(value) for _, value in view.item or ())
        grades = {"listener_message": 1 if names_new_item(view) else 4}
        for aspect, text in (("item_fits", view.message), ("statements_true", view.reply)):
            if (grade := self._word_grade(text, facts)) is not None:
                grades[aspect] = grade
        if view.label is not None and (fits := grades.get("item_fits")) is not None:
            grades["label_right"] = 3 if (view.label == MOVES) == (fits >= 3) else 2
        return grades

    def suits(self, view: PairView, item: Facts) -> float:
        """The grade by which the last message's words are found in the facts."""
        return self._word_grade(view.message, " ".join(str(value) for _, value in item)) or 3

    def _word_grade(self, text: str, facts: str) -> int | None:
        """1 to 4 by the share of values named in the text that the facts hold; None for no name."""
        values = [value.casefold() for value in self.lexicon.values.findall(plain(text))]
        folded = facts.replace("_", " ").casefold()
        return 1 + round(3 * sum(value in folded for value in values) / len(values)) if values else None
