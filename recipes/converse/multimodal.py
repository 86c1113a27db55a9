"""What sound and pictures add: one model, its attachments shown or hidden, by goal category.

The model is the turn benchmark's (given the same --workspace it is reused), trained with attachments, which
it sees as the item that a listener would recognise in them. At the test the same turns are answered with all
attachments, sound alone, pictures alone, and words alone. Only turns of conversations with an attachment so
far can change; 95 % paired intervals. The catalogue ties covers to music by one stated link, mode to hue,
whose strength in the catalogue is printed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import command, save_figure, show_table
from recipes.converse.turns.bench import queries_of
from recipes.converse.turns.dialogues import open_dialogues
from recipes.converse.turns.model import load_dialogue_model, train_dialogue
from recipes.converse.turns.rankers import model_answers
from recipes.converse.turns.scores import macro, score
from recipes.converse.world import TAUGHT, arguments, build, conversations, interval, learning
from tastemaker.cli.progress import progress

NAME = "talk"
SHOWN = {"words alone": "none", "sound": "audio", "pictures": "image", "sound and pictures": "audio,image"}


def cramer(first: list[Any], second: list[Any]) -> float:
    """Cramer's V of two columns."""
    rows, columns = np.unique(first, return_inverse=True)[1], np.unique(second, return_inverse=True)[1]
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return float(
        np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / max(1, min(table.shape) - 1))
    )


def draw(rows: list[tuple[str, str, float, float, float]]) -> Figure:
    """Gain over words alone by category."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    categories = list(dict.fromkeys(row[0] for row in rows))
    kinds = list(dict.fromkeys(row[1] for row in rows))
    for number, kind in enumerate(kinds):
        colour = ("#0072b2", "#d55e00", "#009e73")[number % 3]
        for category, _, value, low, high in (row for row in rows if row[1] == kind):
            place = categories.index(category) + 0.2 * (number - 1)
            axes.plot([place, place], [low, high], color=colour, linewidth=2)
            axes.plot([place], [value], "o", color=colour, label=kind if category == categories[0] else None)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xticks(range(len(categories)), categories)
    axes.set(xlabel="goal category", ylabel="nDCG@20 above words alone")
    axes.legend(frameon=False)
    axes.grid(axis="y", alpha=0.3)
    return figure


def main() -> None:
    """Answer the same turns four times."""
    given = arguments(main, "multimodal", TAUGHT, 200)
    conversations(build(given), NAME, given.conversations, 11)
    settings = learning(given)
    values: dict[str, np.ndarray] = {}
    for name, kinds in SHOWN.items():
        with progress(False) as report:
            talk = open_dialogues(given.workspace, NAME, learning(given, media=kinds), report)
            if not values:
                whole = open_dialogues(given.workspace, NAME, settings, report)
                where, _, _ = train_dialogue(whole, settings, report)
                model = load_dialogue_model(whole.env.pipeline, where / "model")
                asks = [ask for ask in queries_of(whole) if ask.target is not None and _attached(whole, ask)]
            answers = model_answers(talk, asks, model, settings, report)
        values[name] = score(asks, [answer.items.items.tolist() for answer in answers])["nDCG@20"]
    category = np.array([whole.conversations[ask.conversation].goal.category for ask in asks])
    rows, drawn = [], []
    now = np.array([bool(whole.dialogues[ask.conversation].exchanges[ask.turn - 1].media) for ask in asks])
    parts = {"all": now | True, "attached just now": now} | {
        letter: category == letter for letter in sorted(set(category))
    }
    for letter, part in parts.items():
        chosen = np.flatnonzero(part)
        asked = [asks[place] for place in chosen]
        row: dict[str, Any] = {"goals": letter, "turns": len(asked)}
        base = macro(asked, values["words alone"][chosen], given.seed)
        row["words alone"] = f"{base.value:.3f}"
        for name in list(SHOWN)[1:]:
            gain = macro(asked, values[name][chosen] - values["words alone"][chosen], given.seed)
            row[name] = interval(vars(gain), signed=True)
            drawn.append((letter, name, gain.value, gain.low, gain.high))
        rows.append(row)
    columns = whole.env.world.catalogue.columns
    link = cramer(
        [str(mode) for mode in columns["mode"]], [str(palette) for palette in columns["cover_palette"]]
    )
    show_table(
        given.out, rows, "Attachments, nDCG@20 above words alone", f"Mode and palette: Cramer's V {link:.2f}."
    )
    save_figure(given.out, draw(drawn))


def _attached(talk: Any, ask: Any) -> bool:
    """Whether something was attached up to the turn."""
    return any(exchange.media for exchange in talk.dialogues[ask.conversation].exchanges[: ask.turn])


if __name__ == "__main__":
    command(main)
