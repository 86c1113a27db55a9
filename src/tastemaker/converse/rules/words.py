"""The sentences of the rule-based model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tastemaker.converse.constraints import Clause, Constraint
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.phrases import listed, phrase, sentence
from tastemaker.converse.record import MOVES
from tastemaker.converse.views import ListenerView, Offered, RecommenderView

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
            constraint=constraint_words([one.constraint for one in view.changes], lexicon, rng, names)
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
    told = [
        phrase(Constraint("must", Clause(facts[int(at)][0], "eq", str(facts[int(at)][1]))), lexicon, rng, {})
        for at in sorted(order)
    ]
    title = f"“{chosen.title}”"
    if not told:
        return f"How about {title}?"
    return _pick(_FOUND, rng).format(title=chosen.title, facts=listed(told, []))


def nothing_reply(view: RecommenderView, lexicon: Lexicon, rng: np.random.Generator) -> str:
    """That nothing fits, and what dropping one constraint would leave."""
    ways = []
    for field, n in view.relaxations[:3]:
        noun = lexicon.fields[field].nouns[0] if field in lexicon.fields else "likeness"
        ways.append(f"without the {noun} there {'is' if n == 1 else 'are'} {n}")
    return _pick(_NOTHING, rng) + (
        f" But {', '.join(ways)}. Shall we let one go?" if ways else " Shall we start from something else?"
    )
