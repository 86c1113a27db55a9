"""A log as the learners read it: rows grouped by context, so that rows that share a context share one
softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """contexts (C, d) distinct contexts; vectors (A, k) of all actions; context, action (n,) row numbers of
    them; reward (n,); propensity (n,) of the logger. numbered: the log's one context column holds row numbers
    of `contexts`.
    """

    contexts: Floats
    vectors: Floats
    context: Ints
    action: Ints
    reward: Floats
    propensity: Floats
    numbered: bool = False

    @classmethod
    def of(cls, log: Log, vectors: Floats, contexts: Floats | None = None) -> Rows:
        """The rows of a log over actions with `vectors` (A, k).

        contexts (C, d): the features of a finite population, where the log's only context column holds row
        numbers of it; without it the log's own columns are the features. Raises InputError when shapes do not
        fit.
        """
        if len(vectors) != log.n_actions:
            raise InputError(
                f"{len(vectors)} action vectors for a catalogue of {log.n_actions} actions; give one vector"
                " an action"
            )
        numbered = contexts is not None
        if contexts is None:
            distinct, place = np.unique(log.context, axis=0, return_inverse=True)
            contexts, place = distinct.astype(np.float64), place.reshape(-1)
        else:
            if log.context.shape[1] != 1 or log.context.max() >= len(contexts):
                raise InputError(
                    f"the log's context must be one column of numbers below {len(contexts)}, the contexts"
                    " given"
                )
            place = log.context[:, 0].astype(np.int64)
        return cls(contexts, vectors, place, log.action, log.reward, log.propensity, numbered)

    def __len__(self) -> int:
        return len(self.action)

    def take(self, which: npt.NDArray[np.bool_] | Ints) -> Rows:
        """Some of the rows, by mask or number."""
        parts = (self.context[which], self.action[which], self.reward[which], self.propensity[which])
        return Rows(self.contexts, self.vectors, *parts, self.numbered)

    def weighed_by(self, propensity: Floats) -> Rows:
        """The same rows under other denominators (n,), for instance those of pooled loggers."""
        return replace(self, propensity=propensity)

    @property
    def asked(self) -> Floats:
        """(n, d) contexts as the log's own columns have them, to ask a policy with."""
        return self.context[:, None].astype(np.float64) if self.numbered else self.contexts[self.context]

    @cached_property
    def order(self) -> tuple[Ints, Ints]:
        """Rows sorted by context, and where each context's rows start: (n,), (C + 1,)."""
        counts = np.bincount(self.context, minlength=len(self.contexts))
        return np.argsort(self.context, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


def joined(parts: Sequence[Rows]) -> Rows:
    """One after the other. The parts share a catalogue and, when their contexts are numbered, a
    population.
    """
    first = parts[0]
    if any(one.numbered != first.numbered or one.vectors.shape != first.vectors.shape for one in parts):
        raise InputError(
            "logs can be pooled for learning when they share one catalogue and one kind of contexts"
        )
    if first.numbered:
        contexts, place = first.contexts, np.concatenate([one.context for one in parts])
    else:
        stacked = np.concatenate([one.contexts for one in parts])
        contexts, number = np.unique(stacked, axis=0, return_inverse=True)
        shifts = np.cumsum([0, *(len(one.contexts) for one in parts[:-1])])
        place = number.reshape(-1)[
            np.concatenate([one.context + shift for one, shift in zip(parts, shifts, strict=True)])
        ]
    action, reward, propensity = (
        np.concatenate([getattr(one, name) for one in parts]) for name in ("action", "reward", "propensity")
    )
    return Rows(contexts, first.vectors, place, action, reward, propensity, first.numbered)
