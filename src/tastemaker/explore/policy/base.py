"""What a policy answers: log-probabilities streamed over blocks of rows x actions, never n x |A| at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.stats.random import generator


@dataclass(frozen=True, eq=False)
class Pools:
    """items (n, m): row numbers of the catalogue, -1 behind the last of a row. logits (n, m): log-probability
    that the logger gave each to be drawn first, up to a constant a row; None where that was not logged.
    """

    items: Ints
    logits: Floats | None = None

    @classmethod
    def of(cls, rows: Sequence[npt.ArrayLike], logits: Sequence[npt.ArrayLike] | None = None) -> Pools:
        """One list of item numbers a row, and of the logger's logits where they are known."""
        arrays = [np.asarray(row, dtype=np.int64) for row in rows]
        known = None if logits is None else np.concatenate([np.asarray(row, float) for row in logits])
        return cls.ragged(np.concatenate(arrays), np.array([len(row) for row in arrays]), known)

    @classmethod
    def ragged(cls, items: Ints, lengths: Ints, logits: Floats | None = None) -> Pools:
        """The items of all rows one after another, and how many each has."""
        table = np.full((len(lengths), int(lengths.max(initial=0))), -1, dtype=np.int64)
        held = np.arange(table.shape[1])[None, :] < lengths[:, None]
        table[held] = items
        if logits is None:
            return cls(table)
        known = np.zeros(table.shape)
        known[held] = logits
        return cls(table, known)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: Ints | Bools) -> Pools:
        return Pools(self.items[rows], None if self.logits is None else self.logits[rows])

    @property
    def sizes(self) -> Ints:
        """(n,) items in each."""
        return np.asarray((self.items >= 0).sum(axis=1))

    def holds(self, action: Ints) -> Bools:
        """(n,) whether each row's action is in its pool."""
        return np.asarray((self.items == action[:, None]).any(axis=1))

    def without(self, above: Pools) -> Pools:
        """The pools less the items of `above`: what is left for a lower place of a list."""
        taken = (self.items[:, :, None] == above.items[:, None, :]).any(axis=2)
        return Pools(np.where(taken, -1, self.items), self.logits)

    def mask(self, rows: slice, actions: slice) -> Bools:
        """(r, a) whether each of a slice of the actions is in the pools of a slice of the rows."""
        part = self.items[rows] - actions.start
        width = actions.stop - actions.start
        inside = (part >= 0) & (part < width) & (self.items[rows] >= 0)
        flags = np.zeros((len(part), width), dtype=bool)
        row, place = np.nonzero(inside)
        flags[row, part[row, place]] = True
        return flags

    def dense(self, rows: slice, actions: slice) -> Floats:
        """(r, a) logits of a slice of the actions in the pools of a slice of the rows; 0 outside."""
        table = np.zeros((len(self.items[rows]), actions.stop - actions.start))
        if self.logits is not None:
            inside = (self.items[rows] >= actions.start) & (self.items[rows] < actions.stop)
            row, place = np.nonzero(inside)
            table[row, self.items[rows][row, place] - actions.start] = self.logits[rows][row, place]
        return table


Context = npt.NDArray[np.floating[Any]]
Block = npt.NDArray[np.floating[Any]]

# 16 MB of float32 a block: large enough for the matrix product to rule, small enough to hold several of them.
BLOCK = 2048


class Policy:
    """pi(a|x) over actions 0..A-1. ctx is (n, d), action (n,) int64, prefix (n,) int64; `prefixes` (A,) maps
    one to the other.

    Everything follows from `n_actions` and `blocks`; a subclass overrides what it can do in fewer passes.
    """

    prefixes: Ints | None = None

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        raise TypeError(f"{type(self).__name__} has no number of actions")

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities (r, a)) of every block: rows first, actions ascending."""
        raise TypeError(f"{type(self).__name__} has no blocks")

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) log pi(action_i|x_i); -inf where the policy never plays it."""
        _aligned(ctx, action)
        logs = np.full(len(ctx), -np.inf)
        for rows, actions, block in self.blocks(ctx):
            here = np.flatnonzero((action[rows] >= actions.start) & (action[rows] < actions.stop))
            logs[rows.start + here] = block[here, action[rows][here] - actions.start]
        return logs

    def prefix_log_prob(self, ctx: Context, prefix: Ints) -> Floats:
        """(n,) log of the mass of prefix_i. Raises InputError when the policy knows no prefixes."""
        _aligned(ctx, prefix)
        if self.prefixes is None:
            raise InputError(
                "the policy knows no prefixes; build it with prefixes, the prefix number of every action"
            )
        total = np.zeros(len(ctx))
        for rows, actions, block in self.blocks(ctx):
            same = self.prefixes[actions][None, :] == prefix[rows][:, None]
            total[rows] += np.where(same, np.exp(block), 0.0).sum(axis=1, dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.minimum(np.log(total), 0.0)

    def expect(self, ctx: Context, function: Callable[[slice, slice], Block]) -> Floats:
        """(n,) sum_a pi(a|x_i) f(x_i, a), exact, block by block."""
        total = np.zeros(len(ctx))
        for rows, actions, block in self.blocks(ctx):
            total[rows] += np.einsum("ra,ra->r", np.exp(block), function(rows, actions), dtype=np.float64)
        return total

    def mass(self, ctx: Context, subset: Bools) -> Floats:
        """(n,) probability of the actions in `subset` (A,) bool."""
        total = np.zeros(len(ctx))
        for rows, actions, block in self.blocks(ctx):
            total[rows] += np.exp(block[:, subset[actions]]).sum(axis=1, dtype=np.float64)
        return np.clip(total, 0.0, 1.0)

    def sample(self, ctx: Context, m: int, key: str | int) -> Ints:
        """(n, m) independent draws a row, by inverting the distribution function block by block."""
        uniform = generator(key, "sample").random((len(ctx), m))
        drawn = np.full((len(ctx), m), -1, dtype=np.int64)
        below, likeliest, most = np.zeros(len(ctx)), np.zeros(len(ctx), dtype=np.int64), np.zeros(len(ctx))
        for rows, actions, block in self.blocks(ctx):
            probability = np.exp(block)
            top, here = actions.start + probability.argmax(axis=1), probability.max(axis=1)
            likeliest[rows] = np.where(here > most[rows], top, likeliest[rows])
            most[rows] = np.maximum(here, most[rows])
            start = below[rows].copy()
            below[rows] += probability.sum(axis=1, dtype=np.float64)
            wanted = (drawn[rows] < 0) & (uniform[rows] < below[rows][:, None])
            hit = np.flatnonzero(wanted.any(axis=1))
            if len(hit):
                place = _invert(probability[hit], start[hit], uniform[rows][hit])
                drawn[rows.start + hit] = np.where(wanted[hit], actions.start + place, drawn[rows][hit])
        # Rounding leaves about one draw in a million above the summed mass: it takes the likeliest action.
        return np.where(drawn < 0, likeliest[:, None], drawn)

    def at(self, ctx: Context, items: Ints) -> Floats:
        """(n, m) scores of m actions a row, -inf: never played; they differ as log-probabilities do."""
        return np.stack([self.log_prob(ctx, column) for column in items.T], axis=1)

    def within(self, pools: Pools) -> Policy:
        """How it plays in rows (one each) showing items of `pools` alone; itself, if pools do not matter."""
        return self

    def in_pool(self, ctx: Context, pools: Pools) -> Floats:
        """(n,) probability of the items of each row's pool."""
        total = np.zeros(len(ctx))
        for rows, actions, block in self.blocks(ctx):
            inside = pools.mask(rows, actions)
            total[rows] += np.where(inside, np.exp(block), 0.0).sum(axis=1, dtype=np.float64)
        return np.clip(total, 0.0, 1.0)

    def fingerprint(self) -> str:
        """A digest of the class and every field."""
        digest = hashlib.blake2b(type(self).__name__.encode(), digest_size=16)
        names: list[str] = [part.name for part in fields(self)] if is_dataclass(self) else []
        for name in names:
            digest.update(f"\x1f{name}=".encode() + _bytes(getattr(self, name)))
        return digest.hexdigest()


def check_actions(ctx: Context, action: Ints, n_actions: int) -> None:
    """Raises InputError unless there is one action of 0..n_actions-1 a row."""
    if action.shape != (len(ctx),) or (len(action) and not 0 <= action.min() <= action.max() < n_actions):
        raise InputError(f"one action from 0 to {n_actions - 1} a row is needed for {len(ctx)} rows")


def _aligned(ctx: Context, values: Ints) -> None:
    if values.shape != (len(ctx),):
        raise InputError(f"one action or prefix a row is needed; got {values.shape} for {len(ctx)} rows")


def _bytes(value: Any) -> bytes:
    """What a field adds to a fingerprint."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    if hasattr(value, "fingerprint"):
        return str(value.fingerprint()).encode()
    return repr(value).encode()


def _invert(probability: Block, start: Floats, uniform: Floats) -> Ints:
    """(r, m) first action whose cumulative mass exceeds uniforms (r, m); start (r,): mass before."""
    cumulative = start[:, None] + np.cumsum(probability, axis=1, dtype=np.float64)
    place: Ints = np.stack([(cumulative <= draw[:, None]).sum(axis=1) for draw in uniform.T], axis=1)
    inside: Ints = np.where(place < probability.shape[1], place, probability.argmax(axis=1)[:, None])
    return inside


@dataclass(frozen=True, eq=False)
class _Of(Policy):
    """A policy over the actions of `base`."""

    base: Policy

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return self.base.n_actions

    @property
    def prefixes(self) -> Ints | None:  # type: ignore[override]
        """(A,) prefixes of the base."""
        return self.base.prefixes


@dataclass(frozen=True, eq=False)
class Pooled(_Of):
    """`base`, restricted to what its request could show (inside), or to all that it could not. Where nothing
    lies outside it plays inside; without pools it is `base`.

    anchor: how much of the logger's logits is added inside: with 1 and equal scores it is the logger.
    """

    inside: bool = True
    anchor: float = 0.0

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities) of the base."""
        return self.base.blocks(ctx)

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) of the base."""
        return self.base.log_prob(ctx, action)

    def within(self, pools: Pools) -> Policy:
        """As it plays in these rows."""
        return Within(self.base, pools, self.inside, self.anchor)

    def in_pool(self, ctx: Context, pools: Pools) -> Floats:
        """(n,) 1 inside, 0 outside where there is anything outside."""
        whole = pools.sizes >= self.n_actions
        return np.where(self.inside | whole, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Within(_Of):
    """What `Pooled.within` gives: row i of every context it is asked about has the pool i."""

    pools: Pools
    inside: bool
    anchor: float = 0.0

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities), -inf for what lies on the other side."""
        total = np.full(len(ctx), -np.inf)
        for rows, _, part in self._anchored(ctx):
            total[rows] = np.logaddexp(total[rows], np.logaddexp.reduce(part, axis=1))
        if np.isneginf(total).any():
            raise InputError(f"row {int(np.argmin(total)) + 1}: the policy plays nothing that could be shown")
        for rows, actions, part in self._anchored(ctx):
            yield rows, actions, part - total[rows, None]

    def _anchored(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """Scores of every block."""
        for rows, actions, block in self.base.blocks(ctx):
            part = np.where(self._played(rows, actions), block, -np.inf).astype(np.float64)
            if self.inside and self.anchor:
                part += self.anchor * self.pools.dense(rows, actions)
            yield rows, actions, part

    def _played(self, rows: slice, actions: slice) -> Bools:
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
            if self.inside and self.anchor and self.pools.logits is not None:
                logits = self.pools.logits[rows]
                own = (logits * (self.pools.items[rows] == action[rows, None])).sum(axis=1)
                score += self.anchor * np.concatenate([logits, own[:, None]], axis=1)
            result[rows] = score[:, -1] - np.logaddexp.reduce(score[:, :-1], axis=1)
        rows = np.flatnonzero(~held & ~inward)
        if len(rows):
            result[rows] = Policy.log_prob(
                Within(self.base, self.pools[rows], False), ctx[rows], action[rows]
            )
        return np.asarray(np.minimum(result, 0.0))
