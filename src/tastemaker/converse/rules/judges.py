"""Two judges by rules, for offline use: one reads facts, one compares words."""

from __future__ import annotations

import json
import re
from typing import Any

from tastemaker.chat import Reply, Request
from tastemaker.converse.catalogue import Value
from tastemaker.converse.constraints import Constraint, demands
from tastemaker.converse.judges.pairs import PairView
from tastemaker.converse.judges.rubric import ASPECTS, JudgeView
from tastemaker.converse.language.lexicon import Lexicon, plain
from tastemaker.converse.language.parse import Mention, Utterance, changes, read
from tastemaker.converse.record import MOVES, STAYS
from tastemaker.errors import InputError

_WORD = re.compile(r"\w+")
Facts = tuple[tuple[str, Value], ...]


class _Judge:
    """Answers a judge's question from its view."""

    model = ""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    def complete(self, request: Request[Any]) -> Reply:
        """All aspects. Raises InputError for another role's view."""
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
        return Reply(
            json.dumps(
                {name: {"score": scores.get(name, 3), "reason": f"by {self.model}"} for name in ASPECTS}
            )
        )

    def grades(self, view: JudgeView) -> dict[str, int]:
        """Grades of the aspects this judge knows how to tell; the others get 3."""
        raise InputError("a judge needs grades")

    def suits(self, view: PairView, item: Facts) -> float:
        """How well an item suits the request of a pair; more is better."""
        raise InputError("a judge needs a way to compare items")


def names_new_item(view: JudgeView) -> bool:
    """Whether the message names the item that is only about to be played."""
    said = plain(view.message).casefold()
    return any(
        (len(name.split()) > 1 and plain(name).casefold() in said) or f'"{plain(name).casefold()}"' in said
        for name in view.names
    )


class FactJudge(_Judge):
    """Reads constraints and statements with the lexicon, and compares them with the item's facts."""

    model = "facts@1"

    def grades(self, view: JudgeView) -> dict[str, int]:
        """4 where the facts bear it out, 1 where they do not."""
        facts = dict(view.item or ())
        constraints = self.constraints(view)
        broken = [
            constraint
            for constraint in constraints
            if view.item is not None and not _meets(constraint, facts)
        ]
        stated = (
            changes(Utterance(view.reply, (Mention("T0", "", view.names),)), self.lexicon)
            if view.item
            else ()
        )
        false = [
            change
            for change in stated
            if change.clause.cmp == "eq"
            and facts.get(change.clause.field, change.clause.value) != change.clause.value
        ]
        fits = not broken and view.item is not None
        grades = {"item_fits": 4 if fits else 1, "statements_true": 1 if false else 4}
        grades["listener_message"] = 1 if names_new_item(view) else 4
        if view.label is not None:
            minded = "I would like" in view.verdict
            expected = MOVES if fits and not minded else STAYS
            untold = (
                not view.verdict and fits and view.label == STAYS
            )  # the last verdict comes without its thought
            grades["label_right"] = 3 if untold else 4 if view.label == expected else 1
        grades["queries_help"] = 4 if view.counted else 3
        grades["goal_fulfilled"] = 4 if fits else 2
        return grades

    def constraints(self, view: JudgeView | PairView) -> tuple[Constraint, ...]:
        """What stands of the request, read out of the messages."""
        played = tuple(
            Mention(f"T{at + 1}", f"item {at}", (turn.played.title,))
            for at, turn in enumerate(view.dialogue)
            if turn.played is not None
        )
        messages, known = [], 0
        for turn in view.dialogue:
            messages.append(Utterance(turn.message, played[:known]))
            known += turn.played is not None
        return tuple(demands(read([*messages, Utterance(view.message, played[:known])], self.lexicon)))

    def suits(self, view: PairView, item: Facts) -> float:
        """Minus the constraints that the item's facts do not grant."""
        return -float(sum(not _meets(constraint, dict(item)) for constraint in self.constraints(view)))


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

    model = "overlap@1"

    def grades(self, view: JudgeView) -> dict[str, int]:
        """Grades by the share of words found again."""
        facts = " ".join(str(value) for _, value in view.item or ())
        wished = [key for key, pattern, _, _ in self.lexicon.surfaces if pattern.search(plain(view.message))]
        said = [key for key, pattern, _, _ in self.lexicon.surfaces if pattern.search(plain(view.reply))]
        fits = _found(wished, facts)
        grades = {"item_fits": fits, "statements_true": _found(said, facts)}
        grades["listener_message"] = 1 if names_new_item(view) else 3
        if view.label is not None:
            grades["label_right"] = 3 if (view.label == MOVES) == (fits >= 3) else 2
        grades["recommender_message"] = 3 if len(_WORD.findall(view.reply)) > 5 else 2
        grades["goal_fulfilled"] = fits
        return grades

    def suits(self, view: PairView, item: Facts) -> float:
        """The grade by which the last message's words are found in the facts."""
        wished = [key for key, pattern, _, _ in self.lexicon.surfaces if pattern.search(plain(view.message))]
        return _found(wished, " ".join(str(value) for _, value in item))


def _found(keys: list[str], facts: str) -> int:
    """1 to 4 by the share of the keys that the facts hold; 3 when there are none."""
    folded = facts.casefold()
    return 1 + round(3 * sum(key in folded for key in keys) / len(keys)) if keys else 3
