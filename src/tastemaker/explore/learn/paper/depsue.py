"""DEPSUE as published (arXiv 2510.07635): Safe OPG over K deployments that bank the margins measured so
far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.learn.paper.safe_opg import (
    PaperPolicy,
    PaperSettings,
    own_probability,
    safe_opg_paper,
)
from tastemaker.explore.learn.rows import Floats, Rows, joined
from tastemaker.explore.learn.softmax import Weights
from tastemaker.explore.ledger import depsue_paper as thresholds
from tastemaker.stats.random import generator

Probability = Callable[[Rows], Floats]
Deploy = Callable[[Weights | None, int, int], Rows]


@dataclass(frozen=True)
class Deployment:
    """found: what Safe OPG gave against this round's threshold (its weights None: the logger served); live:
    mean live reward.
    """

    found: PaperPolicy
    live: float
    rounds: int


def halves(rows: Rows, key: str | int) -> tuple[Rows, Rows]:
    """S1 and S2: two random halves."""
    first = generator(key, "halves").permutation(len(rows)) < len(rows) // 2
    return rows.take(first), rows.take(~first)


def depsue_paper(
    log: Rows,
    logger: Probability,
    deploy: Deploy,
    deployments: int,
    rounds: int,
    target: float,
    settings: PaperSettings = PaperSettings(),
    key: str | int = 0,
    first: PaperPolicy | None = None,
) -> list[Deployment]:
    """K deployments: pi_k must pass Vlow(pi_k; S2 of D_{k-1}) > C_k = k C - sum of the live means before it.

    log: D_0 by the logger; logger(rows): its probability of each row's action, wherever the row was drawn.
    deploy(weights or None for the logger, rounds, k): serve it and return the rows. rounds: live rounds of
    all deployments together; target: C.
    first: the policy of k = 1 where it is known (it is Safe OPG on `log` with the same key). Learning pools
    the S1 halves with balanced weights, pi / sum_j (n_j / N) pi_j (Agarwal et al., 1703.06180).
    """
    if deployments < 1 or rounds < deployments:
        raise InputError(f"{deployments} deployments need at least one round each; got {rounds} rounds")
    learn, judge = halves(log, key)
    learns, players, out = [learn], [logger], list[Deployment]()
    start: Weights | None = None
    for k in range(1, deployments + 1):
        threshold = thresholds(target, [one.live for one in out])[-1]
        if k == 1 and first is not None:
            found = first
        else:
            found = safe_opg_paper(balanced(learns, players), judge, threshold, settings, f"{key}/{k}", start)
        rows = deploy(found.weights, rounds // deployments, k)
        out.append(Deployment(found, float(rows.reward.mean()), len(rows)))
        learn, judge = halves(rows, f"{key}/{k}")
        learns.append(learn)
        players.append(logger if found.weights is None else player(found.weights))
        start = found.weights
    return out


def player(weights: Weights) -> Probability:
    """The probability a trained policy gives to a row's own action."""
    return lambda rows: own_probability(weights, rows)


def balanced(parts: Sequence[Rows], players: Sequence[Probability]) -> Rows:
    """Rows of several loggers as one log, each row's denominator the average of all loggers, by their share
    of the rows.
    """
    rows = joined(parts)
    propensity = np.zeros(len(rows))
    for part, probability in zip(parts, players, strict=True):
        propensity += len(part) / len(rows) * probability(rows)
    return rows.weighed_by(propensity)
