"""What replies learnt backwards are worth: models from the same conversations and as many tokens, with them
and without.

In a conversation the item comes before the words about it; reversed replies lead from such words to the item.
They are short, so
as many tokens are more examples and more steps: a third model has smaller batches and no fewer steps than the
first. Same split, same turns asked (those whose item was accepted); 95 % paired intervals, conversations
resampled.
"""

from __future__ import annotations

from typing import Any

from recipes.common import command, save_figure, show_table
from recipes.converse.labels import compare, draw
from recipes.converse.turns.scores import by_turn, macro
from recipes.converse.turns.settings import LearnSettings
from recipes.converse.world import TAUGHT, arguments, interval

PASSES = 0.5
WITH, WITHOUT, STEPS = "with reversed replies", "without", "without, as many steps"
NAMES = (WITH, WITHOUT, STEPS)


def changes(name: str) -> dict[str, Any]:
    """As many tokens in each: those of the reversed replies go to more of the conversations."""
    usual = LearnSettings()
    rest = 1 - usual.behaviour - usual.metadata
    without = {"passes": PASSES * rest / (rest - usual.reversed), "reversed": 0.0}
    return {WITH: {"passes": PASSES}, WITHOUT: without, STEPS: without | {"batch": 6}}[name]


def main() -> None:
    """Train three models on one split and compare them turn by turn."""
    given = arguments(main, "reversal", TAUGHT, 60)
    asks, values, asked = compare(given, {name: changes(name) for name in NAMES})
    rows = []
    for name in NAMES:
        row = {"model": name} | {
            metric: interval(vars(macro(asks, column, given.seed))) for metric, column in values[name].items()
        }
        gap = macro(asks, values[WITH]["nDCG@20"] - values[name]["nDCG@20"], given.seed)
        rows.append(
            row
            | {"reversed replies' gain, nDCG@20": "" if name == WITH else interval(vars(gap), signed=True)}
        )
    note = f"{PASSES:g} passes over the conversations with reversed replies; the other models as many tokens."
    show_table(
        given.out, rows, f"Reversed replies: {len(asks):,} accepted turns of {asked} conversations", note
    )
    save_figure(given.out, draw({name: by_turn(asks, scores["nDCG@20"]) for name, scores in values.items()}))


if __name__ == "__main__":
    command(main)
