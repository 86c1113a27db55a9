"""A logger fitted to the log, for tables without propensities. Everything that follows is labelled
"estimated".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]

MOST_ACTIONS = 1_000


def fitted_propensities(log: Log, folds: int = 3) -> Floats:
    """(n,) probability of each row's action given its context, by multinomial logistic regression fitted on
    other rows.

    Cross-fitting (every third row, in turn, is left out) keeps a row from raising its own propensity. An
    action that the other folds do not know gets the smallest probability they give to any. Raises InputError
    where more than 1,000 actions were
    logged: a fit of that size would be noise.
    """
    logged, label = np.unique(log.action, return_inverse=True)
    if len(logged) > MOST_ACTIONS:
        raise InputError(
            f"{len(logged)} logged actions are too many for a fitted logger (at most {MOST_ACTIONS}); log"
            " propensities"
        )
    fold = np.arange(len(log)) % folds
    propensity = np.empty(len(log))
    for left_out in range(min(folds, len(log))):
        inside = fold == left_out
        propensity[inside] = _predict(log.context, label, ~inside, inside)
    return propensity


def _predict(
    context: npt.NDArray[np.floating],
    label: npt.NDArray[np.int64],
    rest: npt.NDArray[np.bool_],
    inside: npt.NDArray[np.bool_],
) -> Floats:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    counts = np.bincount(label[rest], minlength=label.max() + 1)
    share = counts / max(1, counts.sum())
    varies = context.shape[1] and np.ptp(context, axis=0).any()
    if not varies or np.count_nonzero(counts) < 2:
        return np.asarray(np.maximum(share[label[inside]], share[share > 0].min(initial=1.0)))
    scale = StandardScaler().fit(context[rest])
    model = LogisticRegression(max_iter=1_000).fit(scale.transform(context[rest]), label[rest])
    probability = model.predict_proba(scale.transform(context[inside]))
    column = np.full(len(counts), -1)
    column[model.classes_] = np.arange(len(model.classes_))
    at = column[label[inside]]
    own = probability[np.arange(len(at)), np.maximum(at, 0)]
    return np.asarray(np.where(at >= 0, own, probability.min(axis=1)))
