"""Two learners behind one call: logistic regression (quick, exact) and LightGBM (trees, with TreeSHAP built
in).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]
Name = Literal["logistic", "lightgbm"]


@dataclass(frozen=True)
class Fitted:
    """predict: features (n, d) -> probability (n,). contributions: features (n, d) -> additive log-odds (n,
    d): coefficient times distance from the training mean, or TreeSHAP.
    """

    predict: Callable[[Floats], Floats]
    contributions: Callable[[Floats], Floats]


def learn(name: Name, x: Floats, y: Floats, weight: Floats, seed: int) -> Fitted:
    """Fit a learner to features (n, d), outcomes 0 or 1 (n,) and weights (n,).

    Raises InputError on an unknown learner, or an outcome of one class.
    """
    if y.min() == y.max():
        raise InputError(
            f"the outcome is {y[0]:g} in all {len(y):,} training rows; a model needs both outcomes: check the"
            " outcome column and its threshold"
        )
    if name == "logistic":
        return _logistic(x, y, weight)
    if name == "lightgbm":
        return _trees(x, y, weight, seed)
    raise InputError(f"learner '{name}' is unknown; choose logistic or lightgbm")


def _logistic(x: Floats, y: Floats, weight: Floats) -> Fitted:
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1.0
    # One unit of L2 on standardised features: nothing at these sizes, yet finite where a column separates the
    # outcomes.
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=100).fit(
        (x - mean) / scale, y, weight
    )
    slopes, intercept = (
        model.coef_[0] / scale,
        float(model.intercept_[0] - (model.coef_[0] * mean / scale).sum()),
    )
    return Fitted(lambda z: 1 / (1 + np.exp(-(z @ slopes + intercept))), lambda z: (z - mean) * slopes)


def _trees(x: Floats, y: Floats, weight: Floats, seed: int) -> Fitted:
    import lightgbm

    settings = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 15,
        "min_data_in_leaf": max(20, len(y) // 400),
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbose": -1,
    }
    model = lightgbm.train(settings, lightgbm.Dataset(x, y, weight=weight), num_boost_round=150)
    return Fitted(
        lambda z: np.asarray(model.predict(z), dtype=np.float64),
        lambda z: np.asarray(model.predict(z, pred_contrib=True), dtype=np.float64)[:, :-1],
    )
