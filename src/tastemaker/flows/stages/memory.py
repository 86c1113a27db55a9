"""The memory of transitions beside the model, and how much it weighs: chosen on the validation part."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.passes import searching
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.retrieve.memory import GRID, WEIGHTS, choose_weight, fit_memory
from tastemaker.store import write_arrays, write_json

USERS = 4000


def build_memory(pipeline: Pipeline, folder: Path) -> None:
    """Count transitions, then weigh them against the model by N@10 of a sample of validation users: once with
    what people had removed, once with it kept, so that the setting `remove_seen` needs no training.
    """
    data, settings = pipeline.data, pipeline.workspace.settings
    memory = fit_memory(data.split.train, len(data.item_ids))
    says = f"{memory.table.nnz:,} transitions"
    about: dict[str, Any] = {"decay": memory.decay, "weight": 0.0}
    if settings.memory:
        parts = trained_parts(pipeline, remember=False)
        targets = data.split.validation.sample(USERS, settings.seed)
        for name, removed in WEIGHTS.items():
            chosen = replace(searching(settings), remove_seen=removed)
            searcher = Searcher(replace(parts, settings=chosen, memory=memory))
            ranks = searcher.ranks(targets, GRID, partial(_tell, pipeline, len(targets)))
            weight, by_weight = choose_weight(ranks)
            about |= {name: weight, f"validation N@10 by {name}": by_weight}
            if removed == settings.remove_seen:
                says += f", weight {weight:g} (validation N@10 {by_weight[0.0]:.4f} without,"
                says += f" {by_weight[weight]:.4f} with)"
    write_arrays(folder / "memory.safetensors", memory.arrays())
    write_json(folder / "summary.json", {"says": says} | about)


def _tell(pipeline: Pipeline, people: int, done: int) -> None:
    pipeline.report("memory", done, people, "")
