"""The training loop: continued pre-training and fine-tuning of a causal LM, resumable to the bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from tastemaker.errors import ModelError
from tastemaker.lm.base import weights_hash
from tastemaker.lm.training import checkpoint, parallel
from tastemaker.lm.training.batches import read_examples
from tastemaker.lm.training.interrupt import Interruption
from tastemaker.lm.training.losses import TokenTask
from tastemaker.lm.training.run import Run, Task, Window
from tastemaker.lm.training.settings import Metrics, Settings
from tastemaker.lm.training.siblings import Siblings
from tastemaker.lm.vocabulary import Vocabulary

__all__ = ["Metrics", "Settings", "Siblings", "train", "train_task"]

TOTALS = ("losses", "weights")  # of the window that is not over; its speed is that of the run that reports


def _save(run: Run, folder: Path, identity: dict[str, str]) -> None:
    parallel.tell("moments")
    groups = {
        "weights": run.weights(run.model),
        "optimiser": run.moments(),
        "average": {} if run.average is None else run.weights(run.average.module),
        "best": run.best_weights,
        "window": dict(zip(TOTALS, run.window.sums, strict=False)),
    }
    values = {
        "last": asdict(run.last) if run.last else None,
        "best": run.best,
        "waits": run.waits,
        "stopped": run.stopped,
        "random": f"keyed by seed {run.settings.seed} and step",
    }
    checkpoint.write(
        folder, checkpoint.Checkpoint(run.step, identity, values, {k: v for k, v in groups.items() if v})
    )


@torch.no_grad()
def _restore(run: Run, saved: checkpoint.Checkpoint) -> None:
    run.load(saved.step, saved.groups["weights"], saved.groups["optimiser"])
    run.best = saved.values["best"]
    run.best_weights = {name: value.to(run.device) for name, value in saved.groups.get("best", {}).items()}
    if run.average is not None:
        run.average.n_averaged.fill_(run.step + 1)
        for name, value in run.weights(run.average.module).items():
            value.copy_(saved.groups["average"][name])
    for name, total in zip(TOTALS, run.window.sums, strict=False):
        total.copy_(saved.groups["window"][name])
    run.waits, run.stopped = saved.values["waits"], saved.values["stopped"]
    last = saved.values["last"]
    run.last = Metrics(**{**last, "level_losses": tuple(last["level_losses"])}) if last else None


@contextmanager
def adapted(model: Any, rank: int, seed: int) -> Iterator[dict[str, str]]:
    """Adapters of low rank beside every matrix of the trunk inside the block, merged into it at the end; the
    settings of training that go with them. Nothing for rank 0.

    Source: LoRA, arXiv 2106.09685. ModelError where the package peft is missing.
    """
    if not rank:
        yield {}
        return
    try:
        from peft import LoraConfig, LoraModel
    except ImportError:
        raise ModelError(
            "base_lora needs the package peft; run `pip install 'tastemaker[lora]'`, or set it to 0"
        ) from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
        adapters = LoraModel(model, {"default": config}, "default")
    try:
        yield {"freeze": "base"}
    finally:
        adapters.merge_and_unload()


def train(
    model: Any,
    vocabulary: Vocabulary,
    examples: pa.Table,
    settings: Settings,
    state_folder: str | Path | None = None,
    validate: Callable[[Any], float] | None = None,
    siblings: Siblings | None = None,
) -> Iterator[Metrics]:
    """Train `model` in place and yield metrics; the weights to keep are in it when the iterator ends.

    A run killed at any moment goes on from its last checkpoint in `state_folder` and ends with the same
    weights, bit for bit (CPU, same number of threads). A finished run is read back at once. Gradients are
    those of uniform batches: the loss of a step is its weighted sum over the *expected* weight of predicted
    tokens, so short and long histories count alike however they are padded.

    examples: EXAMPLES table of `tastemaker.schema`.
    validate: called with the model (in evaluation mode, holding the average); greater is better. The best
        weights are kept.
    siblings: fine-tuning only: normalise over the codes that exist after a prefix instead of over the whole
        level. Serve with `normalise="siblings"` then.

    Raises InputError for examples that cannot be used; ArtifactError for a checkpoint of another run;
    ModelError on divergence.
    """
    longest = getattr(model.config, "max_position_embeddings", 1 << 30)
    data = read_examples(examples, vocabulary, settings.stage == "sft", longest, siblings)
    task = TokenTask(vocabulary, data, settings, siblings)
    yield from train_task(model, task, settings, state_folder, validate)


def train_task(
    model: Any,
    task: Task,
    settings: Settings,
    state_folder: str | Path | None = None,
    validate: Callable[[Any], float] | None = None,
    interruption: Interruption | None = None,
) -> Iterator[Metrics]:
    """`train` on any task; `interruption` is that of trainings that run at once."""
    identity = {"settings": settings.fingerprint(), "model": weights_hash(model), **task.identity()}
    folder = Path(state_folder) if state_folder is not None else None
    saved = checkpoint.read_latest(folder, identity) if folder else None
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads or threads)
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    parallel.tell((model, task, settings))
    run = Run(model, task, settings)
    try:
        if saved:
            _restore(run, saved)
        parallel.tell(
            (run.step, *((saved.groups["weights"], saved.groups["optimiser"]) if saved else ({}, {})))
        )
        model.train()
        with nullcontext(interruption) if interruption else Interruption() as watch:
            yield from _steps(run, folder, identity, validate, watch)
        run.finish()
    finally:
        parallel.tell(False)
        run.dropout.remove()
        model.eval()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(flags[name])
        torch.set_num_threads(threads)


def learn_along() -> None:
    """Take part in every training of the first of several processes until it has no more."""
    while (work := parallel.tell()) is not None:
        run = Run(*work)
        run.load(*parallel.tell())
        run.model.train()
        try:
            while work := parallel.tell():
                run.moments() if work == "moments" else run.advance()
        except ModelError:  # the first process says so, and that this training is over
            parallel.tell()
        run.dropout.remove()


def _steps(
    run: Run,
    folder: Path | None,
    identity: dict[str, str],
    validate: Callable[[Any], float] | None,
    interruption: Interruption,
) -> Iterator[Metrics]:
    """Advance to the end, validating, saving, reporting; a finished run only repeats its last report."""
    if run.last is not None:
        yield run.last
        return
    saved_at, over = time.monotonic(), run.ended
    while not over:
        parallel.tell(True)
        run.advance()
        score = run.validate(validate) if validate and run.validation_due else None
        metrics, over = None, run.ended
        if over or score is not None or run.step % run.settings.log_every == 0:
            metrics = replace(run.window.metrics(run), validation=score)
            run.window = Window(run.task.levels, run.device)
        run.last = metrics if over else None
        if folder and over:
            _save(run, folder, identity)
        if metrics:
            yield metrics
        stop, due = interruption.pending, time.monotonic() - saved_at >= run.settings.checkpoint_every
        if folder and not over and (due or stop):
            _save(run, folder, identity)  # after the report: a run that goes on does not tell it again
            saved_at = time.monotonic()
        if stop and not over:
            raise KeyboardInterrupt
