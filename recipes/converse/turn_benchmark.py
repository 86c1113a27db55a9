"""Six rankers, the catalogue's language model and the ceiling, nDCG@20 by turn, on conversations that none
learnt from.

The model is trained on the other users' conversations together with their behaviour and the items' texts;
families held out are never spoken of in training. Intervals: 95 %, conversations resampled; differences are
paired.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from recipes.common import command, save_figure, show_table
from recipes.converse.turns import rankers
from recipes.converse.turns.bench import PARTS, bench_turns
from recipes.converse.world import TAUGHT, arguments, build, conversations, interval, learning
from tastemaker.cli.progress import progress
from tastemaker.store import write_json

NAME = "talk"
COLUMNS = ("nDCG@1", "nDCG@10", "nDCG@20", "Hit@20", "MRR@20", "fit-nDCG@20")


def rows(results: dict[str, Any], coverage: dict[str, float]) -> list[dict[str, str]]:
    """One row a ranker, the model's advantage beside it."""
    out = []
    for name, values in results["macro"].items():
        row = {"ranker": name} | {metric: f"{values[metric]['value']:.4f}" for metric in COLUMNS}
        against = results["model_minus"].get(name)
        row["model minus it, nDCG@20"] = interval(against["nDCG@20"], signed=True) if against else ""
        out.append(row | {"coverage": f"{coverage[name]:.0%}"})
    best = results["macro"][rankers.MODEL]["ceiling@20"]["value"]
    return [*out, {"ranker": "ceiling", "nDCG@20": f"{best:.4f}"}]


def draw(document: dict[str, Any]) -> Figure:
    """nDCG@20 by turn number, one panel a kind of turn."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = figure.subplots(1, len(PARTS), sharey=True)
    styles = {rankers.MODEL: "-", rankers.RANDOM: ":", rankers.POPULAR: ":"}
    for axes, (part, about) in zip(panels, PARTS.items(), strict=True):
        results = document["parts"][part]
        ceiling = results["ceiling_by_turn"]
        axes.plot(
            [int(turn) for turn in ceiling], ceiling.values(), color="black", linewidth=2, label="ceiling"
        )
        for name, values in results["by_turn"].items():
            wide = 2.6 if name == rankers.MODEL else 1.4
            turns = [int(turn) for turn in values]
            axes.plot(
                turns,
                values.values(),
                styles.get(name, "--"),
                linewidth=wide,
                marker="o",
                markersize=3,
                label=name,
            )
        axes.set(title=about, xlabel="turn")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("nDCG@20, mean over conversations")
    panels[0].set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def main() -> None:
    """Build, generate, train, rank, show."""
    given = arguments(main, "turn_benchmark", TAUGHT, 60)
    folder = build(given)
    conversations(folder, NAME, given.conversations, 11)
    with progress(False) as report:
        document = bench_turns(folder, NAME, learning(given), report)
    write_json(
        given.out / "turns.json",
        {key: value for key, value in document.items() if key not in ("text", "run")},
    )
    for part, about in PARTS.items():
        title = (
            f"{about.capitalize()}: {document['parts'][part]['turns']:,} of {document['conversations']}"
            " conversations"
        )
        note = f"{document['items']} items; {document['model']}." if part == "all" else ""
        show_table(
            given.out, rows(document["parts"][part], document["coverage"]), title, note, name=f"table-{part}"
        )
    print(document["text"])
    save_figure(given.out, draw(document))


if __name__ == "__main__":
    command(main)
