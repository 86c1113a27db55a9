"""The set of existing Semantic IDs as a level-packed trie, and the items under every node.

Each level is a compressed sparse row: nodes are sorted, so a child's index is its edge's index and no
next-state column is needed. Items are sorted by their Semantic ID, so every node owns one range of them; that
is what makes per-request filters cheap (`retrieve.allow`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Ints = npt.NDArray[np.integer[Any]]
WIDEST_INT16_LEVEL = 32767
MOST_ITEMS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Trie:
    """The packed trie of N items, S distinct Semantic IDs and L levels; never changed after it is built.

    sizes: K_l, the number of codes of each level.
    tokens: per level (E_l,) int16 (int32 above 32,767 codes): the code on each edge, in trie order.
    starts: per level (E_{l-1} + 1,) int32: the edges below node n of the level above are starts[n] ..
        starts[n + 1].
    item_starts: (S + 1,) int32: the items of leaf s stand at positions item_starts[s] .. item_starts[s + 1].
    items: (N,) int32 item index at each position, in Semantic ID order, then by index.
    """

    sizes: tuple[int, ...]
    tokens: tuple[Ints, ...]
    starts: tuple[npt.NDArray[np.int32], ...]
    item_starts: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]

    @property
    def levels(self) -> int:
        """L, the length of a Semantic ID."""
        return len(self.sizes)

    @property
    def leaves(self) -> int:
        """S, how many Semantic IDs exist."""
        return len(self.item_starts) - 1

    @cached_property
    def bounds(self) -> tuple[npt.NDArray[np.int32], ...]:
        """Per level (E_l + 1,): node n owns the item positions bounds[n] .. bounds[n + 1]."""
        bounds = [self.item_starts]
        for starts in reversed(self.starts[1:]):
            bounds.append(bounds[-1][starts])
        return tuple(reversed(bounds))

    @cached_property
    def position(self) -> npt.NDArray[np.int32]:
        """(N,) where each item stands in Semantic ID order: the inverse of `items`."""
        inverse = np.empty_like(self.items)
        inverse[self.items] = np.arange(len(self.items), dtype=np.int32)
        return inverse

    def node_of_position(self, level: int, positions: Ints) -> npt.NDArray[np.int64]:
        """The node of `level` that owns each item position."""
        # Equal types, or numpy would copy all the bounds at every call.
        wanted = np.asarray(positions, dtype=np.int32)
        return np.searchsorted(self.bounds[level], wanted, side="right").astype(np.int64) - 1

    def leaf_codes(self) -> npt.NDArray[np.int32]:
        """(S, L) the Semantic ID of every leaf."""
        codes = np.empty((self.leaves, self.levels), np.int32)
        for level, (tokens, bounds) in enumerate(zip(self.tokens, self.bounds, strict=True)):
            below = np.diff(np.searchsorted(self.item_starts, bounds))
            codes[:, level] = np.repeat(tokens, below)
        return codes

    def arrays(self) -> dict[str, Ints]:
        """The arrays that make the trie, by name."""
        arrays: dict[str, Ints] = {
            "sizes": np.array(self.sizes, np.int64),
            "item_starts": self.item_starts,
            "items": self.items,
        }
        for level in range(self.levels):
            arrays |= {f"tokens_{level}": self.tokens[level], f"starts_{level}": self.starts[level]}
        return arrays

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the contents: equal for equal catalogues, on any machine."""
        digest = hashlib.blake2b(digest_size=16)
        for name, array in sorted(self.arrays().items()):
            digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def build_trie(codes: Ints, sizes: tuple[int, ...]) -> Trie:
    """Pack the Semantic IDs `codes` (N, L) of items 0 .. N - 1, with `sizes[l]` codes at level l.

    Raises InputError when there is no item, the shape does not fit `sizes`, or a code is out of range.
    """
    codes = _checked(codes, sizes)
    order = _sorted_by_code(codes, sizes)
    n, levels = codes.shape
    tokens, starts = [], []
    begins = np.zeros(n, bool)
    begins[0] = True
    above = np.zeros(1, np.int64)
    for level in range(levels):
        column = codes[order, level]
        np.logical_or(begins[1:], column[1:] != column[:-1], out=begins[1:])
        edges = np.flatnonzero(begins)
        tokens.append(column[edges].astype(np.int16 if sizes[level] <= WIDEST_INT16_LEVEL else np.int32))
        starts.append(np.append(np.searchsorted(edges, above), len(edges)).astype(np.int32))
        above = edges
    item_starts = np.append(above, n).astype(np.int32)
    return Trie(tuple(map(int, sizes)), tuple(tokens), tuple(starts), item_starts, order.astype(np.int32))


def _checked(codes: Ints, sizes: tuple[int, ...]) -> Ints:
    """The codes, known to be a non-empty integer matrix inside the ranges of `sizes`."""
    codes = np.asarray(codes)
    if (
        codes.ndim != 2
        or codes.shape[1] != len(sizes)
        or not len(sizes)
        or not np.issubdtype(codes.dtype, np.integer)
    ):
        raise InputError(
            f"item codes: expected integers of shape (items, {len(sizes)}), got {codes.dtype} {codes.shape}"
        )
    if not len(codes) or len(codes) > MOST_ITEMS:
        raise InputError(f"item codes: {len(codes)} items; a trie holds 1 to {MOST_ITEMS:,}")
    for level, size in enumerate(sizes):
        column = codes[:, level]
        if column.min() < 0 or column.max() >= size:
            row = int(np.flatnonzero((column < 0) | (column >= size))[0])
            raise InputError(
                f"item codes: row {row}, level {level}: code {column[row]} is outside 0..{size - 1}; "
                "the codes belong to another codebook: tokenize the items again"
            )
    return codes


def _sorted_by_code(codes: Ints, sizes: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Items by Semantic ID, then index: one stable sort of packed 64-bit keys where addresses fit."""
    if sum(float(np.log2(size)) for size in sizes) >= 63:
        return np.lexsort(codes.T[::-1]).astype(np.int64)
    key = np.zeros(len(codes), np.int64)
    for level, size in enumerate(sizes):
        key *= size
        key += codes[:, level]
    return np.argsort(key, kind="stable")
