"""What a catalogue makes of trained weights: policies, and a ladder of them towards new items. No torch is
needed to read what was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.explore.learn.rows import Floats, Ints, Rows
from tastemaker.explore.policy import Mixture, Policy, Pooled, SoftmaxPolicy
from tastemaker.explore.table import Log

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Weights:
    """A trained policy: `matrix` (d + 1, k), the last row for the constant; `bias` (A,), already scaled;
    `shift`, `scale` (d,)
    standardise a context: (x - shift) * scale.
    """

    matrix: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    shift: Floats
    scale: Floats

    def policy(
        self,
        vectors: Floats,
        prefixes: npt.NDArray[np.int64] | None = None,
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> SoftmaxPolicy:
        """The same policy over any contexts; what does not depend on the context goes into the actions'
        biases.
        """
        matrix = self.scale[:, None] * self.matrix[:-1].astype(np.float64)
        bias = vectors @ self.matrix[-1].astype(np.float64) + self.bias
        return SoftmaxPolicy(vectors, matrix, bias, allowed, prefixes, shift=self.shift)


class Space(Protocol):
    """What the learners ask of a catalogue: how a log is read, and how weights become policies."""

    def rows(self, log: Log) -> Rows:
        """A log as the learners read it."""
        ...

    def policy(self, weights: Weights, allowed: Flags | None = None) -> Policy:
        """The trained policy, restricted to the `allowed` (A,) actions."""
        ...

    def outside(self, weights: Weights, existing: Flags) -> Policy | None:
        """The trained policy on what is new, None where nothing is."""
        ...

    def mixed(self, first: Policy, second: Policy, share: float, cap: float | None = None) -> Policy:
        """(1 - share) first + share second, the share raised per context until second/mixture <= cap."""
        ...


@dataclass(frozen=True, eq=False)
class Features:
    """Contexts are the log's own feature columns; vectors (A, k) and prefixes (A,) of all actions. pooled:
    whether
    policies look at the pool of each request: the known part plays within it, the new part outside of it.
    """

    vectors: Floats
    prefixes: Ints | None = None
    pooled: bool = False

    def rows(self, log: Log) -> Rows:
        """A log as the learners read it."""
        return Rows.of(log, self.vectors)

    def policy(self, weights: Weights, allowed: Flags | None = None) -> Policy:
        """A softmax over the action vectors; with pools, within the pool of each request."""
        if self.pooled:
            return Pooled(weights.policy(self.vectors, self.prefixes))
        return weights.policy(self.vectors, self.prefixes, allowed)

    def outside(self, weights: Weights, existing: Flags) -> Policy | None:
        """The same on what is new: outside of each request's pool, or not `existing` (A,); None where nothing
        is.
        """
        if self.pooled:
            return Pooled(weights.policy(self.vectors, self.prefixes), inside=False)
        return None if existing.all() else weights.policy(self.vectors, self.prefixes, ~existing)

    def mixed(self, first: Policy, second: Policy, share: float, cap: float | None = None) -> Policy:
        """A mixture whose parts are asked separately."""
        return Mixture(first, second, share, cap)


def build_candidates(
    space: Space, weights: Weights, existing: Flags, shares: Sequence[float]
) -> list[Policy]:
    """(1 - nu) pi_A + nu pi_N for every nu: the policy on existing actions, and on new ones."""
    old, new = space.policy(weights, existing), space.outside(weights, existing)
    if new is None:
        return [old]
    return [old if share == 0 else space.mixed(old, new, share) for share in shares]
