"""Searching by typed clauses with handles, and by free text: how often the first items grant all that was
asked.

Typed: the constraints read out of the messages, executed over the whole catalogue, a keyed draw of what
matches.
Free text: BM25 with the last message, and with the whole dialogue. The rule-based recommender made the typed
calls. Beside them stand published shares of calls of a 4 B model that succeed at the first try (free SQL 24.7
%, copying 22-character ids 68.4 %, arXiv 2510.01698): another measure on another catalogue, so only the order
of magnitude compares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import command, save_figure, show_table
from recipes.converse.turns.scores import macro
from recipes.converse.world import arguments, build, conversations, interval
from tastemaker.cli.progress import progress
from tastemaker.converse.audits.pool import turn_queries
from tastemaker.converse.constraints import adhere
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.data import item_texts
from tastemaker.retrieve.baselines import Lexical
from tastemaker.stats.random import generator

NAME = "asymmetry"
WAYS = ("typed clauses", "free text, whole dialogue", "free text, last message")
PUBLISHED = {"published: free SQL": 0.247, "published: copied ids": 0.684, "published: BM25 and text": 0.960}


def main() -> None:
    """Three ways to search for the same requests."""
    given = arguments(main, "tools", 200, 30)
    folder = build(given, until="vectors")
    conversations(folder, NAME, given.conversations, given.seed)
    with progress(False) as report:
        env, place = open_data_set(folder, NAME, report)
    world = env.world
    n = len(world.catalogue)
    lexical = Lexical([text or "?" for text in item_texts(env.pipeline.data.items)])
    queries = []
    first: dict[str, list[Any]] = {way: [] for way in WAYS}
    five: dict[str, list[Any]] = {way: [] for way in WAYS}
    valid, calls = 0, 0
    for number, talk in enumerate(read_conversations(place)):
        for ask, turn in zip(
            turn_queries(number, talk, world.catalogue, world.tools.match), talk.turns, strict=True
        ):
            calls += 1
            valid += turn.nothing_fits if turn.handle is None else turn.handle in turn.tool.handles
            if not len(ask.fits):
                continue
            queries.append(ask)
            dialogue = " ".join(
                [*(text for t in talk.turns[: ask.turn - 1] for text in (t.message, t.reply)), turn.message]
            )
            rng = generator(given.seed, "typed", talk.conversation_id, ask.turn)
            typed = rng.permutation(np.flatnonzero(adhere(turn.tool.constraints, world.tools.match, n).holds))
            scores = lexical.search([dialogue, turn.message])
            orders = [typed, *(np.argsort(-row, kind="stable") for row in scores)]
            for way, order in zip(WAYS, orders, strict=True):
                shown = [row for row in order.tolist() if row not in set(ask.excluded.tolist())][:5]
                granted = np.isin(shown, ask.fits)
                first[way].append(float(granted[:1].sum()))
                five[way].append(float(granted.mean()) if len(granted) else 0.0)
    rows, drawn = [], {}
    for way in WAYS:
        value = macro(queries, np.array(first[way]), given.seed)
        mean = macro(queries, np.array(five[way]), given.seed)
        rows.append(
            {
                "search": way,
                "first item grants all": interval(vars(value)),
                "of the first five": interval(vars(mean)),
            }
        )
        drawn[way] = value.value
    note = (
        f"{valid:,} of {calls:,} typed calls ended in a choice among what they returned, or in none; handles,"
        " no ids copied."
    )
    show_table(given.out, rows, f"Tools: {len(queries):,} turns that something fits", note)
    save_figure(given.out, draw(drawn | PUBLISHED))


def draw(shares: dict[str, Any]) -> Figure:
    """Shares as bars, published ones in grey."""
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.subplots()
    colours = ["#9aa3ad" if name in PUBLISHED else "#0072b2" for name in shares]
    bars = axes.barh(list(shares), list(shares.values()), color=colours)
    axes.bar_label(bars, fmt=lambda value: f"{value:.0%}", padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.set_xlabel(
        "share of turns whose first item grants all; published: calls that succeed at the first try"
    )
    return figure


if __name__ == "__main__":
    command(main)
