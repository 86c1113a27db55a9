"""How much likeness to the history counts in a new item's score: by the held-out part, on one data set.

What training does to choose the weight, as a table: a fifth of the distinct validation targets is treated as
new: their learnt vectors are replaced by those that their words would have, and their transitions are left
out. Whoever has one of them last is tested: how often it is the first of the new items, among the first
three, among the first ten, for each weight of likeness; and for likeness alone, the control. Training takes a
sample of people for it, this takes all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recipes.common import command, parser, read_arguments, show_table
from recipes.plum.arms import Study
from recipes.plum.next_item import SETS
from tastemaker.cli.progress import progress
from tastemaker.flows.stages.likeness import GRID, new_item_ranks
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.retrieve.new_items import Fusion
from tastemaker.stats.intervals import bootstrap, paired_bootstrap
from tastemaker.stats.ranking import ndcg_at, recall_at

DEFAULT, CONTROL = f"{Fusion.content:g}", "likeness alone"
DEPTHS = {"first": 1, "among three": 3, "among ten": 10}


def tabled(ranks: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """A row for each weight, N@10 also as a paired difference to the default's; and what they say."""
    gains, rows = {name: ndcg_at(own, 10) for name, own in ranks.items()}, []
    gaps = {name: paired_bootstrap(gain, gains[DEFAULT], 0) for name, gain in gains.items()}
    for name, gain in gains.items():
        row = {"weight of likeness": f"{name} (the default)" if name == DEFAULT else name}
        row |= {depth: f"{recall_at(ranks[name], k).mean():.4f}" for depth, k in DEPTHS.items()}
        interval, gap = bootstrap(gain, 0), gaps[name]
        row["N@10 among new items"] = f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
        row["minus the default, paired"] = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        rows.append(row)
    best = max(gains, key=lambda name: float(gains[name].mean()))
    better = ", ".join(name for name, gap in gaps.items() if gap.low > 0) or "none"
    words = f"{len(gains[DEFAULT]):,} people. Best: {best}. Above {DEFAULT} beyond its interval: {better}."
    return rows, words


def main() -> None:
    """Parse, train, draw, measure."""
    options = parser(main, "one pass of training: inconclusive")
    options.add_argument("--data", default="office", choices=tuple(SETS))
    arguments = read_arguments(options, "likeness")
    out = arguments.out / arguments.data
    out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"seed": arguments.seed} | ({"sft_epochs": 1} if arguments.quick else {})
    with progress() as report:
        pipeline = Study(out, arguments.data, settings).trained("everybody", {}, report, until="memory")
    ranks = new_item_ranks(pipeline, trained_parts(pipeline), pipeline.data.split.validation)
    named = dict(zip([*(f"{weight:g}" for weight in GRID), CONTROL], ranks, strict=True))
    rows, words = tabled({name: named[name] for name in sorted(named, key=_numerical)})
    title = f"Likeness in a new item's score, {SETS[arguments.data][0]}, validation, seed {arguments.seed}"
    show_table(out, rows, title + (" (quick: inconclusive)" if arguments.quick else ""), words)


def _numerical(name: str) -> float:
    return float("inf") if name == CONTROL else float(name)


if __name__ == "__main__":
    command(main)
