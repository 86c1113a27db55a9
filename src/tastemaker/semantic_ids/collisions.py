"""Items that share a Semantic ID: number them, or give a whole catalogue codes of which no two are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from tastemaker.errors import InputError
from tastemaker.semantic_ids.codebook import Blocks, Codebook, chunks, distances, encode, subtract
from tastemaker.semantic_ids.sizes import check_sizes
from tastemaker.semantic_ids.views import Float32, Views

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
# Row numbers (n,), or a slice, of items -> (n, K) distances to the codewords of a level.
Costs = Callable[[Any], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Groups:
    """The inverse map. codes: (G, L) distinct Semantic IDs in lexicographic order; the items of group g are
    `items[starts[g]:starts[g + 1]]`, rising; starts: (G + 1,).
    """

    codes: Int32
    starts: Int64
    items: Int64


def groups(codes: npt.NDArray[Any]) -> Groups:
    """Group (N, L) codes; stable, so items rise inside each group."""
    order = np.lexsort(codes.T[::-1])
    ordered = codes[order]
    first = np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)] if len(codes) else np.empty(0, bool)
    starts = np.r_[np.flatnonzero(first), len(codes)].astype(np.int64)
    return Groups(ordered[first].astype(np.int32), starts, order.astype(np.int64))


def with_suffix(codes: npt.NDArray[Any], sizes: Sequence[int]) -> tuple[Int32, tuple[int, ...]]:
    """(N, L) codes and their sizes with one level more: a digit that numbers the items of equal codes.

    The digit follows item-index order, which is the keyed-hash order and leaks nothing; its level has as many
    codes as the largest group rounded up to a power of two, at least 2.
    """
    checked = check_codes(codes, check_sizes(sizes))
    grouped = groups(checked)
    counts = np.diff(grouped.starts)
    digit = np.empty(len(checked), np.int32)
    digit[grouped.items] = np.arange(len(checked)) - np.repeat(grouped.starts[:-1], counts)
    size = max(2, 1 << (int(counts.max(initial=1)) - 1).bit_length())
    return np.column_stack([checked, digit]).astype(np.int32), (*map(int, sizes), size)


def check_codes(codes: npt.NDArray[Any], sizes: Sequence[int]) -> Int32:
    """(N, L) int32 codes inside `sizes`; InputError naming the first item row and level that is not."""
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise InputError(
            f"codes have shape {codes.shape} but there are {len(sizes)} levels; tokenizer and codes do not"
            " match"
        )
    bad = (codes < 0) | (codes >= np.asarray(sizes))
    if bad.any():
        row, level = np.argwhere(bad)[0]
        raise InputError(
            f"codes: item row {row + 1}, level {level + 1} holds {codes[row, level]}, outside"
            f" 0..{sizes[level] - 1}; encode again"
        )
    return codes.astype(np.int32)


def encode_unique(codebook: Codebook, views: Views, balance: float | None = None) -> Int32:
    """Semantic IDs (N, L) for a whole catalogue at once, no two items alike: balanced residual quantisation.

    From the first level down, a prefix takes no more items than its subtree has addresses; of those it
    attracts it keeps the ones that care most (largest gap to the second-nearest code), and the others move to
    the nearest code with room. Identical items spread in item-index (hash) order. balance: at most `balance`
    x N / K_1 items on a first code. An item's code depends on the others, so new items use `encode_beside`.

    Raises InputError when N items do not fit.
    """
    z, present = codebook.latent(views)
    caps = _caps(codebook.sizes, len(z), balance)
    out = np.zeros((len(z), len(caps)), np.int32)
    for level, (words, cap) in enumerate(zip(codebook.codewords, caps, strict=True)):
        costs, crowded = distances_of(z, present, words, codebook.blocks), [np.arange(len(z))]
        if level:  # most prefixes have room for all they attract, and there are millions of them
            for rows in chunks(len(z), len(words)):
                out[rows, level] = costs(rows).argmin(axis=1)
            crowded = _crowded(out[:, : level + 1], cap)
        for items in crowded:
            out[items, level] = (
                scipy.optimize.linear_sum_assignment(costs(items))[1]  # the least total distance
                if cap == 1
                else with_room(costs, items, len(words), cap)
            )
        z = subtract(z, present, words[out[:, level]], codebook.blocks)
    return out


def encode_beside(
    codebook: Codebook, views: Views, existing: npt.NDArray[np.int32], sizes: Sequence[int], policy: str
) -> Int32:
    """Semantic IDs (n, L') of new items beside the (M, L') `existing` ones, which all stay as they are.

    "unique": from the first level down the nearest code that still has a free address below it. "suffix": the
    item's codes, and the lowest number that none of its group has. "expand": the item's codes.

    Raises InputError when every address is taken.
    """
    sizes = check_sizes(sizes)
    if policy == "expand":
        return encode(codebook, views)
    free = _Free(sizes)
    for code in existing.tolist():
        free.take(tuple(code))
    z, present = codebook.latent(views)
    out = np.empty((len(z), len(sizes)), np.int32)
    for row in range(len(z)):
        residual, here, prefix = z[row : row + 1], present[row : row + 1], tuple[int, ...]()
        for words in codebook.codewords:
            d = distances(residual, here, words, codebook.blocks)[0]
            if policy == "unique":
                d = np.where(free.open(prefix), d, np.inf)
            code = int(d.argmin())
            residual = subtract(residual, here, words[[code]], codebook.blocks)
            prefix = (*prefix, code)
        if policy == "suffix":
            prefix = (*prefix, int(free.open(prefix).argmax()))
        if free.is_taken(prefix):
            raise InputError(f"no free Semantic ID of sizes {list(sizes)} for a new item; train again")
        free.take(prefix)
        out[row] = prefix
    return out


class _Free:
    """Which addresses are taken: a code is closed when every address below it is."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.closed: dict[tuple[int, ...], set[int]] = {}

    def take(self, address: tuple[int, ...]) -> None:
        for level in range(len(address) - 1, -1, -1):
            codes = self.closed.setdefault(address[:level], set())
            codes.add(address[level])
            if len(codes) < self.sizes[level]:
                return

    def open(self, prefix: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """(K,) which codes below a prefix lead to a free address."""
        out = np.ones(self.sizes[len(prefix)], bool)
        out[list(self.closed.get(prefix, ()))] = False
        return out

    def is_taken(self, address: tuple[int, ...]) -> bool:
        return address[-1] in self.closed.get(address[:-1], ())


def _caps(sizes: tuple[int, ...], n: int, balance: float | None) -> list[int]:
    caps = [1]
    for level in range(len(sizes) - 1, 0, -1):
        caps.insert(0, sizes[level] * caps[0])
    if balance is not None:
        caps[0] = min(caps[0], int(np.ceil(balance * n / sizes[0])))
    if sizes[0] * caps[0] < n:
        raise InputError(
            f"{n} items do not fit in {sizes[0] * caps[0]} addresses of sizes {list(sizes)}; add a level"
        )
    return caps


def _crowded(codes: Int32, cap: int) -> list[Int64]:
    """The items of each prefix of which more than `cap` want one code, prefixes in order; (N, l) codes."""
    parents = groups(codes[:, :-1])
    prefix, code = np.repeat(np.arange(len(parents.codes)), np.diff(parents.starts)), codes[parents.items, -1]
    wanted, count = np.unique(prefix * (int(code.max()) + 1) + code, return_counts=True)
    full = np.unique(wanted[count > cap] // (int(code.max()) + 1))
    return [parents.items[parents.starts[place] : parents.starts[place + 1]] for place in full]


def distances_of(z: Float32, present: Float32, words: Float32, blocks: Blocks) -> Costs:
    """The distances of any rows from all codewords."""
    return lambda rows: distances(z[rows], present[rows], words, blocks)


def with_room(costs: Costs, items: Int64, k: int, cap: int) -> Int64:
    """(n,) nearest codes; more than `cap` items: those of least regret go to the nearest with room."""
    out = np.empty(len(items), np.int64)
    regret = np.empty(len(items), np.float32)
    for rows in chunks(len(items), k):
        d = costs(items[rows])
        out[rows] = nearest = d.argmin(axis=1)
        each = np.arange(len(d))
        least = d[each, nearest]
        d[each, nearest] = np.inf
        regret[rows] = d.min(axis=1) - least
    loads = np.bincount(out, minlength=k)
    if loads.max() <= cap:
        return out
    keen = np.lexsort((-regret, out))  # by code, keenest first; stable, so equal items stay in item order
    place = np.arange(len(items)) - np.repeat(np.cumsum(loads) - loads, loads)
    spilled = keen[place >= cap]
    spilled = spilled[np.argsort(-regret[spilled], kind="stable")]
    for row in spilled:
        d = np.where(loads < cap, costs(items[row : row + 1])[0], np.inf)
        out[row] = choice = int(d.argmin())
        loads[choice] += 1
    return out
