"""What new items may earn: two kinds of certificate in a world where prefixes carry the reward, and in its
broken twin.

    python -m recipes.explore.novel_credit
    python -m recipes.explore.novel_credit --quick

16 prefixes of 4 shown and 1 new item; the policy gives 30 % to new items and is worth 1.068 V0, of which .917
on shown items.
In the twin new items are worth nothing: V = .917 V0, and a certificate that V > .95 V0 is false. Logged: new
items count nothing. Prefix: they count what their prefix earned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.explore.draws import rate, rewarded_actions, wealth
from recipes.explore.worlds import prefix_world
from tastemaker.stats.random import generator

C, DELTA, BATCH = 0.95, 0.05, 20
KINDS = ("logged", "prefix")


def judge(n: int, worthless: bool, seed: int, batch: int) -> dict[str, int]:
    """In how many of BATCH runs each kind certified the policy on n rows."""
    small, draws = prefix_world(worthless), generator(seed, "novel credit", n, str(worthless), batch)
    prefixes, passed = small.world.prefixes, dict.fromkeys(KINDS, 0)
    assert prefixes is not None
    by_item = small.policy / np.where(small.logger > 0, small.logger, np.inf)
    by_prefix = np.asarray(16 * np.bincount(prefixes, weights=small.policy)[prefixes], np.float64)
    goal = -np.log(DELTA)
    for _ in range(BATCH):
        rows = rewarded_actions(small.q, small.logger, n, draws)
        passed["logged"] += wealth(by_item[rows] - C, n, C) >= goal
        passed["prefix"] += wealth(by_prefix[rows] - C, n, C) >= goal
    return passed


def main() -> None:
    """Run, print the table, draw the rates."""
    arguments = read_arguments(
        parser(main, "100,000 rows at most, 40 runs: inconclusive"), "explore/novel_credit"
    )
    runs = 40 if arguments.quick else 400
    sizes = (10_000, 100_000) if arguments.quick else (10_000, 100_000, 1_000_000)
    journal = Journal(arguments.out, {"recipe": "novel_credit", "seed": arguments.seed, "batch": BATCH})
    keys = [[n, twin, batch] for n in sizes for twin in (False, True) for batch in range(runs // BATCH)]
    results = journal.run(keys, lambda key: judge(key[0], key[1], arguments.seed, key[2]), "novel credit")
    hits: dict[tuple[str, bool, int], int] = {}
    for (n, twin, _), passed in zip(keys, results, strict=True):
        for kind in KINDS:
            place = (kind, bool(twin), n)
            hits[place] = hits.get(place, 0) + passed[kind]
    rows: list[dict[str, Any]] = [
        {
            "certificate": kind,
            "world": world,
            **{f"{n:,} rows": rate(hits[kind, twin, n], runs) for n in sizes},
        }
        for twin, world in ((False, "V = 1.068 V0"), (True, "twin, V = .917 V0: every pass is false"))
        for kind in KINDS
    ]
    note = (
        f"In percent of {runs} runs, with 95 % Clopper-Pearson intervals. In the twin the assumption printed"
        " on the prefix certificate (an item's prefix carries its whole effect) is false, and nothing in the"
        " log can show it."
    )
    show_table(
        arguments.out, rows, "Certified", note + (" A quick run: inconclusive." if arguments.quick else "")
    )
    save_figure(arguments.out, draw(hits, sizes, runs))


def draw(hits: dict[tuple[str, bool, int], int], sizes: tuple[int, ...], runs: int) -> Figure:
    """Rates against rows, the world and its twin."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    titles = ("V = 1.068 V0: passing is right", "Twin, V = .917 V0: passing is wrong")
    for axes, twin, title in zip(figure.subplots(1, 2, sharey=True), (False, True), titles, strict=True):
        for kind, style in zip(KINDS, ("o--", "D-"), strict=True):
            axes.plot(sizes, [100 * hits[kind, twin, n] / runs for n in sizes], style, label=kind)
        axes.set(xscale="log", xlabel="rows", title=title, ylim=(-4, 104))
        if not twin:
            axes.set(ylabel="certified, % of runs")
            axes.legend(frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    command(main)
