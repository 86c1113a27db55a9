"""Small logs with known truth, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tastemaker.explore.policy.softmax import SoftmaxPolicy
from tastemaker.explore.table import Log


@dataclass(frozen=True)
class Dense:
    """A log of softmax policies and everything about it as dense arrays: probabilities and rewards (n, A),
    policies, value.
    """

    log: Log
    logger: SoftmaxPolicy
    policy: SoftmaxPolicy
    pi0: np.ndarray
    pi: np.ndarray
    q: np.ndarray
    prefixes: np.ndarray


def dense_softmax(policy: SoftmaxPolicy, context: np.ndarray) -> np.ndarray:
    """The slow obvious softmax."""
    scores = context @ policy.matrix @ policy.vectors.T
    if policy.bias is not None:
        scores = scores + policy.bias
    if policy.allowed is not None:
        scores = np.where(policy.allowed, scores, -np.inf)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def dense_world(n: int = 400, actions: int = 30, seed: int = 0, precision: str = "float64") -> Dense:
    """Five-dimensional contexts, four-dimensional vectors, the last fifth of the actions novel, Bernoulli
    rewards.
    """
    rng = np.random.default_rng(seed)
    context, vectors = rng.normal(size=(n, 5)), rng.normal(size=(actions, 4))
    prefixes = np.arange(actions) % 5
    existing = np.arange(actions) < actions * 4 // 5
    logger = SoftmaxPolicy(vectors, 0.3 * rng.normal(size=(5, 4)), None, existing, prefixes, precision)
    policy = SoftmaxPolicy(
        vectors, 0.5 * rng.normal(size=(5, 4)), 0.3 * rng.normal(size=actions), None, prefixes, precision
    )
    pi0, pi = dense_softmax(logger, context), dense_softmax(policy, context)
    q = 1 / (1 + np.exp(1 - context[:, :4] @ vectors.T))
    action = (np.cumsum(pi0, axis=1) < rng.random((n, 1))).sum(axis=1)
    reward = (rng.random(n) < q[np.arange(n), action]).astype(float)
    log = Log(context, action, reward, pi0[np.arange(n), action], [f"a{item}" for item in range(actions)])
    return Dense(log, logger, policy, pi0, pi, q, prefixes)


@dataclass(frozen=True)
class GivenRewards:
    """A reward model that is a table of predictions (n, A)."""

    table: np.ndarray

    def at(self, action: np.ndarray) -> np.ndarray:
        """(n,) predictions of one action a row."""
        return self.table[np.arange(len(action)), action]

    def block(self, rows: slice, actions: slice) -> np.ndarray:
        """(r, a)."""
        return self.table[rows, actions]
