"""A model without a model: a `Chat` that plays every role by rules and in fixed sentences, reading nothing
but the request's view.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
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
from tastemaker.converse.constraints import Clause, Constraint, demands
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.parse import Mention, Utterance, changes
from tastemaker.converse.language.phrases import listed, phrase, sentence
from tastemaker.converse.record import MOVES, STAYS
from tastemaker.converse.views import GoalView, ListenerView, Offered, ProfileView, RecommenderView
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

_OPENERS = (
    "Hello! Could you find me something {constraint}?",
    "I am looking for something {constraint}.",
    "Can you play me something {constraint}?",
    "Today I would like something {constraint}.",
)
_AGAIN = (
    "That is not what I meant: I want something {constraint}.",
    "No, once more: something {constraint}, please.",
)
_AFRESH = ("Let us start afresh.", "Forget what I asked for so far.")
_PLEASED = ("That is lovely.", "Oh yes, thank you.", "I enjoyed that.", "Good choice.")
_UNMOVED = (
    "Hm, that one leaves me cold.",
    "That is not quite it.",
    "It does not take me where I want to go.",
)
_FOUND = (
    "How about “{title}”? It is something {facts}.",
    "Try “{title}”: something {facts}.",
    "Here is “{title}”, something {facts}.",
)
_NOTHING = (
    "Nothing in the catalogue is all of that at once.",
    "I looked through everything, and nothing fits all of it.",
)
FACTS_TOLD = 6


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def constraint_words(
    constraints: Sequence[Constraint], lexicon: Lexicon, rng: np.random.Generator, names: Mapping[str, str]
) -> str:
    """All constraints as phrases after "something"."""
    granted = [
        phrase(constraint, lexicon, rng, names) for constraint in constraints if constraint.kind == "must"
    ]
    refused = [
        phrase(constraint, lexicon, rng, names) for constraint in constraints if constraint.kind == "must_not"
    ]
    return listed(granted, refused) or "you like yourself"


def listener_message(
    view: ListenerView, label: str | None, lexicon: Lexicon, rng: np.random.Generator
) -> str:
    """An opening, a change with a word on the last item, or the constraints once more."""
    names = dict(view.names)
    if view.turn == 1:
        return _pick(_OPENERS, rng).format(
            constraint=constraint_words([change.constraint for change in view.changes], lexicon, rng, names)
        )
    mood = "" if label is None else _pick(_PLEASED if label == MOVES else _UNMOVED, rng) + " "
    if not view.changes:
        again = (
            _pick(_AGAIN, rng)
            if view.judge and label != MOVES
            else "Another one, please: something {constraint}."
        )
        return again.format(constraint=constraint_words(view.active, lexicon, rng, names))
    said = [change for change in view.changes if change.op != "drop"]
    dropped = {change.clause.field for change in view.changes if change.op == "drop"}
    if len(dropped) > 1 and dropped >= {constraint.clause.field for constraint in view.active}:
        mood += _pick(_AFRESH, rng) + " "
    else:
        said = list(view.changes)
    return mood + " ".join(sentence(change, lexicon, rng, names) for change in said)


def closing_thought(why: str) -> str:
    """The last thought of a listener."""
    return f"{why} That was it for today."


def found_reply(chosen: Offered, lexicon: Lexicon, rng: np.random.Generator) -> str:
    """The item's title and some of its facts, each as the catalogue has it."""
    facts = [
        (name, value) for name, value in chosen.facts if isinstance(value, str) and name in lexicon.fields
    ]
    order = rng.permutation(len(facts))[:FACTS_TOLD]
    phrases = [
        phrase(Constraint("must", Clause(facts[int(at)][0], "eq", str(facts[int(at)][1]))), lexicon, rng, {})
        for at in sorted(order)
    ]
    title = f"“{chosen.title}”"
    if not phrases:
        return f"How about {title}?"
    return _pick(_FOUND, rng).format(title=chosen.title, facts=listed(phrases, []))


def nothing_reply(view: RecommenderView, lexicon: Lexicon, rng: np.random.Generator) -> str:
    """That nothing fits, and what dropping one constraint would leave."""
    ways = []
    for field, n in view.relaxations[:3]:
        noun = lexicon.fields[field].nouns[0] if field in lexicon.fields else "likeness"
        ways.append(f"without the {noun} there {'is' if n == 1 else 'are'} {n}")
    return _pick(_NOTHING, rng) + (
        f" But {', '.join(ways)}. Shall we let one go?" if ways else " Shall we start from something else?"
    )


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
        counts = Counter(track.creator for track in view.tracks if track.creator)
        best = max(sorted(counts), key=lambda name: counts[name]) if counts else None
        return ProfileAnswer(culture=None, top_creator=best, top_genre=None)

    def _label(self, view: ListenerView, rng: np.random.Generator) -> tuple[str, str]:
        """What the reply says of the last item, against the active constraints and the listener's unspoken
        tastes.
        """
        last = view.dialogue[-1]
        names = (last.played.title,) if last.played else ()
        stated = {
            change.clause.field: change.clause.value
            for change in changes(Utterance(last.reply, (Mention("T0", "", names),)), self.lexicon)
            if change.op == "add" and change.clause.cmp in ("eq", "contains")
        }
        for constraint in demands(view.active):
            if not granted(constraint, stated):
                return STAYS, f"I had asked about the {constraint.clause.field}, and this is not it."
        for like in view.likes:
            if stated.get(like.field, like.value) != like.value and rng.random() < PICKY:
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
        open_ = [item for item in view.candidates if item.handle not in view.played]
        fitting = [item for item in open_ if item.handle in view.found]
        chosen = (fitting or open_)[0]
        return RecommenderAnswer(
            thought=f"{view.count} items match what was said; {chosen.handle} is one of them.",
            handle=chosen.handle,
            nothing_fits=False,
            message=found_reply(chosen, self.lexicon, rng),
        )


def granted(constraint: Constraint, stated: dict[str, Any]) -> bool:
    """Whether what was told of an item leaves room for the constraint; what was not told does."""
    clause = constraint.clause
    if clause.cmp not in ("eq", "in") or clause.field not in stated:
        return True
    values = clause.value if isinstance(clause.value, tuple) else (clause.value,)
    return (stated[clause.field] in values) == (constraint.kind == "must")
