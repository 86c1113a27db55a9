"""Tiny models and examples that every test of the language model shares."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pyarrow as pa
import pytest
import torch

from tastemaker.lm.base import Shape
from tastemaker.lm.vocabulary import Vocabulary, build_small
from tastemaker.schema import EXAMPLES

TINY = Shape(layers=2, width=32, heads=2, context=64)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_small((8, 4, 4), {"age": 4})


def table(rows, masks=None, weights=None) -> pa.Table:
    masks = masks or [[0] + [1] * (len(row) - 1) for row in rows]
    weights = weights if weights is not None else [1.0] * len(rows)
    return pa.table(
        {"tokens": rows, "loss_mask": masks, "weight": pa.array(weights, pa.float32()), "source": ["behaviour"] * len(rows)},
        schema=EXAMPLES,
    )


def histories(vocabulary: Vocabulary, count: int = 60, seed: int = 0, longest: int = 6) -> pa.Table:
    """Random histories of 2 .. `longest` items after a start token, followed by a text byte."""
    draws = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        length = int(draws.integers(2, longest + 1))
        codes = np.stack([draws.integers(0, size, length) for size in vocabulary.sizes], axis=1)
        rows.append([vocabulary.special("bos"), *vocabulary.sid_tokens(codes).ravel().tolist(), 65])
    return table(rows)
