"""Bandit worlds whose true rewards are known, made of a catalogue or of any function, and the logs a policy
leaves in them. No n x actions array anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

Context = npt.NDArray[np.floating[Any]]
Block = npt.NDArray[np.floating[Any]]

_ROWS = 2048
Variant = Literal["same", "better", "worse"]
SHIFTS: dict[Variant, float] = {"same": 0.0, "better": 0.5, "worse": -0.5}


class Plays(Protocol):
    """What a world asks of a policy; `tastemaker.explore.policy.Policy` answers it."""

    def log_prob(self, ctx: Context, action: Ints) -> Floats: ...
    def prefix_log_prob(self, ctx: Context, prefix: Ints) -> Floats: ...
    def expect(self, ctx: Context, function: Callable[[slice, slice], Block]) -> Floats: ...
    def mass(self, ctx: Context, subset: Bools) -> Floats: ...
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
    existing: Bools
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


@dataclass(frozen=True)
class CatalogueSettings:
    """logit q(x, a) = level + gain z(x . v_a) + an item's own deviation, normal with `spread`; z:
    standardised over all pairs.

    new: share of items, drawn at random, that no logger ever plays; variant: whether those are as good as the
    others, better or worse (their logit shifted by .5).
    """

    gain: float = 0.5
    level: float = -0.5
    spread: float = 0.3
    new: float = 0.2
    variant: Variant = "same"

    def __post_init__(self) -> None:
        if not 0 < self.new < 1 or self.spread < 0:
            raise InputError(
                "a catalogue world needs a share of new items in (0, 1) and a spread of 0 or above; got"
                f" {self}"
            )
        if self.variant not in SHIFTS:
            raise InputError(f"variant '{self.variant}' is unknown; choose one of {', '.join(SHIFTS)}")


@dataclass(frozen=True, eq=False)
class CatalogueWorld:
    """contexts (C, d) and vectors (A, d) in one space; own (A,) logit of an item itself; existing (A,);
    prefixes (A,) or None.
    """

    contexts: Floats
    vectors: Floats
    own: Floats
    existing: Bools
    prefixes: Ints | None
    mean: float
    slope: float

    def reward(self, ctx: Context, actions: slice) -> Block:
        """(r, a) q(x, a) in (0, 1) of context rows and a slice of the items."""
        logit = self.slope * (ctx @ self.vectors[actions].T - self.mean) + self.own[actions]
        out: Block = 1.0 / (1.0 + np.exp(-logit))
        return out

    @cached_property
    def world(self) -> BanditWorld:
        """The world as users meet it: contexts are feature vectors."""
        return BanditWorld(self.contexts, self.reward, self.existing, self.prefixes)

    @cached_property
    def q(self) -> Floats:
        """(C, A) rewards of the whole population, which is small by construction."""
        return np.asarray(self.reward(self.contexts, slice(0, len(self.vectors))))

    def logger(self, beta: float) -> Floats:
        """(C, A) pi0 proportional to exp(beta q) on existing items, 0 on new ones: better than chance for
        beta above 0.
        """
        scores = np.where(self.existing, beta * self.q, -np.inf)
        table = np.exp(scores - scores.max(axis=1, keepdims=True))
        out: Floats = table / table.sum(axis=1, keepdims=True)
        return out


def catalogue_world(
    vectors: npt.ArrayLike,
    contexts: npt.ArrayLike,
    settings: CatalogueSettings = CatalogueSettings(),
    key: str | int = 0,
    prefixes: Ints | None = None,
) -> CatalogueWorld:
    """A world of items with `vectors` (A, d) and users with `contexts` (C, d), for instance the mean vector
    of what they had.

    key draws which items are new and how much each deviates. Raises InputError on shapes that do not fit or
    vectors that are not finite. Source: the specification of safe exploration, recipe 1.
    """
    items, users = np.asarray(vectors, dtype=np.float64), np.asarray(contexts, dtype=np.float64)
    if (
        items.ndim != 2
        or users.ndim != 2
        or items.shape[1] != users.shape[1]
        or len(items) < 2
        or not len(users)
    ):
        raise InputError(
            f"vectors (A, d) and contexts (C, d) of one width are needed; got {items.shape} and {users.shape}"
        )
    if not (np.isfinite(items).all() and np.isfinite(users).all()):
        raise InputError("a vector or a context is not finite; encode the items again")
    draws = generator(key, "catalogue world")
    existing = np.ones(len(items), dtype=bool)
    existing[draws.choice(len(items), max(1, round(settings.new * len(items))), replace=False)] = False
    meeting = users @ items.T
    own = (
        settings.level
        + settings.spread * draws.standard_normal(len(items))
        + np.where(existing, 0.0, SHIFTS[settings.variant])
    )
    slope = settings.gain / max(float(meeting.std()), 1e-12)
    return CatalogueWorld(users, items, own, existing, prefixes, float(meeting.mean()), slope)
