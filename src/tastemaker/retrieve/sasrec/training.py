"""Training SASRec: each position against all items, early stopping, resumable after every epoch."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import tastemaker.lm.training.checkpoint as checkpoint
from tastemaker.errors import InputError
from tastemaker.lm.training.losses import entropy
from tastemaker.retrieve.evaluation import (
    Ints,
    Lists,
    Sequences,
    batches,
    last_events,
    ranks_of_targets,
    take,
)
from tastemaker.retrieve.sasrec.network import SASRec, SASRecSettings, torch_seed
from tastemaker.stats.random import generator
from tastemaker.stats.ranking import ndcg_at, recall_at


class HeldOut(Protocol):
    """One held-out item a user, and what came before it."""

    @property
    def context(self) -> Sequences:
        """Events before the target."""

    @property
    def target(self) -> npt.NDArray[np.int64]:
        """(U,) item index."""


def _loss(model: SASRec, sequences: Lists) -> Tensor:
    """Mean loss of predicting every next event of `sequences`, among all items."""
    lengths = np.diff(sequences.offsets)
    first, last = np.zeros(len(sequences.items), bool), np.zeros(len(sequences.items), bool)
    first[sequences.offsets[:-1]], last[sequences.offsets[1:] - 1] = True, True
    inputs = Lists(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths - 1)]), sequences.items[~last])
    hidden = model.hidden(inputs)
    targets = torch.from_numpy(sequences.items[~first]).to(hidden.device)
    return entropy(hidden, model.item.weight, targets) / len(targets)


def _epoch(model: SASRec, train: Sequences, usable: Ints, adam: torch.optim.Adam, epoch: int) -> float:
    """One pass in random order, keyed by (seed, epoch), so that a resumed run repeats it bit by bit."""
    settings = model.settings
    model.train()
    draws, losses = generator(settings.seed, "epoch", epoch), []
    order = draws.permutation(usable)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(settings.seed, "dropout", epoch))
        for rows in batches(len(order), settings.batch):
            adam.zero_grad()
            loss = _loss(model, last_events(take(train, order[rows]), settings.length + 1))
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

    With `state_folder` each epoch is saved there, and a later call continues from it, with the same result to
    the bit (same machine and threads). `on_epoch` receives epoch, loss, validation recall@10 and ndcg@10.

    Raises InputError when no row of `train` has two events; ArtifactError when `state_folder` holds a damaged
    state, or one of other settings or data.
    """
    usable = np.flatnonzero(np.diff(train.offsets) >= 2)
    if not len(usable):
        raise InputError("SASRec needs at least one user with two training events")
    model = SASRec(n_items, settings)
    adam = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=settings.betas)
    setup = repr((settings, n_items, zlib.crc32(train.items.tobytes())))
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    progress: dict[str, Any] = {"epoch": 0, "best_epoch": 0, "best": -1.0}
    saved = checkpoint.read_latest(state_folder, {"settings or data": setup}) if state_folder else None
    if saved is not None:
        best, progress = saved.groups["best"], saved.values
        model.load_state_dict(saved.groups["weights"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in saved.groups["moments"].items():
            number, field = name.split(".")
            moments.setdefault(int(number), {})[field] = tensor
        adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
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
            parts = adam.state_dict()["state"].items()
            state = {f"{number}.{name}": tensor for number, entry in parts for name, tensor in entry.items()}
            groups = {"weights": model.state_dict(), "best": best, "moments": state}
            identity = {"settings or data": setup}
            checkpoint.write(
                state_folder, checkpoint.Checkpoint(progress["epoch"], identity, progress, groups)
            )
        if on_epoch is not None:
            on_epoch(metrics)
    model.load_state_dict(best)
    return model.eval()
