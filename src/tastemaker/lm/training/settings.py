"""What a stage of training does, and what it reports."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Literal

# Settings that change when or where things are done, not what comes out: a checkpoint does not depend on
# them.
CADENCE = ("threads", "checkpoint_every", "log_every", "shard")


@dataclass(frozen=True)
class Settings:
    """What one stage of training does.

    stage: `cpt`: every token of the loss mask, softmax over the vocabulary; `sft`: only Semantic-ID tokens,
        softmax over the level's own rows, as in serving.
    epochs, steps: length; `steps` counts when given.
    passes: the examples are so many passes over the same users, one after another, each a variant of the
        last: shuffled inside a pass only, so that nobody is met twice in a short while.
    batch_rows, micro_tokens: examples per optimiser step (uniform draws) and padded tokens per forward pass
        (memory and speed only).
    warmup, schedule, floor: steps of linear warm-up; then constant, or cosine down to `floor` times the
        learning rate.
    dropout, average: hidden dropout rate, decay of the moving average of weights (0: none; else it is what is
        kept).
    freeze: `old`: only rows after `vocabulary.base_size` are trained (phase 0 of an extended model); `base`:
        these and the adapters of low rank that were put into the model.
    dense: fine-tuning with siblings: weight of the loss of the dense read-out beside that of the codes.
    stop: passes after which the run ends, although its schedule is that of all `passes` (0: it runs through).
    patience: calls of `validate` (after each pass of the second half) without improvement before stopping (0:
        never).
    tolerance: of validated weights the latest are kept that are at most this share below the best.
    checkpoint_every, log_every: seconds between checkpoints; steps between metrics.
    shard: several processes own weights, gradients and moments in parts (`training.parallel.Shards`).
    """

    stage: Literal["cpt", "sft"] = "cpt"
    epochs: float = 1.0
    steps: int | None = None
    passes: int = 1
    batch_rows: int = 64
    micro_tokens: int = 2048
    learning_rate: float = 1e-3
    warmup: int = 100
    schedule: Literal["constant", "cosine"] = "cosine"
    floor: float = 0.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    dropout: float = 0.0
    average: float = 0.0
    freeze: Literal["nothing", "old", "base"] = "nothing"
    dense: float = 0.0
    stop: int = 0
    patience: int = 0
    tolerance: float = 0.0
    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = None
    checkpoint_every: float = 120.0
    log_every: int = 20
    shard: bool = False

    def fingerprint(self) -> str:
        """Hash of the settings that change the result."""
        values = {name: value for name, value in asdict(self).items() if name not in CADENCE}
        return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()

    def rate(self, step: int, total: int) -> float:
        """Learning rate of step `step` (from 0) of `total`."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        share = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        fall = 0.5 * (1 + math.cos(math.pi * share)) if self.schedule == "cosine" else 1.0
        return self.learning_rate * (self.floor + (1 - self.floor) * fall)


@dataclass(frozen=True)
class Metrics:
    """Progress since the last report: losses in nats per predicted token; `level_losses` holds NaN where
    nothing was predicted.

    Watch `level_losses[0]`: later codes follow from the prefix, so the total can fall while the user is
    ignored.
    """

    step: int
    total: int
    epoch: float
    loss: float
    level_losses: tuple[float, ...]
    tokens_per_second: float
    learning_rate: float
    gradient_norm: float
    seconds_left: float
    validation: float | None = None
    best: float | None = None
    stopped: bool = False
