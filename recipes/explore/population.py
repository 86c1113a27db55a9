"""A finite population of numbered contexts: policies are tables, so that a simulated loop answers by
look-up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.learn.path import Outcome, choose
from tastemaker.explore.learn.softmax import Settings, ascend
from tastemaker.explore.learn.space import Features, Rows, Weights, build_candidates
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.policy.softmax import Mixture, TablePolicy
from tastemaker.explore.table import Log, Split

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Population(Features):
    """What the learners ask of a finite population: the log's one context column numbers the rows of
    `contexts` (C, d).
    """

    contexts: Floats = field(kw_only=True)

    def rows(self, log: Log) -> Rows:
        """A log as the learners read it. Raises InputError on another context than such a number."""
        if log.context.shape[1] != 1 or log.context.max() >= len(self.contexts):
            raise InputError(
                f"the log's context must be one column of numbers below {len(self.contexts)}, the contexts"
                " given"
            )
        place = log.context[:, 0].astype(np.int64)
        return Rows(self.contexts, self.vectors, place, log.action, log.reward, log.propensity)

    def policy(self, weights: Weights, allowed: Flags | None = None) -> TablePolicy:
        """The policy as a table (C, A)."""
        table = probabilities(weights, self.contexts, self.vectors).astype(np.float64)
        if allowed is not None:
            # A policy that gives all allowed actions next to nothing shares them out evenly.
            table = np.where(allowed, np.maximum(table, 1e-30), 0.0)
        return TablePolicy(table / table.sum(axis=1, keepdims=True), self.prefixes)

    def outside(self, weights: Weights, existing: Flags) -> TablePolicy | None:
        """The same policy on new items alone; None where there are none."""
        return None if existing.all() else self.policy(weights, ~existing)

    def mixed(self, first: Policy, second: Policy, share: float, cap: float | None = None) -> TablePolicy:
        """The mixture as a table."""
        if not isinstance(first, TablePolicy) or not isinstance(second, TablePolicy):
            raise InputError(
                "policies of a numbered population are mixed with policies of the same population"
            )
        numbers = np.arange(len(self.contexts), dtype=np.float64)[:, None]
        shares = Mixture(first, second, share, cap).shares(numbers)[:, None]
        table = (1 - shares) * first.probabilities + shares * second.probabilities
        return TablePolicy(table / table.sum(axis=1, keepdims=True), self.prefixes)


def probabilities(
    weights: Weights, contexts: npt.NDArray[np.floating[Any]], vectors: Floats
) -> npt.NDArray[np.float32]:
    """(C, A) of a trained policy over action vectors (A, k); for populations of few contexts only."""
    scaled = (contexts - weights.shift) * weights.scale
    features = np.asarray(np.c_[scaled, np.ones(len(scaled))] @ weights.matrix, np.float32)
    logits = features @ vectors.astype(np.float32).T + weights.bias
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return np.asarray(logits, np.float32)


def imitate(rows: Rows, settings: Settings, key: str | int, start: Weights | None = None) -> Weights:
    """The logger as a linear softmax: maximum likelihood of its actions."""
    return ascend(rows, lambda batch: batch.mean(batch.log_prob), settings, key, start)


def take(rows: Rows, which: Flags | Ints) -> Rows:
    """Some of the rows, by mask or number."""
    return replace(
        rows,
        context=rows.context[which],
        action=rows.action[which],
        reward=rows.reward[which],
        propensity=rows.propensity[which],
    )


def joined(parts: Sequence[Rows]) -> Rows:
    """One after the other: parts of one population and one catalogue."""
    context, action, reward, propensity = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("context", "action", "reward", "propensity")
    )
    first = parts[0]
    return Rows(first.contexts, first.vectors, context, action, reward, propensity)


def served_by(log: Log, logger: Policy) -> Log:
    """The log of a mixture with what pi0 = `logger` gave each shown action."""
    return replace(log, reference=np.exp(logger.log_prob(log.context, log.action)))


def judge_path(
    trained: Sequence[Weights],
    parts: Split,
    space: Features,
    existing: Flags,
    gate: GateSettings,
    shares: Sequence[float],
    *,
    spent: Collection[str] = (),
) -> Outcome:
    """The second half of `safe_opg`, for a path that is trained already on rows that need no check."""
    best = choose(trained, parts.choose, space, existing, gate)
    candidates = build_candidates(space, best, existing, shares)
    certificates = certify(candidates, parts, gate, spent=spent, existing=existing)
    return Outcome(tuple(candidates), tuple(certificates), best)
