"""What labels are worth: the same conversations learnt with checked, raw and shuffled labels.

Checked: accepted items are learnt, rejected ones stay as context. Raw: every played item is learnt. Shuffled:
as many items as were accepted, drawn at random. One pass each over the same split, asked on the same turns
(those whose item was accepted); 95 % paired intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, save_figure, show_table
from recipes.converse.turns.bench import queries_of
from recipes.converse.turns.dialogues import open_dialogues
from recipes.converse.turns.model import load_dialogue_model, train_dialogue
from recipes.converse.turns.rankers import model_answers
from recipes.converse.turns.scores import by_turn, macro, score
from recipes.converse.turns.settings import LABELS
from recipes.converse.world import TAUGHT, arguments, build, conversations, interval, learning
from tastemaker.cli.progress import progress
from tastemaker.converse.audits.pool import TurnQuery

NAME = "talk"


def measure(given: Any, **changes: Any) -> dict[str, list[float]]:
    """nDCG@20 of every accepted test turn by a model that learnt with these settings."""
    settings = learning(given, **changes)
    with progress(False) as report:
        talk = open_dialogues(given.workspace, NAME, settings, report)
        where, _, _ = train_dialogue(talk, settings, report)
        queries = [query for query in queries_of(talk) if query.target is not None and query.accepted]
        answers = model_answers(
            talk, queries, load_dialogue_model(talk.env.pipeline, where / "model"), settings, report
        )
    scores = score(queries, [answer.items.items.tolist() for answer in answers])
    return {name: scores[name].tolist() for name in ("nDCG@20", "fit-nDCG@20")}


def compare(
    given: argparse.Namespace, changes: Mapping[str, Mapping[str, Any]]
) -> tuple[list[TurnQuery], dict[str, dict[str, np.ndarray]], int]:
    """Models that differ in their changes, on one split: the turns asked, each model's values there, and how
    many conversations.
    """
    conversations(build(given), NAME, given.conversations, 11)
    journal = Journal(
        given.out, {"conversations": given.conversations, "seed": given.seed, "quick": given.quick}
    )
    names = list(changes)
    results = journal.run(names, lambda name: measure(given, **changes[name]), "models")
    with progress(False) as report:
        talk = open_dialogues(given.workspace, NAME, learning(given), report)
    queries = [query for query in queries_of(talk) if query.target is not None and query.accepted]
    values = {
        name: {metric: np.array(column) for metric, column in scores.items()}
        for name, scores in zip(names, results, strict=True)
    }
    return queries, values, len(talk.split.test)


def draw(curves: dict[str, dict[int, float]]) -> Figure:
    """nDCG@20 by turn."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot(list(values), list(values.values()), marker="o", label=name)
    axes.set(xlabel="turn", ylabel="nDCG@20, accepted turns")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def main() -> None:
    """Train three models on one split and compare them turn by turn."""
    given = arguments(main, "labels", TAUGHT, 60)
    queries, values, asked = compare(given, {labels: {"labels": labels, "passes": 1.0} for labels in LABELS})
    rows = []
    for name in LABELS:
        gap = macro(queries, values["checked"]["nDCG@20"] - values[name]["nDCG@20"], given.seed)
        rows.append(
            {
                "labels": name,
                "nDCG@20": interval(vars(macro(queries, values[name]["nDCG@20"], given.seed))),
                "fit-nDCG@20": interval(vars(macro(queries, values[name]["fit-nDCG@20"], given.seed))),
                "checked minus it": "" if name == "checked" else interval(vars(gap), signed=True),
            }
        )
    show_table(given.out, rows, f"Labels: {len(queries):,} accepted test turns of {asked} conversations")
    save_figure(
        given.out,
        draw({f"{name} labels": by_turn(queries, row["nDCG@20"]) for name, row in values.items()}),
    )


if __name__ == "__main__":
    command(main)
