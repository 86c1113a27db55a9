"""The small model: one position an item, two read-outs, trained on thinned histories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.corpus.behaviour import Windows, windows
from tastemaker.corpus.events import Histories
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.curve import follow
from tastemaker.flows.stages.passes import (
    VALIDATED,
    chosen_in,
    fine_tuning_settings,
    note_passes,
    passes,
    searching,
)
from tastemaker.flows.stages.tokens import load_codebook, load_codes
from tastemaker.retrieve.evaluation import rank_of_target, ranks_of_targets
from tastemaker.stats.ranking import ndcg_at
from tastemaker.store import read_lines, write_json

WEIGHED = 4000  # people whose targets choose the share of the dense read-out
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def build_sft(pipeline: Pipeline, folder: Path) -> None:
    """Train on the training part; the held-out part chooses the pass and the share of the dense read-out."""
    from tastemaker.lm.items import save_items

    model = _train(pipeline, folder, pipeline.data.split.train, _validation(pipeline), 0)
    epochs = pipeline.workspace.settings.sft_epochs
    summary = note_passes(folder, read_lines(folder / "curve.jsonl"), epochs)
    model.share, by_share = _choose_share(pipeline, model)
    save_items(model, folder / "model")
    shown = ", ".join(f"{share:g}: {value:.4f}" for share, value in by_share.items())
    summary["says"] += f"; dense read-out {model.share:.0%} (validation N@10 by share {shown})"
    write_json(folder / "summary.json", summary | {"share": model.share, "validation by share": by_share})


def build_refit(pipeline: Pipeline, folder: Path) -> None:
    """The same on whole histories, nothing held out: the pass and the share as they were chosen."""
    from tastemaker.lm.items import save_items

    chosen = chosen_in(pipeline.path("sft"))
    model = _train(pipeline, folder, pipeline.data.histories, None, chosen["passes"])
    model.share = chosen["share"]
    save_items(model, folder / "model")


def _train(
    pipeline: Pipeline,
    folder: Path,
    train: Histories,
    validate: Callable[[Any], float] | None,
    stop: int,
) -> Any:
    """The trained model; checkpoints in `folder/state`, the curve and a summary beside it."""
    from tastemaker.lm.base import device_of, fast_bfloat16
    from tastemaker.lm.extend import codeword_rows
    from tastemaker.lm.items import Catalogue, ItemShape, residual_rows, start_model
    from tastemaker.lm.train import Settings, train_task
    from tastemaker.lm.training.item_lesson import ItemLesson

    settings, ids = pipeline.workspace.settings, pipeline.data.item_ids
    codes, sizes = load_codes(pipeline)
    known = np.flatnonzero(train.counts(len(ids)))
    shape = ItemShape(
        sizes,
        len(known),
        layers=settings.layers,
        width=settings.width,
        heads=max(1, settings.width // 32),
        max_items=settings.max_items,
    )
    words = codeword_rows(load_codebook(pipeline.path("tokens")).codewords, settings.width, settings.seed)
    device = device_of(settings.device)
    model = start_model(shape, [ids[row] for row in known], words, settings.seed).to(device)
    read = _read(pipeline, train)
    lesson = ItemLesson(
        read.items,
        read.target,
        read.offsets,
        Catalogue(codes, sizes, residual_rows(model, ids), device),
        settings.seed,
        settings.dense,
        fast_bfloat16(device),
    )
    chosen = Settings(
        **fine_tuning_settings(settings, len(train), stop),
        learning_rate=settings.learning_rate,
        dropout=settings.dropout,
        weight_decay=settings.weight_decay,
    )
    run = train_task(model, lesson, chosen, folder / "state", validate)
    title = "fine-tuning" if validate else "fine-tuning on everything"
    last = follow(run, folder / "curve.jsonl", pipeline.report, title)
    parameters = sum(one.numel() for one in model.parameters())
    says = f"{parameters / 1e6:.1f}M parameters, {last.step if last else 0:,} steps"
    says += f", loss {last.loss:.3f}" if last else ""
    write_json(folder / "summary.json", {"says": says, "parameters": parameters})
    return model


def _read(pipeline: Pipeline, train: Histories) -> Windows:
    """The windows of every pass, one pass after another."""
    longest = pipeline.workspace.settings.max_items
    parts = [windows(histories, longest, targets) for histories, targets in passes(pipeline, train)]
    ends = np.cumsum([0, *(len(part.items) for part in parts)])
    starts = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
    return Windows(
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([*starts, ends[-1:]]),
    )


def _validation(pipeline: Pipeline) -> Callable[[Any], float]:
    """N@10 of a model on a sample of the validation part, by the scores that serve it."""
    from tastemaker.retrieve.items import ItemScorer

    data, settings = pipeline.data, searching(pipeline.workspace.settings)
    targets = data.split.validation.sample(VALIDATED, settings.seed)
    codes, sizes = load_codes(pipeline)

    def score(model: Any) -> float:
        scorer = ItemScorer(model, data.item_ids, codes, sizes)
        seen: Any = "remove" if settings.remove_seen else "keep"
        ranks = ranks_of_targets(scorer, targets.context, targets.target, seen)
        return float(ndcg_at(ranks, 10).mean())

    return score


def _choose_share(pipeline: Pipeline, model: Any) -> tuple[float, dict[float, float]]:
    """The share of the dense read-out with the best N@10 on validation targets, and N@10 by share."""
    from tastemaker.lm.items import mixed
    from tastemaker.retrieve.evaluation import batches, take
    from tastemaker.retrieve.items import SCORES, ItemScorer

    data, settings = pipeline.data, searching(pipeline.workspace.settings)
    if not settings.dense:
        return 0.0, {}
    targets = data.split.validation.sample(WEIGHED, settings.seed)
    scorer = ItemScorer(model, data.item_ids, *load_codes(pipeline))
    ranks: dict[float, list[Any]] = {share: [] for share in SHARES}
    for rows in batches(len(targets), max(1, SCORES // len(data.item_ids))):
        part = take(targets.context, rows)
        both = scorer.read_outs(part)
        for share in SHARES:
            scores = mixed(*both, share).cpu().numpy()
            seen = part if settings.remove_seen else None
            ranks[share].append(rank_of_target(scores, targets.target[rows], seen))
    found = {share: float(ndcg_at(np.concatenate(own), 10).mean()) for share, own in ranks.items()}
    return max(found, key=lambda share: (found[share], -share)), found
