"""A log as the learners read it: rows grouped by context, so that rows that share a context share one
softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.policy.pools import Pools
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
