"""A policy with another mixed in: the logger's holdout, and the cap on how far a policy may starve what the
logger played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.policy.base import Block, Blocked, Context, Floats, Ints, Policy
from tastemaker.explore.policy.pools import Pools
from tastemaker.stats.random import generator


@dataclass(frozen=True, eq=False)
class Mixture(Blocked):
    """(1 - h) first + h second, h = `share`, raised per context until second/mixture <= `cap` for every
    action.

    With `cap` U, a later logger can re-weight rows of this mixture to `second` with weights at most U, a
    constant known before any data (section 3.4 of the specification; without it, U = 1/share). cap=None
    leaves h = share.
    """

    first: Policy
    second: Policy
    share: float = 0.05
    cap: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or (self.cap is not None and not self.cap >= 1):
            raise InputError(
                f"a mixture needs a share in [0, 1] and a cap of at least 1; got {self.share} and {self.cap}"
            )
        if self.first.n_actions != self.second.n_actions:
            raise InputError(
                f"{self.first.n_actions} and {self.second.n_actions} actions cannot be mixed; use one"
                " catalogue"
            )

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return self.first.n_actions

    @property
    def prefixes(self) -> Ints | None:  # type: ignore[override]
        """(A,) prefixes of the first policy."""
        return self.first.prefixes

    def shares(self, ctx: Context) -> Floats:
        """(n,) the share h of `second` in each context.

        With rho = min_a first/second over what second plays, max second/mixture = 1 / ((1-h) rho + h), at
        most U from h = (1/U - rho) / (1 - rho) on.
        """
        if self.cap is None or self.share >= 1 / self.cap:
            return np.full(len(ctx), self.share)
        rho = np.ones(len(ctx))
        for (rows, _, first), (_, _, second) in zip(
            self.first.blocks(ctx), self.second.blocks(ctx), strict=True
        ):
            played = np.isfinite(second)
            gap = np.where(played, first - np.where(played, second, 0.0), np.inf)
            rho[rows] = np.minimum(rho[rows], np.exp(np.minimum(gap.min(axis=1), 0.0)))
        needed = np.where(rho < 1 / self.cap, (1 / self.cap - rho) / np.maximum(1 - rho, 1e-300), 0.0)
        return np.maximum(self.share, needed)

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities) of every block."""
        logs = _logs(self.shares(ctx))
        for (rows, actions, first), (_, _, second) in zip(
            self.first.blocks(ctx), self.second.blocks(ctx), strict=True
        ):
            yield rows, actions, np.logaddexp(logs[0][rows, None] + first, logs[1][rows, None] + second)

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) log of the mixture, each part in its own way."""
        return self.combined(ctx, self.first.log_prob(ctx, action), self.second.log_prob(ctx, action))

    def prefix_log_prob(self, ctx: Context, prefix: Ints) -> Floats:
        """(n,) log of the mass of prefix_i, each part in its own way."""
        first, second = (part.prefix_log_prob(ctx, prefix) for part in (self.first, self.second))
        return self.combined(ctx, first, second)

    def combined(self, ctx: Context, first: Floats, second: Floats) -> Floats:
        """(n,) log of the mixture, of what both parts give one action (or prefix) a row: first, second
        (n,).
        """
        logs = _logs(self.shares(ctx))
        return np.minimum(np.logaddexp(logs[0] + first, logs[1] + second), 0.0)

    def expect(self, ctx: Context, function: Callable[[slice, slice], Block]) -> Floats:
        """(n,) each part in its own way."""
        share = self.shares(ctx)
        return (1 - share) * self.first.expect(ctx, function) + share * self.second.expect(ctx, function)

    def mass(self, ctx: Context, subset: npt.NDArray[np.bool_]) -> Floats:
        """(n,) each part in its own way."""
        share = self.shares(ctx)
        return (1 - share) * self.first.mass(ctx, subset) + share * self.second.mass(ctx, subset)

    def within(self, pools: Pools) -> Policy:
        """The same mixture of both within the pools."""
        return Mixture(self.first.within(pools), self.second.within(pools), self.share, self.cap)

    def in_pool(self, ctx: Context, pools: Pools) -> Floats:
        """(n,) each part in its own way."""
        share = self.shares(ctx)
        return (1 - share) * self.first.in_pool(ctx, pools) + share * self.second.in_pool(ctx, pools)

    def sample(self, ctx: Context, m: int, key: str | int) -> Ints:
        """(n, m) draws: which part first, then that part's draw."""
        second = generator(key, "mixture").random((len(ctx), m)) < self.shares(ctx)[:, None]
        return np.where(
            second, self.second.sample(ctx, m, f"{key}/second"), self.first.sample(ctx, m, f"{key}/first")
        )


def _logs(share: Floats) -> tuple[Floats, Floats]:
    with np.errstate(divide="ignore"):
        return np.log1p(-share), np.log(share)
