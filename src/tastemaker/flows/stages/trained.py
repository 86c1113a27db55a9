"""What evaluation measures: the finished stages of a pipeline, nothing refitted, as parts of a searcher. And
what stands beside the model, counted transitions and likeness by text, and how much it weighs: chosen on the
validation part.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from tastemaker.corpus.splits import had_before
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Parts, Searcher, with_model
from tastemaker.flows.stages.passes import searching
from tastemaker.flows.stages.tokens import load_codes
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve.memory import (
    GRID,
    RATIOS,
    WEIGHTS,
    Memory,
    Weighing,
    choose_weight,
    fit_memory,
    habits_for,
    weighing_in,
)
from tastemaker.store import read_arrays, write_arrays, write_json

USERS = 4000
PARTS = Weighing._fields[1:]


def trained_parts(pipeline: Pipeline, remember: bool = True) -> Parts:
    """Model, Semantic IDs and memory of the finished stages; `remember=False` leaves the memory out."""
    memory, weight = load_memory(pipeline) if remember else (None, 0.0)
    versions = {"tokens": pipeline.fingerprint("tokens")[:12], "model": pipeline.fingerprint("sft")[:12]}
    parts = Parts(pipeline.data, pipeline.workspace.settings, *load_codes(pipeline))
    parts = replace(parts, memory=memory, weight=weight, versions=versions)
    return with_model(parts, pipeline.path("sft") / "model")


def load_memory(pipeline: Pipeline) -> tuple[Memory | None, float]:
    """The memory and its weight; None when it weighs nothing."""
    folder = pipeline.path("memory")
    about: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    chosen = weighing_in(about, pipeline.workspace.settings.remove_seen)
    if not chosen.weight:
        return None, 0.0
    memory = Memory.load(
        read_arrays(folder / "memory.safetensors"), about["decay"], len(pipeline.data.item_ids)
    )
    memory = memory.with_texts(load_views(pipeline.path("vectors")).get("text"), chosen.likeness)
    return replace(memory, habit=chosen.habit), chosen.weight


def build_memory(pipeline: Pipeline, folder: Path) -> None:
    """Count transitions, then weigh them and likeness by text against the model by N@10 of a sample of
    validation users: once with what people had removed, once with it kept (and habit beside it), so that the
    setting `remove_seen` needs no training.
    """
    data, settings = pipeline.data, pipeline.workspace.settings

    def tell(count: int) -> None:
        pipeline.report("memory", count, len(targets), "")

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
            grid = [Weighing(*pair) for pair in product(GRID, ratios)]
            extras = [(ratio, 0.0) for ratio in ratios]
            best, scores = choose_weight(searcher.ranks(targets, GRID, tell, extras), grid)
            habits = habits_for(had_before(targets), removed) if searcher.score is not None else ()
            if len(habits) > 1:
                extras = [(best.likeness, habit) for habit in habits]
                grid = [Weighing(weight, *pair) for weight, pair in product(GRID, extras)]
                best, again = choose_weight(searcher.ranks(targets, GRID, tell, extras), grid)
                scores |= again
            about |= {name: best.weight} | {f"{name}: {part}": best._asdict()[part] for part in PARTS}
            about[f"validation N@10 by {name}"] = {str(weighing): value for weighing, value in scores.items()}
            if removed == settings.remove_seen:
                says += f", weight {best} (validation N@10 {scores[grid[0]]:.4f} without,"
                says += f" {scores[best]:.4f} with)"
    write_arrays(folder / "memory.safetensors", memory.arrays())
    write_json(folder / "summary.json", {"says": says} | about)
