"""Where a learner's weights become a policy: over feature vectors, or over a finite population of numbered
contexts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.learn.rows import Floats, Ints, Rows
from tastemaker.explore.learn.softmax import Weights
from tastemaker.explore.policy import Mixture, Policy, TablePolicy
from tastemaker.explore.policy.base import Context
from tastemaker.explore.table import Log

Flags = npt.NDArray[np.bool_]


class Space(Protocol):
    """What the certified learners ask of a catalogue."""

    def rows(self, log: Log) -> Rows:
        """A log as the learners read it."""
        ...

    def policy(self, weights: Weights, allowed: Flags | None = None) -> Policy:
        """The trained policy, restricted to the `allowed` (A,) actions."""
        ...

    def mixed(self, first: Policy, second: Policy, share: float, cap: float | None = None) -> Policy:
        """(1 - share) first + share second, the share raised per context until second/mixture <= cap."""
        ...


@dataclass(frozen=True, eq=False)
class Features:
    """Contexts are the log's own feature columns; vectors (A, k) and prefixes (A,) of all actions."""

    vectors: Floats
    prefixes: Ints | None = None

    def rows(self, log: Log) -> Rows:
        """A log as the learners read it."""
        return Rows.of(log, self.vectors)

    def policy(self, weights: Weights, allowed: Flags | None = None) -> Policy:
        """A softmax over the action vectors."""
        return weights.policy(self.vectors, self.prefixes, allowed)

    def mixed(self, first: Policy, second: Policy, share: float, cap: float | None = None) -> Policy:
        """A mixture whose parts are asked separately."""
        return Mixture(first, second, share, cap)


@dataclass(frozen=True, eq=False)
class Population:
    """The log's one context column numbers the rows of `contexts` (C, d): policies are tables (C, A), answers
    look-ups.
    """

    contexts: Floats
    vectors: Floats
    prefixes: Ints | None = None

    def rows(self, log: Log) -> Rows:
        """A log as the learners read it."""
        return Rows.of(log, self.vectors, self.contexts)

    def policy(self, weights: Weights, allowed: Flags | None = None) -> NumberedPolicy:
        """The policy as a table."""
        table = weights.table(self.contexts, self.vectors).astype(np.float64)
        if allowed is not None:
            # A policy that gives all allowed actions next to nothing shares them out evenly.
            table = np.where(allowed, np.maximum(table, 1e-30), 0.0)
        return NumberedPolicy(table / table.sum(axis=1, keepdims=True), self.prefixes)

    def mixed(self, first: Policy, second: Policy, share: float, cap: float | None = None) -> NumberedPolicy:
        """The mixture as a table."""
        if not isinstance(first, NumberedPolicy) or not isinstance(second, NumberedPolicy):
            raise InputError(
                "policies of a numbered population are mixed with policies of the same population"
            )
        shares = Mixture(first, second, share, cap).shares(
            np.arange(len(self.contexts), dtype=np.float64)[:, None]
        )[:, None]
        table = (1 - shares) * first.probabilities + shares * second.probabilities
        return NumberedPolicy(table / table.sum(axis=1, keepdims=True), self.prefixes)


@dataclass(frozen=True, eq=False)
class NumberedPolicy(TablePolicy):
    """A table of probabilities (C, A) that is looked up instead of normalised anew; prefix masses are summed
    once.
    """

    def log_prob(self, ctx: Context, action: Ints, without: Ints | None = None) -> Floats:
        """(n,) log pi(action_i|x_i)."""
        if without is not None:
            return super().log_prob(ctx, action, without)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.probabilities[_number(ctx), action]))

    def prefix_log_prob(self, ctx: Context, prefix: Ints) -> Floats:
        """(n,) log of the mass of prefix_i."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.minimum(self._by_prefix[_number(ctx), prefix], 1.0)))

    def mass(self, ctx: Context, subset: Flags) -> Floats:
        """(n,) probability of the actions in `subset`."""
        return np.asarray(np.clip(self.probabilities @ subset, 0.0, 1.0)[_number(ctx)])

    @cached_property
    def _by_prefix(self) -> Floats:
        if self.prefixes is None:
            raise InputError(
                "the policy knows no prefixes; build it with prefixes, the prefix number of every action"
            )
        return self.probabilities @ np.eye(int(self.prefixes.max()) + 1)[self.prefixes]


def _number(ctx: Context) -> Ints:
    return ctx[:, 0].astype(np.int64)
