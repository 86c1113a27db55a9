"""What stands beside the model, counted transitions and likeness by text, and how much it weighs: chosen on
the validation part.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.splits import Targets
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import SCORES, Searcher
from tastemaker.flows.stages.passes import searching
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve.evaluation import batches, rank_of_target, take
from tastemaker.retrieve.memory import GRID, RATIOS, WEIGHTS, choose_weight, evidence, fit_memory
from tastemaker.store import write_arrays, write_json

USERS = 4000


def build_memory(pipeline: Pipeline, folder: Path) -> None:
    """Count transitions, then weigh them and likeness by text against the model by N@10 of a sample of
    validation users: once with what people had removed, once with it kept, so that the setting
    `remove_seen` needs no training.
    """
    data, settings = pipeline.data, pipeline.workspace.settings
    memory = fit_memory(data.split.train, len(data.item_ids))
    says = f"{memory.table.nnz:,} transitions"
    about: dict[str, Any] = {"decay": memory.decay, "weight": 0.0}
    if settings.memory:
        texts = load_views(pipeline.path("vectors")).get("text")
        parts = replace(trained_parts(pipeline, remember=False), memory=memory.with_texts(texts, 0.0))
        targets = data.split.validation.sample(USERS, settings.seed)
        for name, removed in WEIGHTS.items():
            chosen = replace(searching(settings), remove_seen=removed)
            searcher = Searcher(replace(parts, settings=chosen))
            ratios = RATIOS if texts is not None and searcher.score is not None else RATIOS[:1]
            grid = tuple(product(GRID, ratios))
            best, by_weight = choose_weight(_ranks(pipeline, searcher, targets, ratios), grid)
            weight, ratio = best
            about |= {name: weight, f"{name}: likeness": ratio}
            about[f"validation N@10 by {name}"] = {
                f"{w:g}, likeness {r:g}": v for (w, r), v in by_weight.items()
            }
            if removed == settings.remove_seen:
                says += f", weight {weight:g}, likeness by text {ratio:g} (validation N@10"
                says += f" {by_weight[0.0, 0.0]:.4f} without, {by_weight[best]:.4f} with)"
    write_arrays(folder / "memory.safetensors", memory.arrays())
    write_json(folder / "summary.json", {"says": says} | about)


def _ranks(
    pipeline: Pipeline, searcher: Searcher, targets: Targets, ratios: tuple[float, ...]
) -> npt.NDArray[np.int64]:
    """(W, T) ranks of the targets for every weight and ratio."""

    def tell(done: int) -> None:
        pipeline.report("memory", done, len(targets), "")

    memory = searcher.memory
    assert memory is not None
    if searcher.score is None:
        return searcher.ranks(targets, GRID, tell)
    parts = []
    for rows in batches(len(targets), max(1, SCORES // len(pipeline.data.item_ids))):
        part = take(targets.context, rows)
        scores, counted, like = searcher.score(part), evidence(memory.score(part)), memory.likeness(part)
        seen = part if searcher.settings.remove_seen else None
        parts.append(
            [
                rank_of_target(scores + weight * (counted + ratio * like), targets.target[rows], seen)
                for weight, ratio in product(GRID, ratios)
            ]
        )
        tell(int(rows[-1]) + 1)
    return np.concatenate(parts, axis=1)
