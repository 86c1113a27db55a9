"""Two worlds small enough to know everything about, so that rates of certification can be compared with
published digits; and the exact value and novelty of a policy in any world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from recipes.explore.bandit import BanditWorld, Block, Context, Plays
from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]

PAIRED_TILTS = (-0.10700751, 0.0, 0.22844530, 0.82509268)  # V/V0 = .949, 1, 1.117, 1.468
_ROWS = 2048
PREFIX_SHARES = (0.3, 1.31, 0.5033)  # nu, V(pi_A)/V0, V(pi_N)/V0


@dataclass(frozen=True, eq=False)
class SmallWorld:
    """A world without contexts: q (A,) rewards, logger (A,) probabilities of pi0, levels (A,) u_a of every
    item.
    """

    world: BanditWorld
    q: Floats
    logger: Floats
    levels: Floats

    def value(self, policy: Floats) -> float:
        """V(pi) of probabilities (A,)."""
        return float(policy @ self.q)

    def tilted(self, b: float) -> Floats:
        """Probabilities (A,) proportional to pi0 exp(b u)."""
        weight = self.logger * np.exp(b * self.levels)
        out: Floats = weight / weight.sum()
        return out

    def worth(self, ratio: float, base: Floats | None = None) -> Floats:
        """The exponential tilt of `base` (default pi0) with V = ratio x V0. Raises InputError where no tilt
        reaches it.
        """
        start = self.logger if base is None else base
        goal = ratio * self.value(self.logger)

        def gap(b: float) -> float:
            return self.value(_tilt(start, self.levels, b)) - goal

        if not gap(-60.0) < 0 < gap(60.0):
            raise InputError(f"no exponential tilt is worth {ratio:g} times the logger here")
        return _tilt(start, self.levels, float(brentq(gap, -60.0, 60.0, xtol=1e-12)))


def paired_world(items: int = 80, rate: float = 0.007) -> SmallWorld:
    """80 items, no context, u_a = Phi^-1((a+.5)/80), q_a = rate exp(u_a/2)/mean exp(u/2), pi0 uniform (the
    specification, 6).
    """
    levels = stats.norm.ppf((np.arange(items) + 0.5) / items)
    q = rate * np.exp(levels / 2) / np.exp(levels / 2).mean()
    world = BanditWorld(np.zeros((1, 1)), _constant(q), np.ones(items, dtype=bool))
    return SmallWorld(world, q, np.full(items, 1 / items), levels)


@dataclass(frozen=True, eq=False)
class PrefixWorld(SmallWorld):
    """policy (A,): pi = (1 - nu) pi_A + nu pi_N, worth 1.068 V0, of which .917 on items that pi0 shows."""

    policy: Floats


def prefix_world(worthless: bool = False, rate: float = 0.007) -> PrefixWorld:
    """16 prefixes of 4 existing and 1 new item; the reward depends on the prefix only, pi0 is uniform on
    existing items.

    worthless: new items earn 0, so that the prefix no longer carries the whole effect (the broken twin).
    """
    groups, existing_each = 16, 4
    prefixes = np.repeat(np.arange(groups), existing_each + 1)
    existing = np.arange(len(prefixes)) % (existing_each + 1) < existing_each
    levels = stats.norm.ppf((prefixes + 0.5) / groups)
    grown = np.exp(stats.norm.ppf((np.arange(groups) + 0.5) / groups) / 2)
    full = rate * np.exp(levels / 2) / grown.mean()
    q = np.where(existing, full, 0.0) if worthless else full
    logger, new = existing / existing.sum(), ~existing / (~existing).sum()
    nu, old_worth, new_worth = PREFIX_SHARES
    plain = SmallWorld(
        BanditWorld(np.zeros((1, 1)), _constant(full), existing, prefixes), full, logger, levels
    )
    policy = (1 - nu) * plain.worth(old_worth) + nu * plain.worth(new_worth, new)
    return PrefixWorld(
        BanditWorld(np.zeros((1, 1)), _constant(q), existing, prefixes), q, logger, levels, policy
    )


def _tilt(base: Floats, levels: Floats, b: float) -> Floats:
    weight = base * np.exp(b * levels - np.max(b * levels))
    out: Floats = weight / weight.sum()
    return out


def _constant(q: Floats) -> Callable[[Context, slice], Block]:
    """The same rewards in every context."""
    return lambda ctx, actions: np.broadcast_to(q[actions], (len(ctx), len(q[actions])))


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
