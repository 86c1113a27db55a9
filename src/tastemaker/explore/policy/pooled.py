"""A policy that plays within the pool of each request, or outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.policy.base import Block, Blocked, Context, Floats, Ints, Policy
from tastemaker.explore.policy.pools import Flags, Pools


@dataclass(frozen=True, eq=False)
class Pooled(Blocked):
    """`base`, restricted to what its request could show (inside), or to all that it could not. Where nothing
    lies outside it plays inside; without pools it is `base`.
    """

    base: Policy
    inside: bool = True

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return self.base.n_actions

    @property
    def prefixes(self) -> Ints | None:  # type: ignore[override]
        """(A,) prefixes of the base."""
        return self.base.prefixes

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities) of the base."""
        return self.base.blocks(ctx)

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) of the base."""
        return self.base.log_prob(ctx, action)

    def within(self, pools: Pools) -> Policy:
        """As it plays in these rows."""
        return Within(self.base, pools, self.inside)

    def in_pool(self, ctx: Context, pools: Pools) -> Floats:
        """(n,) 1 inside, 0 outside where there is anything outside."""
        whole = pools.sizes >= self.n_actions
        return np.where(self.inside | whole, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Within(Blocked):
    """What `Pooled.within` gives: row i of every context it is asked about has the pool i."""

    base: Policy
    pools: Pools
    inside: bool

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return self.base.n_actions

    @property
    def prefixes(self) -> Ints | None:  # type: ignore[override]
        """(A,) prefixes of the base."""
        return self.base.prefixes

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities), -inf for what lies on the other side."""
        total = np.full(len(ctx), -np.inf)
        for rows, actions, block in self.base.blocks(ctx):
            part = np.where(self._played(rows, actions), block, -np.inf).astype(np.float64)
            total[rows] = np.logaddexp(total[rows], np.logaddexp.reduce(part, axis=1))
        if np.isneginf(total).any():
            raise InputError(f"row {int(np.argmin(total)) + 1}: the policy plays nothing that could be shown")
        for rows, actions, block in self.base.blocks(ctx):
            yield rows, actions, np.where(self._played(rows, actions), block - total[rows, None], -np.inf)

    def _played(self, rows: slice, actions: slice) -> Flags:
        inside = self.pools.mask(rows, actions)
        if self.inside:
            return inside
        whole = self.pools.sizes[rows] >= self.n_actions
        return np.where(whole[:, None], inside, ~inside)

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) of the logged actions; the catalogue is looked through only for those outside their pool."""
        held = self.pools.holds(action)
        inward = self.inside | (self.pools.sizes >= self.n_actions)
        result = np.full(len(ctx), -np.inf)
        rows = np.flatnonzero(held & inward)
        if len(rows):
            items = np.concatenate([self.pools.items[rows], action[rows, None]], axis=1)
            score = np.where(items >= 0, self.base.at(ctx[rows], np.maximum(items, 0)), -np.inf)
            result[rows] = score[:, -1] - np.logaddexp.reduce(score[:, :-1], axis=1)
        rows = np.flatnonzero(~held & ~inward)
        if len(rows):
            result[rows] = Blocked.log_prob(
                Within(self.base, self.pools[rows], False), ctx[rows], action[rows]
            )
        return np.asarray(np.minimum(result, 0.0))
