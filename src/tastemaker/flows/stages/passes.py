"""What fine-tunings share: passes over thinned histories, targets by reward, the pass that is chosen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.behaviour import thinned
from tastemaker.corpus.events import Histories
from tastemaker.corpus.rewards import targets_by_reward
from tastemaker.flows.pipeline import Pipeline
from tastemaker.store import write_json
from tastemaker.store.settings import Settings

VALIDATED = 1000  # people whose lists choose the number of passes
TOLERANCE = 0.01  # how far below the best pass a later one counts as good: less is noise
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the dense read-out, of which the held-out part chooses
PATIENCE = 3  # passes without a better one before fine-tuning ends

Pass = tuple[Histories, npt.NDArray[np.bool_] | None]


def passes(pipeline: Pipeline, train: Histories, seed: int) -> Iterator[Pass]:
    """The histories of every pass, each with other events left out, and which events are targets (all for
    None): where the setting `reward` says so, they are drawn by what the events tell, or by a proxy.
    """
    from tastemaker.flows.retention.live.context import event_rewards

    settings = pipeline.workspace.settings
    if settings.reward == "events":
        rewards = train.worth
    else:
        rewards = event_rewards(pipeline, train) if settings.reward else None
    # Numbered events, thinned like the histories themselves, tell which of them are left.
    numbered = replace(train, items=np.arange(len(train.items)))
    for copy in range(settings.sft_epochs):
        targets = None
        if rewards is not None:
            remaining = thinned(numbered, settings.thinning, seed, copy)
            targets = targets_by_reward(rewards[remaining.items], remaining.user_rows, seed, copy)
        yield thinned(train, settings.thinning, seed, copy), targets


def fine_tuning_settings(settings: Settings, users: int, stop: int) -> dict[str, Any]:
    """Settings of `lm.train` that every fine-tuning has; `stop`: passes after which it ends, 0 for all."""
    return {
        "stage": "sft",
        "batch_rows": settings.batch or min(128, max(16, users // 170)),
        "average": 0.997,
        "floor": 0.02,
        "stop": stop,
        "tolerance": TOLERANCE,
        "patience": PATIENCE,
        "passes": settings.sft_epochs,
        "seed": settings.seed,
        "threads": settings.threads or None,
        "shard": settings.shard,
    }


def note_passes(folder: Path, lines: Iterable[Mapping[str, Any]], passes: int) -> dict[str, Any]:
    """Add to the folder's summary which pass the held-out part chose: the latest as good as the best."""
    curve = [
        {"pass": round(line["step"] * passes / line["total"]), "N@10": line["validation"]}
        for line in lines
        if line.get("validation") is not None
    ]
    enough = (1 - TOLERANCE) * max(point["N@10"] for point in curve)
    chosen = max(point["pass"] for point in curve if point["N@10"] >= enough)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    shown = ", ".join(f"{point['pass']}: {point['N@10']:.4f}" for point in curve)
    summary["says"] += f"; {chosen} of {passes} passes chosen (validation N@10 by pass {shown})"
    summary |= {"passes": chosen, "validation": curve}
    write_json(folder / "summary.json", summary)
    return summary


def chosen_in(folder: Path) -> dict[str, Any]:
    """The summary of a fine-tuning on the training part: what a refit takes over."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def searching(settings: Settings) -> Settings:
    """The settings with the search that choices are made by: serving otherwise needs no training."""
    return replace(settings, beam=Settings.beam, remove_seen=Settings.remove_seen)
