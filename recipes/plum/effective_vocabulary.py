"""How many items do the work: the fewest that fill 95 % of all top-10 places, of each system of the next-item
table.

Reads the evaluations that `python -m recipes.plum.next_item` left (`--runs` is its folder); nothing is
trained. PLUM reports 2.60 and 13.24 times the effective vocabulary of its embedding-table model (arXiv
2510.07784); a system that recommends worse spreads more easily, so recall stands beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import command, parser, read_arguments, save_figure, show_table
from recipes.plum.next_item import SETS, stem
from tastemaker.flows.evaluation.evaluate import OURS, SASREC


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """The newest test evaluation of every seed. Ends the recipe in one line where there is none."""
    newest = [
        sorted(seed.glob("runs/*-evaluate-test/metrics.json")) for seed in sorted(folder.glob("seed-*"))
    ]
    documents = [json.loads(own[-1].read_text()) for own in newest if own]
    if not documents:
        raise SystemExit(f"{folder}: no evaluation there; run `python -m recipes.plum.next_item` first")
    return documents


def summarise(runs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, list[float]], str]:
    """Rows of the table, the coverage curve of each system in the first run, and the comparison in words."""
    sizes, recall, curves = dict[str, list[int]](), dict[str, list[float]](), dict[str, list[float]]()
    for run in runs:
        for method in run["coverage"]["methods"]:
            sizes.setdefault(stem(method["name"]), []).append(method["effective"])
            curves.setdefault(stem(method["name"]), method["curve"])
        for method in run["metrics"]["methods"]:
            recall.setdefault(stem(method["name"]), []).append(method["values"]["R@10"]["value"])
    rows, base = [], sizes.get(SASREC)
    for name, own in sizes.items():
        row: dict[str, Any] = {"system": name, "R@10": f"{np.mean(recall[name]):.4f}"}
        row["effective vocabulary"] = f"{np.mean(own):,.0f}"
        row["of seeds"] = " ".join(f"{value:,}" for value in own)
        rows.append(row | {"times that of SASRec": f"{np.mean(own) / np.mean(base):.2f}" if base else ""})
    if not base:
        return rows, curves, "SASRec was not evaluated."
    ratio, gain = np.mean(sizes[OURS]) / np.mean(base), np.mean(recall[OURS]) - np.mean(recall[SASREC])
    words = f"{OURS} uses {ratio:.2f} times the effective vocabulary of SASRec, R@10 {gain:+.4f} beside it: "
    wider, better = ratio > 1, gain >= 0
    words += (
        "wider and at least as good." if wider and better else "wider, but worse." if wider else "not wider."
    )
    return rows, curves, words


def draw(curves: dict[str, list[float]]) -> Figure:
    """Share of all places that the most recommended items fill."""
    figure = Figure(figsize=(8, 4.5))
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot(
            np.arange(1, len(curve) + 1), curve, label=name, linewidth=2 if name.startswith(OURS) else 1
        )
    axes.axhline(0.95, color="#8a93a0", linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("items, most recommended first")
    axes.set_ylabel("share of all top-10 places")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Parse, read what the next-item table left, print."""
    options = parser(main, "no difference: nothing is trained")
    options.add_argument("--data", default="beauty", choices=tuple(SETS))
    options.add_argument(
        "--runs", type=Path, default=Path("runs/next_item"), help="folder of the next-item table"
    )
    arguments = read_arguments(options, "effective_vocabulary")
    out = arguments.out / arguments.data
    runs = evaluations(arguments.runs / arguments.data)
    rows, curves, words = summarise(runs)
    title = f"Effective vocabulary, {SETS[arguments.data][0]}, test part, {len(runs)} seeds"
    show_table(out, rows, title, words)
    save_figure(out, draw(curves))


if __name__ == "__main__":
    command(main)
