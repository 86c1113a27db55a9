"""A tiny 'language model' whose state is a function of the prefix alone, so that exhaustive scoring is a
loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor


class Toy:
    """state(prefix + c) = tanh(M state(prefix) + E_l[c]); log P = sum of log-softmax over each level's
    codes.
    """

    def __init__(self, sizes: tuple[int, ...], rows: int, seed: int, width: int = 8) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.mix = torch.randn(width, width, generator=draw)
        self.embeddings = [torch.randn(size, width, generator=draw) for size in sizes]
        self.heads = [torch.randn(size, width, generator=draw) for size in sizes]
        self.hidden = torch.randn(rows, width, generator=draw)

    def search(self, rows: list[int] | None = None) -> Any:
        """`advance` of one search over the given request rows (all by default)."""
        held = {"states": (self.hidden if rows is None else self.hidden[rows])[:, None, :]}

        def advance(level: int, codes: Tensor, parents: Tensor) -> Tensor:
            before = held["states"].gather(1, parents[..., None].expand(-1, -1, self.hidden.shape[1]))
            held["states"] = torch.tanh(before @ self.mix + self.embeddings[level][codes])
            return held["states"]

        return advance

    def log_probabilities(self, row: int, codes: np.ndarray, vocab: bool = False) -> np.ndarray:
        """(S,) the slow way: every Semantic ID scored alone, in float64."""
        totals = []
        for sid in codes:
            state, total = self.hidden[row].double(), 0.0
            for level, code in enumerate(sid):
                logits = self.heads[level].double() @ state
                mass = torch.cat([head.double() @ state for head in self.heads]) if vocab else logits
                total += float(logits[code] - mass.logsumexp(0))
                state = torch.tanh(state @ self.mix.double() + self.embeddings[level][code].double())
            totals.append(total)
        return np.array(totals)


@pytest.fixture(scope="session")
def toy() -> type[Toy]:
    return Toy


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
