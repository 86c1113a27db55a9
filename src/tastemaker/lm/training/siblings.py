"""Which codes exist after which prefix, so that no softmax spends probability on Semantic IDs of no item.

With this normalisation the probabilities of all items of the catalogue sum to 1. It depends on the catalogue
alone, never on what a request may show, so filters still reorder nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]
DENSE_RATIO = (
    8  # gathering rows beats one product over all of them when the level has more than so many times as many
)


def leaf_vectors(codes: npt.NDArray[np.integer[Any]], heads: Sequence[torch.Tensor]) -> torch.Tensor:
    """(S, d) the sum of the rows (per level (K_l, d)) of the codes (S, L)."""
    rows = torch.from_numpy(np.asarray(codes, np.int64)).to(heads[0].device)
    return torch.stack([F.embedding(codes, head) for codes, head in zip(rows.T, heads, strict=True)]).sum(0)


@dataclass(frozen=True, eq=False)
class Siblings:
    """The tree of existing Semantic IDs: per level, `keys` (E_l,) sorted parent * K_l + code of each edge.

    Nodes of a level are its edges in sorted order, so an edge's place is its node; the root is node 0.
    """

    sizes: tuple[int, ...]
    keys: tuple[Ints, ...]
    cache: dict[tuple[int, torch.device], tuple[torch.Tensor, int]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, codes: npt.ArrayLike, sizes: tuple[int, ...]) -> Siblings:
        """The tree of `codes` (N, L), inside `sizes`."""
        values = np.asarray(codes, dtype=np.int64)
        node = np.zeros(len(values), np.int64)
        keys = []
        for level, size in enumerate(sizes):
            distinct, node = np.unique(node * size + values[:, level], return_inverse=True)
            keys.append(distinct.astype(np.int64))
        return cls(tuple(sizes), tuple(keys))

    def nodes(self, codes: npt.ArrayLike) -> Ints:
        """(N, L) the node of each level that each of `codes` (N, L) passes; all of them must exist."""
        values = np.asarray(codes, dtype=np.int64)
        nodes, node = np.empty_like(values), np.zeros(len(values), np.int64)
        for level, (size, keys) in enumerate(zip(self.sizes, self.keys, strict=True)):
            node = np.searchsorted(keys, node * size + values[:, level])
            nodes[:, level] = node
        return nodes

    def fingerprint(self) -> str:
        """Hash of the tree."""
        digest = hashlib.blake2b(str(self.sizes).encode(), digest_size=16)
        for keys in self.keys:
            digest.update(keys.tobytes())
        return digest.hexdigest()

    def parents(self, tokens: npt.ArrayLike, vocabulary: Vocabulary) -> Ints:
        """(T, 2) of each Semantic-ID token of a token stream (T,): the node that it follows, and where it
        begins a Semantic ID the leaf that this ends at; -1 else.

        Raises InputError naming the first token that continues no existing Semantic ID.
        """
        stream = np.asarray(tokens, dtype=np.int64)
        levels = vocabulary.level_of(stream)
        parents = np.full(len(stream), -1, np.int64)
        nodes = np.full(len(stream), -1, np.int64)
        for level, (size, keys) in enumerate(zip(self.sizes, self.keys, strict=True)):
            places = np.flatnonzero(levels == level)
            above = nodes[places - 1] if level else np.zeros(len(places), np.int64)
            if level and len(places) and places[0] == 0:
                above[0] = -1
            key = above * size + stream[places] - vocabulary.sid_starts[level]
            children = np.searchsorted(keys, key)
            wrong = (above < 0) | (keys[np.minimum(children, len(keys) - 1)] != key)
            if wrong.any():
                at = int(places[np.argmax(wrong)])
                raise InputError(
                    f"examples: token {at + 1} of the stream continues no Semantic ID of the catalogue;"
                    " rebuild the corpus"
                )
            parents[places], nodes[places] = above, children
        leaves, begun = np.full(len(stream), -1, np.int64), np.flatnonzero(levels == 0)
        leaves[begun] = nodes[np.minimum(begun + len(self.sizes) - 1, len(stream) - 1)]
        return np.stack([parents, leaves], axis=1)

    @cached_property
    def leaf_codes(self) -> Ints:
        """(S, L) the Semantic ID of each leaf."""
        node, codes = np.arange(len(self.keys[-1])), []
        for size, keys in zip(reversed(self.sizes), reversed(self.keys), strict=True):
            node, code = np.divmod(keys[node], size)
            codes.append(code)
        return np.stack(codes[::-1], axis=1)

    def children(self, level: int, parents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes (n, m) under each parent node (n,), ascending, and a mask (n, m) of places in use."""
        size, (keys, most) = self.sizes[level], self._edges(level, parents.device)
        begin = torch.searchsorted(keys, parents * size)
        counts = torch.searchsorted(keys, (parents + 1) * size) - begin
        # Asking a GPU how many places these rows need would make it wait.
        places = torch.arange(int(counts.max()) if keys.device.type == "cpu" else most, device=keys.device)
        mask = places < counts[:, None]
        edges = torch.where(mask, begin[:, None] + places, 0)
        return torch.where(mask, keys[edges] % size, 0), mask

    def _edges(self, level: int, device: torch.device) -> tuple[torch.Tensor, int]:
        """The keys of a level on a device, moved once, and the most codes that exist after one prefix."""
        if (level, device) not in self.cache:
            keys = self.keys[level]
            most = int(np.unique(keys // self.sizes[level], return_counts=True)[1].max())
            self.cache[level, device] = torch.from_numpy(keys).to(device), most
        return self.cache[level, device]

    def losses(
        self, hidden: torch.Tensor, head: torch.Tensor, level: int, codes: torch.Tensor, parents: torch.Tensor
    ) -> torch.Tensor:
        """Cross-entropy (n,) of each target code (n,) among the codes that exist under its parent (n,).

        `hidden` (n, d), `head` (K_l, d). Where few codes of many exist, only their rows are multiplied.
        """
        if hidden.device.type == "cpu" and self._edges(level, parents.device)[1] * DENSE_RATIO < len(head):
            return self._losses_by_edge(hidden, head, level, codes, parents)
        children, mask = self.children(level, parents)
        if children.shape[1] * DENSE_RATIO < len(head):
            logits = torch.einsum("nmd,nd->nm", F.embedding(children, head), hidden)
        else:
            logits = F.linear(hidden, head).gather(1, children)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).masked_fill(~mask, -torch.inf)
        place = (mask & (children < codes[:, None])).sum(1)
        return F.cross_entropy(logits, place, reduction="none")

    def _losses_by_edge(
        self, hidden: torch.Tensor, head: torch.Tensor, level: int, codes: torch.Tensor, parents: torch.Tensor
    ) -> torch.Tensor:
        """`losses` edge by edge, without padding: a processor's third of the time."""
        size, (keys, _) = self.sizes[level], self._edges(level, parents.device)
        begin = torch.searchsorted(keys, parents * size)
        counts = torch.searchsorted(keys, (parents + 1) * size) - begin
        row = torch.arange(len(parents), device=keys.device).repeat_interleave(counts)
        place = torch.arange(len(row), device=keys.device) - (counts.cumsum(0) - counts)[row]
        children = keys[begin[row] + place] % size
        logits = (head.index_select(0, children) * hidden.index_select(0, row)).sum(1)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        peak = logits.new_full(parents.shape, -torch.inf).scatter_reduce(0, row, logits.detach(), "amax")
        mass = torch.zeros_like(peak).index_add(0, row, (logits - peak[row]).exp())
        return mass.log() + peak - logits[children == codes[row]]
