"""What `benchmarks/gpu.sh` measures, arm by arm: see there.

Weights are random and so are the data, but for the smoke test's, which can be learnt: what is measured is
speed. `auto` decides the device; nothing here names one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.decode_speed import by_tree
from benchmarks.recommender import products, random_codes, roofline
from recipes.common import command, options
from recipes.small import Shape, build_small, small

from tastemaker.corpus.behaviour import behaviour_examples, windows
from tastemaker.corpus.events import Histories
from tastemaker.lm.base import device_defaults, device_of
from tastemaker.lm.items import Catalogue, ItemModel, ItemShape, residual_rows
from tastemaker.lm.train import Settings, Siblings, train, train_task
from tastemaker.lm.training.item_lesson import ItemLesson
from tastemaker.retrieve.items import ItemScorer
from tastemaker.retrieve.retriever import Decoder
from tastemaker.retrieve.trie import build_trie


@dataclass(frozen=True)
class Size:
    """items, people, steps; trunk: layers, width, heads of the language model that is trained; decoder: of
    the one that is searched; search: prompt tokens and beam; batch: of both trainings.
    """

    items: int
    people: int
    steps: int
    batch: int
    trunk: tuple[int, int, int]
    decoder: tuple[int, int, int]
    search: tuple[int, int]


SIZES = {
    "tiny": Size(200, 64, 4, 16, (1, 32, 1), (1, 32, 1), (16, 8)),
    "full": Size(100_000, 20_000, 200, 1024, (30, 576, 9), (28, 2048, 16), (1000, 256)),
}
LEARNT, EVENTS = 60, 12


def wait() -> None:
    """For what the GPU still has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def item_model(n: int, seed: int, successors: bool, people: int) -> tuple[ItemModel, ItemLesson, list[str]]:
    """A model and histories of n items on the device of "auto"; successors: each event says the next."""
    rng, device, sizes = (
        np.random.default_rng(seed),
        device_of("auto"),
        (64, max(256, 1 << (n // 16).bit_length())),
    )
    ids, codes = [f"i{row}" for row in range(n)], random_codes(n, sizes, rng)
    model = ItemModel(ItemShape(sizes, n), ids).to(device)
    first = rng.integers(n, size=(people, 1))
    rows = (first + np.arange(EVENTS)) % n if successors else rng.integers(n, size=(people, EVENTS))
    read = windows(Histories.of_lists(rows.tolist()))
    catalogue = Catalogue(codes, sizes, residual_rows(model, ids), device)
    half = device_defaults()[1] == "bfloat16"
    return model, ItemLesson(read.items, read.target, read.offsets, catalogue, seed, half=half), ids


def smoke(size: Size) -> dict[str, Any]:
    """The loss falls by a third on data that can be learnt, nothing is left on the processor, and scores are
    those of the processor. Raises AssertionError.
    """
    model, lesson, ids = item_model(200, 0, True, 256)
    settings = Settings(
        stage="sft", steps=LEARNT, batch_rows=64, learning_rate=0.01, warmup=5, log_every=5, dtype="float32"
    )
    losses = [step.loss for step in train_task(model, lesson, settings)]
    assert losses[-1] < 0.67 * losses[0], losses
    device = device_of("auto")
    assert {
        tensor.device.type for tensor in (*model.parameters(), *model.buffers(), lesson.catalogue.codes)
    } == {device.type}
    codes, histories = lesson.catalogue.codes.cpu().numpy(), Histories.of_lists([[0, 1, 2], [50]])
    scores = ItemScorer(model.eval(), ids, codes, model.shape.sizes)(histories)
    again = ItemScorer(model.cpu(), ids, codes, model.shape.sizes)(histories)
    apart = float(np.abs(scores - again).max())
    assert apart < 2e-3 and (scores.argmax(axis=1) == [3, 51]).all(), (apart, scores.argmax(axis=1))
    return {"first loss": losses[0], "last loss": losses[-1], "apart from the processor": apart}


def training(size: Size) -> dict[str, Any]:
    """Events a second of the small model, beside the roofline of its products."""
    model, lesson, _ = item_model(size.items, 0, False, size.people)
    settings = Settings(stage="sft", steps=size.steps, batch_rows=size.batch, average=0.997, dropout=0.5)
    list(train_task(model, lesson, Settings(stage="sft", steps=2, batch_rows=size.batch)))  # warm
    wait()
    started = time.perf_counter()
    list(train_task(model, lesson, settings))
    wait()
    seconds, shapes = (
        time.perf_counter() - started,
        products(size.batch * EVENTS, model.shape.sizes[0], size.items),
    )
    rate = 6e-9 * sum(a * b * c for a, b, c in shapes) * size.steps / seconds
    peak = roofline(shapes, torch.bfloat16 if lesson.half else torch.float32)
    return {
        "events_per_s": size.steps * size.batch * EVENTS / seconds,
        "gflops": rate,
        "roofline_gflops": peak,
        "share": rate / peak,
    }


def trunk(size: Size) -> dict[str, Any]:
    """Tokens a second of fine-tuning a language model with a token a code."""
    rng, sizes = np.random.default_rng(0), (256, 256)
    layers, width, heads = size.trunk
    vocabulary = build_small(sizes)
    model = small(vocabulary, Shape(layers=layers, width=width, heads=heads)).to(device_of("auto"))
    n = min(size.items, 20_000)
    codes = random_codes(n, sizes, rng)
    histories = Histories.of_lists(rng.integers(n, size=(size.people, EVENTS)).tolist())
    examples, siblings = behaviour_examples(histories, codes, vocabulary), Siblings.of(codes, sizes)
    dtype: Any = device_defaults()[1]
    settings = {"stage": "sft", "batch_rows": size.batch, "micro_tokens": 32_768, "dtype": dtype}
    list(train(model, vocabulary, examples, Settings(**settings, steps=2), siblings=siblings))
    wait()
    started = time.perf_counter()
    list(train(model, vocabulary, examples, Settings(**settings, steps=size.steps // 4), siblings=siblings))
    wait()
    tokens = size.steps // 4 * size.batch * (1 + EVENTS * len(sizes))
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return {
        "tokens_per_s": tokens / (time.perf_counter() - started),
        "parameters_m": parameters,
        "dtype": dtype,
    }


def beam(size: Size) -> dict[str, Any]:
    """Milliseconds of one constrained search at the setting of the published figure: 1.7B parameters, 1,000
    tokens, beam 256, 3 levels, batch 1.
    """
    layers, width, heads = size.decoder
    sizes, (length, width_of_beam) = (256,) * 3, size.search
    vocabulary = build_small(sizes)
    device, (_, dtype) = device_of("auto"), device_defaults()
    model = small(vocabulary, Shape(layers=layers, width=width, heads=heads, context=2 * length))
    model = model.to(device, getattr(torch, dtype)).eval()
    trie = build_trie(np.random.default_rng(0).integers(256, size=(size.items, 3)), sizes)
    decoder, start = Decoder.of(model, vocabulary), vocabulary.sid_slice(0).start
    prompts = torch.from_numpy(np.random.default_rng(1).integers(start, start + 256, size=(1, length))).to(
        device
    )
    times = []
    with torch.inference_mode():
        for _ in range(8):
            wait()
            started = time.perf_counter()
            hits = by_tree(decoder, trie, prompts, width_of_beam, None)
            wait()
            times.append(1000 * (time.perf_counter() - started))
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert int(hits.counts[0]) == min(width_of_beam, trie.leaves)
    return {
        "ms": float(np.median(times[2:])),
        "parameters_m": parameters,
        "beam": width_of_beam,
        "tokens": length,
    }


ARMS: tuple[Callable[[Size], dict[str, Any]], ...] = (smoke, training, trunk, beam)


def main() -> None:
    """Every arm in turn, a line each."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    device = device_defaults()[0]
    name = torch.cuda.get_device_name() if device == "cuda" else "processor"
    for arm in ARMS:
        started = time.perf_counter()
        result = arm(SIZES[arguments.size])
        about = {"arm": arm.__name__, "size": arguments.size, "device": device, "name": name}
        line = json.dumps(about | result | {"seconds": round(time.perf_counter() - started, 2)})
        print(line, flush=True)
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    command(main)
