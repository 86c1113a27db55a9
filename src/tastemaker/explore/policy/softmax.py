"""Policies given by scores: linear softmax over action vectors, or a table of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.policy.base import BLOCK, Block, Context, Policy, Pools, check_actions


@dataclass(frozen=True, eq=False)
class Mixture(Policy):
    """(1 - h) first + h second, h = `share`, raised until second/mixture <= `cap` for every action.

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
        """(n,) log of the mixture of what both parts, first and second (n,), give one action a row."""
        logs = _logs(self.shares(ctx))
        return np.minimum(np.logaddexp(logs[0] + first, logs[1] + second), 0.0)

    def expect(self, ctx: Context, function: Callable[[slice, slice], Block]) -> Floats:
        """(n,) each part in its own way."""
        share = self.shares(ctx)
        return (1 - share) * self.first.expect(ctx, function) + share * self.second.expect(ctx, function)

    def mass(self, ctx: Context, subset: Bools) -> Floats:
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


def _logs(share: Floats) -> tuple[Floats, Floats]:
    with np.errstate(divide="ignore"):
        return np.log1p(-share), np.log(share)


class Scored(Policy):
    """pi(a|x) proportional to exp(score(x, a)); subclasses give `scores`, -inf for never played."""

    def scores(self, ctx: Context, actions: slice) -> Block:
        """(r, a) scores of the rows of `ctx` and a slice of the actions."""
        raise TypeError(f"{type(self).__name__} has no scores")

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities) of each block; scores computed twice if there are several."""
        for rows in _slices(len(ctx)):
            part = ctx[rows]
            if self.n_actions <= BLOCK:
                only = self.scores(part, slice(0, self.n_actions))
                log_sum = _possible(_log_sum(only))
                yield rows, slice(0, self.n_actions), only - log_sum[:, None].astype(only.dtype)
                continue
            blocks = (self.scores(part, actions) for actions in _slices(self.n_actions))
            log_sum = _possible(reduce(np.logaddexp, map(_log_sum, blocks)))
            for actions in _slices(self.n_actions):
                block = self.scores(part, actions)
                block -= log_sum[:, None].astype(block.dtype)
                yield rows, actions, block

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) log pi(action_i|x_i) in one pass."""
        check_actions(ctx, action, self.n_actions)
        return self._log_prob(ctx, action)

    def _log_prob(self, ctx: Context, action: Ints) -> Floats:
        result = np.empty(len(ctx))
        for rows in _slices(len(ctx)):
            part, wanted = ctx[rows], action[rows]
            own, total = np.full((2, len(part)), -np.inf)
            for actions in _slices(self.n_actions):
                block = self.scores(part, actions)
                here = np.flatnonzero((wanted >= actions.start) & (wanted < actions.stop))
                own[here] = block[here, wanted[here] - actions.start]
                total = np.logaddexp(total, _log_sum(block))
            # Rounding of float32 scores must not make a log-probability positive.
            result[rows] = np.minimum(own - _possible(total), 0.0)
        return result


@dataclass(frozen=True, eq=False)
class SoftmaxPolicy(Scored):
    """pi(a|x) proportional to exp((x - shift) matrix phi_a + bias_a) over the allowed actions.

    vectors (A, k) are the phi_a; matrix (d, k); bias (A,) and shift (d,), 0 if None; allowed (A,) bool, all
    if None; prefixes (A,) int64. precision: dtype of the blocks; float32 is exact to about 1e-6 relative. A
    shift keeps contexts far from 0 so.
    """

    vectors: npt.NDArray[np.floating[Any]]
    matrix: npt.NDArray[np.floating[Any]]
    bias: Floats | None = None
    allowed: Bools | None = None
    prefixes: Ints | None = None
    precision: str = "float32"
    shift: Floats | None = None

    def __post_init__(self) -> None:
        if self.shift is not None and self.shift.shape != self.matrix.shape[:1]:
            raise InputError(
                f"shift has shape {self.shift.shape}; one number for each of {len(self.matrix)} columns is"
                " needed"
            )
        if self.vectors.ndim != 2 or self.matrix.ndim != 2 or self.vectors.shape[1] != self.matrix.shape[1]:
            raise InputError(
                f"vectors (A, k) and matrix (d, k) are needed; got {self.vectors.shape} and"
                f" {self.matrix.shape}"
            )
        for name in ("bias", "allowed", "prefixes"):
            value = getattr(self, name)
            if value is not None and value.shape != (len(self.vectors),):
                raise InputError(
                    f"{name} has shape {value.shape}; one value for each of the {len(self.vectors)} actions"
                    " is needed"
                )
        for name in ("vectors", "matrix", "bias", "shift"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value).all():
                row = np.argwhere(~np.isfinite(value))[0][0]
                raise InputError(f"{name}: row {row + 1} holds a number that is not finite")
        if self.allowed is not None and not self.allowed.any():
            raise InputError("no action is allowed; a policy needs at least one")

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return len(self.vectors)

    def scores(self, ctx: Context, actions: slice) -> Block:
        """(r, a) in `precision`."""
        centred = ctx.astype(np.float64) if self.shift is None else ctx - self.shift
        query = (centred @ self.matrix.astype(np.float64)).astype(self.precision)
        block: Block = query @ self.vectors[actions].astype(self.precision).T
        if self.bias is not None:
            block += self.bias[actions].astype(self.precision)
        if self.allowed is not None:
            block[:, ~self.allowed[actions]] = -np.inf
        return block

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) log pi(action_i|x_i); no score is computed where the action is not allowed."""
        check_actions(ctx, action, self.n_actions)
        if self.allowed is None or (played := self.allowed[action]).all():
            return self._log_prob(ctx, action)
        result = np.full(len(ctx), -np.inf)
        rows = np.flatnonzero(played)
        result[rows] = self._log_prob(ctx[rows], action[rows])
        return result

    def mass(self, ctx: Context, subset: Bools) -> Floats:
        """(n,) probability of `subset`: exactly 1 or 0 where it has all allowed actions, or none."""
        inside = subset if self.allowed is None else subset[self.allowed]
        if inside.all() or not inside.any():
            return np.full(len(ctx), float(inside.all()))
        return super().mass(ctx, subset)

    def at(self, ctx: Context, items: Ints) -> Floats:
        """(n, m) scores of m actions a row, in float64."""
        centred = ctx.astype(np.float64) if self.shift is None else ctx - self.shift
        query = centred @ self.matrix.astype(np.float64)
        score = np.empty(items.shape)
        for rows in _slices(len(ctx)):
            score[rows] = np.einsum("nk,nmk->nm", query[rows], self.vectors[items[rows]].astype(np.float64))
        if self.bias is not None:
            score += self.bias[items]
        return score if self.allowed is None else np.where(self.allowed[items], score, -np.inf)


@dataclass(frozen=True, eq=False)
class TablePolicy(Scored):
    """Probabilities (C, A) as a table; the row is the first context column (C = 1: any context)."""

    probabilities: Floats
    prefixes: Ints | None = None

    def __post_init__(self) -> None:
        table = self.probabilities
        if table.ndim != 2 or np.any(table < 0) or not np.allclose(table.sum(axis=1), 1.0, atol=1e-9):
            raise InputError(
                "a table policy needs probabilities (contexts, actions), none negative, each row of sum 1"
            )

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return int(self.probabilities.shape[1])

    def scores(self, ctx: Context, actions: slice) -> Block:
        """(r, a) log-probabilities."""
        row = self._row(ctx)
        with np.errstate(divide="ignore"):
            logs: Block = np.log(self.probabilities[:, actions])
        return logs[row]

    def log_prob(self, ctx: Context, action: Ints) -> Floats:
        """(n,) log pi(action_i|x_i), looked up."""
        check_actions(ctx, action, self.n_actions)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.probabilities[self._row(ctx), action]))

    def at(self, ctx: Context, items: Ints) -> Floats:
        """(n, m) log-probabilities of m actions a row, looked up."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.probabilities[self._row(ctx)[:, None], items]))

    def prefix_log_prob(self, ctx: Context, prefix: Ints) -> Floats:
        """(n,) log of the mass of prefix_i; masses are summed once."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.minimum(self._by_prefix[self._row(ctx), prefix], 1.0)))

    def mass(self, ctx: Context, subset: Bools) -> Floats:
        """(n,) probability of the actions in `subset`."""
        return np.asarray(np.clip(self.probabilities @ subset, 0.0, 1.0)[self._row(ctx)])

    def _row(self, ctx: Context) -> Ints:
        if len(self.probabilities) == 1:
            return np.zeros(len(ctx), dtype=np.int64)
        row = ctx[:, 0].astype(np.int64)
        if len(row) and not 0 <= row.min() <= row.max() < len(self.probabilities):
            raise InputError(
                f"the first context column must be a row 0..{len(self.probabilities) - 1} of the table"
            )
        return row

    @cached_property
    def _by_prefix(self) -> Floats:
        if self.prefixes is None:
            raise InputError(
                "the policy knows no prefixes; build it with prefixes, the prefix number of every action"
            )
        return self.probabilities @ np.eye(int(self.prefixes.max()) + 1)[self.prefixes]


def uniform_policy(n_actions: int, allowed: Bools | None = None, prefixes: Ints | None = None) -> TablePolicy:
    """Every allowed action (A,) bool equally likely, whatever the context."""
    mask = np.ones(n_actions, dtype=bool) if allowed is None else allowed
    if not mask.any():
        raise InputError("no action is allowed; a policy needs at least one")
    return TablePolicy((mask / mask.sum())[None, :], prefixes)


def _log_sum(block: Block) -> Floats:
    """(r,) log of the summed exp of a block's rows, added up in float64; -inf for a row of nothing else."""
    peak = block.max(axis=1)
    peak[~np.isfinite(peak)] = 0.0  # keeps inf - inf out of it
    shifted = block - peak[:, None]
    np.exp(shifted, out=shifted)
    with np.errstate(divide="ignore"):
        return np.asarray(peak + np.log(shifted.sum(axis=1, dtype=np.float64)))


def _possible(log_sum: Floats) -> Floats:
    """The same; raises InputError naming the first row where it is not finite."""
    if not np.isfinite(log_sum).all():
        row = int(np.argmin(np.isfinite(log_sum))) + 1
        raise InputError(f"row {row}: no action has a positive probability")
    return log_sum


def _slices(size: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)]
