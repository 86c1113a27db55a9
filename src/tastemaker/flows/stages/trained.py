"""What evaluation measures: the finished stages of a pipeline, nothing refitted, as parts of a searcher."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Parts, with_model
from tastemaker.flows.stages.tokens import load_codes
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve.memory import Memory, weight_in
from tastemaker.store import read_arrays


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
    weight, ratio = weight_in(about, pipeline.workspace.settings.remove_seen)
    if not weight:
        return None, 0.0
    memory = Memory.load(
        read_arrays(folder / "memory.safetensors"), about["decay"], len(pipeline.data.item_ids)
    )
    return memory.with_texts(load_views(pipeline.path("vectors")).get("text"), ratio), weight
