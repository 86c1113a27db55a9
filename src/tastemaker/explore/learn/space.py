"""What a catalogue makes of trained weights: policies, a ladder of them to new items. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.policy.base import Policy, Pooled, Pools
from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy
from tastemaker.explore.table import Log


@dataclass(frozen=True)
class Rows:
    """contexts (C, d) distinct contexts; vectors (A, k) of all actions; context, action (n,) row numbers of
    them; reward (n,); propensity (n,) of the logger. pools: what each context could show, None where all did;
      with pools every row is a context of its own.
    """

    contexts: Floats
    vectors: Floats
    context: Ints
    action: Ints
    reward: Floats
    propensity: Floats
    pools: Pools | None = None

    @property
    def means(self) -> bool:
        """Whether contexts are means of a person's items (action vectors): where pi0's logits are known."""
        return self.anchored and self.contexts.shape[1] == self.vectors.shape[1]

    @property
    def anchored(self) -> bool:
        """Whether the logger's logits are known."""
        return self.pools is not None and self.pools.logits is not None

    @classmethod
    def of(cls, log: Log, vectors: Floats) -> Rows:
        """The rows of a log over actions with `vectors` (A, k). Raises InputError when shapes do not fit."""
        if len(vectors) != log.n_actions:
            raise InputError(
                f"{len(vectors)} action vectors for a catalogue of {log.n_actions} actions; give one vector"
                " an action"
            )
        if log.pool is not None:
            each = np.arange(len(log)), log.action, log.reward, log.propensity
            return cls(log.context.astype(np.float64), vectors, *each, log.pool)
        contexts, place = np.unique(log.context, axis=0, return_inverse=True)
        return cls(
            contexts.astype(np.float64), vectors, place.reshape(-1), log.action, log.reward, log.propensity
        )

    def __len__(self) -> int:
        return len(self.action)

    @cached_property
    def order(self) -> tuple[Ints, Ints]:
        """Rows sorted by context, and where each context's rows start: (n,), (C + 1,)."""
        counts = np.bincount(self.context, minlength=len(self.contexts))
        return np.argsort(self.context, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


@dataclass(frozen=True)
class Weights:
    """A trained policy: `matrix` (d + 1, k), the last row for the constant; `bias` (A,), already scaled;
    `shift`, `scale` (d,) standardise a context: (x - shift) * scale. anchor: how much of the logger's logits
    is added, where the log has them.
    """

    matrix: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    shift: Floats
    scale: Floats
    anchor: float = 0.0

    def policy(
        self,
        vectors: Floats,
        prefixes: Ints | None = None,
        allowed: Bools | None = None,
    ) -> SoftmaxPolicy:
        """The same policy over any contexts; what no context changes goes into the actions' biases."""
        matrix = self.scale[:, None] * self.matrix[:-1].astype(np.float64)
        bias = vectors @ self.matrix[-1].astype(np.float64) + self.bias
        return SoftmaxPolicy(vectors, matrix, bias, allowed, prefixes, shift=self.shift)


@dataclass(frozen=True, eq=False)
class Features:
    """What the learners ask of a catalogue: how a log is read, and how weights become policies.

    Contexts are the log's own feature columns; vectors (A, k) and prefixes (A,) of all actions. pooled:
    whether policies look at the pool of each request: the known part plays in it, the new part outside.
    """

    vectors: Floats
    prefixes: Ints | None = None
    pooled: bool = False

    def rows(self, log: Log) -> Rows:
        """A log as the learners read it."""
        return Rows.of(log, self.vectors)

    def policy(self, weights: Weights, allowed: Bools | None = None) -> Policy:
        """A softmax over the action vectors; with pools, within the pool of each request."""
        if self.pooled:
            return Pooled(weights.policy(self.vectors, self.prefixes), anchor=float(weights.anchor))
        return weights.policy(self.vectors, self.prefixes, allowed)

    def outside(self, weights: Weights, existing: Bools) -> Policy | None:
        """The same on what is new: outside of pools, or not `existing` (A,); None where nothing is."""
        if self.pooled:
            return Pooled(weights.policy(self.vectors, self.prefixes), inside=False)
        return None if existing.all() else weights.policy(self.vectors, self.prefixes, ~existing)

    def mixed(self, first: Policy, second: Policy, share: float, cap: float | None = None) -> Policy:
        """(1 - share) first + share second, the share raised until second/mixture <= cap; asked in parts."""
        return Mixture(first, second, share, cap)


def build_candidates(
    space: Features, weights: Weights, existing: Bools, shares: Sequence[float]
) -> list[Policy]:
    """(1 - nu) pi_A + nu pi_N for every nu: the policy on existing actions, and on new ones."""
    old, new = space.policy(weights, existing), space.outside(weights, existing)
    if new is None:
        return [old]
    return [old if share == 0 else space.mixed(old, new, share) for share in shares]
