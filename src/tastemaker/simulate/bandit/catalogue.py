"""A world made of a real catalogue: items by what is written about them, users by what they bought, rewards
by how both meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.simulate.bandit.world import BanditWorld, Block, Context, Flags, Floats, Ints
from tastemaker.stats.random import generator

Variant = Literal["same", "better", "worse"]
SHIFTS: dict[Variant, float] = {"same": 0.0, "better": 0.5, "worse": -0.5}


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
    existing: Flags
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
