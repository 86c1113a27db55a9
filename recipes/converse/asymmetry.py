"""What each view hides is worth something: how much a word search gains when it is shown what its role may
not see.

Views kept: the dialogue's words alone. Goal shown: the listener's goal is added to the query. Pool shown:
only the turn's candidates are ranked. Target shown: the item's title is in the message. Inflation is nDCG@20
above the views as kept; 95 % intervals, conversations resampled, paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from recipes.common import command, save_figure, show_table
from recipes.converse.turns.scores import macro, score
from recipes.converse.world import arguments, build, conversations, interval
from tastemaker.cli.progress import progress
from tastemaker.converse.audits.pool import TurnQuery, turn_queries
from tastemaker.converse.record import Conversation
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.converse.env import ConversationEnv
from tastemaker.flows.data import item_texts
from tastemaker.retrieve.baselines import Lexical

NAME = "asymmetry"
LEAKS = ("views kept", "goal shown", "pool shown", "target shown")


def dialogue_text(talk: Conversation, turn: int) -> str:
    """Every word before the answer."""
    before = [words for other in talk.turns[: turn - 1] for words in (other.message, other.reply)]
    return " ".join([*before, talk.turns[turn - 1].message])


def ranked(
    env: ConversationEnv, lexical: Lexical, talk: Conversation, ask: TurnQuery, leak: str
) -> list[int]:
    """Twenty rows by BM25 with one leak."""
    catalogue, turn = env.world.catalogue, talk.turns[ask.turn - 1]
    query = dialogue_text(talk, ask.turn)
    if leak == "goal shown":
        query += " " + talk.goal.text
    if leak == "target shown" and ask.target is not None:
        query += " " + catalogue.titles[ask.target]
    scores = lexical.search([query])[0]
    scores[ask.excluded] = -np.inf
    if leak == "pool shown":
        keep = np.zeros(len(scores), bool)
        keep[[catalogue.row[shown.item_id] for shown in turn.candidates]] = True
        scores = np.where(keep, scores, -np.inf)
    order = np.argsort(-scores, kind="stable")[:20]
    return [int(row) for row in order if np.isfinite(scores[row])]


def draw(values: Sequence[tuple[str, float, float, float]]) -> Figure:
    """Inflation per leak."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for place, (_, value, low, high) in enumerate(values):
        axes.plot([low, high], [place, place], color="#0072b2", linewidth=2)
        axes.plot([value], [place], "o", color="#0072b2")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(values)), [name for name, *_ in values])
    axes.invert_yaxis()
    axes.set_xlabel("nDCG@20 of word search above the views as kept")
    axes.grid(axis="x", alpha=0.3)
    return figure


def main() -> None:
    """Generate, rank with each leak, show."""
    given = arguments(main, "asymmetry", 200, 30)
    folder = build(given, until="vectors")
    conversations(folder, NAME, given.conversations, given.seed)
    with progress(False) as report:
        env, place = open_data_set(folder, NAME, report)
    world = env.world
    lexical = Lexical([text or "?" for text in item_texts(env.pipeline.data.items)])
    pairs = [
        (talk, ask)
        for number, talk in enumerate(read_conversations(place))
        for ask in turn_queries(number, talk, world.catalogue, world.tools.match)
        if ask.target is not None
    ]
    queries = [ask for _, ask in pairs]
    scores = {
        leak: score(queries, [ranked(env, lexical, talk, ask, leak) for talk, ask in pairs])["nDCG@20"]
        for leak in LEAKS
    }
    rows, drawn = [], []
    for leak in LEAKS:
        value, more = (
            macro(queries, scores[leak], given.seed),
            macro(queries, scores[leak] - scores[LEAKS[0]], given.seed),
        )
        rows.append(
            {"leak": leak, "nDCG@20": interval(vars(value)), "inflation": interval(vars(more), signed=True)}
        )
        if leak != LEAKS[0]:
            drawn.append((leak, more.value, more.low, more.high))
    size = f"{given.conversations} conversations, {len(queries):,} turns, {len(world.catalogue)} items"
    title = f"Leaks, BM25 over the whole dialogue: {size}"
    show_table(given.out, rows, title)
    save_figure(given.out, draw(drawn))


if __name__ == "__main__":
    command(main)
