"""POTEC: which prefix by policy gradient, which item within it by regression (Saito et al., 2402.06151)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from tastemaker.errors import InputError
from tastemaker.explore.learn.objectives import RewardModel, reward_model
from tastemaker.explore.learn.rows import Floats, Ints, Rows
from tastemaker.explore.learn.softmax import Batch, Settings, ascend
from tastemaker.explore.policy import SoftmaxPolicy
from tastemaker.explore.policy.base import Block, Blocked, Context
from tastemaker.explore.table import Log


@dataclass(frozen=True, eq=False)
class TwoStage(Blocked):
    """pi(a|x) = pi1(e(a)|x) pi2(a|x, e(a)): first over prefixes, second over items, renormalised within each
    prefix.
    """

    first: SoftmaxPolicy
    second: SoftmaxPolicy
    prefixes: Ints

    @property
    def n_actions(self) -> int:
        """Size A of the catalogue."""
        return self.second.n_actions

    def blocks(self, ctx: Context) -> Iterator[tuple[slice, slice, Block]]:
        """(rows, actions, log-probabilities): the masses of all prefixes first, then the items of a block."""
        count = self.first.n_actions
        groups = np.zeros((len(ctx), count))
        for rows, actions, block in self.second.blocks(ctx):
            np.add.at(groups[rows].T, self.prefixes[actions], np.exp(block).T)
        chosen = np.empty((len(ctx), count))
        for rows, actions, block in self.first.blocks(ctx):
            chosen[rows, actions] = block
        with np.errstate(divide="ignore"):
            shift = chosen - np.log(groups)
        for rows, actions, block in self.second.blocks(ctx):
            yield rows, actions, np.minimum(block + shift[rows][:, self.prefixes[actions]], 0.0)


def potec(
    log: Log,
    vectors: Floats,
    prefixes: Ints,
    settings: Settings = Settings(),
    sharpness: float = 20.0,
    key: str | int = 0,
) -> TwoStage:
    """Learn pi1 over prefixes (A,) by mean[w(x,e) (r - f) grad log pi1(e|x) + E_pi1(f grad log pi1)], pi2
    from f alone.

    f: a linear reward model of x and the action vectors (A, k), averaged by pi2 within a prefix where it
    stands for the prefix.
    sharpness: pi2 is proportional to exp(sharpness f / mean reward). A prefix is described by the mean vector
    of its items. Raises InputError when the log has no `prefix_propensity`: the row's own propensity does not
    determine it.
    """
    if log.prefix_propensity is None:
        raise InputError(
            "POTEC needs the logger's probability of each row's prefix: add a column 'prefix_propensity'"
        )
    if prefixes.shape != (log.n_actions,) or len(np.unique(prefixes)) != int(prefixes.max()) + 1:
        raise InputError(
            f"prefixes must number, from 0 without gaps, the prefix of each of the {log.n_actions} actions"
        )
    items = Rows.of(log, vectors)
    model = reward_model(items, settings, 0.0)
    count = int(prefixes.max()) + 1
    centres = np.stack([vectors[prefixes == one].mean(axis=0) for one in range(count)])
    groups = Rows(
        items.contexts, centres, items.context, prefixes[items.action], items.reward, log.prefix_propensity
    )
    unit = max(float(log.reward.mean()), 1e-12)
    values = _Within(model, torch.tensor(prefixes), count, sharpness / unit)
    residual = torch.tensor(items.reward - values.own(items), dtype=torch.float32)

    def objective(batch: Batch) -> torch.Tensor:
        weight = batch.weight.clamp(max=settings.clip)
        return (batch.mean(weight * residual[batch.row]) + batch.expected(values(batch.number))) / unit

    trained = ascend(groups, objective, settings, key)
    return TwoStage(
        trained.policy(centres),
        _second(model, vectors, sharpness / unit, prefixes, items, settings),
        prefixes,
    )


class _Within:
    """f of a prefix: the mean of f over its items under pi2, (B, prefixes)."""

    def __init__(self, model: RewardModel, prefixes: torch.Tensor, count: int, slope: float) -> None:
        self.model, self.prefixes, self.count, self.slope = model, prefixes, count, slope

    def __call__(self, contexts: Ints) -> torch.Tensor:
        """For rows of the population's contexts."""
        predicted = self.model.at(contexts)
        weight = torch.exp(self.slope * (predicted - predicted.max(dim=1, keepdim=True).values)) + 1e-30
        shape = (len(contexts), self.count)
        mass = torch.zeros(shape).index_add_(1, self.prefixes, weight)
        return torch.zeros(shape).index_add_(1, self.prefixes, weight * predicted) / mass

    def own(self, rows: Rows) -> Floats:
        """(n,) f of the logged items themselves, contexts in blocks."""
        order, starts = rows.order
        out = np.empty(len(rows))
        for first in range(0, len(rows.contexts), 1024):
            last = min(first + 1024, len(rows.contexts))
            here = order[starts[first] : starts[last]]
            predicted = self.model.at(np.arange(first, last)).numpy()
            out[here] = predicted[rows.context[here] - first, rows.action[here]]
        return out


def _second(
    model: RewardModel, vectors: Floats, slope: float, prefixes: Ints, rows: Rows, settings: Settings
) -> SoftmaxPolicy:
    """pi2 before its renormalisation: a softmax of slope x f."""
    weights = model.weights(rows, settings, slope)
    return weights.policy(vectors, prefixes)
