"""The state of one training run and its single step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

import tastemaker.lm.training.checkpoint as checkpoint
import tastemaker.lm.training.parallel as parallel
from tastemaker.errors import ModelError
from tastemaker.lm.training.batches import Batches
from tastemaker.lm.training.losses import Sums, head_weight
from tastemaker.lm.training.regularise import Dropout, moving_average
from tastemaker.lm.training.settings import Metrics, Settings
from tastemaker.stats.random import generator

Rows = npt.NDArray[np.int64]
ADAPTER = "lora_"  # in the names of what an adapter of low rank adds


class Task(Protocol):
    """What a run learns from: `count` examples of `expected` predicted tokens, `levels` losses beside one."""

    @property
    def count(self) -> int: ...
    @property
    def levels(self) -> int: ...
    @property
    def expected(self) -> float: ...
    def identity(self) -> dict[str, str]:
        """Hashes of everything that a checkpoint must agree with."""

    def sums(self, model: Any, rows: Rows, step: int, batch: Rows) -> Iterator[tuple[Sums, int]]:
        """Losses of `rows`, this process's part of the step's `batch`, by portion; tokens read in each."""


class Window:
    """Sums since the last report, kept where the losses are: loss and weight per level, tokens read."""

    def __init__(self, levels: int, device: torch.device) -> None:
        shapes = (levels + 1, levels + 1, 1)
        self.sums = [torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes]
        self.norm = torch.zeros((), device=device)
        self.steps, self.start = 0, time.monotonic()

    def metrics(self, run: Run) -> Metrics:
        """The report of this window for `run`."""
        elapsed, (losses, counts, tokens) = max(time.monotonic() - self.start, 1e-9), self.sums
        return Metrics(
            step=run.step,
            total=run.total,
            epoch=run.step * run.batches.rows / run.batches.count,
            loss=float(losses.sum() / counts.sum()) if self.steps else math.nan,
            level_losses=tuple((losses / counts).tolist()[:-1]),
            tokens_per_second=float(tokens) / elapsed,
            learning_rate=run.settings.rate(max(0, run.step - 1), run.total),
            gradient_norm=float(self.norm),
            seconds_left=(
                elapsed / self.steps * (run.total - run.step) if self.steps and not run.stopped else 0.0
            ),
            best=run.best,
            stopped=run.stopped,
        )


class Run:
    """State of one training run."""

    def __init__(self, model: Any, task: Task, settings: Settings) -> None:
        self.model, self.task, self.settings = model, task, settings
        self.batches = Batches(task.count, settings.batch_rows, settings.seed, settings.passes)
        self.total = settings.steps or math.ceil(settings.epochs * task.count / self.batches.rows)
        self.step, self.waits, self.stopped = 0, 0, False
        self.best: float | None = None
        self.last: Metrics | None = None
        self.best_weights: checkpoint.Tensors = {}
        self.frozen = getattr(task, "old_rows", 0) if settings.freeze != "nothing" else 0
        chosen = token_rows(model) if self.frozen else list(model.parameters())
        if settings.freeze == "base":
            chosen += [parameter for name, parameter in model.named_parameters() if ADAPTER in name]
        for parameter in model.parameters():
            parameter.requires_grad_(any(parameter is other for other in chosen))
        self.average = moving_average(model, settings.average)
        self.shards = parallel.Shards(model) if settings.shard and parallel.size() > 1 else None
        self.trainable = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.optimiser = _optimiser(self.trainable, settings)
        if self.shards:
            self.shards.gather()
        self.dropout = Dropout(model, settings.dropout)
        self.device = next(model.parameters()).device
        self.window = Window(task.levels, self.device)

    def advance(self) -> None:
        """One optimiser step."""
        settings = self.settings
        rate = settings.rate(self.step, self.total)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        others = [parallel.rank()] if parallel.rank() else []
        self.dropout.seed(int(generator(settings.seed, "dropout", self.step, *others).integers(2**63)))
        rows = self.batches.at(self.step)
        scale = 1.0 / (self.task.expected * len(rows))
        totals = [torch.zeros_like(total) for total in self.window.sums]
        for sums, tokens in self.task.sums(self.model, parallel.part(rows), self.step, rows):
            (sums.loss * scale).backward()  # type: ignore[no-untyped-call]
            totals[0] += sums.levels
            totals[1] += sums.counts
            totals[2] += tokens
        for matrix in token_rows(self.model) if self.frozen else ():
            if matrix.grad is not None:
                matrix.grad[: self.frozen].zero_()
        self._add_up(totals)
        norm = self._clipped()
        # Asking a GPU at every step would make it wait.
        check_due = self.device.type == "cpu" or self.step % settings.log_every == 0
        if check_due and not torch.isfinite(norm):
            raise ModelError(
                f"training diverged at step {self.step + 1}: the gradient is {norm}; lower learning_rate (now"
                f" {rate:.2g})"
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        if self.shards:
            self.shards.gather()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.window.steps, self.window.norm = self.window.steps + 1, norm.detach()

    def _clipped(self) -> torch.Tensor:
        """The norm of all gradients, which are brought down to the length that the settings allow."""
        clip, weights = self.settings.clip or math.inf, list(self.trainable.values())
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        total = parallel.full_tensor(norm)
        if self.device.type != "cpu" or total > clip:  # a processor need not wait to know
            torch.nn.utils.clip_grads_with_norm_(weights, clip, norm)
        return total

    def _add_up(self, sums: list[torch.Tensor]) -> None:
        """Gradients and what a step tells, summed over all processes that learn together."""
        if self.shards:
            self.shards.settle()
        elif parallel.size() > 1:
            for parameter in self.trainable.values():
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parallel.add_up([cast(torch.Tensor, parameter.grad) for parameter in self.trainable.values()])
        parallel.add_up(sums)
        for total, addition in zip(self.window.sums, sums, strict=True):
            total += addition

    @torch.no_grad()
    def load(self, step: int, weights: checkpoint.Tensors, moments: checkpoint.Tensors) -> None:
        """Go on from `step`, with these weights and moments of the optimiser where there are any."""
        self.step, gathered = step, dict(self.model.named_parameters())
        for name, value in weights.items():
            parameter = self.trainable[name]
            gathered[name].copy_(value)
            parameter.copy_(parallel.part_of(value.to(self.device), parameter))
            self.optimiser.state[parameter] = {
                key: parallel.part_of(moments[f"{key}.{name}"].to(self.device), parameter)
                for key in ("step", "exp_avg", "exp_avg_sq")
            }

    def moments(self) -> checkpoint.Tensors:
        """Those of the optimiser, whole; every process asks together."""
        return {
            f"{key}.{name}": parallel.full_tensor(value)
            for name, parameter in self.trainable.items()
            for key, value in self.optimiser.state[parameter].items()
        }

    def validate(self, function: Callable[[Any], float]) -> float:
        """Score the weights that would be kept; remember the best ones, or later ones as good."""
        candidate = self.model if self.average is None else self.average.module
        candidate.eval()
        score = float(function(candidate))
        self.model.train()
        better = self.best is None or score > self.best
        self.waits = 0 if better else self.waits + 1
        self.best = score if self.best is None else max(score, self.best)
        tolerance = self.settings.tolerance
        if better or (tolerance and score >= self.best * (1 - tolerance)):
            self.best_weights = {name: weight.clone() for name, weight in self.weights(candidate).items()}
        self.stopped = bool(self.settings.patience) and self.waits >= self.settings.patience
        return score

    def weights(self, model: Any) -> checkpoint.Tensors:
        """What is trained, as it stands in `model`."""
        return {name: weight.detach() for name, weight in model.named_parameters() if name in self.trainable}

    @property
    def validation_due(self) -> bool:
        """Whether this step ends a pass of the second half."""
        return 2 * self.step > self.total and self._passes(self.step) > self._passes(self.step - 1)

    @property
    def ended(self) -> bool:
        """Whether the run is over: at its end, stopped by validation, or after the passes asked for."""
        enough = self.settings.stop and self._passes(self.step) >= self.settings.stop
        return self.step == self.total or self.stopped or bool(enough)

    def _passes(self, step: int) -> int:
        """Passes that are whole after `step` steps."""
        return step * self.settings.passes // self.total

    @torch.no_grad()
    def finish(self) -> None:
        """Put the weights to keep into the model: the best validated, else the average, else the last."""
        if self.shards:
            self.shards.release()
        average = {} if self.average is None else self.weights(self.average.module)
        parameters = dict(self.model.named_parameters())
        for name, value in (self.best_weights or average).items():
            parameters[name].copy_(value)


def token_rows(model: Any) -> list[torch.nn.Parameter]:
    """The input and output rows of a language model's tokens, once where they are tied."""
    matrices = (model.get_input_embeddings().weight, head_weight(model))
    return list({id(matrix): cast(torch.nn.Parameter, matrix) for matrix in matrices}.values())


def _optimiser(parameters: dict[str, torch.nn.Parameter], settings: Settings) -> torch.optim.AdamW:
    """AdamW; norms and biases are not decayed, and with frozen rows nothing is (decay would move them)."""
    decay = 0.0 if settings.freeze != "nothing" else settings.weight_decay
    groups = [
        {"params": [tensor for tensor in parameters.values() if tensor.ndim > 1], "weight_decay": decay},
        {"params": [tensor for tensor in parameters.values() if tensor.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=settings.learning_rate, betas=settings.betas, fused=True
    )
