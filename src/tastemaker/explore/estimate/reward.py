"""Reward models qhat(x, a), cross-fitted: no row is predicted by a model that saw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.table import Log
from tastemaker.stats.random import generator


class RewardModel(Protocol):
    """qhat for the rows of one log."""

    def at(self, actions: Ints) -> Floats:
        """(n, m) predictions of m actions a row."""
        ...

    def block(self, rows: slice, actions: slice) -> Floats:
        """(r, a) predictions of some rows and a slice of the actions."""
        ...


@dataclass(frozen=True, eq=False)
class _Linear:
    """link(b + x.u + phi.v + (x*m).phi): all actions of a row in one matrix product; top: r_max of a logistic
    link, else None.
    """

    vectors: Floats
    constant: float
    by_context: Floats
    by_vector: Floats
    by_product: Floats | None
    top: float | None

    def block(self, context: Floats, actions: slice) -> Floats:
        phi = self.vectors[actions]
        score = self.constant + (context @ self.by_context)[:, None] + (phi @ self.by_vector)[None, :]
        if self.by_product is not None:
            score = score + (context * self.by_product) @ phi.T
        return self._link(score)

    def at(self, context: Floats, actions: Ints) -> Floats:
        score = (
            self.constant + (context @ self.by_context)[:, None] + (self.vectors @ self.by_vector)[actions]
        )
        if self.by_product is not None:
            query = context * self.by_product
            score = score + np.stack(
                [np.einsum("nk,nk->n", query, self.vectors[column]) for column in actions.T], axis=1
            )
        return self._link(score)

    def _link(self, score: Floats) -> Floats:
        return (
            score if self.top is None else np.asarray(self.top / (1.0 + np.exp(-np.clip(score, -700, 700))))
        )


@dataclass(frozen=True, eq=False)
class FittedRewards:
    """One model a fold; row i is predicted by the model that was fitted without its fold, `fold` (n,)."""

    models: tuple[_Linear, ...]
    fold: Ints
    context: Floats
    r_max: float

    def at(self, actions: Ints) -> Floats:
        """(n, m) predictions, within [0, r_max]."""
        predictions = np.empty(actions.shape)
        for fold, model in enumerate(self.models):
            inside = self.fold == fold
            predictions[inside] = model.at(self.context[inside], actions[inside])
        return np.clip(predictions, 0.0, self.r_max)

    def block(self, rows: slice, actions: slice) -> Floats:
        """(r, a) predictions, within [0, r_max]."""
        folds, context = self.fold[rows], self.context[rows]
        predictions = np.empty((len(folds), actions.stop - actions.start))
        for fold, model in enumerate(self.models):
            inside = folds == fold
            predictions[inside] = model.block(context[inside], actions)
        return np.clip(predictions, 0.0, self.r_max)


def fit_reward_model(
    log: Log, vectors: npt.NDArray[Any] | None = None, *, folds: int = 3, key: str | int = 0
) -> FittedRewards:
    """qhat(x, a) from context and action vectors (A, k), cross-fitted over `folds` parts by user (row, where
    none is known).

    vectors None: indicators of the actions, up to 512 of them. Rewards that are 0 or r_max get a logistic
    model, others a ridge regression; both add x*phi where context and vectors are equally long. Raises
    InputError on vectors of another length, more than 512 actions without vectors, or folds outside 2..n.
    Source: Chernozhukov et al. 2018 (cross-fitting); 1503.02834 (DR).
    """
    if vectors is None and log.n_actions > 512:
        raise InputError(
            f"{log.n_actions} actions without vectors: a reward model needs action vectors to share evidence"
        )
    phi = np.eye(log.n_actions) if vectors is None else np.asarray(vectors, dtype=np.float64)
    if phi.ndim != 2 or len(phi) != log.n_actions:
        raise InputError(
            f"action vectors have shape {phi.shape}; give one row for each of the {log.n_actions} actions"
        )
    units = np.arange(len(log)) if log.user is None else np.unique(log.user, return_inverse=True)[1]
    if not 2 <= folds <= units.max() + 1:
        raise InputError(
            f"{folds} folds of {units.max() + 1} users or rows do not exist; give 2 or more, and no more than"
            " those"
        )
    logistic = bool(np.isin(log.reward, (0.0, log.r_max)).all())
    part = generator(key, "folds").permutation(units.max() + 1) % folds
    fold, context = part[units], np.asarray(log.context, dtype=np.float64)
    models = tuple(
        _fit(context[fold != left_out], log.take(fold != left_out), phi, logistic)
        for left_out in range(folds)
    )
    return FittedRewards(models, fold, context, log.r_max)


def _fit(context: Floats, log: Log, phi: Floats, logistic: bool) -> _Linear:
    from sklearn.linear_model import LogisticRegression, Ridge

    width, size = context.shape[1], phi.shape[1]
    own = phi[log.action]
    pairs = np.concatenate([context, own, context * own] if width == size else [context, own], axis=1)
    weight, constant = np.zeros(pairs.shape[1]), float(log.reward.mean())
    centre, spread = pairs.mean(axis=0), pairs.std(axis=0)
    spread[spread < 1e-12] = 1.0
    scaled = (pairs - centre) / spread
    if not logistic:
        ridge = Ridge().fit(scaled, log.reward)
        weight, constant = ridge.coef_ / spread, float(ridge.intercept_)
    elif 0 < log.rewarded < len(log):
        model = LogisticRegression(max_iter=500).fit(scaled, log.reward > 0)
        weight, constant = model.coef_[0] / spread, float(model.intercept_[0])
    else:
        constant = -np.inf if log.rewarded == 0 else np.inf
    if np.isfinite(constant):
        constant -= float(centre @ weight) if np.any(weight) else 0.0
    product = weight[width + size :] if width == size else None
    return _Linear(
        phi, constant, weight[:width], weight[width : width + size], product, log.r_max if logistic else None
    )
