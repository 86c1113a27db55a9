"""What evaluation measures: the finished stages of a pipeline, nothing refitted, as parts of a searcher."""

from __future__ import annotations

import json
from typing import Any

from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Parts
from tastemaker.flows.stages.tokens import load_codes
from tastemaker.retrieve.memory import Memory
from tastemaker.store import read_arrays


def trained_parts(pipeline: Pipeline, remember: bool = True) -> Parts:
    """Model, Semantic IDs and memory of the finished stages; `remember=False` leaves the memory out."""
    from tastemaker.lm.base import load

    model, vocabulary = load(pipeline.path("sft") / "model")
    assert vocabulary is not None
    codes, sizes = load_codes(pipeline)
    memory, weight = load_memory(pipeline) if remember else (None, 0.0)
    versions = {"tokens": pipeline.fingerprint("tokens")[:12], "model": pipeline.fingerprint("sft")[:12]}
    data, settings, language = pipeline.data, pipeline.workspace.settings, (model, vocabulary)
    return Parts(data, settings, codes, sizes, language, None, memory, weight, versions)


def load_memory(pipeline: Pipeline) -> tuple[Memory | None, float]:
    """The memory and its weight; None when it weighs nothing."""
    folder = pipeline.path("memory")
    about: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    if not about["weight"]:
        return None, 0.0
    memory = Memory.load(
        read_arrays(folder / "memory.safetensors"), about["decay"], len(pipeline.data.item_ids)
    )
    return memory, float(about["weight"])
