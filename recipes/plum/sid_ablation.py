"""What makes a good Semantic ID: the paper's switches one by one, at equal address bits.

Every arm is a workspace that differs in its Semantic IDs alone: same model, same passes, 24 bits an item. The
new items of `cold_items` are held out of all of them. Recall of warm items is of validation targets (it may
decide a default); recall of new items is that of the model's own score by code, among new items alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from recipes.common import DATA, command, parser, read_arguments, save_figure, show_table, whole_numbers
from recipes.plum.cold_items import K, by_codes, grown, hits, interval, lists, trained
from recipes.plum.next_item import SETS
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.stats.intervals import paired_bootstrap
from tastemaker.stats.ranking import ndcg_at, recall_at
from tastemaker.store import Workspace

PAPER = {"tokenizer": "rqvae", "ids": "semantic", "levels": "512/256/128"}
EVEN = {"levels": "256/256/256"}
ARMS: dict[str, dict[str, Any]] = {
    "SID-v2": PAPER,
    "SID-v1 (content alone, even levels, no masking)": (
        PAPER | EVEN | {"rqvae_contrastive": 0.0, "rqvae_masking": False}
    ),
    "v2 without multi-resolution": PAPER | EVEN,
    "v2 without co-occurrence": PAPER | {"rqvae_contrastive": 0.0},
    "v2 without masking": PAPER | {"rqvae_masking": False},
    "residual k-means of content": PAPER | {"tokenizer": "rkmeans"},
    "residual k-means, co-occurrence an input": PAPER | {"tokenizer": "rkmeans", "ids": "collaborative"},
    "the default (two levels, other bits)": {},
}
Values = npt.NDArray[Any]


def measure(out: Path, data: Path, seed: int, settings: dict[str, Any]) -> dict[str, Values]:
    """N@10 and R@10 of warm validation targets (U,), whether new items are found (C,), and share of distinct
    IDs (1,).
    """
    folder = trained(out, data, seed, settings)
    pipeline = Pipeline(Workspace.open(folder), lambda *_: None)
    ranks = Searcher(trained_parts(pipeline, remember=False)).ranks(pipeline.data.split.validation, (0.0,))[0]
    report = json.loads((pipeline.path("tokens") / "summary.json").read_text())["report"]
    served, before, targets = grown(folder, out, data)
    searcher = by_codes(served)
    assert searcher.new is not None
    cold = np.isin(targets, searcher.new.rows)
    new_hits = hits(lists(searcher, before.keep_users(cold)), targets[cold], K)
    return {
        "R": recall_at(ranks, 10),
        "N": ndcg_at(ranks, 10),
        "new": new_hits,
        "ids": np.array([report["distinct_share"]]),
    }


def main() -> None:
    """Parse, train every arm of every seed, print, draw."""
    options = parser(main, "one seed, two passes: inconclusive")
    options.add_argument("--data", default="office", choices=tuple(SETS))
    options.add_argument("--seeds", type=whole_numbers, default=[0, 1, 2])
    arguments = read_arguments(options, "sid_ablation")
    out, (name, settings) = arguments.out / arguments.data, SETS[arguments.data]
    seeds = [0] if arguments.quick else arguments.seeds
    alone = {"ensemble": 1} | ({"sft_epochs": 2} if arguments.quick else {})
    arms: dict[str, dict[str, Values]] = {}
    for place, (arm, own) in enumerate(ARMS.items()):
        runs = [measure(out / f"arm-{place}", DATA / name, seed, settings | own | alone) for seed in seeds]
        arms[arm] = {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}
    rows, first = [], next(iter(arms.values()))
    for arm, result in arms.items():
        row = {"Semantic IDs": arm, "R@10": interval(result["R"]), "N@10": interval(result["N"])}
        gap = paired_bootstrap(result["N"], first["N"], 0)
        row["N@10 to SID-v2, paired"] = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        rows.append(
            row
            | {
                "R@10 of new items among new": interval(result["new"]),
                "distinct": f"{result['ids'][0]:.1%}",
            }
        )
    best = max(arms, key=lambda arm: float(arms[arm]["N"].mean()))
    words = f"Best on warm validation targets by N@10, without the memory: {best}. Intervals are over people."
    title = f"Semantic IDs, {name}, seeds {', '.join(map(str, seeds))}" + (
        " (quick: inconclusive)" if arguments.quick else ""
    )
    show_table(out, rows, title, words)
    save_figure(out, draw({arm: (result["N"].mean(), result["new"].mean()) for arm, result in arms.items()}))


def draw(arms: Mapping[str, tuple[float, float]]) -> Figure:
    """N@10 of warm targets and R@10 of new items, a dot an arm."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for arm, point in arms.items():
        axes.plot(*point, "o", label=arm)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("N@10 of warm validation targets")
    axes.set_ylabel("R@10 of new items among new")
    return figure


if __name__ == "__main__":
    command(main)
