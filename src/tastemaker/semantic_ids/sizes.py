"""How many codes each level of a Semantic ID has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tastemaker.errors import InputError

SPARE_BITS = 10


def codebook_sizes(n: int) -> tuple[int, ...]:
    """Default sizes K_1, K_2, ... for `n` items.

    K_1 is the power of two >= 2 sqrt(n), within [64, 2048]; each level halves, not below 16; there are as few
    levels as give log2 n + 10 address bits, so that a catalogue can grow without new collisions. 12,101
    items: 256/128/64/32.
    """
    if n < 1:
        raise InputError(f"cannot size a codebook for {n} items; ingest items first")
    size = min(max(2 ** math.ceil(math.log2(2 * math.sqrt(n))), 64), 2048)
    sizes: list[int] = []
    while sum(math.log2(k) for k in sizes) < math.log2(n) + SPARE_BITS:
        sizes.append(size)
        size = max(size // 2, 16)
    return tuple(sizes)


def two_level_sizes(n: int) -> tuple[int, ...]:
    """Two levels for `n` items: K_1 the power of two >= n / 8 within [64, 2048] (and <= n), K_2 the one <= n
    within [256, 8192].

    Fewer tokens an item make a shorter prompt and an easier tree: with unique assignment and a softmax over
    existing codes, this reached more on the Beauty validation part than 256/8192 did, and that more than
    256/2048 (docs/results.md).
    12,101 items: 2048/8192. Where two levels hold fewer than four times the catalogue, `codebook_sizes`.
    """
    codebook_sizes(n)
    first = min(max(2 ** math.ceil(math.log2(n / 8)), 64), 2048, 2 ** max(1, int(math.log2(n))))
    second = min(max(2 ** int(math.log2(n)), 256), 8192)
    return (first, second) if first * second >= 4 * n else codebook_sizes(n)


def three_level_sizes(n: int) -> tuple[int, ...]:
    """Three levels for `n` items, each half of the one before: 512/256/128, or less below 512 items.

    So codes of content are shared: in the ablation (docs/plum/sid_ablation.md) this did better for warm
    items than the other ways. Where that holds fewer than four times the catalogue, `codebook_sizes`.
    """
    codebook_sizes(n)
    first = min(512, max(8, 2 ** int(math.log2(n))))
    sizes = (first, first // 2, first // 4)
    return sizes if math.prod(sizes) >= 4 * n else codebook_sizes(n)


def check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """`sizes` as a tuple of ints, each >= 2; InputError otherwise."""
    out = tuple(int(k) for k in sizes)
    if not out or min(out) < 2:
        raise InputError(f"codebook sizes {list(sizes)}: give one or more levels of at least 2 codes each")
    return out
