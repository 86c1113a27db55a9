"""Seconds and memory to build the item trie, and what the constraint costs a beam step.

    python -m benchmarks.trie_scale [--ten-million]

Codebook 256, depth 4, uniform random codes (the most edges N items can have), one thread.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from recipes.common import command, options

from tastemaker.retrieve.allow import allow, mask
from tastemaker.retrieve.beam import _children, _Filter, _moved
from tastemaker.retrieve.trie import Trie, build_trie

SIZES = (256,) * 4


def seconds(work: Callable[[], Any], repeats: int = 3) -> float:
    """Best wall time of a few repeats."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def constraint(trie: Trie, beam: int, rng: np.random.Generator) -> dict[str, float]:
    """Milliseconds of one request's filter, and of finding the live children of `beam` nodes at the deepest
    level.
    """
    n = len(trie.items)
    stock = mask(trie, rng.random(n) < 0.9, "in stock")
    seen = rng.integers(n, size=200)
    allowed = allow(trie, stock, seen)
    levels = _moved(trie, trie.tokens, trie.starts, device=torch.device("cpu"))
    milliseconds = {"filter": seconds(lambda: allow(trie, stock, seen), 20) * 1e3}
    for level in (1, 2, 3):
        above = len(trie.tokens[level - 1])
        nodes = torch.from_numpy(np.sort(rng.choice(above, size=min(beam, above), replace=False)))[None]
        live, packed = torch.ones_like(nodes, dtype=torch.bool), levels[level]
        test = _Filter(trie, [allowed], torch.device("cpu"))

        def step() -> int:
            owner, edge = _children(nodes, live, packed[1])  # noqa: B023 (called here)
            alive = test.alive(level, owner // nodes.shape[1], edge)  # noqa: B023 (called here)
            return len(edge if alive is None else edge[alive])

        milliseconds[f"level {level + 1}"] = seconds(step, 20) * 1e3
    return milliseconds


def main() -> None:
    """Print one row a catalogue size."""
    arguments = options("Trie building at scale.")
    arguments.add_argument("--ten-million", action="store_true", help="also 10M items (about 2 GB of memory)")
    sizes = [100_000, 1_000_000] + ([10_000_000] if arguments.parse_args().ten_million else [])
    torch.set_num_threads(1)
    print("     items  build s  peak MB  packed MB  with items MB  ms: filter, children of 256 beams")
    for n in sizes:
        rng = np.random.default_rng(0)
        codes = rng.integers(256, size=(n, 4), dtype=np.int32)
        took = seconds(partial(build_trie, codes, SIZES), 1 if n > 1_000_000 else 3)
        tracemalloc.start()
        trie = build_trie(codes, SIZES)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        packed = sum(array.nbytes for array in (*trie.tokens, *trie.starts)) / 1e6
        costs = ", ".join(f"{name} {value:.2f}" for name, value in constraint(trie, 256, rng).items())
        stored = sum(array.nbytes for array in trie.arrays().values()) / 1e6
        memory = f"{peak:>8.0f} {packed:>10.1f} {stored:>14.1f}"
        print(f"{n:>10,} {took:>8.2f} {memory}  {costs}")


if __name__ == "__main__":
    command(main)
