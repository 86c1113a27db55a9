"""Learn a policy from a log: one objective, or a path of them from imitation to value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.learn.objectives import NAMES, Name, regularised, value
from tastemaker.explore.learn.rows import Floats, Rows
from tastemaker.explore.learn.softmax import Settings, Weights, ascend
from tastemaker.explore.policy import SoftmaxPolicy
from tastemaker.explore.table import Log

LAMBDAS = (10.0, 3.0, 1.0, 0.5, 0.25, 0.1, 0.03)


def fit(
    log: Log,
    vectors: Floats,
    objective: Name = "clipped_ips",
    regulariser: float = 0.0,
    settings: Settings = Settings(),
    key: str | int = 0,
    prefixes: npt.NDArray[np.int64] | None = None,
) -> SoftmaxPolicy:
    """A linear softmax over action `vectors` (A, k) that maximises `objective` - `regulariser` x R(pi, pi0).

    objective: one of `objectives.NAMES`; R = -mean log pi(a_i|x_i), so a large regulariser imitates the
    logger. prefixes (A,) are handed on to the policy. Raises InputError on an unknown objective, a log
    without rewards, or vectors that do not fit.
    """
    return learn(_rewarded(Rows.of(log, vectors)), objective, regulariser, settings, key).policy(
        vectors, prefixes
    )


def path(
    log: Log,
    vectors: Floats,
    lambdas: Sequence[float] = LAMBDAS,
    objective: Name = "clipped_ips",
    settings: Settings = Settings(),
    key: str | int = 0,
    prefixes: npt.NDArray[np.int64] | None = None,
) -> list[SoftmaxPolicy]:
    """`fit` for each of `lambdas`, largest first, each started from the one before: a road from the logger
    towards value.

    Raises InputError as `fit`, and when lambdas are not positive and falling.
    """
    rows = _rewarded(Rows.of(log, vectors))
    return [one.policy(vectors, prefixes) for one in learn_path(rows, lambdas, objective, settings, key)]


def learn(
    rows: Rows,
    objective: Name,
    regulariser: float,
    settings: Settings,
    key: str | int,
    start: Weights | None = None,
) -> Weights:
    """`fit` on rows, for those who reuse them: weights instead of a policy, from `start` where given."""
    if objective not in NAMES:
        raise InputError(f"objective '{objective}' is unknown; choose one of {', '.join(NAMES)}")
    goal = regularised(value(objective, rows, settings), regulariser, settings.entropy)
    return ascend(rows, goal, settings, key, start)


def learn_path(
    rows: Rows,
    lambdas: Sequence[float],
    objective: Name,
    settings: Settings,
    key: str | int,
    start: Weights | None = None,
) -> list[Weights]:
    """`path` on rows. Later points are near the ones before and take a third of the steps."""
    if not lambdas or min(lambdas) < 0 or list(lambdas) != sorted(lambdas, reverse=True):
        raise InputError("lambdas must be 0 or above and falling: the path starts at imitation")
    if objective not in NAMES:
        raise InputError(f"objective '{objective}' is unknown; choose one of {', '.join(NAMES)}")
    main, out = value(objective, rows, settings), list[Weights]()
    shorter = replace(settings, steps=max(settings.steps // 3, 1))
    for weight in lambdas:
        goal = regularised(main, weight, settings.entropy)
        start = ascend(rows, goal, settings if start is None else shorter, key, start)
        out.append(start)
    return out


def imitate(rows: Rows, settings: Settings, key: str | int, start: Weights | None = None) -> Weights:
    """The logger as a linear softmax: maximum likelihood of its actions."""
    return ascend(rows, lambda batch: batch.mean(batch.log_prob), settings, key, start)


def _rewarded(rows: Rows) -> Rows:
    if not rows.reward.any():
        raise InputError(
            "no row of the log has a reward above 0; there is nothing to learn from. Collect more rows first"
        )
    return rows
