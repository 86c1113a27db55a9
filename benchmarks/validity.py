"""Count invalid or disallowed items over random (catalogue, filter, request) draws; the right number is 0.

    python -m benchmarks.validity [--draws 1000000] [--seed 0]

Every draw has its own filter (a shared mask, an exclude list, an include list, or any of them together), and
the
array a mask was made from is overwritten while the search runs: the request must keep the filter it started
with.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from recipes.common import command, options
from torch import Tensor

from tastemaker.retrieve.allow import Allowed, allow, mask
from tastemaker.retrieve.beam import beam_search
from tastemaker.retrieve.candidates import expand
from tastemaker.retrieve.trie import Trie, build_trie

ROWS, WIDTH = 1000, 8


def random_catalogue(rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...]]:
    """Item codes (N, L) and level sizes: sparse or crowded, with as few as one item."""
    sizes = tuple(int(size) for size in rng.integers(1, rng.choice([3, 8, 40]) + 1, size=rng.integers(1, 5)))
    n = int(rng.choice([1, 10, 100, 400])) + int(rng.integers(0, 50))
    return rng.integers(sizes, size=(n, len(sizes))), sizes


def random_filters(
    trie: Trie, rng: np.random.Generator
) -> tuple[list[Allowed], np.ndarray, list[np.ndarray]]:
    """A filter a row, the truth (ROWS, N) by plain arithmetic, and the arrays the masks were made from."""
    n = len(trie.items)
    stocks = [rng.random(n) < share for share in (1.0, 0.5, 0.05, 2 / n)]
    masks = [mask(trie, stock) for stock in stocks]
    filters, truth = [], np.ones((ROWS, n), bool)
    for row in range(ROWS):
        which = rng.integers(6)
        base = masks[which] if which < 4 else None
        exclude = (
            rng.integers(n, size=rng.integers(0, min(n, 30) + 1))
            if rng.random() < 0.7
            else np.empty(0, np.int64)
        )
        include = rng.integers(n, size=rng.integers(0, 12)) if rng.random() < 0.3 else None
        filters.append(allow(trie, base, exclude, include))
        if base is not None:
            truth[row] = stocks[which]
        if include is not None:
            truth[row] &= np.bincount(include, minlength=n) > 0
        truth[row, exclude] = False
    return filters, truth, stocks


def search(trie: Trie, filters: list[Allowed], stocks: list[np.ndarray], rng: np.random.Generator) -> Any:
    """Beams of a random model whose states are fresh noise at every step."""
    draw = torch.Generator().manual_seed(int(rng.integers(2**62)))
    heads = [torch.randn(size, WIDTH, generator=draw) * 3 for size in trie.sizes]

    def advance(level: int, codes: Tensor, parents: Tensor) -> Tensor:
        for stock in stocks:
            stock[:] = ~stock
        return torch.randn(*codes.shape, WIDTH, generator=draw)

    return beam_search(
        torch.randn(ROWS, WIDTH, generator=draw), advance, heads, trie, filters, int(rng.integers(1, 13))
    )


def faults(codes: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    """One catalogue, ROWS draws: items returned, and how many were invalid, disallowed, repeated or wrongly
    missing.
    """
    trie = build_trie(codes, sizes)
    filters, truth, stocks = random_filters(trie, rng)
    beams, k = search(trie, filters, stocks, rng), int(rng.integers(1, 13))
    wrong = total = 0
    known = {tuple(row) for row in codes.tolist()}
    ids = trie.leaf_codes()[np.unique(beams.leaf[beams.leaf >= 0].numpy())]
    wrong += sum(tuple(row) not in known for row in ids.tolist())
    for row, answer in enumerate(expand(beams, trie, filters, k)):
        total += len(answer)
        wrong += int((~truth[row, answer.items]).sum()) + len(answer) - len(set(answer.items.tolist()))
        wrong += bool(len(answer)) != bool(truth[row].any())
        wrong += (answer.reason is None) != (len(answer) == k)
    return total, wrong


def main() -> int:
    """Run the draws; exit status 1 when there was a fault."""
    arguments = options("Count invalid items over random draws.")
    arguments.add_argument("--draws", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    rng, begun, done, items, wrong = np.random.default_rng(asked.seed), time.perf_counter(), 0, 0, 0
    while done < asked.draws:
        count, bad = faults(*random_catalogue(rng), rng)
        done, items, wrong = done + ROWS, items + count, wrong + bad
        print(
            f"\r{done:,} draws, {items:,} items, {wrong} faults, {time.perf_counter() - begun:.0f} s",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    print(
        f"{done:,} draws over {done // ROWS:,} catalogues, {items:,} items returned: {wrong} invalid,"
        " disallowed or missing"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    command(main)
