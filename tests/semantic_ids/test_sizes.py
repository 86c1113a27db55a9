"""Codebook sizes: the golden values, and what the rule promises for any catalogue."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.semantic_ids.sizes import codebook_sizes


def test_golden_sizes() -> None:
    assert codebook_sizes(12_101) == (256, 128, 64, 32)  # Amazon Beauty
    assert codebook_sizes(3_459) == (128, 64, 32, 16)  # Amazon Office


@given(st.integers(1, 10**8))
def test_rule(n: int) -> None:
    sizes = codebook_sizes(n)
    assert 64 <= sizes[0] <= 2048 and all(k & (k - 1) == 0 for k in sizes)
    assert sizes[0] >= 2 * math.sqrt(n) or sizes[0] == 2048
    assert all(b == max(a // 2, 16) for a, b in itertools.pairwise(sizes))
    bits = [math.log2(k) for k in sizes]
    assert sum(bits) >= math.log2(n) + 10 > sum(bits[:-1])


def test_bad_sizes() -> None:
    with pytest.raises(InputError, match="0 items"):
        codebook_sizes(0)
