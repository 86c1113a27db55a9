"""The small model at size: milliseconds a request and memory by catalogue, and training speed beside the
roofline of this machine.

    python -m benchmarks.recommender [--items 100000,1000000] [--requests 200] [--steps 40] [--threads 1]

Models have random weights and catalogues random codes: what is measured is work, not quality. One JSON line a
measurement. The roofline is the rate at which this machine multiplies the very matrices of a training step,
forward and backward; `share` is the rate of the whole step (that work over all its time, dropout, softmax,
optimiser and average in it) beside it, after a few steps that are not counted. On a processor both are by the
seconds that this process computed, over its threads: what others do on the machine counts little. `verdict`
says in words whether it is what was asked.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from recipes.common import command, options, whole_numbers

from tastemaker.corpus.behaviour import windows
from tastemaker.corpus.events import Histories
from tastemaker.flows.data import Data
from tastemaker.flows.search import Parts, Searcher
from tastemaker.lm.base import device_of, fast_bfloat16
from tastemaker.lm.items import Catalogue, ItemModel, ItemShape, residual_rows
from tastemaker.lm.train import Settings, train_task
from tastemaker.lm.training.item_lesson import NEGATIVES, ItemLesson
from tastemaker.retrieve.items import ItemScorer
from tastemaker.schema import ITEMS, EventRules
from tastemaker.semantic_ids.sizes import two_level_sizes
from tastemaker.store.settings import Settings as Chosen

WARM, ASKED = 8, 0.6  # steps before the clock runs; share of the roofline that training is to reach
EVENTS, PEOPLE, BATCH, WIDTH = 9, 2048, 128, 128  # of the shape of the Beauty data


def tell(**values: Any) -> None:
    """One measurement."""
    print(
        json.dumps({name: round(v, 4) if isinstance(v, float) else v for name, v in values.items()}),
        flush=True,
    )


def resident() -> float:
    """GB that this process holds now; its peak where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(pages[1]) * resource.getpagesize() / 1e9
    except OSError:
        return peak()


def peak() -> float:
    """GB that this process held at most."""
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    )


def random_codes(
    n: int, sizes: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(n, L) distinct codes."""
    flat = rng.choice(int(np.prod(sizes)), n, replace=False)
    return np.stack(np.unravel_index(flat, sizes), axis=1).astype(np.int32)


def serving(n: int, requests: int, threads: int) -> None:
    """A catalogue of n items loaded, and histories of 20 events answered one by one."""
    rng, sizes = np.random.default_rng(0), two_level_sizes(n)
    ids, codes = [f"i{row}" for row in range(n)], random_codes(n, sizes, rng)
    model = ItemModel(ItemShape(sizes, n, width=WIDTH), ids).eval().to(device_of("auto"))
    titles = pa.array([f"Item {row}" for row in range(n)])
    columns = [
        titles if f.name == "title" else pa.array(ids) if f.name == "item_id" else pa.nulls(n, f.type)
        for f in ITEMS
    ]
    data = Data(pa.table(columns, schema=ITEMS), ids, Histories.of_lists([]), {}, EventRules())
    torch.nn.init.normal_(model.residual, std=0.01)  # zeros that nobody wrote take no memory
    given, began = resident(), time.perf_counter()
    scorer = ItemScorer(model, ids, codes, sizes)
    scored = time.perf_counter()
    searcher = Searcher(Parts(data, Chosen(threads=threads), codes, sizes, score=scorer))
    loaded, times = time.perf_counter(), list[float]()
    for _ in range(requests):
        history = [ids[row] for row in rng.integers(n, size=20)]
        query = SimpleNamespace(history=history, marks=(), k=10, filters={}, exclude=frozenset())
        started = time.perf_counter()
        (answer,) = searcher.answer([query])
        times.append(1000 * (time.perf_counter() - started))
        assert len(answer) == 10 and not set(answer.items.tolist()) & set(searcher.index_of(history))
    cut = np.percentile(times[max(1, len(times) // 10) :], [50, 99])
    tell(
        what="serving",
        items=n,
        sizes=list(sizes),
        vectors_s=scored - began,
        trie_s=loaded - scored,
        first_ms=times[0],
        p50_ms=cut[0],
        p99_ms=cut[1],
        given_gb=given,
        gb=resident(),
        peak_gb=peak(),
    )


def products(rows: int, nodes: int, n: int) -> list[tuple[int, int, int]]:
    """(m, k, n) of a training step's products: `rows` events of `n` items through two layers, the codes and
    the dense read-out, which tells apart what is drawn and what came.
    """
    d = WIDTH
    came = (n - NEGATIVES) * (1 - (1 - 1 / n) ** rows) if n > NEGATIVES else 0  # beside those drawn
    layer = [(rows, d, 3 * d), (rows, d, d), (rows, d, 2 * d), (rows, d, 2 * d), (rows, 2 * d, d)]
    heads = [
        (rows, d, nodes),
        (rows, d, d),
        (rows, d, d),
        (rows, d, min(n, NEGATIVES) + round(came)),
        (rows, d, d),
    ]
    return layer * 2 + heads


def computed(device: torch.device) -> float:
    """Seconds of computing so far: of each thread of this process, or until a GPU is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def roofline(shapes: list[tuple[int, int, int]], dtype: torch.dtype) -> float:
    """GFLOP/s of the forward and both backward products of these shapes, best of three."""
    device, best, work = device_of("auto"), 0.0, 6.0 * sum(m * k * n for m, k, n in shapes)
    pairs = [
        (torch.ones(m, k, dtype=dtype, device=device), torch.ones(n, k, dtype=dtype, device=device))
        for m, k, n in shapes
    ]
    for _ in range(3):
        started = computed(device)
        for left, right in pairs:
            out = left @ right.T
            out @ right
            out.T @ left
        best = max(best, work / (computed(device) - started) / 1e9)
    return best


def training(n: int, steps: int, threads: int) -> None:
    """Steps of the small model on histories of nine events, beside the roofline."""
    rng, sizes, device = np.random.default_rng(0), two_level_sizes(n), device_of("auto")
    torch.set_num_threads(threads)
    codes, ids = random_codes(n, sizes, rng), [f"i{row}" for row in range(n)]
    model = ItemModel(ItemShape(sizes, n, width=WIDTH), ids).to(device)
    read = windows(Histories.of_lists(rng.integers(n, size=(PEOPLE, EVENTS)).tolist()))
    catalogue = Catalogue(codes, sizes, residual_rows(model, ids), device)
    half = fast_bfloat16(device)
    lesson = ItemLesson(read.items, read.target, read.offsets, catalogue, 0, half=half)
    settings = Settings(
        stage="sft",
        steps=WARM + steps,
        log_every=WARM,
        batch_rows=BATCH,
        average=0.997,
        dropout=0.5,
        threads=threads,
    )
    reports = train_task(model, lesson, settings)
    next(reports)
    started = computed(device)
    last = list(reports)[-1]
    seconds = computed(device) - started
    shapes = products(BATCH * EVENTS, sizes[0], n)
    work, rate = (
        6.0 * sum(a * b * c for a, b, c in shapes) * steps,
        roofline(shapes, torch.bfloat16 if half else torch.float32),
    )
    assert np.isfinite(last.loss)
    rates = {"gflops": work / seconds / 1e9, "roofline_gflops": rate, "share": work / seconds / 1e9 / rate}
    rates["events_per_s"] = steps * BATCH * EVENTS / seconds
    verdict = f"{rates['share']:.0%} of the roofline, {ASKED:.0%} asked: "
    verdict += "reached" if rates["share"] >= ASKED else "not reached"
    tell(
        what="training",
        items=n,
        **rates,
        dtype="bfloat16" if half else "float32",
        device=str(device),
        verdict=verdict,
    )


def main() -> None:
    """Parse and measure, the smaller catalogues first."""
    parser = options(__doc__)
    parser.add_argument("--items", default="12101,100000,1000000", help="catalogue sizes served, ascending")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--steps", type=int, default=40, help="training steps; 0 leaves training out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=WIDTH, help="of the model")
    arguments = parser.parse_args()
    globals()["WIDTH"] = arguments.width
    sizes = whole_numbers(arguments.items)
    if arguments.steps:
        training(sizes[0], arguments.steps, arguments.threads)
    for n in sizes:
        serving(n, arguments.requests, arguments.threads)


if __name__ == "__main__":
    command(main)
