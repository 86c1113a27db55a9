"""One ranking, three ways of talking: the challenge's composite moves with the words, the ranking's score
does not.

The same twenty items a turn (BM25 over the whole dialogue) with one fixed sentence, with the data set's own
replies, and with words drawn from the whole catalogue's titles. The composite takes a judge at its middle for
all three, so that only the words differ; it is shown for this comparison alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import command, save_figure, show_table
from recipes.converse.world import arguments, build, conversations
from tastemaker.cli.progress import progress
from tastemaker.converse.audits.pool import turn_queries
from tastemaker.converse.exports import crs
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.data import item_texts
from tastemaker.retrieve.baselines import Lexical
from tastemaker.stats.random import generator

NAME = "asymmetry"
JUDGE = 2.5
STYLES = ("one fixed sentence", "the data set's replies", "words drawn from all titles")


def composite(ndcg_20: float, catalogue: float, lexical: float, judge: float) -> float:
    """The challenge's weighted sum, for comparison with its tables only: it can be raised by rewording
    (secondary source).
    """
    return 0.5 * ndcg_20 + 0.1 * catalogue + 0.1 * lexical + 0.3 * (judge - 1.0) / 4.0


def main() -> None:
    """Rank once, reply three ways, evaluate."""
    given = arguments(main, "reply_gaming", 200, 30)
    folder = build(given, until="vectors")
    conversations(folder, NAME, given.conversations, given.seed)
    with progress(False) as report:
        env, place = open_data_set(folder, NAME, report)
    world = env.world
    lexical = Lexical([text or "?" for text in item_texts(env.pipeline.data.items)])
    words = sorted({word for title in world.catalogue.titles for word in title.split()})
    rng = generator(given.seed, "drawn words")
    targets, ranked = [], []
    replies: dict[str, list[Any]] = {style: [] for style in STYLES}
    for number, talk in enumerate(read_conversations(place)):
        for ask in turn_queries(number, talk, world.catalogue, world.tools.match):
            if ask.target is None:
                continue
            texts = [text for turn in talk.turns[: ask.turn - 1] for text in (turn.message, turn.reply)]
            scores = lexical.search([" ".join([*texts, talk.turns[ask.turn - 1].message])])[0]
            scores[ask.excluded] = -np.inf
            ranked.append(
                tuple(world.catalogue.item_ids[int(row)] for row in np.argsort(-scores, kind="stable")[:20])
            )
            targets.append(
                crs.Target(talk.conversation_id, talk.user_id, ask.turn, world.catalogue.item_ids[ask.target])
            )
            replies[STYLES[0]].append("Here is something you may like to hear.")
            replies[STYLES[1]].append(talk.turns[ask.turn - 1].reply)
            replies[STYLES[2]].append(" ".join(words[int(at)] for at in rng.integers(len(words), size=24)))
    rows, bars = [], []
    for style in STYLES:
        predictions = [
            crs.Prediction(target.session_id, target.user_id, target.turn_number, items, reply)
            for target, items, reply in zip(targets, ranked, replies[style], strict=True)
        ]
        marks = crs.evaluate(targets, predictions, len(world.catalogue))
        total = composite(marks["ndcg@20"], marks["catalogue_diversity"], marks["lexical_diversity"], JUDGE)
        bars.append((marks["ndcg@20"], total))
        rows.append(
            {"reply": style}
            | {name: f"{value:.4f}" for name, value in marks.items()}
            | {"composite": f"{total:.4f}"}
        )
    note = (
        f"Official definitions ({crs.VERSION}); judge fixed at {JUDGE} for all. Distinct-2 falls as replies"
        " grow in number."
    )
    show_table(given.out, rows, f"Reply gaming: one ranking, {len(targets):,} turns", note)
    save_figure(given.out, draw(bars))


def draw(bars: list[tuple[float, float]]) -> Figure:
    """nDCG@20 and the composite, style by style."""
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(bars))
    for shift, (name, column) in enumerate(
        zip(("nDCG@20", "composite"), zip(*bars, strict=True), strict=True)
    ):
        drawn = axes.bar(
            places + 0.36 * (shift - 0.5), column, 0.34, label=name, color=("#0072b2", "#d55e00")[shift]
        )
        axes.bar_label(drawn, fmt="%.3f", fontsize=8)
    axes.set_xticks(places, STYLES)
    axes.set_ylim(0, 1.25 * max(max(bar) for bar in bars))
    axes.set_ylabel("score")
    axes.legend(frameon=False, loc="upper left")
    return figure


if __name__ == "__main__":
    command(main)
