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

    def at(self, action: Ints) -> Floats:
        """(n,) predictions of one action a row."""
        ...

    def block(self, rows: slice, actions: slice) -> Floats:
        """(r, a) predictions of some rows and a slice of the actions."""
        ...


@dataclass(frozen=True, eq=False)
class FittedRewards:
    """link(b + x.u + phi.v + (x*m).phi); row i has the coefficients fitted without its fold, `fold` (n,).

    constant (folds,), by_context (folds, d), by_vector and by_product (folds, k), context (n, d), vectors
    (A, k); the link is the identity, or r_max times the logistic function.
    """

    constant: Floats
    by_context: Floats
    by_vector: Floats
    by_product: Floats | None
    fold: Ints
    context: Floats
    vectors: Floats
    r_max: float
    logistic: bool

    def at(self, action: Ints) -> Floats:
        """(n,) predictions, within [0, r_max]."""
        base, query = self._linear(slice(None))
        return self._link(base + np.einsum("nk,nk->n", query, self.vectors[action]))

    def block(self, rows: slice, actions: slice) -> Floats:
        """(r, a) predictions, within [0, r_max]."""
        base, query = self._linear(rows)
        return self._link(base[:, None] + query @ self.vectors[actions].T)

    def _linear(self, rows: slice) -> tuple[Floats, Floats]:
        """(r,) and (r, k): the score of an action is the first plus the second times its vector."""
        fold, context = self.fold[rows], self.context[rows]
        query = self.by_vector[fold]
        if self.by_product is not None:
            query += context * self.by_product[fold]
        return self.constant[fold] + np.einsum("nd,nd->n", context, self.by_context[fold]), query

    def _link(self, score: Floats) -> Floats:
        value = self.r_max / (1.0 + np.exp(-np.clip(score, -700, 700))) if self.logistic else score
        return np.clip(value, 0.0, self.r_max)


def fit_reward_model(log: Log, vectors: npt.NDArray[Any] | None = None, *, folds: int = 3) -> FittedRewards:
    """qhat(x, a) from context and action vectors (A, k), cross-fitted over `folds` parts by user or row.

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
    part = generator(0, "folds").permutation(units.max() + 1) % folds
    fold, context = part[units], np.asarray(log.context, dtype=np.float64)
    fits = [_fit(context[fold != out], log.take(fold != out), phi, logistic) for out in range(folds)]
    constant, weight = np.array([each[0] for each in fits]), np.stack([each[1] for each in fits])
    by_context, by_vector, by_product = np.split(weight, np.cumsum([context.shape[1], phi.shape[1]]), axis=1)
    product = by_product if by_product.size else None
    return FittedRewards(constant, by_context, by_vector, product, fold, context, phi, log.r_max, logistic)


def _fit(context: Floats, log: Log, phi: Floats, logistic: bool) -> tuple[float, Floats]:
    """The constant and the weights of context, vector and (equally long) their product."""
    from sklearn.linear_model import LogisticRegression, Ridge

    own = phi[log.action]
    products = [context * own] if context.shape == own.shape else []
    pairs = np.concatenate([context, own, *products], axis=1)
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
    return constant, weight
