"""The memory of transitions beside the model, and how much it weighs: chosen on the validation part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tastemaker.flows.chain import Chain
from tastemaker.retrieve.memory import Memory, choose_weight, fit_memory
from tastemaker.store import read_arrays, write_arrays, write_json

USERS = 4000


def build_memory(chain: Chain, folder: Path) -> None:
    """Count transitions, then weigh them against the model by N@10 of a sample of validation users."""
    from tastemaker.flows.recommend import Recommender

    data, settings = chain.data, chain.workspace.settings
    memory = fit_memory(data.split.train, len(data.item_ids))
    weight, by_weight = 0.0, dict[float, float]()
    if settings.memory:
        recommender = Recommender(chain, remember=False)
        targets = data.split.validation.sample(USERS, settings.seed)
        found = recommender.search_all(
            targets.context, lambda done: chain.report("memory", done, len(targets), "")
        )
        known = [memory.counts(targets.context.of(row), one.items) for row, one in enumerate(found)]
        weight, by_weight = choose_weight(found, known, targets.target)
    write_arrays(folder / "memory.safetensors", memory.arrays())
    says = f"{memory.table.nnz:,} transitions, weight {weight:g}"
    if by_weight:
        says += f" (validation N@10 {by_weight[0.0]:.4f} without, {by_weight[weight]:.4f} with)"
    about = {"says": says, "weight": weight, "decay": memory.decay, "validation N@10 by weight": by_weight}
    write_json(folder / "summary.json", about)


def load_memory(chain: Chain) -> tuple[Memory | None, float]:
    """The memory and its weight; None when it weighs nothing."""
    folder = chain.path("memory")
    about: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    if not about["weight"]:
        return None, 0.0
    memory = Memory.load(read_arrays(folder / "memory.safetensors"), about["decay"], len(chain.data.item_ids))
    return memory, float(about["weight"])
