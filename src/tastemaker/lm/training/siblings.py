"""Which codes exist after which prefix, so that a softmax spends no probability on Semantic IDs that no item has.

With this normalisation the probabilities of all items of the catalogue sum to 1. It depends on the catalogue alone,
never on what a request may show, so filters still reorder nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tastemaker.errors import InputError
from tastemaker.lm.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Siblings:
    """The tree of existing Semantic IDs: per level, `keys` (E_l,) sorted parent * K_l + code of each edge.

    Nodes of a level are its edges in sorted order, so an edge's place is its node; the root is node 0.
    """

    sizes: tuple[int, ...]
    keys: tuple[Ints, ...]

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

    def fingerprint(self) -> str:
        """Hash of the tree."""
        digest = hashlib.blake2b(str(self.sizes).encode(), digest_size=16)
        for keys in self.keys:
            digest.update(keys.tobytes())
        return digest.hexdigest()

    def parents(self, tokens: npt.ArrayLike, vocabulary: Vocabulary) -> Ints:
        """(T,) node that each Semantic-ID token of a token stream (T,) follows; -1 for other tokens.

        Raises
        ------
        InputError
            naming the first token that continues no existing Semantic ID.
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
            found = np.searchsorted(keys, key)
            wrong = (above < 0) | (keys[np.minimum(found, len(keys) - 1)] != key)
            if wrong.any():
                at = int(places[np.argmax(wrong)])
                raise InputError(
                    f"examples: token {at + 1} of the stream continues no Semantic ID of the catalogue; rebuild the corpus"
                )
            parents[places], nodes[places] = above, found
        return parents

    def existing(self, level: int, parents: torch.Tensor) -> torch.Tensor:
        """(n, K_l) bool: the codes that exist under each parent node (n,)."""
        size, keys = self.sizes[level], torch.from_numpy(self.keys[level]).to(parents.device)
        begin = torch.searchsorted(keys, parents * size)
        counts = torch.searchsorted(keys, (parents + 1) * size) - begin
        row = torch.repeat_interleave(counts)
        edge = torch.arange(len(row), device=parents.device) + (begin - (counts.cumsum(0) - counts))[row]
        legal = torch.zeros((len(parents), size), dtype=torch.bool, device=parents.device)
        legal[row, keys[edge] % size] = True
        return legal
