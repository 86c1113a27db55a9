"""What replies learnt backwards are worth: two models from the same conversations and as many tokens, one of them without.

In a conversation the item comes before the words about it; reversed replies lead from such words to the item. Same split, same
turns asked (those whose item was accepted), as many tokens in all; 95 % paired intervals, conversations resampled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes.common import Journal, save_figure, show_table
from recipes.conversation.labels import NAME, draw, measure
from recipes.conversation.world import TAUGHT, arguments, build, conversations, interval, learning
from tastemaker.cli.progress import progress
from tastemaker.converse.benchmark.scores import by_turn, macro
from tastemaker.flows.conversation.learn.bench import questions
from tastemaker.flows.conversation.learn.dialogues import LearnSettings, open_talk

PASSES = 0.5
WITH, WITHOUT = "with reversed replies", "without"


def dials(name: str) -> dict[str, Any]:
    """As many tokens either way: those of the reversed replies go to more of the conversations."""
    usual = LearnSettings()
    rest = 1 - usual.behaviour - usual.metadata
    return {"passes": PASSES} if name == WITH else {"passes": PASSES * rest / (rest - usual.reversed), "reversed": 0.0}


def main() -> None:
    """Train two models on one split and compare them turn by turn."""
    given = arguments(main, "reversal", TAUGHT, 60)
    conversations(build(given), NAME, given.conversations, 11)
    journal = Journal(given.out, {"conversations": given.conversations, "seed": given.seed, "quick": given.quick})
    names = (WITH, WITHOUT)
    found = dict(zip(names, journal.run(names, lambda name: measure(given, **dials(name)), "models"), strict=True))
    with progress(False) as report:
        talk = open_talk(given.workspace, NAME, learning(given), report)
    some = [one for one in questions(talk) if one.target is not None and one.accepted]
    values = {name: {metric: np.array(column) for metric, column in one.items()} for name, one in found.items()}
    rows = []
    for name in names:
        row = {"model": name} | {
            metric: interval(vars(macro(some, column, given.seed))) for metric, column in values[name].items()
        }
        gap = macro(some, values[name]["nDCG@20"] - values[WITHOUT]["nDCG@20"], given.seed)
        rows.append(row | {"gain, nDCG@20": "" if name == WITHOUT else interval(vars(gap), signed=True)})
    note = f"{PASSES:g} passes over the conversations with reversed replies; the other model as many tokens."
    show_table(given.out, rows, f"Reversed replies: {len(some):,} accepted turns of {len(talk.split.test)} conversations", note)
    save_figure(given.out, draw({name: by_turn(some, one["nDCG@20"]) for name, one in values.items()}))


if __name__ == "__main__":
    main()
