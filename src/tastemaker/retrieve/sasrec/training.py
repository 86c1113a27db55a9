"""Training SASRec: every position of every history against all items, early stopping, resumable after every
epoch.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from tastemaker.errors import ArtifactError, InputError
from tastemaker.retrieve.evaluation import (
    Ints,
    Lists,
    Sequences,
    batches,
    last_events,
    ranks_of_targets,
    row_of_event,
    take,
)
from tastemaker.retrieve.sasrec.network import SASRec, SASRecSettings, full_softmax_loss, torch_seed
from tastemaker.stats.random import generator
from tastemaker.stats.ranking import ndcg_at, recall_at

STATE_FILE = "sasrec.safetensors"


class HeldOut(Protocol):
    """One held-out item a user, and what came before it."""

    @property
    def context(self) -> Sequences:
        """Events before the target."""

    @property
    def target(self) -> npt.NDArray[np.int64]:
        """(U,) item index."""


def _loss(
    model: SASRec, sequences: Lists, known: Lists, settings: SASRecSettings, draws: np.random.Generator
) -> Tensor:
    """Mean loss of predicting every next event of `sequences`; `known` holds the users' whole histories (for
    bce).
    """
    lengths = np.diff(sequences.offsets)
    first, last = np.zeros(len(sequences.items), bool), np.zeros(len(sequences.items), bool)
    first[sequences.offsets[:-1]], last[sequences.offsets[1:] - 1] = True, True
    inputs = Lists(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths - 1)]), sequences.items[~last])
    targets = sequences.items[~first]
    hidden = model.hidden(inputs)
    if settings.loss == "ce":
        return full_softmax_loss(hidden, model.item.weight, torch.from_numpy(targets).to(hidden.device))
    negatives = _unseen(row_of_event(inputs), known, model.n_items, draws)
    pair = torch.from_numpy(np.stack([targets, negatives], axis=1)).to(hidden.device)
    logits = torch.einsum("td,tkd->tk", hidden, model.item(pair))
    return functional.softplus(-logits[:, 0]).mean() + functional.softplus(logits[:, 1]).mean()


def _unseen(
    rows: npt.NDArray[np.int64], known: Lists, n_items: int, draws: np.random.Generator
) -> npt.NDArray[np.int64]:
    """One uniform item a row that its user has not met (after 100 tries, any item)."""
    met = np.unique(row_of_event(known) * n_items + known.items)
    chosen = draws.integers(n_items, size=len(rows))
    for _ in range(100):
        again = np.flatnonzero(np.isin(rows * n_items + chosen, met))
        if not len(again):
            break
        chosen[again] = draws.integers(n_items, size=len(again))
    return chosen


def _save_state(
    folder: Path, model: SASRec, best: dict[str, Tensor], adam: torch.optim.Adam, progress: dict[str, Any]
) -> None:
    """Weights, best weights, both Adam moments and the progress, in one file that appears whole or not at
    all.
    """
    tensors = {f"weights.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, entry in adam.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": tensor for name, tensor in entry.items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{STATE_FILE}.{os.getpid()}.partial"
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        partial,
        {"progress": json.dumps(progress)},
    )
    partial.replace(folder / STATE_FILE)


def _load_state(
    folder: Path, model: SASRec, adam: torch.optim.Adam, setup: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Continue from a saved state; raises ArtifactError when it is damaged or belongs to another training."""
    path = folder / STATE_FILE
    try:
        with safe_open(path, "pt") as file:
            progress: dict[str, Any] = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path}: not a SASRec training state ({error}); delete it to start again"
        ) from None
    if progress["setup"] != setup:
        raise ArtifactError(
            f"{path}: trained with other settings or data; delete it or choose another folder"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)
        }

    model.load_state_dict(part("weights."))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part("adam.").items():
        number, field = name.split(".")
        moments.setdefault(int(number), {})[field] = tensor
    adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
    return part("best."), progress


def _epoch(model: SASRec, train: Sequences, usable: Ints, adam: torch.optim.Adam, epoch: int) -> float:
    """One pass in random order; everything random is keyed by (seed, epoch), so a resumed run repeats it bit
    by bit.
    """
    settings = model.settings
    model.train()
    draws, losses = generator(settings.seed, "epoch", epoch), []
    order = draws.permutation(usable)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(settings.seed, "dropout", epoch))
        for rows in batches(len(order), settings.batch):
            known = take(train, order[rows])
            adam.zero_grad()
            loss = _loss(model, last_events(known, settings.length + 1), known, settings, draws)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def fit_sasrec(
    train: Sequences,
    validation: HeldOut,
    n_items: int,
    settings: SASRecSettings = SASRecSettings(),
    state_folder: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> SASRec:
    """Train until validation N@10 (seen items removed) has not risen for `patience` epochs; returns the best
    epoch's model.

    With a `state_folder` each epoch's end is saved there, and a later call continues from it, with the same
    result to the bit (same machine and threads). `on_epoch` receives epoch, loss, validation recall@10 and
    ndcg@10.

    Raises
    ------
    InputError
        when no row of `train` has two events.
    ArtifactError
        when `state_folder` holds a damaged state, or one of other settings or data.
    """
    usable = np.flatnonzero(np.diff(train.offsets) >= 2)
    if not len(usable):
        raise InputError("SASRec needs at least one user with two training events")
    model = SASRec(n_items, settings)
    adam = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=settings.betas)
    setup = asdict(settings) | {
        "betas": list(settings.betas),
        "items": n_items,
        "events": zlib.crc32(train.items.tobytes()),
    }
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    progress: dict[str, Any] = {"setup": setup, "epoch": 0, "best_epoch": 0, "best": -1.0}
    if state_folder is not None and (state_folder / STATE_FILE).exists():
        best, progress = _load_state(state_folder, model, adam, setup)
    while (
        progress["epoch"] < settings.epochs and progress["epoch"] - progress["best_epoch"] < settings.patience
    ):
        loss = _epoch(model, train, usable, adam, progress["epoch"])
        progress["epoch"] += 1
        ranks = ranks_of_targets(model.score, validation.context, validation.target)
        metrics = {"epoch": progress["epoch"], "loss": loss, "recall@10": float(recall_at(ranks, 10).mean())}
        metrics["ndcg@10"] = float(ndcg_at(ranks, 10).mean())
        if metrics["ndcg@10"] > progress["best"]:
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            progress |= {"best": metrics["ndcg@10"], "best_epoch": progress["epoch"]}
        if state_folder is not None:
            _save_state(state_folder, model, best, adam, progress)
        if on_epoch is not None:
            on_epoch(metrics)
    model.load_state_dict(best)
    return model.eval()
