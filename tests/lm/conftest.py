"""Tiny models and examples that every test of the language model shares."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pyarrow as pa
import pytest
import torch
from recipes.small import Shape, build_small

from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.schema import EXAMPLES


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_small((8, 4, 4))


@pytest.fixture
def tiny() -> Shape:
    return Shape(layers=2, width=32, heads=2, context=64)


@pytest.fixture
def table():
    """Function from token rows (masks, weights) to an EXAMPLES table; by default all but the first token are
    predicted.
    """

    def build(rows, masks=None, weights=None) -> pa.Table:
        masks = masks or [[0] + [1] * (len(row) - 1) for row in rows]
        weights = weights if weights is not None else [1.0] * len(rows)
        columns = {
            "tokens": rows,
            "loss_mask": masks,
            "weight": pa.array(weights, pa.float32()),
            "source": ["behaviour"] * len(rows),
        }
        return pa.table(columns, schema=EXAMPLES)

    return build


@pytest.fixture
def histories(vocabulary, table):
    """Random histories of 2 to 6 items after a start token, each followed by a byte of text."""
    draws = np.random.default_rng(0)
    rows = []
    for _ in range(60):
        length = int(draws.integers(2, 7))
        codes = np.stack([draws.integers(0, size, length) for size in vocabulary.sizes], axis=1)
        rows.append([vocabulary.special("bos"), *vocabulary.sid_tokens(codes).ravel().tolist(), 65])
    return table(rows)
