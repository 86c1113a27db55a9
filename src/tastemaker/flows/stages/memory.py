"""The memory of transitions beside the model, and how much it weighs: chosen on the validation part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.passes import searching
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.retrieve.memory import GRID, choose_weight, fit_memory
from tastemaker.store import write_arrays, write_json

USERS = 4000


def build_memory(pipeline: Pipeline, folder: Path) -> None:
    """Count transitions, then weigh them against the model by N@10 of a sample of validation users."""
    data, settings = pipeline.data, pipeline.workspace.settings
    memory = fit_memory(data.split.train, len(data.item_ids))
    weight, by_weight = 0.0, dict[float, float]()
    if settings.memory:
        parts = trained_parts(pipeline, remember=False)
        searcher = Searcher(replace(parts, settings=searching(settings), memory=memory))
        targets = data.split.validation.sample(USERS, settings.seed)
        ranks = searcher.ranks(targets, GRID, lambda done: pipeline.report("memory", done, len(targets), ""))
        weight, by_weight = choose_weight(ranks)
    write_arrays(folder / "memory.safetensors", memory.arrays())
    says = f"{memory.table.nnz:,} transitions, weight {weight:g}"
    if by_weight:
        says += f" (validation N@10 {by_weight[0.0]:.4f} without, {by_weight[weight]:.4f} with)"
    about = {"says": says, "weight": weight, "decay": memory.decay, "validation N@10 by weight": by_weight}
    write_json(folder / "summary.json", about)
