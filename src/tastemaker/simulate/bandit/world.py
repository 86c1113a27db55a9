"""Worlds whose true rewards are known, the logs a policy leaves in them, and its true value. No n x actions
array anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Context = npt.NDArray[np.floating[Any]]
Block = npt.NDArray[np.floating[Any]]

_ROWS = 2048


class Plays(Protocol):
    """What a world asks of a policy; `tastemaker.explore.policy.Policy` answers it."""

    def log_prob(self, ctx: Context, action: Ints) -> Floats: ...
    def prefix_log_prob(self, ctx: Context, prefix: Ints) -> Floats: ...
    def expect(self, ctx: Context, function: Callable[[slice, slice], Block]) -> Floats: ...
    def mass(self, ctx: Context, subset: Flags) -> Floats: ...
    def sample(self, ctx: Context, m: int, key: str | int) -> Ints: ...
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, eq=False)
class BanditWorld:
    """Users arrive with one of C equally likely contexts (C, d); item a earns reward 1 with probability q(x,
    a), else 0.

    reward: function of context rows (r, d) and a slice of the items, giving (r, a) in [0, 1]. existing (A,):
    what a logger may play; the others are new. prefixes (A,): of the items' Semantic IDs, None without.
    """

    contexts: Context
    reward: Callable[[Context, slice], Block]
    existing: Flags
    prefixes: Ints | None = None

    def __post_init__(self) -> None:
        if self.contexts.ndim != 2 or not len(self.contexts):
            raise InputError(
                f"a world needs contexts (C, d), at least one; got an array of shape {self.contexts.shape}"
            )
        if self.existing.ndim != 1 or not self.existing.any():
            raise InputError("a world needs at least one existing item")
        if self.prefixes is not None and self.prefixes.shape != self.existing.shape:
            raise InputError(
                f"{len(self.prefixes)} prefixes for {len(self.existing)} items: one each is needed"
            )

    @property
    def actions(self) -> tuple[str, ...]:
        """Ids of the items, in order."""
        width = len(str(len(self.existing) - 1))
        return tuple(f"item{number:0{width}d}" for number in range(len(self.existing)))

    @property
    def context_columns(self) -> tuple[str, ...]:
        """Names of the context columns of its logs."""
        return tuple(f"x{number}" for number in range(self.contexts.shape[1]))

    def rewards(self, ctx: Context, action: Ints) -> Floats:
        """(n,) q(x_i, a_i), row block by row block."""
        out = np.empty(len(ctx))
        for start in range(0, len(ctx), _ROWS):
            part, wanted = ctx[start : start + _ROWS], action[start : start + _ROWS]
            for first in range(0, len(self.existing), _ROWS):
                here = np.flatnonzero((wanted >= first) & (wanted < first + _ROWS))
                if len(here):
                    block = self.reward(part[here], slice(first, min(first + _ROWS, len(self.existing))))
                    out[start + here] = block[np.arange(len(here)), wanted[here] - first]
        return out


def draw_log(world: BanditWorld, policy: Plays, n: int, key: str | int) -> pa.Table:
    """n rows of `policy` in the world: context columns, action, reward, propensity, user_id, policy_id,
    prefix_propensity where the world has prefixes. Each row is a user of its own. Raises InputError on n
    below 1.
    """
    if n < 1:
        raise InputError(f"{n} rows cannot be drawn; ask for at least one")
    draws = generator(key, "log")
    ctx = world.contexts[draws.integers(0, len(world.contexts), n)]
    action = policy.sample(ctx, 1, f"{key}/actions")[:, 0]
    reward = (draws.random(n) < world.rewards(ctx, action)).astype(np.float64)
    columns: dict[str, Any] = {name: ctx[:, place] for place, name in enumerate(world.context_columns)}
    columns["action"] = pa.array(np.asarray(world.actions)[action])
    columns["reward"] = reward
    columns["propensity"] = np.exp(policy.log_prob(ctx, action))
    columns["user_id"] = [f"user{number}" for number in range(n)]
    columns["policy_id"] = [policy.fingerprint()] * n
    if world.prefixes is not None:
        columns["prefix_propensity"] = np.exp(policy.prefix_log_prob(ctx, world.prefixes[action]))
    return pa.table(columns)


def true_value(world: BanditWorld, policy: Plays) -> float:
    """V(pi) = mean over contexts of sum_a pi(a|x) q(x, a), exact, in blocks."""
    total = 0.0
    for start in range(0, len(world.contexts), _ROWS):
        part = world.contexts[start : start + _ROWS]

        def reward(rows: slice, actions: slice, part: Context = part) -> Block:
            return world.reward(part[rows], actions)

        total += float(policy.expect(part, reward).sum())
    return total / len(world.contexts)


def true_novelty(world: BanditWorld, policy: Plays) -> float:
    """Mean probability of items that are not existing, exact, in blocks."""
    parts = [world.contexts[start : start + _ROWS] for start in range(0, len(world.contexts), _ROWS)]
    return float(sum(policy.mass(part, ~world.existing).sum() for part in parts)) / len(world.contexts)
