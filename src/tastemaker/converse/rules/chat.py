"""A model without a model: a `Chat` that plays every role by rules, reading nothing but the request's
view.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np

from tastemaker.chat import Reply, Request, Usage
from tastemaker.chat.budget import estimated_input, estimated_output
from tastemaker.converse.agents.answers import (
    ClosingAnswer,
    GoalAnswer,
    ListenerAnswer,
    ProfileAnswer,
    RecommenderAnswer,
)
from tastemaker.converse.constraints import Constraint, demands
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.parse import Mention, Utterance, changes
from tastemaker.converse.record import MOVES, STAYS
from tastemaker.converse.rules.words import closing_thought, found_reply, listener_message, nothing_reply
from tastemaker.converse.views import GoalView, ListenerView, ProfileView, RecommenderView
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

PICKY = 0.6  # how often a listener minds that an item misses an unspoken taste


class RuleChat:
    """Plays profile, goal, listener and recommender from their views; free of charge, no network, same view
    same answer.
    """

    model = "rules@1"

    def __init__(self, lexicon: Lexicon, seed: int = 0) -> None:
        self.lexicon, self.seed = lexicon, seed

    def complete(self, request: Request[Any]) -> Reply:
        """Answer as the role whose view it is. Raises InputError for a view of no role of conversations."""
        answer = self._answer(request)
        text = json.dumps(answer.model_dump(), ensure_ascii=False)
        return Reply(text, Usage(estimated_input(request), estimated_output(text)))

    def _answer(self, request: Request[Any]) -> Any:
        view = request.view
        turn = getattr(view, "turn", 0)
        rng = generator(
            self.seed, "rules", request.unit, request.kind, turn, request.sample, len(request.messages)
        )
        if isinstance(view, ProfileView):
            return self._profile(view)
        if isinstance(view, GoalView):
            return GoalAnswer(goal=view.text)
        if isinstance(view, ListenerView):
            label, why = self._label(view, rng) if view.judge else (None, "There is nothing to judge yet.")
            if view.closing:
                return ClosingAnswer(thought=closing_thought(why), progress=label)  # type: ignore[arg-type]
            message = listener_message(view, label, self.lexicon, rng)
            return ListenerAnswer(thought=why, message=message, progress=label)  # type: ignore[arg-type]
        if isinstance(view, RecommenderView):
            return self._recommend(view, rng)
        raise InputError(
            f"the rule-based model plays the roles of conversations only; it got a view {type(view).__name__}"
        )

    def _profile(self, view: ProfileView) -> ProfileAnswer:
        """The creator that most tracks share; culture and genre are not to be told from names."""
        counts = Counter(one.creator for one in view.tracks if one.creator)
        best = max(sorted(counts), key=lambda name: counts[name]) if counts else None
        return ProfileAnswer(culture=None, top_creator=best, top_genre=None)

    def _label(self, view: ListenerView, rng: np.random.Generator) -> tuple[str, str]:
        """What the reply says of the last item, against the active constraints and the listener's unspoken
        tastes.
        """
        last = view.dialogue[-1]
        names = (last.played.title,) if last.played else ()
        told = {
            change.clause.field: change.clause.value
            for change in changes(Utterance(last.reply, (Mention("T0", "", names),)), self.lexicon)
            if change.op == "add" and change.clause.cmp in ("eq", "contains")
        }
        for constraint in demands(view.active):
            if not granted(constraint, told):
                return STAYS, f"I had asked about the {constraint.clause.field}, and this is not it."
        for like in view.likes:
            if told.get(like.field, like.value) != like.value and rng.random() < PICKY:
                return STAYS, f"It is what I asked for, but I would like the {like.field} to be {like.value}."
        return MOVES, "That is what I had in mind; on from here."

    def _recommend(self, view: RecommenderView, rng: np.random.Generator) -> RecommenderAnswer:
        """The first candidate that the search found; nothing_fits when there is none in the whole
        catalogue.
        """
        if not view.candidates or not (view.count or view.must_choose):
            return RecommenderAnswer(
                thought="The search matches nothing; I say so and offer a way out.",
                handle=None,
                nothing_fits=True,
                message=nothing_reply(view, self.lexicon, rng),
            )
        open_ = [one for one in view.candidates if one.handle not in view.played]
        fitting = [one for one in open_ if one.handle in view.found]
        chosen = (fitting or open_)[0]
        return RecommenderAnswer(
            thought=f"{view.count} items match what was said; {chosen.handle} is one of them.",
            handle=chosen.handle,
            nothing_fits=False,
            message=found_reply(chosen, self.lexicon, rng),
        )


def granted(constraint: Constraint, told: dict[str, Any]) -> bool:
    """Whether what was told of an item leaves room for the constraint; what was not told does."""
    clause = constraint.clause
    if clause.cmp not in ("eq", "in") or clause.field not in told:
        return True
    values = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    return (told[clause.field] in values) == (constraint.kind == "must")
